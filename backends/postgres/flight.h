/* SPDX-License-Identifier: MIT */
/*
 * Flights: batches that are under way, several on one connection. Each is a pipeline, and a
 * transaction, of its own. What becomes of the ops of one that has landed, batch.c decides.
 */
#ifndef IDEM_POSTGRES_FLIGHT_H
#define IDEM_POSTGRES_FLIGHT_H

#include "jobs.h"

typedef enum {
    IDEM__POSTGRES_FLIES_MAIN = 1, /**< the ops as they are */
    IDEM__POSTGRES_FLIES_FIRST,    /**< inserts that are looked up before they are made */
    IDEM__POSTGRES_FLIES_AGAIN,   /**< ops whose statement has neither changed nor found anything */
    IDEM__POSTGRES_FLIES_READ,    /**< inserts that can only be looked up */
    IDEM__POSTGRES_FLIES_BARRIER, /**< a commit that what was found has to wait for */
    IDEM__POSTGRES_FLIES_UNDO     /**< no ops: ends a transaction in which something was refused */
} idem__postgres_purpose;

typedef struct idem__postgres_flight {
    struct idem__postgres_flight *next;
    idem__postgres_purpose purpose;
    bool alone; /**< nothing else was on the wire when it was sent */
    uint32_t began_us;
    idem__postgres_fault why; /**< why it could not be sent, or READ: why nothing can be changed */
    idem__postgres_jobs all;
    idem__postgres_pipeline pipe;
} idem__postgres_flight;

/** A flight without ops. NULL: there is no memory. */
idem__postgres_flight *idem__postgres_flight_new(idem__postgres *self,
                                                 idem__postgres_purpose purpose);
void idem__postgres_flight_free(idem__postgres *self, idem__postgres_flight *flight);

/** Lines a flight up to be sent; `first`: in front of all others. */
void idem__postgres_flight_enqueue(idem__postgres *self, idem__postgres_flight *flight, bool first);

/** Gives an op back: it has its answer. */
void idem__postgres_flight_give(idem__postgres *self, idem_op *op);

/** Carries out all that is under way, by a deadline; what was given back is left in
 *  `traffic.done`. */
void idem__postgres_flight_settle(idem__postgres *self, uint64_t deadline_ms);

/** Frees what is kept for flights; none is under way, or no caller waits for its ops. */
void idem__postgres_flight_clear(idem__postgres *self);

/* Slots of the table of operations. */
size_t idem__postgres_flight_send(idem_backend *backend, idem_op *const *ops, size_t count);
int idem__postgres_flight_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                                  idem_error *error);
void idem__postgres_flight_abandon(idem_backend *backend, idem_op *op);
void idem__postgres_flight_drop(idem_backend *backend);
void idem__postgres_flight_wants(const idem_backend *backend, idem_wants *wants);

#endif
