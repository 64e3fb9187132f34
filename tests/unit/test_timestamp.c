/* SPDX-License-Identifier: MIT */
/* Times as text, held against the C library's calendar: every eleventh day of ten thousand years, and the days
   around the end of every February. */
#include <timestamp.h>

#include "runner.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FIRST_S INT64_C(-62167219200) /* 0000-01-01 */
#define LAST_S  INT64_C(253402300799) /* the end of 9999 */
#define DAY_S   86400

/* Writes and reads one time, and asks the C library what is right. */
static void compare(int64_t unix_ms)
{
    struct tm parts;
    char right[64];
    char text[IDEM__TIMESTAMP_LEN + 1] = "";
    int64_t read_ms = 0;
    int64_t since_ms = unix_ms - FIRST_S * 1000;
    time_t seconds = (time_t)(since_ms / 1000 + FIRST_S);
    (void)gmtime_r(&seconds, &parts);
    (void)snprintf(right, sizeof right, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                   (int)(since_ms % 1000));
    const char *end = idem__timestamp_write(unix_ms, text);
    bool same = end == text + IDEM__TIMESTAMP_LEN && strcmp(text, right) == 0 &&
                idem__timestamp_read(idem_str(text), &read_ms) && read_ms == unix_ms;
    if (!same) /* an assertion for each of so many would take seconds */
        ck_abort_msg("%s was written as %s and read as %lld", right, text, (long long)read_ms);
}

START_TEST(days_are_those_of_the_calendar)
{
    for (int64_t second = FIRST_S; second <= LAST_S; second += 11 * DAY_S + 7919)
        compare(second * 1000 + (second & 1023) % 1000);
    compare(FIRST_S * 1000);
    compare(LAST_S * 1000 + 999);
}
END_TEST

START_TEST(every_february_ends_where_it_ends)
{
    for (int year = 0; year < 10000; year++) {
        struct tm march = {.tm_year = year - 1900, .tm_mon = 2, .tm_mday = 1};
        struct tm leap_day = {.tm_year = year - 1900, .tm_mon = 1, .tm_mday = 29};
        int64_t march_s = timegm(&march);
        char text[32];
        int64_t read_ms;
        compare(march_s * 1000);
        compare(march_s * 1000 - 1);
        (void)snprintf(text, sizeof text, "%04d-02-29T12:00:00Z", year);
        (void)timegm(&leap_day);
        if (idem__timestamp_read(idem_str(text), &read_ms) != (leap_day.tm_mon == 1))
            ck_abort_msg("%s is not judged as the calendar does", text);
    }
}
END_TEST

START_TEST(what_has_no_four_digits_is_the_end_of_those_that_have)
{
    char text[IDEM__TIMESTAMP_LEN + 1] = "";
    (void)idem__timestamp_write(INT64_MIN, text);
    ck_assert_str_eq(text, "0000-01-01T00:00:00.000Z");
    (void)idem__timestamp_write(INT64_MAX, text);
    ck_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
}
END_TEST

static const struct {
    const char *text;
    int64_t unix_ms; /* -1: it is none */
} texts[] = {
    {"1970-01-01T00:00:01Z", 1000},
    {"1970-01-01T00:00:01.Z", 1000},
    {"1970-01-01T00:00:01.5Z", 1500},
    {"1970-01-01T00:00:01.1234567890Z", 1123},
    {"1970-01-01T00:00:60Z", 60000},
    {"1970-01-01T00:00:61Z", -1},
    {"1970-01-01T00:60:00Z", -1},
    {"1970-01-01T24:00:00Z", -1},
    {"1970-01-32T00:00:00Z", -1},
    {"1970-04-31T00:00:00Z", -1},
    {"1970-01-00T00:00:00Z", -1},
    {"1970-00-01T00:00:00Z", -1},
    {"1970-13-01T00:00:00Z", -1},
    {"9999-12-31T23:59:60Z", -1},
    {"1970-01-01T00:00:01", -1},
    {"1970-01-01T00:00:01+00:00", -1},
    {"1970-01-01T00:00:01ZZ", -1},
    {"1970-01-01 00:00:01Z", -1},
    {"1970-01-01T00:00:0aZ", -1},
    {"1970-01-01T00:00:01.00000000000000000000Z", -1}, /* longer than any writer's */
    {"1970-01-01", -1},
    {"", -1},
};

START_TEST(a_text_is_a_time_or_it_is_not)
{
    int64_t unix_ms = -1;
    bool is_time = idem__timestamp_read(idem_str(texts[_i].text), &unix_ms);
    ck_assert_int_eq(is_time, texts[_i].unix_ms >= 0);
    if (is_time)
        ck_assert_int_eq(unix_ms, texts[_i].unix_ms);
}
END_TEST

/* A NUL inside is a byte like any other. */
START_TEST(what_follows_a_nul_is_seen)
{
    static const char text[] = "1970-01-01T00:00:01Z\0Z";
    int64_t unix_ms;
    ck_assert(!idem__timestamp_read((idem_bytes){text, sizeof text - 1}, &unix_ms));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timestamp");
    ADD(suite, days_are_those_of_the_calendar);
    ADD(suite, every_february_ends_where_it_ends);
    ADD(suite, what_has_no_four_digits_is_the_end_of_those_that_have);
    ADD_ROWS(suite, a_text_is_a_time_or_it_is_not, texts);
    ADD(suite, what_follows_a_nul_is_seen);
    return run_suite(suite);
}
