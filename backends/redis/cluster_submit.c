/* SPDX-License-Identifier: MIT */
/*
 * A batch of ops for a caller that waits: what the slots `send` and `receive` do, until all have
 * their answers or the deadline has come. Then those that were sent are forgotten, and what they
 * have done is uncertain; their connections live.
 */
#include "batch.h"
#include "cluster.h"

#define ROOM    IDEM_BATCH_MAX
#define LOOK_MS 250u /* after so long it is looked whether a node is silent */

static void await_news(idem__redis_cluster *self, uint64_t deadline_ms)
{
    uint64_t look_ms = idem_monotonic_ms() + LOOK_MS;
    idem__redis_cluster_wait(self, look_ms < deadline_ms ? look_ms : deadline_ms);
}

int idem__redis_cluster_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                               uint64_t deadline_ms, idem_error *error)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    idem_op *done[ROOM];
    size_t sent = 0;
    size_t given = 0;
    (void)error; /* every op gets an answer of its own */
    self->dropped = false;
    idem__redis_cluster_calm(self);
    idem__redis_cluster_turn(self, true);
    while (given < count) {
        size_t got = 0;
        if (sent < count)
            sent += idem__redis_cluster_send(backend, ops + sent, count - sent);
        idem__redis_cluster_turn(self, false);
        got = idem__redis_cluster_give_back(self, done, ROOM);
        given += got;
        if (given == count || got > 0)
            continue;
        if (idem_monotonic_ms() >= deadline_ms) {
            idem__redis_cluster_give_up(self);
            (void)idem__redis_cluster_give_back(self, done, ROOM);
            break;
        }
        await_news(self, deadline_ms);
        idem__redis_cluster_calm(self);
    }
    idem__redis_fault fault = {0};
    (void)idem__redis_fault_set(&fault, false, IDEM_ERR_UNAVAILABLE,
                                "out of memory, or the deadline came before a node was asked");
    idem__redis_batch_fail(ops + sent, count - sent, &fault);
    return IDEM_OK;
}
