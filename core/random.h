/* SPDX-License-Identifier: MIT */
/* Random bits in small portions, drawn in bulk; idem_random() is public, in idem/backend.h. */
#ifndef IDEM_CORE_RANDOM_H
#define IDEM_CORE_RANDOM_H

#include <idem/idem.h>

/** The most that one draw gives. */
#define IDEM__RANDOM_DRAW_MAX 64u

/** Fills at most IDEM__RANDOM_DRAW_MAX bytes; no two draws, of whichever threads and processes,
 *  share bits. Whole words of 8 bytes are the fastest. @return IDEM_ERR_INTERNAL */
int idem__random_draw(void *buf, size_t len, idem_error *error);

#endif
