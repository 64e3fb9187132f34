/* SPDX-License-Identifier: MIT */
/*
 * A thread for each connection, which answers whatever comes and floods where it is told to, until
 * the client closes. Counters are behind atomics; the threads end when the fake is stopped, which
 * closes their sockets' other direction.
 */
#include "fake.h"

#include "loopback.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOOD_BYTES  65536
#define REQUEST_SIZE 4096
#define LOOK_MS      5

struct fake {
    pthread_t thread;
    fake_script script;
    int listener;
    int port;
    char *flood;
    size_t flood_len;
    atomic_bool ending;
    atomic_int open;
    atomic_size_t sent;
};

typedef struct {
    fake *self;
    int fd;
} guest;

static void die(const char *what)
{
    perror(what);
    abort();
}

/* Sends without ever waiting longer than to look whether all is to end. */
static bool send_all(fake *self, int fd, const char *data, size_t len)
{
    while (len > 0 && !atomic_load(&self->ending)) {
        struct pollfd entry = {.fd = fd, .events = POLLOUT};
        if (poll(&entry, 1, LOOK_MS) == 0)
            continue;
        ssize_t count = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        data += count > 0 ? count : 0;
        len -= count > 0 ? (size_t)count : 0;
        (void)atomic_fetch_add(&self->sent, count > 0 ? (size_t)count : 0);
    }
    return len == 0;
}

/* @param[out] bytes  what has come, NUL-terminated
   @return false: the client has closed, or all is to end */
static bool wait_for_bytes(fake *self, int fd, char bytes[REQUEST_SIZE])
{
    while (!atomic_load(&self->ending)) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (poll(&entry, 1, LOOK_MS) <= 0)
            continue;
        ssize_t len = recv(fd, bytes, REQUEST_SIZE - 1, 0);
        bytes[len > 0 ? len : 0] = '\0';
        return len > 0;
    }
    return false;
}

/* A client that was refused ECHO tries what else a server may say back: these come alone. */
static bool asks_for_a_seal(const char *bytes)
{
    static const char ping[] = "*2\r\n$4\r\nPING\r\n";
    static const char eval[] = "*4\r\n$4\r\nEVAL\r\n$14\r\nreturn ARGV[1]\r\n";
    return strncmp(bytes, ping, sizeof ping - 1) == 0 || strncmp(bytes, eval, sizeof eval - 1) == 0;
}

static bool answer(fake *self, int fd, bool first, const char *request)
{
    static const char refusal[] = "-ERR unknown command\r\n";
    const fake_script *script = &self->script;
    if (!first && asks_for_a_seal(request))
        return send_all(self, fd, refusal, sizeof refusal - 1);
    if (first) {
        const char *greeting = script->greeting ? script->greeting : FAKE_GREETING;
        return send_all(self, fd, greeting, strlen(greeting));
    }
    bool alive =
        send_all(self, fd, script->answer, script->len ? script->len : strlen(script->answer));
    while (alive && script->flood)
        alive = send_all(self, fd, self->flood, self->flood_len);
    return alive;
}

static void *serve(void *user)
{
    guest *at = user;
    fake *self = at->self;
    bool first = true;
    char request[REQUEST_SIZE];
    while (wait_for_bytes(self, at->fd, request) && answer(self, at->fd, first, request))
        first = false;
    (void)close(at->fd);
    free(at);
    (void)atomic_fetch_sub(&self->open, 1);
    return NULL;
}

static void take(fake *self)
{
    pthread_t thread;
    guest *at = malloc(sizeof *at);
    if (!at)
        die("malloc");
    *at = (guest){self, accept(self->listener, NULL, NULL)};
    if (at->fd < 0)
        die("accept");
    loopback_send_at_once(at->fd);
    (void)atomic_fetch_add(&self->open, 1);
    if (pthread_create(&thread, NULL, serve, at) != 0)
        die("pthread_create");
    (void)pthread_detach(thread);
}

static void *run(void *user)
{
    fake *self = user;
    while (!atomic_load(&self->ending)) {
        struct pollfd entry = {.fd = self->listener, .events = POLLIN};
        if (poll(&entry, 1, LOOK_MS) > 0)
            take(self);
    }
    while (atomic_load(&self->open) > 0)
        (void)poll(NULL, 0, LOOK_MS);
    return NULL;
}

static void make_flood(fake *self)
{
    size_t len = strlen(self->script.flood);
    self->flood = malloc(FLOOD_BYTES + len);
    if (!self->flood)
        die("malloc");
    while (self->flood_len < FLOOD_BYTES) {
        memcpy(self->flood + self->flood_len, self->script.flood, len);
        self->flood_len += len;
    }
}

fake *fake_start(const fake_script *script)
{
    fake *self = calloc(1, sizeof *self);
    if (!self)
        die("calloc");
    self->script = *script;
    if (script->flood)
        make_flood(self);
    self->listener = loopback_listen(64, &self->port);
    if (self->listener < 0)
        die("listen");
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        die("pthread_create");
    return self;
}

void fake_stop(fake *self)
{
    atomic_store(&self->ending, true);
    (void)pthread_join(self->thread, NULL);
    (void)close(self->listener);
    free(self->flood);
    free(self);
}

int fake_port(const fake *self)
{
    return self->port;
}

int fake_open_connections(fake *self)
{
    return atomic_load(&self->open);
}

size_t fake_sent(fake *self)
{
    return atomic_load(&self->sent);
}
