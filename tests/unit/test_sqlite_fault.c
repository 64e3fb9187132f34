/* SPDX-License-Identifier: MIT */
/*
 * What SQLite reports, and what the library makes of it: each result code, with the system's own
 * error behind it. That one is put there by the test, in SQLite's place.
 */
#include "sqlite/lock.h"

#include "runner.h"

#include <errno.h>
#include <stdio.h>

/* What SQLite says about the last call on the connection. */
static int extended_code;
static int system_number;

int __wrap_sqlite3_extended_errcode(sqlite3 *db);
int __wrap_sqlite3_system_errno(sqlite3 *db);

int __wrap_sqlite3_extended_errcode(sqlite3 *db)
{
    (void)db;
    return extended_code;
}

int __wrap_sqlite3_system_errno(sqlite3 *db)
{
    (void)db;
    return system_number;
}

static idem__sqlite self;

static void set_up(void)
{
    memset(&self, 0, sizeof self);
    (void)snprintf(self.name, sizeof self.name, "SQLite file \"x\"");
    ck_assert_int_eq(sqlite3_open(":memory:", &self.db), SQLITE_OK);
    extended_code = SQLITE_OK;
    system_number = 0;
}

static void tear_down(void)
{
    (void)sqlite3_close(self.db);
}

typedef struct {
    int code;
    int number;
    int expected;
    bool permanent;
    bool of_one_op;
    const char *says;
} row;

static const row rows[] = {
    {SQLITE_READONLY, 0, IDEM_ERR_UNAVAILABLE, true, false, "can't be written"},
    {SQLITE_READONLY_DBMOVED, 0, IDEM_ERR_UNAVAILABLE, true, false, "can't be written"},
    {SQLITE_FULL, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_READ, EIO, IDEM_ERR_UNAVAILABLE, false, false, "(Input/output error)"},
    {SQLITE_IOERR_READ, ENOSPC, IDEM_ERR_UNAVAILABLE, false, false, "check its disk"},
    {SQLITE_IOERR_WRITE, EIO, IDEM_ERR_UNAVAILABLE, false, false, "check its disk"},
    {SQLITE_IOERR_WRITE, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_WRITE, EDQUOT, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_FSYNC, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_DIR_FSYNC, EDQUOT, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_TRUNCATE, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_SHMOPEN, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_SHMMAP, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_SHMSIZE, 0, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_IOERR_NOMEM, 0, IDEM_ERR_NO_MEMORY, true, false, "more memory"},
    {SQLITE_CORRUPT, 0, IDEM_ERR_CORRUPT, true, true, "is damaged"},
    {SQLITE_CORRUPT_INDEX, 0, IDEM_ERR_CORRUPT, true, true, "is damaged"},
    {SQLITE_NOTADB, 0, IDEM_ERR_CORRUPT, true, false, "is not a SQLite database"},
    {SQLITE_CANTOPEN, EACCES, IDEM_ERR_UNAVAILABLE, true, false, "(Permission denied)"},
    {SQLITE_CANTOPEN, ENOSPC, IDEM_ERR_FULL, true, false, "is full"},
    {SQLITE_CANTOPEN, 0, IDEM_ERR_UNAVAILABLE, true, false, "can't be opened"},
    {SQLITE_CANTOPEN, EMFILE, IDEM_ERR_UNAVAILABLE, true, false, "ulimit -n"},
    {SQLITE_CANTOPEN, ENFILE, IDEM_ERR_UNAVAILABLE, true, false, "fs.file-max"},
    {SQLITE_CANTOPEN, ENOTDIR, IDEM_ERR_UNAVAILABLE, true, false, "no folder"},
    {SQLITE_CANTOPEN, ELOOP, IDEM_ERR_UNAVAILABLE, true, false, "in a circle"},
    {SQLITE_CANTOPEN, ENAMETOOLONG, IDEM_ERR_UNAVAILABLE, true, false, "too long"},
    {SQLITE_CANTOPEN, EISDIR, IDEM_ERR_UNAVAILABLE, true, false, "it is a folder"},
    {SQLITE_CANTOPEN, EROFS, IDEM_ERR_UNAVAILABLE, true, false, "can only be read"},
    {SQLITE_CANTOPEN, ENOMEM, IDEM_ERR_UNAVAILABLE, true, false, "more memory"},
    {SQLITE_FULL, EFBIG, IDEM_ERR_FULL, true, false, "ulimit -f"},
    {SQLITE_PERM, 0, IDEM_ERR_UNAVAILABLE, true, false, "may not be used"},
    {SQLITE_AUTH, 0, IDEM_ERR_UNAVAILABLE, true, false, "an authorizer that refused"},
    {SQLITE_NOMEM, 0, IDEM_ERR_NO_MEMORY, true, false, "more memory"},
    {SQLITE_TOOBIG, 0, IDEM_ERR_TOO_LARGE, true, true, "a value of this size"},
    {SQLITE_INTERRUPT, 0, IDEM_ERR_UNAVAILABLE, false, false, "was interrupted"},
    {SQLITE_ERROR, 0, IDEM_ERR_CORRUPT, true, true, "(not an error)"},
    {SQLITE_SCHEMA, 0, IDEM_ERR_UNAVAILABLE, false, true, "keep being changed"},
    {SQLITE_CONSTRAINT_UNIQUE, 0, IDEM_ERR_CORRUPT, true, true, "did not make"},
    {SQLITE_MISUSE, 0, IDEM_ERR_INTERNAL, true, true, "failed"},
};

static void check_row(const row *expected, const idem__sqlite_fault *fault, int given)
{
    ck_assert_int_eq(given, expected->expected);
    ck_assert_int_eq(fault->error.code, expected->expected);
    ck_assert(fault->permanent == expected->permanent);
    ck_assert(fault->of_one_op == expected->of_one_op);
    ck_assert_msg(strstr(fault->error.message, expected->says) != NULL, "%s", fault->error.message);
    ck_assert_msg(strncmp(fault->error.message, "SQLite file \"x\"", 15) == 0, "%s",
                  fault->error.message);
}

/* The call returns the primary code, as it does without extended ones; the connection knows
   more. */
START_TEST(each_code_says_what_it_is_and_what_to_do)
{
    idem__sqlite_fault fault = {0};
    extended_code = rows[_i].code;
    system_number = rows[_i].number;
    check_row(&rows[_i], &fault, idem__sqlite_fault_take(&self, rows[_i].code & 0xff, &fault));
}
END_TEST

/* What the connection says is about another call: the code itself counts. */
START_TEST(a_code_that_the_connection_does_not_know_counts_itself)
{
    idem__sqlite_fault fault = {0};
    extended_code = SQLITE_IOERR_SHMSIZE;
    ck_assert_int_eq(idem__sqlite_fault_take(&self, SQLITE_PERM, &fault), IDEM_ERR_UNAVAILABLE);
    ck_assert(fault.permanent);
}
END_TEST

/* Where opening has failed for want of memory there is no connection. */
START_TEST(without_a_connection_the_code_itself_counts)
{
    idem__sqlite none = {.name = "SQLite file \"x\""};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        idem__sqlite_fault fault = {0};
        int expected = rows[i].number ? 0 : rows[i].expected;
        int given = idem__sqlite_fault_take(&none, rows[i].code, &fault);
        ck_assert_msg(given == expected || !expected, "row %zu: %d", i, given);
    }
}
END_TEST

START_TEST(the_first_fault_stands)
{
    idem__sqlite_fault fault = {0};
    (void)idem__sqlite_fault_take(&self, SQLITE_PERM, &fault);
    ck_assert_int_eq(idem__sqlite_fault_set(&fault, false, IDEM_ERR_FULL, "another"),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_null(strstr(fault.error.message, "another"));
    ck_assert(fault.permanent);
}
END_TEST

START_TEST(locks_say_which_time_was_too_short)
{
    static const int locks[] = {SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_LOCKED, SQLITE_PROTOCOL};
    for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++) {
        idem__sqlite_fault late = {0};
        idem__sqlite_fault early = {0};
        self.busy_timeout_ms = UINT64_MAX;
        idem__sqlite_lock_enter(&self, idem_monotonic_ms() + 100);
        ck_assert_int_eq(idem__sqlite_fault_take(&self, locks[i], &late), IDEM_ERR_UNAVAILABLE);
        ck_assert(!late.permanent);
        ck_assert_ptr_nonnull(strstr(late.error.message, "a longer timeout"));
        self.busy_timeout_ms = 1;
        idem__sqlite_lock_enter(&self, idem_monotonic_ms() + 60000);
        ck_assert_int_eq(idem__sqlite_fault_take(&self, locks[i], &early), IDEM_ERR_UNAVAILABLE);
        ck_assert(early.permanent);
        ck_assert_ptr_nonnull(strstr(early.error.message, "a longer busy_timeout"));
    }
    /* A deadline that is over leaves busy_timeout nothing to shorten. */
    idem__sqlite_lock_enter(&self, 1);
    ck_assert_uint_eq(self.give_up_ms, 1);
    ck_assert_int_eq(idem__sqlite_lock_wait(&self, 0), 0);
}
END_TEST

START_TEST(only_locks_may_pass)
{
    ck_assert(idem__sqlite_lock_may_pass(&self, SQLITE_BUSY));
    ck_assert(idem__sqlite_lock_may_pass(&self, SQLITE_BUSY_RECOVERY));
    ck_assert(idem__sqlite_lock_may_pass(&self, SQLITE_PROTOCOL));
    ck_assert(idem__sqlite_lock_may_pass(&self, SQLITE_LOCKED_SHAREDCACHE));
    ck_assert(!idem__sqlite_lock_may_pass(&self, SQLITE_LOCKED));
    ck_assert(!idem__sqlite_lock_may_pass(&self, SQLITE_IOERR));
    ck_assert(idem__sqlite_lock_may_pass(&self, SQLITE_BUSY_SNAPSHOT));
    ck_assert_int_eq(
        sqlite3_exec(self.db, "CREATE TABLE t (a); BEGIN; SELECT * FROM t", NULL, NULL, NULL),
        SQLITE_OK);
    ck_assert(!idem__sqlite_lock_may_pass(&self, SQLITE_BUSY_SNAPSHOT));
}
END_TEST

/* A commit that failed where it could still have been made is uncertain; one that is void is
   not. */
static const struct {
    int code;
    int number;
    bool nested;
    int expected;
} commits[] = {
    {SQLITE_BUSY, 0, false, IDEM_ERR_UNAVAILABLE},
    {SQLITE_LOCKED, 0, false, IDEM_ERR_UNAVAILABLE},
    {SQLITE_READONLY, 0, false, IDEM_ERR_UNAVAILABLE},
    {SQLITE_FULL, ENOSPC, false, IDEM_ERR_FULL},
    {SQLITE_IOERR_WRITE, ENOSPC, false, IDEM_ERR_FULL},
    {SQLITE_IOERR_WRITE, EIO, false, IDEM_ERR_UNCERTAIN},
    {SQLITE_IOERR_FSYNC, ENOSPC, false, IDEM_ERR_UNCERTAIN},
    {SQLITE_IOERR_FSYNC, EIO, false, IDEM_ERR_UNCERTAIN},
    {SQLITE_NOMEM, 0, false, IDEM_ERR_UNCERTAIN},
    {SQLITE_IOERR_FSYNC, EIO, true, IDEM_ERR_UNAVAILABLE}, /* a savepoint's: nothing is made yet */
};

START_TEST(a_commit_that_may_have_been_made_is_uncertain)
{
    idem__sqlite_fault fault = {0};
    self.nested = commits[_i].nested;
    extended_code = commits[_i].code;
    system_number = commits[_i].number;
    ck_assert_int_eq(idem__sqlite_fault_take_commit(&self, commits[_i].code, &fault),
                     commits[_i].expected);
    ck_assert_int_eq(fault.error.code, commits[_i].expected);
    bool gone = strstr(fault.error.message, "rolled back your whole transaction") != NULL;
    ck_assert(gone == commits[_i].nested); /* this connection has none, so it is gone */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_fault");
    TCase *tcase = tcase_create("faults");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_code_says_what_it_is_and_what_to_do, 0,
                        sizeof rows / sizeof rows[0]);
    tcase_add_test(tcase, a_code_that_the_connection_does_not_know_counts_itself);
    tcase_add_test(tcase, without_a_connection_the_code_itself_counts);
    tcase_add_test(tcase, the_first_fault_stands);
    tcase_add_test(tcase, locks_say_which_time_was_too_short);
    tcase_add_test(tcase, only_locks_may_pass);
    tcase_add_loop_test(tcase, a_commit_that_may_have_been_made_is_uncertain, 0,
                        sizeof commits / sizeof commits[0]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
