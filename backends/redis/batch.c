/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops for a caller that waits: what it would do itself with the slots `send`, `receive`
 * and `drop`, until all have their answers or the deadline has come.
 */
#include "batch.h"

#include <poll.h>

#define ROOM 64u

/* @return false: the deadline has come */
static bool await_answers(const idem__redis *self, uint64_t deadline_ms)
{
    idem_wants wants;
    short happened;
    idem__redis_say_wants(&self->base, &wants);
    short events = (short)((wants.read ? POLLIN : 0) | (wants.write ? POLLOUT : 0));
    return wants.at_once || idem__redis_wire_wait(wants.fd, events, deadline_ms, &happened);
}

void idem__redis_batch_fail(idem_op *const *ops, size_t count, const idem__redis_fault *fault)
{
    for (size_t i = 0; i < count; i++)
        idem_op_fail(ops[i], fault->permanent, fault->error.code, "%s", fault->error.message);
}

int idem__redis_batch_run(idem__redis *self, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms)
{
    idem_backend *backend = &self->base;
    idem_op *done[ROOM];
    size_t sent = 0;
    size_t given = 0;
    bool late = false;
    int rc = IDEM_OK;
    while (given < count && (rc == IDEM_OK || given < sent)) {
        size_t got = 0;
        if (rc == IDEM_OK && sent < count)
            sent += idem__redis_send(backend, ops + sent, count - sent);
        /* What is there at the deadline still counts; a server that sends on and on is not listened
           to. */
        if (rc == IDEM_OK && (late || !await_answers(self, deadline_ms)))
            idem__redis_drop(backend);
        late = idem_monotonic_ms() >= deadline_ms;
        rc = idem__redis_receive(backend, done, ROOM, &got, NULL);
        given += got;
    }
    if (sent < count)
        idem__redis_batch_fail(ops + sent, count - sent, &self->pipeline.fault);
    return self->pipeline.leaving ? IDEM_OK : rc;
}
