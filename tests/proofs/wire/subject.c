/* SPDX-License-Identifier: MIT */
/*
 * A subject is used by one thread. What the server holds is read over a connection of its own that
 * does not go through the relay, and after a PING: by the time that is answered the server has
 * carried out what had reached it before, over whatever connection.
 */
#include "subject.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONG_MS    UINT64_C(600000)
#define RENEWED_MS UINT64_C(900000)
#define OPEN_TRIES 50
#define RESPONSE   "{\"charged\": 42, \"big\":18446744073709551617 }"
#define CHECKPOINT "[7,\"half done\"]"

bool subject_fail(subject *self, const char *format, ...)
{
    va_list arguments;
    if (self->failure[0] != '\0')
        return false;
    va_start(arguments, format);
    (void)vsnprintf(self->failure, sizeof self->failure, format, arguments);
    va_end(arguments);
    return false;
}

#define MUST(self, condition) \
    ((condition) || subject_fail(self, "%s:%d: %s", __func__, __LINE__, #condition))

/* -------------------------------------------------------------------------------- the truth */

static redisReply *held_by_server(subject *self)
{
    redisReply *ping = redisCommand(self->truth, "PING");
    redisReply *reply = ping ? redisCommand(self->truth, "GET %s", self->key) : NULL;
    if (ping)
        freeReplyObject(ping);
    if (!reply)
        (void)subject_fail(self, "the server can't be asked: %s", self->truth->errstr);
    return reply;
}

/* Reads the record that the server holds. False: there is none, or it can't be read. */
static bool read_truth(subject *self, idem_record *record)
{
    redisReply *reply = held_by_server(self);
    memset(record, 0, sizeof *record);
    bool read =
        reply && reply->type == REDIS_REPLY_STRING &&
        idem_record_decode(idem_str(self->key), reply->str, reply->len, record, NULL) == IDEM_OK;
    if (reply)
        freeReplyObject(reply);
    return read;
}

static bool absent(subject *self)
{
    redisReply *reply = held_by_server(self);
    bool none = reply && reply->type == REDIS_REPLY_NIL;
    if (reply)
        freeReplyObject(reply);
    return MUST(self, none);
}

bool subject_unchanged(subject *self)
{
    const redisReply *before = self->before;
    redisReply *now = held_by_server(self);
    bool same = now && before && now->type == before->type && now->len == before->len &&
                (now->len == 0 || memcmp(now->str, before->str, now->len) == 0);
    if (now)
        freeReplyObject(now);
    return same;
}

static bool is(idem_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) &&
           (bytes.len == 0 || memcmp(bytes.data, text, bytes.len) == 0);
}

/* The server holds this subject's claim, in progress. */
static bool holds_claim(subject *self, unsigned attempt, uint64_t lease_ms, const char *checkpoint)
{
    idem_record record;
    bool right = MUST(self, read_truth(self, &record)) &&
                 MUST(self, record.status == IDEM_STATUS_IN_PROGRESS) &&
                 MUST(self, memcmp(record.token, self->token, IDEM_TOKEN_SIZE) == 0) &&
                 MUST(self, record.attempt == attempt) && MUST(self, record.lease_ms == lease_ms) &&
                 MUST(self, is(record.checkpoint, checkpoint));
    idem_record_clear(&record);
    return right;
}

static bool holds_response(subject *self, const uint8_t *token)
{
    idem_record record;
    bool right = MUST(self, read_truth(self, &record)) &&
                 MUST(self, record.status == IDEM_STATUS_COMPLETED) &&
                 MUST(self, memcmp(record.token, token, IDEM_TOKEN_SIZE) == 0) &&
                 MUST(self, is(record.response, RESPONSE));
    idem_record_clear(&record);
    return right;
}

/* -------------------------------------------------------------------------- how a key begins */

static bool begin_as(subject *self, const uint8_t *token, uint64_t lease_ms)
{
    idem_error error;
    int rc = idem_begin(
        self->store, IDEM_REQUEST(.key = idem_str(self->key), .token = token, .lease_ms = lease_ms),
        &self->out, &error);
    return rc == IDEM_OK || subject_fail(self, "a begin to prepare gave %d: %s", rc, error.message);
}

static bool prepare_nothing(subject *self)
{
    (void)self;
    return true;
}

static bool prepare_claim(subject *self)
{
    if (!begin_as(self, self->token, LONG_MS) || !MUST(self, self->out.kind == IDEM_NEW))
        return false;
    self->claim = self->out.claim;
    self->out.claim = NULL;
    idem_outcome_clear(&self->out);
    return true;
}

static bool prepare_others_claim(subject *self)
{
    bool done = begin_as(self, self->other, LONG_MS) && MUST(self, self->out.kind == IDEM_NEW);
    idem_outcome_clear(&self->out);
    return done;
}

static bool prepare_response(subject *self)
{
    bool done = begin_as(self, self->other, LONG_MS) &&
                MUST(self, idem_complete(self->store, self->out.claim, idem_str(RESPONSE), NULL) ==
                               IDEM_OK);
    idem_outcome_clear(&self->out);
    return done;
}

static bool prepare_expired(subject *self)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    idem_record record = {0};
    uint64_t left_ms = 1;
    bool done = begin_as(self, self->other, 1) &&
                MUST(self, idem_checkpoint(self->store, self->out.claim, idem_str(CHECKPOINT),
                                           NULL) == IDEM_OK);
    idem_outcome_clear(&self->out);
    while (done && left_ms > 0) {
        (void)nanosleep(&nap, NULL);
        done = MUST(self, idem_get(self->store, idem_str(self->key), &record, NULL) == IDEM_OK);
        left_ms = done ? idem_record_lease_left_ms(&record) : 0;
        idem_record_clear(&record);
    }
    return done;
}

/* --------------------------------------------------------------------------------- the calls */

static int call_begin(subject *self, idem_store *store, idem_error *error)
{
    return idem_begin(
        store, IDEM_REQUEST(.key = idem_str(self->key), .token = self->token, .lease_ms = LONG_MS),
        &self->out, error);
}

static idem_claim *claim_of(const subject *self, const idem_store *store)
{
    return store == self->hasty ? self->hasty_claim : self->claim;
}

static int call_complete(subject *self, idem_store *store, idem_error *error)
{
    return idem_complete(store, claim_of(self, store), idem_str(RESPONSE), error);
}

static int call_renew(subject *self, idem_store *store, idem_error *error)
{
    return idem_renew(store, claim_of(self, store), RENEWED_MS, error);
}

static int call_checkpoint(subject *self, idem_store *store, idem_error *error)
{
    return idem_checkpoint(store, claim_of(self, store), idem_str(CHECKPOINT), error);
}

static int call_release(subject *self, idem_store *store, idem_error *error)
{
    return idem_release(store, claim_of(self, store), error);
}

static int call_get(subject *self, idem_store *store, idem_error *error)
{
    return idem_get(store, idem_str(self->key), &self->got, error);
}

static int call_forget(subject *self, idem_store *store, idem_error *error)
{
    return idem_forget(store, idem_str(self->key), error);
}

static int call_resume(subject *self, idem_store *store, idem_error *error)
{
    idem_claim *claim = NULL;
    int rc = idem_resume(store, idem_str(self->key), self->token, &claim, error);
    if (rc == IDEM_OK) {
        idem_claim_free(self->claim);
        self->claim = claim;
    }
    return rc;
}

/* -------------------------------------------------------------------------- what holds then */

/* A begin that was told New is the owner. */
static bool take_claim(subject *self, unsigned attempt)
{
    if (!MUST(self, self->out.kind == IDEM_NEW) || !MUST(self, self->out.attempt == attempt))
        return false;
    idem_claim_free(self->claim);
    self->claim = self->out.claim;
    self->out.claim = NULL;
    return true;
}

static bool new_holds(subject *self)
{
    return take_claim(self, 1) && holds_claim(self, 1, LONG_MS, "") && subject_finish(self);
}

static bool takeover_holds(subject *self)
{
    return take_claim(self, 2) && MUST(self, is(self->out.checkpoint, CHECKPOINT)) &&
           holds_claim(self, 2, LONG_MS, CHECKPOINT) && subject_finish(self);
}

static bool replay_holds(subject *self)
{
    return MUST(self, self->out.kind == IDEM_COMPLETED) &&
           MUST(self, is(self->out.response, RESPONSE)) && MUST(self, subject_unchanged(self));
}

static bool in_progress_holds(subject *self)
{
    return MUST(self, self->out.kind == IDEM_IN_PROGRESS) &&
           MUST(self, self->out.retry_after_ms > 0 && self->out.retry_after_ms <= LONG_MS) &&
           MUST(self, subject_unchanged(self));
}

static bool complete_holds(subject *self)
{
    return holds_response(self, self->token);
}

static bool renew_holds(subject *self)
{
    return holds_claim(self, 1, RENEWED_MS, "") && subject_finish(self);
}

static bool checkpoint_holds(subject *self)
{
    return holds_claim(self, 1, LONG_MS, CHECKPOINT) && subject_finish(self);
}

static bool get_holds(subject *self)
{
    return MUST(self, self->got.status == IDEM_STATUS_COMPLETED) &&
           MUST(self, is(self->got.response, RESPONSE)) && MUST(self, subject_unchanged(self));
}

static bool resume_holds(subject *self)
{
    return MUST(self, memcmp(idem_claim_token(self->claim), self->token, IDEM_TOKEN_SIZE) == 0) &&
           MUST(self, subject_unchanged(self)) && subject_finish(self);
}

const operation operations[OPERATIONS] = {
    {"begin, new", prepare_nothing, call_begin, new_holds},
    {"begin, completed", prepare_response, call_begin, replay_holds},
    {"begin, in progress", prepare_others_claim, call_begin, in_progress_holds},
    {"begin, takeover", prepare_expired, call_begin, takeover_holds},
    {"complete", prepare_claim, call_complete, complete_holds},
    {"renew", prepare_claim, call_renew, renew_holds},
    {"checkpoint", prepare_claim, call_checkpoint, checkpoint_holds},
    {"release", prepare_claim, call_release, absent},
    {"get", prepare_response, call_get, get_holds},
    {"forget", prepare_response, call_forget, absent},
    {"resume", prepare_claim, call_resume, resume_holds},
};

bool subject_finish(subject *self)
{
    idem_claim *owners = NULL; /* the claim may be of either store */
    idem_outcome_clear(&self->out);
    bool refused =
        begin_as(self, self->other, LONG_MS) && MUST(self, self->out.kind == IDEM_IN_PROGRESS);
    idem_outcome_clear(&self->out);
    bool completed =
        refused &&
        MUST(self, idem_resume(self->store, idem_str(self->key), self->token, &owners, NULL) ==
                       IDEM_OK) &&
        MUST(self, idem_complete(self->store, owners, idem_str(RESPONSE), NULL) == IDEM_OK);
    idem_claim_free(owners);
    return completed && begin_as(self, self->other, LONG_MS) &&
           MUST(self, self->out.kind == IDEM_COMPLETED) &&
           MUST(self, is(self->out.response, RESPONSE)) && holds_response(self, self->token);
}

/* ---------------------------------------------------------------------------------- lifetime */

void subject_forget(subject *self)
{
    idem_outcome_clear(&self->out);
    idem_record_clear(&self->got);
}

bool subject_prepare(subject *self, const operation *op)
{
    subject_forget(self);
    idem_claim_free(self->claim);
    idem_claim_free(self->hasty_claim);
    self->claim = NULL;
    self->hasty_claim = NULL;
    (void)snprintf(self->key, sizeof self->key, "key-%u-%u", self->number, self->serial++);
    memset(self->token, 'a', sizeof self->token);
    memset(self->other, 'b', sizeof self->other);
    if (!op->prepare(self))
        return false;
    if (self->before)
        freeReplyObject(self->before);
    self->before = held_by_server(self);
    atomic_store(&self->retries, 0);
    return self->before != NULL;
}

/* A claim belongs to its store, so each has its own. */
bool subject_hurry(subject *self)
{
    idem_error error;
    if (!self->claim)
        return true;
    for (int i = 0; i < OPEN_TRIES; i++) { /* it may not make it on a busy machine */
        if (idem_resume(self->hasty, idem_str(self->key), self->token, &self->hasty_claim,
                        &error) == IDEM_OK)
            return true;
    }
    return subject_fail(self, "a resume to prepare failed: %s", error.message);
}

static void count_retry(void *user, const idem_event *event)
{
    if (event->kind == IDEM_EVENT_RETRY)
        (void)atomic_fetch_add((atomic_int *)user, 1);
}

static bool open_store(subject *self, uint64_t timeout_ms, idem_store **store)
{
    char url[120];
    idem_error error;
    idem_options options = {
        .size = sizeof options, .on_event = count_retry, .event_user = &self->retries};
    (void)snprintf(url, sizeof url, "redis://default:secret@127.0.0.1:%d/%d?timeout=%llums",
                   relay_port(self->relay), SUBJECT_DB, (unsigned long long)timeout_ms);
    for (int i = 0; i < OPEN_TRIES; i++) { /* a hasty one may not make it on a busy machine */
        if (idem_open_with(url, &options, store, &error) == IDEM_OK)
            return true;
    }
    return subject_fail(self, "the store can't be opened: %s", error.message);
}

bool subject_open(subject *self, int port, unsigned number)
{
    memset(self, 0, sizeof *self);
    self->port = port;
    self->number = number;
    self->relay = relay_start(port, number + 1);
    self->truth = redisConnect("127.0.0.1", port);
    redisReply *selected = self->truth && self->truth->err == 0
                               ? redisCommand(self->truth, "SELECT %d", SUBJECT_DB)
                               : NULL;
    if (!selected)
        return subject_fail(self, "the server can't be reached");
    freeReplyObject(selected);
    return open_store(self, 20000, &self->store) && open_store(self, HASTY_MS, &self->hasty);
}

void subject_close(subject *self)
{
    subject_forget(self);
    idem_claim_free(self->claim);
    idem_claim_free(self->hasty_claim);
    idem_close(self->store);
    idem_close(self->hasty);
    if (self->before)
        freeReplyObject(self->before);
    if (self->truth)
        redisFree(self->truth);
    relay_stop(self->relay);
}
