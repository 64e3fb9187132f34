/* SPDX-License-Identifier: MIT */
/*
 * fork() in a signal handler that has interrupted a call of its own thread: to wait for that call
 * would be to wait for itself. Nobody hangs: the parent goes on as before, and the child is told
 * that it can use no store.
 */
#include <idem/async.h>
#include <idem/backend.h>

#include "runner.h"
#include "sanitized.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static idem_store *store;
static idem_error err;
static volatile sig_atomic_t forks;
static volatile sig_atomic_t wrong;

/* Exit codes of the children. */
enum { FINE = 10, REFUSED, OTHER };

static bool anywhere; /* the signal may have interrupted malloc(), which is not to be called then */

static int use_stores(void)
{
    idem_store *opened = NULL;
    idem_record record;
    idem_outcome out;
    idem_error error;
    int rc = idem_get(store, idem_str("absent"), &record, &error);
    if (rc == IDEM_ERR_NOT_FOUND)
        return FINE;
    if (anywhere)
        return rc == IDEM_ERR_UNAVAILABLE && strstr(error.message, "signal handler") ? REFUSED
                                                                                     : OTHER;
    bool refused = rc == IDEM_ERR_UNAVAILABLE && strstr(error.message, "signal handler") &&
                   idem_open("memory://", &opened, &error) == IDEM_ERR_UNAVAILABLE &&
                   idem_begin(store, IDEM_REQUEST(.key = idem_str("x"), .flags = IDEM_KEEPALIVE),
                              &out, &error) == IDEM_ERR_UNAVAILABLE &&
                   idem_purge(store, 0, NULL, &error) != IDEM_OK;
    idem_close(store);
    return refused ? REFUSED : OTHER;
}

static void fork_here(int number)
{
    int status = -1;
    int before = errno;
    (void)number;
    pid_t child = fork();
    if (child == 0) {
        int code = use_stores();
        if (fork() == 0) /* nor does a fork of the child's hang */
            _exit(code);
        (void)wait(&status);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : OTHER);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    forks++;
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != FINE && WEXITSTATUS(status) != REFUSED))
        wrong = status ? status : 1;
    errno = before;
}

static void handle(int number)
{
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    ck_assert_int_eq(sigaction(number, &action, NULL), 0);
}

/* ----------------------------------------------------------------------- in the midst of a call */

static int open_raising(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend raising;
    (void)config;
    (void)error;
    *backend = &raising;
    return IDEM_OK;
}

static atomic_bool raises;

static int submit_raising(idem_backend *backend, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms, idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    if (atomic_load(&raises))
        (void)raise(SIGUSR1);
    for (size_t i = 0; i < count; i++)
        ops[i]->applied = ops[i]->kind != IDEM_OP_GET;
    return IDEM_OK;
}

static int purge_raising(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                         idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    if (atomic_load(&raises))
        (void)raise(SIGUSR1);
    portion->removed = portion->next = 0;
    return IDEM_OK;
}

static void close_raising(idem_backend *backend)
{
    (void)backend;
}

static const uint64_t kinds[] = {0, IDEM_TRAIT_CONCURRENT};

START_TEST(a_handler_that_interrupts_a_call_may_fork)
{
    idem_outcome out;
    idem_backend_ops ops = {
        .size = sizeof ops,
        .scheme = "raising",
        .open = open_raising,
        .submit = submit_raising,
        .close = close_raising,
        .purge = purge_raising,
    };
    ops.traits = kinds[_i];
    ck_assert_int_eq(idem_open_backend(&ops, NULL, NULL, &store, &err), IDEM_OK);
    handle(SIGUSR1);
    forks = 0;
    atomic_store(&raises, true);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &err), IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_purge(store, 0, NULL, &err), IDEM_OK);
    ck_assert_int_eq(forks, 2);
    ck_assert_int_eq(wrong, 0);
    atomic_store(&raises, false);
    /* And a fork that interrupts nothing is as it always was. */
    fork_here(0);
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_eq(use_stores(), FINE);
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------- at any moment */

static const char *const urls[] = {"memory://", "memory://shared?capacity=1000"};

START_TEST(forks_at_any_moment_do_not_hang)
{
    struct itimerval often = {{0, 700}, {0, 700}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    anywhere = true;
    forks = 0;
    ck_assert_int_eq(idem_open(urls[_i], &store, &err), IDEM_OK);
    handle(SIGALRM);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (unsigned i = 0; forks < 150; i++) {
        char key[16];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "%u", i % 500);
        ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, NULL),
                         IDEM_OK);
        if (out.claim)
            ck_assert_int_eq(idem_release(store, out.claim, NULL), IDEM_OK);
        idem_outcome_clear(&out);
    }
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    ck_assert_int_eq(wrong, 0);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork in a signal handler");
    ADD_ROWS(suite, a_handler_that_interrupts_a_call_may_fork, kinds);
    const bool sanitized =
        ADDRESS_SANITIZED || THREAD_SANITIZED; /* which malloc() in a fork themselves */
    if (!sanitized)
        ADD_ROWS(suite, forks_at_any_moment_do_not_hang, urls);
    return run_suite(suite);
}
