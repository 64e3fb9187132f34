/* SPDX-License-Identifier: MIT */
/* Each connection has a thread, which alone uses it: acts are numbered, and it does those that it
   has not done yet. */
#include "tls_gate.h"

#include "loopback.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 64
#define TICK_MS   5
#define BUF_SIZE  16384 /* of the largest record */
#define GATHER_NS 3000000

typedef struct {
    struct tls_gate *gate;
    pthread_t thread;
    SSL *ssl;
    int client;
    int server;
    atomic_int done; /* acts */
    atomic_bool over;
} tls_link;

struct tls_gate {
    SSL_CTX *context;
    pthread_t thread;
    int fd;
    int port;
    int server_port;
    atomic_bool ended;
    atomic_bool gathers;
    atomic_int acts;
    _Atomic tls_gate_act act; /* the last one */
    atomic_int count;
    tls_link links[LINKS_MAX];
};

static void die(const char *what)
{
    (void)fprintf(stderr, "tls_gate: %s\n", what);
    abort();
}

/* @return false: the connection is over */
static bool act_now(tls_link *at)
{
    int done = 1;
    switch (atomic_load(&at->gate->act)) {
    case TLS_GATE_TICKET:
        done = SSL_new_session_ticket(at->ssl);
        break;
    case TLS_GATE_KEY_UPDATE:
        done = SSL_key_update(at->ssl, SSL_KEY_UPDATE_REQUESTED);
        break;
    case TLS_GATE_RENEGOTIATION:
        done = SSL_renegotiate(at->ssl);
        break;
    }
    if (done != 1)
        die("what is to be sent can't be");
    done = SSL_do_handshake(at->ssl);
    int what = SSL_get_error(at->ssl, done);
    return done == 1 || what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE;
}

static bool to_server(tls_link *at)
{
    char buf[BUF_SIZE];
    do {
        int len = SSL_read(at->ssl, buf, sizeof buf);
        if (len <= 0)
            return SSL_get_error(at->ssl, len) == SSL_ERROR_WANT_READ;
        if (!loopback_send_all(at->server, buf, (size_t)len))
            return false;
    } while (SSL_pending(at->ssl) > 0);
    return true;
}

/* The descriptor waits, and so does SSL_write(). */
static bool to_client(tls_link *at)
{
    char buf[BUF_SIZE];
    if (atomic_load(&at->gate->gathers))
        (void)nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
    ssize_t len = recv(at->server, buf, sizeof buf, 0);
    return len > 0 && SSL_write(at->ssl, buf, (int)len) == (int)len;
}

static bool serve_once(tls_link *at)
{
    struct pollfd ends[] = {{.fd = at->client, .events = POLLIN},
                            {.fd = at->server, .events = POLLIN}};
    int acts = atomic_load(&at->gate->acts);
    if (atomic_load(&at->done) != acts) {
        bool goes_on = act_now(at);
        atomic_store(&at->done, acts);
        if (!goes_on)
            return false;
    }
    if (poll(ends, 2, TICK_MS) < 0)
        return false;
    if (ends[1].revents && !to_client(at))
        return false;
    return !ends[0].revents || to_server(at);
}

/* PostgreSQL's clients ask in plain text, in 8 bytes; TLS itself begins with another one. */
static bool let_begin(tls_link *at)
{
    char asked[8];
    if (recv(at->client, asked, sizeof asked, MSG_PEEK | MSG_WAITALL) != (ssize_t)sizeof asked)
        return false;
    if (asked[0] != 0)
        return true;
    return recv(at->client, asked, sizeof asked, MSG_WAITALL) == (ssize_t)sizeof asked &&
           loopback_send_all(at->client, "S", 1);
}

static void *serve(void *user)
{
    tls_link *at = user;
    struct timeval limit = {.tv_sec = 5};
    (void)setsockopt(at->client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool goes_on = at->server >= 0 && let_begin(at) && SSL_accept(at->ssl) == 1;
    while (goes_on && !atomic_load(&at->gate->ended))
        goes_on = serve_once(at);
    atomic_store(&at->over, true);
    SSL_free(at->ssl);
    (void)close(at->client);
    if (at->server >= 0)
        (void)close(at->server);
    return NULL;
}

static void take(tls_gate *self, int fd)
{
    int number = atomic_load(&self->count);
    tls_link *at = &self->links[number];
    if (number == LINKS_MAX)
        die("too many connections");
    loopback_send_at_once(fd);
    at->gate = self;
    at->client = fd;
    at->server = loopback_dial(self->server_port);
    at->ssl = SSL_new(self->context);
    atomic_store(&at->done, atomic_load(&self->acts));
    if (!at->ssl || SSL_set_fd(at->ssl, fd) != 1 ||
        pthread_create(&at->thread, NULL, serve, at) != 0)
        die("no thread for a connection");
    atomic_fetch_add(&self->count, 1);
}

static void *run(void *user)
{
    tls_gate *self = user;
    for (;;) {
        int fd = accept(self->fd, NULL, NULL);
        if (atomic_load(&self->ended)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        if (fd >= 0)
            take(self, fd);
    }
}

tls_gate *tls_gate_start(int port, const char *folder, int version)
{
    char path[200];
    tls_gate *self = calloc(1, sizeof *self);
    if (!self)
        die("out of memory");
    self->server_port = port;
    self->context = SSL_CTX_new(TLS_server_method());
    (void)SSL_CTX_set_min_proto_version(self->context, version);
    (void)SSL_CTX_set_max_proto_version(self->context, version);
    (void)snprintf(path, sizeof path, "%s/server.crt", folder);
    int sound = SSL_CTX_use_certificate_chain_file(self->context, path);
    (void)snprintf(path, sizeof path, "%s/server.key", folder);
    if (sound != 1 || SSL_CTX_use_PrivateKey_file(self->context, path, SSL_FILETYPE_PEM) != 1)
        die("no certificate");
    self->fd = loopback_listen(16, &self->port);
    if (self->fd < 0 || pthread_create(&self->thread, NULL, run, self) != 0)
        die("no port or no thread");
    return self;
}

void tls_gate_stop(tls_gate *self)
{
    atomic_store(&self->ended, true);
    int fd = loopback_dial(self->port); /* wakes it */
    (void)pthread_join(self->thread, NULL);
    if (fd >= 0)
        (void)close(fd);
    for (int i = 0; i < atomic_load(&self->count); i++)
        (void)pthread_join(self->links[i].thread, NULL);
    (void)close(self->fd);
    SSL_CTX_free(self->context);
    free(self);
}

int tls_gate_port(const tls_gate *self)
{
    return self->port;
}

void tls_gate_do(tls_gate *self, tls_gate_act act)
{
    atomic_store(&self->act, act);
    int number = atomic_fetch_add(&self->acts, 1) + 1;
    for (int i = 0; i < atomic_load(&self->count); i++) {
        while (!atomic_load(&self->links[i].over) && atomic_load(&self->links[i].done) < number)
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void tls_gate_gather(tls_gate *self)
{
    atomic_store(&self->gathers, true);
}

int tls_gate_connections(tls_gate *self)
{
    return atomic_load(&self->count);
}
