/* SPDX-License-Identifier: MIT */
/*
 * The proxy's thread serves all its connections with one poll(). A command is carried out in one
 * go: it is taken from the client, sent to the server, and its reply is awaited and handed back,
 * so that a rule is about one command and one reply. The rules are behind a lock.
 */
#define _GNU_SOURCE /* memmem() */
#include "proxy.h"

#include "loopback.h"

#include <hiredis/hiredis.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX 128
#define RULES_MAX 8

typedef struct {
    int client; /* -1: free */
    int server;
    bool stalled;
    char *data; /* of a command that is not whole yet */
    size_t len;
    size_t capacity;
} link_state;

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock;
    int listener;
    int wake[2];
    int upstream;
    char url[PROXY_URL_SIZE];
    proxy_rule rules[RULES_MAX];
    size_t rule_count;
    int hits;
    int connections;
    link_state links[LINKS_MAX];
};

static void die(const char *what)
{
    perror(what);
    abort();
}

/* --------------------------------------------------------------------------------------- links */

static void end(link_state *at)
{
    (void)close(at->client);
    (void)close(at->server);
    free(at->data);
    memset(at, 0, sizeof *at);
    at->client = -1;
}

static void reset(link_state *at)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(at->client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    end(at);
}

/* ------------------------------------------------------------------------------------ commands */

/* Reads `*12\r\n` and the like. @return behind it, or NULL if it is not whole */
static const char *read_count(const char *at, const char *limit, size_t *count)
{
    const char *newline = memchr(at, '\n', (size_t)(limit - at));
    if (!newline)
        return NULL;
    *count = strtoull(at + 1, NULL, 10);
    return newline + 1;
}

/* The length of the command at the front; 0: it is not whole. */
static size_t command_len(const link_state *link)
{
    size_t words;
    size_t len;
    const char *limit = link->data + link->len;
    const char *at = link->len ? read_count(link->data, limit, &words) : NULL;
    for (size_t i = 0; at && i < words; i++) {
        at = at < limit ? read_count(at, limit, &len) : NULL;
        if (at && (size_t)(limit - at) < len + 2)
            return 0;
        at = at ? at + len + 2 : NULL;
    }
    return at ? (size_t)(at - link->data) : 0;
}

/* Sends a command on, and gives its reply back if `deliver`. @return false: a side has gone */
static bool pass(link_state *link, size_t len, bool deliver)
{
    char chunk[65536];
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    bool alive = loopback_send_all(link->server, link->data, len);
    while (alive && !reply) {
        ssize_t count = recv(link->server, chunk, sizeof chunk, 0);
        alive = count > 0;
        if (alive && deliver)
            alive = loopback_send_all(link->client, chunk, (size_t)count);
        if (alive && (redisReaderFeed(reader, chunk, (size_t)count) != REDIS_OK ||
                      redisReaderGetReply(reader, &reply) != REDIS_OK))
            alive = false;
    }
    if (reply)
        freeReplyObject(reply);
    redisReaderFree(reader);
    return alive;
}

static bool is_early(proxy_action action)
{
    return action == PROXY_ANSWER_EARLY || action == PROXY_CLOSE_EARLY;
}

/* The rule for a command, or for the beginning of one. False: none. */
static bool find_rule(proxy *self, const char *data, size_t len, bool whole, proxy_rule *found)
{
    bool any = false;
    (void)pthread_mutex_lock(&self->lock);
    for (size_t i = 0; i < self->rule_count && !any; i++) {
        proxy_rule *rule = &self->rules[i];
        if (rule->times == 0 || whole == is_early(rule->action) ||
            !memmem(data, len, rule->match, strlen(rule->match)))
            continue;
        if (rule->skip > 0) {
            rule->skip--;
            break;
        }
        rule->times -= rule->times > 0;
        self->hits++;
        *found = *rule;
        any = true;
    }
    (void)pthread_mutex_unlock(&self->lock);
    return any;
}

/* @return false: the connection is to end */
static bool carry_out(proxy *self, link_state *link, size_t len)
{
    proxy_rule rule;
    if (!find_rule(self, link->data, len, true, &rule))
        return pass(link, len, true);
    switch (rule.action) {
    case PROXY_LOSE_REPLY:
        (void)pass(link, len, false);
        return false;
    case PROXY_RESET:
        reset(link);
        return true;
    case PROXY_ANSWER:
        return loopback_send_all(link->client, rule.text, strlen(rule.text));
    case PROXY_REWRITE:
        return pass(link, len, false) &&
               loopback_send_all(link->client, rule.text, strlen(rule.text));
    case PROXY_STRAY_BEFORE:
        return loopback_send_all(link->client, rule.text, strlen(rule.text)) &&
               pass(link, len, true);
    case PROXY_STRAY_AFTER:
        return pass(link, len, true) &&
               loopback_send_all(link->client, rule.text, strlen(rule.text));
    case PROXY_STALL:
        link->stalled = true;
        return true;
    case PROXY_CALL:
        rule.call(rule.user);
        return pass(link, len, true);
    case PROXY_CLOSE:
    case PROXY_CLOSE_EARLY:
    case PROXY_ANSWER_EARLY:
        break;
    }
    return false;
}

static void act_early(proxy *self, link_state *link)
{
    proxy_rule rule;
    if (link->len == 0 || !find_rule(self, link->data, link->len, false, &rule))
        return;
    if (rule.action == PROXY_CLOSE_EARLY) {
        end(link);
        return;
    }
    (void)loopback_send_all(link->client, rule.text, strlen(rule.text));
    link->stalled = true;
}

static bool read_more(link_state *link)
{
    if (link->capacity - link->len < 65536) {
        link->capacity = link->capacity ? 2 * link->capacity : 131072;
        link->data = realloc(link->data, link->capacity);
        if (!link->data)
            die("realloc");
    }
    ssize_t count = recv(link->client, link->data + link->len, link->capacity - link->len, 0);
    link->len += count > 0 ? (size_t)count : 0;
    return count > 0;
}

static void serve(proxy *self, link_state *link)
{
    size_t len = 0;
    if (!read_more(link)) {
        end(link);
        return;
    }
    while (link->client >= 0 && !link->stalled && (len = command_len(link)) > 0) {
        if (!carry_out(self, link, len)) {
            end(link);
            return;
        }
        if (link->client >= 0) {
            link->len -= len;
            memmove(link->data, link->data + len, link->len);
        }
    }
    if (link->client >= 0 && !link->stalled)
        act_early(self, link);
}

/* ---------------------------------------------------------------------------------- the thread */

static void take_client(proxy *self)
{
    link_state *at = self->links;
    int client = accept(self->listener, NULL, NULL);
    while (at->client >= 0)
        at++;
    if (client < 0 || at == self->links + LINKS_MAX)
        die("accept");
    loopback_send_at_once(client);
    at->client = client;
    at->server = loopback_dial(self->upstream);
    (void)pthread_mutex_lock(&self->lock);
    self->connections++;
    (void)pthread_mutex_unlock(&self->lock);
    if (at->server < 0)
        end(at);
}

static void *run(void *user)
{
    proxy *self = user;
    struct pollfd fds[LINKS_MAX + 2];
    for (;;) {
        fds[0] = (struct pollfd){.fd = self->wake[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
        for (size_t i = 0; i < LINKS_MAX; i++) {
            const link_state *at = &self->links[i];
            fds[i + 2] = (struct pollfd){.fd = at->stalled ? -1 : at->client, .events = POLLIN};
        }
        if (poll(fds, LINKS_MAX + 2, -1) < 0 && errno != EINTR)
            die("poll");
        if (fds[0].revents)
            return NULL;
        for (size_t i = 0; i < LINKS_MAX; i++) {
            if (fds[i + 2].revents && self->links[i].client >= 0)
                serve(self, &self->links[i]);
        }
        if (fds[1].revents)
            take_client(self);
    }
}

proxy *proxy_start(int port)
{
    int own_port = 0;
    proxy *self = calloc(1, sizeof *self);
    if (!self)
        die("calloc");
    self->upstream = port;
    for (size_t i = 0; i < LINKS_MAX; i++)
        self->links[i].client = -1;
    self->listener = loopback_listen(LINKS_MAX, &own_port);
    if (self->listener < 0 || pipe(self->wake) != 0)
        die("listen");
    (void)snprintf(self->url, sizeof self->url, "redis://127.0.0.1:%d", own_port);
    (void)pthread_mutex_init(&self->lock, NULL);
    if (pthread_create(&self->thread, NULL, run, self) != 0)
        die("pthread_create");
    return self;
}

void proxy_stop(proxy *self)
{
    if (write(self->wake[1], "", 1) != 1)
        die("write");
    (void)pthread_join(self->thread, NULL);
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (self->links[i].client >= 0)
            end(&self->links[i]);
    }
    (void)close(self->listener);
    (void)close(self->wake[0]);
    (void)close(self->wake[1]);
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

const char *proxy_url(const proxy *self)
{
    return self->url;
}

void proxy_add(proxy *self, proxy_rule rule)
{
    (void)pthread_mutex_lock(&self->lock);
    if (self->rule_count == RULES_MAX)
        abort();
    self->rules[self->rule_count++] = rule;
    (void)pthread_mutex_unlock(&self->lock);
}

void proxy_clear(proxy *self)
{
    (void)pthread_mutex_lock(&self->lock);
    self->rule_count = 0;
    self->hits = 0;
    (void)pthread_mutex_unlock(&self->lock);
}

int proxy_hits(proxy *self)
{
    (void)pthread_mutex_lock(&self->lock);
    int hits = self->hits;
    (void)pthread_mutex_unlock(&self->lock);
    return hits;
}

int proxy_connections(proxy *self)
{
    (void)pthread_mutex_lock(&self->lock);
    int connections = self->connections;
    (void)pthread_mutex_unlock(&self->lock);
    return connections;
}
