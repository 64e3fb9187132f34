/* SPDX-License-Identifier: MIT */
/*
 * What all measured programs share. A program is a subject, which does one piece of work on one
 * kind of store; the harness brings options, callers, keys and the clock, so that whatever is
 * compared is asked for the same things in the same way.
 */
#ifndef IDEM_BENCH_HARNESS_H
#define IDEM_BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_KEY_LEN     36u
#define BENCH_BATCH_MAX   256u
#define BENCH_CALLERS_MAX 256u

/** A key as long as a UUID's text. */
typedef struct {
    char text[BENCH_KEY_LEN];
} bench_key;

/** What is done with a key. */
typedef enum {
    BENCH_CLAIM,  /**< begin a fresh key */
    BENCH_CYCLE,  /**< begin a fresh key and complete it */
    BENCH_REPLAY, /**< begin a key that is completed */
    BENCH_TURN,   /**< begin a fresh key and release it: the store stays as large as it is */
    BENCH_REST,   /**< do nothing for a while, beside what was begun before */
    BENCH_MODES
} bench_mode;

typedef struct {
    const char *place; /**< a store's URL, or a path: the subject's to understand */
    const char *response;
    const char *sizes; /**< numbers of records to compare, with commas between */
    size_t response_len;
    size_t callers;
    size_t batch;     /**< so many keys in each call of the subject */
    uint64_t ops;     /**< how many keys in all, over all callers */
    uint64_t calls;   /**< so many calls of the subject make them, by each caller */
    uint64_t warm_up; /**< and so many go before them */
    uint64_t records; /**< replay: how many keys are completed beforehand */
    uint64_t rounds;  /**< with sizes */
    uint64_t rate;    /**< keys a second, over all callers, each at its time; 0: at once */
    uint64_t window;  /**< calls in flight, where a caller has several */
    uint64_t beside;  /**< of what else goes on, the subject's to understand */
    uint64_t rest_s;  /**< how long a rest is */
    uint64_t seed;
    bench_mode mode;
    bool processes; /**< each caller is a process, with a store of its own opening */
    bool latency;   /**< time each call */
} bench_options;

/** Does its work for `count` keys, or ends the program with bench_fail(). */
typedef void bench_work(void *self, const bench_key *keys, size_t count);

typedef struct {
    void *(*open)(const bench_options *options);
    void (*close)(void *shared);
    void *(*enter)(void *shared); /**< once per caller; NULL: callers use what `open` gave */
    void (*leave)(void *self);
    bench_work *work[BENCH_MODES]; /**< NULL: the subject has nothing of the kind */
} bench_subject;

/** A program's main(). Prints `ns=… bytes=…` and so on, per key. @return the exit code */
int bench_main(int argc, char **argv, const bench_subject *subject);

/** Compares stores of several sizes in one process: a line for each round and size. */
void bench_sizes(const bench_subject *subject, const bench_options *options);

/** The key of one of `records` records, spread evenly and in their order. */
bench_key bench_key_record(uint64_t seed, uint64_t index, uint64_t records);
/** A key that no other number gives, at a random place between the others. */
bench_key bench_key_fresh(uint64_t seed, uint64_t number);

/** Random bits for a caller with a state of its own; quick, and good for nothing else. */
uint64_t bench_random(uint64_t *state);
/** Writes the 16 hexadecimal digits of a number. */
void bench_hex(uint64_t number, char out[16]);

uint64_t bench_now_ns(void);

/** Says what went wrong and ends the program, from any thread. */
_Noreturn void bench_fail(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/** malloc() that can't fail. */
void *bench_alloc(size_t size);

#endif
