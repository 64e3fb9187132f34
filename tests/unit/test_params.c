/* SPDX-License-Identifier: MIT */
/* URL parameters, durations, sizes and counts: what is read, and what each refusal says. */
#include "params.h"

#include "runner.h"
#include "units.h"

#include <string.h>

static const idem_param own_params[] = {
    {.name = "mode", .type = IDEM_PARAM_CHOICE, .fallback = "full", .choices = "full|normal"},
    {.name = "capacity", .type = IDEM_PARAM_COUNT},
    {.name = "label", .type = IDEM_PARAM_TEXT},
};
static const idem_backend_ops ops = {
    .size = sizeof ops, .scheme = "example", .params = own_params, .params_count = 3};

static idem_value common[IDEM__PARAM_COMMON];
static idem_value own[3];
static char query[600];

static int parse(const char *text, idem_error *error)
{
    ck_assert_uint_lt(strlen(text), sizeof query);
    strcpy(query, text);
    return idem__params_parse(query, &ops, common, own, error);
}

START_TEST(defaults_are_filled_in)
{
    ck_assert_int_eq(idem__params_parse(NULL, &ops, common, own, NULL), IDEM_OK);
    ck_assert(common[IDEM__PARAM_LEASE].number == 60000);
    ck_assert(common[IDEM__PARAM_TTL].number == 86400000);
    ck_assert(common[IDEM__PARAM_TIMEOUT].number == 5000);
    ck_assert(common[IDEM__PARAM_MAX_RESPONSE].number == 8u * 1024 * 1024);
    ck_assert_str_eq(common[IDEM__PARAM_PREFIX].text, "");
    ck_assert(own[0].number == 0 && !own[1].text && !own[2].text);
}
END_TEST

START_TEST(values_are_read)
{
    ck_assert_int_eq(parse("lease=500ms&ttl=2d&timeout=5m&max_response=64KiB&prefix=a%3Ab%26"
                           "&mode=normal&capacity=10&label=",
                           NULL),
                     IDEM_OK);
    ck_assert(common[IDEM__PARAM_LEASE].number == 500);
    ck_assert(common[IDEM__PARAM_TTL].number == 2u * 86400000);
    ck_assert(common[IDEM__PARAM_TIMEOUT].number == 300000);
    ck_assert(common[IDEM__PARAM_MAX_RESPONSE].number == 65536);
    ck_assert_str_eq(common[IDEM__PARAM_PREFIX].text, "a:b&");
    ck_assert(own[0].number == 1 && own[1].number == 10);
    ck_assert_str_eq(own[2].text, "");
}
END_TEST

typedef struct {
    const char *query;
    const char *says; /* a piece of the message */
} refusal;

static const refusal refusals[] = {
    {"colour=red", "\"colour\"; known ones: lease, ttl, prefix, max_response, timeout, open, "
                   "mode, capacity, label"},
    {"hunter2@host", "of this name; known ones: lease"},
    {"lease", "no value"},
    {"lease=", "500ms, 30s, 5m, 24h or 7d"},
    {"lease=30", "500ms, 30s, 5m, 24h or 7d"},
    {"lease=30sec", "option lease: \"30sec\" is no duration"},
    {"lease=-1s", "is no duration"},
    {"lease=0s", "is no duration"},
    {"lease=1.5s", "is no duration"},
    {"lease=%201s", "is no duration"},
    {"lease=36526d", "100 years"},
    {"open=later", "option open: it is one of now|lazy"},
    {"lease=99999999999999999999h", "is no duration"},
    {"lease=876601h", "100 years"},
    {"max_response=8MB", "64KiB or 8MiB"},
    {"max_response=257MiB", "256MiB"},
    {"max_response=18446744073709551616", "is no size"},
    {"mode=fast", "option mode: it is one of full|normal"},
    {"mode=ful", "one of"},
    {"capacity=0", "whole number from 1"},
    {"capacity=many", "whole number from 1"},
    {"capacity=99999999999999999999", "whole number from 1"},
    {"lease=1s&lease=2s", "twice"},
    {"capacity=1&capacity=1", "twice"},
    {"label=%zz", "malformed"},
    {"label=%00", "%00"},
    {"&", "\"\"; known ones"},
    {"=1", "\"\"; known ones"},
};

START_TEST(refusals_say_what_to_do)
{
    idem_error error = {0};
    ck_assert_msg(parse(refusals[_i].query, &error) == IDEM_ERR_ARGUMENT, "row %d", _i);
    ck_assert_msg(strstr(error.message, refusals[_i].says) != NULL, "row %d says: %s", _i,
                  error.message);
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
}
END_TEST

START_TEST(a_prefix_has_at_most_256_bytes)
{
    char text[400] = "prefix=";
    memset(text + 7, 'p', 256);
    ck_assert_int_eq(parse(text, NULL), IDEM_OK);
    text[7 + 256] = 'p';
    ck_assert_int_eq(parse(text, NULL), IDEM_ERR_ARGUMENT);
}
END_TEST

START_TEST(the_largest_values_are_read)
{
    uint64_t value = 0;
    ck_assert_int_eq(idem_duration_parse("3155760000000ms", &value, NULL), IDEM_OK);
    ck_assert(value == IDEM_DURATION_MAX_MS);
    ck_assert_int_eq(idem_duration_parse("876600h", &value, NULL), IDEM_OK);
    ck_assert(value == IDEM_DURATION_MAX_MS);
    ck_assert_int_eq(idem_duration_parse("3155760000001ms", &value, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_size_parse("1024GiB", &value, NULL), IDEM_OK);
    ck_assert(value == UINT64_C(1) << 40);
    ck_assert_int_eq(idem_size_parse("1025GiB", &value, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_size_parse("17", &value, NULL), IDEM_OK);
    ck_assert(value == 17);
    ck_assert_int_eq(idem_duration_parse(NULL, &value, NULL), IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem__units_count_parse("4611686018427387904", &value, NULL), IDEM_OK);
    ck_assert(value == UINT64_C(1) << 62);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("params");
    ADD(suite, defaults_are_filled_in);
    ADD(suite, values_are_read);
    ADD_ROWS(suite, refusals_say_what_to_do, refusals);
    ADD(suite, a_prefix_has_at_most_256_bytes);
    ADD(suite, the_largest_values_are_read);
    return run_suite(suite);
}
