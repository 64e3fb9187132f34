/* SPDX-License-Identifier: MIT */
/*
 * Walks over the rows, in the order of their ids. First it is looked what is there, which reads
 * no more than the beginning of a row; what is then done with single rows names them by id.
 *
 * Inserts sweep as they pass by: there are more rows looked at than can have been added, so that a
 * walk around the table takes less time than filling it anew, and the dead never outgrow the
 * living. An instance sweeps with its first insert, and then for some inserts together, since
 * to begin a look costs far more than a row of it. The cursor is kept in memory; every instance has its own.
 */
#include "walk.h"

#include "row.h"
#include "transaction.h"

/* A sweep is made for the inserts of its transaction and as many that come later, at so many rows
   for each. */
#define SWEEP_INSERTS         16u
#define SWEEP_ROWS_PER_INSERT 2u
/* What a purge drops in one transaction, so that other writers get their turn. */
#define PURGE_ROWS 500u
/* How long a portion of a purge goes on. */
#define PORTION_MS 20u
/* So many rows are looked at between two looks at the clock. */
#define ROWS_PER_LOOK 256u
/* A page of a scan has about so many bytes at most. */
#define PAGE_BYTES (1024u * 1024u)

/* Expired rows on a stretch of the table. */
typedef struct {
    int64_t cursor; /* the last row that was looked at */
    bool ended;     /* there was none behind it */
    size_t count;
    int64_t ids[PURGE_ROWS];
} stretch;

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

/* Looks at up to `rows` rows behind the stretch's cursor, for up to `max` expired ones. */
static int look_for_expired(idem__sqlite *self, stretch *found, uint64_t rows, size_t max,
                            const idem__sqlite_now *now, idem__sqlite_fault *fault)
{
    int code = SQLITE_ROW;
    uint64_t age_ms = 0;
    found->count = 0;
    sqlite3_stmt *look = look_behind(self, found->cursor, NULL, fault);
    if (!look)
        return fault->error.code;
    for (uint64_t i = 1; i <= rows && found->count < max; i++) {
        code = idem__sqlite_step(self, look);
        if (code != SQLITE_ROW)
            break;
        found->cursor = sqlite3_column_int64(look, IDEM__SQLITE_C_ID);
        if (!idem__sqlite_row_is_live(look, now, &age_ms))
            found->ids[found->count++] = found->cursor;
        if (i % ROWS_PER_LOOK == 0 && idem_monotonic_ms() >= self->deadline_ms)
            break;
    }
    idem__sqlite_done(look);
    found->ended = code == SQLITE_DONE;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        return IDEM_OK;
    return idem__sqlite_fault_take(self, code, fault);
}

/* Drops the rows that were found, in the transaction that is open. */
static int drop(idem__sqlite *self, const stretch *found, const idem__sqlite_now *now,
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
    }
    return IDEM_OK;
}

bool idem__sqlite_walk_is_ahead(idem__sqlite *self, size_t inserts)
{
    if (self->sweep_failed)
        return true;
    if (self->swept_ahead < inserts)
        return false;
    self->swept_ahead -= inserts;
    return true;
}

int idem__sqlite_walk_sweep(idem__sqlite *self, size_t inserts, const idem__sqlite_now *now,
                            idem__sqlite_fault *fault)
{
    stretch found;
    uint64_t dropped = 0;
    self->swept_ahead = SWEEP_INSERTS;
    found.cursor = self->sweep_cursor;
    found.ended = false; /* it may fail before it has looked */
    size_t rows = SWEEP_ROWS_PER_INSERT * (inserts + SWEEP_INSERTS);
    int rc = look_for_expired(self, &found, rows, PURGE_ROWS, now, fault);
    if (rc == IDEM_OK)
        rc = drop(self, &found, now, &dropped, fault);
    self->sweep_cursor = found.ended ? 0 : found.cursor;
    self->sweep_failed = rc != IDEM_OK && fault->of_one_op;
    return rc;
}

/* ------------------------------------------------------------------------------------- purge */

static int drop_apart(idem__sqlite *self, const stretch *found, const idem__sqlite_now *now,
                      uint64_t *removed, idem__sqlite_fault *fault)
{
    uint64_t dropped = 0;
    if (found->count == 0)
        return IDEM_OK;
    int rc = idem__sqlite_begin(self, true, fault);
    if (rc)
        return rc;
    rc = drop(self, found, now, &dropped, fault);
    rc = rc ? idem__sqlite_rollback(self, fault) : idem__sqlite_commit(self, fault);
    if (rc == IDEM_OK)
        *removed += dropped;
    return rc;
}

/* The cursor is a row's id: rows behind it have not been looked at. */
int idem__sqlite_walk_purge(idem__sqlite *self, idem_purge_portion *portion,
                            idem__sqlite_fault *fault)
{
    uint64_t end_ms = idem_monotonic_ms() + PORTION_MS;
    stretch found = {.cursor = (int64_t)portion->cursor};
    int rc = IDEM_OK;
    portion->removed = 0;
    do {
        uint64_t left = portion->limit - portion->removed;
        idem__sqlite_now now = idem__sqlite_clock_now(self);
        rc = look_for_expired(self, &found, UINT64_MAX,
                              left < PURGE_ROWS ? (size_t)left : PURGE_ROWS, &now, fault);
        if (rc == IDEM_OK)
            rc = drop_apart(self, &found, &now, &portion->removed, fault);
    } while (rc == IDEM_OK && !found.ended && portion->removed < portion->limit &&
             idem_monotonic_ms() < end_ms);
    portion->next = found.ended ? 0 : (uint64_t)found.cursor;
    return rc;
}

/* -------------------------------------------------------------------------------------- scan */

/* Gives the record of a row, and adds its size. */
static int give(idem__sqlite *self, int64_t id, const idem__sqlite_now *now,
                const idem_scan_page *page, size_t *bytes, idem__sqlite_fault *fault)
{
    idem_record record;
    uint64_t age_ms = 0;
    int rc = IDEM_OK;
    sqlite3_stmt *get = idem__sqlite_statement(self, IDEM__SQLITE_GET_ID, fault);
    if (!get)
        return fault->error.code;
    int code = sqlite3_bind_int64(get, IDEM__SQLITE_P_KEY, id);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, get);
    if (code == SQLITE_ROW && idem__sqlite_row_is_live(get, now, &age_ms)) {
        rc = idem__sqlite_row_read(get, &record, &fault->error);
        record.age_ms = age_ms;
        if (rc == IDEM_OK)
            rc = page->emit(page->emit_user, &record, &fault->error);
        *bytes += record.key.len + record.response.len + record.checkpoint.len;
    } else if (code != SQLITE_ROW && code != SQLITE_DONE) {
        rc = idem__sqlite_fault_take(self, code, fault);
    }
    idem__sqlite_done(get);
    return rc;
}

int idem__sqlite_walk_scan(idem__sqlite *self, idem_scan_page *page, idem__sqlite_fault *fault)
{
    uint64_t given = 0;
    size_t bytes = 0;
    int code = SQLITE_ROW;
    int rc = IDEM_OK;
    bool full = false;
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    uint64_t age_ms = 0;
    sqlite3_stmt *look = look_behind(self, (int64_t)page->cursor, &page->prefix, fault);
    if (!look)
        return fault->error.code;
    for (uint64_t i = 1; rc == IDEM_OK && !full; i++) {
        code = idem__sqlite_step(self, look);
        if (code != SQLITE_ROW)
            break;
        int64_t id = sqlite3_column_int64(look, IDEM__SQLITE_C_ID);
        page->next = (uint64_t)id;
        if (sqlite3_column_int(look, IDEM__SQLITE_C_HAS_PREFIX) &&
            idem__sqlite_row_is_live(look, &now, &age_ms)) {
            rc = give(self, id, &now, page, &bytes, fault);
            given++;
        }
        full = given >= page->limit || bytes >= PAGE_BYTES ||
               (i % ROWS_PER_LOOK == 0 && idem_monotonic_ms() >= self->deadline_ms);
    }
    idem__sqlite_done(look);
    if (code == SQLITE_DONE)
        page->next = 0;
    else if (code != SQLITE_ROW)
        rc = idem__sqlite_fault_take(self, code, fault);
    return rc;
}
