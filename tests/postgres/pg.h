/* SPDX-License-Identifier: MIT */
/* A PostgreSQL server of the test's own: on a free port, and on a unix socket in its folder. */
#ifndef IDEM_TESTS_PG_H
#define IDEM_TESTS_PG_H

#include "child.h"

#include <libpq-fe.h>

#define PG_URL_SIZE 400

typedef struct {
    CHILD;                 /* its folder has data, socket and log */
    char url[PG_URL_SIZE]; /* postgresql:///postgres over the socket */
    char tcp_url[PG_URL_SIZE];
} pg_server;

/** Leaves the program if there is no server to test with: as a failure where IDEM_SKIPS_FAIL=1,
    else as one that ctest calls skipped. */
void pg_require(void);

/** Makes a cluster and starts it; ends the program if it does not answer. For the main thread.
 *  @param options  words for the server's command line, NULL at the end; may be NULL */
void pg_start(pg_server *self, const char *const *options);

/** Writes files for a server with TLS into its folder, as its user: what certificates.sh makes.
 *  Then it is started again with ssl = on. @param script  tests/redis/certificates.sh */
void pg_use_tls(pg_server *self, const char *script);

/** Has it started by another program, such as faketime: words, NULL at the end. Static. */
void pg_start_with(const char *const *words);

/** Makes a standby of a running server, and starts it. @param name  its application_name */
void pg_start_standby(pg_server *self, const pg_server *primary, const char *name);

/** Makes a standby of what was another server, on its folder and port: all that it had is gone. */
void pg_follow(pg_server *self, const pg_server *primary, const char *name);

/** Stops it and keeps its folder and its port. `how` is SIGINT (fast), SIGQUIT (at once) or
    SIGKILL. */
void pg_stop(pg_server *self, int how);

/** Starts it again on the same folder and port. */
void pg_again(pg_server *self, const char *const *options);

/** Makes a primary of a standby, and waits until it takes writes. */
void pg_promote(pg_server *self);

/** Stops it if need be, and removes its folder. */
void pg_remove(pg_server *self);

/** A connection of the test's own; ends the test if there is none. */
PGconn *pg_connect(const pg_server *self);

/** Carries statements out on a connection of its own; ends the test if one fails. */
void pg_do(const pg_server *self, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/** The same, for the first value of the result, as text, in the given room. @return `value` */
const char *pg_ask(const pg_server *self, char *value, size_t size, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/** The same for a number. */
long long pg_number(const pg_server *self, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/** Waits until a question gives a number; ends the test after half a minute. */
void pg_await(const pg_server *self, const char *question, long long number);

#endif
