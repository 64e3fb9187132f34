/* SPDX-License-Identifier: MIT */
/* What idem_patience_yield() of backend.h stands on, and what the lanes need of it. */
#ifndef IDEM_CORE_PATIENCE_H
#define IDEM_CORE_PATIENCE_H

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
} idem__patience_world;

/** idem_patience_yield() by these means. */
bool idem__patience_yield_in(idem__patience_world *world, idem_patience *patience);

/** Lets other threads come first, once, unless the processors are taken. */
void idem__patience_pause(void);
void idem__patience_pause_in(idem__patience_world *world);

#endif
