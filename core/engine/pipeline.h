/* SPDX-License-Identifier: MIT */
/*
 * Connections that send and receive apart. `io` of a connection comes before the pool's lock; what
 * is said here of the lock is of the pool's.
 */
#ifndef IDEM_CORE_PIPELINE_H
#define IDEM_CORE_PIPELINE_H

#include "pool.h"

/* ------------------------------------------------------------------------- for pool.c */

/** True if a connection takes operations at this moment. The lock is held. */
bool idem__pipeline_can_send(idem__pool *pool);

/** Takes a waiter through. The lock is held before, and open afterwards. */
void idem__pipeline_run(idem__pool *pool, idem__waiter *waiter);

/** Waits for a connection that this thread is alone on. The lock is held before, and open
 *  afterwards. @return NULL: none was free by the deadline */
idem__connection *idem__pipeline_enter(idem__pool *pool, idem__waiter *waiter);

/** Ends the connection of an instance that has nothing in flight but what was abandoned, so that
 *  it can be used for a scan or taken across a fork(). `io` is held, or the connection is busy and
 *  has no waiters. */
void idem__pipeline_quiesce(idem__connection *connection);

/* ------------------------------------------------------------------------- pipeline.c */

/** Names the next caller that receives, if none does. It is woken although it may be on its way.
 *  The lock is held. */
void idem__pipeline_pass_on(idem__connection *connection);

/** Wakes those that wait for a connection to change. The lock is held. */
void idem__pipeline_after_change(idem__connection *connection);

/* ------------------------------------------------------------------------- near.c */

#define IDEM__FAR 4u /* far answers in a row: the server is far */

/** A batch is about to be sent, with which so many ops are in flight: times its answer, and holds
 *  the connection if the server is near. The lock is held. */
void idem__pipeline_sending(idem__connection *connection, idem__waiter *leader, size_t ops);

/** A waiter leaves the connection: learns from it if it is the one that is timed. The lock is held.
 *  @param answered  false: by its deadline, or since the connection is gone */
void idem__pipeline_leaves(idem__connection *connection, const idem__waiter *waiter, bool answered);

/** How the receiver waits before it sleeps. The lock is held. */
idem__spin idem__pipeline_spin(const idem__connection *connection);

/* ------------------------------------------------------------------------- send.c */

/** True if an answer, or the turn to send, comes within microseconds. The lock is held. */
bool idem__pipeline_any_near(const idem__pool *pool);

/** True if a connection is held, or was until a moment ago. The lock is held. */
bool idem__pipeline_any_held(const idem__pool *pool);

/** The connection that the next batch goes out on. The lock is held. @return NULL: none yet */
idem__connection *idem__pipeline_to_send_on(idem__pool *pool);

/** Sends what is in the queue, as the one thread that does. The lock is held before and after. */
void idem__pipeline_send(idem__connection *connection, idem__waiter *leader);

/** Sends what is assigned, as far as the instance takes it, and what was left of earlier bytes. The
 *  lock is open.
 *  @param waiter  whose thread it is: nothing is done if it has all its answers. NULL: the
 *                 connection is busy by this thread */
void idem__pipeline_send_assigned(idem__connection *connection, const idem__waiter *waiter);

/* ------------------------------------------------------------------------- receive.c */

/** Receives until the waiter is done or its deadline has come. Its thread is the receiver of the
 *  connection. The lock is held before and after. */
void idem__pipeline_receive(idem__connection *connection, idem__waiter *waiter);

/** Sleeps until the instance has something to do, or a point in time. The lock is open.
 *  @param to_send  only until it can send */
void idem__pipeline_poll(idem__connection *connection, const idem__waiter *waiter, bool to_send);

/* ------------------------------------------------------------------------- silence.c */

/** Asks the instance what it wants, and notes whether something came. `io` is held. */
void idem__pipeline_note_progress(idem__connection *connection, idem_wants *wants);

/** When a waiter takes the connection for dead, unless something comes. */
uint64_t idem__pipeline_silent_at(const idem__connection *connection, const idem__waiter *waiter);

/** Gives the connection up if it has owed answers for too long. The lock is open. @return true: it
 *  has */
bool idem__pipeline_drop_if_silent(idem__connection *connection, const idem__waiter *waiter);

/** Notes that a waiter leaves without an answer. `io` and the lock are held. */
void idem__pipeline_suspect(idem__connection *connection, const idem__waiter *waiter);

/* ------------------------------------------------------------------------- abandon.c */

/** Takes a waiter out of the connection that it waits on. The lock is held before, and open
 *  afterwards. @return false: it is done after all, and is about to be told */
bool idem__pipeline_leave_connection(idem__connection *connection, idem__waiter *waiter);

/** Takes a waiter out of the queue. The lock is held before, and open afterwards. */
void idem__pipeline_leave_queue(idem__pool *pool, idem__waiter *waiter);

#endif
