/* SPDX-License-Identifier: MIT */
/* What grows stays bounded, and what takes long is done in small steps: sweeps, purges, the file, its
   write-ahead log. */
#include "sqlite_support.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define MIB ((size_t)1024 * 1024)

static char big[8 * 1024 * 1024];

/* Inserts a completed record with a response of zeros. */
static void insert_response(instance *on, const char *key, size_t len, uint64_t live_ms)
{
    idem_record record = make_record(key, 1);
    record.status = IDEM_STATUS_COMPLETED;
    record.response = (idem_bytes){big, len};
    idem_op insert = op_insert(&record, live_ms);
    submit_one(on, &insert);
    ck_assert(insert.applied);
}

/* Responses that are expired when it returns. No sweep meets them before. */
static void insert_expired(instance *on, int count, size_t len)
{
    char key[32];
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "expired-%d", i);
        insert_response(on, key, len, 1000);
    }
    test_clock_ms += 1000;
}

static void insert_small(instance *on, const char *key, uint64_t timeout_ms)
{
    idem_error error = {0};
    idem_record record = make_record(key, 1);
    idem_op insert = op_insert(&record, 60000);
    idem_op *list[] = {&insert};
    ck_assert_idem_ok(
        on->ops->submit(on->backend, list, 1, idem_monotonic_ms() + timeout_ms, &error), error);
    ck_assert_msg(insert.applied, "%s", insert.error.message);
}

static int64_t count_rows(void)
{
    return file_number("SELECT count(*) FROM idem_record");
}

/* ------------------------------------------------------------------------------------ sweeps */

START_TEST(a_short_deadline_is_not_spent_on_large_expired_rows)
{
    instance on;
    instance_open(&on, store_path, true);
    insert_expired(&on, 10, sizeof big);
    instance_close(&on);
    instance_open(&on, store_path, true);
    insert_small(&on, "small", 300);
    ck_assert_int_eq(count_rows(), 11);
    instance_close(&on);
}
END_TEST

START_TEST(a_sweep_drops_one_large_row_where_there_is_time)
{
    instance on;
    instance_open(&on, store_path, true);
    insert_expired(&on, 10, sizeof big);
    instance_close(&on);
    instance_open(&on, store_path, true);
    insert_small(&on, "small", 30000);
    ck_assert_int_eq(count_rows(), 10);
    instance_close(&on);
}
END_TEST

/* However short the deadlines are: who writes much has the time to drop as much. */
START_TEST(large_rows_do_not_pile_up)
{
    instance on;
    char key[32];
    instance_open(&on, store_path, true);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        insert_response(&on, key, MIB, 5);
        test_clock_ms += 1;
    }
    ck_assert_int_le(count_rows(), 15);
    instance_close(&on);
}
END_TEST

/* Forty rows that live long lie in front of those that don't. */
START_TEST(processes_that_write_once_sweep_further_each_time)
{
    char key[32];
    instance on;
    for (int i = 0; i < 340; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        instance_open(&on, store_path, true);
        idem_record record = make_record(key, 1);
        idem_op insert = op_insert(&record, i < 40 ? 720 * 3600000ull : 1);
        submit_one(&on, &insert);
        ck_assert(insert.applied);
        instance_close(&on);
        test_clock_ms += 10;
    }
    ck_assert_int_le(count_rows(), 120);
}
END_TEST

/* There user_version is the caller's. */
START_TEST(in_a_callers_database_the_sweep_begins_anywhere)
{
    char key[32];
    idem_error error;
    sqlite3 *db = raw_open(store_path);
    raw_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA user_version = 7");
    for (int i = 0; i < 340; i++) {
        idem_store *store = NULL;
        idem_outcome out;
        (void)snprintf(key, sizeof key, "key-%d", i);
        ck_assert_idem_ok(idem_sqlite_open_on(db, "timeout=30s", &store, &error), error);
        ck_assert_idem_ok(idem_begin(store,
                                     IDEM_REQUEST(.key = idem_str(key), .lease_ms = 1,
                                                  .ttl_ms = i < 40 ? 720 * 3600000ull : 1),
                                     &out, &error),
                          error);
        idem_outcome_clear(&out);
        idem_close(store);
        sleep_ms(1);
    }
    ck_assert_int_le(raw_number(db, "SELECT count(*) FROM idem_record"), 120);
    ck_assert_int_eq(raw_number(db, "PRAGMA user_version"), 7);
    (void)sqlite3_close(db);
}
END_TEST

/* ------------------------------------------------------------------------------------- purge */

static uint64_t purge_portion(instance *on, idem_purge_portion *portion)
{
    idem_error error = {0};
    ck_assert_idem_ok(on->ops->purge(on->backend, portion, idem_monotonic_ms() + 30000, &error),
                      error);
    portion->cursor = portion->next;
    return portion->removed;
}

START_TEST(a_portion_of_a_purge_drops_few_large_rows)
{
    instance on;
    instance_open(&on, store_path, true);
    insert_expired(&on, 12, sizeof big);
    idem_purge_portion portion = {.limit = UINT64_MAX};
    uint64_t removed = purge_portion(&on, &portion);
    ck_assert_uint_ge(removed, 1);
    ck_assert_uint_le(removed, 8);
    ck_assert_uint_ne(portion.next, 0);
    while (portion.next)
        removed += purge_portion(&on, &portion);
    ck_assert_uint_eq(removed, 12);
    instance_close(&on);
}
END_TEST

/* Copies of one row of the store. */
static void multiply_rows(int count)
{
    char sql[700];
    (void)snprintf(
        sql, sizeof sql,
        "PRAGMA synchronous = OFF;"
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        "INSERT INTO idem_record (key, version, status, attempt, token, lease_ms, ttl_ms, live_ms,"
        " at_boot_id, at_boot_ms, at_wall_ms, created_at_ms, updated_at_ms)"
        "SELECT CAST(i AS BLOB), version, status, attempt, token, lease_ms, ttl_ms, live_ms,"
        " at_boot_id, at_boot_ms, at_wall_ms, created_at_ms, updated_at_ms FROM n, idem_record "
        "WHERE id = 1",
        count);
    file_exec(sql);
}

/* A read transaction keeps the log from being emptied. */
START_TEST(a_look_over_many_living_rows_is_made_in_portions)
{
    instance on;
    instance_open(&on, store_path, true);
    insert_response(&on, "first", 1, 60000);
    multiply_rows(500000);
    idem_purge_portion portion = {.limit = UINT64_MAX};
    uint64_t portions = 0;
    do {
        ck_assert_uint_eq(purge_portion(&on, &portion), 0);
        portions++;
    } while (portion.next);
    ck_assert_uint_ge(portions, 2);
    instance_close(&on);
}
END_TEST

/* Claims until the pipe is closed. Each has a second. */
static void claim_beside_a_purge(int until)
{
    char key[32];
    char byte;
    idem_store *store = NULL;
    CHILD_CHECK(idem_open(store_url("timeout=1s"), &store, NULL) == IDEM_OK);
    for (int i = 0; read(until, &byte, 1) == 1; i++) {
        idem_error error;
        idem_outcome out;
        (void)snprintf(key, sizeof key, "claim-%d", i);
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &error);
        if (rc)
            (void)fprintf(stderr, "%s\n", error.message);
        CHILD_CHECK(rc == IDEM_OK && out.kind == IDEM_NEW);
        idem_outcome_clear(&out);
    }
    idem_close(store);
}

START_TEST(a_purge_of_everything_goes_on_beside_another_process)
{
    int ticks[2];
    uint64_t removed = 0;
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "first", idem_str("1"), &error), error);
    file_exec("UPDATE idem_record SET live_ms = 1");
    multiply_rows(60000);
    ck_assert_int_eq(pipe(ticks), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)close(ticks[1]);
        claim_beside_a_purge(ticks[0]);
        _exit(0);
    }
    (void)close(ticks[0]);
    ck_assert_int_eq(write(ticks[1], "........................................", 40), 40);
    ck_assert_idem_ok(idem_purge(store, 0, &removed, &error), error);
    (void)close(ticks[1]);
    join_child(child);
    /* The child's own sweeps may have been first. */
    ck_assert_uint_ge(removed, 50000);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record WHERE live_ms = 1"), 0);
    idem_close(store);
}
END_TEST

/* --------------------------------------------------------------------------------------- log */

static atomic_bool enough;

static void *replay(void *user)
{
    idem_store *store = user;
    while (!atomic_load(&enough)) {
        idem_outcome out;
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str("done")), &out, NULL) ||
            out.kind != IDEM_COMPLETED)
            return "a replay failed";
        idem_outcome_clear(&out);
    }
    return NULL;
}

#define READERS 3

/* Overlapping reads in threads of two processes, until the parent ends this one. */
static void replay_in_a_child(void)
{
    pthread_t threads[READERS];
    idem_store *store = NULL;
    CHILD_CHECK(idem_open(store_url("timeout=30s"), &store, NULL) == IDEM_OK);
    for (size_t i = 0; i < READERS; i++)
        CHILD_CHECK(pthread_create(&threads[i], NULL, replay, store) == 0);
    for (size_t i = 0; i < READERS; i++)
        (void)pthread_join(threads[i], NULL);
    _exit(1);
}

static off_t log_size(void)
{
    char path[120];
    struct stat file;
    (void)snprintf(path, sizeof path, "%s-wal", store_path);
    return stat(path, &file) == 0 ? file.st_size : 0;
}

static off_t write_much(idem_store *store, int count, size_t len)
{
    char key[32];
    off_t most = 0;
    idem_error error;
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "new-%d", i);
        ck_assert_idem_ok(book(store, key, (idem_bytes){big, len}, &error), error);
        if (log_size() > most)
            most = log_size();
    }
    return most;
}

START_TEST(the_log_stays_short_under_saturating_readers)
{
    pthread_t threads[READERS];
    idem_error error;
    void *failed = NULL;
    memset(big, '1', sizeof big);
    idem_store *store = open_store("synchronous=normal&ttl=1s");
    ck_assert_idem_ok(book(store, "other", idem_str("1"), &error), error);
    idem_store *readers = open_store("");
    ck_assert_idem_ok(book(readers, "done", idem_str("1"), &error), error);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        replay_in_a_child();
    for (size_t i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, replay, readers), 0);
    off_t most = write_much(store, 320, 256 * 1024);
    atomic_store(&enough, true);
    for (size_t i = 0; i < READERS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_msg(!failed, "%s", (const char *)failed);
    }
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_msg(most <= (off_t)(64 * MIB), "the log had %lld bytes", (long long)most);
    idem_close(readers);
    idem_close(store);
}
END_TEST

START_TEST(a_batch_of_large_records_is_no_single_transaction)
{
    enum { COUNT = 20 };
    char keys[COUNT][16];
    idem_record records[COUNT];
    idem_op ops[COUNT];
    instance on;
    instance_open(&on, store_path, true);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%zu", i);
        records[i] = make_record(keys[i], 1);
        records[i].status = IDEM_STATUS_COMPLETED;
        records[i].response = (idem_bytes){big, sizeof big};
        ops[i] = op_insert(&records[i], 60000);
    }
    submit(&on, ops, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        ck_assert_msg(ops[i].applied, "%s", ops[i].error.message);
    ck_assert_int_le(log_size(), (off_t)(64 * MIB));
    instance_close(&on);
    ck_assert_int_eq(count_rows(), COUNT);
}
END_TEST

/* Nothing can be done about a reader that never ends; the store works on. */
START_TEST(a_reader_that_stays_stops_no_writer)
{
    idem_error error;
    memset(big, '1', sizeof big);
    idem_store *store = open_store("synchronous=normal");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    sqlite3 *reader = raw_open(store_path);
    raw_exec(reader, "BEGIN");
    ck_assert_int_ge(raw_number(reader, "SELECT count(*) FROM idem_record"), 1);
    uint64_t begun_ms = idem_monotonic_ms();
    ck_assert_int_ge(write_much(store, 120, 256 * 1024), (off_t)(16 * MIB));
    ck_assert_uint_le(idem_monotonic_ms() - begun_ms, 20000);
    raw_exec(reader, "COMMIT");
    (void)sqlite3_close(reader);
    /* It is emptied when the put-off tries come to it again. */
    for (int i = 0; i < 100 && log_size() > (off_t)(16 * MIB); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "late-%d", i);
        ck_assert_idem_ok(book(store, key, (idem_bytes){big, 256 * 1024}, &error), error);
    }
    ck_assert_int_le(log_size(), (off_t)(17 * MIB));
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite bounds");
    ADD_IN_FOLDER(suite, a_short_deadline_is_not_spent_on_large_expired_rows);
    ADD_IN_FOLDER(suite, a_sweep_drops_one_large_row_where_there_is_time);
    ADD_IN_FOLDER(suite, large_rows_do_not_pile_up);
    ADD_IN_FOLDER(suite, processes_that_write_once_sweep_further_each_time);
    ADD_IN_FOLDER(suite, in_a_callers_database_the_sweep_begins_anywhere);
    ADD_IN_FOLDER(suite, a_portion_of_a_purge_drops_few_large_rows);
    ADD_IN_FOLDER(suite, a_look_over_many_living_rows_is_made_in_portions);
    ADD_IN_FOLDER(suite, a_purge_of_everything_goes_on_beside_another_process);
    ADD_IN_FOLDER(suite, the_log_stays_short_under_saturating_readers);
    ADD_IN_FOLDER(suite, a_batch_of_large_records_is_no_single_transaction);
    ADD_IN_FOLDER(suite, a_reader_that_stays_stops_no_writer);
    return run_suite(suite);
}
