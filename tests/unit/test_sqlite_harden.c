/* SPDX-License-Identifier: MIT */
/* Files that were written by whoever wants to make the library do something: what is no row of a
   table of ours is not run, and nothing that is run goes on beyond the deadline. */
#include "sqlite_support.h"

#include "sqlite/harden.h"
#include "sqlite/statements.h"

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

#define ENDLESS_TRIGGER                                              \
    "CREATE TRIGGER endless AFTER INSERT ON idem_record BEGIN "      \
    "INSERT INTO side SELECT count(*) FROM (WITH RECURSIVE n(i) AS " \
    "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n); END"

static const struct {
    const char *sql;
    const char *says;
} hostile[] = {
    {"CREATE TABLE side (a); " ENDLESS_TRIGGER, "trigger \"endless\""},
    {"CREATE TRIGGER gone BEFORE DELETE ON idem_record BEGIN SELECT 1; END", "trigger \"gone\""},
    {"DROP TABLE idem_record;"
     "CREATE VIEW idem_record AS " ENDLESS "SELECT i AS key, i AS id FROM n",
     "view \"idem_record\""},
    {"DROP TABLE idem_record; CREATE VIRTUAL TABLE idem_record USING fts5(key)",
     "table \"idem_record\""},
    {"ALTER TABLE idem_record ADD COLUMN more INTEGER AS (length(hex(zeroblob(400000000))))",
     "table \"idem_record\""},
    {"CREATE INDEX slow ON idem_record(length(hex(zeroblob(400000))))", "index \"slow\""},
    {"CREATE UNIQUE INDEX once ON idem_record(attempt)", "index \"once\""},
    {"DROP TABLE idem_record; CREATE TABLE idem_record (id INTEGER PRIMARY KEY, key BLOB,"
     " version, status, attempt, token, lease_ms, ttl_ms, live_ms, at_boot_id, at_boot_ms,"
     " at_wall_ms, created_at_ms, updated_at_ms, fingerprint, response, checkpoint)",
     "table \"idem_record\""},
    {"DROP TABLE idem_record", "that this library did not make"},
};

static void fill_file(void)
{
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
}

START_TEST(tables_with_more_than_rows_are_refused)
{
    idem_error error;
    idem_store *store = NULL;
    fill_file();
    file_exec(hostile[_i].sql);
    uint64_t begun_ms = idem_monotonic_ms();
    ck_assert_int_eq(idem_open(store_url("timeout=500ms"), &store, &error), IDEM_ERR_CORRUPT);
    ck_assert_says(error, hostile[_i].says);
    ck_assert_says(error, store_path);
    sqlite3 *db = raw_open(store_path);
    ck_assert_int_eq(idem_sqlite_open_on(db, "timeout=500ms", &store, &error), IDEM_ERR_CORRUPT);
    ck_assert_says(error, hostile[_i].says);
    (void)sqlite3_close(db);
    ck_assert_uint_le(idem_monotonic_ms() - begun_ms, 10000);
}
END_TEST

START_TEST(a_view_in_the_place_of_the_version_is_not_run)
{
    idem_error error;
    idem_store *store = NULL;
    fill_file();
    file_exec("DROP TABLE idem_schema;"
              "CREATE VIEW idem_schema AS " ENDLESS "SELECT i AS version, 1 AS id FROM n "
              "WHERE i < 0");
    ck_assert_int_ne(idem_open(store_url("timeout=500ms"), &store, &error), IDEM_OK);
    sqlite3 *db = raw_open(store_path);
    ck_assert_int_ne(idem_sqlite_open_on(db, "timeout=500ms", &store, &error), IDEM_OK);
    (void)sqlite3_close(db);
}
END_TEST

START_TEST(a_trigger_that_comes_later_is_not_fired)
{
    idem_error error;
    idem_store *store = open_store("timeout=5s");
    ck_assert_idem_ok(book(store, "a", idem_str("1"), &error), error);
    file_exec("CREATE TABLE side (a); " ENDLESS_TRIGGER);
    ck_assert_idem_ok(book(store, "b", idem_str("2"), &error), error);
    ck_assert(is_booked(store, "b", idem_str("2")));
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM side"), 0);
}
END_TEST

/* ---------------------------------------------------------------------------------- deadline */

static idem__sqlite hardened(sqlite3 *db, uint64_t for_ms)
{
    idem__sqlite self = {.db = db,
                         .in_memory = true,
                         .busy_timeout_ms = UINT64_MAX,
                         .entered_ms = idem_monotonic_ms(),
                         .deadline_ms = idem_monotonic_ms() + for_ms,
                         .give_up_ms = idem_monotonic_ms() + for_ms,
                         .name = "the test's file"};
    return self;
}

START_TEST(a_statement_that_does_not_end_is_ended_at_the_deadline)
{
    sqlite3 *db = raw_open(":memory:");
    sqlite3_stmt *statement = NULL;
    idem__sqlite_fault fault = {0};
    idem__sqlite self = hardened(db, 100);
    ck_assert_int_eq(idem__sqlite_harden_connection(&self), SQLITE_OK);
    ck_assert_int_eq(idem__sqlite_prepare(&self, ENDLESS "SELECT count(*) FROM n", 0, &statement),
                     SQLITE_OK);
    int code = idem__sqlite_step(&self, statement);
    ck_assert_int_eq(code, SQLITE_INTERRUPT);
    ck_assert_uint_ge(idem_monotonic_ms(), self.deadline_ms);
    ck_assert_int_eq(idem__sqlite_fault_take(&self, code, &fault), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(fault.error, "deadline");
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
}
END_TEST

/* It would report as not made what was made. */
START_TEST(a_commit_that_has_begun_is_not_ended)
{
    sqlite3 *db = raw_open(":memory:");
    idem__sqlite self = hardened(db, 0);
    ck_assert_int_eq(idem__sqlite_harden_connection(&self), SQLITE_OK);
    self.committing = true;
    raw_exec(db, "CREATE TABLE t (a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                 "FROM n WHERE i < 100000) INSERT INTO t SELECT i FROM n");
    self.committing = false;
    ck_assert_int_eq(sqlite3_exec(db, ENDLESS "SELECT count(*) FROM n", NULL, NULL, NULL),
                     SQLITE_INTERRUPT);
    (void)sqlite3_close(db);
}
END_TEST

/* ------------------------------------------------------------------------------------ caller */

START_TEST(a_callers_connection_keeps_its_settings)
{
    static const int settings[] = {SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_TRUSTED_SCHEMA,
                                   SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                                   SQLITE_DBCONFIG_ENABLE_FKEY};
    int before[5];
    int after[5];
    idem_error error;
    idem_store *store = NULL;
    sqlite3 *db = raw_open(store_path);
    int attached = sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, -1);
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(sqlite3_db_config(db, settings[i], -1, &before[i]), SQLITE_OK);
    ck_assert_idem_ok(idem_sqlite_open_on(db, NULL, &store, &error), error);
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(sqlite3_db_config(db, settings[i], -1, &after[i]), SQLITE_OK);
        ck_assert_int_eq(after[i], before[i]);
    }
    ck_assert_int_eq(sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, -1), attached);
    idem_close(store);
    (void)sqlite3_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite harden");
    ADD_ROWS_IN_FOLDER(suite, tables_with_more_than_rows_are_refused, hostile);
    ADD_IN_FOLDER(suite, a_view_in_the_place_of_the_version_is_not_run);
    ADD_IN_FOLDER(suite, a_trigger_that_comes_later_is_not_fired);
    ADD_IN_FOLDER(suite, a_statement_that_does_not_end_is_ended_at_the_deadline);
    ADD_IN_FOLDER(suite, a_commit_that_has_begun_is_not_ended);
    ADD_IN_FOLDER(suite, a_callers_connection_keeps_its_settings);
    return run_suite(suite);
}
