/* SPDX-License-Identifier: MIT */
/*
 * The relay's thread serves all its links with one poll(). All that it knows is behind one lock,
 * which it holds while it works: once relay_arm() or relay_disarm() has returned, that is what
 * counts.
 */
#include "relay.h"

#include "loopback.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX    128
#define CHUNK        65536
#define JOIN_MS      3
#define PIECE_MAX    24
#define PIECE_GAP_NS 20000

typedef struct {
    char *data;
    size_t len;
} held;

typedef struct {
    int fds[2]; /* by where a way leads: RELAY_TO_SERVER, RELAY_TO_CLIENT; -1: free */
    size_t passed[2];
    held back[2]; /* RELAY_JOIN: what waits */
    bool stalled;
} link_state;

struct relay {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener;
    int port;
    int wake[2];
    int upstream;
    uint64_t random;
    relay_pace pace;
    relay_fault fault; /* 0: none is armed */
    relay_way way;
    size_t after;
    bool always;
    int fired;
    int connections;
    link_state links[LINKS_MAX];
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

static void end(link_state *at, bool hard)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    for (int way = 0; way < 2; way++) {
        if (hard && at->fds[way] >= 0)
            (void)setsockopt(at->fds[way], SOL_SOCKET, SO_LINGER, &none, sizeof none);
        if (at->fds[way] >= 0)
            (void)close(at->fds[way]);
        at->fds[way] = -1;
        free(at->back[way].data);
        at->back[way] = (held){NULL, 0};
    }
    at->stalled = false;
}

static bool in_use(const link_state *at)
{
    return at->fds[0] >= 0;
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

static void fire(relay *self, link_state *at)
{
    relay_fault fault = self->fault;
    self->fired++;
    if (!self->always)
        self->fault = 0;
    if (fault == RELAY_STALL)
        at->stalled = true;
    else
        end(at, fault == RELAY_RESET);
}

/* Passes bytes on, up to the armed fault if there is one. */
static void deliver(relay *self, link_state *at, relay_way way, const char *data, size_t len)
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
        end(at, false);
}

static void hold_back(link_state *at, relay_way way, const char *data, size_t len)
{
    held *back = &at->back[way];
    back->data = realloc(back->data, back->len + len);
    if (!back->data)
        die("realloc");
    memcpy(back->data + back->len, data, len);
    back->len += len;
}

static void deliver_held(relay *self, link_state *at)
{
    for (int way = 0; way < 2 && in_use(at) && !at->stalled; way++) {
        held taken = at->back[way];
        at->back[way] = (held){NULL, 0};
        if (taken.len > 0)
            deliver(self, at, (relay_way)way, taken.data, taken.len);
        free(taken.data);
    }
}

static void serve(relay *self, link_state *at, relay_way way)
{
    int from = at->fds[way == RELAY_TO_SERVER ? RELAY_TO_CLIENT : RELAY_TO_SERVER];
    ssize_t count = recv(from, self->chunk, CHUNK, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        deliver_held(self, at);
        if (!at->stalled)
            end(at, false);
    } else if (self->pace == RELAY_JOIN) {
        hold_back(at, way, self->chunk, (size_t)count);
    } else {
        deliver(self, at, way, self->chunk, (size_t)count);
    }
}

/* ---------------------------------------------------------------------------------- the thread */

static void take_client(relay *self)
{
    link_state *at = self->links;
    int client = accept(self->listener, NULL, NULL);
    while (at < self->links + LINKS_MAX && in_use(at))
        at++;
    if (client < 0 || at == self->links + LINKS_MAX)
        die("accept");
    self->connections++;
    int server = loopback_dial(self->upstream);
    if (server < 0) {
        (void)close(client);
        return;
    }
    loopback_send_at_once(client);
    at->fds[RELAY_TO_CLIENT] = client;
    at->fds[RELAY_TO_SERVER] = server;
    at->passed[0] = at->passed[1] = 0;
}

/* Fills in what to wait for: two entries a link, behind the first two. @return the time limit */
static int list(relay *self, struct pollfd fds[2 * LINKS_MAX + 2])
{
    int limit_ms = -1;
    fds[0] = (struct pollfd){.fd = self->wake[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
    for (size_t i = 0; i < LINKS_MAX; i++) {
        const link_state *at = &self->links[i];
        for (size_t way = 0; way < 2; way++)
            fds[2 + 2 * i + way] =
                (struct pollfd){.fd = at->stalled ? -1 : at->fds[way], .events = POLLIN};
        if (at->back[0].len + at->back[1].len > 0)
            limit_ms = JOIN_MS;
    }
    return limit_ms;
}

static void serve_all(relay *self, const struct pollfd fds[2 * LINKS_MAX + 2], bool quiet)
{
    for (size_t i = 0; i < LINKS_MAX; i++) {
        link_state *at = &self->links[i];
        for (size_t from = 0; from < 2; from++) {
            /* In the meantime it may have ended, and its numbers be another link's. */
            const struct pollfd *entry = &fds[2 + 2 * i + from];
            if (entry->revents && in_use(at) && !at->stalled && entry->fd == at->fds[from])
                serve(self, at, from == RELAY_TO_SERVER ? RELAY_TO_CLIENT : RELAY_TO_SERVER);
        }
        if (quiet || self->pace != RELAY_JOIN)
            deliver_held(self, at);
    }
}

static void *run(void *user)
{
    relay *self = user;
    struct pollfd fds[2 * LINKS_MAX + 2];
    for (;;) {
        lock(self);
        int limit_ms = list(self, fds);
        unlock(self);
        int count = poll(fds, 2 * LINKS_MAX + 2, limit_ms);
        if (count < 0 && errno != EINTR)
            die("poll");
        lock(self);
        char byte;
        bool woken = count > 0 && fds[0].revents && read(self->wake[0], &byte, 1) == 1;
        if (woken && byte == 'e') {
            unlock(self);
            return NULL;
        }
        serve_all(self, fds, count == 0);
        if (count > 0 && fds[1].revents)
            take_client(self);
        unlock(self);
    }
}

static void wake(relay *self, char what)
{
    if (write(self->wake[1], &what, 1) != 1)
        die("write");
}

/* ------------------------------------------------------------------------------- for the tests */

relay *relay_start(int port, uint64_t seed)
{
    relay *self = calloc(1, sizeof *self);
    if (!self)
        die("calloc");
    self->upstream = port;
    self->random = seed;
    for (size_t i = 0; i < LINKS_MAX; i++)
        self->links[i].fds[0] = self->links[i].fds[1] = -1;
    self->listener = loopback_listen(LINKS_MAX, &self->port);
    if (self->listener < 0 || pipe(self->wake) != 0)
        die("listen");
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
        end(&self->links[i], false);
    (void)close(self->listener);
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
    for (size_t i = 0; i < LINKS_MAX; i++)
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
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (self->links[i].stalled)
            end(&self->links[i], false);
    }
    unlock(self);
    wake(self, 'w');
    return fired;
}

void relay_set_pace(relay *self, relay_pace pace)
{
    lock(self);
    self->pace = pace;
    unlock(self);
    wake(self, 'w');
}

void relay_lead_to(relay *self, int port)
{
    lock(self);
    self->upstream = port;
    for (size_t i = 0; i < LINKS_MAX; i++)
        end(&self->links[i], false);
    unlock(self);
    wake(self, 'w');
}

int relay_connections(relay *self)
{
    lock(self);
    int connections = self->connections;
    unlock(self);
    return connections;
}
