/* SPDX-License-Identifier: MIT */
/* The places that stores are opened on here: every backend, in every way that it can be opened. */
#ifndef IDEM_TESTS_PLACE_H
#define IDEM_TESTS_PLACE_H

#include <idem/idem.h>

#define LONG_MS UINT64_C(60000) /* stays live while a trial runs */

typedef struct place place;

struct place {
    const char *name;
    bool alone;         /* one handle at a time: nobody else can look at the records */
    bool remote;        /* an answer can be lost after the change was made */
    bool transactional; /* a change that can't be committed may be in doubt */
    bool has_clock;
    bool callers;  /* the connection is: where it is cut, the library can't find out what became */
    unsigned step; /* of several allocations one is enough; 0: all */

    /** Opens a handle on it. */
    int (*open)(const place *self, idem_store **store, idem_error *error);
    /** What comes before and behind the call that is tried; may be NULL. @return false: the
     *  caller's transaction had gone */
    void (*enter)(void);
    bool (*leave)(void);
    const char *base; /* of its URL */
};

/** All of them; made by places_start(). @param[out] count  how many */
const place *places(size_t *count);

/** Makes folders and starts servers; leaves the program if there is no server to test with. */
void places_start(void);

/** Takes all of it away. */
void places_end(void);

/** Lets time pass on the place's clock: at least so much. */
void place_advance(const place *self, uint64_t ms);

#endif
