/* SPDX-License-Identifier: MIT */
/*
 * What the answer to a request makes of it. Most requests are done then. One is sent again for one
 * of four reasons. The server has forgotten its script, or does not know SET with NX and GET. An
 * insert has found a record in progress, whose age only a second look can tell. Or its change was
 * refused: a server that is full, read-only or without its disk still has what was completed, and
 * that is the answer to a begin. Or, with `replicas=`, it has found its caller's own record, which
 * is stored once more (replicas.c).
 *
 * That look reads a record and its PTTL in one step: an old record dated by a later one's PTTL
 * could seem expired. A user without scripts reads the record, its PTTL, and the record once more;
 * if it is the same text, then the PTTL is its own, since every write bears a version of its own.
 */
#include "cluster_map.h"
#include "instance.h"
#include "reading.h"
#include "replicas.h"
#include "request.h"

#define TRIES_MAX 16u

/* A record that the protocol would make a claim of without another write. */
static bool would_be_new(const idem_op *op, const idem_record *found)
{
    return op->kind == IDEM_OP_INSERT && found->status == IDEM_STATUS_IN_PROGRESS &&
           memcmp(found->token, op->record->token, IDEM_TOKEN_SIZE) == 0;
}

/* Whether a record answers an op whose change was refused. One of the version that was expected
   does not: only the refusal stood against the change. Old ones prove nothing to a claim's owner,
   but for a completion that bears its token. */
static bool settles(const idem__redis *self, const idem__redis_request *at,
                    const idem_record *found)
{
    const idem_op *op = at->op;
    if (idem__redis_replicas_wanted(self) && op->kind != IDEM_OP_REMOVE &&
        memcmp(found->token, op->record->token, IDEM_TOKEN_SIZE) == 0)
        return false; /* nothing can be written for the replicas to have */
    if (op->kind == IDEM_OP_INSERT)
        return !((at->stale || at->rights) && would_be_new(op, found));
    if (at->stale)
        return op->kind == IDEM_OP_REPLACE && found->status == IDEM_STATUS_COMPLETED &&
               op->record->status == IDEM_STATUS_COMPLETED &&
               memcmp(found->token, op->record->token, IDEM_TOKEN_SIZE) == 0;
    return found->version != op->expected;
}

static void pardon(idem_op *op)
{
    op->error = (idem_error){0};
    op->permanent = false;
}

static idem__redis_verdict take_found(const idem__redis *self, idem__redis_request *at,
                                      idem_bytes text, long long pttl)
{
    idem_op *op = at->op;
    idem_error error = {0};
    idem_record found = {0};
    int rc = idem__redis_read_record(op->key, text, pttl, &found, &error);
    if (at->looks && (rc || settles(self, at, &found)))
        pardon(op);
    if (rc) {
        idem_op_fail(op, true, rc, "%s", error.message);
    } else if (op->error.code) {
        idem_record_clear(&found);
    } else {
        op->found = found;
        op->has_found = true;
    }
    return IDEM__REDIS_DONE;
}

/* A missing record answers replace and remove. It does not answer an insert that was refused. */
static idem__redis_verdict take_absence(const idem__redis_request *at)
{
    if (at->looks && !at->stale && at->op->kind != IDEM_OP_INSERT)
        pardon(at->op);
    return IDEM__REDIS_DONE;
}

static idem__redis_verdict read_instead(const idem__redis *self, idem__redis_request *at)
{
    at->script = IDEM__REDIS_READ;
    at->form = self->no_scripts ? IDEM__REDIS_BY_READS
               : self->no_names ? IDEM__REDIS_BY_TEXT
                                : IDEM__REDIS_BY_NAME;
    return IDEM__REDIS_AGAIN;
}

/* ------------------------------------------------------------------------------------- refusals */

static bool has_word(idem_bytes text, const char *word)
{
    const char *data = text.data;
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (memcmp(data + i, word, len) == 0)
            return true;
    }
    return false;
}

/* Finds the form in which a server may take what it does not take in this one. */
static bool has_another_form(idem__redis *self, idem__redis_request *at, idem_bytes text)
{
    bool by_name = at->form == IDEM__REDIS_BY_NAME;
    if (by_name && idem__redis_fault_is(text, "NOSCRIPT")) {
        at->form = IDEM__REDIS_BY_TEXT;
        return true;
    }
    if (by_name && idem__redis_fault_is(text, "NOPERM") && has_word(text, "'evalsha'")) {
        self->no_names = true;
        at->form = IDEM__REDIS_BY_TEXT;
        return true;
    }
    if (at->form == IDEM__REDIS_COMMAND && at->op->kind == IDEM_OP_INSERT &&
        idem__redis_fault_is(text, "ERR syntax error")) {
        self->no_nx_get = true;
        at->form = IDEM__REDIS_BY_NAME;
        return true;
    }
    return false;
}

/* Another node is to be asked, with the same op: nothing was changed. The cluster reads where from
   the op's message. */
static idem__redis_verdict pass_on(idem__redis_request *at, idem_bytes text)
{
    pardon(at->op);
    idem_op_fail(at->op, false, IDEM_ERR_UNAVAILABLE, "%.*s", (int)text.len,
                 (const char *)text.data);
    return IDEM__REDIS_DONE;
}

static idem__redis_verdict take_error(idem__redis *self, idem__redis_request *at, idem_bytes text,
                                      idem__redis_fault *whole)
{
    idem_op *op = at->op;
    idem__redis_fault refusal = {0};
    if (self->clustered && idem__redis_redirect_is(text))
        return pass_on(at, text);
    if (has_another_form(self, at, text))
        return IDEM__REDIS_AGAIN;
    int rc = idem__redis_fault_take(&refusal, self->name, op->key, text);
    if (refusal.drop)
        (void)idem__redis_fault_set(whole, false, IDEM_ERR_UNAVAILABLE, "%s",
                                    refusal.error.message);
    whole->drop = whole->drop || refusal.drop;
    whole->mute = whole->mute || refusal.mute;
    if (refusal.rights)
        self->proved = false;
    if (at->script == IDEM__REDIS_READ && at->form != IDEM__REDIS_BY_READS && refusal.look) {
        self->no_scripts = self->no_scripts || refusal.rights;
        at->form = IDEM__REDIS_BY_READS;
        return IDEM__REDIS_AGAIN;
    }
    if (at->looks && rc == IDEM_ERR_CORRUPT)
        pardon(op);
    idem_op_fail(op, refusal.permanent, rc, "%s", refusal.error.message);
    if (at->looks || !refusal.look || op->kind == IDEM_OP_GET || op->any_version ||
        at->script == IDEM__REDIS_READ)
        return IDEM__REDIS_DONE;
    at->looks = true;
    at->stale = refusal.stale;
    at->rights = refusal.rights;
    return read_instead(self, at);
}

/* ------------------------------------------------------------------------------------- commands */

/* SET with NX and GET gives no PTTL. Of a completed record nobody asks the age; of one in progress
   it says whether the lease is live. */
static idem__redis_verdict take_set_found(const idem__redis *self, idem__redis_request *at,
                                          idem_bytes text)
{
    (void)take_found(self, at, text, IDEM__REDIS_NO_END);
    if (!at->op->has_found || at->op->found.status == IDEM_STATUS_COMPLETED)
        return IDEM__REDIS_DONE;
    idem_record_clear(&at->op->found);
    at->op->has_found = false;
    return read_instead(self, at);
}

static idem__redis_verdict take_command(const idem__redis *self, idem__redis_request *at,
                                        const redisReply *reply)
{
    bool set = at->op->kind == IDEM_OP_INSERT;
    if (set && reply->type == REDIS_REPLY_STRING)
        return take_set_found(self, at, (idem_bytes){reply->str, reply->len});
    if (set && reply->type == REDIS_REPLY_NIL)
        at->op->applied = true;
    else if (!set && reply->type == REDIS_REPLY_INTEGER &&
             (reply->integer == 0 || reply->integer == 1))
        at->op->applied = reply->integer == 1;
    else
        return IDEM__REDIS_BROKEN;
    return IDEM__REDIS_DONE;
}

/* -------------------------------------------------------------------------------------- scripts */

/* True if a script says that it made the change: SET's OK, or DEL's 1. */
static bool says_applied(idem__redis_script script, const redisReply *reply)
{
    if (script == IDEM__REDIS_READ || script == IDEM__REDIS_REWRITE)
        return false;
    if (script == IDEM__REDIS_REMOVE)
        return reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    return reply->type == REDIS_REPLY_STATUS && reply->len == 2 && memcmp(reply->str, "OK", 2) == 0;
}

/* What PROVE has found. A claim of this caller's own, and one that it would take over, are of no
   use to a user that could not complete them. */
static idem__redis_verdict take_proof(idem__redis *self, idem__redis_request *at, idem_bytes text,
                                      long long pttl, long long rights)
{
    static const char lacking[] = "NOPERM SET or DEL within a script";
    idem_op *op = at->op;
    self->proved = rights == 1;
    (void)take_found(self, at, text, pttl);
    if (rights != 0 || !op->has_found || op->found.status == IDEM_STATUS_COMPLETED)
        return IDEM__REDIS_DONE;
    if (would_be_new(op, &op->found) || idem_record_lease_left_ms(&op->found) == 0) {
        idem__redis_fault refusal = {0};
        int rc = idem__redis_fault_take(&refusal, self->name, op->key, idem_str(lacking));
        idem_record_clear(&op->found);
        op->has_found = false;
        idem_op_fail(op, true, rc, "%s", refusal.error.message);
    }
    return IDEM__REDIS_DONE;
}

static idem__redis_verdict take_scripted(idem__redis *self, idem__redis_request *at,
                                         const redisReply *reply)
{
    idem_bytes text;
    long long pttl;
    long long rights;
    bool proves = at->script == IDEM__REDIS_PROVE;
    if (proves && idem__redis_read_proof(reply, &text, &pttl, &rights))
        return take_proof(self, at, text, pttl, rights);
    if (!proves && idem__redis_read_found(reply, &text, &pttl))
        return take_found(self, at, text, pttl);
    if (says_applied(at->script, reply)) {
        at->op->applied = true;
        self->proved = self->proved || proves;
        return IDEM__REDIS_DONE;
    }
    /* An insert never finds nothing. */
    if (reply->type != REDIS_REPLY_NIL || proves || at->script == IDEM__REDIS_INSERT)
        return IDEM__REDIS_BROKEN;
    return take_absence(at);
}

/* ---------------------------------------------------------------------------------------- reads */

static bool is_same_text(const redisReply *a, const redisReply *b)
{
    return b->type == REDIS_REPLY_STRING && a->len == b->len && memcmp(a->str, b->str, a->len) == 0;
}

static idem__redis_verdict read_again(const idem__redis *self, idem__redis_request *at)
{
    if (at->tries++ < TRIES_MAX)
        return IDEM__REDIS_AGAIN;
    if (!at->looks)
        idem_op_fail(at->op, false, IDEM_ERR_UNAVAILABLE,
                     "%s: the record was changed each time it was read", self->name);
    return IDEM__REDIS_DONE;
}

/* A user may have the right to read a key and none to ask how long it lives: a response can do
   without. */
static idem__redis_verdict take_without_life(idem__redis *self, idem__redis_request *at,
                                             redisReply *const *replies, idem__redis_fault *whole)
{
    idem_op *op = at->op;
    (void)take_found(self, at, (idem_bytes){replies[0]->str, replies[0]->len}, IDEM__REDIS_NO_END);
    if (!op->has_found || op->found.status == IDEM_STATUS_COMPLETED)
        return IDEM__REDIS_DONE;
    idem_record_clear(&op->found);
    op->has_found = false;
    return take_error(self, at, (idem_bytes){replies[1]->str, replies[1]->len}, whole);
}

static idem__redis_verdict take_reads(idem__redis *self, idem__redis_request *at,
                                      redisReply *const *replies, idem__redis_fault *whole)
{
    const redisReply *text = replies[0];
    const redisReply *life = replies[1];
    if (text->type == REDIS_REPLY_ERROR)
        return take_error(self, at, (idem_bytes){text->str, text->len}, whole);
    if (text->type == REDIS_REPLY_NIL)
        return take_absence(at);
    if (text->type != REDIS_REPLY_STRING)
        return IDEM__REDIS_BROKEN;
    if (life->type == REDIS_REPLY_ERROR)
        return take_without_life(self, at, replies, whole);
    if (life->type != REDIS_REPLY_INTEGER || life->integer < IDEM__REDIS_GONE)
        return IDEM__REDIS_BROKEN;
    if (life->integer == IDEM__REDIS_GONE || !is_same_text(text, replies[2]))
        return read_again(self, at);
    return take_found(self, at, (idem_bytes){text->str, text->len}, life->integer);
}

/* What was found is stored once more, so that there is something for the replicas to have. */
static idem__redis_verdict rewrite(const idem__redis *self, idem__redis_request *at)
{
    idem_record_clear(&at->op->found);
    at->op->has_found = false;
    at->script = IDEM__REDIS_REWRITE;
    at->form = self->no_names ? IDEM__REDIS_BY_TEXT : IDEM__REDIS_BY_NAME;
    return IDEM__REDIS_AGAIN;
}

/* With ASKING before each command, every other reply is a command's. */
static void skip_asking(const idem__redis_request *at, redisReply *const *replies, redisReply **own)
{
    own[0] = replies[1];
    if (at->form == IDEM__REDIS_BY_READS) {
        own[1] = replies[3];
        own[2] = replies[5];
    }
}

idem__redis_verdict idem__redis_request_take(idem__redis *self, idem__redis_request *at,
                                             redisReply *const *replies, idem__redis_fault *whole)
{
    redisReply *own[IDEM__REDIS_REPLIES_MAX / 2] = {NULL};
    idem__redis_verdict given;
    at->answered = true;
    if (at->asking && replies[0]->type != REDIS_REPLY_ERROR) { /* else it has the reason */
        skip_asking(at, replies, own);
        replies = own;
    }
    const redisReply *reply = replies[0];
    if (at->form == IDEM__REDIS_BY_READS)
        given = take_reads(self, at, replies, whole);
    else if (reply->type == REDIS_REPLY_ERROR)
        given = take_error(self, at, (idem_bytes){reply->str, reply->len}, whole);
    else if (at->form == IDEM__REDIS_COMMAND)
        given = take_command(self, at, reply);
    else
        given = take_scripted(self, at, reply);
    if (given == IDEM__REDIS_DONE && at->script != IDEM__REDIS_REWRITE && !at->looks &&
        idem__redis_replicas_found_own(self, at->op))
        given = rewrite(self, at);
    if (given == IDEM__REDIS_BROKEN) {
        whole->distrust = true;
        (void)idem__redis_fault_set(whole, false, IDEM_ERR_UNAVAILABLE,
                                    "%s sent an answer of the wrong kind: is it Redis?",
                                    self->name);
    }
    return given;
}
