/* SPDX-License-Identifier: MIT */
/* Events that are told to the store's hook later, by a thread that holds no lock. */
#ifndef IDEM_CORE_NOTES_H
#define IDEM_CORE_NOTES_H

#include <idem/idem.h>

typedef struct idem__note idem__note;

/** In the order in which they came. All zero: empty. */
typedef struct idem__notes {
    idem__note *first;
    idem__note *last;
} idem__notes;

/** Adds a copy of an event, key and message included. Without memory it is not told. */
void idem__notes_add(idem__notes *notes, const idem_event *event);

/** @return the first one, taken off, for idem__note_free(); NULL: there is none */
idem__note *idem__notes_take(idem__notes *notes);

/** Moves all of `from` behind those of `to`. */
void idem__notes_move(idem__notes *to, idem__notes *from);

const idem_event *idem__note_event(const idem__note *note);
void idem__note_free(idem__note *note);

#endif
