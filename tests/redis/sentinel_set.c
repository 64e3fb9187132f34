/* SPDX-License-Identifier: MIT */
/*
 * Sentinels greet each other every other second; where they can be told to hurry (Redis 7), they
 * do. How often they ask a replica must stay: one that has not answered for three such periods is
 * not promoted.
 */
#include "sentinel_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_TRIES 3000

static const char *const node_options[] = {"--repl-diskless-sync-delay", "0",
                                           "--repl-ping-replica-period", "1", NULL};

static void fail(const char *what)
{
    (void)fprintf(stderr, "sentinel_set: %s\n", what);
    abort();
}

static void write_settings(char *settings, size_t size, const char *host, int port, int quorum,
                           int down_after_ms)
{
    (void)snprintf(settings, size,
                   "sentinel monitor " SENTINEL_SET_MASTER " %s %d %d\n"
                   "sentinel down-after-milliseconds " SENTINEL_SET_MASTER " %d\n"
                   "sentinel failover-timeout " SENTINEL_SET_MASTER " 5000\n",
                   host, port, quorum, down_after_ms);
}

void sentinel_set_watch(char *settings, size_t size, const char *host, int port)
{
    write_settings(settings, size, host, port, 1, SENTINEL_SET_CALM_MS);
}

static void hurry(const server *sentinel)
{
    redisReply *reply = server_ask(sentinel, "SENTINEL DEBUG publish-period 100 ask-period 200");
    freeReplyObject(reply); /* before Redis 7 it has no such command, and takes its time */
}

/* A number out of the flat list of names and values that describes the master. */
static long long told(const server *sentinel, const char *field)
{
    redisReply *reply = server_ask(sentinel, "SENTINEL MASTER " SENTINEL_SET_MASTER);
    long long number = -1;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        if (strcmp(reply->element[i]->str, field) == 0)
            number = atoll(reply->element[i + 1]->str);
    }
    freeReplyObject(reply);
    return number;
}

static void await(const server *sentinel, const char *field, long long least)
{
    for (int i = 0; told(sentinel, field) < least; i++) {
        if (i == WAIT_TRIES)
            fail("the sentinels do not find each other");
        child_pause_ms(10);
    }
}

static void start_nodes(sentinel_set *self)
{
    for (int i = 0; i < SENTINEL_SET_NODES; i++)
        server_start(&self->nodes[i], node_options);
    for (int i = 1; i < SENTINEL_SET_NODES; i++)
        server_do(&self->nodes[i], "REPLICAOF 127.0.0.1 %d", self->nodes[0].port);
    for (int i = 1; i < SENTINEL_SET_NODES; i++) {
        for (int j = 0;; j++) {
            char *info = server_text(&self->nodes[i], "INFO replication");
            bool up = strstr(info, "master_link_status:up") != NULL;
            free(info);
            if (up)
                break;
            if (j == WAIT_TRIES)
                fail("a replica does not connect");
            child_pause_ms(10);
        }
    }
}

void sentinel_set_start(sentinel_set *self, int down_after_ms)
{
    char text[600];
    memset(self, 0, sizeof *self);
    start_nodes(self);
    write_settings(text, sizeof text, "127.0.0.1", self->nodes[0].port, 2, down_after_ms);
    for (int i = 0; i < SENTINEL_SET_NODES; i++) {
        server_start_sentinel(&self->sentinels[i], text);
        hurry(&self->sentinels[i]);
    }
    for (int i = 0; i < SENTINEL_SET_NODES; i++) {
        await(&self->sentinels[i], "num-slaves", SENTINEL_SET_NODES - 1);
        await(&self->sentinels[i], "num-other-sentinels", SENTINEL_SET_NODES - 1);
    }
    (void)snprintf(self->url, sizeof self->url,
                   "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/" SENTINEL_SET_MASTER,
                   self->sentinels[0].port, self->sentinels[1].port, self->sentinels[2].port);
}

void sentinel_set_remove(sentinel_set *self)
{
    for (int i = 0; i < SENTINEL_SET_NODES; i++)
        server_kill(&self->sentinels[i]);
    for (int i = 0; i < SENTINEL_SET_NODES; i++) {
        server_remove(&self->sentinels[i]);
        server_kill(&self->nodes[i]);
        server_remove(&self->nodes[i]);
    }
}

int sentinel_set_named(const sentinel_set *self, const server *sentinel)
{
    redisReply *reply =
        server_ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME " SENTINEL_SET_MASTER);
    int port =
        reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 ? atoi(reply->element[1]->str) : 0;
    freeReplyObject(reply);
    for (int i = 0; i < SENTINEL_SET_NODES; i++) {
        if (self->nodes[i].port == port)
            return i;
    }
    return -1;
}

void sentinel_set_await_role(const server *node, const char *role)
{
    for (int i = 0; i < WAIT_TRIES; i++) {
        redisReply *reply = server_try(node, "ROLE"); /* it drops its clients when it is demoted */
        bool is = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                  strcmp(reply->element[0]->str, role) == 0;
        freeReplyObject(reply);
        if (is)
            return;
        child_pause_ms(10);
    }
    fail("a node does not change its role");
}

int sentinel_set_await_other(const sentinel_set *self, const server *sentinel, int old)
{
    for (int i = 0; i < WAIT_TRIES; i++) {
        int now = sentinel_set_named(self, sentinel);
        if (now >= 0 && now != old) {
            sentinel_set_await_role(&self->nodes[now], "master");
            return now;
        }
        child_pause_ms(10);
    }
    fail("there is no failover");
    return -1;
}

int sentinel_set_fail_over(const sentinel_set *self)
{
    int old = sentinel_set_named(self, &self->sentinels[0]);
    for (int i = 0; i < WAIT_TRIES; i++) { /* right after the last one there is no good replica */
        redisReply *reply =
            server_ask(&self->sentinels[0], "SENTINEL FAILOVER " SENTINEL_SET_MASTER);
        bool begun = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        if (begun)
            return sentinel_set_await_other(self, &self->sentinels[0], old);
        child_pause_ms(20);
    }
    fail("no replica can be promoted");
    return -1;
}
