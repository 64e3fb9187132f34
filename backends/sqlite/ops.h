/* SPDX-License-Identifier: MIT */
/* The slots that both tables of operations, by URL and on a caller's connection, have in common. */
#ifndef IDEM_SQLITE_OPS_H
#define IDEM_SQLITE_OPS_H

#include <idem/backend.h>

int idem__sqlite_slot_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                           idem_error *error);
int idem__sqlite_slot_purge(idem_backend *backend, idem_purge_portion *portion,
                            uint64_t deadline_ms, idem_error *error);
int idem__sqlite_slot_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                            uint64_t deadline_ms, idem_error *error);

#endif
