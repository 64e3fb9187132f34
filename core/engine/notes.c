/* SPDX-License-Identifier: MIT */
/*
 * Events that come while a lock is held. The hook may wait for a thread that waits for the lock, so
 * it is told of them afterwards.
 */
#include "notes.h"

#include <stdlib.h>
#include <string.h>

struct idem__note {
    idem__note *next;
    idem_event event;
    char room[]; /* the message, and the key */
};

void idem__notes_add(idem__notes *notes, const idem_event *event)
{
    size_t message_size = strlen(event->message) + 1;
    idem__note *made = malloc(sizeof *made + message_size + event->key.len);
    if (!made)
        return;
    made->next = NULL;
    made->event = *event;
    made->event.message = memcpy(made->room, event->message, message_size);
    made->event.key.data = made->room + message_size;
    if (event->key.len > 0)
        memcpy(made->room + message_size, event->key.data, event->key.len);
    if (notes->last)
        notes->last->next = made;
    else
        notes->first = made;
    notes->last = made;
}

idem__note *idem__notes_take(idem__notes *notes)
{
    idem__note *first = notes->first;
    if (first)
        notes->first = first->next;
    if (!notes->first)
        notes->last = NULL;
    return first;
}

void idem__notes_move(idem__notes *to, idem__notes *from)
{
    if (!from->first)
        return;
    if (to->last)
        to->last->next = from->first;
    else
        to->first = from->first;
    to->last = from->last;
    from->first = NULL;
    from->last = NULL;
}

const idem_event *idem__note_event(const idem__note *note)
{
    return &note->event;
}

void idem__note_free(idem__note *note)
{
    free(note);
}
