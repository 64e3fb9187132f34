/* SPDX-License-Identifier: MIT */
/* Ops that are carried out later than they were answered, as requests that were long on their way.
   */
#ifndef IDEM_TESTKIT_DELAYED_H
#define IDEM_TESTKIT_DELAYED_H

#include <idem/backend.h>

#include <pthread.h>

/** Those of one instance. The lock guards the list, since a concurrent backend is entered by many
 *  threads; it is not held while an op is carried out. */
typedef struct {
    pthread_mutex_t lock;
    struct idem__testkit_late *first;
} idem__testkit_delayed;

/** Keeps a copy of an op. It fails with IDEM_ERR_NO_MEMORY if there is no memory for that.
 *  @param delay  how many batches come first, the next one included */
void idem__testkit_delay(idem__testkit_delayed *list, idem_op *op, uint64_t delay);

/** Counts a batch, and carries out what is due in front of it. */
void idem__testkit_deliver(idem__testkit_delayed *list, idem_backend *to, uint64_t deadline_ms);

/** Forgets all. The lock is not taken. */
void idem__testkit_delayed_drop(idem__testkit_delayed *list);

#endif
