/* SPDX-License-Identifier: MIT */
/*
 * A relay between the library and a server, in a thread of the test. It knows nothing of commands:
 * it passes bytes on, and after exactly so many of them does what networks do.
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

/** Starts a relay in front of a port of this machine. `seed` is for random lengths. */
relay *relay_start(int port, uint64_t seed);
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

#endif
