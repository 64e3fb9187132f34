/* SPDX-License-Identifier: MIT */
/* A store on the caller's own connection: claim, rows and response stand or fall together, and
   nothing is ever written outside of the transaction that the caller believes in. */
#include "pg_test.h"

#include <idem/postgres.h>

#include <pthread.h>

static pg_server server;
static PGconn *mine;
static PGconn *rivals;
static idem_store *store;
static idem_store *rival;

static void run(PGconn *conn, const char *sql)
{
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    ck_assert_msg(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, "%s: %s", sql,
                  PQerrorMessage(conn));
    PQclear(result);
}

static void set_up(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record, deposit;"
                   " CREATE TABLE deposit (cents int CHECK (cents > 0))");
    mine = pg_connect(&server);
    rivals = pg_connect(&server);
    store = rival = NULL;
    assert_ok(idem_postgres_open_on(mine, PATIENT, &store, &err));
    assert_ok(idem_postgres_open_on(rivals, PATIENT, &rival, &err));
}

static void tear_down(void)
{
    idem_close(store);
    idem_close(rival);
    PQfinish(mine);
    PQfinish(rivals);
}

static long long count(const char *table)
{
    return pg_number(&server, "SELECT count(*) FROM %s", table);
}

START_TEST(what_is_committed_stands_and_what_is_rolled_back_is_gone)
{
    run(mine, "BEGIN");
    complete(store, KEY, "1");
    run(mine, "INSERT INTO deposit VALUES (5)");
    run(mine, "ROLLBACK");
    ck_assert_int_eq(count("deposit") + count("idem_record"), 0);
    run(mine, "BEGIN");
    complete(store, KEY, "1");
    run(mine, "INSERT INTO deposit VALUES (5)");
    ck_assert_int_eq(count("deposit") + count("idem_record"), 0);
    run(mine, "COMMIT");
    ck_assert_int_eq(count("deposit") + count("idem_record"), 2);
    run(mine, "BEGIN");
    assert_replays(store, KEY, "1");
    run(mine, "COMMIT");
    assert_replays(rival, KEY, "1");
}
END_TEST

START_TEST(a_rivals_open_transaction_is_in_progress_and_no_hang)
{
    run(rivals, "BEGIN");
    idem_outcome held = claim(rival, KEY);
    run(mine, "BEGIN");
    uint64_t began_ms = idem_monotonic_ms();
    idem_outcome out = begin_key(store, KEY);
    ck_assert_int_eq(out.kind, IDEM_IN_PROGRESS);
    ck_assert_uint_gt(out.retry_after_ms, 0);
    ck_assert_uint_le(out.retry_after_ms, 1000);
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 20000);
    idem_outcome_clear(&out);
    run(mine, "INSERT INTO deposit VALUES (1)"); /* the transaction works on */
    run(mine, "COMMIT");
    ck_assert_int_eq(count("deposit"), 1);
    assert_ok(idem_complete(rival, held.claim, idem_str("2"), &err));
    idem_outcome_clear(&held);
    run(rivals, "COMMIT");
    assert_replays(store, KEY, "2");
}
END_TEST

START_TEST(the_callers_shorter_lock_timeout_is_kept_and_put_back)
{
    char value[64];
    run(rivals, "BEGIN");
    idem_outcome held = claim(rival, KEY);
    run(mine, "BEGIN; SET LOCAL lock_timeout = '20ms'");
    uint64_t least_ms = UINT64_MAX; /* ours would be 500 ms, each time */
    for (int i = 0; i < 20 && least_ms >= 400; i++) {
        uint64_t began_ms = idem_monotonic_ms();
        assert_begin(store, KEY, IDEM_IN_PROGRESS);
        uint64_t took_ms = idem_monotonic_ms() - began_ms;
        least_ms = took_ms < least_ms ? took_ms : least_ms;
    }
    ck_assert_uint_lt(least_ms, 400);
    complete(store, "other", "1");
    PGresult *result = PQexec(mine, "SHOW lock_timeout");
    (void)snprintf(value, sizeof value, "%s", PQgetvalue(result, 0, 0));
    PQclear(result);
    ck_assert_str_eq(value, "20ms");
    run(mine, "COMMIT");
    run(rivals, "ROLLBACK");
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(an_aborted_transaction_is_a_permanent_error)
{
    idem_outcome out;
    run(mine, "BEGIN");
    complete(store, KEY, "1");
    PQclear(PQexec(mine, "INSERT INTO deposit VALUES (-1)"));
    ck_assert_int_eq(PQtransactionStatus(mine), PQTRANS_INERROR);
    assert_in_time(10000,
                   assert_code(IDEM_ERR_UNAVAILABLE,
                               idem_begin(store, IDEM_REQUEST(.key = idem_str("b")), &out, &err)));
    assert_says("roll it back");
    run(mine, "ROLLBACK");
    ck_assert_int_eq(count("idem_record"), 0);
}
END_TEST

START_TEST(a_transaction_that_the_server_has_ended_is_a_permanent_error)
{
    char sql[100];
    run(mine, "BEGIN");
    idem_outcome out = claim(store, KEY);
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d",
                   PQbackendPID(mine));
    pg_do(&server, "SELECT pg_terminate_backend(%d)", PQbackendPID(mine));
    pg_await(&server, sql, 0);
    int rc = idem_complete(store, out.claim, idem_str("1"), &err);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    assert_says("transaction");
    idem_outcome again;
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str("b")), &again, &err));
    ck_assert_int_eq(count("idem_record"), 0);
    idem_outcome_clear(&out);
    PQreset(mine);
}
END_TEST

/* A claim that went with its transaction is not completed outside of it. */
START_TEST(a_claim_ends_with_its_transaction)
{
    run(mine, "BEGIN");
    idem_outcome out = claim(store, KEY);
    run(mine, "ROLLBACK");
    assert_code(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    ck_assert_int_eq(count("idem_record"), 0);
    idem_outcome_clear(&out);
}
END_TEST

/* To put it back would complete the key without the rows that went with it. */
START_TEST(a_claim_is_not_put_back_behind_a_transaction_that_was_rolled_back)
{
    idem_outcome out;
    run(mine, "BEGIN");
    assert_ok(
        idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = IDEM_REINSTATE), &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    run(mine, "INSERT INTO deposit VALUES (5)");
    run(mine, "ROLLBACK");
    assert_code(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    ck_assert_int_eq(count("deposit") + count("idem_record"), 0);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_call_that_fails_leaves_the_transaction_as_it_was)
{
    idem_outcome out;
    pg_do(&server, "CREATE OR REPLACE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ "
                   "BEGIN RAISE EXCEPTION 'no' USING errcode = '40001'; END $$;"
                   " CREATE TRIGGER trouble BEFORE INSERT ON idem_record FOR EACH ROW WHEN "
                   "(new.key = 'bad') EXECUTE FUNCTION trouble()");
    run(mine, "BEGIN; INSERT INTO deposit VALUES (1); SAVEPOINT idem; INSERT INTO deposit VALUES "
              "(2)");
    assert_in_time(
        10000, assert_code(IDEM_ERR_UNAVAILABLE,
                           idem_begin(store, IDEM_REQUEST(.key = idem_str("bad")), &out, &err)));
    complete(store, "good", "1");
    run(mine, "ROLLBACK TO SAVEPOINT idem; COMMIT");
    ck_assert_int_eq(count("deposit"), 1);
    ck_assert_int_eq(count("idem_record"), 0);
}
END_TEST

START_TEST(a_connection_in_pipeline_mode_or_at_work_is_refused_and_left_alone)
{
    idem_outcome out;
    ck_assert_int_eq(PQenterPipelineMode(mine), 1);
    assert_code(IDEM_ERR_ARGUMENT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says("pipeline mode");
    ck_assert_int_eq(PQexitPipelineMode(mine), 1);
    ck_assert_int_eq(PQsendQuery(mine, "SELECT 7"), 1);
    assert_code(IDEM_ERR_ARGUMENT,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    PGresult *result = PQgetResult(mine);
    ck_assert_str_eq(PQgetvalue(result, 0, 0), "7");
    PQclear(result);
    ck_assert_ptr_null(PQgetResult(mine));
    complete(store, KEY, "1");
    ck_assert_int_eq(PQisnonblocking(mine), 0);
    ck_assert_int_eq(PQpipelineStatus(mine), PQ_PIPELINE_OFF);
}
END_TEST

START_TEST(a_store_is_opened_outside_of_transactions_only)
{
    idem_store *third = NULL;
    run(mine, "BEGIN");
    assert_code(IDEM_ERR_ARGUMENT, idem_postgres_open_on(mine, NULL, &third, &err));
    assert_says("transaction is open");
    run(mine, "ROLLBACK");
    assert_code(IDEM_ERR_ARGUMENT, idem_postgres_open_on(NULL, NULL, &third, &err));
    assert_code(IDEM_ERR_ARGUMENT, idem_postgres_open_on(mine, "nonsense=1", &third, &err));
}
END_TEST

static const char *const levels[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};

/* What a transaction's snapshot does not show is a serialization failure, and never new. */
START_TEST(two_transactions_never_both_claim_a_key_at_any_isolation)
{
    char sql[100];
    idem_outcome out;
    (void)snprintf(sql, sizeof sql, "BEGIN ISOLATION LEVEL %s; SELECT count(*) FROM deposit",
                   levels[_i]);
    run(mine, sql);
    complete(rival, KEY, "1"); /* behind the other's snapshot */
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err);
    if (rc == IDEM_OK)
        ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    else
        ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert(rc == IDEM_OK || _i > 0);
    if (rc == IDEM_OK)
        idem_outcome_clear(&out);
    run(mine, "ROLLBACK");
    assert_replays(store, KEY, "1");
}
END_TEST

START_TEST(a_read_only_transaction_replays)
{
    idem_outcome out;
    complete(store, KEY, "1");
    run(mine, "BEGIN READ ONLY");
    assert_replays(store, KEY, "1");
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str("new")), &out, &err));
    run(mine, "COMMIT");
}
END_TEST

START_TEST(outside_of_a_transaction_each_call_makes_its_own)
{
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(PQtransactionStatus(mine), PQTRANS_IDLE);
    assert_begin(rival, KEY, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    assert_replays(rival, KEY, "1");
}
END_TEST

/* ------------------------------------------------------------------------- synchronous standbys */

static void ask_for_standby(const char *setting)
{
    pg_do(&server, "ALTER SYSTEM %s", setting);
    pg_do(&server, "SELECT pg_reload_conf()");
}

/* Ends the waits for a standby, as an impatient administrator would. */
static void *cancel_waits(void *user)
{
    const bool *on = user;
    while (__atomic_load_n(on, __ATOMIC_ACQUIRE)) {
        pg_do(&server, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                       "'SyncRep'");
        wait_ms(20);
    }
    return NULL;
}

static void count_notice(void *user, const char *message)
{
    unsigned *notices = user;
    ck_assert_ptr_nonnull(message);
    ++*notices;
}

/* A commit of ours that was not waited for is no answer, and its warning is the caller's, too. */
START_TEST(a_commit_of_ours_that_comes_with_a_warning_is_uncertain)
{
    idem_outcome out;
    pthread_t thread;
    bool on = true;
    unsigned notices = 0;
    int rc = IDEM_OK;
    PQnoticeReceiver before = PQsetNoticeReceiver(mine, NULL, NULL);
    (void)PQsetNoticeProcessor(mine, count_notice, &notices);
    run(mine, "SET client_min_messages = error"); /* for the caller's own transactions */
    ask_for_standby("SET synchronous_standby_names = 'nobody'");
    pg_await(&server, "SELECT (current_setting('synchronous_standby_names') = 'nobody')::int", 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel_waits, &on), 0);
    /* Until the session has been told, and a wait was cancelled in time. */
    for (int i = 0; i < 40 && notices == 0; i++) {
        char key[40];
        (void)snprintf(key, sizeof key, "key-%d", i);
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = 1000), &out, &err);
        idem_outcome_clear(&out);
    }
    __atomic_store_n(&on, false, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    ask_for_standby("RESET synchronous_standby_names");
    ck_assert_uint_gt(notices, 0);
    ck_assert_msg(rc == IDEM_ERR_UNCERTAIN, "%d %s", rc, err.message);
    ck_assert(PQsetNoticeReceiver(mine, NULL, NULL) == before);
}
END_TEST

int main(void)
{
    pg_require();
    lateness_watch();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres join");
    ADD_HERE(suite, what_is_committed_stands_and_what_is_rolled_back_is_gone, 1);
    ADD_HERE(suite, a_rivals_open_transaction_is_in_progress_and_no_hang, 1);
    ADD_HERE(suite, the_callers_shorter_lock_timeout_is_kept_and_put_back, 1);
    ADD_HERE(suite, an_aborted_transaction_is_a_permanent_error, 1);
    ADD_HERE(suite, a_transaction_that_the_server_has_ended_is_a_permanent_error, 1);
    ADD_HERE(suite, a_claim_ends_with_its_transaction, 1);
    ADD_HERE(suite, a_claim_is_not_put_back_behind_a_transaction_that_was_rolled_back, 1);
    ADD_HERE(suite, a_call_that_fails_leaves_the_transaction_as_it_was, 1);
    ADD_HERE(suite, a_connection_in_pipeline_mode_or_at_work_is_refused_and_left_alone, 1);
    ADD_HERE(suite, a_store_is_opened_outside_of_transactions_only, 1);
    ADD_HERE(suite, two_transactions_never_both_claim_a_key_at_any_isolation, 3);
    ADD_HERE(suite, a_read_only_transaction_replays, 1);
    ADD_HERE(suite, outside_of_a_transaction_each_call_makes_its_own, 1);
    ADD_HERE(suite, a_commit_of_ours_that_comes_with_a_warning_is_uncertain, 1);
    return run_suite(suite);
}
