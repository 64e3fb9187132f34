/* SPDX-License-Identifier: MIT */
/**
 * @file idem/testkit.h
 * @brief For unit tests of programs that use libidem, and of backends. A library of its own:
 * libidem-testkit.
 *
 * - A store that fails on demand: `faulty+memory://`, and `faulty+` in front of every other scheme.
 *   See ::idem_fault.
 * - A virtual clock, which leases, deadlines, `wait_ms` and the keepalive obey. See
 *   idem_testkit_clock_start().
 * - The conformance suite, for backends. See idem_testkit_conformance().
 *
 * Stable within a minor version. `docs/testing.md` has examples. What is set here is the process's.
 * Not for programs in production: a user who can give such a program a URL can make its store
 * fail.
 *
 * @par Threads  all functions may be called by any thread at any time, unless they say otherwise.
 */
#ifndef IDEM_TESTKIT_H
#define IDEM_TESTKIT_H

#include <idem/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------------- a store that fails on demand */

/**
 * Makes `faulty+X` known to idem_open() for every scheme X that is known by now. Call it before the
 * first store is opened; and once more to wrap schemes that were registered since.
 *
 * Such a store is the one behind it, with its traits and parameters. Without a fault it hands
 * everything through.
 * @return IDEM_ERR_FULL: more than 32 schemes; IDEM_ERR_INTERNAL
 */
IDEM_API int idem_testkit_register(idem_error *error);

/** Where a fault acts: an ::idem_op_kind, or one of these. */
enum {
    IDEM_FAULT_OPEN = IDEM_OP_GET + 1,
    IDEM_FAULT_SCAN,
    IDEM_FAULT_PURGE,
    IDEM_FAULT_CHECK,
    IDEM_FAULT_PLACES /**< how many there are, and one more */
};

#define IDEM_FAULT_ON(place) (1u << (place))
/** The four operations on keys. begin is an insert (in front of it a get, on some stores) and for a
 *  takeover a replace; complete, renew and checkpoint are replaces; release and forget are
 *  removes. */
#define IDEM_FAULT_EVERY_OP                                           \
    (IDEM_FAULT_ON(IDEM_OP_INSERT) | IDEM_FAULT_ON(IDEM_OP_REPLACE) | \
     IDEM_FAULT_ON(IDEM_OP_REMOVE) | IDEM_FAULT_ON(IDEM_OP_GET))
#define IDEM_FAULT_EVERY_WRITE (IDEM_FAULT_EVERY_OP & ~IDEM_FAULT_ON(IDEM_OP_GET))

#define IDEM_FAULT_ALWAYS UINT64_MAX

typedef enum {
    /** Nothing but the hooks. */
    IDEM_FAULT_NONE = 0,
    /** Nothing is done; the answer is `code` (IDEM_ERR_UNAVAILABLE). */
    IDEM_FAULT_BEFORE,
    /** It is done, and the answer is lost: `code` (IDEM_ERR_UNCERTAIN). */
    IDEM_FAULT_AFTER,
    /** It is done, and the right answer comes `late_ms` behind the deadline: a backend that breaks
     *  its promise to be on time. */
    IDEM_FAULT_LATE,
    /** Nothing is done yet, and the answer is IDEM_ERR_UNCERTAIN. It is done in front of the
     *  `delay`-th next batch of the same instance, as by a request that was long on its way; never
     *  if there is none. */
    IDEM_FAULT_DELAYED,
    /** What is there can't be understood: IDEM_ERR_CORRUPT. An absent key, and a remove of any
     *  version, go through. */
    IDEM_FAULT_GARBAGE
} idem_fault_kind;

/**
 * A fault: which operations it hits, and what happens to them. Zero in a field means its default.
 * What `open`, `scan`, `purge` and `check` can't do of it (DELAYED, whole) is done as BEFORE.
 *
 * The library repeats what failed by BEFORE, AFTER or DELAYED until the caller's deadline, as with
 * any store. So one lost reply is not seen by the caller; `times = IDEM_FAULT_ALWAYS` or
 * `permanent` is.
 */
typedef struct idem_fault {
    size_t size; /**< sizeof(idem_fault); IDEM_FAULT() sets it */
    idem_fault_kind kind;

    /** Where: IDEM_FAULT_ON() bits; 0: IDEM_FAULT_EVERY_OP. */
    unsigned places;
    /** Of an instance of this role; 0: of any. */
    idem_role role;
    /** The backend says that repeating does not help. */
    bool permanent;
    /** BEFORE, AFTER, DELAYED: the answer comes at the deadline. */
    bool stall;
    /** BEFORE, AFTER: the backend's submit() itself fails. The ops in front of this one in its
     *  batch are done and answered; it and all behind it have no answer, and are done (AFTER) or
     *  not (BEFORE). */
    bool whole;
    /** The first one that is hit, of those that match this fault, from 1. */
    uint64_t nth;
    /** How many from there on: 1 unless set; IDEM_FAULT_ALWAYS. */
    uint64_t times;
    /** On this key, prefix included; {NULL, 0}: on any. The bytes have to stay. */
    idem_bytes key;
    /** 1 to 99: of those it would hit, so many in a hundred by chance; 0: all. */
    uint64_t percent;
    /** What the chance follows from: a fault with the same seed hits the same ones. */
    uint64_t seed;

    /** BEFORE, AFTER: another error code than the kind's. */
    int code;
    /** Instead of a message of its own; "" sets none. Static. */
    const char *message;
    /** LATE: how long behind the deadline. */
    uint64_t late_ms;
    /** DELAYED: in front of which batch; 1 unless set. */
    uint64_t delay;

    /** Called in front of the operation and behind it, with no lock held: to wait there, to advance
     *  the clock, or to call another store. `op` is NULL outside of submit. May be NULL. */
    void (*before)(void *user, const idem_op *op);
    void (*after)(void *user, const idem_op *op);
    void *user;
} idem_fault;

/**
 * Adds a fault to all stores `faulty+…` of the process. Each fault counts what matches it; of those
 * that are due at an operation the one that was added first acts. After fork() the child has a
 * copy.
 *
 * A program that is only given a URL has one fault by its parameters:
 * `fault=before|after|late|delayed|garbage`,
 * `fault_on=insert,replace,remove,get,open,scan,purge,check`, `fault_nth=`, `fault_times=` (always
 * unless set), `fault_percent=`, `fault_seed=`, `fault_late=`. It counts the operations of that
 * store alone, and comes behind the process's.
 *
 * @return its number, for idem_testkit_fault_hits(); SIZE_MAX: there are 64, and it was not added
 */
IDEM_API size_t idem_testkit_fault_add(const idem_fault *fault);

#ifndef __cplusplus
/** IDEM_FAULT(.kind = IDEM_FAULT_AFTER, .places = IDEM_FAULT_ON(IDEM_OP_INSERT)); */
#define IDEM_FAULT(...) \
    idem_testkit_fault_add(&(idem_fault){.size = sizeof(idem_fault), __VA_ARGS__})
#endif

/** Takes all faults away and starts the counters anew. */
IDEM_API void idem_testkit_faults_clear(void);

/** How many operations there were at a place, hit or not. */
IDEM_API uint64_t idem_testkit_fault_seen(unsigned place);

/** How often a fault acted. */
IDEM_API uint64_t idem_testkit_fault_hits(size_t fault);

/* ------------------------------------------------------------------------------ a virtual clock */

/** Time jumps to the next point that is waited for as soon as all threads of the library wait. A
 *  test of one thread is exact then; one of several gives a thread that is busy elsewhere 100 ms of
 *  real time. */
#define IDEM_TESTKIT_CLOCK_AUTO UINT64_C(1)

/**
 * Stops time for the library: its clocks say what they said, until idem_testkit_clock_advance(), or
 * by themselves with IDEM_TESTKIT_CLOCK_AUTO. Leases, retention, deadlines, `wait_ms`, pauses
 * between repeats, and the keepalive go by it.
 *
 * For stores in the process: memory://, faulty+memory://, one's own backend that uses
 * idem_monotonic_ms() or idem_wall_ms(). SQLite judges leases by it as `faulty+sqlite:`, or if it
 * is opened with idem_testkit_clock(). What a backend waits for outside of the process, such as a
 * server or a lock, it waits for in real time.
 *
 * Start it before the first store is opened, and stop it behind the last close. When it runs
 * already, only the flags are changed.
 */
IDEM_API void idem_testkit_clock_start(uint64_t flags);

/** The system's clocks again. */
IDEM_API void idem_testkit_clock_stop(void);

/**
 * Lets time pass. It goes from one point that a thread waits for to the next: what is due at each
 * is done before it goes on, so that thirty seconds have all their renewals and repeats in order.
 * It returns when time has passed and every thread of the library waits again.
 *
 * Without the clock it does nothing. Not for calls from the library's callbacks, except for a
 * fault's `before` and `after`.
 */
IDEM_API void idem_testkit_clock_advance(uint64_t ms);

/** The same clock for idem_options.clock. */
IDEM_API idem_clock idem_testkit_clock(void);

/* ------------------------------------------------------------------------ the conformance suite */

/** What became of a test. */
typedef enum {
    IDEM_TESTKIT_PASSED = 1,
    IDEM_TESTKIT_FAILED, /**< the detail says where, and what was there instead */
    IDEM_TESTKIT_NOT_RUN /**< the store is declared to lack what the detail says */
} idem_testkit_result;

/** What a store may lack besides IDEM_TRAIT_ bits. */
#define IDEM_TESTKIT_THREADS     (UINT64_C(1) << 40) /**< any thread may use a handle at any time */
#define IDEM_TESTKIT_FORK        (UINT64_C(1) << 41) /**< a handle works on after fork() */
#define IDEM_TESTKIT_OPTIONS     (UINT64_C(1) << 42) /**< it is opened with idem_options */
#define IDEM_TESTKIT_UNREACHABLE (UINT64_C(1) << 43) /**< it can be out of reach */
#define IDEM_TESTKIT_BULK        (UINT64_C(1) << 46) /**< it does not sync each record by itself */
#define IDEM_TESTKIT_HASTE \
    (UINT64_C(1) << 47) /**< it is opened, and connects again, within a few ms */

/** A store to try. Each test has a fresh one, and opens two handles on it or more. */
typedef struct idem_testkit_subject {
    size_t size;      /**< sizeof(idem_testkit_subject) */
    const char *name; /**< for the report */

    /** Registered first, unless it is NULL. */
    const idem_backend_ops *ops;

    /** The store's URL without parameters. `{dir}` in it becomes a new, empty folder for each test,
     *  which goes away behind it; `{n}` becomes a number that differs from test to test. Parameters
     *  of its own may follow a `?`. */
    const char *url;

    /** A URL of such a store that can't be reached, with all its parameters. NULL:
     *  IDEM_TESTKIT_UNREACHABLE lacks. */
    const char *unreachable;

    /** IDEM_TRAIT_ and IDEM_TESTKIT_ bits. A trait that the store lacks without declaring it here,
     *  and one that it has in spite of that, are failures. */
    uint64_t lacks;

    /** Called in front of each test with the test's URL, and behind it: to make a place for records
     *  and to take it away. Either may be NULL. */
    void (*fresh)(void *user, const char *url);
    void (*cleanup)(void *user, const char *url);
    void *user;

    /** Run the groups alone whose names begin with these words ("begin", "guarantee 9", …); NULL:
     *  all. A report names a test `group: test`. */
    const char *only;
    uint64_t flags; /**< IDEM_TESTKIT_NO_FORK */
} idem_testkit_subject;

/** Tests run in this process and not in children of it: for a debugger or a sanitizer. The first
 *  crash ends it, and a test that hangs is not ended. */
#define IDEM_TESTKIT_NO_FORK UINT64_C(1)

/** Told of each test. @param detail  empty for one that passed */
typedef void (*idem_testkit_report_fn)(void *user, const char *test, idem_testkit_result result,
                                       const char *detail);

/**
 * Runs the conformance suite: what every store keeps, shown through the public API. A test is a
 * process, and ends after 60 s at the latest; together they take from some seconds to a minute.
 *
 * @param report  NULL: what failed goes to stderr, a line with the sum to stdout
 * @return how many failed; -1: the suite can't be run, as the report said
 * @par Threads  one at a time, in a process that has no other threads.
 */
IDEM_API int idem_testkit_conformance(const idem_testkit_subject *subject,
                                      idem_testkit_report_fn report, void *user);

#ifdef __cplusplus
}
#endif

#endif
