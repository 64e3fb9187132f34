/* SPDX-License-Identifier: MIT */
/*
 * Settings of a server that could lose records or run work twice, and whether a claim can be made
 * and completed there, which is tried. Everything is asked in one pipeline; what a server will not
 * tell (managed ones forbid CONFIG) is a finding of its own, since it was not looked at.
 * INFO tells some of it too. No setting is changed.
 */
#include "check.h"

#include "check_sentinel.h"
#include "info.h"
#include "trial.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LAG_MAX_S        2u  /* a replica tells every second where it is */
#define LAG_ALLOWED_S    10u /* what a server that waits for its replicas lets them be behind */
#define CLOCK_MAX_MS     1000
#define MEMORY_PERCENT   90u
#define CERTIFICATE_DAYS 30
#define OLDEST_MAJOR     6u
#define OLDEST_MINOR     2u
#define VALUE_SIZE       96

/* The settings that are asked for, in this order. */
typedef enum {
    POLICY,
    APPEND_ONLY,
    APPEND_SYNC,
    NO_SYNC,
    SAVE,
    MIN_REPLICAS,
    MAX_LAG,
    SETTINGS
} setting;

static const char *const setting_names[SETTINGS] = {
    [POLICY] = "maxmemory-policy",
    [APPEND_ONLY] = "appendonly",
    [APPEND_SYNC] = "appendfsync",
    [NO_SYNC] = "no-appendfsync-on-rewrite",
    [SAVE] = "save",
    [MIN_REPLICAS] = "min-replicas-to-write",
    [MAX_LAG] = "min-replicas-max-lag",
};

typedef struct {
    idem__redis *self;
    uint64_t deadline_ms;
    idem__redis_fault *fault;
    idem_finding_fn emit;
    void *emit_user;
    redisReply *info;                    /* NULL: the server does not tell */
    char settings[SETTINGS][VALUE_SIZE]; /* empty values are possible: see `told` */
    bool told[SETTINGS];
    bool can_list; /* SCAN is not refused */
    idem__redis_trial trial;
    int64_t clock_ahead_ms; /* how far the server's clock is ahead, less what the asking took */
} examination;

static void find(const examination *at, const char *fix, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void find(const examination *at, const char *fix, const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    idem_finding finding = {.what = what, .fix = fix};
    at->emit(at->emit_user, &finding);
}

/* ----------------------------------------------------------------------------------- asking */

static int ask(examination *at)
{
    idem__redis_wire *wire = &at->self->wire;
    idem_bytes time = idem_str("TIME");
    idem_bytes info = idem_str("INFO");
    idem__redis_wire_begin(wire, false);
    int rc = idem__redis_wire_append(wire, 1, &time, at->fault);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_append(wire, 1, &info, at->fault);
    idem_bytes scan[] = {idem_str("SCAN"), idem_str("0"), idem_str("COUNT"), idem_str("1")};
    if (rc == IDEM_OK)
        rc = idem__redis_wire_append(wire, 4, scan, at->fault);
    for (int i = 0; rc == IDEM_OK && i < SETTINGS; i++) {
        idem_bytes words[] = {idem_str("CONFIG"), idem_str("GET"), idem_str(setting_names[i])};
        rc = idem__redis_wire_append(wire, 3, words, at->fault);
    }
    return rc;
}

static int hear(examination *at, redisReply **reply)
{
    return idem__redis_wire_reply(&at->self->wire, at->deadline_ms, reply, at->fault);
}

static bool is_pair(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_STRING;
}

static int hear_time(examination *at, int64_t before_ms)
{
    redisReply *reply = NULL;
    int rc = hear(at, &reply);
    if (rc)
        return rc;
    at->clock_ahead_ms = idem__redis_check_ahead(reply, before_ms, idem_wall_ms());
    freeReplyObject(reply);
    return IDEM_OK;
}

static int hear_list(examination *at)
{
    redisReply *reply = NULL;
    int rc = hear(at, &reply);
    if (rc)
        return rc;
    at->can_list = reply->type != REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    return IDEM_OK;
}

static int hear_setting(examination *at, int which)
{
    redisReply *reply = NULL;
    int rc = hear(at, &reply);
    if (rc)
        return rc;
    at->told[which] = is_pair(reply);
    if (at->told[which]) {
        (void)snprintf(at->settings[which], VALUE_SIZE, "%s", reply->element[1]->str);
        idem__redis_info_plain(at->settings[which]);
    }
    freeReplyObject(reply);
    return IDEM_OK;
}

static int hear_all(examination *at, int64_t before_ms)
{
    int rc = hear_time(at, before_ms);
    if (rc == IDEM_OK)
        rc = hear(at, &at->info);
    if (rc == IDEM_OK && at->info->type != REDIS_REPLY_STRING) {
        freeReplyObject(at->info);
        at->info = NULL;
    }
    if (rc == IDEM_OK)
        rc = hear_list(at);
    for (int i = 0; rc == IDEM_OK && i < SETTINGS; i++)
        rc = hear_setting(at, i);
    return rc;
}

/* ---------------------------------------------------------------------------------- judging */

static idem_bytes info_of(const examination *at)
{
    return at->info ? (idem_bytes){at->info->str, at->info->len} : (idem_bytes){NULL, 0};
}

static bool is_set_to(const examination *at, setting which, const char *value)
{
    return at->told[which] && strcmp(at->settings[which], value) == 0;
}

static void judge_what_was_told(const examination *at)
{
    bool all = true;
    for (int i = 0; i < SETTINGS; i++)
        all = all && at->told[i];
    if (!at->info)
        find(at, "let this user run INFO (an ACL's +info), or look at it as an operator",
             "the server does not tell its state (INFO): version, role, replicas and memory could "
             "not be looked at");
    if (!all)
        find(at,
             "let this user run CONFIG GET (an ACL's +config|get), or look at maxmemory-policy, "
             "appendonly, appendfsync, no-appendfsync-on-rewrite, min-replicas-to-write and "
             "min-replicas-max-lag as an operator",
             "the server does not tell its settings (CONFIG GET): eviction and persistence could "
             "not be looked at in full");
    if (!at->can_list)
        find(at, "let this user run SCAN (an ACL's +scan)",
             "the server lets this user list nothing (SCAN): idem ls and idem_scan() fail");
}

static void judge_eviction(const examination *at)
{
    char policy[VALUE_SIZE] = "";
    if (at->told[POLICY])
        memcpy(policy, at->settings[POLICY], sizeof policy);
    else
        (void)idem__redis_info_text(info_of(at), "maxmemory_policy", policy, sizeof policy);
    if (*policy && strcmp(policy, "noeviction") != 0)
        find(at,
             "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf; give caches a "
             "server of their own",
             "maxmemory-policy is %s: when memory runs short, records are dropped before their "
             "time, and their work is done again",
             policy);
}

/* @return true: there is a finding */
static bool judge_memory(const examination *at)
{
    uint64_t limit = idem__redis_info_number(info_of(at), "maxmemory");
    uint64_t used = idem__redis_info_number(info_of(at), "used_memory");
    bool short_of_it = limit > 0 && used / MEMORY_PERCENT >= limit / 100;
    if (short_of_it)
        find(at, "raise maxmemory, store smaller responses, or keep them for a shorter ttl",
             "memory is %" PRIu64 " %% full: %" PRIu64 " of maxmemory's %" PRIu64
             " bytes; when it is full, begin and complete fail",
             limit >= 100 ? used / (limit / 100) : 100, used, limit);
    return short_of_it;
}

/* A field of INFO that says whether the last write of a file went well. */
static void judge_file(const examination *at, const char *field, const char *file)
{
    char status[VALUE_SIZE];
    if (idem__redis_info_text(info_of(at), field, status, sizeof status) &&
        strcmp(status, "ok") != 0)
        find(at, "look at the server's disk and its log",
             "the server could not write its %s: %s is %s", file, field, status);
}

static void judge_sync(const examination *at)
{
    if (is_set_to(at, APPEND_SYNC, "no"))
        find(at, "CONFIG SET appendfsync everysec (or always), and the same in redis.conf",
             "appendfsync is no: when the machine stops without warning, the last half a minute "
             "or more is gone");
    else if (is_set_to(at, NO_SYNC, "yes"))
        find(at, "CONFIG SET no-appendfsync-on-rewrite no, and the same in redis.conf",
             "no-appendfsync-on-rewrite is yes: when the machine stops without warning during a "
             "rewrite, the last half a minute or more is gone");
}

static void judge_persistence(const examination *at)
{
    static const char fix[] = "CONFIG SET appendonly yes, and the same in redis.conf";
    char enabled[VALUE_SIZE] = "";
    (void)idem__redis_info_text(info_of(at), "aof_enabled", enabled, sizeof enabled);
    bool append_only = strcmp(enabled, "1") == 0 || is_set_to(at, APPEND_ONLY, "yes");
    if (append_only)
        judge_sync(at);
    else if (is_set_to(at, APPEND_ONLY, "no"))
        find(at, fix,
             is_set_to(at, SAVE, "") ? "persistence is off (appendonly no, save \"\"): when the "
                                       "server restarts, all records are gone"
                                     : "appendonly is no: when the server stops without warning, "
                                       "what was written since its last snapshot is gone");
    else if (*enabled)
        find(at, fix,
             "there is no append-only file (INFO: aof_enabled %s): when the server stops without "
             "warning, what was written since its last snapshot, if it makes any, is gone",
             enabled);
    if (append_only)
        judge_file(at, "aof_last_write_status", "append-only file");
    judge_file(at, "rdb_last_bgsave_status", "snapshot");
}

static void judge_replica(const examination *at, unsigned number)
{
    char name[16];
    char value[VALUE_SIZE * 2];
    (void)snprintf(name, sizeof name, "slave%u", number);
    if (!idem__redis_info_text(info_of(at), name, value, sizeof value))
        return;
    uint64_t lag_s = idem__redis_info_part(value, "lag");
    if (!strstr(value, "state=online"))
        find(at, "look at the replica's log",
             "replica %u is not online yet: a failover to it would lose records", number);
    else if (lag_s != UINT64_MAX && lag_s > LAG_MAX_S)
        find(at, "look at the replica's load and at the network between",
             "replica %u is %" PRIu64 " s behind: a failover to it would lose what was written "
             "since",
             number, lag_s);
}

/* replicas= closes the gap of a failover only where it is all that may be promoted. */
static void judge_wanted(const examination *at, uint64_t replicas)
{
    uint64_t wanted = at->self->config->values[IDEM__REDIS_REPLICAS].number;
    if (wanted > replicas && at->info)
        find(at, "add replicas, or ask for fewer: no change is acknowledged",
             "replicas=%" PRIu64 " is asked for, and the server has %" PRIu64, wanted, replicas);
    else if (wanted > 0 && wanted < replicas)
        find(at,
             "ask for all of them (replicas=), or let the others never be promoted "
             "(replica-priority 0)",
             "replicas=%" PRIu64 " is asked for, and the server has %" PRIu64 ": a failover to one "
             "of the others can lose what was acknowledged",
             wanted, replicas);
}

/* 0 turns min-replicas-to-write off. */
static void judge_lag(const examination *at)
{
    uint64_t lag_s = at->told[MAX_LAG] ? strtoull(at->settings[MAX_LAG], NULL, 10) : LAG_ALLOWED_S;
    bool waits = at->told[MIN_REPLICAS] && strcmp(at->settings[MIN_REPLICAS], "0") != 0;
    if (waits && (lag_s == 0 || lag_s > LAG_ALLOWED_S))
        find(at, "CONFIG SET min-replicas-max-lag 10 or less, and the same in redis.conf",
             "min-replicas-max-lag is %" PRIu64 ": %s", lag_s,
             lag_s == 0
                 ? "min-replicas-to-write is without effect, and a failover can lose what was "
                   "acknowledged"
                 : "a failover can lose what was acknowledged in so many seconds");
}

static void judge_replication(const examination *at)
{
    char role[VALUE_SIZE] = "";
    char link[VALUE_SIZE] = "";
    uint64_t replicas = idem__redis_info_number(info_of(at), "connected_slaves");
    (void)idem__redis_info_text(info_of(at), "role", role, sizeof role);
    (void)idem__redis_info_text(info_of(at), "master_link_status", link, sizeof link);
    if (strcmp(role, "slave") == 0)
        find(at, "name the primary in the URL",
             "the server is a replica (its link to the primary is %s): it takes no writes, and "
             "what it holds may be old",
             *link ? link : "unknown");
    else if (replicas > 0 && is_set_to(at, MIN_REPLICAS, "0"))
        find(at,
             "CONFIG SET min-replicas-to-write 1 (and min-replicas-max-lag), and the same in "
             "redis.conf",
             "there are %" PRIu64 " replicas and min-replicas-to-write is 0: a failover can lose "
             "what was acknowledged",
             replicas);
    judge_lag(at);
    judge_wanted(at, replicas);
    for (unsigned i = 0; i < replicas && i < 64; i++)
        judge_replica(at, i);
}

static void judge_version(const examination *at)
{
    char version[VALUE_SIZE];
    char *rest;
    if (!idem__redis_info_text(info_of(at), "redis_version", version, sizeof version))
        return;
    unsigned long major = strtoul(version, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR))
        find(at, "upgrade the server to Redis 7 or later, or to Valkey",
             "the server is Redis %s, which is older than 6.2 and not tested with", version);
    if (!at->self->clustered && idem__redis_info_number(info_of(at), "cluster_enabled") != 0)
        find(at,
             "write redis+cluster:// (or rediss+cluster://), or name a server that is no node of a "
             "cluster",
             "the server is a node of a cluster: keys that belong to other nodes can't be used");
}

static void judge_clock(const examination *at)
{
    int64_t off_ms = at->clock_ahead_ms < 0 ? -at->clock_ahead_ms : at->clock_ahead_ms;
    if (off_ms > CLOCK_MAX_MS)
        find(at,
             "let both machines follow a time server (chrony, systemd-timesyncd), which moves a "
             "clock slowly and does not set it",
             "the server's clock is %" PRId64 ".%01" PRId64 " s %s this machine's: when it is set "
             "right in one step, leases end too early or too late",
             off_ms / 1000, off_ms % 1000 / 100, at->clock_ahead_ms < 0 ? "behind" : "ahead of");
}

static void judge_certificate(const examination *at, bool own)
{
    const idem__redis_tls *tls = at->self->wire.tls;
    int days = 0;
    if (!tls || !tls->ops->ends(tls, own, &days) || days > CERTIFICATE_DAYS)
        return;
    find(at, own ? "renew it, and write it to the file of tls_cert=" : "renew it on the server",
         "%s certificate ends within %d days: when it has ended, no connection is made any more",
         own ? "this client's" : "the server's", days + 1);
}

static bool is_replica(const examination *at)
{
    char role[VALUE_SIZE] = "";
    (void)idem__redis_info_text(info_of(at), "role", role, sizeof role);
    return strcmp(role, "slave") == 0;
}

static void judge_trial(const examination *at, bool memory_found)
{
    const idem__redis_trial *trial = &at->trial;
    if (!trial->failed || (memory_found && trial->error.code == IDEM_ERR_FULL))
        return;
    find(at,
         "do what the message says; rights are granted as docs/redis.md has it: ACL SETUSER NAME "
         "~PREFIX* +get +set +pttl +del +eval +evalsha +scan +strlen +getrange +echo +ping "
         "+select",
         "%s: %.200s", trial->failed, trial->error.message);
}

int idem__redis_check(idem__redis *self, idem_finding_fn emit, void *emit_user,
                      uint64_t deadline_ms, idem__redis_fault *fault)
{
    examination at = {.self = self,
                      .deadline_ms = deadline_ms,
                      .fault = fault,
                      .emit = emit,
                      .emit_user = emit_user};
    int64_t before_ms = idem_wall_ms();
    int rc = ask(&at);
    if (rc == IDEM_OK)
        rc = hear_all(&at, before_ms);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_quiet(&self->wire, fault);
    if (rc == IDEM_OK && !is_replica(&at)) /* that says enough, and it takes no writes */
        rc = idem__redis_try(self, deadline_ms, &at.trial, fault);
    if (rc) {
        idem__redis_wire_close(&self->wire);
    } else {
        idem__redis_wire_begin(&self->wire, false);
        judge_what_was_told(&at);
        judge_version(&at);
        judge_replication(&at);
        judge_eviction(&at);
        bool memory_found = judge_memory(&at);
        judge_persistence(&at);
        judge_clock(&at);
        judge_trial(&at, memory_found);
        judge_certificate(&at, false);
        judge_certificate(&at, true);
        if (self->sentinel)
            idem__redis_check_sentinel(self, info_of(&at), at.clock_ahead_ms, deadline_ms, emit,
                                       emit_user);
    }
    if (at.info)
        freeReplyObject(at.info);
    return rc;
}
