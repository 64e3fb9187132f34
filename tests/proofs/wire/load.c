/* SPDX-License-Identifier: MIT */
/*
 * Each step takes a key that two other steps take as well, at about the same time or later, begins
 * it under a token of its own, and completes it if it is New. A call that fails with an error that
 * may pass is made again, as the documents say: a begin with the same token.
 *
 * A response is made of the key and its owner's token, so that it can be told whose it is. Leases
 * are longer than any run: nobody may ever take a claim over, or be told New where somebody else was.
 * The ledger is behind one lock, which is not held during calls.
 */
#include "load.h"

#include "lateness.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX      200000u
#define STEPS_PER_KEY 3u
#define LEASE_MS      UINT64_C(36000000)
#define THREADS_MAX   64u
#define TEXT_SIZE     160

typedef struct {
    bool claimed;
    bool completed; /* acknowledged */
    uint8_t token[IDEM_TOKEN_SIZE];
} entry;

typedef struct {
    load *all;
    uint64_t random;
    unsigned key;
    bool was_completed; /* before this step began */
    char name[64];
    uint8_t token[IDEM_TOKEN_SIZE];
} worker;

struct load {
    load_plan plan;
    idem_store *store;
    pthread_t threads[THREADS_MAX];
    worker workers[THREADS_MAX];
    atomic_bool stopping;
    atomic_uint steps;
    pthread_mutex_t lock;
    entry *ledger;
    load_counts counts;
    char failure[400];
};

static void fail(load *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fail(load *self, const char *format, ...)
{
    va_list arguments;
    (void)pthread_mutex_lock(&self->lock);
    if (self->failure[0] == '\0') {
        va_start(arguments, format);
        (void)vsnprintf(self->failure, sizeof self->failure, format, arguments);
        va_end(arguments);
    }
    (void)pthread_mutex_unlock(&self->lock);
    atomic_store(&self->stopping, true);
}

static uint64_t draw(worker *self)
{
    self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return self->random >> 20;
}

static void name_key(const load *self, unsigned key, char name[64])
{
    (void)snprintf(name, 64, "%s-%u", self->plan.prefix, key);
}

static void make_response(const char *name, const uint8_t *token, char text[TEXT_SIZE])
{
    int len = snprintf(text, TEXT_SIZE, "{ \"key\":\"%s\", \"by\":\"", name);
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        len += snprintf(text + len, TEXT_SIZE - (size_t)len, "%02x", token[i]);
    (void)snprintf(text + len, TEXT_SIZE - (size_t)len, "\",\"n\":18446744073709551617}");
}

static bool is_response(idem_bytes response, const char *name, const uint8_t *token)
{
    char text[TEXT_SIZE];
    make_response(name, token, text);
    return response.len == strlen(text) && memcmp(response.data, text, response.len) == 0;
}

/* -------------------------------------------------------------------------------- the ledger */

static void note_claim(worker *self)
{
    load *all = self->all;
    (void)pthread_mutex_lock(&all->lock);
    entry *at = &all->ledger[self->key];
    bool twice = at->claimed && memcmp(at->token, self->token, IDEM_TOKEN_SIZE) != 0;
    bool completed = at->completed;
    at->claimed = true;
    memcpy(at->token, self->token, IDEM_TOKEN_SIZE);
    all->counts.claims++;
    (void)pthread_mutex_unlock(&all->lock);
    if (twice && !all->plan.may_lose)
        fail(all, "%s was New twice%s", self->name, completed ? ", and completed before" : "");
}

static void note_completion(worker *self)
{
    (void)pthread_mutex_lock(&self->all->lock);
    self->all->ledger[self->key].completed = true;
    self->all->counts.completes++;
    (void)pthread_mutex_unlock(&self->all->lock);
}

static void note_replay(worker *self, idem_bytes response)
{
    load *all = self->all;
    (void)pthread_mutex_lock(&all->lock);
    entry at = all->ledger[self->key];
    all->counts.replays++;
    (void)pthread_mutex_unlock(&all->lock);
    if (!all->plan.may_lose && (!at.claimed || !is_response(response, self->name, at.token)))
        fail(all, "%s has a response that its owner did not store: %.*s", self->name,
             (int)(response.len < 100 ? response.len : 100), (const char *)response.data);
}

static void note_failure(load *self, int rc)
{
    (void)pthread_mutex_lock(&self->lock);
    self->counts.failures++;
    self->counts.full += rc == IDEM_ERR_FULL;
    (void)pthread_mutex_unlock(&self->lock);
}

/* --------------------------------------------------------------------------------- the steps */

/* True if the call has to be made again. */
static bool again(worker *self, const char *call, int rc, const idem_error *error,
                  uint64_t began_ms)
{
    load *all = self->all;
    uint64_t took_ms = idem_monotonic_ms() - began_ms;
    uint64_t may_ms = all->plan.timeout_ms + SLACK_MS + lateness_since(began_ms);
    if (took_ms > may_ms)
        fail(all, "%s of %s took %llu ms and may take %llu", call, self->name,
             (unsigned long long)took_ms, (unsigned long long)may_ms);
    if (rc == IDEM_OK)
        return false;
    note_failure(all, rc);
    bool passes = rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN ||
                  (rc == IDEM_ERR_FULL && all->plan.may_be_full);
    bool lost = all->plan.may_lose && (rc == IDEM_ERR_LOST || rc == IDEM_ERR_NOT_FOUND);
    if (!passes && !lost)
        fail(all, "%s of %s gave %d: %s", call, self->name, rc, error->message);
    return passes && !atomic_load(&all->stopping);
}

static int begin(worker *self, idem_outcome *out)
{
    idem_error error;
    uint64_t began_ms;
    int rc;
    do {
        began_ms = idem_monotonic_ms();
        rc = idem_begin(
            self->all->store,
            IDEM_REQUEST(.key = idem_str(self->name), .token = self->token, .lease_ms = LEASE_MS),
            out, &error);
    } while (again(self, "begin", rc, &error, began_ms));
    return rc;
}

static void complete(worker *self, idem_claim *claim)
{
    char text[TEXT_SIZE];
    idem_error error;
    uint64_t began_ms;
    int rc;
    make_response(self->name, self->token, text);
    do {
        began_ms = idem_monotonic_ms();
        rc = idem_complete(self->all->store, claim, idem_str(text), &error);
    } while (again(self, "complete", rc, &error, began_ms));
    if (rc == IDEM_OK)
        note_completion(self);
}

static void choose(worker *self)
{
    load *all = self->all;
    unsigned newest = atomic_fetch_add(&all->steps, 1) / STEPS_PER_KEY;
    bool look_back = draw(self) % 4 == 0 || newest >= KEYS_MAX;
    if (newest >= KEYS_MAX)
        newest = KEYS_MAX - 1;
    self->key = look_back ? (unsigned)(draw(self) % (newest + 1)) : newest;
    name_key(all, self->key, self->name);
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        self->token[i] = (uint8_t)(draw(self) | 1);
    (void)pthread_mutex_lock(&all->lock);
    self->was_completed = all->ledger[self->key].completed;
    (void)pthread_mutex_unlock(&all->lock);
}

static void *work(void *user)
{
    worker *self = user;
    while (!atomic_load(&self->all->stopping)) {
        idem_outcome out = {0};
        choose(self);
        if (begin(self, &out) != IDEM_OK)
            continue;
        if (out.kind == IDEM_NEW) {
            note_claim(self);
            complete(self, out.claim);
        } else if (out.kind == IDEM_COMPLETED) {
            note_replay(self, out.response);
        } else if (self->was_completed && !self->all->plan.may_lose) {
            fail(self->all, "%s was completed and is %d now", self->name, (int)out.kind);
        }
        idem_outcome_clear(&out);
    }
    return NULL;
}

/* -------------------------------------------------------------------------------- comparing */

static bool is_held(load *self, unsigned key, const entry *at, const redisReply *reply)
{
    char name[64];
    idem_record record = {0};
    name_key(self, key, name);
    bool held =
        reply->type == REDIS_REPLY_STRING &&
        idem_record_decode(idem_str(name), reply->str, reply->len, &record, NULL) == IDEM_OK &&
        memcmp(record.token, at->token, IDEM_TOKEN_SIZE) == 0 && record.attempt == 1;
    if (held && record.status == IDEM_STATUS_COMPLETED)
        held = is_response(record.response, name, at->token);
    else
        held = held && !at->completed;
    if (!held)
        fail(self, "%s was acknowledged as %s, and the server holds %.120s", name,
             at->completed ? "completed" : "claimed",
             reply->type == REDIS_REPLY_STRING ? reply->str : "nothing");
    idem_record_clear(&record);
    return held;
}

bool load_is_held(load *self, const server *by)
{
    bool held = true;
    redisContext *context = redisConnect("127.0.0.1", by->port);
    for (unsigned i = 0; held && i < KEYS_MAX; i++) {
        char name[64];
        if (!self->ledger[i].claimed)
            continue;
        name_key(self, i, name);
        redisReply *reply = redisCommand(context, "GET %s", name);
        held = reply && is_held(self, i, &self->ledger[i], reply);
        if (!reply)
            fail(self, "the server can't be asked: %s", context->errstr);
        freeReplyObject(reply);
    }
    redisFree(context);
    return held;
}

/* ---------------------------------------------------------------------------------- lifetime */

load *load_start(const load_plan *plan)
{
    char url[SERVER_URL_SIZE + 40];
    load *self = calloc(1, sizeof *self);
    if (!self || !(self->ledger = calloc(KEYS_MAX, sizeof *self->ledger)))
        abort();
    self->plan = *plan;
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)snprintf(url, sizeof url, "%s?timeout=%llums", plan->url,
                   (unsigned long long)plan->timeout_ms);
    idem_error error;
    int rc = idem_open(url, &self->store, &error);
    if (rc != IDEM_OK)
        fail(self, "the store can't be opened: %s", error.message);
    for (unsigned i = 0; rc == IDEM_OK && i < plan->threads; i++) {
        self->workers[i] = (worker){.all = self, .random = plan->seed * 977 + i};
        if (pthread_create(&self->threads[i], NULL, work, &self->workers[i]) != 0)
            abort();
    }
    return self;
}

void load_stop(load *self)
{
    atomic_store(&self->stopping, true);
    for (unsigned i = 0; self->store && i < self->plan.threads; i++)
        (void)pthread_join(self->threads[i], NULL);
}

load_counts load_count(load *self)
{
    (void)pthread_mutex_lock(&self->lock);
    load_counts counts = self->counts;
    (void)pthread_mutex_unlock(&self->lock);
    return counts;
}

const char *load_failure(load *self)
{
    (void)pthread_mutex_lock(&self->lock);
    const char *failure = self->failure[0] ? self->failure : NULL; /* never changes again */
    (void)pthread_mutex_unlock(&self->lock);
    return failure;
}

void load_free(load *self)
{
    idem_close(self->store);
    (void)pthread_mutex_destroy(&self->lock);
    free(self->ledger);
    free(self);
}
