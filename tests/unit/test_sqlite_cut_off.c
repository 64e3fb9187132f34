/* SPDX-License-Identifier: MIT */
/*
 * idem_sqlite_open_on(), when SQLite rolls the caller's transaction back in the middle of a call:
 * the call fails for good, and nothing is written. A key that was claimed or completed by itself
 * would say that work was done whose rows are gone.
 */
#include "business.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static void open_business(void)
{
    business_open("PRAGMA synchronous = OFF; CREATE TABLE orders (note TEXT)", "timeout=5s");
}

#define ADD_BUSINESS_LOOP(suite, test, count)                             \
    do {                                                                  \
        TCase *tcase_ = tcase_create(#test);                              \
        tcase_set_timeout(tcase_, 60);                                    \
        tcase_add_checked_fixture(tcase_, open_business, business_close); \
        tcase_add_loop_test(tcase_, test, 0, count);                      \
        suite_add_tcase(suite, tcase_);                                   \
    } while (0)

#define ADD_BUSINESS(suite, test) ADD_BUSINESS_LOOP(suite, test, 1)

static int64_t count_all(void)
{
    return raw_number(db, "SELECT (SELECT count(*) FROM orders) +"
                          " (SELECT count(*) FROM idem_record)");
}

/* The transaction is gone: so nothing is there, and the message says it. */
static void assert_cut_off(int rc, const idem_error *error)
{
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE, "%d %s", rc, error->message);
    ck_assert_says(*error, "rolled back");
    ck_assert_says(*error, "nothing was written");
    ck_assert_int_eq(count_all(), 0);
}

/* ---------------------------------------------------------------------------------- interrupts */

static int steps_left;

static int stop_once(void *user)
{
    (void)user;
    return --steps_left == 0;
}

/* The n-th step of SQLite's machine within a call of the library is interrupted. */
static int interrupted(int step, int (*call)(idem_error *), idem_error *error)
{
    steps_left = step;
    sqlite3_progress_handler(db, 1, stop_once, NULL);
    int rc = call(error);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return rc;
}

/* Tries it at every step, until a call comes through without one. */
static void interrupt_everywhere(int (*call)(idem_error *), int stride)
{
    int lost = 0;
    for (int step = 1;; step += stride) {
        idem_error error;
        raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
        int rc = interrupted(step, call, &error);
        bool gone = sqlite3_get_autocommit(db) != 0;
        if (gone)
            assert_cut_off(rc, &error);
        else
            raw_exec(db, "ROLLBACK");
        lost += gone;
        if (steps_left > 0)
            break;
    }
    ck_assert_int_gt(lost, 0);
}

static int begin_one(idem_error *error)
{
    idem_outcome outcome;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, error);
    if (rc == IDEM_OK)
        idem_outcome_clear(&outcome);
    return rc;
}

START_TEST(a_begin_that_is_interrupted_claims_nothing)
{
    interrupt_everywhere(begin_one, 1);
}
END_TEST

/* A record that another clock dates is dated anew by whoever finds it. One of the batch is a new
   key. */
static int begin_with_a_stray(idem_error *error)
{
    idem_outcome outcomes[2];
    idem_request requests[2];
    for (size_t i = 0; i < 2; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(i ? "stray" : "k");
    }
    int rc = idem_begin_many(store, requests, 2, outcomes, NULL, error);
    ck_assert(rc != IDEM_OK || outcomes[1].kind == IDEM_IN_PROGRESS);
    for (size_t i = 0; i < 2; i++)
        idem_outcome_clear(&outcomes[i]);
    return rc;
}

START_TEST(to_date_a_stray_loses_no_transaction_unsaid)
{
    int lost = 0;
    idem_error error;
    idem_outcome outcome;
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str("stray")), &outcome, &error),
                      error);
    idem_outcome_clear(&outcome);
    raw_exec(db, "UPDATE idem_record SET at_boot_id = 1, at_boot_ms = 5,"
                 " at_wall_ms = at_wall_ms + 31536000000");
    for (int step = 1, left = 0; left <= 0; step++) {
        raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
        int rc = interrupted(step, begin_with_a_stray, &error);
        left = steps_left;
        if (sqlite3_get_autocommit(db) != 0) {
            ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE, "step %d: %d", step, rc);
            ck_assert_says(error, "rolled back");
            lost++;
        } else {
            raw_exec(db, "ROLLBACK");
        }
        ck_assert_int_eq(count_all(), 1);
    }
    ck_assert_int_gt(lost, 0);
}
END_TEST

static int book_one(idem_error *error)
{
    return book(store, "k", idem_str("1"), error);
}

/* Two calls: the second one begins without the transaction only if the first one has said so. */
START_TEST(a_complete_that_is_interrupted_completes_nothing)
{
    interrupt_everywhere(book_one, 1);
}
END_TEST

#define MANY 300u

/* More than one batch. */
static int begin_many(idem_error *error)
{
    static char keys[MANY][8];
    static idem_request requests[MANY];
    static idem_outcome outcomes[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%u", i);
        requests[i] = *IDEM_REQUEST(.key = idem_str(keys[i]));
    }
    int rc = idem_begin_many(store, requests, MANY, outcomes, NULL, error);
    for (unsigned i = 0; i < MANY; i++)
        idem_outcome_clear(&outcomes[i]);
    return rc;
}

START_TEST(a_batch_does_not_go_on_after_the_part_that_was_interrupted)
{
    interrupt_everywhere(begin_many, 701);
}
END_TEST

static int purge_all(idem_error *error)
{
    uint64_t removed;
    return idem_purge(store, 0, &removed, error);
}

START_TEST(a_purge_that_is_interrupted_removes_nothing)
{
    idem_error error;
    ck_assert_idem_ok(book(store, "dead", idem_str("1"), &error), error);
    raw_exec(db, "UPDATE idem_record SET live_ms = 1, at_boot_ms = at_boot_ms - 60000");
    for (int step = 1;; step++) {
        raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
        int rc = interrupted(step, purge_all, &error);
        if (sqlite3_get_autocommit(db)) {
            ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
            ck_assert_says(error, "rolled back");
            ck_assert_int_eq(count_all(), 1);
        } else {
            raw_exec(db, "ROLLBACK");
        }
        if (steps_left > 0)
            break;
    }
}
END_TEST

/* ------------------------------------------------------------------------------- other causes */

START_TEST(a_trigger_that_rolls_back_ends_the_batch)
{
    idem_error error;
    idem_request requests[] = {*IDEM_REQUEST(.key = idem_str("a")),
                               *IDEM_REQUEST(.key = idem_str("k")),
                               *IDEM_REQUEST(.key = idem_str("z"))};
    idem_outcome outcomes[3];
    idem_error errors[3];
    raw_exec(db, "CREATE TRIGGER no BEFORE INSERT ON idem_record WHEN NEW.key = x'6b' "
                 "BEGIN SELECT RAISE(ROLLBACK, 'no'); END");
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
    ck_assert_int_ne(idem_begin_many(store, requests, 3, outcomes, errors, &error), IDEM_OK);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_ne(errors[i].code, IDEM_OK);
        ck_assert_says(errors[i], "rolled back your whole transaction");
    }
    ck_assert_int_eq(count_all(), 0);
}
END_TEST

START_TEST(a_savepoint_of_the_callers_is_a_transaction_too)
{
    idem_error error;
    raw_exec(db, "CREATE TRIGGER no BEFORE INSERT ON idem_record "
                 "BEGIN SELECT RAISE(ROLLBACK, 'no'); END");
    raw_exec(db, "SAVEPOINT mine; INSERT INTO orders VALUES ('a')");
    ck_assert_int_ne(begin_one(&error), IDEM_OK);
    ck_assert_says(error, "rolled back your whole transaction");
    ck_assert_int_eq(count_all(), 0);
}
END_TEST

/* What SQLite writes with fails from the n-th write on. */
static int writes_left = -1;
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);

static ssize_t failing_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (writes_left == 0) {
        errno = EIO;
        return -1;
    }
    writes_left -= writes_left > 0;
    return real_pwrite(fd, bytes, len, at);
}

static void fail_writes(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *name = vfs->xGetSystemCall(vfs, "pwrite64") ? "pwrite64" : "pwrite";
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, name);
    CHILD_CHECK(real_pwrite);
    (void)vfs->xSetSystemCall(vfs, name, (sqlite3_syscall_ptr)failing_pwrite);
}

static void complete_on_a_failing_disk(void)
{
    static char big[200000];
    idem_error error;
    idem_outcome outcome;
    int lost = 0;
    memset(big, '1', sizeof big);
    fail_writes();
    raw_exec(db, "PRAGMA cache_size = 5"); /* a transaction is written before it ends */
    for (int n = 0; n < 20; n++) {
        raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
        CHILD_CHECK(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error) == 0);
        writes_left = n;
        int rc = idem_complete(store, outcome.claim, (idem_bytes){big, sizeof big}, &error);
        writes_left = -1;
        idem_outcome_clear(&outcome);
        CHILD_CHECK(rc == IDEM_ERR_UNAVAILABLE && sqlite3_get_autocommit(db));
        CHILD_CHECK(strstr(error.message, "rolled back your whole transaction"));
        CHILD_CHECK(raw_number(db, "SELECT count(*) FROM idem_record") == 0);
        lost++;
    }
    CHILD_CHECK(lost == 20);
}

START_TEST(a_disk_that_fails_ends_the_call)
{
    run_in_child(complete_on_a_failing_disk);
}
END_TEST

/* Whatever memory is left: either the call is done in its transaction, or both are gone. */
static void begin_without_memory(void)
{
    idem_error error;
    int done = 0;
    for (sqlite3_int64 spare = 0; done == 0 && spare < 1 << 20; spare += 256) {
        CHILD_CHECK(sqlite3_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')", NULL, NULL,
                                 NULL) == SQLITE_OK);
        (void)sqlite3_hard_heap_limit64(sqlite3_memory_used() + spare);
        int rc = begin_one(&error);
        (void)sqlite3_hard_heap_limit64(0);
        bool gone = sqlite3_get_autocommit(db) != 0;
        CHILD_CHECK(rc == IDEM_ERR_NO_MEMORY || (rc == IDEM_OK && !gone));
        CHILD_CHECK(!gone || strstr(error.message, "rolled back your whole transaction"));
        CHILD_CHECK(!gone || count_all() == 0);
        done += rc == IDEM_OK;
        if (!gone)
            raw_exec(db, "ROLLBACK");
    }
    CHILD_CHECK(done == 1);
}

START_TEST(memory_that_runs_out_ends_the_call)
{
    run_in_child(begin_without_memory);
}
END_TEST

/* ----------------------------------------------------------------------------------- a watchdog */

static atomic_bool watched;

static void *interrupt_at_random(void *user)
{
    unsigned seed = 1;
    (void)user;
    while (atomic_load(&watched)) {
        struct timespec pause = {.tv_nsec = 1000 * (long)(rand_r(&seed) % 200)};
        (void)nanosleep(&pause, NULL);
        sqlite3_interrupt(db);
    }
    return NULL;
}

static bool run_sql(const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

/* One piece of work, as a service does it that gives up at the first error. */
static void work(int number)
{
    char key[16];
    char order[64];
    idem_error error;
    (void)snprintf(key, sizeof key, "%d", number);
    (void)snprintf(order, sizeof order, "INSERT INTO orders VALUES ('%d')", number);
    bool done = run_sql("BEGIN IMMEDIATE") && run_sql(order) &&
                book(store, key, idem_str("1"), &error) == IDEM_OK && run_sql("COMMIT");
    if (!done && !sqlite3_get_autocommit(db))
        while (!run_sql("ROLLBACK") && !sqlite3_get_autocommit(db)) {
        }
}

START_TEST(no_key_is_completed_without_its_row)
{
    pthread_t watchdog;
    atomic_init(&watched, true);
    ck_assert_int_eq(pthread_create(&watchdog, NULL, interrupt_at_random, NULL), 0);
    for (int i = 0; i < 5000; i++)
        work(i);
    atomic_store(&watched, false);
    ck_assert_int_eq(pthread_join(watchdog, NULL), 0);
    ck_assert_int_gt(raw_number(db, "SELECT count(*) FROM idem_record"), 0);
    ck_assert_int_eq(raw_number(db, "SELECT count(*) FROM idem_record WHERE"
                                    " CAST(key AS TEXT) NOT IN (SELECT note FROM orders)"),
                     0);
    ck_assert_int_eq(raw_number(db, "SELECT count(*) FROM idem_record WHERE status <> 2"), 0);
}
END_TEST

/* ----------------------------------------------------------------------------- reinstatement */

static idem_outcome begin_reinstating(const char *key)
{
    idem_error error;
    idem_outcome outcome;
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .flags = IDEM_REINSTATE),
                                 &outcome, &error),
                      error);
    ck_assert_int_eq(outcome.kind, IDEM_NEW);
    return outcome;
}

/* What a claim's owner may try once the transaction is gone, which it need not have noticed. */
static int change_late(int which, idem_claim *claim, idem_error *error)
{
    if (which == 0)
        return idem_complete(store, claim, idem_str("1"), error);
    return which == 1 ? idem_renew(store, claim, 0, error)
                      : idem_checkpoint(store, claim, idem_str("[1]"), error);
}

START_TEST(a_claim_of_a_transaction_that_is_gone_is_not_put_back)
{
    for (int again = 0; again < 2; again++) {
        idem_error error;
        raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
        idem_outcome outcome = begin_reinstating("k");
        raw_exec(db, "ROLLBACK");
        if (again) /* nor in another transaction */
            raw_exec(db, "BEGIN IMMEDIATE");
        int rc = change_late(_i, outcome.claim, &error);
        ck_assert_msg(rc == IDEM_ERR_NOT_FOUND, "%d %s", rc, error.message);
        if (again)
            raw_exec(db, "COMMIT");
        ck_assert_int_eq(count_all(), 0);
        idem_outcome_clear(&outcome);
    }
}
END_TEST

START_TEST(all_claims_of_a_batch_go_with_the_transaction)
{
    idem_error error;
    idem_outcome outcomes[2];
    idem_error errors[2];
    idem_request requests[2];
    const idem_bytes responses[] = {idem_str("1"), idem_str("2")};
    for (size_t i = 0; i < 2; i++) {
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(i ? "b" : "a");
        requests[i].flags = IDEM_REINSTATE;
    }
    raw_exec(db, "BEGIN IMMEDIATE; INSERT INTO orders VALUES ('a')");
    ck_assert_idem_ok(idem_begin_many(store, requests, 2, outcomes, errors, &error), error);
    raw_exec(db, "ROLLBACK");
    idem_claim *const claims[] = {outcomes[0].claim, outcomes[1].claim};
    ck_assert_int_eq(idem_complete_many(store, claims, responses, 2, errors, &error),
                     IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(errors[1].code, IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(count_all(), 0);
    for (size_t i = 0; i < 2; i++)
        idem_outcome_clear(&outcomes[i]);
}
END_TEST

/* Its record was in place: if it is missing, the database has lost it. */
START_TEST(a_claim_that_was_begun_outside_is_put_back)
{
    idem_error error;
    idem_outcome outcome = begin_reinstating("k");
    raw_exec(db, "DELETE FROM idem_record; BEGIN IMMEDIATE");
    ck_assert_idem_ok(change_late(_i, outcome.claim, &error), error);
    raw_exec(db, "COMMIT");
    ck_assert_int_eq(count_all(), 1);
    raw_exec(db, "DELETE FROM idem_record");
    idem_outcome_clear(&outcome);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_cut_off");
    ADD_BUSINESS(suite, a_begin_that_is_interrupted_claims_nothing);
    ADD_BUSINESS(suite, to_date_a_stray_loses_no_transaction_unsaid);
    ADD_BUSINESS(suite, a_complete_that_is_interrupted_completes_nothing);
    ADD_BUSINESS(suite, a_batch_does_not_go_on_after_the_part_that_was_interrupted);
    ADD_BUSINESS(suite, a_purge_that_is_interrupted_removes_nothing);
    ADD_BUSINESS(suite, a_trigger_that_rolls_back_ends_the_batch);
    ADD_BUSINESS(suite, a_savepoint_of_the_callers_is_a_transaction_too);
    ADD_BUSINESS(suite, a_disk_that_fails_ends_the_call);
    ADD_BUSINESS(suite, memory_that_runs_out_ends_the_call);
    ADD_BUSINESS(suite, no_key_is_completed_without_its_row);
    ADD_BUSINESS(suite, all_claims_of_a_batch_go_with_the_transaction);
    ADD_BUSINESS_LOOP(suite, a_claim_of_a_transaction_that_is_gone_is_not_put_back, 3);
    ADD_BUSINESS_LOOP(suite, a_claim_that_was_begun_outside_is_put_back, 3);
    return run_suite(suite);
}
