/* SPDX-License-Identifier: MIT */
/*
 * Watches servers that replicate, and tells when one took another's place. Servers on a busy
 * machine do so unasked: a primary that was not scheduled for half a second is taken for dead. What
 * that loses is the store's own loss, so its window has to be known as well as that of an ordered
 * one.
 */
#ifndef IDEM_TESTS_PROCESSES_WATCH_H
#define IDEM_TESTS_PROCESSES_WATCH_H

#include "backend.h"
#include "server.h"

#define WATCH_GROUP_MAX  3
#define WATCH_GROUPS_MAX 3
#define WATCH_ID_SIZE    41

/** A primary and its replicas, in any order. */
typedef struct {
    const server *nodes[WATCH_GROUP_MAX];
    size_t count;
    size_t primary;         /* at the last time when all was settled */
    char id[WATCH_ID_SIZE]; /* of its history: each promotion begins a new one */
} watch_group;

typedef struct {
    watch_group groups[WATCH_GROUPS_MAX];
    size_t count;
    bool (*agreed)(void); /* what else has to be so before all is settled */
    uint64_t calm_us;     /* what was acknowledged before is on every replica */
    uint64_t next_us;     /* the next look */
} watch;

void watch_add(watch *self, const server *const *nodes, size_t count);

/** Waits until each group has one primary, and all its others follow it and have what it has. The
 *  program ends if that does not come about. */
void watch_settle(watch *self);

/** Looks, if it is time to.
 *  @return true if a server took another's place since all was settled, or may be about to: then
 *          all is settled again, and `window` says when the store may have lost something */
bool watch_look(watch *self, backend_window *window);

/** The same after an ordered failover, or at the end of a run. */
bool watch_close(watch *self, backend_window *window);

#endif
