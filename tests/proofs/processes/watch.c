/* SPDX-License-Identifier: MIT */
/*
 * A window begins at the last moment of which it is known that nothing could be lost: WAIT has told
 * that all replicas have what the primary had answered until then. It ends when the primary and the
 * followers are settled again. Whether a server took another's place shows in the id of the
 * primary's history, even if the first one is back in its place by then.
 */
#include "watch.h"

#include "stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_US   100000u
#define WAIT_MS   200
#define REACH_MS  500
#define PAUSE_US  10000u
#define SETTLE_US 120000000u

typedef struct {
    bool primary;
    bool follows; /* a replica whose link is up */
    char id[WATCH_ID_SIZE];
} state;

void watch_add(watch *self, const server *const *nodes, size_t count)
{
    watch_group *group = &self->groups[self->count++];
    for (size_t i = 0; i < count; i++)
        group->nodes[i] = nodes[i];
    group->count = count;
}

static bool says(const char *info, const char *line)
{
    return strstr(info, line) != NULL;
}

/* Not for long: a server that was stopped would hold up the run. */
static redisContext *reach(const server *node)
{
    struct timeval limit = {.tv_usec = 1000 * REACH_MS};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", node->port, limit);
    if (context && context->err == 0 && redisSetTimeout(context, limit) == REDIS_OK)
        return context;
    if (context)
        redisFree(context);
    return NULL;
}

/* @return false if it does not answer */
static bool ask_state(const server *node, state *into)
{
    redisContext *context = reach(node);
    redisReply *reply = context ? redisCommand(context, "INFO replication") : NULL;
    bool told = reply && reply->type == REDIS_REPLY_STRING;
    const char *id = told ? strstr(reply->str, "master_replid:") : NULL;
    *into = (state){.primary = false};
    if (id) {
        (void)snprintf(into->id, sizeof into->id, "%s", id + strlen("master_replid:"));
        into->primary = says(reply->str, "role:master");
        into->follows = says(reply->str, "role:slave") && says(reply->str, "master_link_status:up");
    }
    freeReplyObject(reply);
    if (context)
        redisFree(context);
    return id != NULL;
}

/* A WAIT is for what its own connection has seen: so a PING goes first. */
static bool all_have_it(const watch_group *group)
{
    redisContext *context = reach(group->nodes[group->primary]);
    redisReply *pong = context ? redisCommand(context, "PING") : NULL;
    redisReply *reply =
        pong ? redisCommand(context, "WAIT %d %d", (int)group->count - 1, WAIT_MS) : NULL;
    bool all = reply && reply->type == REDIS_REPLY_INTEGER &&
               reply->integer >= (long long)group->count - 1;
    freeReplyObject(pong);
    freeReplyObject(reply);
    if (context)
        redisFree(context);
    return all;
}

/* Notes the primary, if there is one alone and the others follow it. */
static bool is_settled(watch_group *group)
{
    state states[WATCH_GROUP_MAX];
    size_t primaries = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (!ask_state(group->nodes[i], &states[i]))
            return false;
        primaries += states[i].primary;
        group->primary = states[i].primary ? i : group->primary;
    }
    const char *id = states[group->primary].id;
    for (size_t i = 0; i < group->count; i++) {
        if (i != group->primary && (!states[i].follows || strcmp(states[i].id, id) != 0))
            return false;
    }
    if (primaries != 1 || !all_have_it(group))
        return false;
    (void)snprintf(group->id, sizeof group->id, "%s", id);
    return true;
}

static bool are_settled(watch *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (!is_settled(&self->groups[i]))
            return false;
    }
    return !self->agreed || self->agreed();
}

void watch_settle(watch *self)
{
    uint64_t start = stamp_us();
    for (uint64_t now = start; now < start + SETTLE_US; now = stamp_us()) {
        if (are_settled(self)) {
            self->calm_us = now;
            self->next_us = now + LOOK_US;
            return;
        }
        stamp_pause_us(PAUSE_US);
    }
    (void)fprintf(stderr, "watch: the servers do not settle\n");
    abort();
}

/* Every node is what it was. One that does not answer, or is cut off for a while, is that too. */
static bool is_as_before(const watch_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        state now;
        if (!ask_state(group->nodes[i], &now))
            continue;
        if (now.primary != (i == group->primary) || (now.primary && strcmp(now.id, group->id) != 0))
            return false;
    }
    return true;
}

bool watch_close(watch *self, backend_window *window)
{
    watch before = *self;
    watch_settle(self);
    *window = (backend_window){.from = before.calm_us, .to = stamp_us()};
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->groups[i].id, before.groups[i].id) != 0)
            return true;
    }
    return false;
}

bool watch_look(watch *self, backend_window *window)
{
    uint64_t now = stamp_us();
    bool calm = true;
    if (now < self->next_us)
        return false;
    for (size_t i = 0; i < self->count; i++) {
        if (!is_as_before(&self->groups[i])) {
            (void)watch_close(self, window);
            return true;
        }
        calm = all_have_it(&self->groups[i]) && calm;
    }
    self->calm_us = calm ? now : self->calm_us;
    self->next_us = stamp_us() + LOOK_US;
    return false;
}
