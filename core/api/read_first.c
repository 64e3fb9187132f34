/* SPDX-License-Identifier: MIT */
/*
 * What is likely is told from what the last begins have found. Of a store that looks first, all
 * callers learn together, since a look is dear there; of an instant one each thread for itself,
 * since a word that all threads write would cost more than it saves.
 */
#include "read_first.h"

#include "call_key.h"
#include "call.h"
#include "store.h"

#include <stdlib.h>

/* If the last begins were all of new keys, a get before the insert is wasted. With idle writers the
   get is left out after FRESH_IF_IDLE such begins. With busy writers an insert has to wait, so
   FRESH_IF_BUSY are needed. */
#define FRESH_IF_IDLE 4u
#define FRESH_IF_BUSY 64u

/* A thread's replays, less its other begins. A thread that begins only new keys, as most do, should
   not pay for threads that repeat. */
#define REPLAYS_MAX  3u
#define REPLAYS_LOOK 2u

static _Thread_local unsigned replays;

/* ------------------------------------------------------------------------------------- learning */

bool idem__read_first(idem_store *store)
{
    uint32_t fresh = atomic_load_explicit(&store->fresh, memory_order_relaxed);
    return fresh < FRESH_IF_IDLE || (fresh < FRESH_IF_BUSY && !idem__pool_is_idle(&store->writers));
}

static void learn_replay(bool replay)
{
    if (replay)
        replays += replays < REPLAYS_MAX;
    else
        replays -= replays > 0;
}

void idem__read_first_learn(idem_store *store, const idem__call *call)
{
    if (store->read_first) {
        bool fresh = call->code == IDEM_OK && call->outcome == IDEM_NEW;
        uint32_t before = atomic_load_explicit(&store->fresh, memory_order_relaxed);
        uint32_t after = !fresh ? 0 : before < FRESH_IF_BUSY ? before + 1 : before;
        if (after != before) /* that one of several is lost does no harm */
            atomic_store_explicit(&store->fresh, after, memory_order_relaxed);
    }
    if (store->in_process)
        learn_replay(call->code == IDEM_OK && call->outcome == IDEM_COMPLETED);
}

/* -------------------------------------------------------------------------------------- looking */

static bool same_bytes(const idem_bytes *a, const idem_bytes *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static void blank_get(idem_op *op, idem_bytes key)
{
    memset(op, 0, offsetof(idem_op, error));
    op->kind = IDEM_OP_GET;
    op->key = key;
    op->error.code = IDEM_OK;
    op->error.message[0] = '\0';
}

/* The object of a claim, its token and the call take longer than this look. All that is no response
   to just this content is left to the protocol, which finds it once more. */
bool idem__read_first_replay(idem_store *store, const idem_request *request, idem_outcome *outcome)
{
    idem__call_key key;
    idem_op op;
    idem_op *ops[] = {&op};
    if (store->observe_calls || replays < REPLAYS_LOOK ||
        idem__call_key_make(&key, store, request->key, NULL))
        return false;
    blank_get(&op, key.bytes);
    (void)idem__pool_submit(&store->writers, ops, 1, UINT64_MAX);
    if (!op.has_found)
        return false;
    if (op.found.status != IDEM_STATUS_COMPLETED ||
        !same_bytes(&request->fingerprint, &op.found.fingerprint)) {
        free(op.found.memory);
        return false;
    }
    *outcome = (idem_outcome){.kind = IDEM_COMPLETED,
                              .attempt = op.found.attempt,
                              .response = op.found.response,
                              .created_at_ms = op.found.created_at_ms,
                              .memory = op.found.memory,
                              .encoding = op.found.encoding};
    learn_replay(true);
    idem__stats_replay(store, request->key, op.found.attempt);
    return true;
}

bool idem__read_first_answers(idem_store *store, idem__begin *begin)
{
    idem__call *call = &begin->call;
    bool needs_thread = (begin->request.flags & IDEM_KEEPALIVE) != 0;
    if (begin->request.token && !(needs_thread && !idem__keepalive_is_running(&store->keeper)))
        return false; /* the look would save nothing */
    idem__protocol_start(call);
    idem__call_send(store, &call, 1);
    idem__call_next next = idem__call_step(store, call);
    /* A claim that is begun again under its token is there already. */
    if (next == IDEM__CALL_DONE && call->outcome != IDEM_NEW)
        return true;
    idem__watch_leave(store, call);
    idem__protocol_clear(call);
    call->read_first = next != IDEM__CALL_SEND;
    return false;
}
