/* SPDX-License-Identifier: MIT */
/*
 * hiredis' asynchronous API on libuv, from one thread: so many claims in flight on one connection,
 * the very commands and records of the library.
 */
#include "texts.h"

#include "../harness.h"

#include <hiredis/adapters/libuv.h>

#include <stdlib.h>
#include <string.h>

typedef struct {
    uv_loop_t *loop;
    redisAsyncContext *connection;
    record_texts texts;
    const bench_options *options;
    uint64_t in_flight;
} subject;

static void claimed(redisAsyncContext *connection, void *reply, void *user)
{
    subject *self = user;
    const redisReply *given = reply;
    if (!given || given->type != REDIS_REPLY_NIL)
        bench_fail("redis: %s", connection->err ? connection->errstr : "the key was there");
    self->in_flight--;
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    subject *self = mine;
    record_text *text = &self->texts.claimed;
    char version[16];
    for (size_t i = 0; i < count; i++) {
        texts_stamp(&self->texts, text, version);
        const char *words[] = {"SET", keys[i].text, text->bytes.data, "NX",
                               "GET", "PX",         TEXTS_LIFE};
        const size_t lens[] = {3, BENCH_KEY_LEN, text->bytes.len, 2, 3, 2, sizeof TEXTS_LIFE - 1};
        if (redisAsyncCommandArgv(self->connection, claimed, self, 7, words, lens) != REDIS_OK)
            bench_fail("redis: %s", self->connection->errstr);
        self->in_flight++;
        while (self->in_flight >= self->options->window)
            (void)uv_run(self->loop, UV_RUN_ONCE);
    }
}

static void *open_loop(const bench_options *options)
{
    static const char over_unix[] = "redis+unix://";
    subject *self = bench_alloc(sizeof *self);
    *self = (subject){.loop = uv_default_loop(), .options = options};
    texts_init(&self->texts, options->response);
    if (strncmp(options->place, over_unix, sizeof over_unix - 1) != 0)
        bench_fail("%s is not redis+unix://PATH", options->place);
    self->connection = redisAsyncConnectUnix(options->place + sizeof over_unix - 1);
    if (!self->connection || self->connection->err ||
        redisLibuvAttach(self->connection, self->loop) != REDIS_OK)
        bench_fail("%s can't be reached", options->place);
    return self;
}

static void close_loop(void *shared)
{
    subject *self = shared;
    while (self->in_flight > 0)
        (void)uv_run(self->loop, UV_RUN_ONCE);
    redisAsyncFree(self->connection);
    (void)uv_run(self->loop, UV_RUN_DEFAULT);
    texts_clear(&self->texts);
    free(self);
}

int main(int argc, char **argv)
{
    static const bench_subject loop = {
        .open = open_loop,
        .close = close_loop,
        .work = {[BENCH_CLAIM] = work_claim},
    };
    return bench_main(argc, argv, &loop);
}
