/* SPDX-License-Identifier: MIT */
/* Walks over the table in the order of the keys: sweeping as inserts pass by, purging, listing. */
#ifndef IDEM_POSTGRES_EXPIRY_H
#define IDEM_POSTGRES_EXPIRY_H

#include "instance.h"

/** True if a batch with so many inserts needs no sweep; else one has to be sent with it. */
bool idem__postgres_expiry_is_ahead(idem__postgres *self, size_t inserts);

/** Sends a sweep behind the batch's statements. @param near  a key of the batch */
int idem__postgres_expiry_send_sweep(idem__postgres *self, size_t inserts, idem_bytes near,
                                     uint64_t deadline_ms, idem__postgres_fault *fault);

/** Takes its result. */
int idem__postgres_expiry_take_sweep(idem__postgres *self, uint64_t deadline_ms,
                                     idem__postgres_fault *fault);

int idem__postgres_expiry_purge(idem__postgres *self, idem_purge_portion *portion,
                                uint64_t deadline_ms, idem__postgres_fault *fault);

int idem__postgres_expiry_scan(idem__postgres *self, idem_scan_page *page, uint64_t deadline_ms,
                               idem__postgres_fault *fault);

#endif
