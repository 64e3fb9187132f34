/* SPDX-License-Identifier: MIT */
/* Pipelines over a connection of libpq's: statements out, results in, by a deadline. */
#ifndef IDEM_POSTGRES_WIRE_H
#define IDEM_POSTGRES_WIRE_H

#include "instance.h"

/** What libpq calls with a server's notices; `user` is the instance. Nothing is ever printed. */
void idem__postgres_wire_notice(void *user, const PGresult *result);

/** Begins a pipeline and forgets the last one. @return IDEM_ERR_UNAVAILABLE, IDEM_ERR_INTERNAL */
int idem__postgres_wire_begin(idem__postgres *self, idem__postgres_fault *fault);

/** Appends a statement, and what it takes to prepare it. What is large is sent at once.
 *  @param params  NULL: none */
int idem__postgres_wire_send(idem__postgres *self, idem__postgres_sql which,
                             const idem__postgres_params *params, uint64_t deadline_ms,
                             idem__postgres_fault *fault);

/** Ends the pipeline and sends it. From here on what it changes may be committed. */
int idem__postgres_wire_sync(idem__postgres *self, idem__postgres_fault *fault);

/**
 * The next statement's result, in the order in which they were sent.
 *
 * @param[out] result  end it with PQclear(); NULL unless IDEM_OK is returned
 * @return IDEM_OK; what the server has refused it with (the connection works on, and later
 *         statements of the pipeline give the same); IDEM_ERR_UNAVAILABLE with fault->drop: no
 *         answer came
 */
int idem__postgres_wire_next(idem__postgres *self, uint64_t deadline_ms, PGresult **result,
                             idem__postgres_fault *fault);

/** Passes over what is left, to the pipeline's end. IDEM_OK: the end was reached, and the
    server has *  refused nothing, what it does at the end (its commit) included. */
int idem__postgres_wire_finish(idem__postgres *self, uint64_t deadline_ms,
                               idem__postgres_fault *fault);

/** Reads what has come from the socket. @return false: the connection is over */
bool idem__postgres_wire_read(idem__postgres *self);

/** Takes in the results that have come, up to the pipeline's end, without waiting.
 *  @param over  the connection is: nothing is waited for */
void idem__postgres_wire_collect(idem__postgres *self, idem__postgres_pipeline *pipe, bool over);

/** Makes a pipeline blank, and clears the results that were not taken. */
void idem__postgres_wire_forget(idem__postgres *self, idem__postgres_pipeline *pipe);

/** The fault of a connection that is over. */
int idem__postgres_wire_tell_lost(idem__postgres *self, idem__postgres_fault *fault);

/** One statement in a pipeline of its own. @param[out] result  may be NULL */
int idem__postgres_wire_run(idem__postgres *self, idem__postgres_sql which,
                            const idem__postgres_params *params, uint64_t deadline_ms,
                            PGresult **result, idem__postgres_fault *fault);

/** Microseconds of a clock that never falls, from anywhere on. */
uint32_t idem__postgres_wire_now_us(void);

/** Waits for a descriptor. @return false: the deadline has come */
bool idem__postgres_wire_wait(int fd, short events, uint64_t deadline_ms);

#endif
