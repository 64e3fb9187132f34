/* SPDX-License-Identifier: MIT */
/*
 * A ticket lives on its owner's stack while others hold pointers to it, so all turns on who touches
 * it last. One atomic word says what has come (ANSWERED, CALLED) and whether the owner sleeps. Who
 * sets a sign takes ASLEEP away in the same step; if it was there, he alone has to wake the owner,
 * who does not go before he was woken. If it was not there, the sign was the last touch. An owner
 * whose sleep ends at a deadline takes ASLEEP back; if somebody was quicker, he waits for the wake
 * that is on its way.
 */
#include "waiter.h"

#include "spin.h"

enum { ANSWERED = 1u, CALLED = 2u, ASLEEP = 4u };

int idem__waiter_init(idem__waiter *ticket, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    ticket->ops = ops;
    ticket->count = count;
    ticket->deadline_ms = deadline_ms;
    ticket->alone = false;
    ticket->queued = false;
    ticket->refused = false;
    atomic_init(&ticket->signs, 0);
    ticket->next = NULL;
    return idem__parker_init(&ticket->parker) ? IDEM_OK : IDEM_ERR_NO_MEMORY;
}

void idem__waiter_destroy(idem__waiter *ticket)
{
    idem__parker_destroy(&ticket->parker);
}

/* --------------------------------------------------------------------------------------- signs */

static void set_sign(idem__waiter *ticket, unsigned sign)
{
    unsigned seen = atomic_load_explicit(&ticket->signs, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&ticket->signs, &seen,
                                                  (seen | sign) & ~(unsigned)ASLEEP,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
    }
    if (seen & ASLEEP)
        idem__unpark(&ticket->parker);
}

void idem__waiter_answer(idem__waiter *ticket)
{
    set_sign(ticket, ANSWERED);
}

void idem__waiter_call(idem__waiter *ticket)
{
    set_sign(ticket, CALLED);
}

void idem__waiter_heed(idem__waiter *ticket)
{
    (void)atomic_fetch_and_explicit(&ticket->signs, ~(unsigned)CALLED, memory_order_relaxed);
}

static unsigned signs_of(const idem__waiter *ticket)
{
    return atomic_load_explicit(&ticket->signs, memory_order_acquire);
}

bool idem__waiter_is_answered(const idem__waiter *ticket)
{
    return (signs_of(ticket) & ANSWERED) != 0;
}

/* ------------------------------------------------------------------------------------- waiting */

static bool wait_awake(const idem__waiter *ticket, atomic_uint *failed_spins)
{
    idem_spin spin = {.failed_spins = atomic_load_explicit(failed_spins, memory_order_relaxed)};
    uint32_t before = spin.failed_spins;
    bool came = signs_of(ticket) != 0;
    while (!came && idem_spin_yield(&spin))
        came = signs_of(ticket) != 0;
    idem_spin_end(&spin);
    if (spin.failed_spins != before)
        atomic_store_explicit(failed_spins, spin.failed_spins, memory_order_relaxed);
    return came;
}

/* @return false: too late, somebody has set a sign and is about to wake the owner */
static bool take_sleep_back(idem__waiter *ticket)
{
    return (atomic_fetch_and_explicit(&ticket->signs, ~(unsigned)ASLEEP, memory_order_acq_rel) &
            ASLEEP) != 0;
}

static bool wait_asleep(idem__waiter *ticket, uint64_t deadline_ms)
{
    if (idem__park(&ticket->parker, deadline_ms))
        return true;
    if (take_sleep_back(ticket))
        return false;
    return idem__park(&ticket->parker, UINT64_MAX);
}

bool idem__waiter_wait(idem__waiter *ticket, uint64_t deadline_ms, atomic_uint *failed_spins)
{
    unsigned none = 0;
    if (failed_spins && wait_awake(ticket, failed_spins))
        return true;
    if (!atomic_compare_exchange_strong_explicit(&ticket->signs, &none, ASLEEP,
                                                 memory_order_acq_rel, memory_order_acquire))
        return true;
    return wait_asleep(ticket, deadline_ms);
}
