/* SPDX-License-Identifier: MIT */
/* The library's threads take no signal of the host's; starting one leaves the mask alone. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setattr_default_np() */
#endif
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

/* A program's own variables of each thread, which the system takes from its stack. */
static _Thread_local char large[460 * 1024];

static void *use_stack(void *argument)
{
    char room[128 * 1024];
    volatile char *at = room;
    for (size_t i = 0; i < sizeof room; i += 1024)
        at[i] = 1;
    large[0] = at[0];
    return argument;
}

START_TEST(its_stack_has_room_beside_a_programs_own_variables)
{
    pthread_t thread;
    ck_assert_int_eq(idem__thread_start(&thread, use_stack, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* As under a limit of address space, which has no room for a stack of the usual size. */
START_TEST(where_there_is_no_room_a_small_one_will_do)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_t before;
    ck_assert_int_eq(pthread_getattr_default_np(&before), 0);
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstacksize(&attributes, SIZE_MAX / 4 & ~(size_t)0xffff), 0);
    ck_assert_int_eq(pthread_setattr_default_np(&attributes), 0);
    ck_assert_int_eq(idem__thread_start(&thread, look, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(pthread_setattr_default_np(&before), 0);
    (void)pthread_attr_destroy(&attributes);
    (void)pthread_attr_destroy(&before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thread");
    ADD(suite, no_signal_is_delivered_to_it_and_the_callers_mask_stays);
    ADD(suite, its_stack_has_room_beside_a_programs_own_variables);
    ADD(suite, where_there_is_no_room_a_small_one_will_do);
    return run_suite(suite);
}
