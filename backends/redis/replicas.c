/* SPDX-License-Identifier: MIT */
/*
 * With `replicas=N` a pipeline that changes something ends with WAIT: its changes count once N
 * replicas have them. Else they are uncertain: the server has made them, and a failover may lose
 * them. The store then asks again until the caller's deadline, and the record that is found is the
 * caller's own. That is not believed before a WAIT either, or the answer to the repetition would be
 * an acknowledgement that no replica has given. WAIT waits for the last write of its connection,
 * and the record may be another's: so what was found is stored once more as it is (REWRITE).
 *
 * A server holds the connection while it waits, so it waits for WAIT_MS at most. What others have
 * stored is told without: it would be a wait for each replay.
 */
#include "replicas.h"

#define WAIT_MS 500u

bool idem__redis_replicas_wanted(const idem__redis *self)
{
    return self->config->values[IDEM__REDIS_REPLICAS].number > 0;
}

static int append_wait(idem__redis *self, uint64_t replicas, uint64_t limit_ms,
                       idem__redis_fault *fault)
{
    char count[IDEM__REDIS_DIGITS_MAX];
    char limit[IDEM__REDIS_DIGITS_MAX];
    idem_bytes words[] = {idem_str("WAIT"), idem__redis_wire_number(replicas, count),
                          idem__redis_wire_number(limit_ms, limit)};
    return idem__redis_wire_append(&self->wire, 3, words, fault);
}

/* For none it does not wait. */
int idem__redis_replicas_ask(idem__redis *self, idem__redis_fault *fault)
{
    return append_wait(self, 0, 1, fault);
}

int idem__redis_replicas_agree(const idem__redis *self, const redisReply *reply,
                               idem__redis_fault *fault)
{
    /* That it is a replica, or is loading its data, is told by the calls. */
    idem_bytes text = {reply->str, reply->len};
    if (reply->type == REDIS_REPLY_INTEGER ||
        (reply->type == REDIS_REPLY_ERROR && !idem__redis_fault_is(text, "NOPERM") &&
         !idem__redis_fault_is(text, "ERR unknown command")))
        return IDEM_OK;
    return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                 "%s does not let this user wait for replicas: allow WAIT (an "
                                 "ACL's +wait), or leave replicas= out of the URL",
                                 self->name);
}

int idem__redis_replicas_append(idem__redis *self, idem__redis_fault *fault)
{
    return append_wait(self, self->config->values[IDEM__REDIS_REPLICAS].number, WAIT_MS, fault);
}

static bool has_own(const idem_op *op)
{
    return op->has_found && op->record && op->kind != IDEM_OP_GET &&
           memcmp(op->found.token, op->record->token, IDEM_TOKEN_SIZE) == 0;
}

bool idem__redis_replicas_found_own(const idem__redis *self, const idem_op *op)
{
    return idem__redis_replicas_wanted(self) && !op->error.code && has_own(op);
}

/* A change that was made, or the caller's own one of an earlier try. */
static bool is_own(const idem_op *op)
{
    if (op->kind == IDEM_OP_GET || op->error.code)
        return false;
    return op->applied || has_own(op);
}

void idem__redis_replicas_judge(const idem__redis *self, const redisReply *reply,
                                const idem__redis_queue *answered)
{
    uint64_t wanted = self->config->values[IDEM__REDIS_REPLICAS].number;
    bool told = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
    if (told && (uint64_t)reply->integer >= wanted)
        return;
    for (const idem__redis_request *at = answered->first; at; at = at->next) {
        if (!at->op || !is_own(at->op))
            continue;
        idem__redis_request_take_back(at->op);
        idem_op_fail(
            at->op, false, IDEM_ERR_UNCERTAIN,
            "%s has it, and %llu of %llu replicas that replicas= asks for said so: look at "
            "the replicas, or ask for fewer",
            self->name, told ? (unsigned long long)reply->integer : 0ULL,
            (unsigned long long)wanted);
    }
}
