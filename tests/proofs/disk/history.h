/* SPDX-License-Identifier: MIT */
/* What callers asked of a store and what they were told, kept where a parent can read it when they
   are gone; and which states of the keys that leaves possible after a power failure. */
#ifndef IDEM_TESTS_DISK_HISTORY_H
#define IDEM_TESTS_DISK_HISTORY_H

#include <idem/idem.h>

#define KEYS        8u
#define HISTORY_MAX 8192u

/** What a key's record says, in numbers: texts, tokens and fingerprints are made from them. */
typedef struct {
    bool present;
    idem_status status;
    uint32_t attempt;
    uint32_t lease_ms;
    uint32_t claimer; /**< its first claimer: the fingerprint and, with the attempt, the token */
    uint32_t text;    /**< response or checkpoint; 0: none */
} key_state;

typedef struct {
    uint32_t key;
    int rc;          /**< what the caller was told */
    size_t began;    /**< moments of the record */
    size_t ended;    /**< 0: the caller was told nothing */
    key_state after; /**< if the change is made */
} history_entry;

typedef struct {
    size_t count;
    history_entry entries[HISTORY_MAX];
    key_state start[KEYS];    /**< before the first entry */
    key_state observed[KEYS]; /**< what a check has found */
    uint64_t clock_ms;        /**< the store's clock */
    uint32_t serial;          /**< the last number that was given out */
    uint64_t verified;        /**< records that were compared */
    uint64_t uncertain;       /**< calls that ended in doubt */
    uint64_t calls;
    char failure[600]; /**< the first thing that was not as it has to be */
} history;

/** The one history, in memory that children share. Before the first fork. */
extern history *told;
void history_make(void);
/** Begins a new one, from the states that were observed last or from nothing. */
void history_reset(bool from_observed);

/** Notes what is wrong, the first time. */
void history_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the numbers stand for. */
#define TEXT_MAX 40000u
idem_bytes history_key(uint32_t key, char buf[16]);
idem_bytes history_text(uint32_t text, char buf[TEXT_MAX]);
void history_token(const key_state *of, uint8_t token[IDEM_TOKEN_SIZE]);
/** The state that a record shows; false if it shows none that was ever written. */
bool history_read(const idem_record *record, key_state *state);
bool history_same(const key_state *a, const key_state *b);

/** May a key be in this state after a power failure at a moment? @param all  every change that was
 *  acknowledged has to be there */
bool history_allows(uint32_t key, const key_state *state, size_t moment, bool all);

/** Are the states of all keys those of one point in the sequence of calls? For one caller, whom
 *  nothing failed. */
bool history_is_prefix(const key_state states[KEYS], size_t moment, bool all);

#endif
