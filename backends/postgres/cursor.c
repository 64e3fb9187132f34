/* SPDX-License-Identifier: MIT */
/*
 * A walk goes on behind the last key, which has up to 1,280 bytes; a page keeps 64 bits. So the
 * keys are kept here, for the whole process, since the next page may come by another connection.
 * The end of a walk is not told, so the oldest place is given away when there are more than
 * CURSORS.
 *
 * A repeated page names the cursor that it began with, the last page too. So a walk keeps the
 * place where its page began, and the one behind it.
 */
#include "cursor.h"

#include <pthread.h>

#define CURSORS 128u

typedef struct {
    uint64_t number; /* 0: free */
    uint64_t before; /* where its page began */
    idem__postgres_place place;
} kept;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static kept all[CURSORS];
static uint64_t last_number;

static kept *find(uint64_t number)
{
    for (size_t i = 0; number && i < CURSORS; i++) {
        if (all[i].number == number)
            return &all[i];
    }
    return NULL;
}

int idem__postgres_cursor_find(uint64_t cursor, idem__postgres_place *place,
                               idem__postgres_fault *fault)
{
    place->len = 0;
    if (cursor == 0)
        return IDEM_OK;
    (void)pthread_mutex_lock(&lock);
    const kept *found = find(cursor);
    if (found)
        *place = found->place;
    (void)pthread_mutex_unlock(&lock);
    return found ? IDEM_OK
                 : idem__postgres_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                            "more than %u listings are under way in this process, "
                                            "and the place of this one was given away: begin it "
                                            "again",
                                            CURSORS);
}

/* The oldest goes. */
static kept *room(void)
{
    kept *oldest = &all[0];
    for (size_t i = 0; i < CURSORS && oldest->number != 0; i++) {
        if (all[i].number < oldest->number)
            oldest = &all[i];
    }
    return oldest;
}

uint64_t idem__postgres_cursor_keep(uint64_t before, const idem__postgres_place *place)
{
    (void)pthread_mutex_lock(&lock);
    const kept *own = find(before);
    kept *older = own ? find(own->before) : NULL;
    if (older)
        older->number = 0; /* nobody asks for that page any more */
    kept *at = room();
    at->place = *place;
    at->before = before;
    at->number = ++last_number;
    uint64_t cursor = at->number;
    (void)pthread_mutex_unlock(&lock);
    return cursor;
}
