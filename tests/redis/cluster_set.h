/* SPDX-License-Identifier: MIT */
/* A Redis Cluster of the test's own: nodes on free ports, ended with the program. */
#ifndef IDEM_TESTS_CLUSTER_SET_H
#define IDEM_TESTS_CLUSTER_SET_H

#include "server.h"

#include <stddef.h>

#define CLUSTER_NODES_MAX 8
#define CLUSTER_SLOTS     16384u

typedef struct {
    server nodes[CLUSTER_NODES_MAX]; /* the masters first, then their replicas in turn */
    int bus[CLUSTER_NODES_MAX];
    int ports
        [CLUSTER_NODES_MAX]; /* what the cluster tells its clients: with TLS not the plain ones */
    char ids[CLUSTER_NODES_MAX][64];
    size_t count;
    bool tls;       /* see cluster_start_tls() */
    size_t masters; /* at the beginning */
    char
        url[SERVER_URL_SIZE]; /* redis+cluster://, with all the nodes there were at the beginning */
} cluster_set;

/** Starts it, and waits until all of its nodes say that it is up.
 *  @param replicas  of each master
 *  @param options   more of their settings, NULL at the end; may be NULL */
void cluster_start(cluster_set *self, size_t masters, size_t replicas, const char *const *options);

/** The same with TLS between its nodes and to its clients, which have to trust `ca.crt` of a
 *  folder that certificates.sh has filled. The nodes announce the name localhost. */
void cluster_start_tls(cluster_set *self, size_t masters, const char *folder);

/** Starts one more node, which has no slots. @return its index */
size_t cluster_join(cluster_set *self);

/** Takes a node without slots out, and stops it. */
void cluster_leave(cluster_set *self, size_t node);

/** The slot of a key, as a node has it, and the node that has a slot. */
unsigned cluster_slot(const cluster_set *self, const char *key);
size_t cluster_owner(const cluster_set *self, unsigned slot);

/** Begins to move a slot: its keys are still where they were. */
void cluster_open_slot(const cluster_set *self, unsigned slot, size_t from, size_t to);
/** Moves its keys. */
void cluster_move_keys(const cluster_set *self, unsigned slot, size_t from, size_t to);
/** Ends it: all nodes are told. */
void cluster_close_slot(const cluster_set *self, unsigned slot, size_t to);
/** All three. */
void cluster_move(const cluster_set *self, unsigned slot, size_t from, size_t to);
/** The same where masters may be relieved meanwhile, and nodes refuse a step then. To move the slot
 *  from its owner to a master once more completes what was begun. @return false: refused */
bool cluster_try_move(const cluster_set *self, unsigned slot, size_t from, size_t to);

/** Waits until a node says that the cluster is up. */
void cluster_await(const cluster_set *self, size_t node);

bool cluster_is_master(const cluster_set *self, size_t node);

/** Waits until a node is a master, or is none. */
void cluster_await_role(const cluster_set *self, size_t node, bool master);

/** Waits until a master has so many replicas that have all that it has. */
void cluster_await_replicas(const cluster_set *self, size_t node, size_t replicas);

/** Removes the keys of all masters. */
void cluster_flush(const cluster_set *self);

/** Stops all nodes and removes their folders. */
void cluster_remove(cluster_set *self);

#endif
