/* SPDX-License-Identifier: MIT */
/* Places in a walk over keys, known by a number: all that a page of a scan can keep. */
#ifndef IDEM_POSTGRES_CURSOR_H
#define IDEM_POSTGRES_CURSOR_H

#include "instance.h"

/** A place: the key that was last looked at. */
typedef struct {
    size_t len;
    uint8_t key[IDEM__POSTGRES_KEY_MAX];
} idem__postgres_place;

/** The place of a cursor; 0 is the begin. @return IDEM_ERR_UNAVAILABLE: it is not known any more */
int idem__postgres_cursor_find(uint64_t cursor, idem__postgres_place *place,
                               idem__postgres_fault *fault);

/** Keeps a place, in that of the cursor before, which may be 0. @return its cursor */
uint64_t idem__postgres_cursor_keep(uint64_t before, const idem__postgres_place *place);

#endif
