/* SPDX-License-Identifier: MIT */
/*
 * Sentinels and replicas are asked one after the other, each by a connection of its own that is
 * made as for the question for the primary. One that can't be asked is a finding, and no error of
 * the check: a failover can do without it.
 */
#include "check_sentinel.h"

#include "connection.h"
#include "info.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CLOCK_MAX_MS  1000
#define REPLICAS_MAX  16u
#define SENTINELS_MIN 3u
#define VALUE_SIZE    192

typedef struct {
    idem__redis *self;
    idem__redis *asker;
    idem_bytes info;
    int64_t ahead_ms;
    uint64_t deadline_ms;
    idem_finding_fn emit;
    void *emit_user;
    size_t sentinels; /* that answered */
    uint64_t quorum;
} examination;

/* Each of so many may take its share of the time that is left. */
static uint64_t share_of(const examination *at, size_t left)
{
    uint64_t now_ms = idem_monotonic_ms();
    return now_ms < at->deadline_ms ? now_ms + (at->deadline_ms - now_ms) / (left + 1) : now_ms;
}

static int ask(const examination *at, size_t count, const char *const *words, uint64_t limit_ms,
               redisReply **reply, idem__redis_fault *fault)
{
    idem_bytes command[4];
    for (size_t i = 0; i < count; i++)
        command[i] = idem_str(words[i]);
    idem__redis_wire_begin(&at->asker->wire, false);
    int rc = idem__redis_wire_append(&at->asker->wire, count, command, fault);
    return rc ? rc : idem__redis_wire_reply(&at->asker->wire, limit_ms, reply, fault);
}

/* --------------------------------------------------------------------------------- sentinels */

static void judge_quorum(const examination *at, const redisReply *reply)
{
    char said[120] = "";
    if (reply->type != REDIS_REPLY_ERROR)
        return;
    (void)snprintf(said, sizeof said, "%.100s", reply->str);
    idem__redis_info_plain(said);
    idem_finding_emit(at->emit, at->emit_user,
                      "start the sentinels that are missing, or let this user run SENTINEL "
                      "CKQUORUM (an ACL's +sentinel|ckquorum)",
                      "%s does not see enough sentinels for a failover: %s", at->asker->name, said);
}

/* The text behind a name in a flat list of both. NULL: there is none. */
static const char *field_of(const redisReply *reply, const char *name)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(reply->element[i]->str, name) == 0)
            return reply->element[i + 1]->str;
    }
    return NULL;
}

/* Names and addresses of one server can't be compared. */
static bool is_other_host(const char *one, const char *other)
{
    static const char numeric[] = "0123456789abcdefABCDEF.:";
    bool comparable =
        (one[strspn(one, numeric)] == '\0') == (other[strspn(other, numeric)] == '\0');
    return comparable && strcmp(one, other) != 0;
}

static void judge_master(examination *at, const redisReply *reply)
{
    const char *host = field_of(reply, "ip");
    const char *port = field_of(reply, "port");
    const char *quorum = field_of(reply, "quorum");
    at->quorum = quorum ? strtoull(quorum, NULL, 10) : at->quorum;
    if ((port && strtoul(port, NULL, 10) != at->self->port) ||
        (host && is_other_host(host, at->self->host)))
        idem_finding_emit(at->emit, at->emit_user,
                          "look at its log; when a failover is over, all of them name one",
                          "%s names another primary than %s: it lies behind", at->asker->name,
                          at->self->name);
}

static int examine_sentinel(examination *at, const idem__redis_place *place, uint64_t limit_ms,
                            idem__redis_fault *fault)
{
    redisReply *reply = NULL;
    const char *name = at->self->sentinel->list->master;
    const char *const quorum[] = {"SENTINEL", "CKQUORUM", name};
    const char *const master[] = {"SENTINEL", "MASTER", name};
    int rc = idem__redis_sentinel_open(at->self, place, limit_ms, fault);
    if (rc == IDEM_OK)
        rc = ask(at, 3, quorum, limit_ms, &reply, fault);
    if (rc)
        return rc;
    judge_quorum(at, reply);
    freeReplyObject(reply);
    rc = ask(at, 3, master, limit_ms, &reply, fault);
    if (rc)
        return rc;
    judge_master(at, reply);
    freeReplyObject(reply);
    at->sentinels++;
    return IDEM_OK;
}

static void judge_sentinels(const examination *at, size_t known)
{
    if (known < SENTINELS_MIN)
        idem_finding_emit(at->emit, at->emit_user, "run three or more, on machines of their own",
                          "there are %zu sentinels: when one is lost, there is no failover", known);
    else if (at->quorum > 0 && at->quorum <= known / 2)
        idem_finding_emit(at->emit, at->emit_user, "SENTINEL SET NAME quorum, to more than half",
                          "%" PRIu64 " of %zu sentinels are a quorum: a part that is cut off takes "
                          "a primary for down that the others see",
                          at->quorum, known);
}

static void examine_sentinels(examination *at)
{
    idem__redis_places all;
    idem__redis_sentinels_copy(at->self->sentinel->list, &all);
    for (size_t i = 0; i < all.count; i++) {
        idem__redis_fault fault = {0};
        if (examine_sentinel(at, &all.places[i], share_of(at, all.count - i + REPLICAS_MAX / 4),
                             &fault))
            idem_finding_emit(at->emit, at->emit_user,
                              "start it, or take it out of the URL (and SENTINEL RESET)",
                              "a sentinel can't be asked: %.180s", fault.error.message);
        idem__redis_wire_close(&at->asker->wire);
    }
    judge_sentinels(at, all.count);
}

/* ---------------------------------------------------------------------------------- replicas */

int64_t idem__redis_check_ahead(const redisReply *reply, int64_t before_ms, int64_t after_ms)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return 0;
    int64_t seconds = strtoll(reply->element[0]->str, NULL, 10);
    if (seconds <= 0 || seconds >= INT64_C(1000000000000))
        return 0;
    int64_t server_ms = seconds * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
    if (server_ms > after_ms)
        return server_ms - after_ms;
    return server_ms < before_ms ? server_ms - before_ms : 0;
}

static void judge_clock(const examination *at, int64_t ahead_ms)
{
    int64_t apart_ms = ahead_ms - at->ahead_ms;
    int64_t off_ms = apart_ms < 0 ? -apart_ms : apart_ms;
    if (off_ms > CLOCK_MAX_MS)
        idem_finding_emit(at->emit, at->emit_user,
                          "let all servers follow a time server (chrony, systemd-timesyncd)",
                          "the clock of %s is %" PRId64 ".%01" PRId64 " s %s the primary's: a "
                          "failover to it ends leases so much too %s",
                          at->asker->name, off_ms / 1000, off_ms % 1000 / 100,
                          apart_ms < 0 ? "behind" : "ahead of", apart_ms < 0 ? "late" : "early");
}

static void judge_persistence(const examination *at, const redisReply *reply)
{
    char enabled[8] = "";
    if (reply->type == REDIS_REPLY_STRING)
        (void)idem__redis_info_text((idem_bytes){reply->str, reply->len}, "aof_enabled", enabled,
                                    sizeof enabled);
    if (strcmp(enabled, "0") == 0)
        idem_finding_emit(at->emit, at->emit_user,
                          "CONFIG SET appendonly yes there as well, and the same in redis.conf",
                          "%s has no append-only file: once it is the primary, a restart loses "
                          "what was written since its last snapshot",
                          at->asker->name);
}

static int examine_replica(const examination *at, const idem__redis_place *place, uint64_t limit_ms,
                           idem__redis_fault *fault)
{
    static const char *const time[] = {"TIME"};
    static const char *const info[] = {"INFO", "persistence"};
    redisReply *reply = NULL;
    int rc = idem__redis_sentinel_visit(at->self, place, limit_ms, fault);
    int64_t before_ms = idem_wall_ms();
    if (rc == IDEM_OK)
        rc = ask(at, 1, time, limit_ms, &reply, fault);
    if (rc)
        return rc;
    if (reply->type == REDIS_REPLY_ARRAY)
        judge_clock(at, idem__redis_check_ahead(reply, before_ms, idem_wall_ms()));
    freeReplyObject(reply);
    rc = ask(at, 2, info, limit_ms, &reply, fault);
    if (rc)
        return rc;
    judge_persistence(at, reply);
    freeReplyObject(reply);
    return IDEM_OK;
}

/* `ip=10.0.0.1,port=6379,state=online,…` @return false: there is none of this number */
static bool find_replica(const examination *at, unsigned number, idem__redis_places *one)
{
    char name[16];
    char value[VALUE_SIZE];
    one->count = 0;
    (void)snprintf(name, sizeof name, "slave%u", number);
    if (!idem__redis_info_text(at->info, name, value, sizeof value) ||
        strncmp(value, "ip=", 3) != 0)
        return false;
    uint64_t port = idem__redis_info_part(value, "port");
    idem__redis_places_add(one, (idem_bytes){value + 3, strcspn(value + 3, ",")},
                           port == UINT64_MAX ? 0 : port);
    return one->count == 1;
}

static void examine_replicas(const examination *at)
{
    idem__redis_places one;
    unsigned count = 0;
    while (count < REPLICAS_MAX && find_replica(at, count, &one))
        count++;
    for (unsigned i = 0; i < count; i++) {
        idem__redis_fault fault = {0};
        (void)find_replica(at, i, &one);
        if (examine_replica(at, &one.places[0], share_of(at, count - i), &fault))
            idem_finding_emit(
                at->emit, at->emit_user,
                "let clients reach it as they reach the primary; look at "
                "replica-announce-ip and at its users",
                "a replica can't be asked, and no more when it is the primary: %.160s",
                fault.error.message);
        idem__redis_wire_close(&at->asker->wire);
    }
    if (at->info.len > 0 && count == 0)
        idem_finding_emit(at->emit, at->emit_user, "add a replica (REPLICAOF)",
                          "the primary has no replica: when it is lost, there is no failover");
}

void idem__redis_check_sentinel(idem__redis *self, idem_bytes info, int64_t ahead_ms,
                                uint64_t deadline_ms, idem_finding_fn emit, void *emit_user)
{
    examination at = {.self = self,
                      .asker = &self->sentinel->asker,
                      .info = info,
                      .ahead_ms = ahead_ms,
                      .deadline_ms = deadline_ms,
                      .emit = emit,
                      .emit_user = emit_user};
    examine_sentinels(&at);
    examine_replicas(&at);
}
