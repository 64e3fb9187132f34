/* SPDX-License-Identifier: MIT */
/* Submitted calls on a connection that the dispatching thread drives. */
#ifndef IDEM_CORE_LOOP_H
#define IDEM_CORE_LOOP_H

#include "async_queue.h"

/** Makes the loop's descriptors. @return false: there are none to be had here, workers do it */
bool idem__loop_init(idem_async *async);
void idem__loop_destroy(idem_async *async);

/** One turn: sees to time, sends, receives. */
void idem__loop_turn(idem_async *async);

/** Sends what is ready, and nothing else of a turn. */
void idem__loop_send(idem_async *async);

/** True if another turn would do something at once. Lock held. */
bool idem__loop_has_work(idem_async *async);

/** Receives until nothing is in flight, or a point in time. @return false: not in time */
bool idem__loop_drain(idem_async *async, uint64_t until_ms);

/** A SENT flight's time has come. Lock and `io` held. */
void idem__loop_expire(idem_async *async, idem__flight *flight, uint64_t now);

/** Tells the hook of what was repeated. No lock is held. */
void idem__loop_tell(idem_async *async);

/** Points the descriptors at what is next. */
void idem__loop_arm(idem_async *async);

void idem__loop_fork(idem_async *async, idem_fork_phase phase);

/* ----------------------------------------------------------------------- among the loop's files */

/** Takes in the answers of flights. `io` is held, the lock is open. */
void idem__loop_step_all(idem_async *async, idem__flight *const *flights, size_t count);

/** @return true if a connector is still at work. One that has ended is taken in. `io` is held */
bool idem__loop_is_connecting(idem_async *async);

/** True if something may be sent now. Never blocks: a connection that is found to be gone is made
 *  anew by the connector. `io` is held. */
bool idem__loop_is_ready(idem_async *async);

#endif
