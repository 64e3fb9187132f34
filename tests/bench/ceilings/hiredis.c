/* SPDX-License-Identifier: MIT */
/*
 * The least that claims, completes and replays in Redis: blocking hiredis, one connection for each
 * caller, the very commands, scripts and records of the library. A record's text is made once; of it
 * only the version and the token are written anew. A batch is a pipeline.
 */
#include "connection.h"

#include "../harness.h"

#include <idem/backend.h>
#include <redis/scripts.h>

#include <stdlib.h>
#include <string.h>

#define LIFE       "86400000" /* a retention of 24 h */
#define VERSION_AT 12u        /* behind `{"version":"` */
#define TOKEN_MARK "\"token\":\""

typedef struct {
    redisContext *connection;
    idem_buffer claimed; /* the texts of records */
    idem_buffer completed;
    size_t claimed_token; /* where the token stands in each */
    size_t completed_token;
    uint64_t random;
} subject;

static void make_text(idem_buffer *text, size_t *token, const char *response)
{
    idem_record record = {.status = response ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS,
                          .response = idem_str(response),
                          .attempt = 1,
                          .token = {1},
                          .created_at_ms = idem_wall_ms(),
                          .updated_at_ms = idem_wall_ms(),
                          .lease_ms = 60000,
                          .ttl_ms = 86400000};
    idem_error error = {0};
    if (idem_record_encode(&record, text, &error) || idem_buffer_append(text, "", 1, &error))
        bench_fail("%s", error.message);
    text->len--; /* the NUL */
    const char *mark = strstr(text->data, TOKEN_MARK);
    if (!mark)
        bench_fail("a record's text has no token");
    *token = (size_t)(mark - text->data) + strlen(TOKEN_MARK);
}

static void *enter(void *shared)
{
    const bench_options *options = shared;
    subject *self = bench_alloc(sizeof *self);
    memset(self, 0, sizeof *self);
    make_text(&self->claimed, &self->claimed_token, NULL);
    make_text(&self->completed, &self->completed_token, options->response);
    self->random = bench_now_ns();
    self->connection = connection_open(options->place);
    const char *load[] = {"SCRIPT", "LOAD", idem__redis_sources[IDEM__REDIS_REPLACE].text};
    (void)redisAppendCommandArgv(self->connection, 3, load, NULL);
    freeReplyObject(connection_reply(self->connection, REDIS_REPLY_STRING));
    return self;
}

static void leave(void *mine)
{
    subject *self = mine;
    redisFree(self->connection);
    idem_buffer_clear(&self->claimed);
    idem_buffer_clear(&self->completed);
    free(self);
}

/* The version of the n-th key of a batch, which its completion expects. */
static void stamp(subject *self, idem_buffer *text, size_t token, char version[16])
{
    bench_hex(bench_random(&self->random), version);
    memcpy(text->data + VERSION_AT, version, 16);
    bench_hex(bench_random(&self->random), text->data + token);
    bench_hex(bench_random(&self->random), text->data + token + 16);
}

static void send_claims(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    for (size_t i = 0; i < count; i++) {
        stamp(self, &self->claimed, self->claimed_token, versions[i]);
        const char *words[] = {"SET", keys[i].text, self->claimed.data, "NX", "GET", "PX", LIFE};
        const size_t lens[] = {3, BENCH_KEY_LEN, self->claimed.len, 2, 3, 2, sizeof LIFE - 1};
        (void)redisAppendCommandArgv(self->connection, 7, words, lens);
    }
}

static void claim(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    send_claims(self, keys, count, versions);
    for (size_t i = 0; i < count; i++)
        freeReplyObject(connection_reply(self->connection, REDIS_REPLY_NIL));
}

static void complete(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    char expected[] = "{\"version\":\"0123456789abcdef\"";
    char fresh[16];
    for (size_t i = 0; i < count; i++) {
        memcpy(expected + VERSION_AT, versions[i], 16);
        stamp(self, &self->completed, self->completed_token, fresh);
        const char *words[] = {"EVALSHA", idem__redis_sources[IDEM__REDIS_REPLACE].sha1,
                               "1",       keys[i].text,
                               expected,  self->completed.data,
                               LIFE};
        const size_t lens[] = {
            7, 40, 1, BENCH_KEY_LEN, sizeof expected - 1, self->completed.len, sizeof LIFE - 1};
        (void)redisAppendCommandArgv(self->connection, 7, words, lens);
    }
    for (size_t i = 0; i < count; i++)
        freeReplyObject(connection_reply(self->connection, REDIS_REPLY_STATUS));
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    char versions[BENCH_BATCH_MAX][16];
    claim(mine, keys, count, versions);
}

static void work_cycle(void *mine, const bench_key *keys, size_t count)
{
    char versions[BENCH_BATCH_MAX][16];
    claim(mine, keys, count, versions);
    complete(mine, keys, count, versions);
}

/* A caller of the library is given a copy of the response. */
static void take_response(const redisReply *reply)
{
    static const char mark[] = "\"response\":";
    const char *at = strstr(reply->str, mark);
    if (!at)
        bench_fail("a record without a response");
    at += sizeof mark - 1;
    size_t len = reply->len - (size_t)(at - reply->str) - 1;
    char *copy = bench_alloc(len);
    memcpy(copy, at, len);
    free(copy);
}

static void work_replay(void *mine, const bench_key *keys, size_t count)
{
    subject *self = mine;
    char versions[BENCH_BATCH_MAX][16];
    send_claims(self, keys, count, versions);
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = connection_reply(self->connection, REDIS_REPLY_STRING);
        take_response(reply);
        freeReplyObject(reply);
    }
}

static void *open_options(const bench_options *options)
{
    return (void *)(uintptr_t)options;
}

static void close_options(void *shared)
{
    (void)shared;
}

int main(int argc, char **argv)
{
    static const bench_subject hiredis = {
        .open = open_options,
        .close = close_options,
        .enter = enter,
        .leave = leave,
        .work =
            {[BENCH_CLAIM] = work_claim, [BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &hiredis);
}
