/* SPDX-License-Identifier: MIT */
/*
 * The least that claims, completes and replays in Redis: blocking hiredis, one connection for each
 * caller, the very commands, scripts and records of the library. A batch is a pipeline.
 */
#include "connection.h"
#include "texts.h"

#include "../harness.h"

#include <redis/scripts.h>

#include <stdlib.h>
#include <string.h>

typedef struct {
    redisContext *connection;
    record_texts texts;
} subject;

static void *enter(void *shared)
{
    const bench_options *options = shared;
    subject *self = bench_alloc(sizeof *self);
    texts_init(&self->texts, options->response);
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
    texts_clear(&self->texts);
    free(self);
}

/* The versions are for the completions, which expect them. */
static void send_claims(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    record_text *text = &self->texts.claimed;
    for (size_t i = 0; i < count; i++) {
        texts_stamp(&self->texts, text, versions[i]);
        const char *words[] = {"SET", keys[i].text, text->bytes.data, "NX",
                               "GET", "PX",         TEXTS_LIFE};
        const size_t lens[] = {3, BENCH_KEY_LEN, text->bytes.len, 2, 3, 2, sizeof TEXTS_LIFE - 1};
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
    record_text *text = &self->texts.completed;
    for (size_t i = 0; i < count; i++) {
        memcpy(expected + TEXTS_VERSION_AT, versions[i], 16);
        texts_stamp(&self->texts, text, fresh);
        const char *words[] = {"EVALSHA", idem__redis_sources[IDEM__REDIS_REPLACE].sha1,
                               "1",       keys[i].text,
                               expected,  text->bytes.data,
                               TEXTS_LIFE};
        const size_t lens[] = {
            7, 40, 1, BENCH_KEY_LEN, sizeof expected - 1, text->bytes.len, sizeof TEXTS_LIFE - 1};
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
