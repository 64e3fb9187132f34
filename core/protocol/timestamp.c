/* SPDX-License-Identifier: MIT */
/*
 * RFC 3339 times by integer arithmetic alone. Every record has two, and struct tm, strftime() and
 * sscanf() took longer than the rest of a record together.
 *
 * Days are counted from a 1 March that begins a cycle of 400 years, so that the leap day is a
 * year's last. See Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#include "timestamp.h"

#include <string.h>

#define MAX_MS         INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */
#define MIN_MS         INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define DAY_MS         86400000u
#define CYCLE_DAYS     146097u /* of 400 years */
#define DAYS_TO_UNIX   865565u /* from -0400-03-01 to 1970-01-01 */
#define CYCLE_YEARS    400u
#define TEXT_LEN_MAX   39u
#define WITHOUT_MS     "0000-00-00T00:00:00"
#define WITHOUT_MS_LEN (sizeof WITHOUT_MS - 1)

/* A year that begins in March, and how many of its days have passed. */
typedef struct {
    uint32_t year; /* from -0400 on */
    uint32_t day;
} march_date;

/* The days of such a year before its n-th month, March being 0. */
static uint32_t days_before(uint32_t month)
{
    return (153 * month + 2) / 5;
}

static march_date date_of(uint32_t days)
{
    uint32_t cycle = days / CYCLE_DAYS;
    uint32_t rest = days % CYCLE_DAYS;
    uint32_t year = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    return (march_date){cycle * CYCLE_YEARS + year, rest - (365 * year + year / 4 - year / 100)};
}

static uint32_t days_of(march_date date)
{
    uint32_t year = date.year % CYCLE_YEARS;
    return date.year / CYCLE_YEARS * CYCLE_DAYS + 365 * year + year / 4 - year / 100 + date.day;
}

/* ----------------------------------------------------------------------------------- writing */

static char *write_digits(char *at, uint32_t number, size_t count, char behind)
{
    for (size_t i = count; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
    at[count] = behind;
    return at + count + 1;
}

char *idem__timestamp_write(int64_t unix_ms, char *at)
{
    int64_t ms = unix_ms < MIN_MS ? MIN_MS : unix_ms > MAX_MS ? MAX_MS : unix_ms;
    uint64_t since_ms = (uint64_t)(ms + (int64_t)DAYS_TO_UNIX * DAY_MS);
    uint32_t of_day = (uint32_t)(since_ms % DAY_MS);
    march_date date = date_of((uint32_t)(since_ms / DAY_MS));
    uint32_t month = (5 * date.day + 2) / 153;
    uint32_t year = date.year + (month >= 10) - CYCLE_YEARS;
    at = write_digits(at, year, 4, '-');
    at = write_digits(at, month < 10 ? month + 3 : month - 9, 2, '-');
    at = write_digits(at, date.day - days_before(month) + 1, 2, 'T');
    at = write_digits(at, of_day / 3600000, 2, ':');
    at = write_digits(at, of_day / 60000 % 60, 2, ':');
    at = write_digits(at, of_day / 1000 % 60, 2, '.');
    return write_digits(at, of_day % 1000, 3, 'Z');
}

/* ----------------------------------------------------------------------------------- reading */

/* True if every 0 of the pattern meets a digit, and everything else meets itself. */
static bool matches(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++) {
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return false;
    }
    return true;
}

static uint32_t read_digits(const char *at, size_t count)
{
    uint32_t number = 0;
    for (size_t i = 0; i < count; i++)
        number = number * 10 + (uint32_t)(at[i] - '0');
    return number;
}

static uint32_t days_in(uint32_t year, uint32_t month)
{
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2)
        return leap ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Reads what matches WITHOUT_MS, in seconds. False if there is no such moment. */
static bool read_moment(const char *text, int64_t *unix_s)
{
    uint32_t year = read_digits(text, 4);
    uint32_t month = read_digits(text + 5, 2);
    uint32_t day = read_digits(text + 8, 2);
    uint32_t hour = read_digits(text + 11, 2);
    uint32_t minute = read_digits(text + 14, 2);
    uint32_t second = read_digits(text + 17, 2);
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return false;
    march_date date = {year + CYCLE_YEARS - (month < 3),
                       days_before(month < 3 ? month + 9 : month - 3) + day - 1};
    int64_t days = (int64_t)days_of(date) - (int64_t)DAYS_TO_UNIX;
    *unix_s = days * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

bool idem__timestamp_read(idem_bytes text, int64_t *unix_ms)
{
    char copy[TEXT_LEN_MAX + 1];
    int64_t unix_s;
    if (text.len > TEXT_LEN_MAX || text.len < WITHOUT_MS_LEN)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (!matches(copy, WITHOUT_MS) || !read_moment(copy, &unix_s))
        return false;
    uint32_t ms = 0;
    const char *at = copy + WITHOUT_MS_LEN;
    if (*at == '.') {
        uint32_t scale = 100;
        for (at++; *at >= '0' && *at <= '9'; at++, scale /= 10)
            ms += (uint32_t)(*at - '0') * scale;
    }
    *unix_ms = unix_s * 1000 + ms;
    return at + 1 == copy + text.len && *at == 'Z' && *unix_ms <= MAX_MS;
}
