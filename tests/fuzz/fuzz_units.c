/* SPDX-License-Identifier: MIT */
/*
 * Durations, sizes and counts: each parser against a second reading of what is accepted that works
 * on the text instead of on numbers, and back again from the number.
 */
#include "fuzz.h"

#include "units.h"

#include <inttypes.h>

typedef int (*parser)(const char *text, uint64_t *value, idem_error *error);

typedef struct {
    const char *suffix;
    uint64_t factor;
} unit;

typedef struct {
    parser parse;
    uint64_t max;
    unit units[6];
} kind;

static const kind kinds[] = {
    {idem_duration_parse,
     IDEM_DURATION_MAX_MS,
     {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}}},
    {idem_size_parse,
     UINT64_C(1) << 40,
     {{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}},
    {idem__units_count_parse, UINT64_C(1) << 62, {{"", 1}}},
};

/* Compares two numbers without leading zeros as texts. */
static bool at_most(const char *digits, size_t len, uint64_t max)
{
    char limit[24];
    size_t limit_len = (size_t)snprintf(limit, sizeof limit, "%" PRIu64, max);
    return len < limit_len || (len == limit_len && memcmp(digits, limit, len) <= 0);
}

/* What the text stands for; 0: it is not accepted. */
static uint64_t expected(const kind *of, const char *text)
{
    size_t len = strspn(text, "0123456789");
    const char *suffix = text + len;
    const char *digits = text + strspn(text, "0");
    if (len == 0 || digits >= suffix)
        return 0;
    for (const unit *at = of->units; at->suffix; at++) {
        if (strcmp(suffix, at->suffix) == 0)
            return at_most(digits, (size_t)(suffix - digits), of->max / at->factor)
                       ? strtoull(digits, NULL, 10) * at->factor
                       : 0;
    }
    return 0;
}

/* Written with each unit that divides it, the value is read again. */
static void check_written(const kind *of, uint64_t value)
{
    for (const unit *at = of->units; at->suffix; at++) {
        char text[40];
        uint64_t again = 0;
        if (value % at->factor != 0)
            continue;
        (void)snprintf(text, sizeof text, "%" PRIu64 "%s", value / at->factor, at->suffix);
        HOLDS(of->parse(text, &again, NULL) == IDEM_OK && again == value);
    }
}

static void check(const kind *of, const char *text)
{
    const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);
    uint64_t value = untouched;
    idem_error error = {0};
    uint64_t should_be = expected(of, text);
    int rc = of->parse(text, &value, &error);
    if (should_be == 0) {
        HOLDS(rc == IDEM_ERR_ARGUMENT && value == untouched);
        fuzz_check_message(&error, rc);
    } else {
        HOLDS(rc == IDEM_OK && value == should_be && error.code == IDEM_OK);
        check_written(of, value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_string(data, size);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        check(&kinds[i], text);
    free(text);
    return 0;
}
