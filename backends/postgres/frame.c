/* SPDX-License-Identifier: MIT */
/*
 * Transactions. All statements of a pipeline are one transaction by themselves, which is
 * committed when the server comes to the pipeline's end. That is enough on a session of our own,
 * whose settings were made when it began. Elsewhere the transaction is begun by name and has its
 * settings for itself.
 *
 * Inside a transaction of the caller's ours is a savepoint: whatever happens, the caller's
 * transaction is neither committed nor rolled back by us. Its lock_timeout is put back.
 */
#include "frame.h"

#include "connection.h"
#include "wire.h"

idem__postgres_frame idem__postgres_frame_for(const idem__postgres *self, bool changes)
{
    if (self->nested)
        return IDEM__POSTGRES_NESTED;
    return changes && (self->pooled || self->joined) ? IDEM__POSTGRES_OWN : IDEM__POSTGRES_BARE;
}

/* A statement that waits for a lock to the deadline would leave it open what became of it. */
static uint64_t lock_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t half_ms = now_ms < deadline_ms ? (deadline_ms - now_ms) / 2 : 1;
    return half_ms < IDEM__POSTGRES_LOCK_MS ? half_ms : IDEM__POSTGRES_LOCK_MS;
}

static int send(idem__postgres *self, idem__postgres_sql which, uint64_t deadline_ms, size_t *count,
                idem__postgres_fault *fault)
{
    int rc = idem__postgres_wire_send(self, which, NULL, deadline_ms, fault);
    *count += rc == IDEM_OK;
    return rc;
}

/* What is told how long to wait for locks. */
static int send_lock(idem__postgres *self, idem__postgres_sql which, uint64_t wait_ms,
                     uint64_t deadline_ms, size_t *count, idem__postgres_fault *fault)
{
    char text[24];
    idem__postgres_params params = {0};
    idem__postgres_lock_text(wait_ms, text);
    idem__postgres_param_text(&params, text);
    int rc = idem__postgres_wire_send(self, which, &params, deadline_ms, fault);
    *count += rc == IDEM_OK;
    return rc;
}

int idem__postgres_frame_open(idem__postgres *self, idem__postgres_frame frame, bool changes,
                              uint64_t deadline_ms, size_t *count, idem__postgres_fault *fault)
{
    uint64_t wait_ms = lock_ms(deadline_ms);
    *count = 0;
    int rc = idem__postgres_wire_begin(self, fault);
    if (rc)
        return rc;
    switch (frame) {
    case IDEM__POSTGRES_OWN:
        rc = send(self, IDEM__POSTGRES_BEGIN, deadline_ms, count, fault);
        return rc ? rc
                  : send_lock(self, IDEM__POSTGRES_SETTINGS, wait_ms, deadline_ms, count, fault);
    case IDEM__POSTGRES_NESTED:
        rc = send(self, IDEM__POSTGRES_SAVEPOINT, deadline_ms, count, fault);
        return rc ? rc
                  : send_lock(self, IDEM__POSTGRES_SHORTER_LOCK, wait_ms, deadline_ms, count,
                              fault);
    case IDEM__POSTGRES_BARE:
    default:
        break;
    }
    bool no_wait = changes && !self->pooled && wait_ms < IDEM__POSTGRES_LOCK_MS;
    return no_wait ? send_lock(self, IDEM__POSTGRES_LOCAL_LOCK, wait_ms, deadline_ms, count, fault)
                   : IDEM_OK;
}

int idem__postgres_frame_close(idem__postgres *self, idem__postgres_frame frame,
                               uint64_t deadline_ms, idem__postgres_fault *fault)
{
    size_t count = 0;
    int rc = IDEM_OK;
    if (frame == IDEM__POSTGRES_OWN) {
        self->pipe->committing = true; /* it may be carried out as soon as it has left */
        rc = send(self, IDEM__POSTGRES_COMMIT, deadline_ms, &count, fault);
    } else if (frame == IDEM__POSTGRES_NESTED) {
        rc = send(self, IDEM__POSTGRES_CALLERS_LOCK, deadline_ms, &count, fault);
        if (rc == IDEM_OK)
            rc = send(self, IDEM__POSTGRES_RELEASE, deadline_ms, &count, fault);
    }
    return rc ? rc : idem__postgres_wire_sync(self, fault);
}

int idem__postgres_frame_pass(idem__postgres *self, size_t count, uint64_t deadline_ms,
                              idem__postgres_fault *fault)
{
    int rc = IDEM_OK;
    for (size_t i = 0; rc == IDEM_OK && i < count; i++) {
        PGresult *result;
        rc = idem__postgres_wire_next(self, deadline_ms, &result, fault);
        self->pq->PQclear(result);
    }
    return rc;
}

int idem__postgres_frame_send_undo(idem__postgres *self, idem__postgres_frame frame,
                                   uint64_t deadline_ms, idem__postgres_fault *fault)
{
    size_t count = 0;
    int rc = idem__postgres_wire_begin(self, fault);
    if (rc == IDEM_OK && frame == IDEM__POSTGRES_OWN) {
        rc = send(self, IDEM__POSTGRES_ROLLBACK, deadline_ms, &count, fault);
    } else if (rc == IDEM_OK) {
        rc = send(self, IDEM__POSTGRES_ROLLBACK_TO, deadline_ms, &count, fault);
        if (rc == IDEM_OK)
            rc = send(self, IDEM__POSTGRES_RELEASE, deadline_ms, &count, fault);
    }
    return rc ? rc : idem__postgres_wire_sync(self, fault);
}

void idem__postgres_frame_undo(idem__postgres *self, idem__postgres_frame frame,
                               uint64_t deadline_ms)
{
    idem__postgres_fault unused = {0};
    if (self->broken || frame == IDEM__POSTGRES_BARE)
        return;
    int rc = idem__postgres_frame_send_undo(self, frame, deadline_ms, &unused);
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_finish(self, deadline_ms, &unused);
    if (rc)
        self->broken = true;
}
