/* SPDX-License-Identifier: MIT */
/*
 * Whose clock it is: time namespaces share one boot clock, a kernel of its own has another, and a
 * wall clock that is ahead takes no claim. What nobody can tell the age of ends all the same.
 */
#define _GNU_SOURCE /* unshare() */

#include "sqlite_support.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* How far the wall clock of this process is ahead. */
static int64_t ahead_ms;

int64_t __real_idem_wall_ms(void);
int64_t __wrap_idem_wall_ms(void);

int64_t __wrap_idem_wall_ms(void)
{
    return __real_idem_wall_ms() + ahead_ms;
}

static idem_outcome_kind begin_kind(idem_store *store, const char *key, uint64_t lease_ms,
                                    uint64_t *left_ms)
{
    idem_outcome outcome;
    idem_error error;
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .lease_ms = lease_ms), &outcome,
                   &error)) {
        (void)fprintf(stderr, "begin: %s\n", error.message);
        return 0;
    }
    idem_outcome_kind kind = outcome.kind;
    if (left_ms)
        *left_ms = outcome.retry_after_ms;
    idem_outcome_clear(&outcome);
    return kind;
}

/* As a command does it: opens the store for one begin. */
static idem_outcome_kind begin_once(const char *key, uint64_t lease_ms, uint64_t *left_ms)
{
    idem_store *store = NULL;
    idem_error error;
    if (idem_open(store_url("timeout=10s"), &store, &error)) {
        (void)fprintf(stderr, "open: %s\n", error.message);
        return 0;
    }
    idem_outcome_kind kind = begin_kind(store, key, lease_ms, left_ms);
    idem_close(store);
    return kind;
}

/* --------------------------------------------------------------------------------- namespaces */

static void write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHILD_CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

/* Runs a function in a time namespace of its own, and then in others, so that numbers of
   namespaces are given out again. */
static void in_time_namespace(long offset_s, void (*run)(void))
{
    char offset[64];
    pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWTIME))
            CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWTIME) == 0);
        (void)snprintf(offset, sizeof offset, "boottime %ld 0\n", offset_s);
        write_text("/proc/self/timens_offsets", offset);
        run_in_child(run);
        _exit(0);
    }
    join_child(outer);
}

static void claim_for_an_hour(void)
{
    CHILD_CHECK(begin_once("k", 3600000, NULL) == IDEM_NEW);
}

static void find_it_live(void)
{
    uint64_t left_ms = 0;
    CHILD_CHECK(begin_once("k", 3600000, &left_ms) == IDEM_IN_PROGRESS);
    CHILD_CHECK(left_ms > 3500000 && left_ms <= 3600000);
}

START_TEST(time_namespaces_share_one_clock)
{
    in_time_namespace(100000, claim_for_an_hour);
    in_time_namespace(200000, find_it_live);
    in_time_namespace(100000, find_it_live);
    run_in_child(find_it_live);
}
END_TEST

static void claim_briefly(void)
{
    CHILD_CHECK(begin_once("k", 50, NULL) == IDEM_NEW);
}

static void take_it_over(void)
{
    CHILD_CHECK(begin_once("k", 50, NULL) == IDEM_NEW);
}

START_TEST(a_claim_ends_in_every_time_namespace)
{
    in_time_namespace(200000, claim_briefly);
    sleep_ms(60);
    in_time_namespace(100000, take_it_over);
    sleep_ms(60);
    run_in_child(take_it_over);
}
END_TEST

/* The program has moved its children, not itself: what the kernel then tells is their offset. */
static void claim_beside_children(void)
{
    if (unshare(CLONE_NEWTIME))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWTIME) == 0);
    write_text("/proc/self/timens_offsets", "boottime 500000 0\n");
    claim_for_an_hour();
}

START_TEST(the_offset_of_children_is_not_ones_own)
{
    run_in_child(claim_beside_children);
    run_in_child(find_it_live);
}
END_TEST

/* ------------------------------------------------------------------------- a kernel of its own */

/* Makes this process one of another kernel, as far as a file of /proc tells. */
static void become_another_kernel(void)
{
    char path[112];
    (void)snprintf(path, sizeof path, "%s/boot_id", folder);
    FILE *file = fopen(path, "w");
    CHILD_CHECK(file && fprintf(file, "01234567-89ab-4cde-8f01-23456789abcd\n") > 0);
    CHILD_CHECK(fclose(file) == 0);
    if (unshare(CLONE_NEWNS))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHILD_CHECK(mount(path, "/proc/sys/kernel/random/boot_id", NULL, MS_BIND, NULL) == 0);
    ahead_ms = 120000;
}

static void find_it_live_elsewhere(void)
{
    become_another_kernel();
    CHILD_CHECK(begin_once("k", 60000, NULL) == IDEM_IN_PROGRESS);
    CHILD_CHECK(begin_once("done", 60000, NULL) == IDEM_COMPLETED);
}

START_TEST(a_clock_that_is_ahead_takes_no_live_claim)
{
    idem_error error;
    idem_store *store = open_store("ttl=90s");
    ck_assert_int_eq(begin_kind(store, "k", 60000, NULL), IDEM_NEW);
    ck_assert_idem_ok(book(store, "done", idem_str("1"), &error), error);
    idem_close(store);
    run_in_child(find_it_live_elsewhere);
    ck_assert_int_eq(begin_once("k", 60000, NULL), IDEM_IN_PROGRESS);
}
END_TEST

static void wait_for_its_end(void)
{
    become_another_kernel();
    CHILD_CHECK(begin_once("k", 60000, NULL) == IDEM_IN_PROGRESS);
    sleep_ms(350);
    CHILD_CHECK(begin_once("k", 60000, NULL) == IDEM_NEW);
}

START_TEST(a_claim_of_another_clock_ends_a_lease_after_it_was_seen)
{
    ck_assert_int_eq(begin_once("k", 300, NULL), IDEM_NEW);
    run_in_child(wait_for_its_end);
}
END_TEST

static void be_refused(void)
{
    idem_store *store = NULL;
    idem_error error;
    become_another_kernel();
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_ERR_UNAVAILABLE);
    CHILD_CHECK(strstr(error.message, "another boot id"));
}

/* fork() closes the connections of a store, so the one that is in use is opened by a child. */
START_TEST(two_kernels_at_once_are_refused)
{
    int ready[2];
    int over[2];
    char byte;
    ck_assert_int_eq(pipe(ready) | pipe(over), 0);
    pid_t holder = fork();
    if (holder == 0) {
        idem_store *store = NULL;
        (void)close(over[1]);
        CHILD_CHECK(idem_open(store_url(""), &store, NULL) == IDEM_OK);
        CHILD_CHECK(write(ready[1], "x", 1) == 1);
        CHILD_CHECK(read(over[0], &byte, 1) == 0);
        idem_close(store);
        _exit(0);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    run_in_child(be_refused);
    (void)close(over[1]);
    join_child(holder);
}
END_TEST

/* A mount in place of /proc: the wall clock has to do. */
static void begin_without_proc(void)
{
    if (unshare(CLONE_NEWNS))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHILD_CHECK(mount("none", "/proc", "tmpfs", 0, NULL) == 0);
    CHILD_CHECK(begin_once("k", 60000, NULL) == IDEM_IN_PROGRESS);
    CHILD_CHECK(begin_once("l", 60000, NULL) == IDEM_NEW);
}

START_TEST(without_proc_the_wall_clock_decides)
{
    ck_assert_int_eq(begin_once("k", 60000, NULL), IDEM_NEW);
    run_in_child(begin_without_proc);
    ck_assert_int_eq(begin_once("l", 60000, NULL), IDEM_IN_PROGRESS);
    file_exec("UPDATE idem_record SET at_wall_ms = at_wall_ms - 61000");
    ck_assert_int_eq(begin_once("k", 60000, NULL), IDEM_IN_PROGRESS); /* of this boot */
    ck_assert_int_eq(begin_once("l", 60000, NULL), IDEM_NEW);
}
END_TEST

/* --------------------------------------------------------------------- dated into the future */

#define FROM_THE_FUTURE                                                                  \
    "UPDATE idem_record SET at_boot_id = 1, at_boot_ms = %d, at_wall_ms = at_wall_ms + " \
    "31536000000"

static void date_into_the_future(int boot_ms)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql, FROM_THE_FUTURE, boot_ms);
    file_exec(sql);
}

/* As by a machine that was set back to a snapshot of itself: its boot is the same, and its clock is
   behind. */
static void date_ahead_of_this_boot(void)
{
    file_exec("UPDATE idem_record SET at_boot_ms = at_boot_ms + 31536000000,"
              " at_wall_ms = at_wall_ms + 31536000000");
}

/* Of another boot, with and without a boot clock, and of this one. */
START_TEST(a_claim_of_the_future_ends_a_lease_after_it_was_seen)
{
    uint64_t left_ms = 0;
    ck_assert_int_eq(begin_once("k", 300, NULL), IDEM_NEW);
    if (_i == 2)
        date_ahead_of_this_boot();
    else
        date_into_the_future(_i * 4711);
    ck_assert_int_eq(begin_once("k", 300, &left_ms), IDEM_IN_PROGRESS);
    ck_assert_uint_le(left_ms, 300);
    sleep_ms(350);
    ck_assert_int_eq(begin_once("k", 300, NULL), IDEM_NEW);
}
END_TEST

START_TEST(a_response_of_the_future_expires)
{
    idem_error error;
    uint64_t removed = 1;
    idem_store *store = open_store("ttl=300ms");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    if (_i == 0)
        date_into_the_future(4711);
    else
        date_ahead_of_this_boot();
    ck_assert_idem_ok(idem_purge(store, 0, &removed, &error), error);
    ck_assert_uint_eq(removed, 0);
    sleep_ms(350);
    ck_assert_idem_ok(idem_purge(store, 0, &removed, &error), error);
    ck_assert_uint_eq(removed, 1);
    idem_close(store);
}
END_TEST

/* What is rolled back each time is remembered by the handle. */
START_TEST(a_transaction_that_is_rolled_back_waits_no_longer)
{
    idem_error error;
    idem_store *joined = NULL;
    sqlite3 *db = raw_open(store_path);
    ck_assert_idem_ok(idem_sqlite_open_on(db, NULL, &joined, &error), error);
    ck_assert_int_eq(begin_kind(joined, "k", 300, NULL), IDEM_NEW);
    date_into_the_future(4711);
    for (int i = 0; i < 2; i++) {
        raw_exec(db, "BEGIN IMMEDIATE");
        ck_assert_int_eq(begin_kind(joined, "k", 300, NULL), i ? IDEM_NEW : IDEM_IN_PROGRESS);
        raw_exec(db, "ROLLBACK");
        sleep_ms(350);
    }
    idem_close(joined);
    (void)sqlite3_close(db);
}
END_TEST

START_TEST(an_earlier_boot_is_judged_by_the_wall_clock)
{
    ck_assert_int_eq(begin_once("k", 60000, NULL), IDEM_NEW);
    file_exec("UPDATE idem_record SET at_boot_id = 1, at_boot_ms = 4711,"
              " at_wall_ms = at_wall_ms - 30000000000");
    ck_assert_int_eq(begin_once("k", 60000, NULL), IDEM_NEW);
}
END_TEST

static char found[4096];

static void take_finding(void *user, const idem_finding *finding)
{
    size_t len = strlen(found);
    (void)user;
    (void)snprintf(found + len, sizeof found - len, "%s\n", finding->what);
}

START_TEST(records_of_another_clock_are_found)
{
    idem_store *store = open_store("");
    ck_assert_int_eq(begin_kind(store, "k", 60000, NULL), IDEM_NEW);
    ck_assert_int_eq(idem_check(store, take_finding, NULL, NULL), IDEM_OK);
    ck_assert_ptr_null(strstr(found, "another clock"));
    date_into_the_future(4711);
    ck_assert_int_eq(idem_check(store, take_finding, NULL, NULL), IDEM_OK);
    ck_assert_msg(strstr(found, "has 1 records that another clock dates") != NULL, "%s", found);
    ck_assert_int_eq(begin_kind(store, "l", 60000, NULL), IDEM_NEW);
    file_exec("UPDATE idem_record SET at_boot_ms = at_boot_ms + 11000 WHERE key = X'6c'");
    ck_assert_int_eq(idem_check(store, take_finding, NULL, NULL), IDEM_OK);
    ck_assert_msg(strstr(found, "has 2 records that another clock dates") != NULL, "%s", found);
    idem_close(store);
}
END_TEST

int main(void)
{
    static const int boots[3];
    static const int ways[2];
    Suite *suite = suite_create("sqlite_clock");
    ADD_IN_FOLDER(suite, time_namespaces_share_one_clock);
    ADD_IN_FOLDER(suite, a_claim_ends_in_every_time_namespace);
    ADD_IN_FOLDER(suite, the_offset_of_children_is_not_ones_own);
    ADD_IN_FOLDER(suite, a_clock_that_is_ahead_takes_no_live_claim);
    ADD_IN_FOLDER(suite, a_claim_of_another_clock_ends_a_lease_after_it_was_seen);
    ADD_IN_FOLDER(suite, two_kernels_at_once_are_refused);
    ADD_IN_FOLDER(suite, without_proc_the_wall_clock_decides);
    ADD_ROWS_IN_FOLDER(suite, a_claim_of_the_future_ends_a_lease_after_it_was_seen, boots);
    ADD_ROWS_IN_FOLDER(suite, a_response_of_the_future_expires, ways);
    ADD_IN_FOLDER(suite, a_transaction_that_is_rolled_back_waits_no_longer);
    ADD_IN_FOLDER(suite, an_earlier_boot_is_judged_by_the_wall_clock);
    ADD_IN_FOLDER(suite, records_of_another_clock_are_found);
    return run_suite(suite);
}
