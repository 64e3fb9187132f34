/* SPDX-License-Identifier: MIT */
/* A redis-server of the test's own: on a free port, and on a unix socket in its folder. */
#ifndef IDEM_TESTS_SERVER_H
#define IDEM_TESTS_SERVER_H

#include "child.h"

#include <hiredis/hiredis.h>

#define SERVER_URL_SIZE 400

typedef struct {
    CHILD;
    char socket[160];
    char url[SERVER_URL_SIZE];      /* redis://127.0.0.1:port */
    char unix_url[SERVER_URL_SIZE]; /* redis+unix:///folder/sock */
} server;

/** Leaves the program if there is no server to test with: as a failure where IDEM_SKIPS_FAIL=1,
 *  else as one that ctest calls skipped. */
void server_require(void);

/** Starts a server and waits until it answers; ends the program if it does not. For a process's
 *  main thread: the server ends with the thread that started it.
 *  @param options  pairs of words for its command line, NULL at the end; may be NULL */
void server_start(server *self, const char *const *options);

/** The same as a sentinel. @param settings  what its file says beside its port and its folder */
void server_start_sentinel(server *self, const char *settings);

/** Stops it and keeps its folder and its port. */
void server_stop(server *self);

/** Ends it without a warning (SIGKILL) and keeps its folder and its port. */
void server_kill(server *self);

/** Starts it again, on the same folder and port, and waits until it has loaded its data. */
void server_again(server *self, const char *const *options);

/** Stops it if need be, and removes its folder. */
void server_remove(server *self);

/** Sends one command by a connection of its own, as redisCommand() does; the test ends if there is
 *  no reply. @return free it with freeReplyObject() */
redisReply *server_ask(const server *self, const char *format, ...);

/** The same; NULL: there was no reply, as from a server that drops its clients. */
redisReply *server_try(const server *self, const char *format, ...);

/** The same where success is all that is wanted: ends the test on an error reply. */
void server_do(const server *self, const char *format, ...);

/** The same where the server may refuse it, or may not answer. @return false: it did */
bool server_may(const server *self, const char *format, ...);

/** The same for a number, and for a text (free() it), which must not be nil. */
long long server_number(const server *self, const char *format, ...);
char *server_text(const server *self, const char *format, ...);

/** A number out of INFO, such as `connected_clients`. */
long long server_info(const server *self, const char *section, const char *field);

#endif
