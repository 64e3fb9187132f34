/* SPDX-License-Identifier: MIT */
/* What a disk may hold after the power has failed, made from the record. */
#ifndef IDEM_TESTS_DISK_PLATTER_H
#define IDEM_TESTS_DISK_PLATTER_H

#include "record.h"

/** What becomes of that which no sync has covered. */
typedef enum {
    LOSS_ALL,  /**< nothing of it is there */
    LOSS_NONE, /**< all of it is */
    LOSS_TAIL, /**< the first writes of each file are, the next one in part */
    LOSS_SOME, /**< any of the writes are, whole */
    LOSS_TORN, /**< any granules of any of them are; sizes without contents; names before files */
    LOSS_KINDS
} loss;

extern const char *const loss_names[LOSS_KINDS];

typedef struct {
    uint64_t dropped; /**< writes that left nothing */
    uint64_t torn;    /**< writes of which some granules are there */
    uint64_t names;   /**< creations and deletions that did not happen */
} loss_counts;

/** The small generator of numbers that all of this is drawn from. */
uint64_t draw(uint64_t *state);

/** Makes the files in a folder as a power failure at a moment leaves them. @param[in,out] counts
 *  may be NULL */
void platter_make(size_t moment, loss kind, uint64_t seed, const char *folder, loss_counts *counts);

/** Begins a record with the files of a folder, which are on the disk. */
void platter_adopt(const char *folder);

/** Copies or drops the files of a store ("store.db" and what SQLite puts beside it). */
void platter_copy(const char *from, const char *to);
void platter_clear(const char *folder);

/** The path of one of the files. Static, in a ring of four. */
const char *platter_path(const char *folder, file_role role);

#endif
