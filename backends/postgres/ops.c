/* SPDX-License-Identifier: MIT */
/* From the slots of the tables of operations to what this backend calls it: the connection is made
   ready, and a fault becomes an error. */
#include "ops.h"

#include "check.h"
#include "connection.h"
#include "expiry.h"
#include "flight.h"
#include "join.h"

#include <stdlib.h>

static int report(int rc, const idem__postgres_fault *fault, idem_error *error)
{
    return rc ? idem__postgres_fault_report(fault, error) : IDEM_OK;
}

int idem__postgres_enter(idem__postgres *self, uint64_t *deadline_ms, idem__postgres_fault *fault)
{
    if (!self->joined) {
        idem__postgres_flight_settle(self, *deadline_ms);
        self->pipe = self->oldest = &self->own;
        return idem__postgres_ready(self, *deadline_ms, fault);
    }
    *deadline_ms = idem__postgres_join_deadline(*deadline_ms);
    return idem__postgres_join_enter(self, fault);
}

int idem__postgres_leave(idem__postgres *self, int rc, idem__postgres_fault *fault)
{
    if (!self->joined)
        idem__postgres_done(self, fault);
    else if (!idem__postgres_join_leave(self) && rc == IDEM_OK)
        rc = idem__postgres_join_tell_gone(self, fault);
    return rc;
}

int idem__postgres_slot_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                             idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    int rc = idem__postgres_enter(self, &deadline_ms, &fault);
    if (rc == IDEM_OK) {
        rc = idem__postgres_expiry_scan(self, page, deadline_ms, &fault);
        rc = idem__postgres_leave(self, rc, &fault);
    }
    return report(rc, &fault, error);
}

int idem__postgres_slot_purge(idem_backend *backend, idem_purge_portion *portion,
                              uint64_t deadline_ms, idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    int rc = idem__postgres_enter(self, &deadline_ms, &fault);
    if (rc == IDEM_OK) {
        rc = idem__postgres_expiry_purge(self, portion, deadline_ms, &fault);
        rc = idem__postgres_leave(self, rc, &fault);
    }
    return report(rc, &fault, error);
}

int idem__postgres_slot_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                              uint64_t deadline_ms, idem_error *error)
{
    idem__postgres *self = (idem__postgres *)backend;
    idem__postgres_fault fault = {0};
    int rc = idem__postgres_enter(self, &deadline_ms, &fault);
    if (rc == IDEM_OK) {
        rc = idem__postgres_check(self, emit, emit_user, deadline_ms, &fault);
        rc = idem__postgres_leave(self, rc, &fault);
    }
    return report(rc, &fault, error);
}

void idem__postgres_free(idem__postgres *self)
{
    idem__postgres_sql_clear(self);
    idem_buffer_clear(&self->text);
    idem__postgres_flight_clear(self);
    free(self);
}
