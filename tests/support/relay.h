/* SPDX-License-Identifier: MIT */
/*
 * The relay: it stands between a client and a server, in a thread of its own, and passes bytes on.
 * After exactly so many of them it does what networks do; it delivers them in other pieces, or
 * later; or it hands them to a hook that knows what they say.
 */
#ifndef IDEM_TESTS_RELAY_H
#define IDEM_TESTS_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { RELAY_TO_SERVER, RELAY_TO_CLIENT } relay_way;

typedef enum {
    RELAY_CLOSE = 1, /* both sides are closed */
    RELAY_RESET,     /* the same, hard: what was not read yet may be gone */
    RELAY_STALL      /* neither way is served any more; both sides stay open */
} relay_fault;

typedef enum {
    RELAY_AS_IT_COMES,
    RELAY_BYTE_BY_BYTE,
    RELAY_SPLIT, /* in pieces of random length */
    RELAY_JOIN   /* held back until nothing more comes, then in one go */
} relay_pace;

typedef struct relay relay;
typedef struct relay_link relay_link;

typedef struct {
    int port; /* of the server, on this machine; the relay takes a free one */
    /** In place of ports, unix sockets: the relay's own, and the server's. */
    const char *path;
    const char *target;
    uint64_t seed;     /* for random lengths */
    uint64_t delay_ns; /* each chunk arrives so much later */
    /** Takes what has come from a client: nothing is passed on that it does not pass on, and it
     *  asks the server for what it answers. Called without the relay's lock: no faults and no pace
     *  then. */
    void (*take)(void *user, relay *self, relay_link *at, const char *data, size_t len);
    void *user;
} relay_options;

/** Starts a relay in front of a port of this machine. `seed` is for random lengths. */
relay *relay_start(int port, uint64_t seed);
relay *relay_start_with(const relay_options *options);
void relay_stop(relay *self);

/** Where it listens, on 127.0.0.1. */
int relay_port(const relay *self);

/** Makes a fault happen as soon as a connection has passed so many bytes on this way: counted from
 *  now, or from the connection's begin. Once, or on every connection. */
void relay_arm(relay *self, relay_fault fault, relay_way way, size_t after, bool always);

/** No fault from now on; connections that are stalled are closed. @return how many there were */
int relay_disarm(relay *self);

/** How the bytes are delivered from now on. */
void relay_set_pace(relay *self, relay_pace pace);

/** Closes all connections; new ones lead to this port. */
void relay_lead_to(relay *self, int port);

/** How many connections there have been. */
int relay_connections(relay *self);

/* For a hook. */

/** The socket that leads this way. */
int relay_link_socket(const relay_link *at, relay_way way);

/** What the hook keeps of a link: NULL at first, freed with free() when the link ends. */
void **relay_link_state(relay_link *at);

/** Whether more is to come: it has not ended, and is not stalled. */
bool relay_link_serves(const relay_link *at);

/** Does it to the link, at once. */
void relay_link_fault(relay *self, relay_link *at, relay_fault fault);

#endif
