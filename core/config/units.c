/* SPDX-License-Identifier: MIT */
/*
 * Durations, sizes and counts as people write them. A unit is written out, so that nobody has to
 * guess whether 30 means seconds or milliseconds; sizes without one are bytes.
 */
#include "units.h"

typedef struct {
    const char *suffix;
    uint64_t factor;
} unit;

static const unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const unit size_units[] = {
    {"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}};
static const unit count_units[] = {{"", 1}};

/* Reads "number, unit" into *value; false if it is malformed, zero, or above max. */
static bool parse(const char *text, const unit *units, size_t count, uint64_t max, uint64_t *value)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (at == text)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(at, units[i].suffix) != 0)
            continue;
        if (number == 0 || number > max / units[i].factor)
            return false;
        *value = number * units[i].factor;
        return true;
    }
    return false;
}

#define PARSE(text, units, max, value) \
    parse(text, units, sizeof units / sizeof units[0], max, value)

int idem_duration_parse(const char *text, uint64_t *ms, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (text && ms && PARSE(text, duration_units, IDEM_DURATION_MAX_MS, ms))
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "%s is no duration; write a whole number and ms, s, m, h or d, such as "
                          "500ms, 30s, 5m, 24h or 7d, from 1ms to 100 years",
                          idem_quote(idem_str(text), quoted));
}

int idem_size_parse(const char *text, uint64_t *bytes, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (text && bytes && PARSE(text, size_units, UINT64_C(1) << 40, bytes))
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "%s is no size; write a whole number and B, KiB, MiB or GiB, such as "
                          "64KiB or 8MiB, from 1B to 1024GiB",
                          idem_quote(idem_str(text), quoted));
}

int idem__units_count_parse(const char *text, uint64_t *value, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (text && PARSE(text, count_units, UINT64_C(1) << 62, value))
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "%s is no count; write a whole number from 1 up",
                          idem_quote(idem_str(text), quoted));
}
