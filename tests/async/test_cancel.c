/* SPDX-License-Identifier: MIT */
/*
 * No call is a point of cancellation. Forty threads are cancelled at random in begin, complete,
 * submit, cancel and dispatch, while the process forks: each ends behind its call, and every later
 * call, and a fork, works.
 */
#include "loop.h"
#include "place.h"
#include "runner.h"
#include "sanitized.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS     40
#define QUEUES      8 /* so many of the threads dispatch, each its own */
#define ROUNDS      3
#define FORKS       4   /* in each round */
#define PENDING_MAX 100 /* since a dispatcher is cancelled before those who submit */
/* Instead of a hang. */
#define LIMIT_S 90

typedef struct {
    pthread_t thread;
    int number;
    volatile bool inside; /* a call */
    unsigned calls;
} caller;

static idem_store *store;
static idem_async *queues[QUEUES];
static caller callers[THREADS];
static atomic_int running;

static void forget_outcome(void *user, idem_outcome *outcome, const idem_error *error)
{
    (void)user;
    (void)error;
    idem_outcome_clear(outcome);
}

static void begin_and_complete(caller *me, idem_bytes key)
{
    idem_outcome out;
    me->inside = true;
    int rc = idem_begin(store, IDEM_REQUEST(.key = key, .timeout_ms = LONG_MS), &out, NULL);
    me->inside = false;
    if (rc != IDEM_OK)
        return;
    if (out.kind == IDEM_NEW) {
        me->inside = true;
        (void)!idem_complete(store, out.claim, idem_str("1"), NULL);
        me->inside = false;
    }
    idem_outcome_clear(&out);
}

static void submit(caller *me, idem_bytes key)
{
    idem_async *async = queues[me->number % QUEUES];
    idem_async_call call = 0;
    me->inside = true;
    int rc = idem_async_begin(async, IDEM_REQUEST(.key = key, .timeout_ms = LONG_MS),
                              forget_outcome, NULL, &call, NULL);
    if (rc == IDEM_OK && me->calls % 2 == 0)
        (void)idem_async_cancel(async, call);
    me->inside = false;
}

/* Some keys are met again, so that there are replays too. */
static void *call_on(void *argument)
{
    caller *me = argument;
    (void)atomic_fetch_add(&running, 1);
    for (;; me->calls++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%d-%u", me->number / 2, me->calls % 200);
        bool room = idem_async_pending(queues[me->number % QUEUES]) < PENDING_MAX;
        if (me->calls % 3 == 0 && room)
            submit(me, idem_str(text));
        else
            begin_and_complete(me, idem_str(text));
        if (me->number < QUEUES) {
            me->inside = true;
            (void)idem_async_dispatch(queues[me->number], 64);
            me->inside = false;
        }
        pthread_testcancel();
    }
    return NULL;
}

static void fork_and_wait(bool uses_store)
{
    int status = -1;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        idem_outcome out;
        (void)alarm(LIMIT_S);
        if (!uses_store)
            _exit(0);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str("child")), &out, NULL))
            _exit(1);
        _exit(out.kind == IDEM_NEW && idem_release(store, out.claim, NULL) == IDEM_OK ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
}

static void nap(unsigned *seed)
{
    const struct timespec pause = {.tv_nsec = rand_r(seed) % 2000000};
    (void)nanosleep(&pause, NULL);
}

static void cancel_all(unsigned *seed)
{
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (caller){.number = i};
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call_on, &callers[i]), 0);
    }
    while (atomic_load(&running) < THREADS)
        nap(seed);
    atomic_store(&running, 0);
    for (int i = 0; i < THREADS; i++) {
        nap(seed);
        if (i % (THREADS / FORKS) == 0 && !THREAD_SANITIZED)
            fork_and_wait(false);
        ck_assert_int_eq(pthread_cancel(callers[(i * 7) % THREADS].thread), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        ck_assert_int_eq(pthread_join(callers[i].thread, &result), 0);
        ck_assert_ptr_eq(result, PTHREAD_CANCELED);
        ck_assert_msg(!callers[i].inside, "thread %d ended inside a call", i);
    }
}

START_TEST(threads_are_cancelled_behind_their_calls)
{
    char url[PLACE_URL_SIZE + 32];
    char place[PLACE_URL_SIZE];
    unsigned seed = 1;
    (void)alarm(LIMIT_S);
    place_url(place, sizeof place, "", "cancel");
    (void)snprintf(url, sizeof url, "%stimeout=60s", place);
    ck_assert_int_eq(idem_open(url, &store, NULL), IDEM_OK);
    for (int i = 0; i < QUEUES; i++)
        ck_assert_int_eq(idem_async_open(store, &queues[i], NULL), IDEM_OK);
    for (int round = 0; round < ROUNDS; round++) {
        cancel_all(&seed);
        for (int i = 0; i < QUEUES; i++)
            loop_until_idle(queues[i]);
        caller me = {.number = 1000 + round};
        begin_and_complete(&me, idem_str("after"));
        if (!THREAD_SANITIZED)
            fork_and_wait(true);
    }
    for (int i = 0; i < QUEUES; i++)
        idem_async_close(queues[i]);
    idem_close(store);
    (void)alarm(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cancel");
    TCase *tcase = tcase_create("cancel");
    tcase_set_timeout(tcase, LIMIT_S);
    tcase_add_test(tcase, threads_are_cancelled_behind_their_calls);
    suite_add_tcase(suite, tcase);
    place_start();
    int failed = run_suite(suite);
    place_end();
    return failed;
}
