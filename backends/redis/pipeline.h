/* SPDX-License-Identifier: MIT */
/* Requests in flight on the connection: sent, answered, given back. */
#ifndef IDEM_REDIS_PIPELINE_H
#define IDEM_REDIS_PIPELINE_H

#include "request.h"

/** The most requests of a connection, those that were abandoned included. */
#define IDEM__REDIS_FLIGHT_MAX 1024u
/** Room for so many is made at a time: few connections ever need more than the first. */
#define IDEM__REDIS_BLOCK  64u
#define IDEM__REDIS_BLOCKS (IDEM__REDIS_FLIGHT_MAX / IDEM__REDIS_BLOCK)

typedef struct {
    idem__redis_request *first;
    idem__redis_request *last;
} idem__redis_queue;

typedef struct {
    idem__redis_queue awaited;     /**< no answer yet, in the order of their commands */
    idem__redis_queue unconfirmed; /**< answered; the seal behind them was not */
    idem__redis_queue done;        /**< to be given back */
    idem__redis_request *unused;
    size_t used;      /**< of all requests; those from there on were never needed */
    size_t awaiting;  /**< requests in `awaited` */
    size_t bytes;     /**< of their commands */
    size_t live;      /**< requests with an op, in all three queues */
    size_t abandoned; /**< those without */
    bool unsealed;    /**< the last of `awaited` has no seal behind it yet */
    bool changes;     /**< something in the unsealed part is for replicas to have */
    bool wait_due;    /**< the next reply is the number of replicas; then comes the seal's */
    bool seal_due;    /**< the next reply is a seal's */
    bool leaving;     /**< the server refused something in a way that ends the connection: nothing
                           but what is in flight goes on */
    bool more;        /**< something has come that was not given back for want of room */
    idem__redis_fault fault;                      /**< why the connection is over */
    idem__redis_fault parting;                    /**< why it is leaving */
    redisReply *replies[IDEM__REDIS_REPLIES_MAX]; /**< of the first that is awaited */
    size_t have;
    /* What is kept from one connection to the next. */
    idem__redis_request first_block[IDEM__REDIS_BLOCK];
    idem__redis_request *more_blocks[IDEM__REDIS_BLOCKS - 1]; /**< NULL: not needed yet */
} idem__redis_pipeline;

/** As the slots of the table: see idem/backend.h. */
size_t idem__redis_send(idem_backend *backend, idem_op *const *ops, size_t count);
int idem__redis_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                        idem_error *error);
void idem__redis_abandon(idem_backend *backend, idem_op *op);
void idem__redis_drop(idem_backend *backend);
void idem__redis_say_wants(const idem_backend *backend, idem_wants *wants);

/** Closes the connection, and forgets what was in flight. */
void idem__redis_close_connection(idem__redis *self);

/** Frees the room for requests: none is in flight any more. */
void idem__redis_free_requests(idem__redis *self);

#endif
