/* SPDX-License-Identifier: MIT */
/* Random bits: never the same twice, in any thread, and on neither side of a fork(). */
#include "random.h"

#include <idem/backend.h>

#include "runner.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
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
        if (idem__random_draw(&mine[i], sizeof *mine, NULL))
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
    ck_assert_int_eq(idem__random_draw(&first, sizeof first, NULL), IDEM_OK);
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
    ck_assert_int_eq(idem__random_draw(bytes, sizeof bytes, NULL), IDEM_OK);
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
            ck_assert_int_eq(idem__random_draw(bytes, len, NULL), IDEM_OK);
            changed |= len ? bytes[0] : 0u;
            changed |= len ? (unsigned)bytes[len - 1] << 8 : 0u;
            ck_assert_uint_eq(bytes[len], 0);
        }
        ck_assert_msg(len == 0 || (changed & 0xff && changed >> 8), "%zu bytes", len);
    }
}
END_TEST

static bool source_fails;
static bool source_is_interrupted; /* before it gives anything, and after it gave a part */

ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
    static _Thread_local bool interrupted;
    interrupted = source_is_interrupted && !interrupted;
    errno = interrupted ? EINTR : ENOSYS;
    if (source_fails || interrupted)
        return -1;
    return __real_getrandom(buf, source_is_interrupted ? (len + 1) / 2 : len, flags);
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
    while (idem__random_draw(&draws[count], sizeof draws[0], &error) == IDEM_OK) /* what is left */
        ck_assert_uint_lt(++count, DRAWS);
    ck_assert_int_eq(error.code, IDEM_ERR_INTERNAL);
    ck_assert_int_eq(idem__random_draw(bytes, sizeof bytes, &error), IDEM_ERR_INTERNAL);
    source_fails = false;
    for (; count < DRAWS; count++)
        ck_assert_int_eq(idem__random_draw(&draws[count], sizeof draws[0], &error), IDEM_OK);
    assert_all_differ(draws, DRAWS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    ADD(suite, threads_draw_different_bits);
    ADD(suite, a_child_draws_other_bits_than_its_parent);
    ADD(suite, large_portions_are_filled);
    ADD(suite, portions_of_any_size_are_filled);
    ADD(suite, a_source_that_fails_is_an_error_and_gives_no_bits);
    ADD(suite, a_source_that_is_interrupted_is_asked_again);
    return run_suite(suite);
}
