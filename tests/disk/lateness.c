/* SPDX-License-Identifier: MIT */
/* How late the machine itself is. The thread shares nothing with the tests but one number. */
#include "lateness.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define PAUSE_MS 5u

static atomic_uint_fast64_t late_ms;

static void *sleep_and_look(void *unused)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    (void)unused;
    for (;;) {
        uint64_t before = idem_monotonic_ms();
        (void)nanosleep(&pause, NULL);
        uint64_t slept = idem_monotonic_ms() - before;
        if (slept > PAUSE_MS + 1)
            (void)atomic_fetch_add(&late_ms, slept - PAUSE_MS);
    }
    return NULL;
}

void lateness_start(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, sleep_and_look, NULL) || pthread_detach(thread))
        abort();
}

uint64_t lateness_take(void)
{
    return atomic_exchange(&late_ms, 0);
}
