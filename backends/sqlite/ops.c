/* SPDX-License-Identifier: MIT */
/* From the slots of the table of operations to what this backend calls it: the connection is made
   ready, and a fault becomes an error. */
#include "ops.h"

#include "check.h"
#include "connection.h"
#include "file_limit.h"
#include "expiry.h"

static int report(int rc, const idem__sqlite_fault *fault, idem_error *error)
{
    return rc ? idem__sqlite_fault_report(fault, error) : IDEM_OK;
}

int idem__sqlite_slot_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                           idem_error *error)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_fault fault = {0};
    idem__sqlite_file_limit limit;
    idem__sqlite_file_limit_enter(&limit);
    int rc = idem__sqlite_ready(self, false, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_expiry_scan(self, page, &fault);
    idem__sqlite_file_limit_leave(&limit);
    return report(rc, &fault, error);
}

int idem__sqlite_slot_purge(idem_backend *backend, idem_purge_portion *portion,
                            uint64_t deadline_ms, idem_error *error)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_fault fault = {0};
    idem__sqlite_file_limit limit;
    idem__sqlite_file_limit_enter(&limit);
    int rc = idem__sqlite_ready(self, false, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_expiry_purge(self, portion, &fault);
    idem__sqlite_file_limit_leave(&limit);
    return report(rc, &fault, error);
}

int idem__sqlite_slot_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                            uint64_t deadline_ms, idem_error *error)
{
    idem__sqlite *self = (idem__sqlite *)backend;
    idem__sqlite_fault fault = {0};
    idem__sqlite_file_limit limit;
    idem__sqlite_file_limit_enter(&limit);
    int64_t rowid = self->joined ? sqlite3_last_insert_rowid(self->db) : 0;
    int rc = idem__sqlite_ready(self, false, deadline_ms, &fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_check(self, emit, emit_user, &fault);
    if (self->joined)
        sqlite3_set_last_insert_rowid(self->db, rowid); /* it writes a record, to see if it can */
    idem__sqlite_file_limit_leave(&limit);
    return report(rc, &fault, error);
}
