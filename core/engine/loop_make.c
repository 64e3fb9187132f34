/* SPDX-License-Identifier: MIT */
/*
 * A loop's descriptors, an epoll set over the socket, a timer and the notifier; and how they go
 * through a fork(). Where there is no epoll, there are no loops: workers carry submitted calls out.
 */
#include "loop.h"

#include "inside.h"

#ifdef __linux__

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void close_both(idem__loop *loop)
{
    if (loop->set >= 0)
        (void)close(loop->set);
    if (loop->timer >= 0)
        (void)close(loop->timer);
    loop->set = -1;
    loop->timer = -1;
}

static bool make(idem__loop *loop, int notifier)
{
    loop->set = idem_descriptor_raise(epoll_create1(EPOLL_CLOEXEC));
    loop->timer =
        idem_descriptor_raise(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    loop->watched = -1;
    loop->armed_ms = UINT64_MAX;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = notifier};
    bool made = loop->set >= 0 && loop->timer >= 0 &&
                epoll_ctl(loop->set, EPOLL_CTL_ADD, notifier, &event) == 0 &&
                epoll_ctl(loop->set, EPOLL_CTL_ADD, loop->timer, &event) == 0;
    if (!made)
        close_both(loop);
    return made;
}

bool idem__loop_init(idem_async *async)
{
    idem__loop *loop = &async->loop;
    loop->config = async->store->writers.config;
    if (pthread_mutex_init(&loop->io, NULL))
        return false;
    loop->used = make(loop, async->notifier.fd);
    if (!loop->used)
        (void)pthread_mutex_destroy(&loop->io);
    return loop->used;
}

void idem__loop_destroy(idem_async *async)
{
    idem__loop *loop = &async->loop;
    close_both(loop);
    if (loop->backend)
        async->store->ops.close(loop->backend);
    (void)pthread_mutex_destroy(&loop->io);
}

/* In the child: the set and the timer are the parent's too. New ones are made while the old numbers
   are taken, so that the set's can be given to the new one. */
static void renew(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__loop made = {.set = -1, .timer = -1};
    if (async->notifier.fd < 0 || !make(&made, async->notifier.fd)) {
        close_both(loop);
        idem__notifier_close(&async->notifier); /* nothing can be submitted any more */
        return;
    }
    (void)close(loop->timer);
    if (dup2(made.set, loop->set) == loop->set)
        (void)fcntl(loop->set, F_SETFD, FD_CLOEXEC);
    (void)close(made.set);
    loop->timer = made.timer;
    loop->watched = -1;
    loop->armed_ms = UINT64_MAX;
}

/* What was abandoned would be answered to whatever the other process asks. */
static void end_connection(idem_async *async)
{
    idem__loop *loop = &async->loop;
    const idem_backend_ops *ops = &async->store->ops;
    idem_op *given[1];
    size_t count;
    idem_wants wants;
    ops->wants(loop->backend, &wants);
    if (loop->watched >= 0)
        (void)epoll_ctl(loop->set, EPOLL_CTL_DEL, loop->watched, NULL);
    loop->watched = -1;
    if (wants.in_flight == 0)
        return;
    ops->drop(loop->backend);
    (void)ops->receive(loop->backend, given, 1, &count, NULL);
    loop->sound = false;
}

void idem__loop_fork(idem_async *async, idem_fork_phase phase)
{
    idem__loop *loop = &async->loop;
    const idem_backend_ops *ops = &async->store->ops;
    if (phase == IDEM_FORK_PREPARE)
        idem__inside_lock(&loop->io);
    if (phase == IDEM_FORK_PREPARE && loop->backend)
        end_connection(async);
    if (loop->backend && ops->at_fork)
        ops->at_fork(loop->backend, phase);
    if (phase == IDEM_FORK_CHILD)
        renew(async);
    if (phase != IDEM_FORK_PREPARE)
        idem__inside_unlock(&loop->io);
}

#else

bool idem__loop_init(idem_async *async)
{
    (void)async;
    return false;
}

void idem__loop_destroy(idem_async *async)
{
    (void)async;
}

void idem__loop_fork(idem_async *async, idem_fork_phase phase)
{
    (void)async;
    (void)phase;
}

#endif
