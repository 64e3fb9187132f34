/* SPDX-License-Identifier: MIT */
/*
 * Where a URL leads. Hosts are taken apart and looked up here, not by libpq: each address gets a
 * fair share of the time, which libpq gives only to callers that block.
 *
 * Passwords are handed to libpq and are in no message.
 */
#include "target.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_BYTES 63u
/* Where nothing is, and nothing can be. */
#define NO_FILE "/dev/null/none"

#define OWN(name_, help_, fallback_)                                                       \
    {                                                                                      \
        .name = (name_), .type = IDEM_PARAM_TEXT, .fallback = (fallback_), .help = (help_) \
    }
#define PASSED(name_, help_) OWN(name_, help_, NULL)

const idem_param idem__postgres_params_table[IDEM__POSTGRES_PARAMS] = {
    [IDEM__POSTGRES_TABLE] = OWN("table",
                                 "the table of the records: NAME or SCHEMA.NAME, as it is "
                                 "written",
                                 "idem_record"),
    [IDEM__POSTGRES_CONNECT_TIMEOUT] = OWN("connect_timeout",
                                           "how long to wait for a connection, within the call's "
                                           "timeout: seconds as for libpq, or a duration",
                                           NULL),
    [IDEM__POSTGRES_LOAD_BALANCE] = OWN("load_balance_hosts",
                                        "random: begin with any of several hosts; disable: with "
                                        "the first",
                                        NULL),
    [IDEM__POSTGRES_LIBPQ] = PASSED("application_name", "libpq's: the name in pg_stat_activity"),
    PASSED("channel_binding", "libpq's: disable, prefer or require"),
    PASSED("client_encoding", "libpq's; keys and responses are bytes, whatever it is"),
    PASSED("dbname", "libpq's: the database, if the URL's path names none"),
    PASSED("fallback_application_name", "libpq's"),
    PASSED("gssdelegation", "libpq's, from 17 on"),
    PASSED("gssencmode", "libpq's: disable, prefer or require"),
    PASSED("gsslib", "libpq's"),
    PASSED("host", "libpq's: hosts or folders of sockets, if the URL names none"),
    PASSED("hostaddr", "libpq's: addresses of the hosts, so that none is looked up"),
    PASSED("keepalives", "libpq's: 0 for none"),
    PASSED("keepalives_count", "libpq's"),
    PASSED("keepalives_idle", "libpq's: seconds"),
    PASSED("keepalives_interval", "libpq's: seconds"),
    PASSED("krbsrvname", "libpq's"),
    PASSED("options", "libpq's: words for the server's command line"),
    PASSED("passfile", "libpq's: a file of passwords"),
    PASSED("password", "libpq's: a secret, if the URL has none in front of the host"),
    PASSED("port", "libpq's: ports of the hosts, if the URL names none"),
    PASSED("require_auth", "libpq's, from 16 on"),
    PASSED("requirepeer", "libpq's: the user that the server has to run as"),
    PASSED("service", "libpq's: a section of pg_service.conf"),
    PASSED("ssl_max_protocol_version", "libpq's"),
    PASSED("ssl_min_protocol_version", "libpq's"),
    PASSED("sslcert", "libpq's: the client's certificate"),
    PASSED("sslcertmode", "libpq's, from 16 on"),
    PASSED("sslcompression", "libpq's"),
    PASSED("sslcrl", "libpq's"),
    PASSED("sslcrldir", "libpq's"),
    PASSED("sslkey", "libpq's: the client's key"),
    PASSED("sslmode", "libpq's: disable, allow, prefer, require, verify-ca or verify-full"),
    PASSED("sslnegotiation", "libpq's, from 17 on"),
    PASSED("sslpassword", "libpq's: a secret, of sslkey"),
    PASSED("sslrootcert", "libpq's: whom to trust"),
    PASSED("sslsni", "libpq's"),
    PASSED("target_session_attrs", "primary, read-write or any: which of several hosts will do; "
                                   "primary unless set"),
    PASSED("tcp_user_timeout", "libpq's: milliseconds"),
    PASSED("user", "libpq's: the role, if the URL names none"),
};

_Static_assert(IDEM__POSTGRES_PARAMS + 8 < IDEM__POSTGRES_LIBPQ_MAX, "words for libpq");

/* The value of a parameter by its name. NULL: not set. */
static const char *value_of(const idem__postgres *self, const char *name)
{
    for (size_t i = 0; i < IDEM__POSTGRES_PARAMS; i++) {
        if (strcmp(idem__postgres_params_table[i].name, name) == 0)
            return self->config->values[i].text;
    }
    return NULL;
}

/* ---------------------------------------------------------------------------------- the table */

void idem__postgres_target_quote(const char *name, char *out)
{
    *out++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *out++ = '"';
        *out++ = *name;
    }
    *out++ = '"';
    *out = '\0';
}

int idem__postgres_target_table(idem__postgres *self, const char *text, idem__postgres_fault *fault)
{
    char parts[2][NAME_MAX_BYTES + 1] = {"", ""};
    const char *dot = strchr(text, '.');
    size_t first = dot ? (size_t)(dot - text) : strlen(text);
    size_t second = dot ? strlen(dot + 1) : 0;
    if (first == 0 || first > NAME_MAX_BYTES || second > NAME_MAX_BYTES || (dot && second == 0) ||
        (dot && strchr(dot + 1, '.')) || strchr(text, '@'))
        return idem__postgres_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                        "option table: write NAME or SCHEMA.NAME, each of at most "
                                        "%u bytes, without @ and further dots",
                                        NAME_MAX_BYTES);
    memcpy(parts[0], text, first);
    if (dot)
        memcpy(parts[1], dot + 1, second);
    char *at = self->table;
    idem__postgres_target_quote(parts[0], at);
    if (dot) {
        at += strlen(at);
        *at++ = '.';
        idem__postgres_target_quote(parts[1], at);
    }
    return IDEM_OK;
}

/* -------------------------------------------------------------------------------- the URL */

static int refuse(const char *what, idem__postgres_fault *fault)
{
    return idem__postgres_fault_set(
        fault, true, IDEM_ERR_ARGUMENT,
        "%s; write postgresql://user:password@host:port/database?name=value", what);
}

static bool is_whole(const char *text)
{
    return *text && strlen(text) <= 9 && strspn(text, "0123456789") == strlen(text);
}

static int check_limit(const idem__postgres *self, idem__postgres_fault *fault)
{
    uint64_t ms = 0;
    const char *text = value_of(self, "connect_timeout");
    if (!text || is_whole(text) || idem_duration_parse(text, &ms, NULL) == IDEM_OK)
        return IDEM_OK;
    return refuse("option connect_timeout is neither seconds nor a duration", fault);
}

static int check_target(const idem__postgres *self, idem__postgres_fault *fault)
{
    static const char *const accepted[] = {"primary", "read-write", "any"};
    const char *text = value_of(self, "target_session_attrs");
    for (size_t i = 0; text && i < sizeof accepted / sizeof accepted[0]; i++) {
        if (strcmp(text, accepted[i]) == 0)
            return IDEM_OK;
    }
    return text ? refuse("option target_session_attrs is not primary, read-write or any: records "
                         "are written, and standbys are behind",
                         fault)
                : IDEM_OK;
}

static int check_twice(const idem__postgres *self, idem__postgres_fault *fault)
{
    const idem_config *config = self->config;
    const char *db = config->path && config->path[0] == '/' ? config->path + 1 : config->path;
    if (config->path && config->path[0] != '/')
        return refuse("the URL has no // behind its scheme", fault);
    if ((config->host && (value_of(self, "host") || value_of(self, "hostaddr"))) ||
        (config->port && value_of(self, "port")) || (db && *db && value_of(self, "dbname")) ||
        (config->user && *config->user && value_of(self, "user")) ||
        (config->password && value_of(self, "password")))
        return refuse("the URL says twice which host, port, database, user or password it is",
                      fault);
    return IDEM_OK;
}

int idem__postgres_target_read(idem__postgres *self, idem__postgres_fault *fault)
{
    char quoted[IDEM_QUOTE_SIZE];
    const char *balance = value_of(self, "load_balance_hosts");
    const char *host = self->config->host ? self->config->host : value_of(self, "host");
    if (host)
        (void)snprintf(self->name, sizeof self->name, "PostgreSQL at %s",
                       idem_quote(idem_str(host), quoted));
    else
        (void)snprintf(self->name, sizeof self->name, "PostgreSQL");
    int rc = idem__postgres_target_table(self, value_of(self, "table"), fault);
    if (rc == IDEM_OK && balance && strcmp(balance, "random") != 0 &&
        strcmp(balance, "disable") != 0)
        rc = refuse("option load_balance_hosts is neither random nor disable", fault);
    if (rc == IDEM_OK)
        rc = check_twice(self, fault);
    if (rc == IDEM_OK)
        rc = check_target(self, fault);
    return rc ? rc : check_limit(self, fault);
}

uint64_t idem__postgres_target_limit_ms(const idem__postgres *self)
{
    uint64_t ms = 0;
    const char *text = value_of(self, "connect_timeout");
    if (!text)
        return UINT64_MAX;
    if (is_whole(text))
        ms = (uint64_t)atol(text) * 1000;
    else if (idem_duration_parse(text, &ms, NULL))
        ms = 0;
    return ms ? ms : UINT64_MAX;
}

/* ------------------------------------------------------------------------------- addresses */

/* One of a list's items. @return the rest, or NULL behind the last */
static const char *next_item(const char *list, char *item, size_t size)
{
    size_t len = strcspn(list, ",");
    (void)snprintf(item, size, "%.*s", (int)(len < size ? len : size - 1), list);
    return list[len] == ',' ? list + len + 1 : NULL;
}

/* Takes `[::1]:5433` or `host:5433` apart, in place; a folder keeps its colons. */
static void split_port(idem__postgres_address *address)
{
    char *host = address->host;
    char *bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    char *colon = host[0] == '/' ? NULL : strchr(bracket ? bracket : host, ':');
    if (colon && !bracket && strchr(colon + 1, ':'))
        colon = NULL; /* an IPv6 address */
    if (colon) {
        (void)snprintf(address->port, sizeof address->port, "%s", colon + 1);
        *colon = '\0';
    }
    if (bracket) {
        *bracket = '\0';
        memmove(host, host + 1, strlen(host + 1) + 1);
    }
}

static size_t look_up(const idem__postgres_address *named, idem__postgres_address *addresses,
                      size_t max, int *code)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    size_t count = 0;
    int failed = getaddrinfo(named->host, NULL, &hints, &list);
    if (failed) {
        *code = failed;
        return 0;
    }
    for (const struct addrinfo *at = list; at && count < max; at = at->ai_next) {
        addresses[count] = *named;
        count += getnameinfo(at->ai_addr, at->ai_addrlen, addresses[count].hostaddr,
                             sizeof addresses[count].hostaddr, NULL, 0, NI_NUMERICHOST) == 0;
    }
    freeaddrinfo(list);
    return count;
}

static void begin_anywhere(idem__postgres_address *addresses, size_t count)
{
    uint64_t bits = 0;
    idem__postgres_address first;
    if (idem_random(&bits, sizeof bits, NULL))
        return;
    for (size_t times = bits % count; times > 0; times--) {
        first = addresses[0];
        memmove(addresses, addresses + 1, (count - 1) * sizeof first);
        addresses[count - 1] = first;
    }
}

static void first_port(const idem__postgres *self, idem__postgres_address *address,
                       const char **ports)
{
    const idem_config *config = self->config;
    if (address->port[0] == '\0' && config->port)
        (void)snprintf(address->port, sizeof address->port, "%u", (unsigned)config->port);
    else if (address->port[0] == '\0' && *ports)
        (void)next_item(*ports, address->port, sizeof address->port);
    const char *rest = *ports ? strchr(*ports, ',') : NULL; /* a single port is for all */
    *ports = rest ? rest + 1 : *ports;
}

size_t idem__postgres_target_addresses(const idem__postgres *self,
                                       idem__postgres_address *addresses, int *code)
{
    const char *balance = value_of(self, "load_balance_hosts");
    const char *list = self->config->host ? self->config->host : value_of(self, "host");
    const char *ports = value_of(self, "port");
    size_t count = 0;
    *code = 0;
    if (!list || value_of(self, "hostaddr")) { /* libpq's own defaults, or its own lists */
        memset(&addresses[0], 0, sizeof addresses[0]);
        (void)snprintf(addresses[0].host, sizeof addresses[0].host, "%s", list ? list : "");
        if (self->config->port)
            first_port(self, &addresses[0], &ports);
        else if (ports)
            (void)snprintf(addresses[0].port, sizeof addresses[0].port, "%s", ports);
        return 1;
    }
    while (list && count < IDEM__POSTGRES_ADDRESSES_MAX) {
        idem__postgres_address *at = &addresses[count];
        idem__postgres_address named = {.host = ""};
        list = next_item(list, named.host, sizeof named.host);
        if (strchr(self->config->host ? self->config->host : "", ',') || named.host[0] == '[')
            split_port(&named);
        first_port(self, &named, &ports);
        if (named.host[0] == '\0' || named.host[0] == '/' || named.host[0] == '@') {
            *at = named;
            count++;
        } else {
            count += look_up(&named, at, IDEM__POSTGRES_ADDRESSES_MAX - count, code);
        }
    }
    if (count > 1 && balance && strcmp(balance, "random") == 0)
        begin_anywhere(addresses, count);
    return count;
}

/* ----------------------------------------------------------------------------- libpq's words */

/* libpq complains on stderr about a file of passwords that others may read, and uses none of it. */
static bool would_complain(const idem__postgres *self)
{
    char path[PATH_MAX];
    struct stat status;
    const char *named = value_of(self, "passfile");
    const char *home = getenv("HOME"); /* NOLINT(concurrency-mt-unsafe): as libpq does */
    struct passwd entry;
    struct passwd *found = NULL;
    char buf[1024];
    if (!named || !*named)
        named = getenv("PGPASSFILE"); /* NOLINT(concurrency-mt-unsafe) */
    if (!home && getpwuid_r(geteuid(), &entry, buf, sizeof buf, &found) == 0 && found)
        home = found->pw_dir;
    if (named && *named)
        (void)snprintf(path, sizeof path, "%s", named);
    else
        (void)snprintf(path, sizeof path, "%s/.pgpass", home ? home : "");
    return stat(path, &status) == 0 &&
           (!S_ISREG(status.st_mode) || (status.st_mode & (S_IRWXG | S_IRWXO)) != 0);
}

/* The lists that the loop writes. */
typedef struct {
    const char **names;
    const char **values;
    size_t count;
} words;

static void add(words *to, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    to->names[to->count] = name;
    to->values[to->count++] = value;
}

void idem__postgres_target_words(const idem__postgres *self, const idem__postgres_address *address,
                                 const char **names, const char **values)
{
    const idem_config *config = self->config;
    words to = {.names = names, .values = values};
    add(&to, "fallback_application_name", "libidem");
    add(&to, "client_encoding", "UTF8");
    add(&to, "target_session_attrs", self->pq->PQlibVersion() >= 140000 ? "primary" : "read-write");
    add(&to, "dbname", config->path && config->path[0] == '/' ? config->path + 1 : NULL);
    add(&to, "user", config->user);
    add(&to, "password", config->password);
    for (size_t i = IDEM__POSTGRES_LIBPQ; i < IDEM__POSTGRES_PARAMS; i++) {
        const char *name = idem__postgres_params_table[i].name;
        if (strcmp(name, "host") != 0 && strcmp(name, "port") != 0)
            add(&to, name, config->values[i].text);
    }
    if (would_complain(self))
        add(&to, "passfile", NO_FILE);
    add(&to, "host", address->host);
    add(&to, "hostaddr", address->hostaddr);
    add(&to, "port", address->port);
    names[to.count] = NULL;
    values[to.count] = NULL;
}
