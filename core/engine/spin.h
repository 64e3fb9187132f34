/* SPDX-License-Identifier: MIT */
/* What idem_spin_yield() of backend.h stands on, and what the pool need of it. */
#ifndef IDEM_CORE_SPIN_H
#define IDEM_CORE_SPIN_H

#include <idem/backend.h>

#include <stdatomic.h>

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

/** idem_spin_yield() by these means. */
bool idem__spin_yield_in(idem__spin_world *world, idem_spin *spin);

/** Begins a wait, if it is likely to be short: what idem_spin_yield() would do first. */
bool idem__spin_begin(idem_spin *spin);

/** Lets other threads come first, once, unless the processors are taken. */
void idem__spin_pause(void);
void idem__spin_pause_in(idem__spin_world *world);

#endif
