/* SPDX-License-Identifier: MIT */
/*
 * A link: a relay between unix sockets that holds each chunk back for a fixed time, each way. Its
 * bandwidth has no limit, and what was read together is passed on together. Chunks fall due in the
 * order of their arrival, since all are held back for the same time: one queue serves all
 * connections. A timer of the kernel's wakes it, since poll's clock is too coarse.
 *
 *   link SOCKET TARGET MICROSECONDS
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define CHUNK     65536u
#define EVENTS    256
#define FILES_MAX 4096

typedef struct chunk {
    struct chunk *next;
    uint64_t due_ns;
    int to;
    bool last; /* the other side sends nothing more */
    size_t len;
    char data[];
} chunk;

typedef struct {
    struct sockaddr_un target;
    uint64_t delay_ns;
    int listener;
    int timer;
    int set;
    chunk *first;
    chunk *end;
    uint64_t armed_ns;        /* when the timer goes off */
    int peer[FILES_MAX];      /* of each descriptor; 0: none */
    bool finished[FILES_MAX]; /* it was told the end */
} relay;

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        bench_fail("%s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path));
    return address;
}

static int make_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_fail("link: there is no descriptor left");
    return fd;
}

static void watch(const relay *self, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(self->set, EPOLL_CTL_ADD, fd, &event))
        bench_fail("link: epoll_ctl fails");
}

static void accept_one(relay *self)
{
    int client = accept(self->listener, NULL, NULL);
    if (client < 0)
        return;
    int server = make_socket();
    if (connect(server, (const struct sockaddr *)&self->target, sizeof self->target))
        bench_fail("link: the server can't be reached");
    self->peer[client] = server;
    self->peer[server] = client;
    self->finished[client] = self->finished[server] = false;
    watch(self, client, EPOLLIN);
    watch(self, server, EPOLLIN);
}

static void arm(relay *self)
{
    if (!self->first || self->first->due_ns == self->armed_ns)
        return;
    self->armed_ns = self->first->due_ns;
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(self->armed_ns / 1000000000u),
                                           .tv_nsec = (long)(self->armed_ns % 1000000000u)}};
    if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &when, NULL))
        bench_fail("link: timerfd_settime fails");
}

static void take_chunk(relay *self, int from)
{
    static char data[CHUNK];
    ssize_t got = recv(from, data, sizeof data, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t len = got > 0 ? (size_t)got : 0;
    chunk *made = bench_alloc(sizeof *made + len);
    *made = (chunk){.due_ns = bench_now_ns() + self->delay_ns,
                    .to = self->peer[from],
                    .last = got <= 0,
                    .len = len};
    memcpy(made->data, data, len);
    if (got <= 0)
        (void)epoll_ctl(self->set, EPOLL_CTL_DEL, from, NULL);
    if (self->first)
        self->end->next = made;
    else
        self->first = made;
    self->end = made;
}

/* Both sides are closed when each was told the end. */
static void finish(relay *self, int to)
{
    int other = self->peer[to];
    (void)shutdown(to, SHUT_WR);
    self->finished[to] = true;
    if (!self->finished[other])
        return;
    self->peer[to] = self->peer[other] = 0;
    (void)close(to);
    (void)close(other);
}

/* What is sent over the link is short: a socket takes it at once, or soon. */
static void give(relay *self, const chunk *at)
{
    for (size_t sent = 0; sent < at->len;) {
        ssize_t count = send(at->to, at->data + sent, at->len - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            break;
        sent += count > 0 ? (size_t)count : 0;
    }
    if (at->last)
        finish(self, at->to);
}

static void give_due(relay *self)
{
    uint64_t now_ns = bench_now_ns();
    while (self->first && self->first->due_ns <= now_ns) {
        chunk *at = self->first;
        self->first = at->next;
        give(self, at);
        free(at);
    }
}

static void run(relay *self)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(self->set, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            bench_fail("link: epoll_wait fails");
        give_due(self);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == self->listener)
                accept_one(self);
            else if (fd != self->timer && self->peer[fd] != 0)
                take_chunk(self, fd);
        }
        arm(self);
    }
}

int main(int argc, char **argv)
{
    static relay self;
    struct rlimit files = {FILES_MAX, FILES_MAX}; /* lower than what is there, or the same */
    if (argc != 4)
        bench_fail("usage: link SOCKET TARGET MICROSECONDS");
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (setrlimit(RLIMIT_NOFILE, &files)) /* no descriptor is above it */
        bench_fail("link: the limit of open files can't be set");
    struct sockaddr_un own = address_of(argv[1]);
    self.target = address_of(argv[2]);
    self.delay_ns = strtoull(argv[3], NULL, 10) * 1000;
    self.listener = make_socket();
    self.set = epoll_create1(EPOLL_CLOEXEC);
    self.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (bind(self.listener, (const struct sockaddr *)&own, sizeof own) ||
        listen(self.listener, FILES_MAX))
        bench_fail("link: %s can't be listened at", argv[1]);
    watch(&self, self.listener, EPOLLIN);
    /* Edge by edge: each setting of the timer is one, and it is never read. */
    watch(&self, self.timer, EPOLLIN | EPOLLET);
    run(&self);
}
