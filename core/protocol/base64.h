/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, section 4), with padding and without line breaks. */
#ifndef IDEM_CORE_BASE64_H
#define IDEM_CORE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/** How long `len` bytes are in base64. */
size_t idem__base64_length(size_t len);

/** Writes idem__base64_length() characters, without a NUL. */
void idem__base64_encode(const void *data, size_t len, char *to);

/**
 * Reads what idem__base64_encode() writes, and nothing else.
 *
 * @param[out] to       has room for `len / 4 * 3` bytes.
 * @param[out] decoded  receives how many there are.
 * @return false if the text is no base64
 */
bool idem__base64_decode(const char *text, size_t len, void *to, size_t *decoded);

#endif
