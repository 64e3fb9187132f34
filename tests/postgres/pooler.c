/* SPDX-License-Identifier: MIT */
/* pgbouncer: its settings, a start that is waited for, its end. One at a time. */
#include "pooler.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED 77

static pid_t pooler;
static pid_t owner;

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
    const char *must = getenv("IDEM_SKIPS_FAIL");
    if (program())
        return;
    (void)fprintf(stderr, "There is no pgbouncer to test with\n");
    exit(must && strcmp(must, "1") == 0 ? EXIT_FAILURE : SKIPPED);
}

static void write_settings(const char *path, const pg_server *server, const char *mode, int port)
{
    FILE *file = fopen(path, "w");
    if (!file)
        abort();
    (void)fprintf(file,
                  "[databases]\n* = host=%s port=%d user=postgres\n[pgbouncer]\n"
                  "listen_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"
                  "auth_type = any\npool_mode = %s\ndefault_pool_size = 3\n"
                  "max_client_conn = 200\nserver_login_retry = 1\nlogfile = "
                  "\nignore_startup_parameters = extra_float_digits\n",
                  server->folder, server->port, port, mode);
    (void)fclose(file);
}

static bool answers(const char *url)
{
    PGconn *conn = PQconnectdb(url);
    PGresult *result = PQexec(conn, "SELECT 1");
    bool ready = PQresultStatus(result) == PGRES_TUPLES_OK;
    PQclear(result);
    PQfinish(conn);
    return ready;
}

void pooler_start(const pg_server *server, const char *mode, char *url, size_t size)
{
    char path[200];
    struct timespec pause = {.tv_nsec = 10000000};
    int port = pg_free_port();
    (void)snprintf(path, sizeof path, "%s/pgbouncer.ini", server->folder);
    write_settings(path, server, mode, port);
    const char *words[] = {program(), path, NULL};
    pooler = pg_spawn(server->folder, words);
    owner = getpid();
    (void)atexit(pooler_stop);
    (void)snprintf(url, size,
                   "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable",
                   port);
    for (int i = 0; i < 1000; i++) {
        if (answers(url))
            return;
        (void)nanosleep(&pause, NULL);
    }
    (void)fprintf(stderr, "pgbouncer does not answer\n");
    exit(EXIT_FAILURE);
}

void pooler_stop(void)
{
    if (pooler <= 0 || owner != getpid())
        return;
    (void)kill(pooler, SIGTERM);
    (void)waitpid(pooler, NULL, 0);
    pooler = 0;
}
