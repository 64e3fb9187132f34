/* SPDX-License-Identifier: MIT */
/* The slots that both tables of operations share. */
#ifndef IDEM_POSTGRES_OPS_H
#define IDEM_POSTGRES_OPS_H

#include "instance.h"

int idem__postgres_slot_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                             idem_error *error);
int idem__postgres_slot_purge(idem_backend *backend, idem_purge_portion *portion,
                              uint64_t deadline_ms, idem_error *error);
int idem__postgres_slot_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                              uint64_t deadline_ms, idem_error *error);

/** Makes the connection ready for a call, be it a caller's or our own; and ends the call.
 *  @param[in,out] deadline_ms  the call's
 *  @param rc                   of the call, up to here */
int idem__postgres_enter(idem__postgres *self, uint64_t *deadline_ms, idem__postgres_fault *fault);
int idem__postgres_leave(idem__postgres *self, int rc, idem__postgres_fault *fault);

/** Frees what an instance holds, but for its connection. */
void idem__postgres_free(idem__postgres *self);

#endif
