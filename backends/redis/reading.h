/* SPDX-License-Identifier: MIT */
/* What a server holds at a key, as a record. */
#ifndef IDEM_REDIS_READING_H
#define IDEM_REDIS_READING_H

#include "fault.h"

#include <hiredis/hiredis.h>

/** The remaining life of a key that has no end, and of one that is not there, as PTTL tells it. */
#define IDEM__REDIS_NO_END (-1)
#define IDEM__REDIS_GONE   (-2)

/**
 * Reads a record and dates it.
 *
 * @param pttl    what is left of the key's life
 * @param record  blank before; owns its bytes afterwards
 * @return IDEM_ERR_CORRUPT; IDEM_ERR_NO_MEMORY
 */
int idem__redis_read_record(idem_bytes key, idem_bytes text, long long pttl, idem_record *record,
                            idem_error *error);

/** Takes a reply of READ, or of a script that found something, apart. @return false: it is none */
bool idem__redis_read_found(const redisReply *reply, idem_bytes *text, long long *pttl);

/** The same of PROVE, with what it says of the user's rights. */
bool idem__redis_read_proof(const redisReply *reply, idem_bytes *text, long long *pttl,
                            long long *rights);

#endif
