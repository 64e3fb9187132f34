/* SPDX-License-Identifier: MIT */
/* A descriptor for a poll loop: raised once however often it is signalled, and in a child of fork()
   one of its own. Built twice: with an eventfd, and with a pipe. */
#include "notifier.h"

#include "runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static idem__notifier one;
static int below; /* a descriptor with a lower number */

static void set_up(void)
{
    idem_error error;
    below = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    ck_assert_msg(idem__notifier_open(&one, &error) == IDEM_OK, "%s", error.message);
}

static void tear_down(void)
{
    idem__notifier_close(&one);
    ck_assert_int_eq(one.fd, -1);
    idem__notifier_close(&one);
    (void)close(below);
}

static bool raised(const idem__notifier *at)
{
    struct pollfd entry = {.fd = at->fd, .events = POLLIN};
    ck_assert_int_ge(poll(&entry, 1, 0), 0);
    return (entry.revents & POLLIN) != 0;
}

START_TEST(it_is_readable_from_a_signal_until_it_is_cleared)
{
    ck_assert(!raised(&one));
    for (int round = 0; round < 3; round++) {
        idem__notifier_signal(&one);
        idem__notifier_signal(&one);
        ck_assert(raised(&one));
        ck_assert(raised(&one)); /* to look changes nothing */
        idem__notifier_clear(&one);
        ck_assert(!raised(&one));
        idem__notifier_clear(&one);
    }
}
END_TEST

/* It would block whoever polls it, or go on to a program that is executed. */
START_TEST(it_blocks_nobody_and_ends_with_the_program)
{
    const int ends[] = {one.fd, one.writer};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_gt(ends[i], 2);
        ck_assert(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
        ck_assert(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
    }
}
END_TEST

/* Whatever the system gives for a new one: a lower number, or none before the old one is closed. */
static bool child_is_sound(bool full)
{
    int number = one.fd;
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};
    if (!full)
        (void)close(below);
    else if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        while (dup(STDERR_FILENO) >= 0)
            continue;
    idem__notifier_renew(&one);
    if (one.fd != number || one.raised || raised(&one) || !(fcntl(one.fd, F_GETFD) & FD_CLOEXEC))
        return false;
    idem__notifier_signal(&one);
    return raised(&one);
}

START_TEST(a_child_of_fork_has_one_of_its_own)
{
    int status = 0;
    bool before = _i % 2 == 1;
    if (before)
        idem__notifier_signal(&one);
    pid_t child = fork();
    if (child == 0)
        _exit(child_is_sound(_i >= 2) ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(raised(&one) == before);
}
END_TEST

START_TEST(without_a_descriptor_there_is_an_error_and_nothing_left_open)
{
    struct rlimit limit;
    idem__notifier none;
    idem_error error = {.code = IDEM_OK};
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit low = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int rc = idem__notifier_open(&none, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "limit on open files"));
    ck_assert_int_eq(none.fd, -1);
    idem__notifier_signal(&none); /* nobody polls it */
    idem__notifier_clear(&none);
    idem__notifier_close(&none);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notifier");
    ADD_HERE(suite, it_is_readable_from_a_signal_until_it_is_cleared, 1);
    ADD_HERE(suite, it_blocks_nobody_and_ends_with_the_program, 1);
    ADD_HERE(suite, a_child_of_fork_has_one_of_its_own, 4);
    ADD_HERE(suite, without_a_descriptor_there_is_an_error_and_nothing_left_open, 1);
    return run_suite(suite);
}
