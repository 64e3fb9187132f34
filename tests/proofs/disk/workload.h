/* SPDX-License-Identifier: MIT */
/* A caller of a store who claims, renews, completes, loses and forgets keys, and notes what he was
   told. */
#ifndef IDEM_TESTS_DISK_WORKLOAD_H
#define IDEM_TESTS_DISK_WORKLOAD_H

#include "history.h"

#include <pthread.h>

typedef struct {
    const char *folder;
    const char *options; /**< of the store's URL */
    uint64_t seed;
    uint32_t calls;     /**< how many to make */
    uint32_t handles;   /**< stores on the same file; keys are spread over them */
    bool threads;       /**< a thread for each handle, at the same time */
    bool scripted;      /**< the calls of the script, in place of drawn ones */
    bool close_at_end;  /**< else the process ends with all open */
    bool hold_snapshot; /**< a reader holds up checkpoints most of the time */
} workload;

/** The store's clock: history's. */
uint64_t workload_clock(void *user);

/** Opens a store on a folder. */
int workload_open(const char *folder, const char *options, idem_store **store, idem_error *error);

/** Does it all in this process, over the default VFS. Ends the process if an answer is wrong. */
void workload_run(const workload *work);

#endif
