/* SPDX-License-Identifier: MIT */
/* Random bits in small portions, drawn in bulk; idem_random() is public, in idem/backend.h. */
#ifndef IDEM_CORE_RANDOM_H
#define IDEM_CORE_RANDOM_H

#include <idem/idem.h>

/** The most that one draw from a pool gives. */
#define IDEM__RANDOM_DRAW_MAX 64u

/**
 * Fills a buffer; no two draws, of whichever threads and processes, share bits.
 * @param pooled  from bits that were drawn ahead, up to IDEM__RANDOM_DRAW_MAX bytes of them: only
 *                for what stays in this process, since a copy of its memory (a virtual machine's
 *                snapshot, a process that is restored twice) has the same bits ahead. Whole words
 *                of 8 bytes are the fastest
 * @return as idem_random_until()
 */
int idem__random_draw(bool pooled, void *buf, size_t len, uint64_t deadline_ms, idem_error *error);

#endif
