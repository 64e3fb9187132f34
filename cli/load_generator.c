/* SPDX-License-Identifier: MIT */
/*
 * Each thread counts for itself, and nothing is shared while they run but the order to end. The
 * main thread waits for signals, for the end of the last thread, and for the time to be over.
 *
 * At a given rate each step is due at a fixed time, whether the one before was late or not, and its
 * latency counts from then: a store that stalls is not forgiven the calls that could not be made
 * meanwhile (Gil Tene's "coordinated omission"). A thread that had to wait for that time counts
 * from when it woke up, since how late a timer is says nothing about the store.
 */
#include "load_generator.h"

#include "report.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S    UINT64_C(1000000000)
#define NS_PER_MS   UINT64_C(1000000)
#define PROGRESS_NS (250 * NS_PER_MS)
#define NAP_NS      (50 * NS_PER_MS) /* how long a waiting thread may miss the end */

typedef struct load load;

typedef struct {
    load *all;
    unsigned number;
    void *worker;
    pthread_t thread;
    _Atomic uint64_t done; /* ops that succeeded, those of the warm-up included */
    uint64_t done_by_all;  /* as of its last failure */
    unsigned failures;     /* in a row */
    uint64_t tried;        /* steps' ops that count */
    uint64_t succeeded;    /* of these */
    uint64_t last_ns;      /* when its last step ended */
    cli_histogram latency;
} runner;

struct load {
    const cli_load_plan *plan;
    const cli_load_work *work;
    runner *runners;
    unsigned started; /* threads that were made */
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open; /* begin_ns is set, and the threads may go */
    uint64_t begin_ns;
    uint64_t measure_ns; /* when the warm-up is over */
    uint64_t stopped_ns; /* when the order to end was given; 0: it was not */
    int signal;
    int ended[2]; /* the last thread writes into this pipe */
    atomic_uint running;
    atomic_bool over;
    atomic_bool gave_up;
};

static uint64_t now_ns(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------ in each thread */

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
    const cli_load_plan *plan = all->plan;
    double turn = (double)op * plan->threads + (double)number * (double)plan->batch;
    return all->begin_ns + (uint64_t)(turn * (double)NS_PER_S / (double)plan->rate);
}

/* Waits until a step is due. @return from when its latency counts */
static uint64_t await_turn(const load *all, uint64_t due)
{
    uint64_t now = now_ns();
    uint64_t from = now > due ? due : now;
    while (now < due && !atomic_load(&all->over)) {
        uint64_t until = due - now < NAP_NS ? due : now + NAP_NS;
        struct timespec time = {.tv_sec = (time_t)(until / NS_PER_S),
                                .tv_nsec = (long)(until % NS_PER_S)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
        from = now = now_ns();
    }
    return from;
}

static uint64_t done_by_all(const load *all)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < all->plan->threads; i++)
        done += atomic_load_explicit(&all->runners[i].done, memory_order_relaxed);
    return done;
}

static void judge_failure(runner *self)
{
    load *all = self->all;
    uint64_t done = done_by_all(all);
    self->failures = done == self->done_by_all ? self->failures + 1 : 1;
    self->done_by_all = done;
    if (self->failures >= all->plan->failures_max) {
        atomic_store(&all->gave_up, true);
        atomic_store(&all->over, true);
    }
}

static void run_steps(runner *self)
{
    load *all = self->all;
    const cli_load_plan *plan = all->plan;
    uint64_t left = share_of(plan, self->number);
    uint64_t op = 0;
    uint64_t done = 0;
    uint64_t from = now_ns();
    while (left > 0) {
        size_t count = left < plan->batch ? (size_t)left : plan->batch;
        if (plan->rate)
            from = await_turn(all, due_ns(all, self->number, op));
        if (atomic_load(&all->over))
            return;
        size_t succeeded = all->work->step(self->worker, op, count);
        uint64_t now = now_ns();
        if (from >= all->measure_ns) {
            self->tried += count;
            self->succeeded += succeeded;
            self->last_ns = now;
            left -= count;
            if (succeeded)
                cli_histogram_add(&self->latency, now - from);
        }
        done += succeeded;
        atomic_store_explicit(&self->done, done, memory_order_relaxed);
        if (!succeeded)
            judge_failure(self);
        op += count;
        from = now;
    }
}

static void *run(void *argument)
{
    runner *self = argument;
    load *all = self->all;
    (void)pthread_mutex_lock(&all->lock);
    while (!all->open)
        (void)pthread_cond_wait(&all->opened, &all->lock);
    (void)pthread_mutex_unlock(&all->lock);
    run_steps(self);
    if (atomic_fetch_sub(&all->running, 1) == 1) {
        ssize_t written = write(all->ended[1], "", 1); /* the pipe is empty: there is room */
        (void)written;
    }
    return NULL;
}

/* --------------------------------------------------------------------------- in the main thread */

static void let_go(load *all)
{
    (void)pthread_mutex_lock(&all->lock);
    all->begin_ns = now_ns();
    all->measure_ns = all->begin_ns + all->plan->warmup_ms * NS_PER_MS;
    all->open = true;
    (void)pthread_cond_broadcast(&all->opened);
    (void)pthread_mutex_unlock(&all->lock);
}

static void stop(load *all, uint64_t now)
{
    if (!all->stopped_ns)
        all->stopped_ns = now;
    atomic_store(&all->over, true);
}

/* Takes pending signals. A second one means that the user does not want to wait for the calls that
   are under way. */
static void heed_signals(load *all)
{
    cli_signal arrived;
    while (cli_signals_next(&arrived)) {
        if (!cli_signal_ends(arrived.number))
            continue;
        if (all->signal) {
            cli_signals_restore();
            (void)raise(arrived.number);
        }
        all->signal = arrived.number;
        stop(all, now_ns());
    }
}

/* Waits until something happens, or until then. @return true when the last thread has ended */
static bool await_end(load *all, uint64_t now, uint64_t until)
{
    struct pollfd events[2] = {{.fd = all->ended[0], .events = POLLIN},
                               {.fd = cli_signals_fd(), .events = POLLIN}};
    uint64_t wait_ns = until > now ? until - now : 0;
    (void)poll(events, 2, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
    if (events[1].revents)
        heed_signals(all);
    return events[0].revents != 0;
}

static void watch(load *all)
{
    const cli_load_plan *plan = all->plan;
    uint64_t end = plan->duration_ms ? all->measure_ns + plan->duration_ms * NS_PER_MS : UINT64_MAX;
    for (bool ended = false; !ended;) {
        uint64_t now = now_ns();
        if (now >= end)
            stop(all, now);
        uint64_t next = now + PROGRESS_NS;
        ended = await_end(all, now, now < end && end < next ? end : next);
        if (!ended && all->work->progress)
            all->work->progress(all->work->user, (double)(now_ns() - all->begin_ns) / 1e9,
                                done_by_all(all));
    }
}

/* Signals are the main thread's, so that no call of a worker is broken off. */
static int start_threads(load *all)
{
    sigset_t signals;
    sigset_t before;
    int problem = 0;
    (void)sigfillset(&signals);
    (void)pthread_sigmask(SIG_SETMASK, &signals, &before);
    while (problem == 0 && all->started < all->plan->threads) {
        runner *next = &all->runners[all->started];
        problem = pthread_create(&next->thread, NULL, run, next);
        if (problem == 0)
            all->started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return problem;
}

static int run_threads(load *all)
{
    int problem = start_threads(all);
    atomic_store(&all->running, all->started);
    if (problem) {
        cli_say("%u threads could be started, and no more: %s; ask for fewer, or raise the limit "
                "(ulimit -u)",
                all->started, strerror(problem));
        stop(all, now_ns());
    }
    let_go(all);
    if (!problem)
        watch(all);
    for (unsigned i = 0; i < all->started; i++)
        (void)pthread_join(all->runners[i].thread, NULL);
    return problem ? CLI_INTERNAL : CLI_OK;
}

static void add_up(const load *all, cli_load_result *result)
{
    const cli_load_plan *plan = all->plan;
    uint64_t tried = 0;
    uint64_t last_ns = all->stopped_ns;
    for (unsigned i = 0; i < all->started; i++) {
        const runner *one = &all->runners[i];
        cli_histogram_merge(&result->latency, &one->latency);
        tried += one->tried;
        result->ops += one->succeeded;
        last_ns = one->last_ns > last_ns ? one->last_ns : last_ns;
    }
    result->signal = all->signal;
    result->gave_up = atomic_load(&all->gave_up);
    if (last_ns > all->measure_ns)
        result->seconds = (double)(last_ns - all->measure_ns) / 1e9;
    /* The last op's turn lasts until the next one would have been due. */
    if (plan->rate && !all->stopped_ns && (double)tried > result->seconds * (double)plan->rate)
        result->seconds = (double)tried / (double)plan->rate;
}

/* -------------------------------------------------------------------------------------- a run */

static bool open_all(load *all)
{
    for (int i = 0; i < 2; i++)
        all->ended[i] = -1;
    if (pipe(all->ended) != 0) {
        cli_say("a pipe can't be made: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < 2; i++)
        (void)fcntl(all->ended[i], F_SETFD, FD_CLOEXEC);
    all->runners = calloc(all->plan->threads, sizeof *all->runners);
    for (unsigned i = 0; all->runners && i < all->plan->threads; i++) {
        runner *one = &all->runners[i];
        one->all = all;
        one->number = i;
        one->worker = all->work->start(all->work->user, i);
        if (!one->worker)
            break;
    }
    if (all->runners && all->runners[all->plan->threads - 1].worker)
        return true;
    (void)cli_report_no_memory();
    return false;
}

static void close_all(load *all)
{
    for (unsigned i = 0; all->runners && i < all->plan->threads; i++) {
        if (all->runners[i].worker)
            all->work->end(all->runners[i].worker);
    }
    free(all->runners);
    for (int i = 0; i < 2; i++) {
        if (all->ended[i] >= 0)
            (void)close(all->ended[i]);
    }
}

int cli_load_run(const cli_load_plan *plan, const cli_load_work *work, cli_load_result *result)
{
    int code = CLI_INTERNAL;
    load all = {.plan = plan,
                .work = work,
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .opened = PTHREAD_COND_INITIALIZER};
    memset(result, 0, sizeof *result);
    if (open_all(&all))
        code = run_threads(&all);
    if (code == CLI_OK)
        add_up(&all, result);
    close_all(&all);
    (void)pthread_cond_destroy(&all.opened);
    (void)pthread_mutex_destroy(&all.lock);
    return code;
}
