/* SPDX-License-Identifier: MIT */
/*
 * All threads begin at once, when each is prepared. At a given rate each step is due at a fixed
 * time, whether the one before was late or not, and its latency counts from then: a store that
 * stalls is not forgiven the calls that could not be made meanwhile (Gil Tene's "coordinated
 * omission").
 */
#include "load.h"

#include "report.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S    UINT64_C(1000000000)
#define PROGRESS_MS 250

typedef struct load load;

typedef struct {
    load *all;
    unsigned number;
    pthread_t thread;
    _Atomic uint64_t done; /* for progress */
    uint64_t last_ns;      /* when its last step ended */
    cli_histogram latency;
} runner;

struct load {
    const cli_load_plan *plan;
    const cli_load_work *work;
    runner *runners;
    unsigned started; /* threads that were made */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned ready;
    unsigned running;
    bool go;
    uint64_t begin_ns;
    atomic_bool failed;
    atomic_bool over;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now))
        return 0;
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* How many ops a thread has to do. */
static uint64_t share_of(const cli_load_plan *plan, unsigned number)
{
    if (plan->ops == 0)
        return UINT64_MAX;
    return plan->ops / plan->threads + (number < plan->ops % plan->threads);
}

/* When a thread's op is due: the threads take turns. */
static uint64_t due_ns(const load *all, unsigned number, uint64_t op)
{
    double turn = (double)op * all->plan->threads + number;
    return all->begin_ns + (uint64_t)(turn * (double)NS_PER_S / (double)all->plan->rate);
}

static void run_steps(runner *self, void *worker)
{
    load *all = self->all;
    const cli_load_plan *plan = all->plan;
    uint64_t left = share_of(plan, self->number);
    uint64_t from_ns = now_ns();
    for (uint64_t first = 0; left > 0 && !atomic_load(&all->over);) {
        size_t count = left < plan->batch ? (size_t)left : plan->batch;
        if (plan->rate) {
            from_ns = due_ns(all, self->number, first);
            sleep_until(from_ns);
        }
        if (!all->work->step(worker, first, count)) {
            atomic_store(&all->failed, true);
            atomic_store(&all->over, true);
            return;
        }
        self->last_ns = now_ns();
        cli_histogram_add(&self->latency, self->last_ns - from_ns);
        from_ns = self->last_ns;
        first += count;
        left -= count;
        atomic_store_explicit(&self->done, first, memory_order_relaxed);
    }
}

/* Waits until all threads are prepared. */
static void wait_for_all(load *all, bool prepared)
{
    (void)pthread_mutex_lock(&all->lock);
    if (!prepared)
        atomic_store(&all->failed, true);
    all->ready++;
    (void)pthread_cond_broadcast(&all->changed);
    while (!all->go)
        (void)pthread_cond_wait(&all->changed, &all->lock);
    (void)pthread_mutex_unlock(&all->lock);
}

static void *run(void *argument)
{
    runner *self = argument;
    load *all = self->all;
    void *worker = all->work->start(all->work->user, self->number);
    wait_for_all(all, worker != NULL);
    if (!atomic_load(&all->failed))
        run_steps(self, worker);
    if (worker)
        all->work->end(worker);
    (void)pthread_mutex_lock(&all->lock);
    all->running--;
    (void)pthread_cond_broadcast(&all->changed);
    (void)pthread_mutex_unlock(&all->lock);
    return NULL;
}

static uint64_t ops_done(const load *all)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < all->started; i++)
        done += atomic_load_explicit(&all->runners[i].done, memory_order_relaxed);
    return done;
}

/* True if the last thread has ended; waits for it for a moment. */
static bool await_end(load *all, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};
    int code = 0;
    (void)pthread_mutex_lock(&all->lock);
    while (all->running > 0 && code == 0)
        code = pthread_cond_timedwait(&all->changed, &all->lock, &until);
    bool ended = all->running == 0;
    (void)pthread_mutex_unlock(&all->lock);
    return ended;
}

/* Lets the threads go, tells how far they are, and ends them when the time is over. */
static void watch(load *all)
{
    uint64_t end_ns = UINT64_MAX;
    (void)pthread_mutex_lock(&all->lock);
    while (all->ready < all->started)
        (void)pthread_cond_wait(&all->changed, &all->lock);
    all->begin_ns = now_ns();
    if (all->plan->duration_ms)
        end_ns = all->begin_ns + all->plan->duration_ms * 1000000;
    all->go = true;
    (void)pthread_cond_broadcast(&all->changed);
    (void)pthread_mutex_unlock(&all->lock);
    for (;;) {
        uint64_t now = now_ns();
        uint64_t next = now + PROGRESS_MS * UINT64_C(1000000);
        if (now >= end_ns)
            atomic_store(&all->over, true);
        if (await_end(all, next < end_ns ? next : now >= end_ns ? next : end_ns))
            return;
        if (all->work->progress)
            all->work->progress(all->work->user, (double)(now_ns() - all->begin_ns) / 1e9,
                                ops_done(all));
    }
}

static bool start_threads(load *all)
{
    for (; all->started < all->plan->threads; all->started++) {
        runner *next = &all->runners[all->started];
        next->all = all;
        next->number = all->started;
        if (pthread_create(&next->thread, NULL, run, next)) {
            cli_say("no more than %u threads can be started; ask for fewer, or raise the limit "
                    "(ulimit -u)",
                    all->started);
            atomic_store(&all->failed, true);
            return false;
        }
    }
    return true;
}

static bool init_lock(load *all)
{
    pthread_condattr_t attributes;
    if (pthread_mutex_init(&all->lock, NULL) || pthread_condattr_init(&attributes))
        return false;
    int failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) ||
                 pthread_cond_init(&all->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return !failed;
}

static void add_up(const load *all, cli_load_result *result)
{
    uint64_t last_ns = all->begin_ns;
    result->ops = ops_done(all);
    for (unsigned i = 0; i < all->started; i++) {
        cli_histogram_merge(&result->latency, &all->runners[i].latency);
        if (all->runners[i].last_ns > last_ns)
            last_ns = all->runners[i].last_ns;
    }
    result->seconds = (double)(last_ns - all->begin_ns) / 1e9;
}

bool cli_load_run(const cli_load_plan *plan, const cli_load_work *work, cli_load_result *result)
{
    load all = {.plan = plan, .work = work, .running = plan->threads};
    all.runners = calloc(plan->threads, sizeof *all.runners);
    if (!all.runners || !init_lock(&all)) {
        free(all.runners);
        (void)cli_report_no_memory();
        return false;
    }
    if (!start_threads(&all)) {
        (void)pthread_mutex_lock(&all.lock);
        all.running = all.started;
        (void)pthread_mutex_unlock(&all.lock);
    }
    watch(&all);
    for (unsigned i = 0; i < all.started; i++)
        (void)pthread_join(all.runners[i].thread, NULL);
    add_up(&all, result);
    (void)pthread_cond_destroy(&all.changed);
    (void)pthread_mutex_destroy(&all.lock);
    free(all.runners);
    return !atomic_load(&all.failed);
}
