/* SPDX-License-Identifier: MIT */
/* Durations, sizes and counts: what each text means, and that all other texts are refused. */
#include "units.h"

#include "runner.h"

typedef int (*reader)(const char *text, uint64_t *value, idem_error *error);

static const struct {
    reader read;
    const char *text;
    uint64_t value; /* 0: refused */
} rows[] = {
    {idem_duration_parse, "1ms", 1},
    {idem_duration_parse, "500ms", 500},
    {idem_duration_parse, "30s", 30000},
    {idem_duration_parse, "5m", 300000},
    {idem_duration_parse, "24h", 86400000},
    {idem_duration_parse, "7d", 604800000},
    {idem_duration_parse, "007s", 7000},
    {idem_duration_parse, "3155760000000ms", IDEM_DURATION_MAX_MS},
    {idem_duration_parse, "3155760000s", IDEM_DURATION_MAX_MS},
    {idem_duration_parse, "3155760000001ms", 0},
    {idem_duration_parse, "3155760001s", 0},
    {idem_duration_parse, "36526d", 0},
    {idem_duration_parse, "18446744073709551617ms", 0},
    {idem_duration_parse, "99999999999999999999999d", 0},
    {idem_duration_parse, "30", 0},
    {idem_duration_parse, "0s", 0},
    {idem_duration_parse, "s", 0},
    {idem_duration_parse, "", 0},
    {idem_duration_parse, "-1s", 0},
    {idem_duration_parse, "+1s", 0},
    {idem_duration_parse, "1.5s", 0},
    {idem_duration_parse, "1 s", 0},
    {idem_duration_parse, " 1s", 0},
    {idem_duration_parse, "1s ", 0},
    {idem_duration_parse, "1S", 0},
    {idem_duration_parse, "1h30m", 0},
    {idem_duration_parse, "1KiB", 0},
    {idem_size_parse, "17", 17},
    {idem_size_parse, "17B", 17},
    {idem_size_parse, "64KiB", 65536},
    {idem_size_parse, "8MiB", 8388608},
    {idem_size_parse, "2GiB", UINT64_C(2147483648)},
    {idem_size_parse, "1024GiB", UINT64_C(1) << 40},
    {idem_size_parse, "1025GiB", 0},
    {idem_size_parse, "1099511627777", 0},
    {idem_size_parse, "1KB", 0},
    {idem_size_parse, "1kiB", 0},
    {idem_size_parse, "0", 0},
    {idem_size_parse, "1s", 0},
    {idem__units_count_parse, "1", 1},
    {idem__units_count_parse, "4611686018427387904", UINT64_C(1) << 62},
    {idem__units_count_parse, "4611686018427387905", 0},
    {idem__units_count_parse, "18446744073709551617", 0}, /* 2^64 + 1 */
    {idem__units_count_parse, "0", 0},
    {idem__units_count_parse, "1B", 0},
    {idem__units_count_parse, "0x10", 0},
};

START_TEST(a_text_means_what_it_says_or_is_refused)
{
    uint64_t value = 4242;
    idem_error error = {0};
    int rc = rows[_i].read(rows[_i].text, &value, &error);
    if (rows[_i].value) {
        ck_assert_msg(rc == IDEM_OK, "%s: %s", rows[_i].text, error.message);
        ck_assert_msg(value == rows[_i].value, "%s: %llu", rows[_i].text,
                      (unsigned long long)value);
        return;
    }
    ck_assert_msg(rc == IDEM_ERR_ARGUMENT, "%s was read", rows[_i].text);
    ck_assert_int_eq(error.code, IDEM_ERR_ARGUMENT);
    ck_assert_msg(value == 4242, "%s: the value was written", rows[_i].text);
    ck_assert_ptr_nonnull(strstr(error.message, rows[_i].text));
}
END_TEST

/* An example in a message has to be one that is read. */
START_TEST(the_examples_of_the_messages_are_read)
{
    static const char *const durations[] = {"500ms", "30s", "5m", "24h", "7d", "1ms"};
    static const char *const sizes[] = {"64KiB", "8MiB", "1B", "1024GiB"};
    uint64_t value;
    idem_error error = {.code = IDEM_OK};
    ck_assert_int_eq(idem_duration_parse("x", &value, &error), IDEM_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        ck_assert_ptr_nonnull(strstr(error.message, durations[i]));
        ck_assert_int_eq(idem_duration_parse(durations[i], &value, NULL), IDEM_OK);
    }
    error.code = IDEM_OK;
    ck_assert_int_eq(idem_size_parse("x", &value, &error), IDEM_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ck_assert_ptr_nonnull(strstr(error.message, sizes[i]));
        ck_assert_int_eq(idem_size_parse(sizes[i], &value, NULL), IDEM_OK);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    ADD_ROWS(suite, a_text_means_what_it_says_or_is_refused, rows);
    ADD(suite, the_examples_of_the_messages_are_read);
    return run_suite(suite);
}
