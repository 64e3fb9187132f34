/* SPDX-License-Identifier: MIT */
/*
 * A small proxy between the library and a server, in a thread of the test: it takes the commands
 * one by one, and does to some of them what networks and servers do.
 */
#ifndef IDEM_TESTS_PROXY_H
#define IDEM_TESTS_PROXY_H

#define PROXY_URL_SIZE 64
#define PROXY_ALWAYS   (-1)

typedef enum {
    PROXY_LOSE_REPLY = 1, /* the server carries it out, and the connection closes */
    PROXY_CLOSE,          /* the connection closes, and the server never sees it */
    PROXY_RESET,          /* the same, at once and hard */
    PROXY_ANSWER,         /* the server never sees it, and `text` is the reply */
    PROXY_REWRITE,        /* the server carries it out, and `text` is the reply */
    PROXY_CLOSE_EARLY,    /* the connection closes before the command is whole */
    PROXY_ANSWER_EARLY,   /* `text` is the reply before the command is whole; no more is read */
    PROXY_STALL,          /* nothing happens any more on this connection */
    PROXY_STRAY_BEFORE,   /* `text` comes first, and then all goes on as usual */
    PROXY_STRAY_AFTER,    /* `text` comes a millisecond behind the reply */
    PROXY_CALL            /* `call` is called first, and all goes on as usual */
} proxy_action;

typedef struct {
    const char *match; /* what a command has in it; bulk strings as they travel */
    proxy_action action;
    int times; /* so often, then never again; or PROXY_ALWAYS */
    int skip;  /* let so many pass first */
    const char *text;
    void (*call)(void *user);
    void *user;
} proxy_rule;

typedef struct proxy proxy;

/** Starts a proxy in front of a port of this machine. */
proxy *proxy_start(int port);

/** Ends its connections and its thread. */
void proxy_stop(proxy *self);

/** Where it listens: `redis://127.0.0.1:port`. */
const char *proxy_url(const proxy *self);

/** Adds a rule; the first that matches a command is the one that counts. Its texts have to stay. */
void proxy_add(proxy *self, proxy_rule rule);

/** Puts one rule in the place of all, in one step. The texts of those that were there have to stay,
 *  too: a reply may be under way. */
void proxy_set(proxy *self, proxy_rule rule);

/** Takes all rules away. */
void proxy_clear(proxy *self);

/** How many commands a rule has met since proxy_clear(). */
int proxy_hits(proxy *self);

/** How many connections there have been. */
int proxy_connections(proxy *self);

#endif
