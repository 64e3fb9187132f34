/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: what every store keeps, shown through the public API alone.
 *
 * idem_testkit_conformance() makes one conformance_backend of what it is given; a backend in this
 * tree fills in one itself, to add tests of its own (tests/conformance/main.h). Before each test
 * two handles, `one` and `other`, are opened on the same fresh store. A test that needs a
 * capability is not run on a store that lacks it: the backend has to declare that, and a line says
 * so. Nothing else is left out.
 */
#ifndef IDEM_TESTKIT_CONFORMANCE_H
#define IDEM_TESTKIT_CONFORMANCE_H

#include "harness.h"

#include <stdlib.h>
#include <time.h>

#include "names.h" /* behind what is not the suite's */

#define CONFORMANCE_THREADS     IDEM_TESTKIT_THREADS
#define CONFORMANCE_FORK        IDEM_TESTKIT_FORK
#define CONFORMANCE_OPTIONS     IDEM_TESTKIT_OPTIONS
#define CONFORMANCE_UNREACHABLE IDEM_TESTKIT_UNREACHABLE
#define CONFORMANCE_HASTE       IDEM_TESTKIT_HASTE
#define CONFORMANCE_BULK        IDEM_TESTKIT_BULK

/* What the build may lack: the sanitizers' allocators are left locked in the child of a fork()
   while other threads allocate. */
#define CONFORMANCE_BUSY_FORK (UINT64_C(1) << 44)

/* What the calls may lack: those that are submitted have threads to carry them out. */
#define CONFORMANCE_NO_THREADS (UINT64_C(1) << 45)

typedef struct {
    const char *name;
    uint64_t lacks; /* IDEM_TRAIT_ and CONFORMANCE_ bits */

    /** Makes a fresh, empty place for records. */
    void (*fresh)(void);

    /** Opens a handle on it. @param params  as in a URL's query; may be empty */
    int (*open)(const char *params, const idem_options *options, idem_store **store,
                idem_error *error);

    /** Opens a store that can't be reached. NULL with CONFORMANCE_UNREACHABLE in `lacks`. */
    int (*open_unreachable)(idem_store **store, idem_error *error);

    /** Takes the place away; all handles are closed. */
    void (*cleanup)(void);

    /** Adds what only this backend can show; may be NULL. */
    void (*add_own)(Suite *suite);
} conformance_backend;

/** Adds all of the suite's tests. */
void conformance_run_all(Suite *suite);

/** Runs what `add` adds, in the suite's frame. @return as idem_testkit_conformance() */
int conformance_run(const conformance_backend *own, void (*add)(Suite *suite),
                    const idem__testkit_run *how);

/** Writes a path inside a directory that goes away at the end of the program. */
void conformance_path(char *buf, size_t size, const char *name);

/** Removes a file, or a directory with all that is in it. */
void conformance_remove(const char *path);

/** Opens `base` with parameters behind it. */
int conformance_open_url(const char *base, const char *params, const idem_options *options,
                         idem_store **store, idem_error *error);

/* -------------------------------------------------------------------------- adding the tests */

typedef enum {
    ANY_TIME = 1, /* the suite's clock where the store takes one: advance() costs nothing */
    REAL_TIME     /* for tests with threads that wait */
} conformance_time;

void conformance_add(Suite *suite, const char *name, uint64_t needs, conformance_time time,
                     const TTest *const *tests, size_t count);

#define ADD(suite, name, needs, time, ...)                                         \
    conformance_add(suite, name, needs, time, (const TTest *const[]){__VA_ARGS__}, \
                    sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(const TTest *))

/** Adds a test that runs once for each number from 0 up to `count`, which it finds in `_i`. */
void conformance_add_loop(Suite *suite, const char *name, uint64_t needs, conformance_time time,
                          int count, const TTest *test);
#define ADD_LOOP conformance_add_loop

void conformance_first_store(Suite *suite);
void conformance_begin(Suite *suite);
void conformance_fingerprints(Suite *suite);
void conformance_claims(Suite *suite);
void conformance_operators(Suite *suite);
void conformance_reinstatement(Suite *suite);
void conformance_batches(Suite *suite);
void conformance_guarantees(Suite *suite);
void conformance_records(Suite *suite);
void conformance_scan(Suite *suite);
void conformance_bytes(Suite *suite);
void conformance_any_bytes(Suite *suite);
void conformance_limits(Suite *suite);
void conformance_threads(Suite *suite);
void conformance_waiting(Suite *suite);
void conformance_hurry(Suite *suite);
void conformance_fork(Suite *suite);
void conformance_process(Suite *suite);

/* -------------------------------------------------------------------------- inside a test */

#define SHORT_MS UINT64_C(100)   /* runs out when a test wants it to */
#define LONG_MS  UINT64_C(60000) /* stays live while a test runs */

#define KEY idem_str("charge-42")

extern idem_store *one;
extern idem_store *other;
extern idem_error err; /* of the last call in the main thread */

/** What the store has: IDEM_TRAIT_ and CONFORMANCE_ bits. */
bool has(uint64_t capability);

/** True if advance() moves the suite's own clock, so that times can be compared exactly. */
bool time_is_ours(void);

/** A time within which some calls can be made on a slow machine too, and that can be let pass. */
uint64_t span_ms(void);

/** Lets time pass on the store's clock: at least so much. */
void advance(uint64_t ms);

/** Sleeps; for the time that passes outside of the store. */
void sleep_ms(uint64_t ms);

/** Milliseconds of a clock that never falls. */
static inline uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/** Opens one more handle on the same store. */
idem_store *open_more(const char *params);

/** The same, that may fail. @return what the store's open returned, with `err` */
int open_anyhow(const char *params, idem_store **store);

/** Opens one with the suite's clock. @return what the store's open returned, with `err` */
int open_with_our_clock(idem_store **store);

/** Opens one with options of the test's own. @return what the store's open returned, with `err` */
int open_with(const idem_options *options, idem_store **store);

/** Opens one whose events are told, on the clock of the others. Needs CONFORMANCE_OPTIONS. */
idem_store *open_observed(void (*fn)(void *user, const idem_event *event));

/** Opens one that can't be reached. @return what its open returned, with `err` */
int open_out_of_reach(idem_store **store);

/** Closes both handles and opens them again. */
void reopen(void);

/** Fails the test unless a call that was given &err succeeded, and left the error cleared. */
#define assert_ok(call) assert_call(IDEM_OK, call)
/** Fails the test unless it failed with `code`, and said so in one line. */
#define assert_error(code, call) assert_call(code, call)

#define assert_call(expected, call)                                                                \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == (expected) && err.code == rc_, "%s gave %d (error %d: %s), not %d",   \
                      #call, rc_, err.code, err.message, (int)(expected));                         \
        ck_assert_msg((err.message[0] != '\0') == (rc_ != IDEM_OK) && !strpbrk(err.message, "\n"), \
                      "%s: the message is not one line: '%s'", #call, err.message);                \
    } while (0)

#define assert_text(bytes, text) assert_bytes(bytes, idem_str(text))
void assert_bytes(idem_bytes bytes, idem_bytes expected);

/** Begins; the test fails on an error. */
idem_outcome begin(idem_store *store, const idem_request *request);
#define BEGIN(store, ...) begin(store, IDEM_REQUEST(__VA_ARGS__))

/** Claims KEY, which has to be new. */
idem_outcome claim_key(idem_store *store, uint64_t lease_ms);

/** Claims KEY through `one` and lets the lease run out. */
idem_outcome expired_claim(void);

/** Takes KEY over through `other`, which has to succeed. */
idem_outcome take_over(uint32_t attempt);

/** Claims KEY and completes it. */
void complete_key(idem_store *store, const char *response);

/** Begins KEY and fails the test unless this is the outcome. A claim stays in the store. */
void assert_outcome(idem_store *store, idem_outcome_kind kind);

/** The same with flags. */
void assert_outcome_with(idem_store *store, uint64_t flags, idem_outcome_kind kind);

/** The same for IDEM_COMPLETED with this response. */
void assert_replayed(idem_store *store, const char *response);

/** The record of KEY as it is now. */
idem_record record_now(void);

/** Fails the test unless the record of KEY equals `before` in all but its age; clears `before`. */
void assert_unchanged(idem_record *before);

/** Fails the test unless KEY has no record. */
void assert_absent(void);

#endif
