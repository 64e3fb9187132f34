/* SPDX-License-Identifier: MIT */
/*
 * The public calls, each in a situation where it has something to do, as rows of one table. A row
 * says how the situation is made, through a handle without faults, and how the call is made. What
 * came of it, and what is stored, are put into words, so that two runs can be compared.
 */
#ifndef IDEM_TESTS_FAULTY_ACTS_H
#define IDEM_TESTS_FAULTY_ACTS_H

#include <idem/idem.h>

#define ACT_KEY     "charge-42"
#define ACT_TEXT    1200
#define ACT_LONG_MS UINT64_C(60000)

/* One situation: two handles on one place, and what the calls need. */
typedef struct {
    idem_store *sound;
    idem_store *faulty;
    idem_claim *claim;       /* mine, where the call needs one, of the faulty handle */
    idem_claim *sound_claim; /* the same claim of the sound one */
    idem_error err;          /* of the call */
} scene;

typedef struct {
    const char *name;
    uint64_t needs; /* IDEM_TRAIT_ bits of the store */
    bool by_force;  /* takes away what can't be understood, too */
    bool told_once; /* made again, it is told that somebody has done it: IDEM_ERR_LOST */
    void (*set_up)(scene *);
    int (*call)(scene *, char said[ACT_TEXT]); /* what it returned, and in words */
} act;

extern const act acts[];
extern const size_t acts_count;

/** What is stored under ACT_KEY, in words, read by the handle without faults. */
void act_stored(const scene *at, char text[ACT_TEXT]);

#endif
