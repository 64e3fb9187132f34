/* SPDX-License-Identifier: MIT */
/* UTF-8, and which characters a terminal should not be given by strangers. */
#ifndef IDEM_CLI_UNICODE_H
#define IDEM_CLI_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The length of the UTF-8 sequence at `at`, which has `left` bytes, at least one; 0 if there is
 *  none. */
size_t cli_utf8_length(const unsigned char *at, size_t left);

/** The character of a valid sequence of that length. */
uint32_t cli_utf8_decode(const unsigned char *at, size_t len);

/** True for control characters, which a terminal takes as orders. */
bool cli_is_control(uint32_t character);

/** True for characters that are not seen, or that change how their neighbours are seen: they turn
 *  the direction of writing, break lines, or make two texts look the same. */
bool cli_is_invisible(uint32_t character);

#endif
