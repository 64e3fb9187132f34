/* SPDX-License-Identifier: MIT */
/*
 * PostgreSQL keeps time by its server's wall clock. What follows if that clock is set: forth, and
 * leases and records end early by as much; back, and they end late. The versions hold all the same:
 * an owner that was overtaken is told so. The server runs on libfaketime.
 */
#include "pg_test.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_S  3600
#define SKIPPED 77

static pg_server server;
static idem_store *store;
static char offset[] = "/tmp/idem-pg-clock-XXXXXX";

/* In one step: a reader finds the old offset or the new one. */
static void set_server_clock(int seconds)
{
    char fresh[64];
    (void)snprintf(fresh, sizeof fresh, "%s.new", offset);
    FILE *file = fopen(fresh, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_gt(fprintf(file, "%+d\n", seconds), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(fresh, 0644), 0);
    ck_assert_int_eq(rename(fresh, offset), 0);
}

static void set_up(void)
{
    set_server_clock(0);
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record");
    store = open_url(server.url, "");
}

static void tear_down(void)
{
    idem_close(store);
}

START_TEST(a_clock_that_is_set_forth_ends_a_lease_early_and_its_owner_is_told)
{
    idem_outcome first = claim(store, KEY);
    assert_begin(store, KEY, IDEM_IN_PROGRESS);
    set_server_clock(HOUR_S);
    idem_outcome second = begin_key(store, KEY);
    ck_assert_int_eq(second.kind, IDEM_NEW);
    ck_assert_uint_eq(second.attempt, 2);
    assert_code(IDEM_ERR_LOST, idem_complete(store, first.claim, idem_str("1"), &err));
    assert_ok(idem_complete(store, second.claim, idem_str("2"), &err));
    idem_outcome_clear(&first);
    idem_outcome_clear(&second);
    assert_replays(store, KEY, "2");
}
END_TEST

START_TEST(a_clock_that_is_set_back_ends_a_lease_late_and_takes_no_live_claim)
{
    idem_outcome first = claim(store, KEY);
    set_server_clock(-HOUR_S);
    idem_outcome second = begin_key(store, KEY);
    ck_assert_int_eq(second.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_le(second.retry_after_ms, LONG_MS);
    assert_ok(idem_complete(store, first.claim, idem_str("1"), &err));
    idem_outcome_clear(&first);
    idem_outcome_clear(&second);
    assert_replays(store, KEY, "1");
}
END_TEST

START_TEST(a_clock_that_is_set_forth_by_a_year_ends_what_is_kept_for_a_day)
{
    complete(store, KEY, "1");
    set_server_clock(366 * 24 * HOUR_S);
    idem_outcome out = claim(store, KEY);
    idem_outcome_clear(&out);
}
END_TEST

static void faketime_require(void)
{
    const char *must = getenv("IDEM_SKIPS_FAIL");
    if (access(FAKETIME, R_OK) == 0)
        return;
    (void)fprintf(stderr, "libfaketime is not there (Debian: faketime)\n");
    exit(must && strcmp(must, "1") == 0 ? EXIT_FAILURE : SKIPPED);
}

int main(void)
{
    static char library[400];
    static char file[100];
    static const char *const words[] = {"env",
                                        library,
                                        file,
                                        "DONT_FAKE_MONOTONIC=1",
                                        "FAKETIME_NO_CACHE=1",
                                        "FAKETIME_DONT_RESET=1",
                                        NULL};
    pg_require();
    faketime_require();
    int fd = mkstemp(offset);
    if (fd < 0 || fchmod(fd, 0644) != 0 || write(fd, "+0\n", 3) != 3 || close(fd) != 0)
        return EXIT_FAILURE;
    (void)snprintf(library, sizeof library, "LD_PRELOAD=%s", FAKETIME);
    (void)snprintf(file, sizeof file, "FAKETIME_TIMESTAMP_FILE=%s", offset);
    pg_start_with(words);
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres and its server's clock");
    ADD_HERE(suite, a_clock_that_is_set_forth_ends_a_lease_early_and_its_owner_is_told, 1);
    ADD_HERE(suite, a_clock_that_is_set_back_ends_a_lease_late_and_takes_no_live_claim, 1);
    ADD_HERE(suite, a_clock_that_is_set_forth_by_a_year_ends_what_is_kept_for_a_day, 1);
    int code = run_suite(suite);
    (void)unlink(offset);
    return code;
}
