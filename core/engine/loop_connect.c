/* SPDX-License-Identifier: MIT */
/*
 * Making a loop's connection. To connect takes time, since names are resolved and hands are shaken,
 * and the thread that dispatches does not block. So a thread of its own is started, which ends when
 * the connection stands.
 */
#include "loop.h"

#include "clock.h"
#include "inside.h"
#include "thread.h"

#ifdef __linux__

#include <sys/epoll.h>

static void *connect_now(void *argument)
{
    idem_async *async = argument;
    idem__loop *loop = &async->loop;
    const idem_backend_ops *ops = &async->store->ops;
    idem_error error = {0};
    int rc;
    if (loop->backend) {
        rc = ops->connect(loop->backend, loop->connect_by_ms, &error);
    } else {
        loop->config.deadline_ms = loop->connect_by_ms;
        rc = ops->open(&loop->config, &loop->backend, &error);
    }
    if (rc == IDEM_OK && !loop->backend)
        rc = IDEM_ERR_INTERNAL;
    if (rc)
        (void)idem_error_set(&error, rc & ~IDEM_PERMANENT, "%s",
                             idem_strerror(rc & ~IDEM_PERMANENT));
    idem__inside_lock(&async->lock);
    loop->rc = rc;
    loop->error = error;
    loop->ended = true;
    idem__notifier_signal(&async->notifier);
    (void)pthread_cond_broadcast(&async->rested);
    idem__inside_unlock(&async->lock);
    return NULL;
}

/* Fails all that waits to be sent. `io` is held. */
static void fail_ready(idem_async *async, int rc, const char *why)
{
    idem__flight *flights[IDEM_BATCH_MAX];
    size_t count;
    do {
        idem__inside_lock(&async->lock);
        count = idem__queue_take(&async->ways[0], flights, IDEM_BATCH_MAX, IDEM_BATCH_MAX);
        idem__inside_unlock(&async->lock);
        for (size_t i = 0; i < count; i++)
            idem_op_fail(&flights[i]->call->op, (rc & IDEM_PERMANENT) != 0, rc & ~IDEM_PERMANENT,
                         "%s", why);
        idem__loop_step_all(async, flights, count);
    } while (count == IDEM_BATCH_MAX);
}

static void start_connecting(idem_async *async)
{
    idem__loop *loop = &async->loop;
    loop->connect_by_ms = idem__clock_deadline(async->store->timeout_ms);
    idem__inside_lock(&async->lock);
    loop->ended = false;
    int failed = idem__thread_start(&loop->connector, connect_now, async);
    loop->connecting = !failed;
    idem__inside_unlock(&async->lock);
    if (failed)
        fail_ready(async, IDEM_ERR_UNAVAILABLE,
                   "no thread could be started to connect, for want of memory or by a limit on "
                   "threads");
}

bool idem__loop_is_connecting(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__inside_lock(&async->lock);
    bool connecting = loop->connecting;
    bool ended = loop->ended;
    idem__inside_unlock(&async->lock);
    if (!connecting || !ended)
        return connecting;
    (void)pthread_join(loop->connector, NULL);
    idem__inside_lock(&async->lock);
    loop->connecting = false;
    loop->ended = false;
    idem__inside_unlock(&async->lock);
    loop->blocked = false;
    loop->sound = loop->rc == IDEM_OK;
    loop->heard_ms = idem_monotonic_ms();
    loop->owed_ms = 0;
    if (loop->rc)
        fail_ready(async, loop->rc, loop->error.message);
    return false;
}

bool idem__loop_is_ready(idem_async *async)
{
    idem__loop *loop = &async->loop;
    if (loop->sound && loop->in_flight == 0)
        loop->sound = async->store->ops.connect(loop->backend, 0, NULL) == IDEM_OK;
    if (!loop->sound && loop->watched >= 0) { /* the connector closes it: its number is free then */
        (void)epoll_ctl(loop->set, EPOLL_CTL_DEL, loop->watched, NULL);
        loop->watched = -1;
    }
    if (!loop->sound && loop->in_flight == 0)
        start_connecting(async);
    return loop->sound;
}

#endif
