/* SPDX-License-Identifier: MIT */
/* redis-server, or another program that speaks like one: its command line, and questions to it. */
#include "server.h"

#include "loopback.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGS_MAX 64

static const char *program(void)
{
    const char *name = getenv("IDEM_REDIS_SERVER");
    return name && *name ? name : "redis-server";
}

static _Noreturn void fail(const server *self, const char *what)
{
    child_fail(&self->process, what);
}

void server_require(void)
{
    char what[512];
    (void)snprintf(what, sizeof what, "there is no %s in PATH; install the package redis-server",
                   program());
    child_require(child_in_path(program()), what);
}

/* ---------------------------------------------------------------------------- start and stop */

static redisContext *connect_to(const child_process *self)
{
    struct timeval limit = {.tv_sec = 10};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", self->port, limit);
    if (context && context->err == 0)
        (void)redisSetTimeout(context, limit);
    return context;
}

static bool wants_password(const redisReply *reply)
{
    return strncmp(reply->str, "NOAUTH", strlen("NOAUTH")) == 0;
}

/* True once it answers to PING, or says that it won't without a password. */
static bool answers(const child_process *self)
{
    redisContext *context = connect_to(self);
    redisReply *reply = context && context->err == 0 ? redisCommand(context, "PING") : NULL;
    bool ready = reply && (reply->type == REDIS_REPLY_STATUS || wants_password(reply));
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return ready;
}

/* Between the choice of a port and its use another process may take it: what answers there is this
   server only if this server has come to its socket, which it does once it has the port. */
static bool server_answers(const child_process *self)
{
    int fd = loopback_dial_path(((const server *)self)->socket);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 && answers(self);
}

/* A sentinel has no socket of its own, and tells its pid. */
static bool sentinel_answers(const child_process *self)
{
    char pid[40];
    (void)snprintf(pid, sizeof pid, "process_id:%d\r", (int)self->pid);
    redisContext *context = connect_to(self);
    redisReply *reply = context && context->err == 0 ? redisCommand(context, "INFO server") : NULL;
    bool ready = reply && reply->str && (strstr(reply->str, pid) != NULL || wants_password(reply));
    if (reply)
        freeReplyObject(reply);
    if (context)
        redisFree(context);
    return ready;
}

static void write_urls(server *self)
{
    (void)snprintf(self->socket, sizeof self->socket, "%s/sock", self->folder);
    (void)snprintf(self->unix_url, sizeof self->unix_url, "redis+unix://%s", self->socket);
    (void)snprintf(self->url, sizeof self->url, "redis://127.0.0.1:%d", self->port);
}

static bool launch_server(child_process *process, const char *const *options)
{
    server *self = (server *)process;
    char port[16];
    const char *args[ARGS_MAX] = {program(),
                                  "--port",
                                  port,
                                  "--bind",
                                  "127.0.0.1",
                                  "--dir",
                                  process->folder,
                                  "--unixsocket",
                                  self->socket,
                                  "--save",
                                  "",
                                  "--appendonly",
                                  "no",
                                  "--daemonize",
                                  "no",
                                  "--protected-mode",
                                  "no",
                                  NULL};
    size_t count = 0;
    while (args[count])
        count++;
    for (; options && *options && count < ARGS_MAX - 1; options++)
        args[count++] = *options;
    write_urls(self);
    (void)snprintf(port, sizeof port, "%d", process->port);
    return child_launch(process, args);
}

static void write_settings(const child_process *self, const char *path, const char *settings)
{
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "port %d\nbind 127.0.0.1\ndir %s\nprotected-mode no\n%s", self->port,
                         self->folder, settings) < 0)
        child_fail(self, "its settings can't be written");
    (void)fclose(file);
}

/* @param options  one text: its settings. NULL: it has its file, which it writes itself. */
static bool launch_sentinel(child_process *process, const char *const *options)
{
    char path[160];
    const char *const args[] = {program(), path, "--sentinel", NULL};
    (void)snprintf(path, sizeof path, "%s/sentinel.conf", process->folder);
    if (options)
        write_settings(process, path, *options);
    write_urls((server *)process);
    return child_launch(process, args);
}

static const child_kind kinds[] = {
    {.name = "redis",
     .answers = server_answers,
     .launch = launch_server,
     .end = SIGTERM,
     .death = SIGKILL},
    {.name = "sentinel",
     .answers = sentinel_answers,
     .launch = launch_sentinel,
     .end = SIGTERM,
     .death = SIGKILL},
};

static void start(server *self, const child_kind *kind, const char *const *options)
{
    memset(self, 0, sizeof *self);
    child_make(&self->process, kind);
    child_start(&self->process, options);
}

void server_start(server *self, const char *const *options)
{
    start(self, &kinds[0], options);
}

void server_start_sentinel(server *self, const char *settings)
{
    start(self, &kinds[1], (const char *const[]){settings, NULL});
}

void server_again(server *self, const char *const *options)
{
    server_stop(self);
    if (!self->kind->launch(&self->process, options))
        fail(self, "it does not start again");
}

void server_stop(server *self)
{
    child_stop(&self->process, SIGTERM);
}

void server_kill(server *self)
{
    child_stop(&self->process, SIGKILL);
}

void server_remove(server *self)
{
    child_remove(&self->process);
}

/* ------------------------------------------------------------------------------------- asking */

static redisReply *ask(const server *self, const char *format, va_list arguments)
{
    redisContext *context = connect_to(&self->process);
    redisReply *reply =
        context && context->err == 0 ? redisvCommand(context, format, arguments) : NULL;
    if (!reply)
        fail(self, context ? context->errstr : "no memory");
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
    redisContext *context = connect_to(&self->process);
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
        fail(self, reply->str);
    freeReplyObject(reply);
}

bool server_may(const server *self, const char *format, ...)
{
    va_list arguments;
    redisContext *context = connect_to(&self->process);
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
        fail(self, reply->type == REDIS_REPLY_ERROR ? reply->str : "gave no number");
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
        fail(self, reply->type == REDIS_REPLY_ERROR ? reply->str : "gave no text");
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
