/* SPDX-License-Identifier: MIT */
/*
 * Settings of a server that could lose records or run work twice, all asked for in one statement;
 * and whether a record can be written, changed and removed, by doing so. What a role may not see
 * (others' sessions, replication) is a finding of its own where it matters.
 */
#include "check.h"

#include "batch.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OLDEST_VERSION 130000u
#define CLOCK_MAX_MS   1000
#define LAG_MAX_S      10
#define AGE_MAX        5000000 /* transactions that the oldest snapshot is behind */
#define DEAD_FEW       10000   /* are no concern, whatever the rest is */
#define TRIAL_LIVE_MS  60000u

enum {
    F_FSYNC,
    F_FULL_PAGE,
    F_SYNC_COMMIT,
    F_STANDBYS,
    F_ISOLATION,
    F_READ_ONLY,
    F_RECOVERY,
    F_PERSISTENCE,
    F_ROW_SECURITY,
    F_NO_VACUUM,
    F_LIVE,
    F_DEAD,
    F_REPLICAS,
    F_SYNC,
    F_HIDDEN,
    F_LAG,
    F_AGE,
    F_CLOCK,
    F_ALL
};

typedef struct {
    idem__postgres *self;
    const PGresult *facts;
    idem_finding_fn emit;
    void *emit_user;
} examination;

static const char *text(const examination *at, int column)
{
    return at->self->pq->PQgetvalue(at->facts, 0, column);
}

static int64_t number(const examination *at, int column)
{
    return strtoll(text(at, column), NULL, 10);
}

static bool is(const examination *at, int column, const char *value)
{
    return strcmp(text(at, column), value) == 0;
}

static void judge_writing(const examination *at)
{
    if (is(at, F_FSYNC, "off"))
        idem_finding_emit(at->emit, at->emit_user, "set fsync = on",
                          "fsync is off: when the machine stops without warning, the whole "
                          "database may be lost");
    if (is(at, F_FULL_PAGE, "off"))
        idem_finding_emit(at->emit, at->emit_user, "set full_page_writes = on",
                          "full_page_writes is off: a power cut may leave pages half written");
    if (!is(at, F_SYNC_COMMIT, "on") && !is(at, F_SYNC_COMMIT, "remote_apply"))
        idem_finding_emit(at->emit, at->emit_user,
                          "set synchronous_commit = on for this role or database",
                          "synchronous_commit is %.20s: this store's own commits wait all the "
                          "same, those of transactions that you join do not",
                          text(at, F_SYNC_COMMIT));
    if (*text(at, F_PERSISTENCE) == 'u')
        idem_finding_emit(
            at->emit, at->emit_user, "ALTER TABLE … SET LOGGED",
            "the table is UNLOGGED: a crash empties it, and standbys have none of it");
}

static void judge_replication(const examination *at)
{
    int64_t replicas = number(at, F_REPLICAS);
    bool named = *text(at, F_STANDBYS) != '\0';
    if (is(at, F_RECOVERY, "t"))
        idem_finding_emit(at->emit, at->emit_user, "name the primary in the URL",
                          "the server is a standby: it takes no writes, and what it holds may be "
                          "old");
    else if (replicas > 0 && !named)
        idem_finding_emit(at->emit, at->emit_user,
                          "set synchronous_standby_names, and promote none but those standbys",
                          "%" PRId64 " standbys, and synchronous_standby_names is empty: a "
                          "failover can lose what was acknowledged",
                          replicas);
    if (named && number(at, F_SYNC) == 0 && number(at, F_HIDDEN) == 0)
        idem_finding_emit(at->emit, at->emit_user,
                          "start the standby, or take it out of synchronous_standby_names",
                          "no synchronous standby is connected: commits wait for one, so calls "
                          "end as uncertain");
    if (number(at, F_HIDDEN) > 0)
        idem_finding_emit(at->emit, at->emit_user, "GRANT pg_monitor to this role",
                          "this role may not see the state of the standbys");
    if (number(at, F_LAG) > LAG_MAX_S)
        idem_finding_emit(at->emit, at->emit_user,
                          "look at the standby's disk and at the network between",
                          "a standby is %" PRId64 " s behind", number(at, F_LAG));
}

static void judge_transactions(const examination *at)
{
    if (!is(at, F_ISOLATION, "read committed"))
        idem_finding_emit(at->emit, at->emit_user,
                          "be ready to repeat such transactions, or begin them as READ COMMITTED",
                          "default_transaction_isolation is %.20s: transactions that you join may "
                          "fail with serialization failures",
                          text(at, F_ISOLATION));
    if (is(at, F_READ_ONLY, "on"))
        idem_finding_emit(at->emit, at->emit_user,
                          "ALTER DATABASE … SET default_transaction_read_only = off",
                          "default_transaction_read_only is on: nothing can be claimed");
    if (*text(at, F_ROW_SECURITY) == 't')
        idem_finding_emit(at->emit, at->emit_user, "ALTER TABLE … DISABLE ROW LEVEL SECURITY",
                          "the table has row level security: what a role can't see it would "
                          "claim again, or fail to");
    if (at->self->pooled)
        idem_finding_emit(at->emit, at->emit_user,
                          "pool by session or by transaction, not by statement; or connect past it",
                          "a pooler stands in between: nothing is prepared, and each batch says "
                          "its settings anew");
}

static void judge_vacuum(const examination *at)
{
    int64_t dead = number(at, F_DEAD);
    if (*text(at, F_NO_VACUUM) == 't')
        idem_finding_emit(at->emit, at->emit_user, "turn autovacuum on",
                          "autovacuum is off for this table: what has expired is never given free");
    if (dead > DEAD_FEW && dead > 3 * number(at, F_LIVE))
        idem_finding_emit(at->emit, at->emit_user,
                          "look for old snapshots, and let autovacuum run oftener on this table",
                          "%" PRId64 " rows are dead beside %" PRId64 " living ones", dead,
                          number(at, F_LIVE));
    if (number(at, F_AGE) > AGE_MAX)
        idem_finding_emit(at->emit, at->emit_user,
                          "end the oldest transaction (pg_stat_activity, pg_prepared_xacts), or "
                          "drop the replication slot that nobody uses",
                          "the oldest snapshot is %" PRId64 " transactions behind: nothing that "
                          "died since can be cleaned up",
                          number(at, F_AGE));
}

/* The server's clock was read between the two moments. */
static void judge_clock(const examination *at, int64_t before_ms, int64_t after_ms)
{
    int64_t server_ms = number(at, F_CLOCK);
    int64_t off_ms = server_ms > after_ms    ? server_ms - after_ms
                     : server_ms < before_ms ? before_ms - server_ms
                                             : 0;
    if (off_ms > CLOCK_MAX_MS)
        idem_finding_emit(at->emit, at->emit_user,
                          "let both machines follow a time server, which moves a clock slowly",
                          "the server's clock is %" PRId64 ".%01" PRId64 " s %s this machine's: "
                          "when it is set right in one step, leases end too early or too late",
                          off_ms / 1000, off_ms % 1000 / 100,
                          server_ms > after_ms ? "ahead of" : "behind");
    if (at->self->version < OLDEST_VERSION)
        idem_finding_emit(at->emit, at->emit_user, "upgrade it to PostgreSQL 13 or later",
                          "the server is older than PostgreSQL 13, and not tested with");
}

/* --------------------------------------------------------------------------- a record, for real */

/* What may pass, or is no fault of the server's, is an error of the check; what stays is a
   finding. */
static int submit(const examination *at, idem_op *op, uint64_t deadline_ms, bool *goes_on,
                  idem__postgres_fault *fault)
{
    at->self->no_memory = false;
    idem__postgres_batch_run(at->self, &op, 1, deadline_ms);
    if (op->error.code == IDEM_ERR_UNCERTAIN && at->self->no_memory)
        op->error.code = IDEM_ERR_NO_MEMORY; /* that says more of this process than of the server */
    *goes_on = op->error.code == IDEM_OK && op->applied;
    idem_record_clear(&op->found);
    bool is_calls = !op->permanent || op->error.code == IDEM_ERR_NO_MEMORY || at->self->broken;
    if (op->error.code && is_calls)
        return idem__postgres_fault_set(fault, op->permanent, op->error.code, "%s",
                                        op->error.message);
    if (!*goes_on)
        idem_finding_emit(at->emit, at->emit_user,
                          "put right what it names; until then nothing can be claimed",
                          "a record could not be written, changed and removed: %.160s",
                          op->error.code ? op->error.message : "another was in its place");
    return IDEM_OK;
}

static int try_writing(const examination *at, uint64_t deadline_ms, idem__postgres_fault *fault)
{
    uint8_t bits[24] = {0};
    char key[64];
    bool goes_on;
    idem_record record = {.status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 1,
                          .lease_ms = TRIAL_LIVE_MS,
                          .ttl_ms = TRIAL_LIVE_MS};
    if (idem_random(bits, sizeof bits, &fault->error))
        return fault->error.code;
    bits[0] |= 1;
    memcpy(record.token, bits, sizeof record.token);
    memcpy(&record.version, bits + sizeof record.token, sizeof record.version);
    (void)snprintf(key, sizeof key, "idem-doctor:%016" PRIx64, record.version);
    record.key = idem_str(key);
    record.created_at_ms = record.updated_at_ms = idem_wall_ms();
    idem_record next = record;
    next.version++;
    idem_op insert = {.kind = IDEM_OP_INSERT, .key = record.key, .record = &record};
    idem_op replace = {.kind = IDEM_OP_REPLACE, .key = record.key, .record = &next};
    idem_op remove = {.kind = IDEM_OP_REMOVE, .key = record.key, .expected = next.version};
    insert.live_ms = replace.live_ms = idem_record_live_ms(&record);
    replace.expected = record.version;
    int rc = submit(at, &insert, deadline_ms, &goes_on, fault);
    if (rc == IDEM_OK && goes_on)
        rc = submit(at, &replace, deadline_ms, &goes_on, fault);
    if (rc == IDEM_OK && goes_on)
        rc = submit(at, &remove, deadline_ms, &goes_on, fault);
    return rc;
}

int idem__postgres_check(idem__postgres *self, idem_finding_fn emit, void *emit_user,
                         uint64_t deadline_ms, idem__postgres_fault *fault)
{
    PGresult *facts = NULL;
    idem__postgres_params params = {0};
    idem__postgres_param_text(&params, self->table);
    int64_t before_ms = idem_wall_ms();
    int rc =
        idem__postgres_wire_run(self, IDEM__POSTGRES_CHECK, &params, deadline_ms, &facts, fault);
    if (rc == IDEM_OK) {
        examination at = {.self = self, .facts = facts, .emit = emit, .emit_user = emit_user};
        judge_writing(&at);
        judge_replication(&at);
        judge_transactions(&at);
        judge_vacuum(&at);
        judge_clock(&at, before_ms - 1, idem_wall_ms() + 10);
        rc = try_writing(&at, deadline_ms, fault);
    }
    self->pq->PQclear(facts);
    return rc;
}
