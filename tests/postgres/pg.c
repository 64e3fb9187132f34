/* SPDX-License-Identifier: MIT */
/* PostgreSQL's own programs, as a user that is not root: they refuse to run as root. */
#include "pg.h"

#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS_MAX   64
#define WAIT_TRIES 3000
#define SQL_SIZE   4096

static const char *const *starter; /* words in front of the server's own; NULL: none */
static char programs[400];         /* the folder of initdb and postgres */

static _Noreturn void fail(const pg_server *self, const char *what)
{
    child_fail(&self->process, what);
}

/* --------------------------------------------------------------------------------- is there one */

static bool has_programs(const char *folder)
{
    char path[500];
    (void)snprintf(path, sizeof path, "%s/initdb", folder);
    if (access(path, X_OK) != 0)
        return false;
    (void)snprintf(programs, sizeof programs, "%s", folder);
    return true;
}

/* IDEM_POSTGRES_BIN names the folder; else the newest of Debian's. */
static bool find_programs(void)
{
    const char *named = getenv("IDEM_POSTGRES_BIN");
    glob_t found = {0};
    bool any = false;
    if (named && *named)
        return has_programs(named);
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0) {
        for (size_t i = found.gl_pathc; !any && i-- > 0;)
            any = has_programs(found.gl_pathv[i]);
    }
    globfree(&found);
    return any || has_programs("/usr/local/bin") || has_programs("/usr/bin");
}

void pg_require(void)
{
    child_require(find_programs(), "There is no PostgreSQL server to test with");
}

static void program(char path[500], const char *name)
{
    (void)snprintf(path, 500, "%s/%s", programs, name);
}

/* ------------------------------------------------------------------------------ start and stop */

static bool answers(const child_process *self)
{
    char words[300];
    (void)snprintf(words, sizeof words,
                   "host=%s port=%d user=postgres dbname=postgres connect_timeout=10", self->folder,
                   self->port);
    PGconn *conn = PQconnectdb(words);
    bool ready = PQstatus(conn) == CONNECTION_OK;
    PQfinish(conn);
    return ready;
}

static void write_urls(pg_server *self)
{
    (void)snprintf(self->url, sizeof self->url,
                   "postgresql:///postgres?host=%s&port=%d&user=postgres", self->folder,
                   self->port);
    (void)snprintf(self->tcp_url, sizeof self->tcp_url,
                   "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable",
                   self->port);
}

static bool launch(child_process *process, const char *const *options)
{
    pg_server *self = (pg_server *)process;
    char path[500];
    char port[16];
    char data[160];
    const char *args[ARGS_MAX];
    const char *const own[] = {path, "-D", data, "-p", port, "-k", self->folder};
    size_t count = 0;
    for (const char *const *word = starter; word && *word && count < ARGS_MAX / 2; word++)
        args[count++] = *word;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        args[count++] = own[i];
    for (; options && *options && count < ARGS_MAX - 1; options++)
        args[count++] = *options;
    args[count] = NULL;
    program(path, "postgres");
    (void)snprintf(port, sizeof port, "%d", self->port);
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    write_urls(self);
    return child_launch(process, args);
}

static const child_kind kind = {
    .name = "pg",
    .answers = answers,
    .launch = launch,
    .end = SIGQUIT,
    .death = SIGQUIT,
    .never_root = true,
};

void pg_stop(pg_server *self, int how)
{
    child_stop(&self->process, how);
}

void pg_remove(pg_server *self)
{
    child_remove(&self->process);
}

static void make(pg_server *self)
{
    memset(self, 0, sizeof *self);
    child_make(&self->process, &kind);
}

/* What a test does not wait for: syncing the files of a cluster that is thrown away. */
static void write_settings(const pg_server *self)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/data/postgresql.conf", self->folder);
    FILE *file = fopen(path, "a");
    if (!file)
        fail(self, "its settings can't be written");
    (void)fprintf(file, "fsync = off\nmax_connections = 60\nshared_buffers = 16MB\n"
                        "listen_addresses = '127.0.0.1'\nmax_wal_senders = 4\n"
                        "wal_level = replica\nhot_standby = on\nmax_prepared_transactions = 4\n");
    (void)fclose(file);
}

void pg_start(pg_server *self, const char *const *options)
{
    char path[500];
    char data[160];
    make(self);
    program(path, "initdb");
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    const char *init[] = {path,    "-D", data, "-U",   "postgres",          "-A",
                          "trust", "-N", "-E", "UTF8", "--no-instructions", NULL};
    child_run_to_end(&self->process, init);
    write_settings(self);
    child_start(&self->process, options);
}

static void copy_from(const pg_server *self, const pg_server *primary, const char *name)
{
    char path[500];
    char data[160];
    char from[300];
    program(path, "pg_basebackup");
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    (void)snprintf(from, sizeof from, "host=%s port=%d user=postgres application_name=%s",
                   primary->folder, primary->port, name);
    const char *copy[] = {path, "-D", data, "-R", "-N", "-c", "fast", "-d", from, NULL};
    child_run_to_end(&self->process, copy);
}

void pg_start_with(const char *const *words)
{
    starter = words;
}

void pg_use_tls(pg_server *self, const char *script)
{
    const char *const words[] = {"sh", script, self->folder, NULL};
    child_run_to_end(&self->process, words);
    for (const char *const *name = (const char *const[]){"server", "named", "expired", NULL}; *name;
         name++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s/%s.key", self->folder, *name);
        (void)chmod(path, 0600);
    }
}

void pg_start_standby(pg_server *self, const pg_server *primary, const char *name)
{
    make(self);
    copy_from(self, primary, name);
    child_start(&self->process, NULL);
}

void pg_again(pg_server *self, const char *const *options)
{
    pg_stop(self, SIGINT);
    /* The sessions of a server that was killed end by themselves, and hold its memory until then.
       */
    for (int i = 0; i < 100; i++) {
        if (launch(&self->process, options))
            return;
        child_pause_ms(100);
    }
    fail(self, "does not start again");
}

void pg_follow(pg_server *self, const pg_server *primary, const char *name)
{
    char data[160];
    pg_stop(self, SIGKILL);
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    child_remove_folder(data);
    copy_from(self, primary, name);
    pg_again(self, NULL);
}

void pg_promote(pg_server *self)
{
    pg_do(self, "SELECT pg_promote(true, 60)");
    pg_await(self, "SELECT pg_is_in_recovery()::int", 0);
}

/* ------------------------------------------------------------------------------------- asking */

PGconn *pg_connect(const pg_server *self)
{
    char words[300];
    (void)snprintf(words, sizeof words,
                   "host=%s port=%d user=postgres dbname=postgres "
                   "options='-c default_transaction_read_only=off'",
                   self->folder, self->port);
    PGconn *conn = PQconnectdb(words);
    if (PQstatus(conn) != CONNECTION_OK)
        fail(self, PQerrorMessage(conn));
    return conn;
}

static void carry_out(const pg_server *self, char *value, size_t size, const char *format,
                      va_list arguments)
{
    char sql[SQL_SIZE];
    (void)vsnprintf(sql, sizeof sql, format, arguments);
    PGconn *conn = pg_connect(self);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
        (void)fprintf(stderr, "%s\n", sql);
        fail(self, PQerrorMessage(conn));
    }
    if (value)
        (void)snprintf(value, size, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
}

void pg_do(const pg_server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    carry_out(self, NULL, 0, format, arguments);
    va_end(arguments);
}

const char *pg_ask(const pg_server *self, char *value, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    carry_out(self, value, size, format, arguments);
    va_end(arguments);
    return value;
}

long long pg_number(const pg_server *self, const char *format, ...)
{
    char value[64];
    va_list arguments;
    va_start(arguments, format);
    carry_out(self, value, sizeof value, format, arguments);
    va_end(arguments);
    return atoll(value);
}

void pg_await(const pg_server *self, const char *question, long long number)
{
    for (int i = 0; i < WAIT_TRIES; i++) {
        if (pg_number(self, "%s", question) == number)
            return;
        child_pause_ms(10);
    }
    fail(self, question);
}
