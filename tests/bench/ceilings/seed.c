/* SPDX-License-Identifier: MIT */
/*
 * The protocol of the format's first writer, on blocking hiredis: a claim is SET with NX, and a GET
 * if the key was there; a completion is a GET, for created_at, and a SET. It has no owners.
 */
#include "connection.h"

#include "../harness.h"

#include <idem/idem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIFE       "86400000"
#define TIME       "2026-11-23T16:00:00.000Z" /* as long as any */
#define TEXT_SIZE  1024u
#define CREATED_AT "\"created_at\":\""

typedef struct {
    redisContext *connection;
    const bench_options *options;
} subject;

static const char claimed[] =
    "{\"status\":\"InProgress\",\"created_at\":\"" TIME "\",\"updated_at\":\"" TIME "\"}";

static void *enter(void *shared)
{
    subject *self = bench_alloc(sizeof *self);
    self->options = shared;
    self->connection = connection_open(self->options->place);
    return self;
}

static void leave(void *mine)
{
    subject *self = mine;
    redisFree(self->connection);
    free(self);
}

/* True if the key was claimed. */
static bool set_nx(const subject *self, const bench_key *key)
{
    const char *words[] = {"SET", key->text, claimed, "NX", "PX", LIFE};
    const size_t lens[] = {3, BENCH_KEY_LEN, sizeof claimed - 1, 2, 2, sizeof LIFE - 1};
    (void)redisAppendCommandArgv(self->connection, 6, words, lens);
    redisReply *reply = connection_any_reply(self->connection);
    bool made = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return made;
}

static redisReply *get(const subject *self, const bench_key *key)
{
    const char *words[] = {"GET", key->text};
    const size_t lens[] = {3, BENCH_KEY_LEN};
    (void)redisAppendCommandArgv(self->connection, 2, words, lens);
    return connection_reply(self->connection, REDIS_REPLY_STRING);
}

static void claim(const subject *self, const bench_key *key)
{
    if (!set_nx(self, key))
        bench_fail("a fresh key was there");
}

static void complete(const subject *self, const bench_key *key)
{
    char text[TEXT_SIZE];
    redisReply *reply = get(self, key);
    const char *created_at = strstr(reply->str, CREATED_AT);
    if (!created_at)
        bench_fail("a record without created_at");
    int len = snprintf(text, sizeof text,
                       "{\"status\":\"Completed\",\"response\":%s," CREATED_AT
                       "%.24s\",\"updated_at\":\"" TIME "\"}",
                       self->options->response, created_at + sizeof CREATED_AT - 1);
    freeReplyObject(reply);
    if (len < 0 || (size_t)len >= sizeof text)
        bench_fail("the response is too long");
    const char *words[] = {"SET", key->text, text, "PX", LIFE};
    const size_t lens[] = {3, BENCH_KEY_LEN, (size_t)len, 2, sizeof LIFE - 1};
    (void)redisAppendCommandArgv(self->connection, 5, words, lens);
    freeReplyObject(connection_reply(self->connection, REDIS_REPLY_STATUS));
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        claim(mine, &keys[i]);
}

static void work_cycle(void *mine, const bench_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        claim(mine, &keys[i]);
        complete(mine, &keys[i]);
    }
}

static void work_replay(void *mine, const bench_key *keys, size_t count)
{
    static const char mark[] = "\"response\":";
    const subject *self = mine;
    for (size_t i = 0; i < count; i++) {
        if (set_nx(self, &keys[i]))
            bench_fail("a key that was completed is gone");
        redisReply *reply = get(self, &keys[i]);
        const char *at = strstr(reply->str, mark);
        if (!at)
            bench_fail("a record without a response");
        char *copy = bench_alloc(self->options->response_len);
        memcpy(copy, at + sizeof mark - 1, self->options->response_len);
        free(copy);
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
    static const bench_subject seed = {
        .open = open_options,
        .close = close_options,
        .enter = enter,
        .leave = leave,
        .work =
            {[BENCH_CLAIM] = work_claim, [BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &seed);
}
