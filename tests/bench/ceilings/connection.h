/* SPDX-License-Identifier: MIT */
/* A blocking connection of hiredis to the server of a URL. */
#ifndef IDEM_BENCH_CONNECTION_H
#define IDEM_BENCH_CONNECTION_H

#include <hiredis/hiredis.h>

/** Connects to `redis+unix://PATH` or `redis://HOST:PORT`. */
redisContext *connection_open(const char *url);

/** The reply to what was sent first, which has to be of this type. End it with freeReplyObject(). */
redisReply *connection_reply(redisContext *connection, int type);

/** The reply to what was sent first, for who accepts several types. An error ends the program. */
redisReply *connection_any_reply(redisContext *connection);

#endif
