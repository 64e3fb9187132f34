/* SPDX-License-Identifier: MIT */
/*
 * Walks in the order of the keys, along the primary key, which is the only index.
 *
 * Inserts sweep as they pass by, more rows than they can have added: a walk around the table
 * takes less time than filling it anew, and the dead never outgrow the living. An instance sweeps
 * with its first insert, and then for some inserts together. It begins at the key that it
 * inserts, or at the begin of the table, by chance: a process that lives for one insert must not
 * sweep the same rows every time, be its keys random or rising.
 */
#include "expiry.h"

#include "cursor.h"
#include "frame.h"
#include "row.h"
#include "wire.h"

#define SWEEP_INSERTS         16u
#define SWEEP_ROWS_PER_INSERT 2u
/* What a purge looks at in one transaction, and how long a portion of it goes on. */
#define PURGE_ROWS 1000
#define PORTION_MS 20u
/* A page of a scan has about so many bytes at most, and looks at so many rows. */
#define PAGE_BYTES INT64_C(1048576)
#define PAGE_ROWS  256

enum { S_LOOKED, S_GONE, S_KEY };
enum { L_EXPIRED = IDEM__POSTGRES_C_KEY + 1 };

bool idem__postgres_expiry_is_ahead(idem__postgres *self, size_t inserts)
{
    if (self->sweep_failed)
        return true;
    if (self->swept_ahead < inserts)
        return false;
    self->swept_ahead -= inserts;
    return true;
}

static void remember(idem__postgres *self, idem_bytes key)
{
    self->sweep_key_len = key.len < sizeof self->sweep_key ? key.len : sizeof self->sweep_key;
    if (self->sweep_key_len > 0)
        memcpy(self->sweep_key, key.data, self->sweep_key_len);
}

static int send_sweep(idem__postgres *self, idem_bytes behind, int64_t rows, int64_t max,
                      uint64_t deadline_ms, idem__postgres_fault *fault)
{
    idem__postgres_params params = {0};
    idem__postgres_param_bytes(&params, behind);
    idem__postgres_param_number(&params, rows);
    idem__postgres_param_number(&params, max);
    return idem__postgres_wire_send(self, IDEM__POSTGRES_SWEEP, &params, deadline_ms, fault);
}

int idem__postgres_expiry_send_sweep(idem__postgres *self, size_t inserts, idem_bytes near,
                                     uint64_t deadline_ms, idem__postgres_fault *fault)
{
    uint8_t chance = 0;
    if (!self->sweep_begun) {
        bool drawn = idem_random(&chance, sizeof chance, NULL) == IDEM_OK;
        remember(self, drawn && (chance & 1) ? near : (idem_bytes){NULL, 0});
        self->sweep_begun = true;
    }
    idem_bytes behind = {self->sweep_key, self->sweep_key_len};
    self->sweeping_ahead = inserts < SWEEP_INSERTS ? SWEEP_INSERTS : 0;
    int64_t rows = (int64_t)(SWEEP_ROWS_PER_INSERT * (inserts + self->sweeping_ahead));
    return send_sweep(self, behind, rows, rows, deadline_ms, fault);
}

int idem__postgres_expiry_take_sweep(idem__postgres *self, uint64_t deadline_ms,
                                     idem__postgres_fault *fault)
{
    PGresult *result;
    int rc = idem__postgres_wire_next(self, deadline_ms, &result, fault);
    if (rc == IDEM_OK && self->pq->PQntuples(result) == 1) {
        /* No key: that was the end of the table. */
        remember(self, idem__postgres_row_bytes(self, result, 0, S_KEY));
        self->swept_ahead = self->sweeping_ahead;
    }
    self->pq->PQclear(result);
    return rc;
}

/* ------------------------------------------------------------------------------------- purge */

/* One stretch of the table in a transaction of its own. */
static int purge_stretch(idem__postgres *self, idem__postgres_place *place, int64_t max,
                         uint64_t *removed, bool *ended, uint64_t deadline_ms,
                         idem__postgres_fault *fault)
{
    PGresult *result = NULL;
    size_t count = 0;
    int64_t looked = 0;
    int64_t gone = 0;
    idem__postgres_frame frame = idem__postgres_frame_for(self, true);
    int rc = idem__postgres_frame_open(self, frame, true, deadline_ms, &count, fault);
    if (rc == IDEM_OK)
        rc = send_sweep(self, (idem_bytes){place->key, place->len}, PURGE_ROWS, max, deadline_ms,
                        fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_frame_close(self, frame, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_frame_pass(self, count, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_next(self, deadline_ms, &result, fault);
    if (!self->broken && idem__postgres_wire_finish(self, deadline_ms, fault))
        rc = fault->error.code;
    if (rc == IDEM_OK && idem__postgres_row_number(self, result, 0, S_LOOKED, &looked) &&
        idem__postgres_row_number(self, result, 0, S_GONE, &gone)) {
        idem_bytes key = idem__postgres_row_bytes(self, result, 0, S_KEY);
        *ended = looked < PURGE_ROWS;
        *removed += (uint64_t)gone;
        place->len = key.len < sizeof place->key ? key.len : sizeof place->key;
        if (place->len > 0)
            memcpy(place->key, key.data, place->len);
    }
    self->pq->PQclear(result);
    if (rc && !self->broken)
        idem__postgres_frame_undo(self, frame, deadline_ms);
    return rc;
}

int idem__postgres_expiry_purge(idem__postgres *self, idem_purge_portion *portion,
                                uint64_t deadline_ms, idem__postgres_fault *fault)
{
    idem__postgres_place place;
    uint64_t end_ms = idem_monotonic_ms() + PORTION_MS;
    bool ended = false;
    portion->removed = 0;
    int rc = idem__postgres_cursor_find(portion->cursor, &place, fault);
    while (rc == IDEM_OK && !ended && portion->removed < portion->limit) {
        uint64_t left = portion->limit - portion->removed;
        rc = purge_stretch(self, &place, left < PURGE_ROWS ? (int64_t)left : PURGE_ROWS,
                           &portion->removed, &ended, deadline_ms, fault);
        if (idem_monotonic_ms() >= end_ms)
            break;
    }
    portion->next = 0;
    if (rc == IDEM_OK && !ended && portion->removed < portion->limit)
        portion->next = idem__postgres_cursor_keep(portion->cursor, &place);
    return rc;
}

/* -------------------------------------------------------------------------------------- scan */

static bool begins_with(idem_bytes key, idem_bytes prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

static int give(const idem__postgres *self, const PGresult *result, int row, idem_bytes key,
                const idem_scan_page *page, idem__postgres_fault *fault)
{
    idem_record record = {0};
    idem_error error = {0};
    int rc = idem__postgres_row_read(self, result, row, key, &record, &error);
    if (rc == IDEM_ERR_CORRUPT) {
        idem_record corrupt = {.key = key, .status = IDEM_STATUS_CORRUPT};
        error.code = IDEM_OK;
        rc = page->emit(page->emit_user, &corrupt, &error);
    } else if (rc == IDEM_OK) {
        rc = page->emit(page->emit_user, &record, &error);
    }
    idem_record_clear(&record);
    return rc ? idem__postgres_fault_set(fault, true, rc, "%s", error.message) : IDEM_OK;
}

static bool is_expired(const idem__postgres *self, const PGresult *result, int row)
{
    return self->pq->PQgetlength(result, row, L_EXPIRED) == 1 &&
           self->pq->PQgetvalue(result, row, L_EXPIRED)[0] != 0;
}

/* Gives the rows of a page. @param[out] place  the last one @param[out] ended  the last of all */
static int give_all(const idem__postgres *self, const PGresult *result, const idem_scan_page *page,
                    idem__postgres_place *place, bool *ended, idem__postgres_fault *fault)
{
    int rows = self->pq->PQntuples(result);
    int rc = IDEM_OK;
    *ended = rows == 0;
    for (int row = 0; rc == IDEM_OK && !*ended && row < rows; row++) {
        idem_bytes key = idem__postgres_row_bytes(self, result, row, IDEM__POSTGRES_C_KEY);
        if (key.len == 0 || key.len > sizeof place->key)
            continue; /* another program's: no key is so long */
        memcpy(place->key, key.data, key.len);
        place->len = key.len;
        *ended = !begins_with(key, page->prefix);
        if (!*ended && !is_expired(self, result, row))
            rc = give(self, result, row, key, page, fault);
    }
    return rc;
}

static int ask_page(idem__postgres *self, const idem_scan_page *page,
                    const idem__postgres_place *place, uint64_t deadline_ms, PGresult **result,
                    idem__postgres_fault *fault)
{
    idem__postgres_params params = {0};
    uint64_t rows = page->limit && page->limit < PAGE_ROWS ? page->limit : PAGE_ROWS;
    idem__postgres_param_bytes(&params, (idem_bytes){place->key, place->len});
    idem__postgres_param_bytes(&params, page->prefix);
    idem__postgres_param_number(&params, (int64_t)rows);
    idem__postgres_param_number(&params, PAGE_BYTES);
    return idem__postgres_wire_run(self, IDEM__POSTGRES_SCAN, &params, deadline_ms, result, fault);
}

int idem__postgres_expiry_scan(idem__postgres *self, idem_scan_page *page, uint64_t deadline_ms,
                               idem__postgres_fault *fault)
{
    idem__postgres_place place;
    PGresult *result = NULL;
    bool ended = false;
    int rc = idem__postgres_cursor_find(page->cursor, &place, fault);
    if (rc == IDEM_OK)
        rc = ask_page(self, page, &place, deadline_ms, &result, fault);
    if (rc == IDEM_OK)
        rc = give_all(self, result, page, &place, &ended, fault);
    self->pq->PQclear(result);
    page->next = rc || ended ? 0 : idem__postgres_cursor_keep(page->cursor, &place);
    return rc;
}
