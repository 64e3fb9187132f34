/* SPDX-License-Identifier: MIT */
/* pgbouncer: its settings, and when it answers. One at a time. */
#include "pooler.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define URL "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable"

static child_process pooler;

static const char *program(void)
{
    static const char *const places[] = {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer",
                                         "/usr/local/bin/pgbouncer"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

void pooler_require(void)
{
    child_require(program() != NULL, "There is no pgbouncer to test with");
}

/* @param options  the server's folder, its port, and the mode */
static void write_settings(const child_process *self, const char *path, const char *const *options)
{
    FILE *file = fopen(path, "w");
    if (!file)
        child_fail(self, "its settings can't be written");
    (void)fprintf(
        file,
        "[databases]\n* = host=%s port=%s user=postgres\n[pgbouncer]\n"
        "listen_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = %s\ndefault_pool_size = 3\n"
        "max_client_conn = 200\nlogfile = \nignore_startup_parameters = extra_float_digits\n",
        options[0], options[1], self->port, options[2]);
    (void)fclose(file);
}

static bool answers(const child_process *self)
{
    char url[160];
    (void)snprintf(url, sizeof url, URL, self->port);
    PGconn *conn = PQconnectdb(url);
    PGresult *result = PQexec(conn, "SELECT 1");
    bool ready = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    PQfinish(conn);
    return ready;
}

static bool launch(child_process *self, const char *const *options)
{
    char path[160];
    const char *const words[] = {program(), path, NULL};
    (void)snprintf(path, sizeof path, "%s/pgbouncer.ini", self->folder);
    write_settings(self, path, options);
    return child_launch(self, words);
}

static const child_kind kind = {
    .name = "pgbouncer",
    .answers = answers,
    .launch = launch,
    .end = SIGTERM,
    .death = SIGQUIT,
    .never_root = true,
};

void pooler_start(const pg_server *server, const char *mode, char *url, size_t size)
{
    char port[16];
    (void)snprintf(port, sizeof port, "%d", server->port);
    child_make(&pooler, &kind);
    child_start(&pooler, (const char *const[]){server->folder, port, mode, NULL});
    (void)snprintf(url, size, URL, pooler.port);
}

void pooler_stop(void)
{
    child_remove(&pooler);
}
