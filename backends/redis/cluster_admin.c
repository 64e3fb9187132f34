/* SPDX-License-Identifier: MIT */
/*
 * Operators' calls over all masters of a cluster. A listing goes through the masters in the order
 * of their lowest slots; its cursor has that slot above the node's own cursor, so any instance can
 * go on with it. Between them is a mark of the node: a cursor means nothing to another node, so one
 * that has taken the slot over is listed from its beginning. Slots that are moved meanwhile may be
 * listed twice, or not at all.
 *
 * A check examines each master as if it stood alone, and the cluster as a whole: its state, slots
 * without an owner, replicas that are lacking, or that share a host with their master.
 */
#include "cluster.h"

#include "check.h"
#include "check_cluster.h"
#include "info.h"
#include "scan.h"

#include <inttypes.h>
#include <stdio.h>

#define MARK_BITS   8
#define CURSOR_BITS 42
#define CURSOR_MAX  ((UINT64_C(1) << CURSOR_BITS) - 1)
#define MASTERS_MIN 3u /* for a majority without one of them */

static int report(const idem__redis_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

/* ------------------------------------------------------------------------------------- listing */

static void find_first_slots(idem__redis_cluster *self)
{
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        at->first_slot = IDEM__REDIS_SLOTS;
    for (unsigned slot = 0; slot < IDEM__REDIS_SLOTS; slot++) {
        idem__redis_node *node = self->owner[slot];
        if (node && slot < node->first_slot)
            node->first_slot = slot;
    }
}

/* The node whose lowest slot is the next from `slot` on. NULL: there is none. */
static idem__redis_node *next_node(const idem__redis_cluster *self, unsigned slot)
{
    idem__redis_node *found = NULL;
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        if (at->first_slot >= slot && at->first_slot < IDEM__REDIS_SLOTS &&
            (!found || at->first_slot < found->first_slot))
            found = at;
    }
    return found;
}

static unsigned mark_of(const idem__redis_node *node)
{
    unsigned mark = node->address.port;
    for (const char *at = node->address.host; *at; at++)
        mark = mark * 31 + (unsigned char)*at;
    return (mark ^ mark >> MARK_BITS ^ mark >> 2 * MARK_BITS) & ((1u << MARK_BITS) - 1);
}

static uint64_t cursor_of(unsigned slot, const idem__redis_node *node, uint64_t cursor)
{
    return ((uint64_t)slot << MARK_BITS | mark_of(node)) << CURSOR_BITS | cursor;
}

static int list(idem__redis_cluster *self, idem_scan_page *page, uint64_t deadline_ms,
                idem__redis_fault *fault)
{
    unsigned slot = (unsigned)(page->cursor >> (CURSOR_BITS + MARK_BITS));
    idem_scan_page own = *page;
    find_first_slots(self);
    own.cursor = page->cursor & CURSOR_MAX;
    idem__redis_node *node = own.cursor != 0 ? self->owner[slot] : next_node(self, slot);
    page->next = 0;
    if (page->cursor != 0 && !self->owner[slot]) {
        idem__redis_refresh_want(self);
        return idem__redis_fault_set(
            fault, false, IDEM_ERR_UNAVAILABLE,
            "a master has gone before its keys were listed, and no other "
            "has slot %u: look at redis-cli --cluster check, and list again",
            slot);
    }
    if (!node)
        return IDEM_OK;
    if (own.cursor == 0)
        slot = node->first_slot;
    else if (page->cursor != cursor_of(slot, node, own.cursor))
        own.cursor = 0;
    int rc = idem__redis_node_await(self, node, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__redis_scan(node->redis, &own, deadline_ms, fault);
    if (rc) {
        node->connected = false;
        idem__redis_refresh_want(self);
        return rc;
    }
    if (own.next > CURSOR_MAX)
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                     "%s has a cursor of more than %d bits: list its keys by "
                                     "redis-cli --scan",
                                     node->redis->name, CURSOR_BITS);
    const idem__redis_node *next = own.next == 0 ? next_node(self, slot + 1) : node;
    if (next)
        page->next = cursor_of(own.next == 0 ? next->first_slot : slot, next, own.next);
    return IDEM_OK;
}

int idem__redis_cluster_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                             idem_error *error)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    idem__redis_fault fault = {0};
    if (page->cursor == 0 || self->refresh_wanted)
        idem__redis_refresh_renew(self, deadline_ms);
    int rc = idem__redis_refresh_await(self, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = list(self, page, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

/* ----------------------------------------------------------------------------------- a check */

typedef struct {
    const idem__redis_cluster *self;
    const idem__redis_node *node;
    idem_finding_fn emit;
    void *emit_user;
} examination;

static bool has_slot(const void *of, idem_bytes key)
{
    const examination *at = of;
    return at->self->owner[idem__redis_key_slot(key)] == at->node;
}

/* A finding of one node. */
static void emit_of_node(void *user, const idem_finding *finding)
{
    const examination *at = user;
    idem_finding_emit(at->emit, at->emit_user, finding->fix, "%.120s: %s", at->node->redis->name,
                      finding->what);
}

static void judge_slots(const examination *at)
{
    const idem__redis_map *map = at->self->map;
    unsigned first = 0;
    while (first < IDEM__REDIS_SLOTS && map->owner[first] != IDEM__REDIS_NO_OWNER)
        first++;
    if (map->owned < IDEM__REDIS_SLOTS)
        idem_finding_emit(at->emit, at->emit_user, "redis-cli --cluster fix HOST:PORT",
                          "%u slots have no owner, the first of them is %u: keys in them can't be "
                          "claimed, and with cluster-require-full-coverage no keys at all",
                          IDEM__REDIS_SLOTS - map->owned, first);
}

static void judge_replicas(const examination *at, uint16_t master)
{
    const idem__redis_map *map = at->self->map;
    const idem__redis_address *address = &map->members[master].address;
    unsigned count = 0;
    unsigned apart = 0;
    char quoted[IDEM_QUOTE_SIZE];
    for (size_t i = 0; i < map->count; i++) {
        const idem__redis_member *member = &map->members[i];
        if (!member->replica || member->master != master)
            continue;
        count++;
        apart += strcmp(member->address.host, address->host) != 0;
    }
    (void)idem_quote(idem_str(address->host), quoted);
    if (count == 0)
        idem_finding_emit(at->emit, at->emit_user,
                          "redis-cli --cluster add-node HOST:PORT NODE:PORT --cluster-slave",
                          "the master at %s port %u has no replica that is up: when it stops, its "
                          "slots can't be used, and if its disk is lost, its records are",
                          quoted, (unsigned)address->port);
    else if (apart == 0)
        idem_finding_emit(
            at->emit, at->emit_user, "run a replica of it on another machine (CLUSTER REPLICATE)",
            "all replicas of the master at %s port %u are on the same host: when that "
            "stops, none of them takes over",
            quoted, (unsigned)address->port);
}

static void judge_masters(const examination *at)
{
    const idem__redis_map *map = at->self->map;
    unsigned masters = 0;
    for (size_t i = 0; i < map->count; i++) {
        if (map->members[i].replica)
            continue;
        masters++;
        judge_replicas(at, (uint16_t)i);
    }
    if (masters < MASTERS_MIN)
        idem_finding_emit(at->emit, at->emit_user, "spread the slots over three masters or more",
                          "there are %u masters: without one of them there is no majority, and no "
                          "replica takes over",
                          masters);
}

static int judge_state(const examination *at, uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem__redis_wire *wire = &at->node->redis->wire;
    idem_bytes words[] = {idem_str("CLUSTER"), idem_str("INFO")};
    redisReply *reply = NULL;
    char state[16] = "";
    idem__redis_wire_begin(wire, false);
    int rc = idem__redis_wire_append(wire, 2, words, fault);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_reply(wire, deadline_ms, &reply, fault);
    if (rc)
        return rc;
    if (reply->type == REDIS_REPLY_STRING)
        (void)idem__redis_info_text((idem_bytes){reply->str, reply->len}, "cluster_state", state,
                                    sizeof state);
    freeReplyObject(reply);
    if (!*state)
        idem_finding_emit(at->emit, at->emit_user, "allow CLUSTER INFO (an ACL's +cluster|info)",
                          "%.120s does not tell its cluster's state", at->node->redis->name);
    else if (strcmp(state, "ok") != 0)
        idem_finding_emit(at->emit, at->emit_user, "redis-cli --cluster check HOST:PORT",
                          "%.120s says that its cluster's state is %s: it takes no claims",
                          at->node->redis->name, state);
    return IDEM_OK;
}

static int examine(examination *at, idem__redis_cluster *self, idem__redis_node *node,
                   uint64_t deadline_ms, idem__redis_fault *fault)
{
    at->node = node;
    int rc = idem__redis_node_await(self, node, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = judge_state(at, deadline_ms, fault);
    if (rc == IDEM_OK) {
        node->redis->has_slot = has_slot;
        node->redis->has_slot_of = at;
        rc = idem__redis_check(node->redis, emit_of_node, at, deadline_ms, fault);
        node->redis->has_slot = NULL;
        node->redis->has_slot_of = NULL;
    }
    node->connected = rc == IDEM_OK;
    return rc;
}

/* Each master that is left, and the replicas together, may take a share of the time: one that is
   silent leaves theirs to the others. */
static uint64_t share_of(const idem__redis_node *from, uint64_t deadline_ms)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t left = 1;
    for (const idem__redis_node *at = from; at; at = at->next)
        left += at->named;
    return now_ms < deadline_ms ? now_ms + (deadline_ms - now_ms) / left : now_ms;
}

/* A master that can't be reached is a finding: the others are looked at all the same. */
static void tell_failed(const examination *at, const idem__redis_fault *fault)
{
    idem_finding_emit(at->emit, at->emit_user, "start it, or let its replica take over",
                      "a master can't be examined: %.200s", fault->error.message);
}

int idem__redis_cluster_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                              uint64_t deadline_ms, idem_error *error)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    examination at = {.self = self, .emit = emit, .emit_user = emit_user};
    idem__redis_fault fault = {0};
    idem__redis_refresh_renew(self, deadline_ms);
    int rc = idem__redis_refresh_await(self, deadline_ms, &fault);
    if (rc)
        return report(&fault, error);
    judge_slots(&at);
    judge_masters(&at);
    for (idem__redis_node *node = self->nodes; node; node = node->next) {
        idem__redis_fault own = {0};
        if (node->named && examine(&at, self, node, share_of(node, deadline_ms), &own))
            tell_failed(&at, &own);
    }
    idem__redis_check_cluster(self, deadline_ms, emit, emit_user);
    return IDEM_OK;
}
