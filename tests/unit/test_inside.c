/* SPDX-License-Identifier: MIT */
/* Whether a thread is inside of the library, each for itself; and the locks of an orphan. */
#include "inside.h"

#include "runner.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *depth_of_another(void *depth)
{
    *(unsigned *)depth = idem__inside_depth;
    return NULL;
}

START_TEST(each_thread_is_inside_for_itself)
{
    pthread_t other;
    unsigned depth = 99;
    idem__inside_enter();
    idem__inside_lock(&lock);
    ck_assert_uint_eq(idem__inside_depth, 2);
    ck_assert_int_ne(pthread_mutex_trylock(&lock), 0);
    ck_assert_int_eq(pthread_create(&other, NULL, depth_of_another, &depth), 0);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
    ck_assert_uint_eq(depth, 0);
    idem__inside_unlock(&lock);
    idem__inside_leave();
    ck_assert_uint_eq(idem__inside_depth, 0);
    ck_assert_int_eq(pthread_mutex_trylock(&lock), 0);
    (void)pthread_mutex_unlock(&lock);
}
END_TEST

/* Its parent's thread that held a lock is not there to give it back. */
START_TEST(an_orphan_waits_for_no_lock)
{
    idem_error error = {.code = IDEM_OK};
    ck_assert_int_eq(pthread_mutex_lock(&lock), 0);
    atomic_store(&idem__inside_orphan, true);
    idem__inside_lock(&lock);
    idem__inside_unlock(&lock);
    ck_assert(idem__inside_is_orphan());
    ck_assert_int_ne(pthread_mutex_trylock(&lock), 0); /* and gives back none that is not its own */
    atomic_store(&idem__inside_orphan, false);
    (void)pthread_mutex_unlock(&lock);
    ck_assert_uint_eq(idem__inside_depth, 0);
    ck_assert_int_eq(idem__inside_refuse(&error), IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "exec a program"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inside");
    ADD(suite, each_thread_is_inside_for_itself);
    ADD(suite, an_orphan_waits_for_no_lock);
    return run_suite(suite);
}
