/* SPDX-License-Identifier: MIT */
/* From a key to its slot of a cluster. */
#ifndef IDEM_REDIS_KEY_SLOT_H
#define IDEM_REDIS_KEY_SLOT_H

#include <idem/backend.h>

#define IDEM__REDIS_SLOTS 16384u

/** CRC16 as a cluster computes it (XMODEM: polynomial 0x1021, begins with 0). */
uint16_t idem__redis_key_slot_crc16(const void *data, size_t len);

/** A key's slot. Of a key with a hash tag, `{…}` with something in it, only the tag counts. */
unsigned idem__redis_key_slot(idem_bytes key);

#endif
