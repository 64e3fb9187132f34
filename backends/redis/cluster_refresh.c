/* SPDX-License-Identifier: MIT */
/*
 * The map of slots: which node is asked for it, when, and what becomes of it. It is fetched by a
 * thread, over a connection of its own, when an instance is opened, after each MOVED, and when a
 * node fails or is silent; but not more often than it helps. All nodes that are known are asked in
 * turn until one answers, and each time another one first: one that is cut off from the others
 * would give its old map for ever.
 *
 * A map in which a slot has no owner is taken all the same: the other slots work.
 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_MS  50u  /* between two maps */
#define LIVELY_MS 300u /* an answer that is due for longer may not come */

/* --------------------------------------------------------------------------------- the thread */

static int refuse_reply(const idem__redis *node, const redisReply *reply, idem__redis_fault *fault)
{
    idem_bytes text = {reply->str, reply->len};
    if (reply->type != REDIS_REPLY_ERROR)
        return IDEM_OK;
    if (idem__redis_fault_is(text, "ERR This instance has cluster support disabled"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                     "%s is no node of a cluster: write redis:// (or rediss://)",
                                     node->name);
    if (idem__redis_fault_is(text, "NOPERM"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s does not tell this user which node has which slots: allow "
                                     "CLUSTER SLOTS (an ACL's +cluster|slots)",
                                     node->name);
    return idem__redis_fault_take(fault, node->name, (idem_bytes){NULL, 0}, text);
}

static idem__redis_map *ask(idem__redis *node, const idem__redis_address *address,
                            uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem_bytes words[] = {idem_str("CLUSTER"), idem_str("SLOTS")};
    redisReply *reply = NULL;
    idem__redis_map *map = NULL;
    idem__redis_wire_begin(&node->wire, false);
    node->wire.nested = true;
    int rc = idem__redis_wire_append(&node->wire, 2, words, fault);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_reply(&node->wire, deadline_ms, &reply, fault);
    if (rc == IDEM_OK)
        rc = refuse_reply(node, reply, fault);
    if (rc == IDEM_OK)
        map = idem__redis_map_read(reply, address, node->name, fault);
    if (reply)
        freeReplyObject(reply);
    if (map && map->owned == 0) {
        (void)idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                    "%s belongs to a cluster in which no node has a slot: finish "
                                    "it with redis-cli --cluster create",
                                    node->name);
        idem__redis_map_free(map);
        map = NULL;
    }
    return map;
}

/* Each for as long as a connection and its name may take: one that answers the greeting and then
   says nothing leaves time for the others. */
static idem__redis_map *ask_candidate(const idem__redis_cluster *self,
                                      const idem__redis_address *address, uint64_t deadline_ms,
                                      idem__redis_fault *fault)
{
    idem_config config = idem__redis_node_config(self, address);
    idem__redis *node = idem__redis_node_make(self, &config, fault);
    idem__redis_map *map = NULL;
    if (!node)
        return NULL;
    uint64_t patience_ms = self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    uint64_t limit_ms = idem_monotonic_ms() + 2 * patience_ms;
    if (limit_ms < deadline_ms)
        deadline_ms = limit_ms;
    if (idem__redis_ready(node, deadline_ms, fault) == IDEM_OK)
        map = ask(node, address, deadline_ms, fault);
    idem__redis_close(&node->base);
    return map;
}

static void fetch(void *user)
{
    idem__redis_cluster *self = user;
    idem__redis_refresh *refresh = &self->refresh;
    for (size_t i = 0; i < refresh->count && !refresh->map; i++) {
        idem__redis_fault fault = {0};
        uint64_t now_ms = idem_monotonic_ms();
        if (i > 0 && (now_ms >= refresh->job.deadline_ms || atomic_load(&refresh->hurry)))
            break;
        refresh->map =
            ask_candidate(self, &refresh->candidates[i], refresh->job.deadline_ms, &fault);
        /* What no repeat helps against says more than that another one is down. */
        if (!refresh->map && (i == 0 || (fault.permanent && !refresh->job.fault.permanent)))
            refresh->job.fault = fault;
    }
    refresh->job.rc = refresh->map ? IDEM_OK : refresh->job.fault.error.code;
}

/* -------------------------------------------------------------------------- which nodes to ask */

static void add_candidate(idem__redis_refresh *refresh, const idem__redis_address *address)
{
    for (size_t i = 0; i < refresh->count; i++) {
        if (idem__redis_address_same(&refresh->candidates[i], address))
            return;
    }
    refresh->candidates[refresh->count++] = *address;
}

static bool is_lively(const idem__redis_node *node)
{
    return node->connected &&
           (node->sent.count == 0 || idem_monotonic_ms() < node->silent_ms + LIVELY_MS);
}

/* Nodes that answered a moment ago, then all that are known, replicas too, then the URL's. */
static bool list_candidates(idem__redis_cluster *self)
{
    idem__redis_refresh *refresh = &self->refresh;
    size_t nodes = 0;
    for (const idem__redis_node *at = self->nodes; at; at = at->next)
        nodes++;
    size_t members = self->map ? self->map->count : 0;
    free(refresh->candidates);
    refresh->count = 0;
    refresh->candidates =
        calloc(2 * nodes + members + self->seeds_count, sizeof(idem__redis_address));
    if (!refresh->candidates)
        return false;
    size_t skip = nodes > 0 ? self->turn++ % nodes : self->turn++;
    for (size_t round = 0; round < 2; round++) {
        size_t i = 0;
        for (const idem__redis_node *at = self->nodes; at; at = at->next, i++) {
            if (is_lively(at) && (i >= skip) == (round == 0))
                add_candidate(refresh, &at->address);
        }
    }
    for (size_t i = 0; i < members; i++)
        add_candidate(refresh, &self->map->members[(i + skip) % members].address);
    for (size_t i = 0; i < self->seeds_count; i++)
        add_candidate(refresh, &self->seeds[(i + skip) % self->seeds_count]);
    return true;
}

void idem__redis_refresh_want(idem__redis_cluster *self)
{
    self->refresh_wanted = true;
}

static void refuse_start(idem__redis_cluster *self, const char *what)
{
    self->reason = (idem__redis_fault){0};
    (void)idem__redis_fault_set(&self->reason, false, IDEM_ERR_UNAVAILABLE,
                                "the cluster's map of slots can't be fetched: %s", what);
}

void idem__redis_refresh_start(idem__redis_cluster *self, uint64_t until_ms)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t patience_ms = self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    if (!self->refresh_wanted || self->refresh.job.running || now_ms < self->refresh_after_ms)
        return;
    self->refresh_after_ms = now_ms + PAUSE_MS;
    if (!list_candidates(self)) {
        refuse_start(self, "out of memory");
        return;
    }
    uint64_t deadline_ms = now_ms + (self->refresh.count + 1) * patience_ms;
    if (until_ms < deadline_ms)
        deadline_ms = until_ms;
    atomic_store(&self->refresh.hurry, false);
    if (idem__redis_job_start(&self->refresh.job, fetch, self, deadline_ms, self->notify[1]) != 0) {
        refuse_start(self,
                     "there is no thread for it: raise this user's limit of them (ulimit -u)");
        return;
    }
    self->refresh_wanted = false;
}

/* ------------------------------------------------------------------------------ taking one in */

static void apply(idem__redis_cluster *self, idem__redis_map *map)
{
    idem__redis_node **nodes = calloc(map->count, sizeof(idem__redis_node *));
    if (!nodes) {
        idem__redis_map_free(map);
        refuse_start(self, "out of memory");
        return;
    }
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        at->named = false;
    for (size_t slot = 0; slot < IDEM__REDIS_SLOTS; slot++) {
        uint16_t index = map->owner[slot];
        self->owner[slot] = NULL;
        if (index == IDEM__REDIS_NO_OWNER)
            continue;
        if (!nodes[index])
            nodes[index] = idem__redis_node_get(self, &map->members[index].address);
        self->owner[slot] = nodes[index];
        if (nodes[index])
            nodes[index]->named = true;
    }
    free(nodes);
    idem__redis_map_free(self->map);
    self->map = map;
    self->reason = (idem__redis_fault){0};
}

bool idem__redis_refresh_take(idem__redis_cluster *self)
{
    idem__redis_refresh *refresh = &self->refresh;
    if (!idem__redis_job_reap(&refresh->job))
        return false;
    self->refresh_after_ms = idem_monotonic_ms() + PAUSE_MS;
    if (refresh->map)
        apply(self, refresh->map);
    else
        self->reason = refresh->job.fault;
    refresh->map = NULL;
    return true;
}

/* One try. @return false: the deadline has come, or there is none */
static bool fetch_once(idem__redis_cluster *self, uint64_t deadline_ms)
{
    uint64_t now_ms = idem_monotonic_ms();
    idem__redis_refresh_want(self);
    while (now_ms < deadline_ms) {
        idem__redis_refresh_start(self, deadline_ms);
        if (!self->refresh.job.running && now_ms >= self->refresh_after_ms)
            return false; /* it could not be started */
        bool pauses = !self->refresh.job.running && self->refresh_after_ms < deadline_ms;
        idem__redis_cluster_wait(self, pauses ? self->refresh_after_ms : deadline_ms);
        idem__redis_cluster_calm(self);
        if (idem__redis_refresh_take(self))
            return true;
        now_ms = idem_monotonic_ms();
    }
    return false;
}

int idem__redis_refresh_await(idem__redis_cluster *self, uint64_t deadline_ms,
                              idem__redis_fault *fault)
{
    if (self->map)
        return IDEM_OK;
    self->reason = (idem__redis_fault){0};
    (void)fetch_once(self, deadline_ms);
    if (self->map)
        return IDEM_OK;
    *fault = self->reason;
    return fault->error.code
               ? fault->error.code
               : idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                       "no node of the cluster has told by the deadline which node "
                                       "has which slots: look at the network between, or set a "
                                       "longer timeout");
}

void idem__redis_refresh_renew(idem__redis_cluster *self, uint64_t deadline_ms)
{
    if (fetch_once(self, deadline_ms))
        idem__redis_cluster_reroute(self);
}
