/* SPDX-License-Identifier: MIT */
/* Random bits: never the same twice, in any thread, and on neither side of a fork(). */
#include "random.h"

#include <idem/backend.h>

#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAWS   2000
#define THREADS 8

typedef struct {
    uint8_t bytes[IDEM_TOKEN_SIZE];
} draw;

static draw drawn[THREADS * DRAWS];

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(draw));
}

static void assert_all_differ(draw *draws, size_t count)
{
    qsort(draws, count, sizeof *draws, compare);
    for (size_t i = 1; i < count; i++)
        ck_assert_msg(compare(&draws[i - 1], &draws[i]) != 0, "a token was drawn twice");
}

static void *draw_many(void *place)
{
    draw *mine = place;
    for (int i = 0; i < DRAWS; i++) {
        if (idem__random_draw(true, &mine[i], sizeof *mine, UINT64_MAX, NULL))
            return place;
    }
    return NULL;
}

START_TEST(threads_draw_different_bits)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, draw_many, drawn + i * DRAWS), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        (void)pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    assert_all_differ(drawn, THREADS * DRAWS);
}
END_TEST

/* The parent has bits in store when it forks; the child must not find them. */
START_TEST(a_child_draws_other_bits_than_its_parent)
{
    int pipe_ends[2];
    draw first;
    ck_assert_int_eq(idem__random_draw(true, &first, sizeof first, UINT64_MAX, NULL), IDEM_OK);
    ck_assert_int_eq(pipe(pipe_ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bool failed = draw_many(drawn) != NULL;
        size_t size = 200 * sizeof(draw);
        _exit(failed || write(pipe_ends[1], drawn, size) != (ssize_t)size);
    }
    int status = -1;
    ck_assert_ptr_null(draw_many(drawn));
    ck_assert_int_eq(read(pipe_ends[0], drawn + DRAWS, 200 * sizeof(draw)), 200 * sizeof(draw));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    assert_all_differ(drawn, DRAWS + 200);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}
END_TEST

START_TEST(large_portions_are_filled)
{
    uint8_t bytes[1000] = {0};
    size_t zeros = 0;
    ck_assert_int_eq(idem_random(bytes, sizeof bytes, NULL), IDEM_OK);
    for (size_t i = 0; i < sizeof bytes; i++)
        zeros += bytes[i] == 0;
    ck_assert_uint_lt(zeros, 40); /* about 4 are expected */
    ck_assert_int_eq(idem__random_draw(true, bytes, sizeof bytes, UINT64_MAX, NULL), IDEM_OK);
}
END_TEST

/* Portions of no whole words, and ones larger than a draw, come from the system. */
START_TEST(portions_of_any_size_are_filled)
{
    uint8_t bytes[IDEM__RANDOM_DRAW_MAX + 9];
    for (size_t len = 0; len < sizeof bytes; len++) {
        unsigned changed = 0;
        for (unsigned round = 0; round < 8; round++) {
            memset(bytes, 0, sizeof bytes);
            ck_assert_int_eq(idem__random_draw(true, bytes, len, UINT64_MAX, NULL), IDEM_OK);
            changed |= len ? bytes[0] : 0u;
            changed |= len ? (unsigned)bytes[len - 1] << 8 : 0u;
            ck_assert_uint_eq(bytes[len], 0);
        }
        ck_assert_msg(len == 0 || (changed & 0xff && changed >> 8), "%zu bytes", len);
    }
}
END_TEST

static bool source_fails;
static atomic_bool source_is_not_ready;
static atomic_uint asked;             /* how often */
static uint8_t last[IDEM_TOKEN_SIZE]; /* of what was given for a token and a version */
static bool source_is_interrupted;    /* before it gives anything, and after it gave a part */

ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
    static _Thread_local bool interrupted;
    if (!(flags & GRND_NONBLOCK))
        abort(); /* it would wait for the source, whatever the deadline */
    atomic_fetch_add(&asked, 1);
    if (atomic_load(&source_is_not_ready)) {
        errno = EAGAIN;
        return -1;
    }
    interrupted = source_is_interrupted && !interrupted;
    errno = interrupted ? EINTR : ENOSYS;
    if (source_fails || interrupted)
        return -1;
    ssize_t got = __real_getrandom(buf, source_is_interrupted ? (len + 1) / 2 : len, flags);
    if (len == sizeof last + sizeof(uint64_t))
        memcpy(last, buf, sizeof last);
    return got;
}

START_TEST(a_source_that_is_interrupted_is_asked_again)
{
    uint8_t bytes[5000] = {0};
    size_t zeros = 0;
    source_is_interrupted = true;
    ck_assert_int_eq(idem_random(bytes, sizeof bytes, NULL), IDEM_OK);
    source_is_interrupted = false;
    for (size_t i = 0; i < sizeof bytes; i++)
        zeros += bytes[i] == 0;
    ck_assert_uint_lt(zeros, 200); /* about 20 are expected */
}
END_TEST

/* A pool that could not be filled is empty, and not one of zeros. */
START_TEST(a_source_that_fails_is_an_error_and_gives_no_bits)
{
    static draw draws[DRAWS];
    uint8_t bytes[IDEM_TOKEN_SIZE];
    idem_error error = {0};
    size_t count = 0;
    source_fails = true;
    ck_assert_int_eq(idem_random(bytes, sizeof bytes, &error), IDEM_ERR_INTERNAL);
    ck_assert_int_eq(error.code, IDEM_ERR_INTERNAL);
    while (idem__random_draw(true, &draws[count], sizeof draws[0], UINT64_MAX, &error) ==
           IDEM_OK) /* what is left */
        ck_assert_uint_lt(++count, DRAWS);
    ck_assert_int_eq(error.code, IDEM_ERR_INTERNAL);
    ck_assert_int_eq(idem__random_draw(true, bytes, sizeof bytes, UINT64_MAX, &error),
                     IDEM_ERR_INTERNAL);
    source_fails = false;
    for (; count < DRAWS; count++)
        ck_assert_int_eq(
            idem__random_draw(true, &draws[count], sizeof draws[0], UINT64_MAX, &error), IDEM_OK);
    assert_all_differ(draws, DRAWS);
}
END_TEST

/* --------------------------------------------------------------------------- before it is ready */

START_TEST(a_source_that_is_not_ready_is_waited_for_until_the_deadline)
{
    uint8_t bytes[IDEM_TOKEN_SIZE];
    idem_error error = {0};
    uint64_t began = idem_monotonic_ms();
    atomic_store(&asked, 0);
    atomic_store(&source_is_not_ready, true);
    ck_assert_int_eq(idem_random_until(bytes, sizeof bytes, began + 100, &error),
                     IDEM_ERR_UNAVAILABLE);
    uint64_t took_ms = idem_monotonic_ms() - began;
    ck_assert(took_ms >= 100 && took_ms < 10000);
    ck_assert_uint_lt(atomic_load(&asked), 30); /* and not in a loop */
    atomic_store(&source_is_not_ready, false);
}
END_TEST

static void *make_ready(void *unused)
{
    while (atomic_load(&asked) < 3)
        (void)sched_yield();
    atomic_store(&source_is_not_ready, false);
    return unused;
}

START_TEST(a_call_goes_on_when_the_source_is_ready)
{
    uint8_t bytes[IDEM_TOKEN_SIZE];
    pthread_t thread;
    atomic_store(&source_is_not_ready, true);
    atomic_store(&asked, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, make_ready, NULL), 0);
    ck_assert_int_eq(idem_random(bytes, sizeof bytes, NULL), IDEM_OK);
    (void)pthread_join(thread, NULL);
}
END_TEST

static const char *const urls[] = {"memory://?timeout=100ms", "shared:?timeout=100ms"};

START_TEST(no_call_waits_past_its_deadline_for_the_source)
{
    idem_store *store = NULL;
    idem_outcome out;
    idem_error error;
    int rc = IDEM_OK;
    ck_assert_int_eq(idem_open(urls[_i], &store, &error), IDEM_OK);
    atomic_store(&source_is_not_ready, true);
    uint64_t began = idem_monotonic_ms();
    for (unsigned i = 0; i < 2000 && rc == IDEM_OK; i++) { /* a pool has bits for some */
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i);
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &error);
        if (rc == IDEM_OK)
            idem_outcome_clear(&out);
    }
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_msg(strstr(error.message, "random source") != NULL, "%s", error.message);
    ck_assert_uint_lt(idem_monotonic_ms() - began, 5000);
    atomic_store(&source_is_not_ready, false);
    idem_close(store);
}
END_TEST

/* ------------------------------------------------------------------------- copies of the memory */

/* One record, which is shared with nobody, by a backend that says it is. */
static int open_shared(const idem_config *config, idem_backend **backend, idem_error *error)
{
    static idem_backend shared;
    (void)config;
    (void)error;
    *backend = &shared;
    return IDEM_OK;
}

static uint64_t stored[64]; /* the versions of what was written */
static size_t stored_count;

static int submit_shared(idem_backend *backend, idem_op *const *ops, size_t count,
                         uint64_t deadline_ms, idem_error *error)
{
    (void)backend;
    (void)deadline_ms;
    (void)error;
    for (size_t i = 0; i < count; i++) {
        ops[i]->applied = true;
        if (ops[i]->record && stored_count < 64)
            stored[stored_count++] = ops[i]->record->version;
    }
    return IDEM_OK;
}

static void close_shared(idem_backend *backend)
{
    (void)backend;
}

static const idem_backend_ops shared_ops = {
    .size = sizeof shared_ops,
    .scheme = "shared",
    .traits = IDEM_TRAIT_SHARED,
    .open = open_shared,
    .submit = submit_shared,
    .close = close_shared,
};

/* What a snapshot of a machine could have copied is in memory before the call. So the token has to
   be what the source gave during the call, and each write has to ask it. */
START_TEST(on_a_shared_store_nothing_is_drawn_ahead)
{
    idem_store *store = NULL;
    idem_outcome out;
    ck_assert_int_eq(idem_open("shared:", &store, NULL), IDEM_OK);
    for (unsigned i = 0; i < 20; i++) {
        atomic_store(&asked, 0);
        memset(last, 0, sizeof last);
        ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, NULL),
                         IDEM_OK);
        ck_assert(memcmp(idem_claim_token(out.claim), last, sizeof last) == 0);
        ck_assert_uint_eq(atomic_load(&asked), 1);
        ck_assert_int_eq(idem_complete(store, out.claim, idem_str("1"), NULL), IDEM_OK);
        ck_assert_uint_eq(atomic_load(&asked), 2);
        idem_outcome_clear(&out);
    }
    idem_close(store);
}
END_TEST

/* With its token each draws its version. */
START_TEST(a_batch_on_a_shared_store_asks_the_source_once_for_each_begin)
{
    idem_store *store = NULL;
    idem_request requests[20];
    idem_outcome outcomes[20];
    char keys[20][4];
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "%u", i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    ck_assert_int_eq(idem_open("shared:", &store, NULL), IDEM_OK);
    stored_count = 0;
    atomic_store(&asked, 0);
    ck_assert_int_eq(idem_begin_many(store, requests, 20, outcomes, NULL, NULL), IDEM_OK);
    ck_assert_uint_eq(atomic_load(&asked), 20);
    ck_assert_uint_eq(stored_count, 20);
    for (size_t i = 0; i < 20; i++) {
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(stored[i], stored[k]);
        idem_outcome_clear(&outcomes[i]);
    }
    idem_close(store);
}
END_TEST

/* Its records are in the same memory as its bits. */
START_TEST(on_a_store_of_the_process_bits_are_drawn_ahead)
{
    idem_store *store = NULL;
    idem_outcome out;
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    atomic_store(&asked, 0);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%u", i);
        ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, NULL),
                         IDEM_OK);
        idem_outcome_clear(&out);
    }
    ck_assert_uint_le(atomic_load(&asked), 2);
    idem_close(store);
}
END_TEST

static void *draw_and_be_cancelled(void *unused)
{
    uint8_t bytes[IDEM_TOKEN_SIZE];
    (void)pthread_cancel(pthread_self());
    for (int i = 0; i < 2 * (int)(8192 / sizeof bytes); i++) {
        if (idem__random_draw(true, bytes, sizeof bytes, UINT64_MAX, NULL) ||
            idem_random(bytes, sizeof bytes, NULL))
            return NULL;
    }
    return bytes[0] ? unused : (void *)&stored;
}

START_TEST(drawing_is_no_point_of_cancellation)
{
    pthread_t thread;
    void *result = NULL;
    static int token;
    ck_assert_int_eq(pthread_create(&thread, NULL, draw_and_be_cancelled, &token), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert(result == &token || result == &stored);
}
END_TEST

int main(void)
{
    if (idem_backend_register(&shared_ops, NULL))
        return EXIT_FAILURE;
    Suite *suite = suite_create("random");
    ADD(suite, threads_draw_different_bits);
    ADD(suite, a_child_draws_other_bits_than_its_parent);
    ADD(suite, large_portions_are_filled);
    ADD(suite, portions_of_any_size_are_filled);
    ADD(suite, a_source_that_fails_is_an_error_and_gives_no_bits);
    ADD(suite, a_source_that_is_interrupted_is_asked_again);
    ADD(suite, a_source_that_is_not_ready_is_waited_for_until_the_deadline);
    ADD(suite, a_call_goes_on_when_the_source_is_ready);
    ADD_ROWS(suite, no_call_waits_past_its_deadline_for_the_source, urls);
    ADD(suite, on_a_shared_store_nothing_is_drawn_ahead);
    ADD(suite, a_batch_on_a_shared_store_asks_the_source_once_for_each_begin);
    ADD(suite, on_a_store_of_the_process_bits_are_drawn_ahead);
    ADD(suite, drawing_is_no_point_of_cancellation);
    return run_suite(suite);
}
