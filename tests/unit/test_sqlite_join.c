/* SPDX-License-Identifier: MIT */
/*
 * idem_sqlite_open_on(): a store inside the caller's own transaction. Claim, completion and
 * business rows stand or fall together, and the caller's transaction is the caller's to end.
 */
#include "lateness.h"
#include "business.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

static void open_business(void)
{
    business_open("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT)", "timeout=10s");
}

#define ADD_BUSINESS(suite, test)                                         \
    do {                                                                  \
        TCase *tcase_ = tcase_create(#test);                              \
        tcase_set_timeout(tcase_, 60);                                    \
        tcase_add_checked_fixture(tcase_, open_business, business_close); \
        tcase_add_test(tcase_, test);                                     \
        suite_add_tcase(suite, tcase_);                                   \
    } while (0)

static void assert_booked(const char *key)
{
    idem_error error;
    ck_assert_idem_ok(book(store, key, idem_str("1"), &error), error);
}

static int64_t orders(void)
{
    return raw_number(db, "SELECT count(*) FROM orders");
}

static int64_t records(void)
{
    return raw_number(db, "SELECT count(*) FROM idem_record");
}

START_TEST(a_rollback_takes_claim_and_completion_along)
{
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders (note) VALUES ('a')");
    assert_booked("k");
    ck_assert(is_booked(store, "k", idem_str("1")));
    raw_exec(db, "ROLLBACK");
    ck_assert_int_eq(orders(), 0);
    ck_assert_int_eq(records(), 0);
    assert_booked("k"); /* New again */
}
END_TEST

START_TEST(a_commit_makes_both_stand)
{
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders (note) VALUES ('a')");
    assert_booked("k");
    raw_exec(db, "COMMIT");
    ck_assert_int_eq(file_number("SELECT count(*) FROM orders"), 1);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record WHERE status = 2"), 1);
}
END_TEST

START_TEST(outside_a_transaction_each_call_makes_its_own)
{
    assert_booked("k");
    ck_assert_int_ne(sqlite3_get_autocommit(db), 0);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record WHERE status = 2"), 1);
}
END_TEST

START_TEST(the_callers_savepoints_hold)
{
    raw_exec(db, "BEGIN IMMEDIATE");
    assert_booked("outer");
    raw_exec(db, "SAVEPOINT idem; SAVEPOINT mine");
    assert_booked("inner");
    raw_exec(db, "ROLLBACK TO mine; RELEASE mine; RELEASE idem; COMMIT");
    ck_assert(is_booked(store, "outer", idem_str("1")));
    ck_assert_int_eq(records(), 1);
}
END_TEST

START_TEST(a_transaction_begun_by_a_savepoint_is_the_callers_too)
{
    raw_exec(db, "SAVEPOINT mine; INSERT INTO orders (note) VALUES ('a')");
    assert_booked("k");
    raw_exec(db, "ROLLBACK TO mine; RELEASE mine");
    ck_assert_int_eq(orders() + records(), 0);
}
END_TEST

START_TEST(the_callers_transaction_survives_an_op_that_fails)
{
    idem_error error;
    idem_outcome outcome;
    assert_booked("k");
    raw_exec(db, "UPDATE idem_record SET attempt = 0; BEGIN IMMEDIATE;"
                 "INSERT INTO orders (note) VALUES ('a')");
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_CORRUPT);
    ck_assert_int_eq(sqlite3_get_autocommit(db), 0);
    assert_booked("other");
    raw_exec(db, "COMMIT");
    ck_assert_int_eq(orders(), 1);
    ck_assert_int_eq(records(), 2);
}
END_TEST

START_TEST(a_statement_that_fails_undoes_its_batch_alone)
{
    idem_error error;
    idem_outcome outcome;
    raw_exec(db, "CREATE TRIGGER no BEFORE INSERT ON idem_record WHEN NEW.key = x'6b' "
                 "BEGIN SELECT RAISE(ABORT, 'no'); END");
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders (note) VALUES ('a')");
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_CORRUPT);
    ck_assert_int_eq(sqlite3_get_autocommit(db), 0);
    assert_booked("other");
    raw_exec(db, "COMMIT");
    ck_assert_int_eq(orders() + records(), 2);
}
END_TEST

START_TEST(it_says_so_when_sqlite_rolls_the_callers_transaction_back)
{
    static char big[200000];
    idem_error error;
    idem_outcome outcome;
    memset(big, '1', sizeof big);
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders (note) VALUES ('a')");
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                      error);
    (void)raw_number(db, "PRAGMA max_page_count = 1"); /* as many as there are */
    ck_assert_int_eq(idem_complete(store, outcome.claim, (idem_bytes){big, sizeof big}, &error),
                     IDEM_ERR_FULL);
    ck_assert_says(error, "rolled back your whole transaction");
    ck_assert_int_ne(sqlite3_get_autocommit(db), 0);
    idem_outcome_clear(&outcome);
    ck_assert_int_eq(orders() + records(), 0);
}
END_TEST

START_TEST(what_is_not_allowed_is_refused)
{
    idem_store *second = NULL;
    idem_error error;
    idem_outcome outcome;
    ck_assert_int_eq(idem_sqlite_open_on(NULL, NULL, &second, &error), IDEM_ERR_ARGUMENT);
    raw_exec(db, "BEGIN");
    ck_assert_int_eq(idem_sqlite_open_on(db, NULL, &second, &error), IDEM_ERR_ARGUMENT);
    ck_assert_says(error, "a transaction is open");
    ck_assert_int_eq(sqlite3_get_autocommit(db), 0);
    raw_exec(db, "ROLLBACK");
    ck_assert_int_eq(idem_sqlite_open_on(db, "synchronous=full", &second, &error),
                     IDEM_ERR_ARGUMENT);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k"), .flags = IDEM_KEEPALIVE),
                                &outcome, &error),
                     IDEM_ERR_UNSUPPORTED);
    raw_exec(db, "UPDATE idem_schema SET version = 1000");
    ck_assert_int_eq(idem_sqlite_open_on(db, NULL, &second, &error), IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_null(second);
}
END_TEST

static void pass_over(void *user, const idem_finding *finding)
{
    (void)user;
    ck_assert_ptr_nonnull(finding->fix);
}

START_TEST(the_connection_stays_as_the_caller_set_it)
{
    raw_exec(db, "INSERT INTO orders (id, note) VALUES (4711, 'a')");
    assert_booked("k");
    ck_assert_int_eq(sqlite3_last_insert_rowid(db), 4711);
    ck_assert_int_eq(idem_check(store, pass_over, NULL, NULL), IDEM_OK); /* it writes, too */
    ck_assert_int_eq(sqlite3_last_insert_rowid(db), 4711);
    ck_assert_int_eq(raw_number(db, "PRAGMA application_id"), 0);
    ck_assert_int_eq(raw_number(db, "PRAGMA user_version"), 0);
    ck_assert_int_eq(raw_number(db, "PRAGMA busy_timeout"), 0);
    ck_assert_int_eq(raw_number(db, "SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
    for (sqlite3_stmt *statement = sqlite3_next_stmt(db, NULL); statement;
         statement = sqlite3_next_stmt(db, statement))
        ck_assert_msg(!sqlite3_stmt_busy(statement), "%s", sqlite3_sql(statement));
}
END_TEST

START_TEST(a_temporary_table_of_the_same_name_is_not_ours)
{
    raw_exec(db, "CREATE TEMP TABLE idem_record (a)");
    assert_booked("k");
    ck_assert_int_eq(raw_number(db, "SELECT count(*) FROM temp.idem_record"), 0);
    ck_assert_int_eq(raw_number(db, "SELECT count(*) FROM main.idem_record"), 1);
}
END_TEST

START_TEST(both_ways_of_opening_share_the_tables)
{
    idem_store *by_url = NULL;
    idem_error error;
    assert_booked("k");
    ck_assert_idem_ok(idem_open(store_url(""), &by_url, &error), error);
    ck_assert(is_booked(by_url, "k", idem_str("1")));
    ck_assert_idem_ok(book(by_url, "l", idem_str("2"), &error), error);
    idem_close(by_url);
    ck_assert(is_booked(store, "l", idem_str("2")));
}
END_TEST

/* ---------------------------------------------------------------------------- other writers */

START_TEST(a_reader_that_was_overtaken_is_told_to_begin_again)
{
    idem_error error;
    idem_outcome outcome;
    sqlite3 *other = raw_open(store_path);
    raw_exec(db, "PRAGMA journal_mode = wal");
    raw_exec(db, "BEGIN; SELECT * FROM orders");
    raw_exec(other, "INSERT INTO orders (note) VALUES ('b')");
    uint64_t before_ms = idem_monotonic_ms();
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_le(idem_monotonic_ms() - before_ms, 3000);
    ck_assert_says(error, "BEGIN IMMEDIATE");
    ck_assert_int_eq(sqlite3_get_autocommit(db), 0);
    raw_exec(db, "ROLLBACK; BEGIN IMMEDIATE");
    assert_booked("k");
    raw_exec(db, "COMMIT");
    (void)sqlite3_close(other);
}
END_TEST

/* Holds the write lock in a thread, on a connection of its own, and ends after a while, or when it
   is told. */
typedef struct {
    pthread_t thread;
    sqlite3 *connection;
    unsigned hold_ms;
    atomic_bool told;
    uint64_t until_ms; /* it was held at least */
} holder;

#define UNTIL_TOLD UINT_MAX

static void *let_go_later(void *user)
{
    holder *lock = user;
    for (unsigned i = 0; i < lock->hold_ms / 5 && !atomic_load(&lock->told); i++)
        sleep_ms(5);
    lock->until_ms = idem_monotonic_ms();
    (void)sqlite3_exec(lock->connection, "ROLLBACK", NULL, NULL, NULL);
    return NULL;
}

static void hold_lock(holder *lock, unsigned hold_ms)
{
    lock->hold_ms = hold_ms;
    atomic_init(&lock->told, false);
    lock->connection = raw_open(store_path);
    raw_exec(lock->connection, "BEGIN IMMEDIATE");
    ck_assert_int_eq(pthread_create(&lock->thread, NULL, let_go_later, lock), 0);
}

static void end_lock(holder *lock)
{
    atomic_store(&lock->told, true);
    ck_assert_int_eq(pthread_join(lock->thread, NULL), 0);
    (void)sqlite3_close(lock->connection);
}

START_TEST(a_lock_is_waited_for_without_a_busy_handler)
{
    holder lock;
    hold_lock(&lock, 500);
    assert_booked("k");
    uint64_t booked_ms = idem_monotonic_ms();
    end_lock(&lock);
    ck_assert_uint_ge(booked_ms, lock.until_ms);
}
END_TEST

START_TEST(a_lock_is_waited_for_inside_a_transaction)
{
    holder lock;
    hold_lock(&lock, 500);
    raw_exec(db, "BEGIN");
    assert_booked("k");
    raw_exec(db, "COMMIT");
    end_lock(&lock);
    ck_assert_int_eq(records(), 1);
}
END_TEST

START_TEST(a_lock_beyond_the_deadline_is_unavailable)
{
    idem_store *hasty = NULL;
    idem_error error;
    holder lock;
    ck_assert_idem_ok(idem_sqlite_open_on(db, "timeout=200ms", &hasty, &error), error);
    hold_lock(&lock, UNTIL_TOLD);
    raw_exec(db, "BEGIN");
    uint64_t queued_ms = lateness_queued_ms();
    uint64_t before_ms = idem_monotonic_ms();
    ck_assert_int_eq(book(hasty, "k", idem_str("1"), &error), IDEM_ERR_UNAVAILABLE);
    uint64_t took_ms = idem_monotonic_ms() - before_ms;
    ck_assert_uint_ge(took_ms, 195);
    ck_assert_uint_le(took_ms, 2000 + lateness_queued_ms() - queued_ms);
    ck_assert_int_eq(sqlite3_get_autocommit(db), 0);
    end_lock(&lock);
    ck_assert_idem_ok(book(hasty, "k", idem_str("1"), &error), error);
    raw_exec(db, "COMMIT");
    idem_close(hasty);
    ck_assert_int_eq(records(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_join");
    ADD_BUSINESS(suite, a_rollback_takes_claim_and_completion_along);
    ADD_BUSINESS(suite, a_commit_makes_both_stand);
    ADD_BUSINESS(suite, outside_a_transaction_each_call_makes_its_own);
    ADD_BUSINESS(suite, the_callers_savepoints_hold);
    ADD_BUSINESS(suite, a_transaction_begun_by_a_savepoint_is_the_callers_too);
    ADD_BUSINESS(suite, the_callers_transaction_survives_an_op_that_fails);
    ADD_BUSINESS(suite, a_statement_that_fails_undoes_its_batch_alone);
    ADD_BUSINESS(suite, it_says_so_when_sqlite_rolls_the_callers_transaction_back);
    ADD_BUSINESS(suite, what_is_not_allowed_is_refused);
    ADD_BUSINESS(suite, the_connection_stays_as_the_caller_set_it);
    ADD_BUSINESS(suite, a_temporary_table_of_the_same_name_is_not_ours);
    ADD_BUSINESS(suite, both_ways_of_opening_share_the_tables);
    ADD_BUSINESS(suite, a_reader_that_was_overtaken_is_told_to_begin_again);
    ADD_BUSINESS(suite, a_lock_is_waited_for_without_a_busy_handler);
    ADD_BUSINESS(suite, a_lock_is_waited_for_inside_a_transaction);
    ADD_BUSINESS(suite, a_lock_beyond_the_deadline_is_unavailable);
    return run_suite(suite);
}
