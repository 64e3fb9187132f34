/* SPDX-License-Identifier: MIT */
/*
 * The least that claims, completes and replays in SQLite: prepared statements on the library's own
 * table, which the library makes, one connection for each caller. A claim or a completion alone is
 * one statement in a transaction of its own. A replay reads all columns of the record, and checks
 * none.
 */
#include "../harness.h"

#include <idem/idem.h>

#include <sqlite3.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATH_SIZE 512u

typedef enum { INSERT, UPDATE, SELECT, BEGIN, COMMIT, STATEMENTS } statement;

static const char *const texts[STATEMENTS] = {
    [INSERT] = "INSERT OR IGNORE INTO idem_record (key, version, status, attempt, token, lease_ms,"
               " ttl_ms, live_ms, created_at_ms, updated_at_ms, at_boot_id, at_boot_ms, at_wall_ms)"
               " VALUES (?1, ?2, 1, 1, ?3, 60000, 86400000, 86400000, ?4, ?4, 1, ?5, ?4)",
    [UPDATE] = "UPDATE idem_record SET version = ?2, status = 2, response = ?3, updated_at_ms = ?4,"
               " at_boot_id = 1, at_boot_ms = ?5, at_wall_ms = ?4 WHERE key = ?1 AND version = ?6",
    [SELECT] = "SELECT live_ms, at_boot_id, at_boot_ms, at_wall_ms, key, version, status, attempt,"
               " token, lease_ms, ttl_ms, created_at_ms, updated_at_ms, fingerprint, checkpoint,"
               " response FROM idem_record WHERE key = ?1",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
};

typedef struct {
    char path[PATH_SIZE];
    bool normal;
    const bench_options *options;
} place;

typedef struct {
    const place *at;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    uint64_t random;
} subject;

static void check(const subject *self, bool fine)
{
    if (!fine)
        bench_fail("sqlite: %s", sqlite3_errmsg(self->db));
}

/* ------------------------------------------------------------------------------------ places */

static void *open_place(const bench_options *options)
{
    static const char scheme[] = "sqlite://";
    place *self = bench_alloc(sizeof *self);
    idem_store *store;
    idem_error error;
    if (idem_open(options->place, &store, &error))
        bench_fail("%s", error.message);
    idem_close(store);
    size_t len = strcspn(options->place, "?");
    if (strncmp(options->place, scheme, sizeof scheme - 1) != 0 || len >= sizeof self->path)
        bench_fail("%s is not sqlite:///PATH", options->place);
    len -= sizeof scheme - 1;
    memcpy(self->path, options->place + sizeof scheme - 1, len);
    self->path[len] = '\0';
    self->normal = strstr(options->place, "synchronous=normal") != NULL;
    self->options = options;
    return self;
}

static void close_place(void *shared)
{
    free(shared);
}

static void *enter(void *shared)
{
    subject *self = bench_alloc(sizeof *self);
    self->at = shared;
    self->random = bench_now_ns();
    const char *modes = self->at->normal ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
                                         : "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL";
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    check(self, sqlite3_open_v2(self->at->path, &self->db, flags, NULL) == SQLITE_OK);
    (void)sqlite3_busy_timeout(self->db, 5000);
    check(self, sqlite3_exec(self->db, modes, NULL, NULL, NULL) == SQLITE_OK);
    for (int i = 0; i < STATEMENTS; i++)
        check(self, sqlite3_prepare_v3(self->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                       &self->statements[i], NULL) == SQLITE_OK);
    return self;
}

static void leave(void *mine)
{
    subject *self = mine;
    for (int i = 0; i < STATEMENTS; i++)
        (void)sqlite3_finalize(self->statements[i]);
    (void)sqlite3_close(self->db);
    free(self);
}

/* -------------------------------------------------------------------------------------- work */

static sqlite3_int64 clock_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (sqlite3_int64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void bind_blob(sqlite3_stmt *to, int parameter, const void *data, size_t len)
{
    (void)sqlite3_bind_blob64(to, parameter, data, len, SQLITE_STATIC);
}

/* Steps a statement to its end; it has to change one row. */
static void change(const subject *self, sqlite3_stmt *made)
{
    check(self, sqlite3_step(made) == SQLITE_DONE);
    (void)sqlite3_reset(made);
    if (sqlite3_changes(self->db) != 1)
        bench_fail("sqlite: nothing was changed");
}

static sqlite3_int64 claim(subject *self, const bench_key *key)
{
    sqlite3_stmt *insert = self->statements[INSERT];
    uint64_t token[2] = {bench_random(&self->random), bench_random(&self->random)};
    sqlite3_int64 version = (sqlite3_int64)bench_random(&self->random);
    bind_blob(insert, 1, key->text, BENCH_KEY_LEN);
    (void)sqlite3_bind_int64(insert, 2, version);
    bind_blob(insert, 3, token, sizeof token);
    (void)sqlite3_bind_int64(insert, 4, clock_ms(CLOCK_REALTIME));
    (void)sqlite3_bind_int64(insert, 5, clock_ms(CLOCK_BOOTTIME));
    change(self, insert);
    return version;
}

static void complete(subject *self, const bench_key *key, sqlite3_int64 expected)
{
    sqlite3_stmt *update = self->statements[UPDATE];
    const bench_options *options = self->at->options;
    bind_blob(update, 1, key->text, BENCH_KEY_LEN);
    (void)sqlite3_bind_int64(update, 2, (sqlite3_int64)bench_random(&self->random));
    bind_blob(update, 3, options->response, options->response_len);
    (void)sqlite3_bind_int64(update, 4, clock_ms(CLOCK_REALTIME));
    (void)sqlite3_bind_int64(update, 5, clock_ms(CLOCK_BOOTTIME));
    (void)sqlite3_bind_int64(update, 6, expected);
    change(self, update);
}

static void run(const subject *self, statement which)
{
    check(self, sqlite3_step(self->statements[which]) == SQLITE_DONE);
    (void)sqlite3_reset(self->statements[which]);
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    const subject *self = mine;
    if (count > 1)
        run(self, BEGIN);
    for (size_t i = 0; i < count; i++)
        (void)claim(mine, &keys[i]);
    if (count > 1)
        run(self, COMMIT);
}

static void work_cycle(void *mine, const bench_key *keys, size_t count)
{
    const subject *self = mine;
    sqlite3_int64 versions[BENCH_BATCH_MAX];
    if (count > 1)
        run(self, BEGIN);
    for (size_t i = 0; i < count; i++)
        versions[i] = claim(mine, &keys[i]);
    if (count > 1) {
        run(self, COMMIT);
        run(self, BEGIN);
    }
    for (size_t i = 0; i < count; i++)
        complete(mine, &keys[i], versions[i]);
    if (count > 1)
        run(self, COMMIT);
}

/* Reads a row's columns as what they are. @return a copy of the response */
static char *read_row(sqlite3_stmt *row, sqlite3_int64 now_ms)
{
    enum { LIVE_MS = 0, AT_BOOT_MS = 2, RESPONSE = 15 };
    static const bool blobs[RESPONSE + 1] = {
        [4] = true, [8] = true, [13] = true, [14] = true, [RESPONSE] = true};
    sqlite3_int64 numbers[RESPONSE + 1] = {0};
    const void *bytes[RESPONSE + 1] = {NULL};
    for (int i = 0; i <= RESPONSE; i++) {
        if (blobs[i]) {
            bytes[i] = sqlite3_column_blob(row, i);
            numbers[i] = sqlite3_column_bytes(row, i);
        } else {
            numbers[i] = sqlite3_column_int64(row, i);
        }
    }
    if (now_ms - numbers[AT_BOOT_MS] >= numbers[LIVE_MS])
        bench_fail("sqlite: a record has expired");
    char *copy = bench_alloc((size_t)numbers[RESPONSE]);
    memcpy(copy, bytes[RESPONSE], (size_t)numbers[RESPONSE]);
    return copy;
}

static void work_replay(void *mine, const bench_key *keys, size_t count)
{
    const subject *self = mine;
    sqlite3_stmt *select = self->statements[SELECT];
    for (size_t i = 0; i < count; i++) {
        bind_blob(select, 1, keys[i].text, BENCH_KEY_LEN);
        check(self, sqlite3_step(select) == SQLITE_ROW);
        free(read_row(select, clock_ms(CLOCK_BOOTTIME)));
        (void)sqlite3_reset(select);
    }
}

int main(int argc, char **argv)
{
    static const bench_subject sqlite = {
        .open = open_place,
        .close = close_place,
        .enter = enter,
        .leave = leave,
        .work =
            {[BENCH_CLAIM] = work_claim, [BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &sqlite);
}
