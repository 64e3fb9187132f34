/* SPDX-License-Identifier: MIT */
/* What backends give back, checked before anything believes it. */
#ifndef IDEM_CORE_VERIFY_H
#define IDEM_CORE_VERIFY_H

#include <idem/backend.h>

/** Checks a record that a backend has given. @param whole  its texts too, whether they are JSON
 *  @return NULL, or what is wrong with it, in a few words */
const char *idem__verify_record(const idem_record *record, bool whole);

/** Checks the answers to some ops. A record that is wrong becomes IDEM_ERR_CORRUPT, with its key in
 *  the message, and is dropped; an answer that contradicts itself becomes IDEM_ERR_UNCERTAIN. */
void idem__verify_found(idem_op *const *ops, size_t count, bool whole);

#endif
