/* SPDX-License-Identifier: MIT */
/* A primary, two replicas and three sentinels, as people run them, in a hurry. */
#ifndef IDEM_TESTS_SENTINEL_SET_H
#define IDEM_TESTS_SENTINEL_SET_H

#include "server.h"

#define SENTINEL_SET_MASTER "shop"
#define SENTINEL_SET_NODES  3

typedef struct {
    server nodes[SENTINEL_SET_NODES];     /* the first one is the primary at first */
    server sentinels[SENTINEL_SET_NODES]; /* with a quorum of two */
    char url[SERVER_URL_SIZE];            /* redis+sentinel://…, all three */
} sentinel_set;

/** After what silence a server is taken for down: where a test wants a failover, and where none may
 *  come, however busy the machine is. */
#define SENTINEL_SET_HURRIED_MS 500
#define SENTINEL_SET_CALM_MS    60000

/** Starts one, and waits until the sentinels know each other and the replicas. */
void sentinel_set_start(sentinel_set *self, int down_after_ms);

void sentinel_set_remove(sentinel_set *self);

/** The settings of a sentinel that watches one server, and never makes a failover.
 *  @param host  as the sentinel is told */
void sentinel_set_watch(char *settings, size_t size, const char *host, int port);

/** The index of the node that a sentinel names; -1: it names none of these. */
int sentinel_set_named(const sentinel_set *self, const server *sentinel);

/** Waits until a sentinel names another node than this one, and it says itself that it is the
 *  primary. @return its index */
int sentinel_set_await_other(const sentinel_set *self, const server *sentinel, int old);

/** Makes a failover without a fault, and waits for it. @return the new primary's index */
int sentinel_set_fail_over(const sentinel_set *self);

/** Waits until a node says that it has this role ("master", "slave"). */
void sentinel_set_await_role(const server *node, const char *role);

#endif
