/* SPDX-License-Identifier: MIT */
/*
 * The SQL of this backend. `@` in a text stands for the table, which is put in when a text is
 * first needed. All times are clock_timestamp(): now() is the begin of the transaction, and a
 * statement may have waited for a lock since.
 *
 * A row is expired when `expires` has come, and is then absent for every op. `written` and
 * `expires` are set by the server's clock in the statement that writes, so no other clock is ever
 * compared with it. Neither has an index: the primary key is the only one, and updates stay
 * heap-only.
 *
 * INSERT_NEW is for keys that are most likely new, and tells those that are not: they are looked up
 * then, and inserted by INSERT if nothing that lives is found. It costs the server half of what
 * INSERT does.
 *
 * INSERT is one statement that writes nothing where it finds a live record: `seen` is looked up
 * first, and the insertion is not even tried if there is one. If `seen` has none, the key may
 * still have a row: an expired one, which is overwritten, or one that was committed after this
 * statement's snapshot, which is left alone. In the latter case it gives no row at all, and
 * batch.c looks again with a statement, and so with a snapshot, of its own.
 */
#include "statements.h"

#include "instance.h"

#include <stdlib.h>

#define BYTEA 17u
#define INT8  20u
#define TEXT  25u

#define BYTEAS 1001u /* arrays of them */
#define INT8S  1016u

/* The age is an interval: to make a number of it costs the server more than all else. */
#define FOUND "version, clock_timestamp() - written, record"
#define LIVE  "expires > clock_timestamp()"
/* A walk goes on behind a key, for which it has this much room; a longer one is no key of ours. */
#define WHOLE "octet_length(key) <= 1280"
#define ENDS  "clock_timestamp() + $3::float8 * interval '1 millisecond'"

_Static_assert(IDEM__POSTGRES_KEY_MAX == 1280, "the longest key in the SQL");

typedef struct {
    const char *text;
    bool kept;    /* prepared under a name, where that can be */
    bool in_text; /* its results are */
    unsigned types[IDEM__POSTGRES_PARAMS_MAX];
} source;

static const source sources[IDEM__POSTGRES_STATEMENTS] = {
    [IDEM__POSTGRES_GET] = {"SELECT " FOUND " FROM @ WHERE key = $1 AND " LIVE,
                            true,
                            false,
                            {BYTEA}},
    [IDEM__POSTGRES_INSERT] =
        {"WITH seen AS MATERIALIZED (SELECT " FOUND " FROM @ WHERE key = $1 AND " LIVE "),"
         " made AS (INSERT INTO @ AS t (key, version, written, expires, record)"
         " SELECT $1, $2, clock_timestamp(), " ENDS ", $4 WHERE NOT EXISTS (SELECT FROM seen)"
         " ON CONFLICT (key) DO UPDATE SET version = excluded.version,"
         " written = clock_timestamp(), expires = " ENDS ", record = excluded.record"
         " WHERE t.expires <= clock_timestamp() RETURNING 1)"
         " SELECT NULL::int8, NULL::interval, NULL::bytea FROM made UNION ALL SELECT * FROM seen",
         true,
         false,
         {BYTEA, INT8, INT8, BYTEA}},
    [IDEM__POSTGRES_INSERT_NEW] = {"INSERT INTO @ (key, version, written, expires, record)"
                                   " VALUES ($1, $2, clock_timestamp(), " ENDS
                                   ", $4) ON CONFLICT DO NOTHING",
                                   true,
                                   false,
                                   {BYTEA, INT8, INT8, BYTEA}},
    [IDEM__POSTGRES_INSERT_NEW_MANY] =
        {"INSERT INTO @ (key, version, written, expires, record)"
         " SELECT k, v, clock_timestamp(), clock_timestamp() + l::float8 * interval '1 "
         "millisecond', r FROM unnest($1, $2, $3, $4) AS given (k, v, l, r) ORDER BY k"
         " ON CONFLICT DO NOTHING RETURNING NULL::int8, NULL::interval, NULL::bytea, key",
         true,
         false,
         {BYTEAS, INT8S, INT8S, BYTEAS}},
    [IDEM__POSTGRES_GET_MANY] = {"SELECT " FOUND ", key FROM @ WHERE key = ANY ($1) AND " LIVE
                                 " ORDER BY key",
                                 true,
                                 false,
                                 {BYTEAS}},
    [IDEM__POSTGRES_INSERT_MANY] =
        {"WITH seen AS MATERIALIZED (SELECT " FOUND ", key FROM @ WHERE key = ANY ($1) AND " LIVE
         "),"
         " made AS (INSERT INTO @ AS t (key, version, written, expires, record)"
         " SELECT k, v, clock_timestamp(), clock_timestamp() + l::float8 * interval '1 "
         "millisecond', r"
         " FROM unnest($1, $2, $3, $4) AS given (k, v, l, r)"
         " WHERE NOT EXISTS (SELECT FROM seen WHERE seen.key = k) ORDER BY k"
         " ON CONFLICT (key) DO UPDATE SET version = excluded.version, written = clock_timestamp(),"
         " expires = clock_timestamp() + (excluded.expires - excluded.written),"
         " record = excluded.record WHERE t.expires <= clock_timestamp() RETURNING key)"
         " SELECT NULL::int8, NULL::interval, NULL::bytea, key FROM made"
         " UNION ALL SELECT * FROM seen ORDER BY 4",
         true,
         false,
         {BYTEAS, INT8S, INT8S, BYTEAS}},
    [IDEM__POSTGRES_REPLACE] =
        {"UPDATE @ SET version = $2, written = clock_timestamp(), expires = " ENDS ", record = $4"
         " WHERE key = $1 AND version = $5 AND " LIVE,
         true,
         false,
         {BYTEA, INT8, INT8, BYTEA, INT8}},
    [IDEM__POSTGRES_REMOVE] = {"DELETE FROM @ WHERE key = $1 AND version = $2 AND " LIVE,
                               true,
                               false,
                               {BYTEA, INT8}},
    [IDEM__POSTGRES_REMOVE_ANY] = {"DELETE FROM @ WHERE key = $1 AND " LIVE, true, false, {BYTEA}},
    /* Rows that others hold are passed over: a sweep never waits, so it can't deadlock. */
    [IDEM__POSTGRES_SWEEP] =
        {"WITH looked AS MATERIALIZED"
         " (SELECT key, expires FROM @ WHERE key > $1 AND " WHOLE " ORDER BY key LIMIT $2),"
         " gone AS (DELETE FROM @ WHERE key = ANY (ARRAY (SELECT key FROM @ WHERE key = ANY (ARRAY"
         " (SELECT key FROM looked WHERE expires <= clock_timestamp() LIMIT $3))"
         " AND expires <= clock_timestamp() FOR UPDATE SKIP LOCKED))"
         " AND expires <= clock_timestamp() RETURNING 1)"
         " SELECT (SELECT count(*) FROM looked), (SELECT count(*) FROM gone),"
         " (SELECT key FROM looked OFFSET greatest((SELECT count(*) FROM looked) - 1, 0))",
         true,
         false,
         {BYTEA, INT8, INT8}},
    /* A page ends with the row that reaches the limit in bytes. A time that has no distance from
       now spoils its own row, not the page. */
    [IDEM__POSTGRES_SCAN] =
        {"SELECT version, CASE WHEN isfinite(written) THEN clock_timestamp() - written END, record,"
         " key, expires <= clock_timestamp() FROM (SELECT *,"
         " sum(octet_length(record)) OVER (ORDER BY key) - octet_length(record) AS before FROM"
         " (SELECT * FROM @ WHERE key > $1 AND key >= $2 AND " WHOLE
         " ORDER BY key LIMIT $3) AS few) AS sized"
         " WHERE before < $4 ORDER BY key",
         true,
         false,
         {BYTEA, BYTEA, INT8, INT8}},
    [IDEM__POSTGRES_BARRIER] = {"SELECT pg_logical_emit_message(true, 'libidem', '')",
                                false,
                                false,
                                {0}},
    [IDEM__POSTGRES_BEGIN] = {"BEGIN ISOLATION LEVEL READ COMMITTED", false, false, {0}},
    [IDEM__POSTGRES_COMMIT] = {"COMMIT", false, false, {0}},
    [IDEM__POSTGRES_ROLLBACK] = {"ROLLBACK", false, false, {0}},
    [IDEM__POSTGRES_SETTINGS] =
        {"SELECT set_config('synchronous_commit', 'on', true),"
         " set_config('client_min_messages', 'warning', true),"
         " set_config('statement_timeout', '0', true), set_config('jit', 'off', true),"
         " set_config('lock_timeout', $1, true)",
         false,
         false,
         {TEXT}},
    [IDEM__POSTGRES_LOCAL_LOCK] = {"SELECT set_config('lock_timeout', $1, true)",
                                   true,
                                   false,
                                   {TEXT}},
    [IDEM__POSTGRES_SAVEPOINT] = {"SAVEPOINT idem", false, false, {0}},
    [IDEM__POSTGRES_RELEASE] = {"RELEASE SAVEPOINT idem", false, false, {0}},
    [IDEM__POSTGRES_ROLLBACK_TO] = {"ROLLBACK TO SAVEPOINT idem", false, false, {0}},
    [IDEM__POSTGRES_SHORTER_LOCK] =
        {"SELECT set_config('idem.lock_timeout', current_setting('lock_timeout'), true),"
         " set_config('lock_timeout', CASE WHEN"
         " current_setting('lock_timeout')::interval > interval '0' AND"
         " current_setting('lock_timeout')::interval < $1::interval"
         " THEN current_setting('lock_timeout') ELSE $1 END, true)",
         false,
         false,
         {TEXT}},
    [IDEM__POSTGRES_CALLERS_LOCK] =
        {"SELECT set_config('lock_timeout', current_setting('idem.lock_timeout'), true)",
         false,
         false,
         {0}},
    [IDEM__POSTGRES_SESSION] =
        {"SELECT set_config('synchronous_commit', 'on', false),"
         " set_config('client_min_messages', 'warning', false),"
         " set_config('default_transaction_isolation', 'read committed', false),"
         " set_config('statement_timeout', '0', false),"
         " set_config('idle_in_transaction_session_timeout', '0', false),"
         " set_config('plan_cache_mode', 'force_generic_plan', false),"
         " set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),"
         " set_config('lock_timeout', $1, false)",
         false,
         false,
         {TEXT}},
    [IDEM__POSTGRES_LOOK] =
        {"SELECT pg_backend_pid(), current_setting('server_version_num'),"
         " (SELECT system_identifier FROM pg_control_system()),"
         " n.nspname, c.relname, c.oid, c.relkind,"
         " has_table_privilege(c.oid, 'SELECT'),"
         " has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')"
         " AND has_table_privilege(c.oid, 'DELETE'),"
         " substring(obj_description(c.oid, 'pg_class') FROM 'libidem records, version ([0-9]+)'),"
         " (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT attisdropped"
         " AND (attname, atttypid) IN (('key', 'bytea'::regtype), ('version', 'int8'::regtype),"
         " ('written', 'timestamptz'::regtype), ('expires', 'timestamptz'::regtype),"
         " ('record', 'bytea'::regtype))),"
         " (SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND"
         " a.attnum = i.indkey[0] WHERE i.indrelid = c.oid AND attname = 'key' AND indnkeyatts = 1"
         " AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL)"
         " FROM (SELECT to_regclass($1) AS oid) AS r"
         " LEFT JOIN pg_class c ON c.oid = r.oid LEFT JOIN pg_namespace n ON n.oid = "
         "c.relnamespace",
         false,
         true,
         {TEXT}},
    /* What a session of ours has set for itself is asked for as it was before. */
    [IDEM__POSTGRES_CHECK] =
        {"SELECT current_setting('fsync'), current_setting('full_page_writes'),"
         " (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'),"
         " current_setting('synchronous_standby_names'),"
         " (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation'),"
         " current_setting('default_transaction_read_only'), pg_is_in_recovery(),"
         " c.relpersistence, c.relrowsecurity,"
         " (current_setting('autovacuum') = 'off' OR"
         " coalesce(c.reloptions::text LIKE '%autovacuum_enabled=f%', false)),"
         " coalesce(s.n_live_tup, 0), coalesce(s.n_dead_tup, 0),"
         " r.replicas, r.sync, r.hidden, coalesce(r.lag_s, 0),"
         " greatest((SELECT max(age(backend_xmin)) FROM pg_stat_activity),"
         " (SELECT max(age(xmin)) FROM pg_replication_slots),"
         " (SELECT max(age(transaction)) FROM pg_prepared_xacts), 0),"
         " (extract(epoch FROM clock_timestamp()) * 1000)::int8"
         " FROM (SELECT count(*) AS replicas,"
         " count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS sync,"
         " count(*) FILTER (WHERE sync_state IS NULL) AS hidden,"
         " max(extract(epoch FROM flush_lag))::int8 AS lag_s FROM pg_stat_replication) AS r"
         " LEFT JOIN pg_class c ON c.oid = to_regclass($1)"
         " LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid",
         false,
         true,
         {TEXT}},
    [IDEM__POSTGRES_LOCK_SCHEMA] = {"SELECT pg_advisory_xact_lock(1768187245, hashtext($1))",
                                    false,
                                    true,
                                    {TEXT}},
    [IDEM__POSTGRES_CREATE] = {IDEM__POSTGRES_CREATE_TABLE("@"), false, true, {0}},
    [IDEM__POSTGRES_COMMENT] = {"COMMENT ON TABLE @ IS 'libidem records, version 1'",
                                false,
                                true,
                                {0}},
};

/* Replaces each `@`. */
static char *put_in(const char *text, const char *table)
{
    size_t places = 0;
    for (const char *at = text; *at; at++)
        places += *at == '@';
    char *made = malloc(strlen(text) + places * strlen(table) + 1);
    if (!made)
        return NULL;
    char *to = made;
    for (const char *at = text; *at; at++) {
        size_t len = *at == '@' ? strlen(table) : 1;
        memcpy(to, *at == '@' ? table : at, len);
        to += len;
    }
    *to = '\0';
    return made;
}

const char *idem__postgres_sql_text(idem__postgres *self, idem__postgres_sql which)
{
    if (!self->sql[which])
        self->sql[which] = put_in(sources[which].text, self->table);
    return self->sql[which];
}

const unsigned *idem__postgres_sql_types(idem__postgres_sql which)
{
    return sources[which].types;
}

bool idem__postgres_sql_is_kept(idem__postgres_sql which)
{
    return sources[which].kept;
}

bool idem__postgres_sql_is_text(idem__postgres_sql which)
{
    return sources[which].in_text;
}

void idem__postgres_sql_clear(idem__postgres *self)
{
    for (size_t i = 0; i < IDEM__POSTGRES_STATEMENTS; i++) {
        free(self->sql[i]);
        self->sql[i] = NULL;
    }
}

void idem__postgres_param_bytes(idem__postgres_params *params, idem_bytes bytes)
{
    params->values[params->count] = bytes.len > 0 ? bytes.data : "";
    params->lengths[params->count++] = (int)bytes.len;
}

void idem__postgres_param_number(idem__postgres_params *params, int64_t number)
{
    char *out = params->numbers[params->count];
    for (int i = 0; i < 8; i++)
        out[i] = (char)(uint8_t)((uint64_t)number >> (56 - 8 * i));
    params->values[params->count] = out;
    params->lengths[params->count++] = 8;
}

void idem__postgres_param_text(idem__postgres_params *params, const char *text)
{
    idem__postgres_param_bytes(params, idem_str(text));
}
