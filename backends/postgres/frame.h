/* SPDX-License-Identifier: MIT */
/* What stands around a batch's statements: a transaction of our own, or a savepoint of the
   caller's. */
#ifndef IDEM_POSTGRES_FRAME_H
#define IDEM_POSTGRES_FRAME_H

#include "instance.h"

typedef enum {
    IDEM__POSTGRES_BARE = 1, /**< the pipeline is the transaction */
    IDEM__POSTGRES_OWN,      /**< BEGIN, with its settings, and COMMIT */
    IDEM__POSTGRES_NESTED    /**< a savepoint in the caller's transaction */
} idem__postgres_frame;

/** The frame for what changes, or only reads. */
idem__postgres_frame idem__postgres_frame_for(const idem__postgres *self, bool changes);

/** Begins the pipeline and sends what stands in front. @param[out] count  results to be taken */
int idem__postgres_frame_open(idem__postgres *self, idem__postgres_frame frame, bool changes,
                              uint64_t deadline_ms, size_t *count, idem__postgres_fault *fault);

/** Sends what stands behind, and ends the pipeline. */
int idem__postgres_frame_close(idem__postgres *self, idem__postgres_frame frame,
                               uint64_t deadline_ms, idem__postgres_fault *fault);

/** Takes so many results, which have nothing in them. */
int idem__postgres_frame_pass(idem__postgres *self, size_t count, uint64_t deadline_ms,
                              idem__postgres_fault *fault);

/** Sends what undoes a transaction or a savepoint in which something was refused. */
int idem__postgres_frame_send_undo(idem__postgres *self, idem__postgres_frame frame,
                                   uint64_t deadline_ms, idem__postgres_fault *fault);

/** Undoes one. The connection is broken if that fails. */
void idem__postgres_frame_undo(idem__postgres *self, idem__postgres_frame frame,
                               uint64_t deadline_ms);

#endif
