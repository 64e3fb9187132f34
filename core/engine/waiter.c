/* SPDX-License-Identifier: MIT */
/*
 * A waiter lives on its owner's stack while other threads hold pointers to it, so all depends on
 * which thread touches it last. One atomic word says what has come (DONE, WAKE) and whether the
 * owner is PARKED. A thread that sets a sign takes PARKED away in the same step. If PARKED was set,
 * that thread alone has to unpark the owner, and the owner does not return before. If it was not
 * set, the sign was the last touch. An owner whose time is over takes PARKED back; if another
 * thread was quicker, the owner waits for the unpark that is on its way.
 */
#include "waiter.h"

#include "spin.h"

enum { DONE = 1u, WAKE = 2u, PARKED = 4u };

int idem__waiter_init(idem__waiter *waiter, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    memset(waiter, 0, offsetof(idem__waiter, signs));
    waiter->ops = ops;
    waiter->count = count;
    waiter->start_ms = idem_monotonic_ms();
    waiter->deadline_ms = deadline_ms;
    atomic_init(&waiter->signs, 0);
    return idem__parker_init(&waiter->parker) ? IDEM_OK : IDEM_ERR_NO_MEMORY;
}

void idem__waiter_destroy(idem__waiter *waiter)
{
    idem__parker_destroy(&waiter->parker);
}

/* --------------------------------------------------------------------------------------- signs */

static void set_sign(idem__waiter *waiter, unsigned sign)
{
    unsigned seen = atomic_load_explicit(&waiter->signs, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&waiter->signs, &seen,
                                                  (seen | sign) & ~(unsigned)PARKED,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
    }
    if (seen & PARKED)
        idem__unpark(&waiter->parker);
}

void idem__waiter_finish(idem__waiter *waiter)
{
    set_sign(waiter, DONE);
}

void idem__waiter_wake(idem__waiter *waiter)
{
    set_sign(waiter, WAKE);
}

void idem__waiter_heed(idem__waiter *waiter)
{
    (void)atomic_fetch_and_explicit(&waiter->signs, ~(unsigned)WAKE, memory_order_relaxed);
}

bool idem__waiter_is_done(const idem__waiter *waiter)
{
    return (atomic_load_explicit(&waiter->signs, memory_order_acquire) & DONE) != 0;
}

/* ------------------------------------------------------------------------------------- waiting */

static bool spin(const idem__waiter *waiter, atomic_uint *failed_spins)
{
    idem__spin spin = {.failed_spins = atomic_load_explicit(failed_spins, memory_order_relaxed)};
    uint32_t before = spin.failed_spins;
    bool came = atomic_load_explicit(&waiter->signs, memory_order_acquire) != 0;
    while (!came && idem__spin_yield(&spin))
        came = atomic_load_explicit(&waiter->signs, memory_order_acquire) != 0;
    idem__spin_end(&spin);
    if (spin.failed_spins != before)
        atomic_store_explicit(failed_spins, spin.failed_spins, memory_order_relaxed);
    return came;
}

/* @return false: too late, another thread has set a sign and is about to unpark the owner */
static bool take_parked_back(idem__waiter *waiter)
{
    return (atomic_fetch_and_explicit(&waiter->signs, ~(unsigned)PARKED, memory_order_acq_rel) &
            PARKED) != 0;
}

static bool park(idem__waiter *waiter, uint64_t until_ms)
{
    if (idem__park(&waiter->parker, until_ms))
        return true;
    if (take_parked_back(waiter))
        return false;
    return idem__park(&waiter->parker, UINT64_MAX);
}

bool idem__waiter_wait(idem__waiter *waiter, uint64_t until_ms, atomic_uint *failed_spins)
{
    unsigned none = 0;
    if (failed_spins && spin(waiter, failed_spins))
        return true;
    if (!atomic_compare_exchange_strong_explicit(&waiter->signs, &none, PARKED,
                                                 memory_order_acq_rel, memory_order_acquire))
        return true;
    return park(waiter, until_ms);
}
