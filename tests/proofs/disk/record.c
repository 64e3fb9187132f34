/* SPDX-License-Identifier: MIT */
/*
 * The record of all that happened to the files: events one behind the other in a mapping that
 * children inherit, so that the parent can read what a child did that has died. One process at a
 * time adds to it; its moments are offsets into the mapping.
 */
#define _GNU_SOURCE /* MADV_REMOVE */

#include "record.h"

#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RECORD_BYTES ((size_t)192 * 1024 * 1024)

typedef struct {
    size_t used;
    uint32_t inodes;
    uint32_t names[FILE_ROLES];
} record_head;

static record_head *head;

static unsigned char *base(void)
{
    return (unsigned char *)head;
}

static size_t rounded(size_t size)
{
    return (size + 15) / 16 * 16;
}

void record_reset(void)
{
    if (head) {
        size_t used = head->used;
        memset(head, 0, sizeof *head);
        /* What is far behind costs memory; near the front it will be written again. */
        if (used > RECORD_BYTES / 4)
            (void)madvise(base() + RECORD_BYTES / 4, RECORD_BYTES - RECORD_BYTES / 4, MADV_REMOVE);
    } else {
        head = shared_memory(RECORD_BYTES);
    }
    head->used = rounded(sizeof *head);
}

size_t record_begin(void)
{
    return rounded(sizeof *head);
}

size_t record_now(void)
{
    return __atomic_load_n(&head->used, __ATOMIC_SEQ_CST);
}

const event *record_at(size_t moment)
{
    return (const event *)(const void *)(base() + moment);
}

const unsigned char *record_bytes(const event *at)
{
    return (const unsigned char *)at + rounded(sizeof *at);
}

void record_add(event_kind kind, file_role role, uint32_t inode, uint64_t offset, uint64_t len,
                const void *bytes, bool directory)
{
    size_t size = rounded(sizeof(event)) + (bytes ? rounded((size_t)len) : 0);
    if (head->used + size > RECORD_BYTES) {
        (void)fprintf(stderr, "the record of the disk is full\n");
        _Exit(EXIT_FAILURE);
    }
    event *at = (event *)(void *)(base() + head->used);
    *at = (event){.kind = kind,
                  .role = role,
                  .inode = inode,
                  .directory = directory,
                  .offset = offset,
                  .len = len,
                  .next = head->used + size};
    if (bytes)
        memcpy((unsigned char *)at + rounded(sizeof *at), bytes, (size_t)len);
    __atomic_store_n(&head->used, at->next, __ATOMIC_SEQ_CST);
}

uint32_t record_inode(file_role role)
{
    return head->names[role];
}

uint32_t record_create(file_role role)
{
    head->names[role] = ++head->inodes;
    record_add(EVENT_CREATE, role, head->names[role], 0, 0, NULL, false);
    return head->names[role];
}

void record_delete(file_role role, bool directory)
{
    record_add(EVENT_DELETE, role, head->names[role], 0, 0, NULL, directory);
    head->names[role] = 0;
}
