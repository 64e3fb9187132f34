/* SPDX-License-Identifier: MIT */
/* The record of all that happened to the files, in memory that processes share. From it the disk
   can be made as a power failure at any of its points may leave it. */
#ifndef IDEM_TESTS_DISK_RECORD_H
#define IDEM_TESTS_DISK_RECORD_H

#include "shim.h"

#include <stddef.h>

typedef enum {
    EVENT_WRITE = 1,
    EVENT_TRUNCATE,
    EVENT_SYNC,        /**< all changes of this file are on the disk */
    EVENT_SYNC_FAILED, /**< they are lost to later syncs: the system takes them for written */
    EVENT_CREATE,
    EVENT_DELETE
} event_kind;

typedef struct {
    event_kind kind;
    file_role role;
    uint32_t inode; /**< a file keeps it when its name is gone */
    bool directory; /**< the folder's entries are on the disk too */
    uint64_t offset;
    uint64_t len; /**< bytes that follow, for a write; the size, for a truncate */
    size_t next;  /**< where the next event begins */
} event;

/** Makes an empty record, or empties it. Before the first fork. */
void record_reset(void);

/** Where the first event is. */
size_t record_begin(void);

/** Where the next event will be: a moment of the record's time. */
size_t record_now(void);

/** The event at a moment, which has to be one before record_now(); its bytes follow it. */
const event *record_at(size_t moment);
const unsigned char *record_bytes(const event *at);

/* For the shim: one thread at a time. */
void record_add(event_kind kind, file_role role, uint32_t inode, uint64_t offset, uint64_t len,
                const void *bytes, bool directory);
/** The file behind a name; 0: there is none. Files that are there when the record begins have to
 *  be made known. */
uint32_t record_inode(file_role role);
uint32_t record_create(file_role role);
void record_delete(file_role role, bool directory);

#endif
