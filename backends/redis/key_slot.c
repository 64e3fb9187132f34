/* SPDX-License-Identifier: MIT */
/*
 * From a key to its slot, as the cluster's specification has it: CRC16 of the key, or of its hash
 * tag, modulo 16,384. The tag is what stands between the first `{` and the first `}` behind it; an
 * empty one is none.
 */
#include "key_slot.h"

uint16_t idem__redis_key_slot_crc16(const void *data, size_t len)
{
    /* of the sixteen values of half a byte */
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                       0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                       0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    const uint8_t *at = data;
    unsigned crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc = (crc << 4 ^ table[(crc >> 12 ^ at[i] >> 4) & 15u]) & 0xffffu;
        crc = (crc << 4 ^ table[(crc >> 12 ^ at[i]) & 15u]) & 0xffffu;
    }
    return (uint16_t)crc;
}

unsigned idem__redis_key_slot(idem_bytes key)
{
    const char *data = key.data;
    const char *open = key.len > 0 ? memchr(data, '{', key.len) : NULL;
    if (open) {
        const char *tag = open + 1;
        const char *end = data + key.len;
        const char *close = memchr(tag, '}', (size_t)(end - tag));
        if (close && close > tag)
            return idem__redis_key_slot_crc16(tag, (size_t)(close - tag)) % IDEM__REDIS_SLOTS;
    }
    return idem__redis_key_slot_crc16(data, key.len) % IDEM__REDIS_SLOTS;
}
