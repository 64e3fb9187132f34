/* SPDX-License-Identifier: MIT */
/* How late the machine itself is. The thread shares nothing with the tests but one number. How long a
   thread waited for a processor is Linux' to say; elsewhere it counts for nothing. */
#include "lateness.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
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

static uint64_t waited_ms(void)
{
    unsigned long long ran = 0;
    unsigned long long waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    (void)fclose(file);
    return waited / 1000000;
}

uint64_t lateness_take(void)
{
    static _Thread_local uint64_t last_ms;
    uint64_t now_ms = waited_ms();
    uint64_t since_ms = now_ms - last_ms;
    last_ms = now_ms;
    return since_ms + atomic_exchange(&late_ms, 0);
}
