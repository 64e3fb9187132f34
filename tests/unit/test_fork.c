/* SPDX-License-Identifier: MIT */
/* Handlers for fork() that can't be registered: no store is opened without them, and the next open tries
   again. What they do is in the conformance suite and in the schedules. */
#include <idem/idem.h>

#include "runner.h"

#include <errno.h>
#include <pthread.h>

static int failures_left;
static int registrations;

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    if (failures_left > 0) {
        failures_left--;
        return ENOMEM;
    }
    registrations++;
    return __real_pthread_atfork(prepare, parent, child);
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

int main(void)
{
    Suite *suite = suite_create("fork");
    ADD(suite, no_store_is_opened_without_handlers_for_fork);
    return run_suite(suite);
}
