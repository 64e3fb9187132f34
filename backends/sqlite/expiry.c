/* SPDX-License-Identifier: MIT */
/*
 * Passes over the rows, in the order of their ids. A pass first reads the beginnings of some rows,
 * and then changes single rows by their ids. The reading statement ends after some milliseconds: a
 * read transaction keeps the write-ahead log from being emptied.
 *
 * Inserts also sweep. A sweep looks at more rows than were added since the last one, so a pass over
 * the whole table is faster than filling it, and expired rows stay fewer than live ones. An
 * instance sweeps with its first insert, and then once for several inserts, since starting a sweep
 * costs far more than a row of it. Dropping a row takes time by its size, in one step that can't be
 * interrupted. So a sweep drops few bytes, and a large row only if its caller has time for it. Rows
 * that are too large for the callers' deadlines are left to purge.
 *
 * The cursor is kept in memory; every instance has its own. Processes that write once would all
 * sweep the same rows, so an instance begins where the last one that began had got to: that stands
 * in the file's user_version, which in a file of our own nobody else uses. In a caller's database
 * the sweep begins anywhere.
 */
#include "expiry.h"

#include "wal_trim.h"
#include "row.h"
#include "schema.h"
#include "transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A sweep is made for the inserts of its transaction and as many that come later, at so many rows
   for each. */
#define SWEEP_INSERTS         16u
#define SWEEP_ROWS_PER_INSERT 2u
/* A sweep drops so many bytes at most, and one row that is larger. */
#define SWEEP_BYTES (UINT64_C(256) * 1024)
/* That row has so many bytes for each millisecond that is left of the call. A disk that syncs
   drops some 300 KiB in one; a slow one a tenth of it. */
#define SWEEP_BYTES_PER_MS (UINT64_C(16) * 1024)
/* A call that writes large records drops as much as it writes, if it has time for a good disk. */
#define SWEEP_BYTES_PER_MS_WRITING (UINT64_C(64) * 1024)
/* A sweep ends after this part of the time that is left of the call. */
#define SWEEP_PART_OF_TIME 8u
/* What a purge drops in one transaction, so that other writers get their turn. One row may be
   larger. */
#define PURGE_ROWS  500u
#define PURGE_BYTES (UINT64_C(2) * 1024 * 1024)
#define PURGE_MS    10u
/* How long a portion of a purge goes on, and a look. */
#define PORTION_MS 20u
/* A purge leaves the lock alone for a part of the time that it had it: other processes try to
   get it every 5 ms or so. */
#define PURGE_PAUSE_PART   4u
#define PURGE_PAUSE_MS_MAX 20u
/* So many rows are looked at between two looks at the clock. */
#define ROWS_PER_LOOK 256u
/* A page of a scan has about so many bytes at most. */
#define PAGE_BYTES (1024u * 1024u)

/* Expired rows on a stretch of the table. */
typedef struct {
    int64_t from;    /* the row before the first one that was looked at */
    int64_t cursor;  /* the last row that was looked at */
    uint64_t looked; /* at so many rows */
    bool ended;      /* there was none behind the last one */
    uint64_t bytes;  /* of the rows that were found */
    size_t strays;   /* rows that are to be dated anew, or they would never expire */
    size_t count;
    int64_t ids[PURGE_ROWS];
} stretch;

/* Where a look ends. */
typedef struct {
    uint64_t rows;
    size_t count;       /* of expired ones */
    uint64_t bytes;     /* of these together */
    uint64_t row_bytes; /* of one that alone exceeds `bytes`; larger ones are passed over */
    uint64_t until_ms;
} bounds;

/* Begins to look at the rows behind an id; with a prefix, at which of them have it. */
static sqlite3_stmt *look_behind(idem__sqlite *self, int64_t id, const idem_bytes *prefix,
                                 idem__sqlite_fault *fault)
{
    sqlite3_stmt *look =
        idem__sqlite_statement(self, prefix ? IDEM__SQLITE_LIST : IDEM__SQLITE_LOOK, fault);
    if (!look)
        return NULL;
    int code = sqlite3_bind_int64(look, IDEM__SQLITE_P_KEY, id);
    /* No bytes are still a blob: NULL has no length. */
    if (code == SQLITE_OK && prefix)
        code = sqlite3_bind_blob64(look, IDEM__SQLITE_P_PREFIX, prefix->len ? prefix->data : "",
                                   prefix->len, SQLITE_STATIC);
    if (code == SQLITE_OK)
        return look;
    (void)idem__sqlite_fault_take(self, code, fault);
    return NULL;
}

/* Adds the row that the look stands at. @return false: the stretch is full */
static bool add_expired(stretch *found, const bounds *to, int64_t id, uint64_t size)
{
    bool fits = found->bytes + size <= to->bytes;
    if (!fits && size > to->row_bytes) {
        found->cursor = id;
        return true;
    }
    if (!fits && found->count > 0)
        return false; /* the next look begins with it */
    found->cursor = id;
    found->ids[found->count++] = id;
    found->bytes += size;
    return fits;
}

/* Looks at the row that the look stands at. @return false: the stretch is full */
static bool look_at(stretch *found, const bounds *to, sqlite3_stmt *look,
                    const idem__sqlite_now *now)
{
    uint64_t age_ms = 0;
    int64_t id = sqlite3_column_int64(look, IDEM__SQLITE_C_ID);
    found->looked++;
    if (!idem__sqlite_row_is_live(look, now, &age_ms))
        return add_expired(found, to, id,
                           (uint64_t)sqlite3_column_int64(look, IDEM__SQLITE_C_SIZE));
    idem__sqlite_date date = idem__sqlite_row_date(look);
    found->strays += age_ms == 0 && idem__sqlite_clock_is_stray(now, &date);
    found->cursor = id;
    return true;
}

/* Looks at rows behind the stretch's cursor for expired ones. */
static int look_for_expired(idem__sqlite *self, stretch *found, const bounds *to,
                            const idem__sqlite_now *now, idem__sqlite_fault *fault)
{
    int code = SQLITE_ROW;
    found->from = found->cursor;
    found->strays = 0;
    found->count = 0;
    found->looked = 0;
    found->bytes = 0;
    sqlite3_stmt *look = look_behind(self, found->cursor, NULL, fault);
    if (!look)
        return fault->error.code;
    while (found->looked < to->rows && found->count < to->count && found->strays < PURGE_ROWS) {
        code = idem__sqlite_step(self, look);
        if (code != SQLITE_ROW || !look_at(found, to, look, now))
            break;
        if (found->looked % ROWS_PER_LOOK == 0 && idem_monotonic_ms() >= to->until_ms)
            break;
    }
    idem__sqlite_done(look);
    found->ended = code == SQLITE_DONE;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return IDEM_OK;
    return idem__sqlite_fault_take(self, code, fault);
}

/* Dates the strays of a stretch anew. */
static int date_strays(idem__sqlite *self, const stretch *found, const idem__sqlite_now *now,
                       idem__sqlite_fault *fault)
{
    if (found->strays == 0)
        return IDEM_OK;
    sqlite3_stmt *date = idem__sqlite_statement(self, IDEM__SQLITE_DATE_RANGE, fault);
    if (!date)
        return fault->error.code;
    int code = sqlite3_bind_int64(date, IDEM__SQLITE_P_KEY, found->from);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(date, IDEM__SQLITE_P_EXPECTED, found->cursor);
    if (code == SQLITE_OK)
        code = idem__sqlite_clock_bind(date, now);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, date);
    idem__sqlite_done(date);
    return code == SQLITE_DONE ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

/* Drops the rows that were found, in the transaction that is open. What time does not allow is
   not dropped, and the stretch ends before it. */
static int drop(idem__sqlite *self, stretch *found, uint64_t until_ms, const idem__sqlite_now *now,
                uint64_t *dropped, idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = idem__sqlite_statement(self, IDEM__SQLITE_DROP, fault);
    if (!statement)
        return fault->error.code;
    for (size_t i = 0; i < found->count; i++) {
        int code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_KEY, found->ids[i]);
        if (code == SQLITE_OK)
            code = idem__sqlite_clock_bind(statement, now);
        if (code == SQLITE_OK)
            code = idem__sqlite_step(self, statement);
        idem__sqlite_done(statement);
        if (code != SQLITE_DONE)
            return idem__sqlite_fault_take(self, code, fault);
        *dropped += (uint64_t)sqlite3_changes(self->db);
        if (i + 1 < found->count && idem_monotonic_ms() >= until_ms) {
            found->cursor = found->ids[i];
            found->ended = false;
            break;
        }
    }
    return date_strays(self, found, now, fault);
}

/* ------------------------------------------------------------------------------------- sweep */

#define USER_VERSION_MASK INT64_C(0x7fffffff)

/* In a file of our own user_version is ours too. A failure may have ended the transaction. */
static int keeps_cursor(idem__sqlite *self, bool *kept, idem__sqlite_fault *fault)
{
    char id[IDEM__SQLITE_PRAGMA_SIZE];
    *kept = false;
    if (self->joined || self->in_memory)
        return IDEM_OK;
    int rc = idem__sqlite_pragma(self, "PRAGMA main.application_id", id, fault);
    *kept = rc == IDEM_OK && strtol(id, NULL, 10) == IDEM__SQLITE_APPLICATION_ID;
    return rc;
}

static int last_id(idem__sqlite *self, int64_t *id, idem__sqlite_fault *fault)
{
    sqlite3_stmt *statement = idem__sqlite_statement(self, IDEM__SQLITE_LAST, fault);
    if (!statement)
        return fault->error.code;
    int code = idem__sqlite_step(self, statement);
    *id = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    idem__sqlite_done(statement);
    return code == SQLITE_ROW ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}

/* Finds where the first sweep of this instance begins. Of an id that is kept only the low bits
   are known: it is taken for the largest such id that there can be. */
static int find_cursor(idem__sqlite *self, bool kept, idem__sqlite_fault *fault)
{
    char answer[IDEM__SQLITE_PRAGMA_SIZE] = "";
    uint64_t random = 0;
    int64_t last = 0;
    int rc = last_id(self, &last, fault);
    if (rc == IDEM_OK && kept)
        rc = idem__sqlite_pragma(self, "PRAGMA main.user_version", answer, fault);
    if (rc || last <= 0)
        return rc;
    self->sweep_cursor = 0;
    if (kept) {
        int64_t back = (last - strtol(answer, NULL, 10)) & USER_VERSION_MASK;
        self->sweep_cursor = back <= last ? last - back : 0;
    } else if (idem_random(&random, sizeof random, NULL) == IDEM_OK) {
        self->sweep_cursor = (int64_t)(random % (uint64_t)last);
    }
    return IDEM_OK;
}

static int keep_cursor(idem__sqlite *self, idem__sqlite_fault *fault)
{
    char sql[64];
    char unused[IDEM__SQLITE_PRAGMA_SIZE];
    (void)snprintf(sql, sizeof sql, "PRAGMA main.user_version = %lld",
                   (long long)(self->sweep_cursor & USER_VERSION_MASK));
    return idem__sqlite_pragma(self, sql, unused, fault);
}

bool idem__sqlite_expiry_is_ahead(idem__sqlite *self, size_t inserts, size_t bytes)
{
    if (self->sweep_failed)
        return true;
    if (self->swept_ahead < inserts || bytes > SWEEP_BYTES)
        return false;
    self->swept_ahead -= inserts;
    return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bounds bounds_of_sweep(const idem__sqlite *self, size_t inserts, uint64_t bytes)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t left_ms = self->deadline_ms > now_ms ? self->deadline_ms - now_ms : 0;
    left_ms = least(left_ms, IDEM_DURATION_MAX_MS);
    uint64_t large = least(bytes, left_ms * SWEEP_BYTES_PER_MS_WRITING);
    bounds to = {.rows = SWEEP_ROWS_PER_INSERT * (inserts + SWEEP_INSERTS),
                 .count = PURGE_ROWS,
                 .bytes = least(SWEEP_BYTES, left_ms * SWEEP_BYTES_PER_MS),
                 .row_bytes = left_ms * SWEEP_BYTES_PER_MS,
                 .until_ms = now_ms + left_ms / SWEEP_PART_OF_TIME};
    if (to.row_bytes < large)
        to.row_bytes = large;
    return to;
}

/* Sweeps from the cursor on, at the end once around. */
static int sweep_rows(idem__sqlite *self, bounds to, const idem__sqlite_now *now,
                      idem__sqlite_fault *fault)
{
    stretch found = {.cursor = self->sweep_cursor};
    uint64_t unused = 0;
    uint64_t bytes = 0;
    int rc = IDEM_OK;
    for (int turns = 0; rc == IDEM_OK && turns < 2 && to.rows > 0; turns++) {
        rc = look_for_expired(self, &found, &to, now, fault);
        if (rc == IDEM_OK)
            rc = drop(self, &found, to.until_ms, now, &unused, fault);
        bytes += found.bytes;
        bool around = found.ended && found.looked < to.rows;
        found.cursor = found.ended ? 0 : found.cursor;
        if (!around || bytes >= to.bytes || idem_monotonic_ms() >= to.until_ms)
            break;
        to.rows -= found.looked;
        to.bytes -= bytes;
        to.row_bytes = to.bytes; /* one large row is enough */
    }
    self->sweep_cursor = found.cursor;
    return rc;
}

int idem__sqlite_expiry_sweep(idem__sqlite *self, size_t inserts, size_t bytes,
                              const idem__sqlite_now *now, idem__sqlite_fault *fault)
{
    bool kept = false;
    int rc = IDEM_OK;
    if (!self->has_cursor)
        rc = keeps_cursor(self, &kept, fault);
    if (rc == IDEM_OK && !self->has_cursor)
        rc = find_cursor(self, kept, fault);
    self->has_cursor = true;
    self->swept_ahead = SWEEP_INSERTS;
    if (rc == IDEM_OK)
        rc = sweep_rows(self, bounds_of_sweep(self, inserts, bytes), now, fault);
    if (rc == IDEM_OK && kept)
        rc = keep_cursor(self, fault);
    self->sweep_failed = rc != IDEM_OK && fault->of_one_op;
    return rc;
}

/* ------------------------------------------------------------------------------------- purge */

static int drop_apart(idem__sqlite *self, stretch *found, const idem__sqlite_now *now,
                      uint64_t *removed, idem__sqlite_fault *fault)
{
    uint64_t dropped = 0;
    if (found->count + found->strays == 0)
        return IDEM_OK;
    self->committing = false;
    int rc = idem__sqlite_begin(self, true, fault);
    if (rc)
        return rc;
    rc = drop(self, found, idem_monotonic_ms() + PURGE_MS, now, &dropped, fault);
    rc = rc ? idem__sqlite_rollback(self, fault) : idem__sqlite_commit(self, fault);
    if (rc == IDEM_OK)
        *removed += dropped;
    return rc;
}

/* Leaves the lock to others, after it was held since a time. */
static void pause_after(const idem__sqlite *self, uint64_t since_ms)
{
    uint64_t pause_ms = 1 + (idem_monotonic_ms() - since_ms) / PURGE_PAUSE_PART;
    struct timespec pause = {.tv_nsec = (long)least(pause_ms, PURGE_PAUSE_MS_MAX) * 1000000};
    if (!self->joined && !self->in_memory)
        (void)nanosleep(&pause, NULL);
}

/* Where a pass over all rows continues. SQLite gives ids above 0; a file that was edited by hand
   may have others, and those rows are visited too. */
static int64_t behind(uint64_t cursor)
{
    return cursor == 0 ? INT64_MIN : (int64_t)cursor;
}

/* The cursor is a row's id: rows behind it have not been looked at. */
int idem__sqlite_expiry_purge(idem__sqlite *self, idem_purge_portion *portion,
                              idem__sqlite_fault *fault)
{
    uint64_t end_ms = idem_monotonic_ms() + PORTION_MS;
    stretch found = {.cursor = behind(portion->cursor)};
    bounds to = {.rows = UINT64_MAX,
                 .bytes = PURGE_BYTES,
                 .row_bytes = UINT64_MAX,
                 .until_ms = least(end_ms, self->deadline_ms)};
    int rc = IDEM_OK;
    portion->removed = 0;
    do {
        uint64_t begun_ms = idem_monotonic_ms();
        idem__sqlite_now now = idem__sqlite_clock_now(self);
        to.count = (size_t)least(portion->limit - portion->removed, PURGE_ROWS);
        rc = look_for_expired(self, &found, &to, &now, fault);
        if (rc == IDEM_OK)
            rc = drop_apart(self, &found, &now, &portion->removed, fault);
        if (rc == IDEM_OK && found.count > 0 && !found.ended)
            pause_after(self, begun_ms);
    } while (rc == IDEM_OK && !found.ended && portion->removed < portion->limit &&
             idem_monotonic_ms() < end_ms);
    portion->next = found.ended ? 0 : (uint64_t)found.cursor;
    idem__sqlite_checkpoint_trim(self);
    return rc;
}

/* -------------------------------------------------------------------------------------- scan */

/* A page that is being filled. */
typedef struct {
    const idem_scan_page *page;
    const idem__sqlite_now *now;
    uint64_t given;
    size_t bytes;
} filling;

/* Gives the key of a row that can't be understood. One that no call can name is passed over. */
static int give_corrupt(sqlite3_stmt *look, filling *to, idem_error *error)
{
    idem_record record = {.status = IDEM_STATUS_CORRUPT};
    const void *key = sqlite3_column_blob(look, IDEM__SQLITE_C_LISTED_KEY);
    int len = sqlite3_column_bytes(look, IDEM__SQLITE_C_LISTED_KEY);
    if (!key || len < 1 || len > (int)(IDEM_KEY_MAX + IDEM_PREFIX_MAX))
        return IDEM_OK;
    record.key = (idem_bytes){key, (size_t)len};
    to->given++;
    return to->page->emit(to->page->emit_user, &record, error);
}

static int give_record(sqlite3_stmt *look, sqlite3_stmt *row, uint64_t age_ms, filling *to,
                       idem_error *error)
{
    idem_record record;
    idem_error unread = {0};
    int rc = idem__sqlite_row_read(row, &record, &unread);
    if (rc == IDEM_ERR_CORRUPT)
        return give_corrupt(look, to, error);
    if (rc)
        return idem_error_set(error, rc, "%s", unread.message);
    record.age_ms = age_ms;
    to->given++;
    to->bytes += record.key.len + record.response.len + record.checkpoint.len;
    return to->page->emit(to->page->emit_user, &record, error);
}

/* Gives what the look stands at. */
static int give(idem__sqlite *self, sqlite3_stmt *look, filling *to, idem__sqlite_fault *fault)
{
    uint64_t age_ms = 0;
    int rc = IDEM_OK;
    sqlite3_stmt *get = idem__sqlite_statement(self, IDEM__SQLITE_GET_ID, fault);
    if (!get)
        return fault->error.code;
    int code =
        sqlite3_bind_int64(get, IDEM__SQLITE_P_KEY, sqlite3_column_int64(look, IDEM__SQLITE_C_ID));
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, get);
    if (code == SQLITE_ROW && idem__sqlite_row_is_live(get, to->now, &age_ms))
        rc = give_record(look, get, age_ms, to, &fault->error);
    else if ((code & 0xff) == SQLITE_CORRUPT) /* damage in this row's own pages */
        rc = give_corrupt(look, to, &fault->error);
    else if (code != SQLITE_ROW && code != SQLITE_DONE)
        rc = idem__sqlite_fault_take(self, code, fault);
    idem__sqlite_done(get);
    return rc;
}

int idem__sqlite_expiry_scan(idem__sqlite *self, idem_scan_page *page, idem__sqlite_fault *fault)
{
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    filling to = {.page = page, .now = &now};
    uint64_t end_ms = least(idem_monotonic_ms() + PORTION_MS, self->deadline_ms);
    uint64_t age_ms = 0;
    int code = SQLITE_ROW;
    int rc = IDEM_OK;
    bool full = false;
    sqlite3_stmt *look = look_behind(self, behind(page->cursor), &page->prefix, fault);
    if (!look)
        return fault->error.code;
    for (uint64_t i = 1; rc == IDEM_OK && !full; i++) {
        code = idem__sqlite_step(self, look);
        if (code != SQLITE_ROW)
            break;
        page->next = (uint64_t)sqlite3_column_int64(look, IDEM__SQLITE_C_ID);
        if (sqlite3_column_int(look, IDEM__SQLITE_C_HAS_PREFIX) &&
            idem__sqlite_row_is_live(look, &now, &age_ms))
            rc = give(self, look, &to, fault);
        full = page->next != 0 && /* that is no place to go on from */
               (to.given >= page->limit || to.bytes >= PAGE_BYTES ||
                (i % ROWS_PER_LOOK == 0 && idem_monotonic_ms() >= end_ms));
    }
    idem__sqlite_done(look);
    if (code == SQLITE_DONE)
        page->next = 0;
    else if (code != SQLITE_ROW)
        rc = idem__sqlite_fault_take(self, code, fault);
    return rc;
}
