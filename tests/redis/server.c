/* SPDX-License-Identifier: MIT */
/*
 * Servers that a test starts and stops. Each runs in a folder of its own and is known by its
 * process id alone. It ends with the process that started it: by server_remove(), at exit, and on
 * Linux by the kernel if that process is killed.
 */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#define SKIPPED     77
#define ARGS_MAX    64
#define WAIT_TRIES  1000
#define START_TRIES 5

static server *running;

static const char *program(void)
{
    const char *name = getenv("IDEM_REDIS_SERVER");
    return name && *name ? name : "redis-server";
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", program(), what);
    exit(EXIT_FAILURE);
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* --------------------------------------------------------------------------------- is there one */

static bool in_path(const char *name)
{
    char candidate[512];
    const char *at = getenv("PATH");
    if (strchr(name, '/'))
        return access(name, X_OK) == 0;
    while (at && *at) {
        int len = (int)strcspn(at, ":");
        (void)snprintf(candidate, sizeof candidate, "%.*s/%s", len, at, name);
        if (access(candidate, X_OK) == 0)
            return true;
        at += len;
        at += *at == ':';
    }
    return false;
}

void server_require(void)
{
    const char *skips_fail = getenv("IDEM_SKIPS_FAIL");
    if (in_path(program()))
        return;
    (void)fprintf(stderr, "there is no %s in PATH; install the package redis-server\n", program());
    exit(skips_fail && strcmp(skips_fail, "1") == 0 ? EXIT_FAILURE : SKIPPED);
}

/* ---------------------------------------------------------------------------------- one process */

static int free_port(void)
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

static void run_sentinel(const server *self)
{
    char file[160];
    (void)snprintf(file, sizeof file, "%s/sentinel.conf", self->folder);
    (void)execlp(program(), program(), file, "--sentinel", (char *)NULL);
}

static void run_server(const server *self, const char *const *options)
{
    char port[16];
    const char *args[ARGS_MAX] = {program(),    "--port",      port,         "--bind",
                                  "127.0.0.1",  "--dir",       self->folder, "--unixsocket",
                                  self->socket, "--save",      "",           "--appendonly",
                                  "no",         "--daemonize", "no",         "--protected-mode",
                                  "no",         "--logfile",   "server.log", NULL};
    size_t count = 0;
    while (args[count])
        count++;
    for (; options && *options && count < ARGS_MAX - 1; options++)
        args[count++] = *options;
    (void)snprintf(port, sizeof port, "%d", self->port);
    (void)execvp(args[0], (char *const *)(uintptr_t)args);
}

static void run(const server *self, const char *const *options)
{
    (void)setpgid(0, 0); /* with the children that write its files */
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != self->owner)
        _exit(127);
#endif
    int null = open("/dev/null", O_RDWR);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    if (self->sentinel)
        run_sentinel(self);
    else
        run_server(self, options);
    _exit(127);
}

static bool has_ended(server *self)
{
    if (waitpid(self->pid, NULL, WNOHANG) == 0)
        return false;
    self->pid = 0;
    return true;
}

static redisContext *connect_to(const server *self)
{
    struct timeval limit = {.tv_sec = 10};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", self->port, limit);
    if (context && context->err == 0)
        (void)redisSetTimeout(context, limit);
    return context;
}

/* True once it answers to PING, or says that it won't without a password. */
static bool answers(const server *self)
{
    redisContext *context = connect_to(self);
    redisReply *reply = context && context->err == 0 ? redisCommand(context, "PING") : NULL;
    bool ready = reply && (reply->type == REDIS_REPLY_STATUS ||
                           strncmp(reply->str, "NOAUTH", strlen("NOAUTH")) == 0);
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return ready;
}

static bool launch(server *self, const char *const *options)
{
    (void)fflush(NULL);
    self->owner = getpid();
    self->pid = fork();
    if (self->pid < 0)
        fail("fork() failed");
    if (self->pid == 0)
        run(self, options);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++) {
        if (answers(self))
            return true;
        pause_ms(10);
    }
    server_stop(self);
    return false;
}

void server_stop(server *self)
{
    pid_t group = self->pid;
    if (self->pid <= 0 || self->owner != getpid())
        return;
    (void)kill(self->pid, SIGCONT);
    for (int i = 0; i < WAIT_TRIES && !has_ended(self); i++) {
        /* More than once: it won't go while it writes its first append-only file. */
        if (i % 20 == 0)
            (void)kill(self->pid, SIGTERM);
        pause_ms(10);
    }
    (void)kill(-group, SIGKILL);
    if (self->pid > 0)
        (void)waitpid(self->pid, NULL, 0);
    self->pid = 0;
}

void server_kill(server *self)
{
    if (self->pid <= 0 || self->owner != getpid())
        return;
    (void)kill(-self->pid, SIGKILL);
    (void)waitpid(self->pid, NULL, 0);
    self->pid = 0;
}

/* ------------------------------------------------------------------------------------ lifetime */

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void server_remove(server *self)
{
    if (self->owner != getpid())
        return;
    server_stop(self);
    for (server **at = &running; *at; at = &(*at)->next) {
        if (*at == self) {
            *at = self->next;
            break;
        }
    }
    for (int i = 0; i < WAIT_TRIES && access(self->folder, F_OK) == 0; i++) {
        (void)nftw(self->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        pause_ms(i); /* a child of the server's may write its last file */
    }
}

/* Forked tests run it too: what they did not start is not theirs. */
static void remove_all(void)
{
    server *next;
    for (server *at = running; at; at = next) {
        next = at->next;
        server_remove(at);
    }
}

/* Before it can start: its folder, and its end. */
static void make(server *self)
{
    static bool registered;
    const char *parent = getenv("TMPDIR");
    memset(self, 0, sizeof *self);
    (void)snprintf(self->folder, sizeof self->folder, "%.80s/idem-redis-XXXXXX",
                   parent && *parent ? parent : "/tmp");
    if (!mkdtemp(self->folder))
        fail("no folder can be made");
    if (!registered && atexit(remove_all) == 0)
        registered = true;
    self->next = running;
    self->owner = getpid();
    running = self;
    (void)snprintf(self->socket, sizeof self->socket, "%s/sock", self->folder);
    (void)snprintf(self->unix_url, sizeof self->unix_url, "redis+unix://%s", self->socket);
}

static void choose_port(server *self)
{
    self->port = free_port();
    (void)snprintf(self->url, sizeof self->url, "redis://127.0.0.1:%d", self->port);
}

void server_start(server *self, const char *const *options)
{
    make(self);
    for (int i = 0; i < START_TRIES; i++) {
        choose_port(self);
        if (launch(self, options))
            return;
    }
    fail("does not start");
}

static void write_settings(const server *self, const char *settings)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/sentinel.conf", self->folder);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file,
                         "port %d\nbind 127.0.0.1\ndir %s\nprotected-mode no\n"
                         "logfile sentinel.log\n%s",
                         self->port, self->folder, settings) < 0)
        fail("its settings can't be written");
    (void)fclose(file);
}

void server_start_sentinel(server *self, const char *settings)
{
    make(self);
    self->sentinel = true;
    for (int i = 0; i < START_TRIES; i++) {
        choose_port(self);
        write_settings(self, settings);
        if (launch(self, NULL))
            return;
    }
    fail("does not start");
}

void server_again(server *self, const char *const *options)
{
    server_stop(self);
    if (!launch(self, options))
        fail("does not start again");
}

/* ------------------------------------------------------------------------------------- asking */

static redisReply *ask(const server *self, const char *format, va_list arguments)
{
    redisContext *context = connect_to(self);
    redisReply *reply =
        context && context->err == 0 ? redisvCommand(context, format, arguments) : NULL;
    if (!reply)
        fail(context ? context->errstr : "no memory");
    redisFree(context);
    return reply;
}

redisReply *server_ask(const server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(self, format, arguments);
    va_end(arguments);
    return reply;
}

redisReply *server_try(const server *self, const char *format, ...)
{
    va_list arguments;
    redisContext *context = connect_to(self);
    va_start(arguments, format);
    redisReply *reply =
        context && context->err == 0 ? redisvCommand(context, format, arguments) : NULL;
    va_end(arguments);
    if (context)
        redisFree(context);
    return reply;
}

void server_do(const server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(self, format, arguments);
    va_end(arguments);
    if (reply->type == REDIS_REPLY_ERROR)
        fail(reply->str);
    freeReplyObject(reply);
}

bool server_may(const server *self, const char *format, ...)
{
    va_list arguments;
    redisContext *context = connect_to(self);
    va_start(arguments, format);
    redisReply *reply =
        context && context->err == 0 ? redisvCommand(context, format, arguments) : NULL;
    va_end(arguments);
    bool done = reply && reply->type != REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    if (context)
        redisFree(context);
    return done;
}

long long server_number(const server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(self, format, arguments);
    va_end(arguments);
    if (reply->type != REDIS_REPLY_INTEGER)
        fail(reply->type == REDIS_REPLY_ERROR ? reply->str : "gave no number");
    long long number = reply->integer;
    freeReplyObject(reply);
    return number;
}

char *server_text(const server *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = ask(self, format, arguments);
    va_end(arguments);
    if (reply->type != REDIS_REPLY_STRING)
        fail(reply->type == REDIS_REPLY_ERROR ? reply->str : "gave no text");
    char *text = strdup(reply->str);
    freeReplyObject(reply);
    return text;
}

long long server_info(const server *self, const char *section, const char *field)
{
    char name[64];
    char *info = server_text(self, "INFO %s", section);
    (void)snprintf(name, sizeof name, "\n%s:", field);
    const char *at = strstr(info, name);
    long long number = at ? atoll(at + strlen(name)) : -1;
    free(info);
    return number;
}
