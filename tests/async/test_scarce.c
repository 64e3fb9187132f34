/* SPDX-License-Identifier: MIT */
/*
 * What is scarce: threads, descriptors, locks and memory. A submit that fails has no callback and
 * leaves nothing behind; one that was taken has its answer, whatever fails behind it. The system's
 * calls are wrapped by the linker, so that each can be made to fail.
 */
#include "leave.h"
#include "loop.h"
#include "runner.h"
#include "sanitized.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#if !ADDRESS_SANITIZED && !THREAD_SANITIZED
#define WITH_HEAP 1
#include "heap.h"
#else
#define WITH_HEAP 0
#endif

static int threads_left = -1; /* that can be started; -1: any number */
static int conds_left = -1;
static int descriptors_left = -1;

/* True if this one is to fail. */
static bool spend(int *left)
{
    if (*left < 0)
        return false;
    if (*left == 0)
        return true;
    (*left)--;
    return false;
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*work)(void *), void *argument)
{
    return spend(&threads_left) ? EAGAIN
                                : __real_pthread_create(thread, attributes, work, argument);
}

int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    return spend(&conds_left) ? ENOMEM : __real_pthread_cond_init(cond, attributes);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
    if (!spend(&descriptors_left))
        return __real_eventfd(value, flags);
    errno = EMFILE;
    return -1;
}

static idem_store *store;
static idem_async *async;

static void set_up(void)
{
    idem_error error;
    threads_left = conds_left = descriptors_left = -1;
    ck_assert_int_eq(idem_open("memory://", &store, &error), IDEM_OK);
    ck_assert_int_eq(idem_async_open(store, &async, &error), IDEM_OK);
}

static void tear_down(void)
{
    idem_async_close(async);
    idem_close(store);
}

static int try_begin(const char *key, answer *told, idem_error *error)
{
    const idem_request *request = IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS);
    return idem_async_begin(async, request, on_begun, told, NULL, error);
}

static const int thread_rows[] = {0, 1}; /* how many of them start */

START_TEST(a_thread_that_can_not_be_started_is_told_at_submit)
{
    idem_error error;
    answer told = {.answers = 0};
    threads_left = thread_rows[_i];
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(try_begin("k", &told, &error), IDEM_ERR_NO_MEMORY);
        ck_assert_ptr_nonnull(strstr(error.message, "thread"));
    }
    ck_assert_uint_eq(idem_async_pending(async), 0);
    ck_assert(!loop_is_readable(async, 20));
    ck_assert_uint_eq(told.answers, 0);
    threads_left = -1;
    idem_outcome out = loop_claim(async, "k"); /* nobody has claimed it */
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_change_that_is_not_taken_leaves_its_claim_free)
{
    idem_error error;
    idem_outcome out;
    answer told = {.answers = 0};
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &error), IDEM_OK);
    threads_left = 0;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            idem_async_complete(async, out.claim, idem_str("1"), on_changed, &told, NULL, &error),
            IDEM_ERR_NO_MEMORY);
    ck_assert_uint_eq(told.answers, 0);
    threads_left = -1;
    ck_assert_int_eq(
        idem_async_complete(async, out.claim, idem_str("1"), on_changed, &told, NULL, &error),
        IDEM_OK);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_queue_without_a_descriptor_is_not_opened)
{
    idem_error error;
    idem_async *another = NULL;
    struct rlimit was;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    struct rlimit none = was;
    none.rlim_cur = 3; /* all that are below are in use */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = idem_async_open(store, &another, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(error.message, "descriptor"));
    ck_assert_ptr_null(another);
}
END_TEST

static const int cond_rows[] = {0, 1, 2, 3};

START_TEST(a_queue_without_its_locks_is_not_opened)
{
    idem_error error;
    idem_async *another = NULL;
    conds_left = cond_rows[_i];
    ck_assert_int_eq(idem_async_open(store, &another, &error), IDEM_ERR_INTERNAL);
    conds_left = -1;
    ck_assert_ptr_null(another);
}
END_TEST

/* In a child that gets no descriptor, and in one that gets it by the last number that it may have. */
static int child(bool with_descriptor)
{
    idem_error error;
    answer told = {.answers = 0};
    int rc = try_begin("child", &told, &error);
    if (!with_descriptor) {
        idem_async_close(async);
        return rc == IDEM_ERR_UNAVAILABLE && told.answers == 0 ? 0 : 1;
    }
    if (rc)
        return 2;
    loop_until(async, &told);
    return told.error.code == IDEM_OK ? 0 : 3;
}

static const bool child_rows[] = {false, true};

START_TEST(a_child_without_a_descriptor_is_told_at_submit)
{
    struct rlimit was;
    int status = 0;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
    struct rlimit tight = was;
    tight.rlim_cur = (rlim_t)idem_async_fd(async) + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &tight), 0);
    descriptors_left = child_rows[_i] ? -1 : 0;
    pid_t pid = fork();
    if (pid == 0)
        leave(child(child_rows[_i]));
    descriptors_left = -1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "step %d", WEXITSTATUS(status));
    idem_outcome out = loop_claim(async, "parent");
    idem_outcome_clear(&out);
}
END_TEST

#if WITH_HEAP
/* The loop without check's assertions, which allocate themselves. */
static void turn_until_idle(void)
{
    struct pollfd fd = {.fd = idem_async_fd(async), .events = POLLIN};
    while (idem_async_pending(async) > 0) {
        if (poll(&fd, 1, 20000) != 1)
            abort();
        (void)idem_async_dispatch(async, 0);
    }
}

/* One life of a claim. @return 0, or the code of the submit that was refused */
static int live_through(const char *key, unsigned *answers, unsigned *submits)
{
    answer told[4] = {{.answers = 0}};
    idem_error error;
    int rc = try_begin(key, &told[0], &error);
    if (rc == IDEM_OK) {
        (*submits)++;
        turn_until_idle();
        rc = told[0].error.code;
    }
    idem_claim *claim = told[0].outcome.claim;
    for (int i = 1; rc == IDEM_OK && i < 4; i++) {
        rc = i == 1   ? idem_async_checkpoint(async, claim, idem_str("[1]"), on_changed, &told[i],
                                              NULL, &error)
             : i == 2 ? idem_async_renew(async, claim, 0, on_changed, &told[i], NULL, &error)
                      : idem_async_complete(async, claim, idem_str("[2]"), on_changed, &told[i],
                                            NULL, &error);
        if (rc)
            break;
        (*submits)++;
        turn_until_idle();
        rc = told[i].error.code;
    }
    for (int i = 0; i < 4; i++)
        *answers += told[i].answers;
    idem_outcome_clear(&told[0].outcome);
    return rc;
}

static const heap_mode modes[] = {HEAP_ONCE, HEAP_FOR_GOOD};

/* Every allocation in turn fails, of all threads. */
START_TEST(for_want_of_memory_each_submit_is_refused_or_answered)
{
    unsigned warm[2] = {0, 0};
    ck_assert_int_eq(live_through("warm", &warm[0], &warm[1]), IDEM_OK);
    bool more = true;
    unsigned refused = 0;
    for (uint64_t nth = 1; more; nth++) {
        char key[32];
        unsigned answers = 0;
        unsigned submits = 0;
        (void)snprintf(key, sizeof key, "key-%llu", (unsigned long long)nth);
        heap_arm_all(nth, modes[_i]);
        int rc = live_through(key, &answers, &submits);
        more = heap_disarm() > 0;
        ck_assert_msg(rc == IDEM_OK || (more && rc == IDEM_ERR_NO_MEMORY), "%d", rc);
        ck_assert_uint_eq(answers, submits);
        ck_assert_uint_eq(idem_async_pending(async), 0);
        refused += rc == IDEM_ERR_NO_MEMORY;
        ck_assert_uint_lt(nth, 1000);
    }
    ck_assert_uint_ge(refused, 5);
}
END_TEST

START_TEST(a_queue_leaves_nothing_allocated)
{
    unsigned counts[2] = {0, 0};
    idem_async_close(async);
    for (int i = 0; i < 3; i++) { /* threads keep a little for the next one */
        ck_assert_int_eq(idem_async_open(store, &async, NULL), IDEM_OK);
        ck_assert_int_eq(live_through("again", &counts[0], &counts[1]), IDEM_OK);
        idem_async_close(async);
        ck_assert_int_eq(idem_forget(store, idem_str("again"), NULL), IDEM_OK);
    }
    int64_t before = heap_live();
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(idem_async_open(store, &async, NULL), IDEM_OK);
        ck_assert_int_eq(live_through("again", &counts[0], &counts[1]), IDEM_OK);
        idem_async_close(async);
        ck_assert_int_eq(idem_forget(store, idem_str("again"), NULL), IDEM_OK);
    }
    ck_assert_int_eq(heap_live(), before);
    async = NULL;
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("async scarce");
    ADD_HERE(suite, a_thread_that_can_not_be_started_is_told_at_submit, 2);
    ADD_HERE(suite, a_change_that_is_not_taken_leaves_its_claim_free, 1);
    ADD_HERE(suite, a_queue_without_a_descriptor_is_not_opened, 1);
    ADD_HERE(suite, a_queue_without_its_locks_is_not_opened, 4);
    if (!THREAD_SANITIZED) /* it allows no threads in a child */
        ADD_HERE(suite, a_child_without_a_descriptor_is_told_at_submit, 2);
#if WITH_HEAP
    ADD_HERE(suite, for_want_of_memory_each_submit_is_refused_or_answered, 2);
    ADD_HERE(suite, a_queue_leaves_nothing_allocated, 1);
#endif
    return run_suite(suite);
}
