/* SPDX-License-Identifier: MIT */
/*
 * What a cluster's instance waits for: its nodes' sockets, and the pipe that its threads write to.
 * A caller of submit() polls them all. A store that sends and receives apart has one descriptor for
 * them, an epoll set, which is brought up to date when it is asked for.
 */
#include "cluster.h"

#include <poll.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/epoll.h>
#endif

#define POLLED_MAX 64u

static bool is_open(const idem__redis_node *node)
{
    return node->connected && !node->dial.running;
}

void idem__redis_cluster_calm(const idem__redis_cluster *self)
{
    char bytes[64];
    while (read(self->notify[0], bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
}

void idem__redis_cluster_wait(idem__redis_cluster *self, uint64_t until_ms)
{
    struct pollfd entries[POLLED_MAX];
    idem__redis_node *nodes[POLLED_MAX];
    nfds_t count = 0;
    bool at_once = false;
    entries[count++] = (struct pollfd){.fd = self->notify[0], .events = POLLIN};
    for (idem__redis_node *at = self->nodes; at && count < POLLED_MAX; at = at->next) {
        idem_wants wants = {.fd = -1};
        if (!is_open(at) || at->redis->wire.expected + at->sent.count == 0)
            continue;
        idem__redis_say_wants(&at->redis->base, &wants);
        at->ready = wants.at_once || wants.fd < 0;
        at_once = at_once || at->ready;
        short events = (short)(POLLIN | (wants.write ? POLLOUT : 0));
        nodes[count] = at;
        entries[count++] = (struct pollfd){.fd = wants.fd, .events = events};
    }
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t left_ms = now_ms < until_ms ? until_ms - now_ms : 0;
    int timeout_ms = left_ms > 60000 ? 60000 : (int)left_ms;
    if (poll(entries, count, at_once ? 0 : timeout_ms) <= 0)
        return;
    for (nfds_t i = 1; i < count; i++)
        nodes[i]->ready = nodes[i]->ready || entries[i].revents != 0;
}

#if defined(__linux__)

static bool watch(const idem__redis_cluster *self, int how, int fd, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data = {.fd = fd}};
    return epoll_ctl(self->set, how, fd, &event) == 0;
}

static bool make_set(idem__redis_cluster *self)
{
    if (self->set >= 0)
        return true;
    self->set = idem_descriptor_raise(epoll_create1(EPOLL_CLOEXEC));
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        at->watched = -1;
    return self->set >= 0 && watch(self, EPOLL_CTL_ADD, self->notify[0], false);
}

/* A descriptor that was closed has left the set by itself. */
static void watch_node(const idem__redis_cluster *self, idem__redis_node *node, bool *at_once)
{
    idem_wants wants = {.fd = -1};
    if (!is_open(node))
        return;
    idem__redis_say_wants(&node->redis->base, &wants);
    *at_once = *at_once || wants.at_once;
    if (wants.fd < 0)
        return;
    if (wants.fd == node->watched && wants.write == node->watched_write)
        return;
    bool known = wants.fd == node->watched;
    if (!watch(self, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, wants.fd, wants.write) && !known)
        (void)watch(self, EPOLL_CTL_MOD, wants.fd, wants.write);
    node->watched = wants.fd;
    node->watched_write = wants.write;
}

void idem__redis_cluster_wants(const idem_backend *backend, idem_wants *wants)
{
    idem__redis_cluster *self = ((const idem__redis_cluster *)backend)->itself;
    *wants = (idem_wants){.fd = -1, .in_flight = self->in_flight, .progress = self->progress};
    if (!self->map || !make_set(self))
        return;
    wants->fd = self->set;
    wants->read = true;
    wants->at_once = self->done.first || self->dropped;
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        watch_node(self, at, &wants->at_once);
}

#endif
