/* SPDX-License-Identifier: MIT */
/*
 * A cluster is put together by hand, which takes a second: redis-cli --cluster create takes ten.
 * Each node meets each other, so nobody waits for gossip.
 */
#include "cluster_set.h"

#include "loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 40
#define TRIES       3000
#define TRY_MS      10
#define KEYS_MAX    1000

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "cluster: %s\n", what);
    exit(EXIT_FAILURE);
}

/* --------------------------------------------------------------------------------- waiting */

/* The number of a field of CLUSTER INFO; of cluster_state 1 for ok. */
static long field(const server *node, const char *name)
{
    char *info = server_text(node, "CLUSTER INFO");
    const char *at = strstr(info, name);
    long number = -1;
    if (at)
        number = strcmp(name, "cluster_state:") == 0 ? strncmp(at + strlen(name), "ok", 2) == 0
                                                     : atol(at + strlen(name));
    free(info);
    return number;
}

static void await_field(const server *node, const char *name, long value)
{
    for (int i = 0; i < TRIES; i++) {
        if (field(node, name) == value)
            return;
        child_pause_ms(TRY_MS);
    }
    fail(name);
}

void cluster_await(const cluster_set *self, size_t node)
{
    await_field(&self->nodes[node], "cluster_state:", 1);
}

/* A node that knows another one by its address alone is in a handshake with it. */
static void await_acquaintance(const cluster_set *self, size_t node, size_t count)
{
    for (int i = 0; i < TRIES; i++) {
        char *nodes = server_text(&self->nodes[node], "CLUSTER NODES");
        bool known = !strstr(nodes, "handshake") && !strstr(nodes, "noaddr");
        free(nodes);
        if (known && field(&self->nodes[node], "cluster_known_nodes:") == (long)count)
            return;
        child_pause_ms(TRY_MS);
    }
    fail("the nodes do not meet");
}

void cluster_await_replicas(const cluster_set *self, size_t node, size_t replicas)
{
    char wanted[32];
    for (int i = 0; i < TRIES; i++) {
        char *info = server_text(&self->nodes[node], "INFO replication");
        size_t online = 0;
        (void)snprintf(wanted, sizeof wanted, "state=online");
        for (const char *at = strstr(info, wanted); at; at = strstr(at + 1, wanted))
            online++;
        free(info);
        if (online >= replicas)
            return;
        child_pause_ms(TRY_MS);
    }
    fail("a replica does not come");
}

bool cluster_is_master(const cluster_set *self, size_t node)
{
    redisReply *role = server_ask(&self->nodes[node], "ROLE");
    bool master = role->type == REDIS_REPLY_ARRAY && role->elements > 0 &&
                  strcmp(role->element[0]->str, "master") == 0;
    freeReplyObject(role);
    return master;
}

void cluster_await_role(const cluster_set *self, size_t node, bool master)
{
    for (int i = 0; i < TRIES; i++) {
        if (cluster_is_master(self, node) == master)
            return;
        child_pause_ms(TRY_MS);
    }
    fail(master ? "a replica does not take over" : "a master does not give up");
}

/* --------------------------------------------------------------------------------- its making */

static void start_node(cluster_set *self, const char *const *more)
{
    char bus[16];
    char tls[16];
    size_t node = self->count++;
    const char *options[OPTIONS_MAX] = {"--cluster-enabled",
                                        "yes",
                                        "--cluster-port",
                                        bus,
                                        "--cluster-node-timeout",
                                        "1000",
                                        "--cluster-replica-validity-factor",
                                        "0",
                                        "--cluster-allow-replica-migration",
                                        "no",
                                        "--repl-diskless-sync-delay",
                                        "0",
                                        NULL};
    size_t count = 12;
    for (; more && *more && count < OPTIONS_MAX - 1; more++)
        options[count++] = *more;
    if (self->tls) {
        self->ports[node] = loopback_free_port();
        (void)snprintf(tls, sizeof tls, "%d", self->ports[node]);
        options[count++] = "--tls-port";
        options[count++] = tls;
    }
    self->bus[node] = loopback_free_port();
    (void)snprintf(bus, sizeof bus, "%d", self->bus[node]);
    server_start(&self->nodes[node], options);
    if (!self->tls)
        self->ports[node] = self->nodes[node].port;
    char *id = server_text(&self->nodes[node], "CLUSTER MYID");
    (void)snprintf(self->ids[node], sizeof self->ids[node], "%s", id);
    free(id);
}

static void meet(const cluster_set *self, size_t node)
{
    for (size_t i = 0; i < self->count; i++) {
        if (i != node)
            server_do(&self->nodes[node], "CLUSTER MEET 127.0.0.1 %d %d", self->ports[i],
                      self->bus[i]);
    }
}

static void spread_slots(const cluster_set *self)
{
    for (size_t i = 0; i < self->masters; i++) {
        unsigned first = (unsigned)(CLUSTER_SLOTS * i / self->masters);
        unsigned last = (unsigned)(CLUSTER_SLOTS * (i + 1) / self->masters) - 1;
        server_do(&self->nodes[i], "CLUSTER ADDSLOTSRANGE %u %u", first, last);
        server_do(&self->nodes[i], "CLUSTER SET-CONFIG-EPOCH %d", (int)i + 1);
    }
}

static void make_url(cluster_set *self)
{
    const char *scheme = self->tls ? "rediss+cluster://" : "redis+cluster://";
    const char *host = self->tls ? "localhost" : "127.0.0.1";
    size_t len = (size_t)snprintf(self->url, sizeof self->url, "%s", scheme);
    for (size_t i = 0; i < self->count; i++)
        len += (size_t)snprintf(self->url + len, sizeof self->url - len, "%s%s:%d", i ? "," : "",
                                host, self->ports[i]);
}

static void start_all(cluster_set *self, size_t masters, size_t replicas,
                      const char *const *options)
{
    if (masters == 0)
        fail("no masters");
    self->masters = masters;
    for (size_t i = 0; i < masters * (1 + replicas); i++)
        start_node(self, options);
    spread_slots(self);
    for (size_t i = 0; i < self->count; i++)
        meet(self, i);
    for (size_t i = 0; i < self->count; i++)
        await_acquaintance(self, i, self->count);
    for (size_t i = masters; i < self->count; i++)
        server_do(&self->nodes[i], "CLUSTER REPLICATE %s", self->ids[(i - masters) % masters]);
    for (size_t i = 0; i < self->count; i++)
        cluster_await(self, i);
    for (size_t i = 0; i < masters; i++)
        cluster_await_replicas(self, i, replicas);
    make_url(self);
}

void cluster_start(cluster_set *self, size_t masters, size_t replicas, const char *const *options)
{
    memset(self, 0, sizeof *self);
    start_all(self, masters, replicas, options);
}

void cluster_start_tls(cluster_set *self, size_t masters, const char *folder)
{
    char certificate[160];
    char key[160];
    char ca[160];
    const char *const options[] = {"--tls-cluster",
                                   "yes",
                                   "--tls-cert-file",
                                   certificate,
                                   "--tls-key-file",
                                   key,
                                   "--tls-ca-cert-file",
                                   ca,
                                   "--tls-auth-clients",
                                   "no",
                                   "--cluster-announce-hostname",
                                   "localhost",
                                   "--cluster-preferred-endpoint-type",
                                   "hostname",
                                   NULL};
    (void)snprintf(certificate, sizeof certificate, "%s/server.crt", folder);
    (void)snprintf(key, sizeof key, "%s/server.key", folder);
    (void)snprintf(ca, sizeof ca, "%s/ca.crt", folder);
    memset(self, 0, sizeof *self);
    self->tls = true;
    start_all(self, masters, 0, options);
}

size_t cluster_join(cluster_set *self)
{
    size_t node = self->count;
    start_node(self, NULL);
    meet(self, node);
    for (size_t i = 0; i < self->count; i++)
        await_acquaintance(self, i, self->count);
    cluster_await(self, node);
    return node;
}

void cluster_leave(cluster_set *self, size_t node)
{
    for (size_t i = 0; i < self->count; i++) {
        if (i != node && self->nodes[i].pid > 0)
            server_do(&self->nodes[i], "CLUSTER FORGET %s", self->ids[node]);
    }
    server_stop(&self->nodes[node]);
}

/* ------------------------------------------------------------------------------------- slots */

unsigned cluster_slot(const cluster_set *self, const char *key)
{
    return (unsigned)server_number(&self->nodes[0], "CLUSTER KEYSLOT %s", key);
}

/* By the nodes' own words: who has a slot says "myself" in the line that lists it. */
size_t cluster_owner(const cluster_set *self, unsigned slot)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->nodes[i].pid <= 0)
            continue;
        redisReply *reply = server_ask(&self->nodes[i], "CLUSTER SLOTS");
        for (size_t range = 0; reply->type == REDIS_REPLY_ARRAY && range < reply->elements;
             range++) {
            const redisReply *at = reply->element[range];
            const redisReply *master = at->element[2];
            bool has = at->element[0]->integer <= (long long)slot &&
                       at->element[1]->integer >= (long long)slot;
            if (has && strcmp(master->element[2]->str, self->ids[i]) == 0) {
                freeReplyObject(reply);
                return i;
            }
        }
        freeReplyObject(reply);
    }
    fail("nobody has the slot");
    return 0;
}

void cluster_open_slot(const cluster_set *self, unsigned slot, size_t from, size_t to)
{
    server_do(&self->nodes[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, self->ids[from]);
    server_do(&self->nodes[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, self->ids[to]);
}

void cluster_move_keys(const cluster_set *self, unsigned slot, size_t from, size_t to)
{
    for (;;) {
        redisReply *keys =
            server_ask(&self->nodes[from], "CLUSTER GETKEYSINSLOT %u %d", slot, KEYS_MAX);
        size_t count = keys->type == REDIS_REPLY_ARRAY ? keys->elements : 0;
        for (size_t i = 0; i < count; i++)
            server_do(&self->nodes[from], "MIGRATE 127.0.0.1 %d %b 0 5000", self->nodes[to].port,
                      keys->element[i]->str, keys->element[i]->len);
        freeReplyObject(keys);
        if (count == 0)
            return;
    }
}

static bool is_running_master(const cluster_set *self, size_t node)
{
    return self->nodes[node].pid > 0 && cluster_is_master(self, node);
}

/* The configuration epoch of a node as another one knows it. */
static long epoch_of(const cluster_set *self, size_t node, size_t as_known_by)
{
    char *nodes = server_text(&self->nodes[as_known_by], "CLUSTER NODES");
    char *rest = NULL;
    long epoch = -1;
    for (char *line = strtok_r(nodes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, self->ids[node], strlen(self->ids[node])) != 0)
            continue;
        (void)sscanf(line, "%*s %*s %*s %*s %*s %*s %ld", &epoch);
    }
    free(nodes);
    return epoch;
}

/* Who moves a slot back before its new owner's epoch is known everywhere can make all nodes lose
   it. */
static void await_epoch(const cluster_set *self, size_t node)
{
    long epoch = epoch_of(self, node, node);
    for (size_t i = 0; i < self->count; i++) {
        int tries = 0;
        while (is_running_master(self, i) && epoch_of(self, node, i) != epoch) {
            if (tries++ == TRIES)
                fail("an epoch does not get around");
            child_pause_ms(1);
        }
    }
}

void cluster_close_slot(const cluster_set *self, unsigned slot, size_t to)
{
    server_do(&self->nodes[to], "CLUSTER SETSLOT %u NODE %s", slot, self->ids[to]);
    await_epoch(self, to);
    for (size_t i = 0; i < self->count; i++) {
        if (i != to && is_running_master(self, i))
            server_do(&self->nodes[i], "CLUSTER SETSLOT %u NODE %s", slot, self->ids[to]);
    }
}

void cluster_move(const cluster_set *self, unsigned slot, size_t from, size_t to)
{
    cluster_open_slot(self, slot, from, to);
    cluster_move_keys(self, slot, from, to);
    cluster_close_slot(self, slot, to);
}

/* A key that an earlier try has moved may have come back with a replica. */
static bool try_keys(const cluster_set *self, unsigned slot, size_t from, size_t to)
{
    bool moved = true;
    for (size_t count = 1; moved && count > 0;) {
        redisReply *keys =
            server_try(&self->nodes[from], "CLUSTER GETKEYSINSLOT %u %d", slot, KEYS_MAX);
        moved = keys && keys->type == REDIS_REPLY_ARRAY;
        count = moved ? keys->elements : 0;
        for (size_t i = 0; moved && i < count; i++)
            moved = server_may(&self->nodes[from], "MIGRATE 127.0.0.1 %d %b 0 5000 REPLACE",
                               self->nodes[to].port, keys->element[i]->str, keys->element[i]->len);
        freeReplyObject(keys);
    }
    return moved;
}

/* Waits for the epoch as await_epoch() does, for as long as there is no failover. */
static bool try_epoch(const cluster_set *self, size_t node)
{
    long epoch = epoch_of(self, node, node);
    for (size_t i = 0; i < self->count; i++) {
        int tries = 0;
        while (cluster_is_master(self, i) && epoch_of(self, node, i) != epoch) {
            if (tries++ == TRIES || !cluster_is_master(self, node))
                return false;
            child_pause_ms(1);
        }
    }
    return true;
}

static bool try_close(const cluster_set *self, unsigned slot, size_t to)
{
    if (!server_may(&self->nodes[to], "CLUSTER SETSLOT %u NODE %s", slot, self->ids[to]) ||
        !try_epoch(self, to))
        return false;
    for (size_t i = 0; i < self->count; i++) {
        if (i != to && cluster_is_master(self, i) &&
            !server_may(&self->nodes[i], "CLUSTER SETSLOT %u NODE %s", slot, self->ids[to]))
            return false;
    }
    return cluster_is_master(self, to);
}

bool cluster_try_move(const cluster_set *self, unsigned slot, size_t from, size_t to)
{
    if (cluster_owner(self, slot) == to)
        return try_close(self, slot, to);
    return server_may(&self->nodes[to], "CLUSTER SETSLOT %u IMPORTING %s", slot, self->ids[from]) &&
           server_may(&self->nodes[from], "CLUSTER SETSLOT %u MIGRATING %s", slot, self->ids[to]) &&
           try_keys(self, slot, from, to) && try_close(self, slot, to);
}

/* ------------------------------------------------------------------------------------- its end */

void cluster_flush(const cluster_set *self)
{
    for (size_t i = 0; i < self->count; i++) {
        redisReply *reply = self->nodes[i].pid > 0 ? server_ask(&self->nodes[i], "FLUSHALL") : NULL;
        if (reply) /* a replica refuses */
            freeReplyObject(reply);
    }
}

void cluster_remove(cluster_set *self)
{
    for (size_t i = 0; i < self->count; i++)
        server_remove(&self->nodes[i]);
}
