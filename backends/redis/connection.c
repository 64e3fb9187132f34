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
#include "replicas.h"
#include "secret.h"
#include "sentinel.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* So long after its last answer a connection is taken for sound without a look at it: that would be
   a system call for each batch. What came in the meantime shows at the next seal. */
#define UNTESTED_MS 10u
/* How long to wait for the answer of TLS where none may be spoken. */
#define PROBE_MS 250u

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

void idem__redis_name(idem__redis *self, const char *kind, const char *host, uint32_t port)
{
    char quoted[IDEM_QUOTE_SIZE];
    (void)snprintf(self->name, sizeof self->name, "%s at %s port %u", kind,
                   idem_quote(idem_str(host), quoted), (unsigned)port);
}

static int locate_tcp(idem__redis *self, idem__redis_fault *fault)
{
    const idem_config *config = self->config;
    self->host = config->host ? config->host : "127.0.0.1";
    self->port = config->port ? config->port : 6379;
    idem__redis_name(self, "Redis", self->host, self->port);
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

static bool uses_tls(idem__redis_way way)
{
    return way == IDEM__REDIS_TLS || way == IDEM__REDIS_SENTINEL_TLS;
}

static bool asks_sentinels(idem__redis_way way)
{
    return way == IDEM__REDIS_SENTINEL || way == IDEM__REDIS_SENTINEL_TLS;
}

/* `prepare` has read the URL's hosts; here it is looked at for the first time, or an instance is
   made. */
static int locate_sentinel(idem__redis *self, idem__redis_way way, idem__redis_fault *fault)
{
    const idem__redis_sentinels *list = self->config->prepared;
    const idem_value *values =
        self->config->values + (uses_tls(way) ? IDEM__REDIS_TLS_PARAMS : IDEM__REDIS_PARAMS);
    if (!list)
        return idem__redis_sentinel_check_params(values, fault);
    self->db = list->db;
    (void)snprintf(self->name, sizeof self->name, "Redis");
    return idem__redis_sentinel_add(self, values, fault);
}

/* Files are read again by later connections, when the program may be in another folder. */
static int check_files(const idem_config *config, idem__redis_way way, idem__redis_fault *fault)
{
    static const unsigned files[] = {IDEM__REDIS_PASSWORD_FILE, IDEM__REDIS_TLS_CA,
                                     IDEM__REDIS_TLS_CERT, IDEM__REDIS_TLS_KEY};
    size_t count = uses_tls(way) ? sizeof files / sizeof files[0] : 1;
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
    if (config->credentials && (file || config->password))
        return refuse("there is a password in the URL, or a password_file, beside the program's "
                      "callback credentials",
                      fault);
    if (config->user && *config->user && !config->password && !file && !config->credentials)
        return refuse("the URL has a user but no password", fault);
    if (way == IDEM__REDIS_UNIX)
        return locate_unix(self, fault);
    if (uses_tls(way) && config->values[IDEM__REDIS_TLS_KEY].text &&
        !config->values[IDEM__REDIS_TLS_CERT].text)
        return refuse("tls_key is of no use without tls_cert", fault);
    return asks_sentinels(way) ? locate_sentinel(self, way, fault) : locate_tcp(self, fault);
}

/* ------------------------------------------------------------------------------- the greeting */

static idem_bytes text_of(const redisReply *reply)
{
    return (idem_bytes){reply->str, reply->len};
}

/* True if the password is read for each connection. */
static bool changes(const idem_config *config)
{
    return config->credentials || config->values[IDEM__REDIS_PASSWORD_FILE].text;
}

static bool has_password(const idem__redis *self)
{
    const idem_config *config = self->config;
    if (changes(config))
        return true;
    return config->password && (*config->password || (config->user && *config->user));
}

static int append_auth(idem__redis *self, const char *user, idem_bytes password,
                       idem__redis_fault *fault)
{
    bool named = user && *user;
    idem_bytes words[] = {idem_str("AUTH"), named ? idem_str(user) : password, password};
    return idem__redis_wire_append(&self->wire, named ? 3 : 2, words, fault);
}

static int ask_auth(idem__redis *self, idem__redis_fault *fault)
{
    idem__redis_secret secret;
    const idem_config *config = self->config;
    const char *file = config->values[IDEM__REDIS_PASSWORD_FILE].text;
    if (!changes(config))
        return append_auth(self, config->user, idem_str(config->password), fault);
    int rc = config->credentials ? idem__redis_secret_ask(&secret, config, self->name, fault)
                                 : idem__redis_secret_read(&secret, file, self->name, fault);
    if (rc == IDEM_OK)
        rc = append_auth(self, secret.user[0] ? secret.user : config->user,
                         (idem_bytes){secret.text, secret.len}, fault);
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
    idem_bytes role = idem_str("ROLE");
    if (rc == IDEM_OK && self->sentinel)
        rc = idem__redis_wire_append(&self->wire, 1, &role, fault);
    if (rc == IDEM_OK && idem__redis_replicas_wanted(self))
        rc = idem__redis_replicas_ask(self, fault);
    idem_bytes hello = idem_str("HELLO");
    if (rc == IDEM_OK)
        rc = idem__redis_wire_append(&self->wire, 1, &hello, fault);
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
    self->refused = changes(self->config);
    if (self->config->credentials && !none_set)
        says = "refused the user or the password that the program's callback `credentials` gave: "
               "look at where it takes them from";
    else if (self->refused && !none_set)
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

/* What a server says of itself: name and value in turn. NULL: it does not say. */
static const char *find_said(const redisReply *reply, const char *name)
{
    size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
        const redisReply *said = reply->element[i];
        const redisReply *value = reply->element[i + 1];
        if (said->type == REDIS_REPLY_STRING && value->type == REDIS_REPLY_STRING &&
            strcmp(said->str, name) == 0)
            return value->str;
    }
    return NULL;
}

/* A node of a cluster would else be found out by the first key of another node. A server that does
   not say what it is (a proxy) is believed to be what the URL takes it for. */
static int judge_mode(const idem__redis *self, const redisReply *reply, idem__redis_fault *fault)
{
    const char *mode = find_said(reply, "mode");
    bool node = mode && strcmp(mode, "cluster") == 0;
    if (mode && strcmp(mode, "sentinel") == 0)
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                     "%s is a sentinel: write redis+sentinel:// (or "
                                     "rediss+sentinel://) and the primary's name behind the hosts",
                                     self->name);
    if (!mode || node == self->clustered)
        return IDEM_OK;
    return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED, "%s %s", self->name,
                                 node ? "is a node of a cluster: write redis+cluster:// (or "
                                        "rediss+cluster://)"
                                      : "is no node of a cluster: write redis:// (or rediss://)");
}

/* What a sentinel has named as the master may be none any more, or not yet. */
static int judge_role(const idem__redis *self, const redisReply *reply, idem__redis_fault *fault)
{
    bool told = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                reply->element[0]->type == REDIS_REPLY_STRING;
    if (reply->type == REDIS_REPLY_ERROR && idem__redis_fault_is(text_of(reply), "NOPERM"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                     "%s does not tell this user whether it is the master: allow "
                                     "ROLE (an ACL's +role)",
                                     self->name);
    if (reply->type == REDIS_REPLY_ERROR)
        return idem__redis_fault_take_unquoted(fault, self->name, text_of(reply));
    if (told && strcmp(reply->element[0]->str, "master") == 0)
        return IDEM_OK;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s was named as the master by %s, and is none: a failover is "
                                 "under way, or that sentinel lies behind",
                                 self->name, self->sentinel->asker.name);
}

static int hear_more(idem__redis *self,
                     int (*judge_it)(const idem__redis *self, const redisReply *reply,
                                     idem__redis_fault *fault),
                     uint64_t deadline_ms, idem__redis_fault *fault)
{
    redisReply *reply;
    int rc = idem__redis_wire_reply(&self->wire, deadline_ms, &reply, fault);
    if (rc)
        return rc;
    rc = judge_it(self, reply, fault);
    freeReplyObject(reply);
    return rc;
}

int idem__redis_greet(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int rc = ask(self, fault);
    if (rc == IDEM_OK && has_password(self))
        rc = hear(self, judge_auth, deadline_ms, fault);
    if (rc == IDEM_OK && self->db != 0)
        rc = hear(self, judge_select, deadline_ms, fault);
    if (rc == IDEM_OK)
        rc = hear(self, NULL, deadline_ms, fault);
    if (rc == IDEM_OK && self->sentinel)
        rc = hear_more(self, judge_role, deadline_ms, fault);
    if (rc == IDEM_OK && idem__redis_replicas_wanted(self))
        rc = hear_more(self, idem__redis_replicas_agree, deadline_ms, fault);
    self->wire.nested = true; /* it may tell of its modules */
    if (rc == IDEM_OK)
        rc = hear_more(self, judge_mode, deadline_ms, fault);
    self->wire.nested = false;
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

/* What a server answers first to some bytes, by a connection of its own, which no secret is sent
   on. NUL: nothing. */
static char probe(const idem__redis *self, const char *bytes, size_t len, uint64_t deadline_ms)
{
    idem__redis_fault fault = {0};
    uint64_t limit_ms;
    short happened;
    char said = '\0';
    int fd = -1;
    if (idem__redis_dial(self, deadline_ms, &limit_ms, &fd, &fault))
        return '\0';
    if (send(fd, bytes, len, MSG_NOSIGNAL) > 0 &&
        idem__redis_wire_wait(fd, POLLIN, limit_ms, &happened))
        (void)!recv(fd, &said, 1, MSG_DONTWAIT);
    (void)close(fd);
    return said;
}

/* Redis without TLS waits for the end of what it takes for a command. */
static bool is_plain(const idem__redis *self, uint64_t deadline_ms)
{
    static const char ping[] = "PING\r\n";
    char said = probe(self, ping, sizeof ping - 1, deadline_ms);
    return said == '+' || said == '-';
}

/* An empty ClientHello: TLS answers with an alert. */
void idem__redis_suspect_tls(const idem__redis *self, uint64_t deadline_ms,
                             idem__redis_fault *fault)
{
    static const char hello[] = {22, 3, 1, 0, 4, 1, 0, 0, 0};
    uint64_t soon_ms = idem_monotonic_ms() + PROBE_MS;
    if (self->wire.tls || fault->permanent || fault->error.code != IDEM_ERR_UNAVAILABLE ||
        self->path)
        return;
    char said = probe(self, hello, sizeof hello, soon_ms < deadline_ms ? soon_ms : deadline_ms);
    if (said != 21 && said != 22)
        return;
    *fault = (idem__redis_fault){0};
    (void)idem__redis_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                "%s speaks TLS at this port: write rediss:// in place of redis://, "
                                "or name its plain port",
                                self->name);
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

int idem__redis_link(idem__redis *self, uint64_t deadline_ms, uint64_t *limit_ms,
                     idem__redis_fault *fault)
{
    int fd = -1;
    int rc = idem__redis_dial(self, deadline_ms, limit_ms, &fd, fault);
    return rc ? rc : open_wire(self, fd, *limit_ms, fault);
}

/* Also where the server is named by sentinels, which are asked at each connect. */
static int reach(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    uint64_t limit_ms;
    int rc = idem__redis_link(self, deadline_ms, &limit_ms, fault);
    if (rc == IDEM_OK) {
        uint64_t before = self->wire.progress;
        rc = idem__redis_greet(self, limit_ms, fault);
        if (rc && self->wire.progress == before)
            idem__redis_suspect_tls(self, limit_ms, fault);
    }
    if (rc && self->sentinel)
        idem__redis_sentinel_doubt(self);
    return rc;
}

static int connect_once(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    idem__redis_close_connection(self);
    self->refused = false;
    self->no_nx_get = false;
    self->proved = false;
    self->no_names = false;
    self->no_scripts = false;
    int rc = self->sentinel ? idem__redis_sentinel_ask(self, deadline_ms, fault) : IDEM_OK;
    if (rc == IDEM_OK)
        rc = reach(self, deadline_ms, fault);
    if (rc)
        idem__redis_wire_close(&self->wire);
    return rc;
}

static int too_late(const idem__redis *self, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "the deadline came before %s could be asked: set a longer "
                                 "timeout",
                                 self->name);
}

static int connect_anew(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int rc = connect_once(self, deadline_ms, fault);
    if (rc && self->refused) { /* there may be another one since it was read */
        *fault = (idem__redis_fault){0};
        rc = connect_once(self, deadline_ms, fault);
    }
    return rc;
}

int idem__redis_ready(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    if (idem_monotonic_ms() >= deadline_ms)
        return too_late(self, fault);
    if (!self->pipeline.fault.error.code && idem__redis_wire_usable(&self->wire))
        return IDEM_OK;
    return connect_anew(self, deadline_ms, fault);
}

int idem__redis_keep_connected(idem__redis *self, uint64_t deadline_ms, idem__redis_fault *fault)
{
    const idem__redis_wire *wire = &self->wire;
    uint64_t now_ms = idem_monotonic_ms();
    if (deadline_ms > 0 && now_ms >= deadline_ms)
        return too_late(self, fault);
    bool sound = wire->fd >= 0 && !wire->broken && !self->pipeline.leaving &&
                 !self->pipeline.fault.error.code;
    /* The answer to an abandoned request is due, or was there a moment ago. */
    if (sound && (wire->expected > 0 ||
                  (idem__redis_wire_seals(wire) && now_ms < wire->heard_ms + UNTESTED_MS)))
        return IDEM_OK;
    if (sound && idem__redis_wire_usable(&self->wire))
        return IDEM_OK;
    if (deadline_ms == 0)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "there is no connection to %s", self->name);
    return connect_anew(self, deadline_ms, fault);
}
