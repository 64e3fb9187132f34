/* SPDX-License-Identifier: MIT */
/* Handlers for fork() that can't be registered: no store is opened without them, and the next open
   tries again. What they do is in the conformance suite and in the schedules. */
#include <idem/idem.h>

#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures_left;
static int registrations;

/* A fork while the handlers are registered: before they are, or when they are but nobody knows yet.
   */
typedef enum { NEVER, BEFORE, BEHIND } moment;
static moment forks;

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* What a child does: it opens a store, and forks with it; its own child uses the store. */
static int use_stores(int registrations_wanted)
{
    int status = -1;
    idem_store *store = NULL;
    idem_outcome out;
    (void)alarm(20); /* instead of a hang */
    if (idem_open("memory://", &store, NULL))
        return 1;
    pid_t pid = fork();
    (void)alarm(20);
    if (idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, NULL) || out.kind != IDEM_NEW)
        return 2;
    idem_outcome_clear(&out);
    idem_close(store);
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        return 3;
    return registrations == registrations_wanted ? 0 : 4;
}

static void fork_now(void)
{
    int status = -1;
    bool there = forks == BEHIND;
    forks = NEVER;
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_stores(there ? 1 : 2)); /* the one that was counted is the parent's */
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (failures_left > 0) {
        failures_left--;
        return ENOMEM;
    }
    registrations++;
    if (forks == BEFORE)
        fork_now();
    int failed = __real_pthread_atfork(prepare, parent, child);
    if (forks == BEHIND)
        fork_now();
    return failed;
}

START_TEST(no_store_is_opened_without_handlers_for_fork)
{
    idem_store *store = NULL;
    idem_error error;
    failures_left = 2;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(idem_open("memory://", &store, &error), IDEM_ERR_NO_MEMORY);
        ck_assert_int_eq(error.code, IDEM_ERR_NO_MEMORY);
        ck_assert_ptr_null(store);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(idem_open("memory://", &store, &error), IDEM_OK);
        idem_close(store);
    }
    ck_assert_int_eq(registrations, 1);
}
END_TEST

static const moment moments[] = {BEFORE, BEHIND};

/* Each in a process whose handlers are not registered yet. */
START_TEST(a_child_of_a_fork_during_the_registration_has_them_once)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        forks = moments[_i];
        _exit(use_stores(1));
    }
    ck_assert_int_gt(pid, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child: %x", (unsigned)status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    ADD_ROWS(suite, a_child_of_a_fork_during_the_registration_has_them_once, moments);
    ADD(suite, no_store_is_opened_without_handlers_for_fork);
    return run_suite(suite);
}
