/* SPDX-License-Identifier: MIT */
/*
 * fork() with calls in flight: one at the store, some queued, one that waits, one that is answered but
 * not told. In the parent all of them go on; in the child none was ever submitted, and all claims are
 * free for use.
 */
#include "faulty.h"
#include "gate.h"
#include "leave.h"
#include "loop.h"
#include "runner.h"
#include "sanitized.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define QUEUED 30

static idem_store *store;
static idem_async *async;
static gate entrance;
static answer stuck;
static answer waiting;
static answer queued[QUEUED];
static answer of_claim;
static idem_outcome held;

static void set_up(void)
{
    faulty_clear();
    entrance = (gate)GATE_CLOSED;
    async = loop_open("faulty+memory://forks", &store);
    held = loop_claim(async, "held");
}

static void tear_down(void)
{
    idem_outcome_clear(&held);
    idem_async_close(async);
    idem_close(store);
}

static void *open_later(void *argument)
{
    (void)loop_is_readable(async, 50);
    gate_open(argument);
    return NULL;
}

static void fill_the_queue(void)
{
    idem_error error;
    memset(&stuck, 0, sizeof stuck);
    memset(&waiting, 0, sizeof waiting);
    memset(&of_claim, 0, sizeof of_claim);
    memset(queued, 0, sizeof queued);
    FAULTY(.before = gate_hold, .user = &entrance, .key = idem_str("stuck"));
    ck_assert_int_eq(idem_async_begin(async,
                                      IDEM_REQUEST(.key = idem_str("held"), .wait_ms = LONG_MS),
                                      on_begun, &waiting, NULL, &error),
                     IDEM_OK);
    (void)loop_begin(async, "stuck", &stuck);
    gate_await(&entrance, 1);
    for (int i = 0; i < QUEUED; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "queued-%d", i);
        (void)loop_begin(async, key, &queued[i]);
    }
    ck_assert_int_eq(idem_async_complete(async, held.claim, idem_str("\"parent\""), on_changed,
                                         &of_claim, NULL, &error),
                     IDEM_OK);
}

static bool runs_a_call(const char *key)
{
    answer told = {.answers = 0};
    (void)loop_begin(async, key, &told);
    loop_until(async, &told);
    bool right = told.answers == 1 && told.error.code == IDEM_OK && told.outcome.kind == IDEM_NEW;
    idem_outcome_clear(&told.outcome);
    return right;
}

/* What has to hold in the child. @return 0, or the step that failed */
static int child(int fd)
{
    answer told = {.answers = 0};
    if (idem_async_fd(async) != fd)
        return 1;
    if (idem_async_pending(async) != 0 || loop_is_readable(async, 0) ||
        idem_async_dispatch(async, 0) != 0)
        return 2;
    if (!runs_a_call("child's own") || !runs_a_call("queued-0"))
        return 3;
    if (idem_async_complete(async, held.claim, idem_str("\"child\""), on_changed, &told, NULL,
                            NULL))
        return 4;
    loop_until(async, &told);
    if (told.error.code != IDEM_OK)
        return 5;
    idem_async_close(async);
    if (stuck.answers + waiting.answers + of_claim.answers + queued[0].answers > 0)
        return 6;
    idem_outcome_clear(&held);
    idem_close(store);
    return 0;
}

static void join_child(pid_t pid)
{
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the child failed at step %d, by signal %d", WEXITSTATUS(status),
                  WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void limit_child(void)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(40);
}

START_TEST(calls_in_flight_are_the_parents)
{
    pthread_t opener;
    fill_the_queue();
    int fd = idem_async_fd(async);
    ck_assert_int_eq(pthread_create(&opener, NULL, open_later, &entrance), 0);
    pid_t pid = fork(); /* waits for what is at the store */
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        limit_child();
        leave(child(fd));
    }
    (void)pthread_join(opener, NULL);
    loop_until_idle(async);
    assert_told(stuck, IDEM_OK);
    assert_told(of_claim, IDEM_OK);
    assert_told(waiting, IDEM_OK);
    ck_assert_int_eq(waiting.outcome.kind, IDEM_COMPLETED);
    for (int i = 0; i < QUEUED; i++) {
        assert_told(queued[i], IDEM_OK);
        ck_assert_int_eq(queued[i].outcome.kind, IDEM_NEW);
        idem_outcome_clear(&queued[i].outcome);
    }
    join_child(pid);
    ck_assert(!loop_is_readable(async, 0));
    ck_assert(runs_a_call("afterwards"));
    idem_outcome_clear(&stuck.outcome);
    idem_outcome_clear(&waiting.outcome);
}
END_TEST

static pid_t forked;

static void fork_within(void *user, idem_outcome *outcome, const idem_error *error)
{
    on_begun(user, outcome, error);
    forked = fork();
    if (forked == 0) {
        limit_child();
        idem_async_close(async);
    }
}

/* The child has the rest of the callback, and of the dispatch, but none of the other answers. */
START_TEST(a_callback_may_fork)
{
    memset(&stuck, 0, sizeof stuck);
    memset(queued, 0, sizeof queued);
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("first")), fork_within,
                                      &stuck, NULL, NULL),
                     IDEM_OK);
    while (!loop_is_readable(async, 60000)) {
    }
    for (int i = 0; i < 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "queued-%d", i);
        (void)loop_begin(async, key, &queued[i]);
    }
    size_t count = idem_async_dispatch(async, 1);
    if (forked == 0)
        leave(count == 1 && queued[0].answers == 0 ? 0 : 1);
    loop_until_idle(async);
    for (int i = 0; i < 3; i++) {
        assert_told(queued[i], IDEM_OK);
        idem_outcome_clear(&queued[i].outcome);
    }
    assert_told(stuck, IDEM_OK);
    idem_outcome_clear(&stuck.outcome);
    join_child(forked);
}
END_TEST

static void *dispatch_and_stay(void *argument)
{
    (void)argument;
    loop_until(async, &stuck);
    return NULL;
}

static void stay(void *user, idem_outcome *outcome, const idem_error *error)
{
    gate_hold(&entrance, NULL);
    on_begun(user, outcome, error);
}

/* A thread that is in a callback is not there in the child, where close has nobody to leave it to. */
START_TEST(a_child_can_close_while_a_thread_of_the_parent_dispatches)
{
    pthread_t dispatcher;
    memset(&stuck, 0, sizeof stuck);
    ck_assert_int_eq(
        idem_async_begin(async, IDEM_REQUEST(.key = idem_str("first")), stay, &stuck, NULL, NULL),
        IDEM_OK);
    ck_assert_int_eq(pthread_create(&dispatcher, NULL, dispatch_and_stay, NULL), 0);
    gate_await(&entrance, 1);
    int fd = idem_async_fd(async);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        limit_child();
        idem_async_close(async);
        struct pollfd gone = {.fd = fd, .events = POLLIN};
        leave(poll(&gone, 1, 0) == 1 && (gone.revents & POLLNVAL) ? 0 : 1);
    }
    gate_open(&entrance);
    (void)pthread_join(dispatcher, NULL);
    join_child(pid);
    assert_told(stuck, IDEM_OK);
    idem_outcome_clear(&stuck.outcome);
}
END_TEST

int main(void)
{
    if (THREAD_SANITIZED) /* it allows no threads in the child */
        return EXIT_SUCCESS;
    faulty_require();
    Suite *suite = suite_create("async forks");
    ADD_HERE(suite, calls_in_flight_are_the_parents, 1);
    ADD_HERE(suite, a_callback_may_fork, 1);
    ADD_HERE(suite, a_child_can_close_while_a_thread_of_the_parent_dispatches, 1);
    return run_suite(suite);
}
