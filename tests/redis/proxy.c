/* SPDX-License-Identifier: MIT */
/*
 * A hook of the relay. A command is carried out in one go: it is taken from the client, sent to the
 * server, and its reply is awaited and handed back, so that a rule is about one command and one
 * reply. The rules are behind a lock.
 */
#define _GNU_SOURCE /* memmem() */
#include "proxy.h"

#include "loopback.h"
#include "relay.h"

#include <hiredis/hiredis.h>

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RULES_MAX 8

/* What a client has sent of commands that are not carried out yet. */
typedef struct {
    size_t len;
    size_t capacity;
    char data[];
} sent;

struct proxy {
    relay *relay;
    pthread_mutex_t lock;
    char url[PROXY_URL_SIZE];
    proxy_rule rules[RULES_MAX];
    size_t rule_count;
    int hits;
};

/* A client's turn. */
typedef struct {
    proxy *self;
    relay *relay;
    relay_link *link;
    sent *sent;
} exchange;

static int client_of(const exchange *at)
{
    return relay_link_socket(at->link, RELAY_TO_CLIENT);
}

static bool say(const exchange *at, const char *text)
{
    return loopback_send_all(client_of(at), text, strlen(text));
}

static void die(const char *what)
{
    perror(what);
    abort();
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
static size_t command_len(const sent *from)
{
    size_t words;
    size_t len;
    const char *limit = from->data + from->len;
    const char *at = from->len ? read_count(from->data, limit, &words) : NULL;
    for (size_t i = 0; at && i < words; i++) {
        at = at < limit ? read_count(at, limit, &len) : NULL;
        if (at && (size_t)(limit - at) < len + 2)
            return 0;
        at = at ? at + len + 2 : NULL;
    }
    return at ? (size_t)(at - from->data) : 0;
}

/* Sends a command on, and gives its reply back if `deliver`. @return false: a side has gone */
static bool pass(const exchange *at, size_t len, bool deliver)
{
    int server = relay_link_socket(at->link, RELAY_TO_SERVER);
    char chunk[65536];
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    bool alive = loopback_send_all(server, at->sent->data, len);
    while (alive && !reply) {
        ssize_t count = recv(server, chunk, sizeof chunk, 0);
        alive = count > 0;
        if (alive && deliver)
            alive = loopback_send_all(client_of(at), chunk, (size_t)count);
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

/* So much later that it is not taken along with the reply before it. */
static bool say_later(const exchange *at, const char *text)
{
    (void)poll(NULL, 0, 1);
    return say(at, text);
}

/* @return false: the connection is to end */
static bool carry_out(const exchange *at, size_t len)
{
    proxy_rule rule;
    if (!find_rule(at->self, at->sent->data, len, true, &rule))
        return pass(at, len, true);
    switch (rule.action) {
    case PROXY_LOSE_REPLY:
        (void)pass(at, len, false);
        return false;
    case PROXY_RESET:
        relay_link_fault(at->relay, at->link, RELAY_RESET);
        return true;
    case PROXY_ANSWER:
        return say(at, rule.text);
    case PROXY_REWRITE:
        return pass(at, len, false) && say(at, rule.text);
    case PROXY_STRAY_BEFORE:
        return say(at, rule.text) && pass(at, len, true);
    case PROXY_STRAY_AFTER:
        return pass(at, len, true) && say_later(at, rule.text);
    case PROXY_STALL:
        relay_link_fault(at->relay, at->link, RELAY_STALL);
        return true;
    case PROXY_CALL:
        rule.call(rule.user);
        return pass(at, len, true);
    case PROXY_CLOSE:
    case PROXY_CLOSE_EARLY:
    case PROXY_ANSWER_EARLY:
        break;
    }
    return false;
}

static void act_early(const exchange *at)
{
    proxy_rule rule;
    if (at->sent->len == 0 || !find_rule(at->self, at->sent->data, at->sent->len, false, &rule))
        return;
    if (rule.action == PROXY_ANSWER_EARLY)
        (void)say(at, rule.text);
    relay_link_fault(at->relay, at->link,
                     rule.action == PROXY_CLOSE_EARLY ? RELAY_CLOSE : RELAY_STALL);
}

/* @return what the client has sent in all, and not been answered to */
static sent *keep(relay_link *at, const char *data, size_t len)
{
    sent *from = *relay_link_state(at);
    size_t before = from ? from->len : 0;
    if (!from || from->capacity - before < len) {
        size_t capacity = 2 * (before + len);
        from = realloc(from, sizeof *from + capacity);
        if (!from)
            die("realloc");
        from->capacity = capacity;
        *relay_link_state(at) = from;
    }
    memcpy(from->data + before, data, len);
    from->len = before + len;
    return from;
}

static void take(void *user, relay *between, relay_link *at, const char *data, size_t len)
{
    const exchange about = {user, between, at, keep(at, data, len)};
    while (relay_link_serves(at) && (len = command_len(about.sent)) > 0) {
        if (!carry_out(&about, len)) {
            relay_link_fault(between, at, RELAY_CLOSE);
        } else if (relay_link_serves(at)) {
            about.sent->len -= len;
            memmove(about.sent->data, about.sent->data + len, about.sent->len);
        }
    }
    if (relay_link_serves(at))
        act_early(&about);
}

/* ------------------------------------------------------------------------------- for the tests */

proxy *proxy_start(int port)
{
    proxy *self = calloc(1, sizeof *self);
    if (!self)
        die("calloc");
    (void)pthread_mutex_init(&self->lock, NULL);
    self->relay = relay_start_with(&(relay_options){.port = port, .take = take, .user = self});
    (void)snprintf(self->url, sizeof self->url, "redis://127.0.0.1:%d", relay_port(self->relay));
    return self;
}

void proxy_stop(proxy *self)
{
    relay_stop(self->relay);
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

void proxy_set(proxy *self, proxy_rule rule)
{
    (void)pthread_mutex_lock(&self->lock);
    self->rules[0] = rule;
    self->rule_count = 1;
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
    return relay_connections(self->relay);
}
