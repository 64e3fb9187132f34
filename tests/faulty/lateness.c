/* SPDX-License-Identifier: MIT */
/* The thread runs until the process ends. A sleep that is not over yet counts as well, so that a
   pause of the whole machine is seen at once. */
#include "lateness.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define STEP_MS 4

static _Atomic uint64_t worst_ms;
static _Atomic uint64_t due_ms;

static void note(uint64_t ms)
{
    uint64_t before = atomic_load(&worst_ms);
    while (ms > before && !atomic_compare_exchange_weak(&worst_ms, &before, ms))
        continue;
}

static void note_overdue(void)
{
    uint64_t now = idem_monotonic_ms();
    uint64_t due = atomic_load(&due_ms);
    if (now > due)
        note(now - due);
}

static void *watch(void *argument)
{
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    for (;;) {
        atomic_store(&due_ms, idem_monotonic_ms() + STEP_MS);
        (void)nanosleep(&step, NULL);
        note_overdue();
    }
    return argument;
}

void lateness_watch(void)
{
    pthread_t thread;
    atomic_store(&due_ms, idem_monotonic_ms() + STEP_MS);
    if (pthread_create(&thread, NULL, watch, NULL))
        abort();
    (void)pthread_detach(thread);
}

uint64_t lateness_ms(void)
{
    note_overdue();
    return atomic_exchange(&worst_ms, 0);
}
