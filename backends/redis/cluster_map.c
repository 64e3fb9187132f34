/* SPDX-License-Identifier: MIT */
/*
 * Which node of a cluster has which slots: the answer to CLUSTER SLOTS, and what MOVED and ASK
 * name. CLUSTER SLOTS is read because it names the nodes as clients are to name them: an announced
 * host name, the address behind a NAT, the TLS port over TLS.
 *
 * A node that does not know its own address answers with an empty host or nil: it then is the host
 * that was asked. `?` stands for a host name that was not announced; the address is among what
 * follows.
 */
#include "cluster_map.h"

#include <stdlib.h>

#define PORT_MAX     65535
#define PORT_DEFAULT 6379u

bool idem__redis_address_same(const idem__redis_address *a, const idem__redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* ---------------------------------------------------------------------------- the URL's hosts */

static bool set_host(idem__redis_address *address, const char *host, size_t len)
{
    if (len == 0 || len >= sizeof address->host || memchr(host, '\0', len))
        return false;
    memcpy(address->host, host, len);
    address->host[len] = '\0';
    return true;
}

static bool set_port(idem__redis_address *address, const char *text, size_t len)
{
    uint32_t port = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    address->port = port;
    return port > 0 && port <= PORT_MAX;
}

/* One of a list: `host`, `host:port`, `[address]`, `[address]:port`. */
static bool read_listed(const char *at, size_t len, idem__redis_address *address)
{
    const char *host = at;
    const char *close = len > 0 && *at == '[' ? memchr(at, ']', len) : NULL;
    size_t host_len = strcspn(at, ":,");
    size_t taken = host_len < len ? host_len : len;
    if (close) {
        host = at + 1;
        host_len = (size_t)(close - host);
        taken = host_len + 2;
    }
    if (!set_host(address, host, close ? host_len : taken))
        return false;
    address->port = PORT_DEFAULT;
    if (taken == len)
        return true;
    return at[taken] == ':' && set_port(address, at + taken + 1, len - taken - 1);
}

static int refuse_hosts(idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                 "the URL's list of hosts is malformed; write "
                                 "redis+cluster://host1:port1,host2:port2");
}

idem__redis_address *idem__redis_addresses_read(const char *hosts, uint32_t port, size_t *count,
                                                idem__redis_fault *fault)
{
    size_t places = 1;
    for (const char *at = hosts; *at; at++)
        places += *at == ',';
    idem__redis_address *list = calloc(places, sizeof *list);
    if (!list) {
        (void)idem__redis_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    bool good = true;
    if (places == 1) { /* brackets and port were taken off */
        good = set_host(&list[0], hosts, strlen(hosts));
        list[0].port = port ? port : PORT_DEFAULT;
    }
    const char *at = hosts;
    for (size_t i = 0; places > 1 && good && i < places; i++) {
        size_t len = strcspn(at, ",");
        good = read_listed(at, len, &list[i]);
        at += len + 1;
    }
    if (good) {
        *count = places;
        return list;
    }
    (void)refuse_hosts(fault);
    free(list);
    return NULL;
}

/* ------------------------------------------------------------------------------ CLUSTER SLOTS */

typedef struct {
    const idem__redis_address *asked;
    idem__redis_map *map;
    size_t room;
} reading;

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
}

/* The value of a name among what follows a node's id. */
static const redisReply *find_metadata(const redisReply *node, const char *name)
{
    const redisReply *list = node->elements > 3 ? node->element[3] : NULL;
    if (!list || list->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < list->elements; i += 2) {
        if (is_text(list->element[i]) && strcmp(list->element[i]->str, name) == 0)
            return is_text(list->element[i + 1]) ? list->element[i + 1] : NULL;
    }
    return NULL;
}

static bool read_address(const reading *at, const redisReply *node, idem__redis_address *address)
{
    if (node->type != REDIS_REPLY_ARRAY || node->elements < 2)
        return false;
    const redisReply *host = node->element[0];
    const redisReply *port = node->element[1];
    if (port->type != REDIS_REPLY_INTEGER || port->integer < 1 || port->integer > PORT_MAX)
        return false;
    address->port = (uint32_t)port->integer;
    if (is_text(host) && strcmp(host->str, "?") == 0)
        host = find_metadata(node, "ip");
    if (!host || host->type == REDIS_REPLY_NIL || (is_text(host) && host->len == 0))
        return set_host(address, at->asked->host, strlen(at->asked->host));
    return is_text(host) && set_host(address, host->str, host->len);
}

/* The index of a member, which is added if it is new. @return IDEM__REDIS_NO_OWNER: no memory */
static uint16_t find_member(reading *at, const idem__redis_address *address)
{
    idem__redis_map *map = at->map;
    for (size_t i = map->count; i > 0; i--) { /* ranges of one node are near each other */
        if (idem__redis_address_same(&map->members[i - 1].address, address))
            return (uint16_t)(i - 1);
    }
    if (map->count == IDEM__REDIS_NODES_MAX)
        return IDEM__REDIS_NO_OWNER;
    if (map->count == at->room) {
        size_t room = at->room ? at->room * 2 : 8;
        idem__redis_member *grown = realloc(map->members, room * sizeof *grown);
        if (!grown)
            return IDEM__REDIS_NO_OWNER;
        map->members = grown;
        at->room = room;
    }
    uint16_t index = (uint16_t)map->count++;
    map->members[index] = (idem__redis_member){.address = *address, .master = index};
    return index;
}

/* `node` 0 of a range is the master, the others are its replicas. */
static bool read_member(reading *at, const redisReply *range, size_t node, uint16_t *master)
{
    idem__redis_address address = {0};
    if (!read_address(at, range->element[2 + node], &address))
        return node > 0; /* a replica that nobody can reach is of no use, and no harm */
    uint16_t index = find_member(at, &address);
    if (index == IDEM__REDIS_NO_OWNER)
        return false;
    if (node == 0)
        *master = index;
    at->map->members[index].replica = node > 0;
    at->map->members[index].master = *master;
    return true;
}

static bool read_range(reading *at, const redisReply *range)
{
    idem__redis_map *map = at->map;
    uint16_t master = IDEM__REDIS_NO_OWNER;
    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3)
        return false;
    const redisReply *first = range->element[0];
    const redisReply *last = range->element[1];
    if (first->type != REDIS_REPLY_INTEGER || last->type != REDIS_REPLY_INTEGER ||
        first->integer < 0 || last->integer < first->integer ||
        last->integer >= (long long)IDEM__REDIS_SLOTS)
        return false;
    for (size_t i = 0; i + 2 < range->elements; i++) {
        if (!read_member(at, range, i, &master))
            return false;
    }
    for (long long slot = first->integer; slot <= last->integer; slot++) {
        map->owned += map->owner[slot] == IDEM__REDIS_NO_OWNER;
        map->owner[slot] = master;
    }
    return true;
}

idem__redis_map *idem__redis_map_read(const redisReply *reply, const idem__redis_address *asked,
                                      const char *name, idem__redis_fault *fault)
{
    reading at = {.asked = asked, .map = calloc(1, sizeof(idem__redis_map))};
    if (!at.map) {
        (void)idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < IDEM__REDIS_SLOTS; i++)
        at.map->owner[i] = IDEM__REDIS_NO_OWNER;
    bool good = reply->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; good && i < reply->elements; i++)
        good = read_range(&at, reply->element[i]);
    if (good)
        return at.map;
    idem__redis_map_free(at.map);
    (void)idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                "%s gave a map of slots that can't be understood: is it a node of "
                                "a Redis or Valkey Cluster?",
                                name);
    return NULL;
}

void idem__redis_map_free(idem__redis_map *map)
{
    if (map)
        free(map->members);
    free(map);
}

/* ------------------------------------------------------------------------------- redirections */

bool idem__redis_redirect_is(idem_bytes text)
{
    return idem__redis_fault_is(text, "MOVED ") || idem__redis_fault_is(text, "ASK ");
}

bool idem__redis_redirect_told(const idem_op *op)
{
    return op->error.code == IDEM_ERR_UNAVAILABLE && !op->permanent &&
           idem__redis_redirect_is(idem_str(op->error.message));
}

/* `MOVED 3999 host:port`; the host may be an IPv6 address without brackets, or empty. */
bool idem__redis_redirect_read(const char *text, const idem__redis_address *asked,
                               idem__redis_redirect *redirect)
{
    char *rest;
    redirect->ask = text[0] == 'A';
    text = strchr(text, ' ');
    if (!text || text[1] < '0' || text[1] > '9')
        return false;
    unsigned long slot = strtoul(text + 1, &rest, 10);
    const char *colon = strrchr(rest, ':');
    if (slot >= IDEM__REDIS_SLOTS || *rest != ' ' || !colon)
        return false;
    const char *host = rest + 1;
    size_t len = (size_t)(colon - host);
    redirect->slot = (unsigned)slot;
    if (len == 1 && *host == '?')
        return false;
    if (len == 0) {
        host = asked->host;
        len = strlen(host);
    }
    return set_host(&redirect->to, host, len) &&
           set_port(&redirect->to, colon + 1, strlen(colon + 1));
}
