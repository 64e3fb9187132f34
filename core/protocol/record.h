/* SPDX-License-Identifier: MIT */
/* Records: what core does with them beyond idem/backend.h. */
#ifndef IDEM_CORE_RECORD_H
#define IDEM_CORE_RECORD_H

#include <idem/backend.h>

/** True if nobody can prove to hold the claim: a record of the older format. */
bool idem__record_is_tokenless(const idem_record *record);

/** False if it is NULL, or has a length without bytes. */
bool idem__record_is_whole(const idem_record *record);

/** Makes room for so many more bytes. @return IDEM_ERR_NO_MEMORY: it is as it was */
int idem__buffer_reserve(idem_buffer *buffer, size_t len, idem_error *error);

#endif
