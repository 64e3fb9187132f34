/* SPDX-License-Identifier: MIT */
/*
 * A connection that owes answers and stays silent. The host at its other end may have died without
 * a word: so a caller waits for a bounded part of its time only, then the connection is given up.
 */
#include "pipeline.h"

#include "call.h"

#define ALONE_MS 100u /* silence for so long is enough where nobody else waits */

/* `io` is held. */
void idem__pipeline_note_progress(idem__connection *connection, idem_wants *wants)
{
    connection->pool->ops->wants(connection->backend, wants);
    if (wants->progress == connection->progress)
        return;
    connection->progress = wants->progress;
    connection->owed_ms = 0;
    atomic_store(&connection->heard_ms, idem_monotonic_ms());
}

/* When a waiter takes the connection for dead, unless something comes. The shortest timeout
   decides: the waiter that has it may sleep, since another thread has sent its operations. */
uint64_t idem__pipeline_silent_at(const idem__connection *connection, const idem__waiter *waiter)
{
    uint64_t timeout_ms = waiter->deadline_ms - waiter->start_ms;
    uint64_t least_ms = atomic_load(&connection->least_ms);
    if (least_ms < timeout_ms)
        timeout_ms = least_ms;
    uint64_t heard_ms = atomic_load(&connection->heard_ms);
    uint64_t since = heard_ms > waiter->sent_ms ? heard_ms : waiter->sent_ms;
    return since + idem__call_silence_ms(timeout_ms);
}

/* Gives the connection up if it has owed answers for too long. The lock is open. @return true: it
   has */
bool idem__pipeline_drop_if_silent(idem__connection *connection, const idem__waiter *waiter)
{
    idem_wants wants = {.in_flight = 0};
    (void)pthread_mutex_lock(&connection->io);
    if (!waiter->done)
        idem__pipeline_note_progress(connection, &wants);
    bool silent =
        wants.in_flight > 0 && idem_monotonic_ms() >= idem__pipeline_silent_at(connection, waiter);
    if (silent)
        connection->pool->ops->drop(connection->backend);
    (void)pthread_mutex_unlock(&connection->io);
    return silent;
}

/* A waiter leaves, and nothing came on the connection since the waiter was sent. Notes since when
   an answer is owed, and drops the connection after the silence limit. If no other waiter is on it,
   ALONE_MS is enough: the next caller shall not pay for it. `io` and the lock are held. */
void idem__pipeline_suspect(idem__connection *connection, const idem__waiter *waiter)
{
    uint64_t now = idem_monotonic_ms();
    bool only = connection->waiters.count == 1;
    if (waiter->sent == 0 || atomic_load(&connection->heard_ms) > waiter->sent_ms)
        return;
    if (connection->owed_ms == 0)
        connection->owed_ms = waiter->sent_ms;
    if (now >= connection->owed_ms + idem__call_silence_ms(0) ||
        (only && now >= waiter->sent_ms + ALONE_MS))
        connection->pool->ops->drop(connection->backend);
}
