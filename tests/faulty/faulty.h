/* SPDX-License-Identifier: MIT */
/*
 * A backend that wraps any other by URL and fails when it is told to: `faulty+memory://NAME`,
 * `faulty+sqlite:///path`, `faulty+redis://…`. For tests alone.
 *
 * It has the inner backend's traits, parameters, lanes and readers. Without a rule it hands
 * everything through, a batch as a batch. A rule says which operation is hit (what kind of it, on
 * which key, the n-th, how often) and what happens to it. Rules are the process's; after fork() the
 * child has a copy. All functions may be called by any thread at any time, also from a hook.
 *
 *     FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(IDEM_OP_INSERT));            once, the first
 *     FAULTY(.kind = FAULTY_BEFORE, .nth = 3, .times = FAULTY_ALWAYS);        any, from the third on
 *     FAULTY(.places = FAULTY_ON(IDEM_OP_REPLACE), .before = hold, .user = &gate);      a hook alone
 */
#ifndef IDEM_TESTS_FAULTY_H
#define IDEM_TESTS_FAULTY_H

#include <idem/backend.h>

/* Where a rule acts: an idem_op_kind, or one of these. */
enum { FAULTY_OPEN = IDEM_OP_GET + 1, FAULTY_SCAN, FAULTY_PURGE, FAULTY_CHECK, FAULTY_PLACES };

#define FAULTY_ON(place) (1u << (place))
/** The four operations on keys. */
#define FAULTY_EVERY_OP                                                                   \
    (FAULTY_ON(IDEM_OP_INSERT) | FAULTY_ON(IDEM_OP_REPLACE) | FAULTY_ON(IDEM_OP_REMOVE) | \
     FAULTY_ON(IDEM_OP_GET))
#define FAULTY_EVERY_WRITE (FAULTY_EVERY_OP & ~FAULTY_ON(IDEM_OP_GET))

#define FAULTY_ALWAYS UINT64_MAX

typedef enum {
    FAULTY_NONE = 0, /**< nothing but the hooks */
    FAULTY_BEFORE,   /**< nothing is done; the answer is `code` (IDEM_ERR_UNAVAILABLE) */
    FAULTY_AFTER,    /**< it is done, and the answer is lost: `code` (IDEM_ERR_UNCERTAIN) */
    FAULTY_LATE,     /**< it is done, and the right answer comes `late_ms` behind the deadline: a
                          backend that breaks its promise to be on time */
    FAULTY_DELAYED,  /**< nothing is done yet, and the answer is IDEM_ERR_UNCERTAIN. It is done in
                          front of the `delay`-th next batch of the same instance, as by a request
                          that was long on its way; never if there is none */
    FAULTY_GARBAGE   /**< what is there can't be understood: IDEM_ERR_CORRUPT. An absent key, and a
                          remove of any version, go through */
} faulty_kind;

/** Zero in a field means its default. What `open`, `scan`, `purge` and `check` can't do of this
 *  (DELAYED, whole) is done as BEFORE. */
typedef struct {
    faulty_kind kind;

    /* which operations are hit */
    unsigned places; /**< FAULTY_ON() bits; 0: FAULTY_EVERY_OP */
    idem_role role;  /**< of the instance; 0: any */
    uint64_t nth;    /**< the first one, of those that match this rule, from 1 */
    uint64_t times;  /**< how many from there on: 1 unless set; FAULTY_ALWAYS */
    idem_bytes key;  /**< on this key, prefix included; {NULL, 0}: on any */

    /* what happens */
    int code;            /**< BEFORE, AFTER: another one than the kind's */
    const char *message; /**< instead of one of its own; "" sets none. Static */
    bool permanent;      /**< the backend says that repeating does not help */
    bool stall;          /**< BEFORE, AFTER, DELAYED: the answer comes at the deadline */
    bool whole;          /**< BEFORE, AFTER: submit itself fails. The ops in front of this one in
                              its batch are done and answered; it and all behind it have no answer,
                              and are done (AFTER) or not (BEFORE) */
    uint64_t late_ms;    /**< LATE */
    uint64_t delay;      /**< DELAYED; 1 unless set */

    /** Called in front of the operation and behind it, with no lock held: to wait there, or to call
     *  another store. `op` is NULL outside of submit. May be NULL. */
    void (*before)(void *user, const idem_op *op);
    void (*after)(void *user, const idem_op *op);
    void *user;
} faulty_rule;

/** Registers `faulty+X` for every scheme X that is known by now. Call it once, before the first
 *  store is opened. */
int faulty_register(idem_error *error);

/** Adds a rule. Each rule counts what matches it; of the rules that are due at an operation the one
 *  that was added first acts. @return its number, for faulty_hits() */
size_t faulty_add(const faulty_rule *rule);
#define FAULTY(...) faulty_add(&(faulty_rule){__VA_ARGS__})

/** Takes all rules away and starts the counters anew. */
void faulty_clear(void);

/** How many operations there were at a place, hit or not. */
uint64_t faulty_seen(unsigned place);

/** How often a rule acted. */
uint64_t faulty_hits(size_t rule);

#endif
