/* SPDX-License-Identifier: MIT */
/* Random bits: never the same twice, in any thread, and on neither side of a fork(); and the cipher
   that they are drawn from. */
#include "chacha.h"
#include "random.h"

#include <idem/backend.h>

#include "runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

typedef struct {
    bool counts;    /* the key is 0, 1, 2, …; else all zero */
    unsigned block; /* which block of the stream */
    uint8_t stream[64];
} vector;

/* The first two rows were published with the cipher's draft; the others are from another program,
   one that computes a block at a time. */
static const vector vectors[] = {
    {false, 0, {0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f,
                0x09, 0xa5, 0xa1, 0x2c, 0x84, 0x0e, 0xc3, 0xce, 0x9a, 0x7f, 0x3b, 0x18, 0x1b,
                0xe1, 0x88, 0xef, 0x71, 0x1a, 0x1e, 0x98, 0x4c, 0xe1, 0x72, 0xb9, 0x21, 0x6f,
                0x41, 0x9f, 0x44, 0x53, 0x67, 0x45, 0x6d, 0x56, 0x19, 0x31, 0x4a, 0x42, 0xa3,
                0xda, 0x86, 0xb0, 0x01, 0x38, 0x7b, 0xfd, 0xb8, 0x0e, 0x0c, 0xfe, 0x42}},
    {false, 1, {0xd2, 0xae, 0xfa, 0x0d, 0xea, 0xa5, 0xc1, 0x51, 0xbf, 0x0a, 0xdb, 0x6c, 0x01,
                0xf2, 0xa5, 0xad, 0xc0, 0xfd, 0x58, 0x12, 0x59, 0xf9, 0xa2, 0xaa, 0xdc, 0xf2,
                0x0f, 0x8f, 0xd5, 0x66, 0xa2, 0x6b, 0x50, 0x32, 0xec, 0x38, 0xbb, 0xc5, 0xda,
                0x98, 0xee, 0x0c, 0x6f, 0x56, 0x8b, 0x87, 0x2a, 0x65, 0xa0, 0x8a, 0xbf, 0x25,
                0x1d, 0xeb, 0x21, 0xbb, 0x4b, 0x56, 0xe5, 0xd8, 0x82, 0x1e, 0x68, 0xaa}},
    {true, 3, {0x59, 0xb4, 0x23, 0xfc, 0xd5, 0x39, 0xdd, 0xad, 0x10, 0x69, 0x0d, 0x92, 0x85,
               0x40, 0x41, 0x06, 0xa8, 0x64, 0xe3, 0x5b, 0xcb, 0x83, 0xaf, 0xa3, 0x30, 0x09,
               0xc0, 0x7a, 0xe0, 0x94, 0xe2, 0x22, 0xf9, 0xbc, 0xf7, 0x5b, 0x1d, 0x65, 0x6d,
               0xce, 0x4c, 0xbe, 0xd1, 0x7b, 0x3e, 0x6e, 0x87, 0x21, 0xa8, 0xbf, 0x09, 0xfd,
               0xa8, 0xff, 0xd9, 0x86, 0xda, 0x20, 0x22, 0x26, 0x3c, 0xec, 0xb4, 0x93}},
    {true, 4, {0x48, 0x8d, 0x16, 0xe7, 0x7e, 0x85, 0xc4, 0x7f, 0xac, 0xd6, 0x5f, 0x66, 0x92,
               0x71, 0x0d, 0x1e, 0x33, 0x69, 0x0e, 0xdf, 0x25, 0x6a, 0x69, 0xc6, 0xba, 0xf5,
               0xc3, 0x3e, 0xec, 0xe6, 0x90, 0x55, 0x7a, 0xbb, 0x2b, 0x81, 0x1b, 0x37, 0x9f,
               0x59, 0x7c, 0xb0, 0xc3, 0x20, 0x17, 0xd6, 0xff, 0x34, 0x70, 0x56, 0x5e, 0x50,
               0x27, 0x61, 0x0d, 0x98, 0xa0, 0x8a, 0x93, 0x03, 0xf4, 0x07, 0xb5, 0x20}},
    {true, 7, {0xdf, 0xb1, 0x98, 0xde, 0x33, 0x1d, 0xcf, 0x18, 0xef, 0x99, 0x00, 0xb9, 0xa4,
               0xcd, 0xd8, 0x85, 0xc4, 0xa0, 0x4f, 0x91, 0x5b, 0x31, 0x5b, 0x85, 0xd2, 0xdb,
               0xc8, 0x68, 0xbe, 0x8c, 0xea, 0x24, 0x8e, 0xbe, 0x35, 0xce, 0xd7, 0xcb, 0x51,
               0x1e, 0x4a, 0x05, 0x20, 0x1f, 0x1b, 0xa8, 0x20, 0x78, 0xac, 0x6a, 0x5d, 0xf6,
               0x70, 0xc2, 0x21, 0x25, 0x9e, 0x44, 0x6e, 0x6b, 0x70, 0xeb, 0x96, 0x5e}},
};

static uint32_t word_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

START_TEST(the_cipher_is_chacha8)
{
    uint8_t seed[IDEM__CHACHA_SEED_SIZE];
    uint8_t out[2 * IDEM__CHACHA_GROUP_SIZE];
    uint32_t words[sizeof out / sizeof(uint32_t)];
    const vector *expected = &vectors[_i];
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = expected->counts ? (uint8_t)i : 0;
    idem__chacha_expand(seed, out, 2);
    memcpy(words, out, sizeof words);
    const uint32_t *group = words + expected->block / 4 * 64u;
    for (size_t i = 0; i < 16; i++) {
        uint32_t word = group[i * 4 + expected->block % 4];
        ck_assert_msg(word == word_at(expected->stream + 4 * i), "word %zu: %08x", i, word);
    }
}
END_TEST

/* The seed may stand where the stream goes. */
START_TEST(a_seed_is_written_over)
{
    uint8_t seed[IDEM__CHACHA_SEED_SIZE] = {1, 2, 3};
    uint8_t apart[IDEM__CHACHA_GROUP_SIZE];
    uint8_t within[IDEM__CHACHA_GROUP_SIZE];
    memcpy(within, seed, sizeof seed);
    idem__chacha_expand(seed, apart, 1);
    idem__chacha_expand(within, within, 1);
    ck_assert_mem_eq(apart, within, sizeof apart);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("random");
    ADD(suite, threads_draw_different_bits);
    ADD(suite, a_child_draws_other_bits_than_its_parent);
    ADD(suite, large_portions_are_filled);
    ADD(suite, portions_of_any_size_are_filled);
    ADD_ROWS(suite, the_cipher_is_chacha8, vectors);
    ADD(suite, a_seed_is_written_over);
    return run_suite(suite);
}
