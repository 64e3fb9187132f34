/* SPDX-License-Identifier: MIT */
/*
 * Servers that a test starts and stops. Each runs in a folder of its own and is known by its
 * process id alone. It ends with the process that started it: by pg_remove(), at exit, and on
 * Linux by the kernel if that process is killed.
 *
 * PostgreSQL refuses to run as root: there its programs run as the user `postgres`, or else
 * `nobody`.
 */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "pg.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#define SKIPPED    77
#define ARGS_MAX   64
#define WAIT_TRIES 3000
#define SQL_SIZE   4096

static pg_server *running;
static const char *const *starter; /* words in front of the server's own; NULL: none */
static char programs[400];         /* the folder of initdb and postgres */

static void fail(const char *what)
{
    (void)fprintf(stderr, "postgres: %s\n", what);
    exit(EXIT_FAILURE);
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
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
    const char *must = getenv("IDEM_SKIPS_FAIL");
    if (find_programs())
        return;
    (void)fprintf(stderr, "There is no PostgreSQL server to test with\n");
    exit(must && strcmp(must, "1") == 0 ? EXIT_FAILURE : SKIPPED);
}

/* ------------------------------------------------------------------------------------ processes */

static const struct passwd *other_user(void)
{
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

static void become_other(void)
{
    const struct passwd *user = other_user();
    if (getuid() != 0)
        return;
    if (!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        _exit(126);
}

static pid_t start(const char *folder, const char *const *words)
{
    char log[200];
    pid_t owner = getpid();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    (void)setpgid(0, 0); /* with its children */
    become_other();
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != owner)
        _exit(127);
#endif
    (void)snprintf(log, sizeof log, "%s/log", folder);
    int null = open("/dev/null", O_RDWR);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    if (chdir(folder) != 0)
        _exit(127);
    (void)setenv("LC_ALL", "C", 1);
    (void)execvp(words[0], (char *const *)(uintptr_t)words);
    _exit(127);
}

pid_t pg_spawn(const char *folder, const char *const *words)
{
    pid_t pid = start(folder, words);
    if (pid < 0)
        fail("fork() failed");
    return pid;
}

static void run_to_end(const char *folder, const char *const *words)
{
    int status = 0;
    pid_t pid = pg_spawn(folder, words);
    while (waitpid(pid, &status, 0) < 0)
        continue;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char log[200];
        (void)snprintf(log, sizeof log, "%s failed: see %s/log", words[0], folder);
        fail(log);
    }
}

static void program(char path[500], const char *name)
{
    (void)snprintf(path, 500, "%s/%s", programs, name);
}

int pg_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        fail("no port is free");
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* -------------------------------------------------------------------------------- start and
   stop */

static bool has_ended(pg_server *self)
{
    if (waitpid(self->pid, NULL, WNOHANG) == 0)
        return false;
    self->pid = 0;
    return true;
}

static bool answers(const pg_server *self)
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

static bool launch(pg_server *self, const char *const *options)
{
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
    self->owner = getpid();
    self->pid = pg_spawn(self->folder, args);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++) {
        if (answers(self))
            return true;
        pause_ms(10);
    }
    pg_stop(self, SIGQUIT);
    return false;
}

void pg_stop(pg_server *self, int how)
{
    if (self->pid <= 0 || self->owner != getpid())
        return;
    (void)kill(-self->pid, SIGCONT);
    if (how == SIGKILL)
        (void)kill(-self->pid, SIGKILL);
    else
        (void)kill(self->pid, how);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++)
        pause_ms(10);
    if (self->pid > 0) {
        (void)kill(-self->pid, SIGKILL);
        (void)waitpid(self->pid, NULL, 0);
    }
    self->pid = 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void pg_remove(pg_server *self)
{
    if (self->owner != getpid())
        return;
    pg_stop(self, SIGQUIT);
    for (pg_server **at = &running; *at; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    for (int i = 0; i < 100 && access(self->folder, F_OK) == 0; i++) {
        (void)nftw(self->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        pause_ms(i);
    }
}

/* Forked tests run it too: what they did not start is not theirs. */
static void remove_all(void)
{
    pg_server *next;
    for (pg_server *at = running; at; at = next) {
        next = at->next;
        pg_remove(at);
    }
}

static void make_folder(pg_server *self)
{
    static bool registered;
    const char *parent = getenv("TMPDIR");
    const struct passwd *user = other_user();
    memset(self, 0, sizeof *self);
    (void)snprintf(self->folder, sizeof self->folder, "%.60s/idem-pg-XXXXXX",
                   parent && *parent ? parent : "/tmp");
    if (!mkdtemp(self->folder))
        fail("no folder can be made");
    if (getuid() == 0 && (!user || chown(self->folder, user->pw_uid, user->pw_gid) != 0))
        fail("there is no user to run it as");
    (void)chmod(self->folder, 0755);
    if (!registered && atexit(remove_all) == 0)
        registered = true;
    self->next = running;
    self->owner = getpid();
    running = self;
}

static void take_port(pg_server *self)
{
    self->port = pg_free_port();
    (void)snprintf(self->url, sizeof self->url,
                   "postgresql:///postgres?host=%s&port=%d&user=postgres", self->folder,
                   self->port);
    (void)snprintf(self->tcp_url, sizeof self->tcp_url,
                   "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable",
                   self->port);
}

/* What a test does not wait for: syncing the files of a cluster that is thrown away. */
static void write_settings(const pg_server *self)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/data/postgresql.conf", self->folder);
    FILE *file = fopen(path, "a");
    if (!file)
        fail("its settings can't be written");
    (void)fprintf(file, "fsync = off\nmax_connections = 60\nshared_buffers = 16MB\n"
                        "listen_addresses = '127.0.0.1'\nmax_wal_senders = 4\n"
                        "wal_level = replica\nhot_standby = on\nmax_prepared_transactions = 4\n");
    (void)fclose(file);
}

void pg_start(pg_server *self, const char *const *options)
{
    char path[500];
    char data[160];
    make_folder(self);
    program(path, "initdb");
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    const char *init[] = {path,    "-D", data, "-U",   "postgres",          "-A",
                          "trust", "-N", "-E", "UTF8", "--no-instructions", NULL};
    run_to_end(self->folder, init);
    write_settings(self);
    for (int i = 0; i < 5; i++) {
        take_port(self);
        if (launch(self, options))
            return;
    }
    fail("does not start");
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
    run_to_end(self->folder, copy);
}

void pg_start_with(const char *const *words)
{
    starter = words;
}

void pg_use_tls(pg_server *self, const char *script)
{
    const char *const words[] = {"sh", script, self->folder, NULL};
    run_to_end(self->folder, words);
    for (const char *const *name = (const char *const[]){"server", "named", "expired", NULL}; *name;
         name++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s/%s.key", self->folder, *name);
        (void)chmod(path, 0600);
    }
}

void pg_start_standby(pg_server *self, const pg_server *primary, const char *name)
{
    make_folder(self);
    copy_from(self, primary, name);
    for (int i = 0; i < 5; i++) {
        take_port(self);
        if (launch(self, NULL))
            return;
    }
    fail("a standby does not start");
}

void pg_again(pg_server *self, const char *const *options)
{
    pg_stop(self, SIGINT);
    /* The sessions of a server that was killed end by themselves, and hold its memory until then.
       */
    for (int i = 0; i < 100; i++) {
        if (launch(self, options))
            return;
        pause_ms(100);
    }
    fail("does not start again");
}

void pg_follow(pg_server *self, const pg_server *primary, const char *name)
{
    char data[160];
    pg_stop(self, SIGKILL);
    (void)snprintf(data, sizeof data, "%s/data", self->folder);
    for (int i = 0; i < 100 && access(data, F_OK) == 0; i++) {
        (void)nftw(data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        pause_ms(i);
    }
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
        fail(PQerrorMessage(conn));
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
        fail(PQerrorMessage(conn));
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
        pause_ms(10);
    }
    fail(question);
}
