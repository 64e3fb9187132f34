/* SPDX-License-Identifier: MIT */
/* Listing what a server holds. */
#ifndef IDEM_REDIS_SCAN_H
#define IDEM_REDIS_SCAN_H

#include "instance.h"

/** Gives one page of records, over a usable connection; one that failed is closed. What is
 *  somebody else's (other types, texts that were never ours) is passed over. */
int idem__redis_scan(idem__redis *self, idem_scan_page *page, uint64_t deadline_ms,
                     idem__redis_fault *fault);

#endif
