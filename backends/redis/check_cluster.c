/* SPDX-License-Identifier: MIT */
/*
 * Records are replicated with the moment of their end: so the clock of a replica counts from the
 * moment on at which it takes over. Each is compared with its master's, by a connection of its own.
 * A replica that can't be asked is a finding, and no error of the check. A master that can't be is
 * told by the check of the masters.
 */
#include "check_cluster.h"

#include "check_sentinel.h"
#include "connection.h"

#include <inttypes.h>

#define CLOCK_MAX_MS 1000
#define REPLICAS_MAX 64u /* of a large cluster the first ones stand for all */

typedef struct {
    const idem__redis_cluster *self;
    uint64_t deadline_ms;
    size_t left; /* that have to be asked */
    idem_finding_fn emit;
    void *emit_user;
} examination;

/* Each of so many may take its share of the time that is left. */
static uint64_t share_of(examination *at)
{
    uint64_t now_ms = idem_monotonic_ms();
    size_t left = at->left > 0 ? at->left-- : 1;
    return now_ms < at->deadline_ms ? now_ms + (at->deadline_ms - now_ms) / left : now_ms;
}

static int ask_time(idem__redis *node, uint64_t limit_ms, int64_t *ahead_ms,
                    idem__redis_fault *fault)
{
    idem_bytes time = idem_str("TIME");
    redisReply *reply = NULL;
    int rc = idem__redis_ready(node, limit_ms, fault);
    if (rc)
        return rc;
    idem__redis_wire_begin(&node->wire, false);
    rc = idem__redis_wire_append(&node->wire, 1, &time, fault);
    int64_t before_ms = idem_wall_ms();
    if (rc == IDEM_OK)
        rc = idem__redis_wire_reply(&node->wire, limit_ms, &reply, fault);
    if (rc)
        return rc;
    *ahead_ms = reply->type == REDIS_REPLY_ARRAY
                    ? idem__redis_check_ahead(reply, before_ms, idem_wall_ms())
                    : 0;
    freeReplyObject(reply);
    return IDEM_OK;
}

static int ask_clock(examination *at, const idem__redis_member *member, int64_t *ahead_ms,
                     idem__redis_fault *fault)
{
    idem_config config = idem__redis_node_config(at->self, &member->address);
    idem__redis *node = idem__redis_node_make(at->self, &config, fault);
    if (!node)
        return fault->error.code;
    int rc = ask_time(node, share_of(at), ahead_ms, fault);
    idem__redis_close(&node->base);
    return rc;
}

static void tell_apart(const examination *at, const idem__redis_address *replica, int64_t apart_ms)
{
    int64_t off_ms = apart_ms < 0 ? -apart_ms : apart_ms;
    char quoted[IDEM_QUOTE_SIZE];
    if (off_ms > CLOCK_MAX_MS)
        idem_finding_emit(at->emit, at->emit_user,
                          "let all nodes follow a time server (chrony, systemd-timesyncd)",
                          "the clock of the replica at %s port %u is %" PRId64 ".%01" PRId64
                          " s %s its master's: a failover to it ends leases so much too %s",
                          idem_quote(idem_str(replica->host), quoted), (unsigned)replica->port,
                          off_ms / 1000, off_ms % 1000 / 100, apart_ms < 0 ? "behind" : "ahead of",
                          apart_ms < 0 ? "late" : "early");
}

static void examine(examination *at, const idem__redis_member *replica,
                    const idem__redis_member *master)
{
    idem__redis_fault fault = {0};
    idem__redis_fault unused = {0};
    int64_t ahead_ms = 0;
    int64_t master_ahead_ms = 0;
    if (ask_clock(at, replica, &ahead_ms, &fault))
        idem_finding_emit(at->emit, at->emit_user,
                          "let clients reach it as they reach its master; look at its users",
                          "a replica can't be asked, and no more when it is the master: %.160s",
                          fault.error.message);
    else if (ask_clock(at, master, &master_ahead_ms, &unused) == IDEM_OK)
        tell_apart(at, &replica->address, ahead_ms - master_ahead_ms);
}

void idem__redis_check_cluster(const idem__redis_cluster *self, uint64_t deadline_ms,
                               idem_finding_fn emit, void *emit_user)
{
    const idem__redis_map *map = self->map;
    examination at = {
        .self = self, .deadline_ms = deadline_ms, .emit = emit, .emit_user = emit_user};
    size_t replicas = 0;
    for (size_t i = 0; i < map->count; i++)
        replicas += map->members[i].replica;
    replicas = replicas < REPLICAS_MAX ? replicas : REPLICAS_MAX;
    at.left = 2 * replicas;
    for (size_t i = 0; i < map->count && replicas > 0; i++) {
        const idem__redis_member *member = &map->members[i];
        if (!member->replica)
            continue;
        replicas--;
        examine(&at, member, &map->members[member->master]);
    }
}
