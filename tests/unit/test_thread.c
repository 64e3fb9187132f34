/* SPDX-License-Identifier: MIT */
/* The library's threads take no signal of the host's; starting one leaves the mask alone. */
#include "thread.h"

#include "runner.h"

#include <signal.h>

static sigset_t inside;

static void *look(void *argument)
{
    (void)pthread_sigmask(SIG_BLOCK, NULL, &inside);
    return argument;
}

START_TEST(no_signal_is_delivered_to_it_and_the_callers_mask_stays)
{
    pthread_t thread;
    sigset_t own;
    sigset_t after;
    void *given = NULL;
    (void)sigemptyset(&own);
    (void)sigaddset(&own, SIGUSR2);
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &own, NULL), 0);
    ck_assert_int_eq(idem__thread_start(&thread, look, &given), 0);
    ck_assert_int_eq(pthread_join(thread, &given), 0);
    ck_assert_ptr_eq(given, &given);
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &after), 0);
    for (int number = 1; number < 32; number++) {
        if (number != SIGKILL && number != SIGSTOP)
            ck_assert_msg(sigismember(&inside, number) == 1, "signal %d", number);
        ck_assert_int_eq(sigismember(&after, number), sigismember(&own, number));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thread");
    ADD(suite, no_signal_is_delivered_to_it_and_the_callers_mask_stays);
    return run_suite(suite);
}
