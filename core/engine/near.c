/* SPDX-License-Identifier: MIT */
/*
 * Whether a server is near: on the same machine, answers come within microseconds. Then a
 * connection is held until something has come. What is called meanwhile gathers, and goes out as
 * one batch; the receiver spins instead of sleeping. Behind a network the next batch leaves at
 * once, and no thread spins.
 *
 * That is measured: one answer at a time is timed, from the moment its batch is sent. A server that
 * has much to do takes longer, which makes it no farther. Nor does one answer that was late since
 * other processes had the processors: it takes a few in a row. A hold ends by itself after as long
 * as a near answer may take.
 */
#include "pipeline.h"

#include "clock.h"

#define NEAR_NS     UINT64_C(120000) /* a near answer to one operation takes no longer */
#define NEAR_OP_NS  UINT64_C(4000)   /* with each more in flight so much longer */
#define NEAR_MAX_NS UINT64_C(500000) /* and with many as long as this */

void idem__pipeline_sending(idem__connection *connection, idem__waiter *leader, size_t ops)
{
    uint64_t now_ns = idem__clock_ns();
    uint64_t near_ns = NEAR_NS + NEAR_OP_NS * ops;
    if (near_ns > NEAR_MAX_NS)
        near_ns = NEAR_MAX_NS;
    if (!connection->timed && leader->connection == connection) {
        connection->timed = leader;
        connection->timed_ns = now_ns;
        connection->near_ns = near_ns;
    }
    connection->held_until_ns = connection->far_answers < IDEM__FAR ? now_ns + near_ns : 0;
}

void idem__pipeline_leaves(idem__connection *connection, const idem__waiter *waiter, bool answered)
{
    if (connection->timed != waiter)
        return;
    connection->timed = NULL;
    if (!answered)
        return;
    if (idem__clock_ns() - connection->timed_ns <= connection->near_ns)
        connection->far_answers = 0;
    else if (connection->far_answers < IDEM__FAR)
        connection->far_answers++;
}

idem__spin idem__pipeline_spin(const idem__connection *connection)
{
    idem__spin spin = {.until_ns = 0};
    if (connection->far_answers >= IDEM__FAR)
        spin.until_ns = IDEM__SPIN_OVER;
    else if (connection->near_ns > NEAR_NS)
        spin.longer_ns = connection->near_ns - NEAR_NS;
    return spin;
}
