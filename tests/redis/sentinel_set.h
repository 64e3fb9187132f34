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

/** Starts one, and waits until the sentinels know each other and the replicas.
 *  @param settings  more lines for the sentinels' files; may be NULL */
void sentinel_set_start(sentinel_set *self, const char *settings);

void sentinel_set_remove(sentinel_set *self);

/** The settings of a sentinel that watches one server, which its own vote is enough for.
 *  @param host  as the sentinel is told */
void sentinel_set_watch(char *settings, size_t size, const char *host, int port, int quorum);

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
