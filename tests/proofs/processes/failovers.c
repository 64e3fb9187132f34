/* SPDX-License-Identifier: MIT */
/*
 * Ordered failovers come every few seconds. The servers make others of their own accord, on a busy
 * machine soon after an ordered one: watch.c finds these. A cluster's slots are moved all the time,
 * which may lose nothing, unless a failover comes between its steps: then the nodes refuse one of
 * them, and the move begins anew between those that are the masters now.
 */
#include "failovers.h"

#include "cluster_set.h"
#include "sentinel_set.h"
#include "stamp.h"
#include "watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALM_US     8000000u /* between two failovers */
#define PATIENCE_US 60000000u
#define AGAIN_US    5000000u /* an order that was taken and came to nothing is given again */
#define PAUSE_US    10000u
#define PAIRS       3u /* masters of a cluster, and as many replicas */
#define MOVED       2u /* slots at a time */

static sentinel_set set;
static cluster_set cluster;
static watch guard;
static bool watched;   /* by sentinels */
static bool clustered; /* or this */
static unsigned ordered;
static unsigned count;
static unsigned moves;
static uint64_t calm_since;

static void fail(const char *what)
{
    (void)fprintf(stderr, "failovers: %s\n", what);
    abort();
}

/* ------------------------------------------------------------------------------------ sentinels */

static bool all_name(int node, bool wanted)
{
    for (int i = 0; i < SENTINEL_SET_NODES; i++) {
        int named = sentinel_set_named(&set, &set.sentinels[i]);
        if (named < 0 || (named == node) != wanted)
            return false;
    }
    return true;
}

static bool sentinels_agree(void)
{
    return all_name((int)guard.groups[0].primary, true);
}

static void start_set(void)
{
    const server *nodes[SENTINEL_SET_NODES];
    sentinel_set_start(&set, SENTINEL_SET_HURRIED_MS);
    for (int i = 0; i < SENTINEL_SET_NODES; i++)
        nodes[i] = &set.nodes[i];
    watch_add(&guard, nodes, SENTINEL_SET_NODES);
    guard.agreed = sentinels_agree;
    watched = true;
}

static bool order_of_sentinel(size_t primary)
{
    (void)primary;
    redisReply *reply = server_ask(&set.sentinels[0], "SENTINEL FAILOVER " SENTINEL_SET_MASTER);
    bool begun = reply->type == REDIS_REPLY_STATUS; /* right after the last one nobody is fit */
    freeReplyObject(reply);
    return begun;
}

static bool sentinels_left(size_t primary)
{
    return all_name((int)primary, false);
}

/* -------------------------------------------------------------------------------------- cluster */

static void start_cluster(void)
{
    cluster_start(&cluster, PAIRS, 1, NULL);
    for (size_t i = 0; i < PAIRS; i++) {
        const server *const pair[] = {&cluster.nodes[i], &cluster.nodes[i + PAIRS]};
        watch_add(&guard, pair, 2);
    }
    clustered = true;
}

static const server *replica_of(size_t pair)
{
    return guard.groups[pair].nodes[1 - guard.groups[pair].primary];
}

static bool order_of_replica(size_t pair)
{
    redisReply *reply = server_ask(replica_of(pair), "CLUSTER FAILOVER");
    bool begun = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return begun;
}

static bool replica_took_over(size_t pair)
{
    redisReply *role = server_try(replica_of(pair), "ROLE");
    bool master = role && role->type == REDIS_REPLY_ARRAY && role->elements > 0 &&
                  strcmp(role->element[0]->str, "master") == 0;
    freeReplyObject(role);
    return master;
}

static size_t master_of(size_t pair)
{
    return pair + PAIRS * guard.groups[pair].primary;
}

static void settle_cluster(void)
{
    watch_settle(&guard);
    for (size_t i = 0; i < cluster.count; i++)
        cluster_await(&cluster, i);
}

/* To the next pair. @return false if it took more than one try, as after a failover */
static bool move_slot(unsigned slot)
{
    size_t from = cluster_owner(&cluster, slot) % PAIRS;
    size_t to = (from + 1) % PAIRS;
    uint64_t start = stamp_us();
    if (cluster_try_move(&cluster, slot, master_of(from), master_of(to)))
        return true;
    do {
        if (stamp_us() - start > PATIENCE_US)
            fail("a slot can't be moved");
        stamp_pause_us(PAUSE_US);
        settle_cluster();
    } while (!cluster_try_move(&cluster, slot, master_of(from), master_of(to)));
    return false;
}

/* Each has keys of the run in it. @return false if a failover may have come between */
static bool move_slots(void)
{
    bool calm = true;
    for (unsigned i = 0; i < MOVED; i++)
        calm = move_slot((moves++ * 257u) % CLUSTER_SLOTS) && calm;
    return calm;
}

/* ----------------------------------------------------------------------------------------- both */

/* Until it has come about. */
static void await_change(size_t number, bool (*order)(size_t), bool (*is_over)(size_t))
{
    uint64_t start = stamp_us();
    uint64_t again = 0;
    while (!is_over(number)) {
        uint64_t now = stamp_us();
        if (now - start > PATIENCE_US)
            fail("there is no failover");
        if (order && now >= again)
            again = now + (order(number) ? AGAIN_US : 2 * PAUSE_US);
        stamp_pause_us(PAUSE_US);
    }
}

static void fail_over(size_t group, bool by_stop)
{
    size_t number = watched ? guard.groups[group].primary : group;
    bool (*is_over)(size_t) = watched ? sentinels_left : replica_took_over;
    pid_t old = guard.groups[group].nodes[guard.groups[group].primary]->pid;
    if (by_stop)
        (void)kill(old, SIGSTOP);
    await_change(number, by_stop ? NULL : watched ? order_of_sentinel : order_of_replica, is_over);
    if (by_stop)
        (void)kill(old, SIGCONT);
}

bool failovers_start(const char *name, char *url, size_t size)
{
    server_require();
    if (strcmp(name, "sentinel") == 0)
        start_set();
    else if (strcmp(name, "cluster") == 0)
        start_cluster();
    else
        return false;
    watch_settle(&guard);
    calm_since = stamp_us();
    (void)snprintf(url, size, "%s", watched ? set.url : cluster.url);
    return true;
}

/* All is settled again: the next one comes when it has been calm for a while. */
static bool note_window(void)
{
    count++;
    calm_since = stamp_us();
    return true;
}

bool failovers_disturb(backend_window *window)
{
    if (!watched && !clustered)
        return false;
    if (watch_look(&guard, window))
        return note_window();
    if (stamp_us() - calm_since >= CALM_US) {
        bool by_stop = ordered % 2 != 0;
        fail_over(watched ? 0 : ordered % PAIRS, by_stop);
        ordered++;
        (void)watch_close(&guard, window);
        return note_window();
    }
    uint64_t calm_us = guard.calm_us;
    if (watched || move_slots())
        return false;
    *window = (backend_window){.from = calm_us, .to = stamp_us()};
    return note_window();
}

bool failovers_close(backend_window *window)
{
    return (watched || clustered) && watch_close(&guard, window) && note_window();
}

unsigned failovers_count(void)
{
    return count;
}

void failovers_stop(void)
{
    if (watched)
        sentinel_set_remove(&set);
    if (clustered)
        cluster_remove(&cluster);
}
