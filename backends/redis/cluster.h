/* SPDX-License-Identifier: MIT */
/* A cluster as one instance: a node's instance for each master, and the ops on their way. */
#ifndef IDEM_REDIS_CLUSTER_H
#define IDEM_REDIS_CLUSTER_H

#include "cluster_map.h"
#include "connection.h"
#include "table.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct idem__redis_node idem__redis_node;
typedef struct idem__redis_cluster idem__redis_cluster;

/** An op on its way. */
typedef struct idem__redis_flight {
    struct idem__redis_flight *next;
    idem_op *op;
    idem__redis_node *node; /**< NULL: it waits for a map of slots, or is done */
    unsigned hops;          /**< how often a node has sent it to another */
    bool asking;            /**< sent on by ASK */
} idem__redis_flight;

typedef struct {
    idem__redis_flight *first;
    idem__redis_flight *last;
    size_t count;
} idem__redis_flights;

/** Blocking work on a thread of its own. Its members are the thread's until `finished`. */
typedef struct {
    pthread_t thread;
    bool running; /**< it has not been reaped */
    bool joined;  /**< at a fork or the end, and not reaped yet */
    atomic_bool finished;
    int notify; /**< what to write a byte to at the end */
    void (*work)(void *user);
    void *user;
    uint64_t deadline_ms;
    int rc;
    idem__redis_fault fault;
} idem__redis_job;

struct idem__redis_node {
    idem__redis_node *next;
    idem__redis_address address;
    idem_config config; /**< the cluster's, with this address */
    idem__redis *redis; /**< the dial's while that is running */
    bool connected;
    bool named; /**< the last map has it as a master */
    idem__redis_job dial;
    uint64_t not_before_ms;      /**< of the next dial */
    uint64_t silent_ms;          /**< since when an answer is due */
    bool ready;                  /**< something has come, as far as is known */
    uint64_t looked_ms;          /**< when it was looked at, while none was due */
    idem__redis_flights waiting; /**< for a connection, or for room on it */
    idem__redis_flights sent;
    unsigned first_slot; /**< the lowest that it has, while a scan looks for it */
    int watched;         /**< the descriptor that the set of descriptors has; -1: none */
    bool watched_write;
};

/** The job that fetches a map. */
typedef struct {
    idem__redis_job job;
    idem__redis_address *candidates;
    size_t count;
    idem__redis_map *map; /**< what came of it */
    atomic_bool hurry;    /**< nobody waits for it any more */
} idem__redis_refresh;

struct idem__redis_cluster {
    idem_backend base;
    idem__redis_cluster *itself; /**< for `wants`, which keeps the set of descriptors up to date */
    const idem_config *config;
    idem__redis_way way;
    idem__redis_equip equip;
    const idem_backend_ops *node_ops;
    idem__redis_address *seeds; /**< the URL's hosts */
    size_t seeds_count;
    idem__redis_node *nodes;
    idem__redis_node *owner[IDEM__REDIS_SLOTS];
    idem__redis_map *map; /**< the last one that was fetched; NULL: none was */
    idem__redis_refresh refresh;
    bool refresh_wanted;
    uint64_t refresh_after_ms;    /**< not before */
    unsigned turn;                /**< which candidate is asked first */
    idem__redis_fault reason;     /**< why the last refresh failed */
    idem__redis_flights homeless; /**< that wait for a map */
    idem__redis_flights done;     /**< to be given back */
    idem__redis_flight *unused;
    size_t in_flight;  /**< flights, those to be given back included */
    uint64_t progress; /**< how often something has come */
    int notify[2];     /**< a pipe that jobs write to when they are finished */
    int set;           /**< of the descriptors to wait for; -1: none is made yet */
    bool dropped;      /**< the next `receive` tells that the connection is over */
};

/* cluster_node.c: nodes, and the threads that connect them. */
idem__redis_node *idem__redis_node_find(idem__redis_cluster *self,
                                        const idem__redis_address *address);
/** Finds it, or adds it. NULL: no memory. */
idem__redis_node *idem__redis_node_get(idem__redis_cluster *self,
                                       const idem__redis_address *address);
/** A node's instance, not connected. The configuration has to stay. NULL: `fault` says why. */
idem__redis *idem__redis_node_make(const idem__redis_cluster *self, const idem_config *config,
                                   idem__redis_fault *fault);
/** The cluster's configuration with another address, which has to stay. */
idem_config idem__redis_node_config(const idem__redis_cluster *self,
                                    const idem__redis_address *address);
/** Begins to connect it. @return false: `fault` says why not */
bool idem__redis_node_dial(idem__redis_cluster *self, idem__redis_node *node,
                           idem__redis_fault *fault);
/** Connects it, and waits for that; nothing is in flight there. */
int idem__redis_node_await(idem__redis_cluster *self, idem__redis_node *node, uint64_t deadline_ms,
                           idem__redis_fault *fault);
/** True if it can be sent to now. Looks at a connection that has been at rest. */
bool idem__redis_node_usable(idem__redis_node *node);
/** Removes those that have no slot and nothing to do. */
void idem__redis_node_sweep(idem__redis_cluster *self);
/** Frees all; their flights are forgotten. */
void idem__redis_node_free_all(idem__redis_cluster *self);

/* cluster_job.c: threads. */
/** Starts a thread. @return 0 or an errno */
int idem__redis_job_start(idem__redis_job *job, void (*work)(void *user), void *user,
                          uint64_t deadline_ms, int notify);
/** Joins a finished one. @return false: there is none */
bool idem__redis_job_reap(idem__redis_job *job);
/** Waits for the end of one that is running. */
void idem__redis_job_join(idem__redis_job *job);

/* cluster_refresh.c: the map of slots. */
/** Asks for a new map, which is fetched as soon as the last one is old enough. */
void idem__redis_refresh_want(idem__redis_cluster *self);
/** Starts the fetching that is wanted and due.
 *  @param until_ms  it ends by then; UINT64_MAX: when all nodes have been asked */
void idem__redis_refresh_start(idem__redis_cluster *self, uint64_t until_ms);
/** Takes a map in that has come. @return true: one has come, or could not be had */
bool idem__redis_refresh_take(idem__redis_cluster *self);
/** Blocks until there is a map. */
int idem__redis_refresh_await(idem__redis_cluster *self, uint64_t deadline_ms,
                              idem__redis_fault *fault);

/** Fetches a new map, and waits for it. The last one stays if none can be had. */
void idem__redis_refresh_renew(idem__redis_cluster *self, uint64_t deadline_ms);

/* cluster_route.c: ops on their way. As the slots of the table. */
size_t idem__redis_cluster_send(idem_backend *backend, idem_op *const *ops, size_t count);
int idem__redis_cluster_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                                idem_error *error);
void idem__redis_cluster_abandon(idem_backend *backend, idem_op *op);
void idem__redis_cluster_drop(idem_backend *backend);
/** Takes in what the threads have done, and what has come from the nodes.
 *  @param all  of all that owe an answer, and not only of those that are marked as ready */
void idem__redis_cluster_turn(idem__redis_cluster *self, bool all);
/** Takes ops that are done, as many as there is room for. */
size_t idem__redis_cluster_give_back(idem__redis_cluster *self, idem_op **done, size_t room);
/** Ends all that is in flight. What was not sent was not carried out; what was sent is
 *  uncertain. */
void idem__redis_cluster_give_up(idem__redis_cluster *self);
/* cluster_submit.c: a whole batch. */
int idem__redis_cluster_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                               uint64_t deadline_ms, idem_error *error);
/** Sends the flights that wait for a map to where it says. */
void idem__redis_cluster_reroute(idem__redis_cluster *self);

/* cluster_wait.c: what to wait for. */
void idem__redis_cluster_wants(const idem_backend *backend, idem_wants *wants);
/** Waits until something has come, or the time, and marks the nodes that it has come from. */
void idem__redis_cluster_wait(idem__redis_cluster *self, uint64_t until_ms);
/** Empties the pipe of the jobs. */
void idem__redis_cluster_calm(const idem__redis_cluster *self);

/* cluster_admin.c: operators' calls over all masters. */
int idem__redis_cluster_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                             idem_error *error);
int idem__redis_cluster_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                              uint64_t deadline_ms, idem_error *error);

/* cluster.c: an instance's life. */
int idem__redis_cluster_open(const idem_backend_ops *ops, const idem_backend_ops *node_ops,
                             idem__redis_way way, idem__redis_equip equip,
                             const idem_config *config, idem_backend **backend, idem_error *error);
int idem__redis_cluster_prepare(idem__redis_way way, const idem_config *config, idem_error *error);
int idem__redis_cluster_connect(idem_backend *backend, uint64_t deadline_ms, idem_error *error);
void idem__redis_cluster_at_fork(idem_backend *backend, idem_fork_phase phase);
void idem__redis_cluster_close(idem_backend *backend);

#if defined(__linux__)
/* clang-format off */
#define IDEM__REDIS_CLUSTER_SENDING \
    .connect = idem__redis_cluster_connect, \
    .send = idem__redis_cluster_send, \
    .receive = idem__redis_cluster_receive, \
    .abandon = idem__redis_cluster_abandon, \
    .drop = idem__redis_cluster_drop, \
    .wants = idem__redis_cluster_wants
#else
#define IDEM__REDIS_CLUSTER_SENDING .connect = NULL
#endif

#define IDEM__REDIS_CLUSTER_SHARED \
    .size = sizeof(idem_backend_ops), \
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_HOST_LIST, \
    .instances = 1, \
    .submit = idem__redis_cluster_submit, \
    .close = idem__redis_cluster_close, \
    .scan = idem__redis_cluster_scan, \
    .check = idem__redis_cluster_check, \
    .at_fork = idem__redis_cluster_at_fork, \
    IDEM__REDIS_CLUSTER_SENDING
/* clang-format on */

#endif
