/* SPDX-License-Identifier: MIT */
/*
 * The relay's thread serves all its links with one epoll set. All that it knows is behind one lock,
 * which it holds while it works, but for a hook: once relay_arm() or relay_disarm() has returned,
 * that is what counts.
 */
#include "relay.h"

#include "delays.h"
#include "loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX    2048
#define EVENTS       256
#define CHUNK        65536
#define JOIN_MS      3
#define PIECE_MAX    24
#define PIECE_GAP_NS 20000

typedef struct {
    char *data;
    size_t len;
} held;

struct relay_link {
    int fds[2]; /* by where a way leads: RELAY_TO_SERVER, RELAY_TO_CLIENT; -1: free */
    unsigned serial;
    size_t passed[2];
    held back[2]; /* RELAY_JOIN: what waits */
    bool stalled;
    void *state; /* a hook's */
};

/* What an event is about: a link and the way that its bytes come from, or one of these. */
enum { WAKE = LINKS_MAX * 2, LISTENER, TIMER };

struct relay {
    pthread_t thread;
    pthread_mutex_t lock;
    relay_options options;
    int listener;
    int port;
    int wake[2];
    int set;
    delays delays;
    uint64_t random;
    unsigned serial;
    relay_pace pace;
    relay_fault fault; /* 0: none is armed */
    relay_way way;
    size_t after;
    bool always;
    int fired;
    int connections;
    relay_link links[LINKS_MAX];
    size_t used; /* no link in use has a higher index */
    char chunk[CHUNK];
};

static void die(const char *what)
{
    perror(what);
    abort();
}

static void lock(relay *self)
{
    (void)pthread_mutex_lock(&self->lock);
}

static void unlock(relay *self)
{
    (void)pthread_mutex_unlock(&self->lock);
}

static size_t draw(relay *self, size_t limit)
{
    self->random = self->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(self->random >> 33) % limit;
}

/* --------------------------------------------------------------------------------------- links */

static bool in_use(const relay_link *at)
{
    return at->fds[0] >= 0;
}

static void watch(const relay *self, int fd, uint32_t events, uint64_t about)
{
    struct epoll_event event = {.events = events, .data.u64 = about};
    if (epoll_ctl(self->set, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
}

/* What is not read again must not wake the thread again. */
static void unwatch(const relay *self, int fd)
{
    (void)epoll_ctl(self->set, EPOLL_CTL_DEL, fd, NULL);
}

static void end(relay *self, relay_link *at, bool hard)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    for (int way = 0; way < 2; way++) {
        if (hard && at->fds[way] >= 0)
            (void)setsockopt(at->fds[way], SOL_SOCKET, SO_LINGER, &none, sizeof none);
        if (at->fds[way] >= 0) {
            unwatch(self, at->fds[way]); /* a child of fork() may have it open still */
            (void)close(at->fds[way]);
        }
        at->fds[way] = -1;
        free(at->back[way].data);
        at->back[way] = (held){NULL, 0};
    }
    free(at->state);
    at->state = NULL;
    at->stalled = false;
}

static void fault_at(relay *self, relay_link *at, relay_fault fault)
{
    if (fault != RELAY_STALL) {
        end(self, at, fault == RELAY_RESET);
        return;
    }
    at->stalled = true;
    unwatch(self, at->fds[0]);
    unwatch(self, at->fds[1]);
}

/* ------------------------------------------------------------------------------------ delivery */

static bool send_pieces(relay *self, int fd, const char *data, size_t len)
{
    struct timespec gap = {.tv_nsec = PIECE_GAP_NS};
    while (len > 0) {
        size_t piece = self->pace == RELAY_SPLIT ? 1 + draw(self, PIECE_MAX) : 1;
        if (piece > len)
            piece = len;
        if (!loopback_send_all(fd, data, piece))
            return false;
        data += piece;
        len -= piece;
        (void)nanosleep(&gap, NULL);
    }
    return true;
}

static void fire(relay *self, relay_link *at)
{
    relay_fault fault = self->fault;
    self->fired++;
    if (!self->always)
        self->fault = 0;
    fault_at(self, at, fault);
}

/* Passes bytes on, up to the armed fault if there is one. */
static void deliver(relay *self, relay_link *at, relay_way way, const char *data, size_t len)
{
    bool faulty =
        self->fault != 0 && self->way == way && at->passed[way] + len >= self->after && len > 0;
    if (faulty)
        len = self->after > at->passed[way] ? self->after - at->passed[way] : 0;
    bool pieces = self->pace == RELAY_BYTE_BY_BYTE || self->pace == RELAY_SPLIT;
    bool sent = pieces ? send_pieces(self, at->fds[way], data, len)
                       : loopback_send_all(at->fds[way], data, len);
    at->passed[way] += len;
    if (faulty)
        fire(self, at);
    else if (!sent)
        end(self, at, false);
}

static void hold_back(relay_link *at, relay_way way, const char *data, size_t len)
{
    held *back = &at->back[way];
    back->data = realloc(back->data, back->len + len);
    if (!back->data)
        die("realloc");
    memcpy(back->data + back->len, data, len);
    back->len += len;
}

static void deliver_held(relay *self, relay_link *at)
{
    for (int way = 0; way < 2 && in_use(at) && !at->stalled; way++) {
        held taken = at->back[way];
        at->back[way] = (held){NULL, 0};
        if (taken.len > 0)
            deliver(self, at, (relay_way)way, taken.data, taken.len);
        free(taken.data);
    }
}

/* @param len  0: nothing more comes on this way, which ends both */
static void arrive(relay *self, relay_link *at, relay_way way, const char *data, size_t len)
{
    if (len == 0) {
        deliver_held(self, at);
        if (in_use(at) && !at->stalled)
            end(self, at, false);
    } else if (self->options.take) {
        unlock(self);
        self->options.take(self->options.user, self, at, data, len);
        lock(self);
    } else if (self->pace == RELAY_JOIN) {
        hold_back(at, way, data, len);
    } else {
        deliver(self, at, way, data, len);
    }
}

static void deliver_due(relay *self)
{
    delayed *due;
    while (self->options.delay_ns && (due = delays_take(&self->delays)) != NULL) {
        relay_link *at = &self->links[due->link];
        if (in_use(at) && at->serial == due->serial && !at->stalled)
            arrive(self, at, (relay_way)due->way, due->data, due->len);
        free(due);
    }
}

/* ---------------------------------------------------------------------------------- the thread */

static void serve(relay *self, relay_link *at, relay_way way)
{
    int from = at->fds[way == RELAY_TO_SERVER ? RELAY_TO_CLIENT : RELAY_TO_SERVER];
    ssize_t count = recv(from, self->chunk, CHUNK, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t len = count > 0 ? (size_t)count : 0;
    if (self->options.delay_ns == 0) {
        arrive(self, at, way, self->chunk, len);
        return;
    }
    if (len == 0)
        unwatch(self, from);
    delays_put(
        &self->delays,
        &(delayed){
            .link = (size_t)(at - self->links), .serial = at->serial, .way = (int)way, .len = len},
        self->chunk);
}

static void take_client(relay *self)
{
    size_t index = 0;
    int client = accept(self->listener, NULL, NULL);
    while (index < LINKS_MAX && in_use(&self->links[index]))
        index++;
    if (client < 0 || index == LINKS_MAX)
        die("accept");
    self->connections++;
    int server = self->options.target ? loopback_dial_path(self->options.target)
                                      : loopback_dial(self->options.port);
    if (server < 0) {
        (void)close(client);
        return;
    }
    (void)fcntl(client, F_SETFD, FD_CLOEXEC);
    loopback_send_at_once(client);
    relay_link *at = &self->links[index];
    at->fds[RELAY_TO_CLIENT] = client;
    at->fds[RELAY_TO_SERVER] = server;
    at->passed[0] = at->passed[1] = 0;
    at->serial = ++self->serial;
    self->used = index >= self->used ? index + 1 : self->used;
    uint64_t about = (uint64_t)at->serial << 32 | index * 2;
    watch(self, client, EPOLLIN, about + RELAY_TO_SERVER);
    if (!self->options.take)
        watch(self, server, EPOLLIN, about + RELAY_TO_CLIENT);
}

/* @return false: all is to end */
static bool handle(relay *self, uint64_t about)
{
    uint32_t which = (uint32_t)about;
    char byte = 0;
    if (which == WAKE)
        return read(self->wake[0], &byte, 1) != 1 || byte != 'e';
    if (which == LISTENER) {
        take_client(self);
    } else if (which < WAKE) {
        /* In the meantime it may have ended, and its place be another's. */
        relay_link *at = &self->links[which / 2];
        if (in_use(at) && at->serial == about >> 32 && !at->stalled)
            serve(self, at, which % 2 == RELAY_TO_SERVER ? RELAY_TO_SERVER : RELAY_TO_CLIENT);
    }
    return true;
}

static bool holds_any(const relay *self)
{
    for (size_t i = 0; i < self->used; i++) {
        if (self->links[i].back[0].len + self->links[i].back[1].len > 0)
            return true;
    }
    return false;
}

/* What is held back goes when nothing comes any more, or is held back no more. */
static void let_go(relay *self, bool quiet)
{
    for (size_t i = 0; (quiet || self->pace != RELAY_JOIN) && i < self->used; i++)
        deliver_held(self, &self->links[i]);
}

static void *run(void *user)
{
    relay *self = user;
    struct epoll_event events[EVENTS];
    bool held_back = false;
    for (bool going = true; going;) {
        int count = epoll_wait(self->set, events, EVENTS, held_back ? JOIN_MS : -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        lock(self);
        deliver_due(self);
        for (int i = 0; i < count && going; i++)
            going = handle(self, events[i].data.u64);
        if (held_back || self->pace == RELAY_JOIN) {
            let_go(self, count == 0);
            held_back = holds_any(self);
        }
        deliver_due(self);
        unlock(self);
    }
    return NULL;
}

static void wake(relay *self, char what)
{
    if (write(self->wake[1], &what, 1) != 1)
        die("write");
}

/* ------------------------------------------------------------------------------- for the tests */

relay *relay_start(int port, uint64_t seed)
{
    return relay_start_with(&(relay_options){.port = port, .seed = seed});
}

relay *relay_start_with(const relay_options *options)
{
    relay *self = calloc(1, sizeof *self);
    if (!self)
        die("calloc");
    self->options = *options;
    self->random = options->seed;
    for (size_t i = 0; i < LINKS_MAX; i++)
        self->links[i].fds[0] = self->links[i].fds[1] = -1;
    self->listener = options->path ? loopback_listen_path(LINKS_MAX, options->path)
                                   : loopback_listen(LINKS_MAX, &self->port);
    self->set = epoll_create1(EPOLL_CLOEXEC);
    if (self->listener < 0 || self->set < 0 || pipe(self->wake) != 0 ||
        !delays_open(&self->delays, options->delay_ns))
        die("listen");
    watch(self, self->wake[0], EPOLLIN, WAKE);
    watch(self, self->listener, EPOLLIN, LISTENER);
    watch(self, self->delays.timer, EPOLLIN | EPOLLET, TIMER);
    (void)pthread_mutex_init(&self->lock, NULL);
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        die("pthread_create");
    return self;
}

void relay_stop(relay *self)
{
    wake(self, 'e');
    (void)pthread_join(self->thread, NULL);
    for (size_t i = 0; i < LINKS_MAX; i++)
        end(self, &self->links[i], false);
    delays_close(&self->delays);
    (void)close(self->listener);
    (void)close(self->set);
    (void)close(self->wake[0]);
    (void)close(self->wake[1]);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

int relay_port(const relay *self)
{
    return self->port;
}

void relay_arm(relay *self, relay_fault fault, relay_way way, size_t after, bool always)
{
    lock(self);
    for (size_t i = 0; i < self->used; i++)
        self->links[i].passed[0] = self->links[i].passed[1] = 0;
    self->fault = fault;
    self->way = way;
    self->after = after;
    self->always = always;
    self->fired = 0;
    unlock(self);
}

int relay_disarm(relay *self)
{
    lock(self);
    int fired = self->fired;
    self->fault = 0;
    for (size_t i = 0; i < self->used; i++) {
        if (self->links[i].stalled)
            end(self, &self->links[i], false);
    }
    unlock(self);
    return fired;
}

void relay_set_pace(relay *self, relay_pace pace)
{
    lock(self);
    self->pace = pace;
    unlock(self);
    wake(self, 'w'); /* for what is held back */
}

void relay_lead_to(relay *self, int port)
{
    lock(self);
    self->options.port = port;
    for (size_t i = 0; i < self->used; i++)
        end(self, &self->links[i], false);
    unlock(self);
}

int relay_connections(relay *self)
{
    lock(self);
    int connections = self->connections;
    unlock(self);
    return connections;
}

/* -------------------------------------------------------------------------------- for a hook */

int relay_link_socket(const relay_link *at, relay_way way)
{
    return at->fds[way];
}

void **relay_link_state(relay_link *at)
{
    return &at->state;
}

bool relay_link_serves(const relay_link *at)
{
    return in_use(at) && !at->stalled;
}

void relay_link_fault(relay *self, relay_link *at, relay_fault fault)
{
    fault_at(self, at, fault);
}
