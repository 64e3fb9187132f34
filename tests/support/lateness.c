/* SPDX-License-Identifier: MIT */
/*
 * A thread that sleeps a little, again and again, and writes down by how much it overslept: a call
 * that takes several turns of the processor can be late by as much at each, so the sum counts. What it
 * sleeps at the moment of asking counts as well: a machine that stands still has not written it
 * down yet. The notes are a ring behind a lock.
 */
#include "lateness.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOTES  8192
#define NAP_MS UINT64_C(4)
/* Nobody sleeps to the millisecond: so much is no lateness. */
#define FINE_MS UINT64_C(2)

typedef struct {
    uint64_t began_ms;
    uint64_t late_ms;
} note;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static note notes[NOTES];
static uint64_t count;
static uint64_t napping_since_ms;
static pid_t watched_by;

static uint64_t late_by(uint64_t began_ms, uint64_t now_ms)
{
    return now_ms - began_ms > NAP_MS + FINE_MS ? now_ms - began_ms - NAP_MS : 0;
}

static void *watch(void *user)
{
    const struct timespec nap = {.tv_nsec = (long)NAP_MS * 1000000};
    (void)user;
    for (;;) {
        (void)pthread_mutex_lock(&lock);
        napping_since_ms = idem_monotonic_ms();
        (void)pthread_mutex_unlock(&lock);
        (void)nanosleep(&nap, NULL);
        (void)pthread_mutex_lock(&lock);
        notes[count++ % NOTES] =
            (note){napping_since_ms, late_by(napping_since_ms, idem_monotonic_ms())};
        (void)pthread_mutex_unlock(&lock);
    }
    return NULL;
}

void lateness_watch(void)
{
    pthread_t thread;
    (void)pthread_mutex_lock(&lock);
    bool watched = watched_by == getpid(); /* threads do not follow into a forked test */
    watched_by = getpid();
    if (!watched) {
        count = 0;
        napping_since_ms = idem_monotonic_ms();
    }
    (void)pthread_mutex_unlock(&lock);
    if (watched)
        return;
    if (pthread_create(&thread, NULL, watch, NULL) != 0)
        abort();
    (void)pthread_detach(thread);
}

uint64_t lateness_since(uint64_t began_ms)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t sum_ms = late_by(napping_since_ms, idem_monotonic_ms());
    uint64_t first = count > NOTES ? count - NOTES : 0;
    for (uint64_t i = count; i > first; i--) {
        const note *at = &notes[(i - 1) % NOTES];
        if (at->began_ms + at->late_ms + NAP_MS < began_ms)
            break;
        sum_ms += at->late_ms;
    }
    (void)pthread_mutex_unlock(&lock);
    return sum_ms;
}

uint64_t lateness_queued_ms(void)
{
    unsigned long long ran_ns = 0;
    unsigned long long queued_ns = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &ran_ns, &queued_ns) != 2)
        queued_ns = 0;
    (void)fclose(file);
    return queued_ns / 1000000;
}
