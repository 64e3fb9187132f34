/* SPDX-License-Identifier: MIT */
/*
 * A claim that is made, completed and forgotten. Rights, scripts, memory, disk and role of a server
 * all show in what it answers to that, whatever its settings say. The key is one that nobody else
 * uses, and lives for some seconds at most, should this process end in between.
 */
#include "trial.h"

#include "batch.h"
#include "connection.h"

#include <inttypes.h>
#include <stdio.h>

#define LIFE_MS  UINT64_C(10000)
#define NAME     "idem-doctor:"
#define KEY_SIZE (IDEM_PREFIX_MAX + sizeof(NAME) + 16)

typedef struct {
    idem__redis *self;
    uint64_t deadline_ms;
    char key[KEY_SIZE];
    idem_record record; /* as it was stored last */
    idem__redis_trial *trial;
    idem__redis_fault *fault;
} attempt;

#define TRIES_MAX 65536u /* keys drawn to find one whose slot is the node's */

static int prepare(attempt *at)
{
    const idem_bytes prefix = at->self->config->prefix;
    idem_error error = {0};
    uint64_t bits[4];
    int rc = idem_random(bits, sizeof bits, &error);
    if (rc)
        return idem__redis_fault_set(at->fault, true, rc, "%s", error.message);
    if (prefix.len > 0)
        memcpy(at->key, prefix.data, prefix.len);
    int len =
        snprintf(at->key + prefix.len, sizeof at->key - prefix.len, NAME "%016" PRIx64, bits[0]);
    at->record = (idem_record){.key = {at->key, prefix.len + (size_t)len},
                               .status = IDEM_STATUS_IN_PROGRESS,
                               .version = bits[1],
                               .attempt = 1,
                               .lease_ms = LIFE_MS / 2,
                               .ttl_ms = LIFE_MS / 2,
                               .created_at_ms = idem_wall_ms()};
    at->record.updated_at_ms = at->record.created_at_ms;
    memcpy(at->record.token, &bits[2], IDEM_TOKEN_SIZE);
    at->record.token[0] |= 1; /* never all zero */
    return IDEM_OK;
}

/* Carries out one op, and notes what can't be done if it was not applied. @return the connection's
   code */
static int carry_out(attempt *at, idem_op op, const char *what, bool *applied)
{
    idem_op *pointer = &op;
    op.key = at->record.key;
    op.live_ms = LIFE_MS;
    *applied = false;
    /* The op before may have failed on its own, for want of memory, and have closed the
       connection. */
    int rc = idem__redis_ready(at->self, at->deadline_ms, at->fault);
    if (rc)
        return rc;
    rc = idem__redis_batch_run(at->self, &pointer, 1, at->deadline_ms);
    *applied = op.applied;
    /* That says more of this process than of the server. */
    bool no_memory = op.error.code == IDEM_ERR_NO_MEMORY;
    if (rc || no_memory) {
        (void)idem__redis_fault_set(at->fault, op.permanent, op.error.code, "%s", op.error.message);
        rc = at->fault->error.code;
    } else if (!op.applied && !at->trial->failed) {
        at->trial->failed = what;
        if (!op.error.code)
            (void)idem_error_set(&op.error, IDEM_ERR_INTERNAL,
                                 "%s did not do what it was told: is it Redis?", at->self->name);
        at->trial->error = op.error;
    }
    idem_record_clear(&op.found);
    return rc;
}

int idem__redis_try(idem__redis *self, uint64_t deadline_ms, idem__redis_trial *trial,
                    idem__redis_fault *fault)
{
    attempt at = {.self = self, .deadline_ms = deadline_ms, .trial = trial, .fault = fault};
    bool applied = false;
    bool completed = false;
    int rc = prepare(&at);
    for (unsigned i = 0; rc == IDEM_OK && self->has_slot && i < TRIES_MAX; i++) {
        if (self->has_slot(self->has_slot_of, at.record.key))
            break;
        rc = prepare(&at);
    }
    /* A prefix with a hash tag may have all keys on another node. */
    if (rc == IDEM_OK && self->has_slot && !self->has_slot(self->has_slot_of, at.record.key))
        return IDEM_OK;
    if (rc == IDEM_OK)
        rc = carry_out(&at, (idem_op){.kind = IDEM_OP_INSERT, .record = &at.record},
                       "nothing can be claimed", &applied);
    if (rc || !applied)
        return rc;
    idem_record done = at.record;
    done.status = IDEM_STATUS_COMPLETED;
    done.response = idem_str("true");
    done.version++;
    rc = carry_out(
        &at, (idem_op){.kind = IDEM_OP_REPLACE, .record = &done, .expected = at.record.version},
        "what is claimed can't be completed", &completed);
    if (rc)
        return rc;
    return carry_out(
        &at,
        (idem_op){.kind = IDEM_OP_REMOVE, .expected = completed ? done.version : at.record.version},
        "what is claimed can't be released or forgotten", &applied);
}
