/* SPDX-License-Identifier: MIT */
/* A claim that is made, completed and forgotten, to see whether that works. */
#ifndef IDEM_REDIS_TRIAL_H
#define IDEM_REDIS_TRIAL_H

#include "instance.h"

typedef struct {
    const char *failed; /**< what can't be done, for a message; NULL: all can */
    idem_error error;   /**< why */
} idem__redis_trial;

/**
 * Tries it on a key of its own under the store's prefix, which is gone afterwards, or after some
 * seconds if it can't be removed.
 *
 * @return IDEM_OK: see `trial`; else the connection failed
 */
int idem__redis_try(idem__redis *self, uint64_t deadline_ms, idem__redis_trial *trial,
                    idem__redis_fault *fault);

#endif
