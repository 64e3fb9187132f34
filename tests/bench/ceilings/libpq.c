/* SPDX-License-Identifier: MIT */
/*
 * The least that claims, completes and replays in PostgreSQL: libpq, one connection for each
 * caller, one prepared statement for each key, in binary, with the table and the records of the
 * library. A batch is one transaction in one pipeline.
 */
#include "texts.h"

#include "../harness.h"

#include <libpq-fe.h>

#include <stdlib.h>
#include <string.h>

#define LIFE "interval '1 day'"

typedef struct {
    PGconn *connection;
    record_texts texts;
} subject;

/* A statement's parameters. */
typedef struct {
    const char *values[4];
    int lengths[4];
    int count;
} words;

static const char table[] =
    "CREATE TABLE IF NOT EXISTS idem_record (key bytea PRIMARY KEY, version int8 NOT NULL, written"
    " timestamptz NOT NULL, expires timestamptz NOT NULL, record bytea NOT NULL)"
    " WITH (fillfactor = 60)";
static const char insert[] =
    "INSERT INTO idem_record (key, version, written, expires, record) VALUES ($1, $2,"
    " clock_timestamp(), clock_timestamp() + " LIFE ", $3) ON CONFLICT DO NOTHING";
static const char look[] =
    "SELECT version, record FROM idem_record WHERE key = $1 AND expires > clock_timestamp()";
static const char update[] =
    "UPDATE idem_record SET version = $2, written = clock_timestamp(), expires ="
    " clock_timestamp() + " LIFE ", record = $3 WHERE key = $1 AND version = $4";

static void run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        bench_fail("%s", PQerrorMessage(connection));
    PQclear(result);
}

static void prepare(PGconn *connection, const char *name, const char *sql)
{
    static const Oid types[] = {17, 20, 17, 20}; /* bytea, int8 */
    int count = strstr(sql, "$4") ? 4 : strstr(sql, "$3") ? 3 : 1;
    PGresult *result = PQprepare(connection, name, sql, count, types);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        bench_fail("%s", PQerrorMessage(connection));
    PQclear(result);
}

static void *open_table(const bench_options *options)
{
    PGconn *connection = PQconnectdb(options->place);
    if (PQstatus(connection) != CONNECTION_OK)
        bench_fail("%s", PQerrorMessage(connection));
    run(connection, "SET client_min_messages = error");
    run(connection, table);
    PQfinish(connection);
    return (void *)(uintptr_t)options;
}

static void close_table(void *shared)
{
    (void)shared;
}

static void *enter(void *shared)
{
    const bench_options *options = shared;
    subject *self = bench_alloc(sizeof *self);
    texts_init(&self->texts, options->response);
    self->connection = PQconnectdb(options->place);
    if (PQstatus(self->connection) != CONNECTION_OK)
        bench_fail("%s", PQerrorMessage(self->connection));
    run(self->connection, "SET plan_cache_mode = force_generic_plan");
    run(self->connection, "SET enable_seqscan = off");
    prepare(self->connection, "insert", insert);
    prepare(self->connection, "look", look);
    prepare(self->connection, "update", update);
    return self;
}

static void leave(void *mine)
{
    subject *self = mine;
    PQfinish(self->connection);
    texts_clear(&self->texts);
    free(self);
}

static void add(words *to, const void *bytes, size_t len)
{
    to->values[to->count] = bytes;
    to->lengths[to->count++] = (int)len;
}

static void send(subject *self, const char *name, const words *with)
{
    static const int binary[] = {1, 1, 1, 1};
    if (!PQsendQueryPrepared(self->connection, name, with->count, with->values, with->lengths,
                             binary, 1))
        bench_fail("%s", PQerrorMessage(self->connection));
}

static void begin(subject *self, size_t count)
{
    if (count > 1 && !PQenterPipelineMode(self->connection))
        bench_fail("%s", PQerrorMessage(self->connection));
}

static void end(subject *self, size_t count)
{
    if (count > 1 && !PQpipelineSync(self->connection))
        bench_fail("%s", PQerrorMessage(self->connection));
}

static PGresult *take(subject *self, ExecStatusType expected)
{
    PGresult *result = PQgetResult(self->connection);
    if (PQresultStatus(result) != expected)
        bench_fail("%s", PQerrorMessage(self->connection));
    if (expected != PGRES_PIPELINE_SYNC && PQgetResult(self->connection))
        bench_fail("more than one result");
    return result;
}

static void finish(subject *self, size_t count)
{
    if (count == 1)
        return;
    PQclear(take(self, PGRES_PIPELINE_SYNC));
    if (!PQexitPipelineMode(self->connection))
        bench_fail("%s", PQerrorMessage(self->connection));
}

static void take_changes(subject *self, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        PGresult *result = take(self, PGRES_COMMAND_OK);
        if (strcmp(PQcmdTuples(result), "1") != 0)
            bench_fail("a key was there, or was not");
        PQclear(result);
    }
    finish(self, count);
}

/* The versions are for the completions, which expect them. */
static void claim(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    record_text *text = &self->texts.claimed;
    begin(self, count);
    for (size_t i = 0; i < count; i++) {
        words with = {.count = 0};
        texts_stamp(&self->texts, text, versions[i]);
        add(&with, keys[i].text, BENCH_KEY_LEN);
        add(&with, versions[i], 8);
        add(&with, text->bytes.data, text->bytes.len);
        send(self, "insert", &with);
    }
    end(self, count);
    take_changes(self, count);
}

static void complete(subject *self, const bench_key *keys, size_t count, char (*versions)[16])
{
    char fresh[16];
    record_text *text = &self->texts.completed;
    begin(self, count);
    for (size_t i = 0; i < count; i++) {
        words with = {.count = 0};
        texts_stamp(&self->texts, text, fresh);
        add(&with, keys[i].text, BENCH_KEY_LEN);
        add(&with, fresh, 8);
        add(&with, text->bytes.data, text->bytes.len);
        add(&with, versions[i], 8);
        send(self, "update", &with);
    }
    end(self, count);
    take_changes(self, count);
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    char versions[BENCH_BATCH_MAX][16];
    claim(mine, keys, count, versions);
}

static void work_cycle(void *mine, const bench_key *keys, size_t count)
{
    char versions[BENCH_BATCH_MAX][16];
    claim(mine, keys, count, versions);
    complete(mine, keys, count, versions);
}

/* A caller of the library is given a copy of the response. */
static void take_response(const PGresult *result)
{
    static const char mark[] = "\"response\":";
    const char *record = PQntuples(result) == 1 ? PQgetvalue(result, 0, 1) : "";
    const char *at = strstr(record, mark);
    if (!at)
        bench_fail("a record without a response");
    at += sizeof mark - 1;
    size_t len = (size_t)PQgetlength(result, 0, 1) - (size_t)(at - record) - 1;
    char *copy = bench_alloc(len);
    memcpy(copy, at, len);
    free(copy);
}

static void work_replay(void *mine, const bench_key *keys, size_t count)
{
    subject *self = mine;
    begin(self, count);
    for (size_t i = 0; i < count; i++) {
        words with = {.count = 0};
        add(&with, keys[i].text, BENCH_KEY_LEN);
        send(self, "look", &with);
    }
    end(self, count);
    for (size_t i = 0; i < count; i++) {
        PGresult *result = take(self, PGRES_TUPLES_OK);
        take_response(result);
        PQclear(result);
    }
    finish(self, count);
}

int main(int argc, char **argv)
{
    static const bench_subject libpq = {
        .open = open_table,
        .close = close_table,
        .enter = enter,
        .leave = leave,
        .work =
            {[BENCH_CLAIM] = work_claim, [BENCH_CYCLE] = work_cycle, [BENCH_REPLAY] = work_replay},
    };
    return bench_main(argc, argv, &libpq);
}
