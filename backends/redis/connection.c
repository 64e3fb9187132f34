/* SPDX-License-Identifier: MIT */
/*
 * The connection. It is opened with the instance, and again by the next call when it was lost, when
 * the server has closed it, or in the child of a fork(). The greeting is one round trip: AUTH,
 * SELECT, PING, ECHO. A server that is loading its data counts as reachable.
 *
 * Only the greeting contains the password. No error message quotes the server's answer to it, since
 * a faulty server may repeat what it received.
 */
#include "connection.h"

#include "dial.h"
#include "secret.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* --------------------------------------------------------------------------------- the URL */

static int refuse(const char *what, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                 "%s; write redis://user:password@host:port/database or "
                                 "redis+unix:///path/of.sock?db=database",
                                 what);
}

static bool read_db(const char *text, uint32_t *db)
{
    uint64_t number = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    for (size_t i = 0; i < len; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    *db = (uint32_t)number;
    return true;
}

static int locate_tcp(idem__redis *self, idem__redis_fault *fault)
{
    const idem_config *config = self->config;
    char quoted[IDEM_QUOTE_SIZE];
    self->host = config->host ? config->host : "127.0.0.1";
    self->port = config->port ? config->port : 6379;
    (void)snprintf(self->name, sizeof self->name, "Redis at %s port %u",
                   idem_quote(idem_str(self->host), quoted), (unsigned)self->port);
    const char *path = config->path;
    if (path && path[0] != '\0' && strcmp(path, "/") != 0 && !read_db(path + 1, &self->db))
        return refuse("redis: what follows the host is not the number of a database", fault);
    return IDEM_OK;
}

static int locate_unix(idem__redis *self, idem__redis_fault *fault)
{
    const idem_config *config = self->config;
    const char *db = config->values[IDEM__REDIS_DB].text;
    char quoted[IDEM_QUOTE_SIZE];
    if (config->host || config->port)
        return refuse("redis+unix: the URL names a host, and a socket has none", fault);
    if (!config->path || !*config->path || strcmp(config->path, "/") == 0)
        return refuse("redis+unix: the URL names no socket", fault);
    if (db && !read_db(db, &self->db))
        return refuse("redis+unix: db is not the number of a database", fault);
    self->path = config->path;
    (void)snprintf(self->name, sizeof self->name, "Redis at %s",
                   idem_quote(idem_str(self->path), quoted));
    return IDEM_OK;
}

/* Files are read again by later connections, when the program may be in another folder. */
static int check_files(const idem_config *config, idem__redis_way way, idem__redis_fault *fault)
{
    static const unsigned files[] = {IDEM__REDIS_PASSWORD_FILE, IDEM__REDIS_TLS_CA,
                                     IDEM__REDIS_TLS_CERT, IDEM__REDIS_TLS_KEY};
    size_t count = way == IDEM__REDIS_TLS ? sizeof files / sizeof files[0] : 1;
    for (size_t i = 0; i < count; i++) {
        const char *path = config->values[files[i]].text;
        if (path && path[0] != '/')
            return refuse("files in the URL are named by absolute paths", fault);
    }
    return IDEM_OK;
}

int idem__redis_locate(idem__redis *self, idem__redis_way way, idem__redis_fault *fault)
{
    const idem_config *config = self->config;
    int rc = check_files(config, way, fault);
    if (rc)
        return rc;
    const char *file = config->values[IDEM__REDIS_PASSWORD_FILE].text;
    if (file && config->password)
        return refuse("the URL has a password and a password_file", fault);
    if (config->user && *config->user && !config->password && !file)
        return refuse("the URL has a user but no password", fault);
    if (way == IDEM__REDIS_UNIX)
        return locate_unix(self, fault);
    if (way == IDEM__REDIS_TLS && config->values[IDEM__REDIS_TLS_KEY].text &&
        !config->values[IDEM__REDIS_TLS_CERT].text)
        return refuse("tls_key is of no use without tls_cert", fault);
    return locate_tcp(self, fault);
}

/* ------------------------------------------------------------------------------- the greeting */

static idem_bytes text_of(const redisReply *reply)
{
    return (idem_bytes){reply->str, reply->len};
}

static bool has_password(const idem__redis *self)
{
    const idem_config *config = self->config;
    if (config->values[IDEM__REDIS_PASSWORD_FILE].text)
        return true;
    return config->password && (*config->password || (config->user && *config->user));
}

static int append_auth(idem__redis *self, idem_bytes password, idem__redis_fault *fault)
{
    const idem_config *config = self->config;
    bool named = config->user && *config->user;
    idem_bytes words[] = {idem_str("AUTH"), named ? idem_str(config->user) : password, password};
    return idem__redis_wire_append(&self->wire, named ? 3 : 2, words, fault);
}

static int ask_auth(idem__redis *self, idem__redis_fault *fault)
{
    idem__redis_secret secret;
    const char *file = self->config->values[IDEM__REDIS_PASSWORD_FILE].text;
    if (!file)
        return append_auth(self, idem_str(self->config->password), fault);
    int rc = idem__redis_secret_read(&secret, file, self->name, fault);
    if (rc == IDEM_OK)
        rc = append_auth(self, (idem_bytes){secret.text, secret.len}, fault);
    idem__redis_secret_wipe(&secret);
    return rc;
}

static int ask(idem__redis *self, idem__redis_fault *fault)
{
    char db[16];
    int rc = IDEM_OK;
    idem__redis_wire_begin(&self->wire, true);
    if (has_password(self))
        rc = ask_auth(self, fault);
    if (rc == IDEM_OK && self->db != 0) {
        (void)snprintf(db, sizeof db, "%u", (unsigned)self->db);
        idem_bytes words[] = {idem_str("SELECT"), idem_str(db)};
        rc = idem__redis_wire_append(&self->wire, 2, words, fault);
    }
    idem_bytes ping = idem_str("PING");
    if (rc == IDEM_OK)
        rc = idem__redis_wire_append(&self->wire, 1, &ping, fault);
    return rc ? rc : idem__redis_wire_seal(&self->wire, fault);
}

/* An answer to any of the three: what concerns all commands. */
static int judge_any(idem__redis *self, idem_bytes text, idem__redis_fault *fault)
{
    static const char *const all[] = {"NOAUTH", "DENIED", "ERR max number of clients"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (idem__redis_fault_is(text, all[i]))
            return idem__redis_fault_take_unquoted(fault, self->name, text);
    }
    return IDEM_OK;
}

static int judge_auth(idem__redis *self, idem_bytes text, idem__redis_fault *fault)
{
    bool none_set = idem__redis_fault_is(text, "ERR AUTH <password> called without") ||
                    idem__redis_fault_is(text, "ERR Client sent AUTH, but no password is set");
    const char *says = none_set ? "has no password set for its default user: leave it out of the "
                                  "URL, or set one"
                                : "refused the user or the password: correct them in the URL";
    self->refused = self->config->values[IDEM__REDIS_PASSWORD_FILE].text != NULL;
    if (self->refused && !none_set)
        says = "refused the user or the password: correct the URL's user, or the password in "
               "password_file";
    return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE, "%s %s", self->name, says);
}

static int judge_select(idem__redis *self, idem_bytes text, idem__redis_fault *fault)
{
    if (idem__redis_fault_is(text, "ERR DB index") || idem__redis_fault_is(text, "ERR invalid DB"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                     "%s has no database %u: name a smaller one in the URL, or "
                                     "raise its databases setting",
                                     self->name, (unsigned)self->db);
    if (idem__redis_fault_is(text, "ERR SELECT is not allowed in cluster mode"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                     "%s is a node of a cluster, which has database 0 alone",
                                     self->name);
    return idem__redis_fault_take_unquoted(fault, self->name, text);
}

typedef int (*judge)(idem__redis *self, idem_bytes text, idem__redis_fault *fault);

/* `judge_own` NULL: errors beyond those that concern all commands are for the calls to meet, such
   as that the server is loading its data. */
static int hear(idem__redis *self, judge judge_own, uint64_t deadline_ms, idem__redis_fault *fault)
{
    redisReply *reply;
    int rc = idem__redis_wire_reply(&self->wire, deadline_ms, &reply, fault);
    if (rc)
        return rc;
    if (reply->type == REDIS_REPLY_ERROR)
        rc = judge_any(self, text_of(reply), fault);
    else if (reply->type != REDIS_REPLY_STATUS)
        rc = idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                   "%s did not answer like Redis: correct the URL", self->name);
    if (rc == IDEM_OK && reply->type == REDIS_REPLY_ERROR && judge_own)
        rc = judge_own(self, text_of(reply), fault);
    freeReplyObject(reply);
    return rc;
}

static int greet(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int rc = ask(self, fault);
    if (rc == IDEM_OK && has_password(self))
        rc = hear(self, judge_auth, deadline_ms, fault);
    if (rc == IDEM_OK && self->db != 0)
        rc = hear(self, judge_select, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = hear(self, NULL, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = idem__redis_wire_agree(&self->wire, deadline_ms, fault);
    idem__redis_wire_begin(&self->wire, false);
    if (rc == IDEM_OK && !idem__redis_wire_usable(&self->wire))
        rc = idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                   "%s closed the connection after the greeting, or said more than "
                                   "it was asked for",
                                   self->name);
    return rc;
}

/* ------------------------------------------------------------------------------- open again */

/* Redis without TLS waits for the end of what it takes for a command, so it is asked by a
   connection of its own, which no secret is sent on. */
static bool is_plain(const idem__redis *self, uint64_t deadline_ms)
{
    static const char ping[] = "PING\r\n";
    idem__redis_fault fault = {0};
    uint64_t limit_ms;
    short happened;
    char said = '\0';
    int fd = -1;
    if (idem__redis_dial(self, deadline_ms, &limit_ms, &fd, &fault))
        return false;
    if (send(fd, ping, sizeof ping - 1, MSG_NOSIGNAL) > 0 &&
        idem__redis_wire_wait(fd, POLLIN, limit_ms, &happened))
        (void)!recv(fd, &said, 1, MSG_DONTWAIT);
    (void)close(fd);
    return said == '+' || said == '-';
}

static int start_tls(idem__redis *self, int fd, uint64_t limit_ms, idem__redis_fault *fault)
{
    bool silent = false;
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t patience_ms = now_ms < limit_ms ? (limit_ms - now_ms) / 4 * 3 : 0;
    int rc = self->wire.tls->ops->start(self->wire.tls, fd, now_ms + patience_ms, &silent, fault);
    if (!silent)
        return rc;
    if (is_plain(self, limit_ms))
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s speaks no TLS at this port: name its TLS port, or write "
                                     "redis:// if the network may see all",
                                     self->name);
    return idem__redis_fault_set(
        fault, false, IDEM_ERR_UNAVAILABLE,
        "%s did not answer the TLS handshake by the deadline: look whether "
        "it is Redis with TLS, and at its load",
        self->name);
}

/* Takes the descriptor, also when it fails. */
static int open_wire(idem__redis *self, int fd, uint64_t limit_ms, idem__redis_fault *fault)
{
    int rc = self->wire.tls ? start_tls(self, fd, limit_ms, fault) : IDEM_OK;
    if (rc == IDEM_OK)
        return idem__redis_wire_open(&self->wire, fd, fault);
    (void)close(fd);
    return rc;
}

static int connect_once(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int fd = -1;
    uint64_t limit_ms;
    idem__redis_wire_close(&self->wire);
    self->refused = false;
    self->no_nx_get = false;
    self->proved = false;
    self->no_names = false;
    self->no_scripts = false;
    int rc = idem__redis_dial(self, deadline_ms, &limit_ms, &fd, fault);
    if (rc == IDEM_OK)
        rc = open_wire(self, fd, limit_ms, fault);
    if (rc == IDEM_OK)
        rc = greet(self, limit_ms, fault);
    if (rc)
        idem__redis_wire_close(&self->wire);
    return rc;
}

int idem__redis_ready(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    if (idem_monotonic_ms() >= deadline_ms)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "the deadline came before %s could be asked: set a longer "
                                     "timeout",
                                     self->name);
    if (idem__redis_wire_usable(&self->wire))
        return IDEM_OK;
    int rc = connect_once(self, deadline_ms, fault);
    if (rc && self->refused) { /* the file may have been written anew since it was read */
        *fault = (idem__redis_fault){0};
        rc = connect_once(self, deadline_ms, fault);
    }
    return rc;
}
