/* SPDX-License-Identifier: MIT */
/* Something that listens where a server is expected, greets like one, and then answers nonsense. */
#ifndef IDEM_TESTS_FAKE_H
#define IDEM_TESTS_FAKE_H

#include <stdbool.h>
#include <stddef.h>

/* What a server without HELLO and ECHO answers to PING and these. */
#define FAKE_GREETING "+PONG\r\n-ERR unknown command\r\n-ERR unknown command\r\n"

typedef struct {
    const char *greeting; /* the answer to a connection's first bytes; NULL: FAKE_GREETING */
    const char *answer;   /* to every bytes that follow */
    size_t len;           /* of the answer; 0: strlen() */
    const char *flood;    /* what comes behind it, again and again, until nobody takes it */
} fake_script;

typedef struct fake fake;

/** Starts it. The script's texts have to stay. */
fake *fake_start(const fake_script *script);
void fake_stop(fake *self);

/** Where it listens, on 127.0.0.1. */
int fake_port(const fake *self);

/** How many connections are open, as seen from here. */
int fake_open_connections(fake *self);

/** How many bytes it has sent. */
size_t fake_sent(fake *self);

#endif
