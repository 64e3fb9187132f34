/* SPDX-License-Identifier: MIT */
/*
 * Opening a store on a backend that opens as it is told: what is repeated and what is not, by which
 * deadline, and when the first instance is opened at all.
 */
#include <idem/async.h>
#include <idem/backend.h>

#include "runner.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define FOR_EVER UINT32_MAX

/* What the backend is to do, and what it was asked. */
typedef struct {
    uint32_t failures; /* so many opens fail */
    int code;          /* with this */
    int refusal;       /* of prepare */
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint within; /* threads that are in submit, at most */
    atomic_uint inside;
    unsigned prepared;
    unsigned disposed;
    unsigned retries;
    bool saw_prepared;
} world;

typedef struct {
    idem_backend base;
    world *on;
} instance;

static idem_error err;

static int open_world(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static instance made[2];
    world *on = config->context;
    if (atomic_fetch_add(&on->opened, 1) < on->failures)
        return idem_error_set(error, on->code & ~IDEM_PERMANENT, "not yet there") |
               (on->code & IDEM_PERMANENT);
    on->saw_prepared = config->prepared == on;
    made[config->role == IDEM_ROLE_READER].on = on;
    *backend = &made[config->role == IDEM_ROLE_READER].base;
    return IDEM_OK;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    world *on = ((instance *)backend)->on;
    unsigned inside = atomic_fetch_add(&on->inside, 1) + 1;
    (void)deadline_ms;
    (void)error;
    if (inside > atomic_load(&on->within))
        atomic_store(&on->within, inside);
    for (size_t i = 0; i < count; i++)
        ops[i]->applied = ops[i]->kind != IDEM_OP_GET;
    (void)atomic_fetch_sub(&on->inside, 1);
    return IDEM_OK;
}

static void close_world(idem_backend *backend)
{
    (void)atomic_fetch_add(&((instance *)backend)->on->closed, 1);
}

static int prepare(const idem_config *config, void **prepared, idem_error *error)
{
    world *on = config->context;
    if (on->refusal)
        return idem_error_set(error, on->refusal, "no such store can be");
    on->prepared++;
    *prepared = on;
    return IDEM_OK;
}

static void dispose(void *prepared)
{
    ((world *)prepared)->disposed++;
}

static const idem_backend_ops world_ops = {
    .size = sizeof world_ops,
    .scheme = "world",
    .open = open_world,
    .submit = submit,
    .close = close_world,
    .prepare = prepare,
    .dispose = dispose,
};

static int open_as(uint64_t traits, world *on, const char *options, idem_store **store)
{
    idem_backend_ops ops = world_ops;
    ops.traits = traits;
    memset(&err, 0xaa, sizeof err);
    return idem_open_backend(&ops, on, options, store, &err);
}

static int get(idem_store *store)
{
    idem_record record;
    return idem_get(store, idem_str("k"), &record, &err);
}

/* ----------------------------------------------------------------------------------- repeating */

START_TEST(open_repeats_until_the_store_is_there)
{
    world on = {.failures = 4, .code = IDEM_ERR_UNAVAILABLE};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(0, &on, "timeout=60s", &store), IDEM_OK);
    ck_assert_uint_eq(on.opened, 5);
    ck_assert(on.saw_prepared && on.prepared == 1 && on.disposed == 0);
    idem_close(store);
    ck_assert(on.closed == 1 && on.disposed == 1);
}
END_TEST

START_TEST(open_gives_up_at_the_timeout_with_the_backends_words)
{
    world on = {.failures = FOR_EVER, .code = IDEM_ERR_UNAVAILABLE};
    idem_store *store = NULL;
    uint64_t began = idem_monotonic_ms();
    ck_assert_int_eq(open_as(0, &on, "timeout=200ms", &store), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_lt(idem_monotonic_ms() - began, 4500); /* nor at the usual one */
    ck_assert_uint_gt(on.opened, 2);
    ck_assert_str_eq(err.message, "not yet there");
    ck_assert_int_eq(err.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_ptr_null(store);
    ck_assert(on.prepared == 1 && on.disposed == 1);
}
END_TEST

static const int final[] = {
    IDEM_ERR_UNAVAILABLE | IDEM_PERMANENT,
    IDEM_ERR_ARGUMENT,
    IDEM_ERR_ARGUMENT | IDEM_PERMANENT,
    IDEM_ERR_UNSUPPORTED,
    IDEM_ERR_CORRUPT,
    IDEM_ERR_NO_MEMORY,
    IDEM_ERR_INTERNAL | IDEM_PERMANENT,
};

START_TEST(what_repeating_does_not_help_fails_at_once)
{
    world on = {.failures = FOR_EVER, .code = final[_i]};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(0, &on, "timeout=60s", &store), final[_i] & ~IDEM_PERMANENT);
    ck_assert_int_eq(err.code, final[_i] & ~IDEM_PERMANENT);
    ck_assert_uint_eq(on.opened, 1);
}
END_TEST

/* --------------------------------------------------------------------------------------- lazily */

static const uint64_t kinds[] = {0, IDEM_TRAIT_CONCURRENT, IDEM_BACKEND_READ_FIRST};

START_TEST(a_lazy_store_connects_with_its_first_call_which_repeats)
{
    world on = {.failures = 3, .code = IDEM_ERR_UNAVAILABLE};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(kinds[_i], &on, "open=lazy&timeout=60s", &store), IDEM_OK);
    ck_assert(on.opened == 0 && on.prepared == 1);
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    ck_assert_uint_eq(on.opened, 4);
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    ck_assert_uint_eq(on.opened, 4);
    idem_close(store);
    ck_assert(on.closed == 1 && on.disposed == 1);
}
END_TEST

START_TEST(a_lazy_store_that_nobody_used_is_closed)
{
    world on = {.failures = FOR_EVER, .code = IDEM_ERR_UNAVAILABLE};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(kinds[_i], &on, "open=lazy", &store), IDEM_OK);
    idem_close(store);
    ck_assert(on.opened == 0 && on.closed == 0 && on.disposed == 1);
}
END_TEST

START_TEST(a_lazy_store_that_cannot_be_had_fails_each_call_at_once)
{
    world on = {.failures = FOR_EVER, .code = IDEM_ERR_UNAVAILABLE | IDEM_PERMANENT};
    idem_store *store = NULL;
    idem_outcome out;
    ck_assert_int_eq(open_as(kinds[_i], &on, "open=lazy&timeout=60s", &store), IDEM_OK);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &err),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(err.message, "not yet there");
    ck_assert_uint_eq(on.opened, 1);
    idem_close(store);
}
END_TEST

START_TEST(what_is_wrong_with_the_url_is_known_when_it_is_opened)
{
    world on = {.refusal = IDEM_ERR_ARGUMENT};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(0, &on, "open=lazy", &store), IDEM_ERR_ARGUMENT);
    ck_assert_str_eq(err.message, "no such store can be");
    ck_assert(on.opened == 0 && on.disposed == 0);
}
END_TEST

static void *get_often(void *argument)
{
    for (int i = 0; i < 200; i++) {
        idem_record record;
        if (idem_get(argument, idem_str("k"), &record, NULL) != IDEM_ERR_NOT_FOUND)
            return argument;
    }
    return NULL;
}

START_TEST(many_threads_open_a_lazy_store_once)
{
    world on = {.failures = 1, .code = IDEM_ERR_UNAVAILABLE};
    idem_store *store = NULL;
    pthread_t threads[8];
    ck_assert_int_eq(open_as(kinds[_i], &on, "open=lazy&timeout=60s", &store), IDEM_OK);
    for (size_t i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, get_often, store), 0);
    for (size_t i = 0; i < 8; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_uint_eq(on.opened, 2);
    if (!(kinds[_i] & IDEM_TRAIT_CONCURRENT))
        ck_assert_uint_eq(on.within, 1);
    idem_close(store);
    ck_assert_uint_eq(on.closed, 1);
}
END_TEST

/* What is in the process is not waited for, so there is nothing to put off. */
START_TEST(a_store_in_the_process_is_opened_at_once)
{
    world on = {0};
    idem_store *store = NULL;
    ck_assert_int_eq(open_as(IDEM_BACKEND_NO_BACKGROUND, &on, "open=lazy", &store), IDEM_OK);
    ck_assert_uint_eq(on.opened, 1);
    idem_close(store);
    ck_assert_int_eq(idem_open("memory://?open=lazy", &store, &err), IDEM_OK);
    ck_assert_int_eq(get(store), IDEM_ERR_NOT_FOUND);
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------------- options */

START_TEST(white_space_in_the_options_is_refused)
{
    static const char *const texts[] = {"prefix=a:\n", " prefix=a", "prefix=a b", "timeout=5s\r",
                                        "\t"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        world on = {0};
        idem_store *store = NULL;
        ck_assert_int_eq(open_as(0, &on, texts[i], &store), IDEM_ERR_ARGUMENT);
        ck_assert_msg(strncmp(err.message, "the list of options", 19) == 0, "%s", err.message);
        ck_assert_uint_eq(on.opened, 0);
    }
}
END_TEST

/* ---------------------------------------------------------------------------------- descriptors */

/* What the program closed is its own all the same: what it prints must not go into the library. */
START_TEST(descriptors_are_3_or_above_and_close_on_exec)
{
    idem_store *store = NULL;
    idem_async *async = NULL;
    int kept[3];
    for (int i = 0; i < 3; i++) {
        kept[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        (void)close(i);
    }
    int raised = idem_descriptor_raise(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int raised_flags = fcntl(raised, F_GETFD);
    int rc = idem_open("memory://", &store, &err);
    rc = rc ? rc : idem_async_open(store, &async, &err);
    int fd = idem_async_fd(async);
    int flags = fcntl(fd, F_GETFD);
    bool all_closed = fcntl(0, F_GETFD) < 0 && fcntl(1, F_GETFD) < 0 && fcntl(2, F_GETFD) < 0;
    for (int i = 0; i < 3; i++) {
        (void)dup2(kept[i], i);
        (void)close(kept[i]);
    }
    ck_assert_int_eq(rc, IDEM_OK);
    ck_assert(all_closed);
    ck_assert(raised >= 3 && raised_flags == FD_CLOEXEC);
    ck_assert(fd >= 3 && flags == FD_CLOEXEC);
    (void)close(raised);
    idem_async_close(async);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("open");
    ADD(suite, open_repeats_until_the_store_is_there);
    ADD(suite, open_gives_up_at_the_timeout_with_the_backends_words);
    ADD_ROWS(suite, what_repeating_does_not_help_fails_at_once, final);
    ADD_ROWS(suite, a_lazy_store_connects_with_its_first_call_which_repeats, kinds);
    ADD_ROWS(suite, a_lazy_store_that_nobody_used_is_closed, kinds);
    ADD_ROWS(suite, a_lazy_store_that_cannot_be_had_fails_each_call_at_once, kinds);
    ADD(suite, what_is_wrong_with_the_url_is_known_when_it_is_opened);
    ADD_ROWS(suite, many_threads_open_a_lazy_store_once, kinds);
    ADD(suite, a_store_in_the_process_is_opened_at_once);
    ADD(suite, white_space_in_the_options_is_refused);
    ADD(suite, descriptors_are_3_or_above_and_close_on_exec);
    return run_suite(suite);
}
