/* SPDX-License-Identifier: MIT */
/* What the tests of the SQLite backend share: a folder for each test, a second opinion by raw
   SQLite, the backend entered below the protocol, and children that report with their exit code. */
#ifndef IDEM_TESTS_SQLITE_SUPPORT_H
#define IDEM_TESTS_SQLITE_SUPPORT_H

#include <idem/backend.h>
#include <idem/sqlite.h>

#include "runner.h"

#include <check.h>
#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------- the folder */

static char folder[64];
static char store_path[96];

static inline void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/idem-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(store_path, sizeof store_path, "%s/store.db", folder);
}

static inline void remove_folder(void)
{
    char path[400];
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
    (void)rmdir(folder);
}

/* Adds a test that has a folder of its own. */
#define ADD_IN_FOLDER(suite, test)                                     \
    do {                                                               \
        TCase *tcase_ = tcase_create(#test);                           \
        tcase_set_timeout(tcase_, 60);                                 \
        tcase_add_checked_fixture(tcase_, make_folder, remove_folder); \
        tcase_add_test(tcase_, test);                                  \
        suite_add_tcase(suite, tcase_);                                \
    } while (0)

#define ADD_ROWS_IN_FOLDER(suite, test, rows)                                          \
    do {                                                                               \
        TCase *tcase_ = tcase_create(#test);                                           \
        tcase_set_timeout(tcase_, 60);                                                 \
        tcase_add_checked_fixture(tcase_, make_folder, remove_folder);                 \
        tcase_add_loop_test(tcase_, test, 0, (int)(sizeof(rows) / sizeof((rows)[0]))); \
        suite_add_tcase(suite, tcase_);                                                \
    } while (0)

/* The URL of the test's store, with options behind it. Static. */
static inline const char *store_url(const char *options)
{
    static char url[300];
    (void)snprintf(url, sizeof url, "sqlite:%s%s%s", store_path, *options ? "?" : "", options);
    return url;
}

/* ------------------------------------------------------------------------- the public calls */

#define ck_assert_idem_ok(call, error) ck_assert_msg((call) == IDEM_OK, "%s", (error).message)

#define ck_assert_says(error, part)                                                        \
    ck_assert_msg(strstr((error).message, (part)) != NULL, "\"%s\" is not in: %s", (part), \
                  (error).message)

/* Where no deadline is to be seen, a slow machine has time. */
static inline idem_store *open_store(const char *options)
{
    char patient[160];
    idem_store *store = NULL;
    idem_error error;
    (void)snprintf(patient, sizeof patient, "%s%stimeout=30s", options, *options ? "&" : "");
    if (strstr(options, "timeout="))
        (void)snprintf(patient, sizeof patient, "%s", options);
    ck_assert_idem_ok(idem_open(store_url(patient), &store, &error), error);
    return store;
}

/* Begins and completes a key that is new. Returns 0 or the code of what failed, so that a child
   can use it too. */
static inline int book(idem_store *store, const char *key, idem_bytes response, idem_error *error)
{
    idem_outcome outcome;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &outcome, error);
    if (rc)
        return rc;
    if (outcome.kind != IDEM_NEW)
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "outcome %d", (int)outcome.kind);
    else
        rc = idem_complete(store, outcome.claim, response, error);
    idem_outcome_clear(&outcome);
    return rc;
}

/* Is this key completed with this response? */
static inline bool is_booked(idem_store *store, const char *key, idem_bytes response)
{
    idem_record record;
    if (idem_get(store, idem_str(key), &record, NULL))
        return false;
    bool booked = record.status == IDEM_STATUS_COMPLETED && record.response.len == response.len &&
                  memcmp(record.response.data, response.data, response.len) == 0;
    idem_record_clear(&record);
    return booked;
}

/* ------------------------------------------------------------------- several files and keys */

static char other_path[96];

/* "folder/name", static. */
static inline const char *in_folder(const char *name)
{
    (void)snprintf(other_path, sizeof other_path, "%s/%s", folder, name);
    return other_path;
}

static inline int open_at(const char *path, const char *options, idem_store **store,
                          idem_error *error)
{
    char url[300];
    (void)snprintf(url, sizeof url, "sqlite:%s?timeout=5s%s", path, options);
    return idem_open(url, store, error);
}

/* Removes what SQLite has put beside the test's file. */
static inline void remove_log(void)
{
    char path[112];
    (void)snprintf(path, sizeof path, "%s-wal", store_path);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s-shm", store_path);
    (void)unlink(path);
}

static inline void book_keys(idem_store *store, int from, int to)
{
    char key[16];
    idem_error error;
    for (int i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        ck_assert_idem_ok(book(store, key, idem_str("1"), &error), error);
    }
}

/* How many of the keys that were completed a begin calls new. */
static inline int count_new(idem_store *store, int count)
{
    char key[16];
    int fresh = 0;
    for (int i = 0; i < count; i++) {
        idem_outcome outcome;
        (void)snprintf(key, sizeof key, "%d", i);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &outcome, NULL))
            continue;
        fresh += outcome.kind == IDEM_NEW;
        idem_outcome_clear(&outcome);
    }
    return fresh;
}

/* ----------------------------------------------------------------------------- raw SQLite */

static inline sqlite3 *raw_open(const char *path)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

static inline void raw_exec(sqlite3 *db, const char *sql)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);
    ck_assert_msg(code == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
}

static inline int64_t raw_number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

/* Runs SQL on the test's file over a connection of its own. */
static inline void file_exec(const char *sql)
{
    sqlite3 *db = raw_open(store_path);
    raw_exec(db, sql);
    (void)sqlite3_close(db);
}

static inline int64_t file_number(const char *sql)
{
    sqlite3 *db = raw_open(store_path);
    int64_t number = raw_number(db, sql);
    (void)sqlite3_close(db);
    return number;
}

/* ---------------------------------------------------------------- below the protocol: ops */

/* A clock that stands where the test has put it. */
static uint64_t test_clock_ms = 1000000;

static inline uint64_t read_test_clock(void *user)
{
    (void)user;
    return test_clock_ms;
}

typedef struct {
    const idem_backend_ops *ops;
    idem_value values[4]; /* synchronous, busy_timeout; of no use here: mode, create */
    idem_config config;
    idem_backend *backend;
} instance;

static inline const idem_backend_ops *find_backend(void)
{
    const idem_backend_ops *ops;
    for (size_t i = 0; (ops = idem_backend_at(i)) != NULL; i++) {
        if (strcmp(ops->scheme, "sqlite") == 0)
            return ops;
    }
    ck_abort_msg("there is no SQLite backend");
    return NULL;
}

/* Opens an instance of the backend on a path, with the test's clock or without. */
static inline void instance_open(instance *on, const char *path, bool with_clock)
{
    idem_error error = {0};
    memset(on, 0, sizeof *on);
    on->ops = find_backend();
    on->values[0] = (idem_value){"normal", 1};
    on->config = (idem_config){.size = sizeof on->config,
                               .scheme = "sqlite",
                               .path = path,
                               .role = IDEM_ROLE_ANY,
                               .values = on->values,
                               .display = "sqlite:",
                               .deadline_ms = idem_monotonic_ms() + 30000};
    if (with_clock)
        on->config.clock.now_ms = read_test_clock;
    ck_assert_idem_ok(on->ops->open(&on->config, &on->backend, &error), error);
}

static inline void instance_close(instance *on)
{
    on->ops->close(on->backend);
}

static inline void submit(instance *on, idem_op *ops, size_t count)
{
    idem_op *list[IDEM_BATCH_MAX];
    idem_error error = {0};
    for (size_t i = 0; i < count; i++)
        list[i] = &ops[i];
    ck_assert_idem_ok(
        on->ops->submit(on->backend, list, count, idem_monotonic_ms() + 30000, &error), error);
}

/* A record in progress under a key, with bytes in its token. */
static inline idem_record make_record(const char *key, uint64_t version)
{
    idem_record record = {.key = idem_str(key),
                          .status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 1,
                          .version = version,
                          .lease_ms = 1000,
                          .ttl_ms = 60000};
    memset(record.token, 7, sizeof record.token);
    return record;
}

static inline idem_op op_insert(const idem_record *record, uint64_t live_ms)
{
    return (idem_op){
        .kind = IDEM_OP_INSERT, .key = record->key, .record = record, .live_ms = live_ms};
}

static inline idem_op op_replace(const idem_record *record, uint64_t live_ms, uint64_t expected)
{
    return (idem_op){.kind = IDEM_OP_REPLACE,
                     .key = record->key,
                     .record = record,
                     .live_ms = live_ms,
                     .expected = expected};
}

static inline idem_op op_remove(const char *key, bool any_version, uint64_t expected)
{
    return (idem_op){.kind = IDEM_OP_REMOVE,
                     .key = idem_str(key),
                     .any_version = any_version,
                     .expected = expected};
}

static inline idem_op op_get(const char *key)
{
    return (idem_op){.kind = IDEM_OP_GET, .key = idem_str(key)};
}

/* Submits one op that has to be answered without an error. */
static inline void submit_one(instance *on, idem_op *op)
{
    submit(on, op, 1);
    ck_assert_msg(op->error.code == IDEM_OK, "%s", op->error.message);
}

/* The age of a live record. */
static inline uint64_t age_of(instance *on, const char *key)
{
    idem_op get = op_get(key);
    submit_one(on, &get);
    ck_assert(get.has_found);
    uint64_t age_ms = get.found.age_ms;
    idem_record_clear(&get.found);
    return age_ms;
}

static inline bool is_live(instance *on, const char *key)
{
    idem_op get = op_get(key);
    submit_one(on, &get);
    idem_record_clear(&get.found);
    return get.has_found;
}

/* -------------------------------------------------------------------------------- children */

/* In a child: says where it went wrong and ends it. */
#define CHILD_CHECK(condition)                                                              \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

/* Waits for a child; it has to have ended well. */
static inline void join_child(pid_t child)
{
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with status %x",
                  (unsigned)status);
}

/* Runs a function in a child and waits for it. */
static inline void run_in_child(void (*run)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run();
        _exit(0);
    }
    join_child(child);
}

static inline void sleep_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

#endif
