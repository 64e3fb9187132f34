/* SPDX-License-Identifier: MIT */
/* Something that is done with a backend as a whole (open, scan, purge, check), repeated as calls
   are. */
#ifndef IDEM_CORE_ATTEMPT_H
#define IDEM_CORE_ATTEMPT_H

#include <idem/backend.h>

typedef struct {
    /** One try. @return a code, with IDEM_PERMANENT if repeating does not help */
    int (*once)(idem_store *store, void *user, uint64_t deadline_ms, idem_error *error);
    void *user;
    bool changes; /**< it may leave a change behind; else it only reads */
} idem__attempt;

/** Tries until it succeeds, fails for good, or the deadline leaves no time.
 *  @return a code without IDEM_PERMANENT; IDEM_ERR_UNCERTAIN if any try may have made a change */
int idem__repeat(idem_store *store, const idem__attempt *attempt, uint64_t deadline_ms,
                 idem_error *error);

#endif
