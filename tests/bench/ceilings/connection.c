/* SPDX-License-Identifier: MIT */
/* Connecting and receiving with hiredis, as plainly as it goes. */
#include "connection.h"

#include "../harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static redisContext *connect_to(const char *url)
{
    static const char over_unix[] = "redis+unix://";
    char host[64];
    char port[8];
    if (strncmp(url, over_unix, sizeof over_unix - 1) == 0)
        return redisConnectUnix(url + sizeof over_unix - 1);
    if (sscanf(url, "redis://%63[^:]:%7[0-9]", host, port) != 2)
        bench_fail("%s is neither redis+unix://PATH nor redis://HOST:PORT", url);
    return redisConnect(host, (int)strtol(port, NULL, 10));
}

redisContext *connection_open(const char *url)
{
    redisContext *connection = connect_to(url);
    if (!connection || connection->err)
        bench_fail("%s: %s", url, connection ? connection->errstr : "out of memory");
    return connection;
}

redisReply *connection_any_reply(redisContext *connection)
{
    void *reply = NULL;
    if (redisGetReply(connection, &reply) != REDIS_OK)
        bench_fail("redis: %s", connection->errstr);
    redisReply *given = reply;
    if (given->type == REDIS_REPLY_ERROR)
        bench_fail("redis: %s", given->str);
    return given;
}

redisReply *connection_reply(redisContext *connection, int type)
{
    redisReply *reply = connection_any_reply(connection);
    if (reply->type != type)
        bench_fail("redis: a reply of type %d in place of %d", reply->type, type);
    return reply;
}
