/* SPDX-License-Identifier: MIT */
/*
 * What one would write without a library: a hash table of uthash behind one mutex. It does the same
 * work: tokens from bits that are drawn in bulk, versions, an expiry by the clock, a copy of the
 * response for each replay. It does not look whether a response is JSON.
 */
#include "../harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <uthash.h>

#define RETENTION_MS 86400000u
#define LEASE_MS     60000u
#define POOL_BYTES   4096u

typedef struct {
    UT_hash_handle hh;
    uint64_t version;
    uint64_t expires_ms;
    int64_t created_at_ms;
    int64_t updated_at_ms;
    uint32_t lease_ms;
    uint32_t attempt;
    uint8_t token[16];
    char *response; /* NULL until completed */
    uint32_t response_len;
    uint16_t key_len;
    char key[];
} entry;

typedef struct {
    pthread_mutex_t lock;
    entry *entries;
    const bench_options *options;
    size_t drawn; /* how much of the pool was used */
    uint8_t pool[POOL_BYTES];
} table;

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void draw(table *self, void *out, size_t len)
{
    if (self->drawn + len > POOL_BYTES) {
        for (size_t at = 0; at < POOL_BYTES; at += 256) {
            if (getrandom(self->pool + at, 256, 0) != 256)
                bench_fail("getrandom() failed");
        }
        self->drawn = 0;
    }
    memcpy(out, self->pool + self->drawn, len);
    self->drawn += len;
}

static entry *find(table *self, const bench_key *key, uint64_t now_ms)
{
    entry *found = NULL;
    HASH_FIND(hh, self->entries, key->text, BENCH_KEY_LEN, found);
    if (found && found->expires_ms <= now_ms)
        bench_fail("a record has expired");
    return found;
}

static void claim(table *self, const bench_key *key, uint8_t token[16])
{
    uint64_t now_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
    (void)pthread_mutex_lock(&self->lock);
    if (find(self, key, now_ms))
        bench_fail("a fresh key was there");
    entry *made = bench_alloc(sizeof *made + BENCH_KEY_LEN);
    memset(made, 0, sizeof *made);
    memcpy(made->key, key->text, BENCH_KEY_LEN);
    made->key_len = BENCH_KEY_LEN;
    draw(self, made->token, sizeof made->token);
    draw(self, &made->version, sizeof made->version);
    made->created_at_ms = made->updated_at_ms = clock_ms(CLOCK_REALTIME);
    made->expires_ms = now_ms + RETENTION_MS;
    made->lease_ms = LEASE_MS;
    made->attempt = 1;
    memcpy(token, made->token, sizeof made->token);
    HASH_ADD_KEYPTR(hh, self->entries, made->key, BENCH_KEY_LEN, made);
    (void)pthread_mutex_unlock(&self->lock);
}

static void complete(table *self, const bench_key *key, const uint8_t token[16])
{
    const bench_options *options = self->options;
    uint64_t now_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
    char *response = bench_alloc(options->response_len);
    memcpy(response, options->response, options->response_len);
    (void)pthread_mutex_lock(&self->lock);
    entry *found = find(self, key, now_ms);
    if (!found || found->response || memcmp(found->token, token, sizeof found->token) != 0)
        bench_fail("a claim is lost");
    found->response = response;
    found->response_len = (uint32_t)options->response_len;
    draw(self, &found->version, sizeof found->version);
    found->updated_at_ms = clock_ms(CLOCK_REALTIME);
    found->expires_ms = now_ms + RETENTION_MS;
    (void)pthread_mutex_unlock(&self->lock);
}

static void work_claim(void *shared, const bench_key *keys, size_t count)
{
    uint8_t token[16];
    for (size_t i = 0; i < count; i++)
        claim(shared, &keys[i], token);
}

static void work_cycle(void *shared, const bench_key *keys, size_t count)
{
    uint8_t token[16];
    for (size_t i = 0; i < count; i++) {
        claim(shared, &keys[i], token);
        complete(shared, &keys[i], token);
    }
}

static void replay(table *self, const bench_key *key)
{
    uint64_t now_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC);
    (void)pthread_mutex_lock(&self->lock);
    entry *found = find(self, key, now_ms);
    if (!found || !found->response)
        bench_fail("a response is gone");
    char *copy = bench_alloc(found->response_len);
    memcpy(copy, found->response, found->response_len);
    (void)pthread_mutex_unlock(&self->lock);
    free(copy);
}

static void work_replay(void *shared, const bench_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        replay(shared, &keys[i]);
}

static void *open_table(const bench_options *options)
{
    table *self = bench_alloc(sizeof *self);
    memset(self, 0, sizeof *self);
    (void)pthread_mutex_init(&self->lock, NULL);
    self->options = options;
    self->drawn = POOL_BYTES;
    return self;
}

static void close_table(void *shared)
{
    table *self = shared;
    entry *at = self->entries;
    HASH_CLEAR(hh, self->entries);
    while (at) {
        entry *next = at->hh.next;
        free(at->response);
        free(at);
        at = next;
    }
    free(self);
}

int main(int argc, char **argv)
{
    static const bench_subject mutex_and_table = {
        .open = open_table,
        .close = close_table,
        .work =
            {[BENCH_CLAIM] = work_claim, [BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &mutex_and_table);
}
