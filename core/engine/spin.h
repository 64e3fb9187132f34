/* SPDX-License-Identifier: MIT */
/*
 * Waiting for something that may come within microseconds, by yielding instead of sleeping:
 *
 *     while (!it_came() && idem__spin_yield(&spin)) { }
 *     idem__spin_end(&spin);
 *     // if it has not come: sleep, by the deadline
 */
#ifndef IDEM_CORE_SPIN_H
#define IDEM_CORE_SPIN_H

#include <idem/backend.h>

#include <stdatomic.h>

#define IDEM__SPIN_OVER 1u

/** All zero at first; kept with what is waited for, since it learns from its waits. For one thread
 *  at a time. */
typedef struct {
    uint64_t until_ns;     /**< of this wait; IDEM__SPIN_OVER: there is none */
    uint32_t failed_spins; /**< waits in a row that were too long */
    uint32_t yields;       /**< of this wait */
    uint64_t longer_ns;    /**< so much longer than others a wait may last */
} idem__spin;

/** Lets other threads and processes come first, for a moment. A wait may have about a tenth of a
 *  millisecond of it, or sixteen times if that is longer; less beside busy processes, nothing where
 *  it seldom helped.
 *  @return false: sleep now */
bool idem__spin_yield(idem__spin *spin);

/** Ends a wait, whether it came or not. */
void idem__spin_end(idem__spin *spin);

/** The means by which a process waits; a test brings its own. */
typedef struct {
    uint64_t (*now_ns)(void);
    void (*give_way)(void);
    bool (*has_one_processor)(void); /**< for all threads */
    _Atomic uint64_t rest_until_ns;  /**< nobody yields before: the processors are taken */
    _Atomic uint64_t debt_paid_ns;   /**< by then it will be made up for what yields have lost */
    _Atomic uint64_t asked_until_ns; /**< until then `one_processor` is taken for true */
    atomic_bool one_processor;
} idem__spin_world;

/** idem__spin_yield() by these means. */
bool idem__spin_yield_in(idem__spin_world *world, idem__spin *spin);

/** Lets other threads come first, once, unless the processors are taken. */
void idem__spin_pause(void);
void idem__spin_pause_in(idem__spin_world *world);

#endif
