/* SPDX-License-Identifier: MIT */
/* The errors of a call on many items: one for each, if the caller wants them, and the first of
   all. */
#ifndef IDEM_CORE_BATCH_ERRORS_H
#define IDEM_CORE_BATCH_ERRORS_H

#include <idem/idem.h>

#include <stdint.h>

typedef struct {
    size_t count;
    idem_error *errors; /* the caller's, or NULL */
    idem_error *error;  /* of the whole call; may be NULL */
    idem_error spare;
    size_t first; /* the number of the first item that failed, in the caller's order */
    int code;     /* why it did; IDEM_OK: none has */
    uint8_t
        context; /* what the backend left in the last portion, which is one call with the next */
} idem__batch_errors;

/** Clears `error`. */
void idem__batch_errors_init(idem__batch_errors *many, size_t count, idem_error *errors,
                             idem_error *error);

/** Where an item's error goes, cleared. */
idem_error *idem__batch_errors_error(idem__batch_errors *many, size_t index);

/** Takes note of how an item ended, which was given idem__batch_errors_error() last. */
void idem__batch_errors_settle(idem__batch_errors *many, size_t index);

/** Fails the whole call, and so each item. @return `code` */
int idem__batch_errors_refuse(idem__batch_errors *many, int code, const char *message);

#endif
