/* SPDX-License-Identifier: MIT */
/*
 * The list of sentinels is the store's: what one instance learns serves the next connection of all.
 * It is bounded, and what was learned is replaced as a whole, so a sentinel that has gone is
 * forgotten. Those of the URL are never forgotten: their names may lead to others tomorrow.
 *
 * The lock is held for copying only. No fork() comes meanwhile: the store waits for its instances.
 */
#include "sentinel_list.h"

#include <stdio.h>
#include <stdlib.h>

#define SENTINEL_PORT 26379u

static int refuse(const char *what, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                 "%s; write redis+sentinel://host1:26379,host2:26379/master_name, "
                                 "or …/master_name/database",
                                 what);
}

static bool is_same(const idem__redis_place *a, const idem__redis_place *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* places->count: it is not there. */
static size_t find(const idem__redis_places *places, const idem__redis_place *wanted)
{
    size_t i = 0;
    while (i < places->count && !is_same(&places->places[i], wanted))
        i++;
    return i;
}

void idem__redis_places_add(idem__redis_places *places, idem_bytes host, uint64_t port)
{
    idem__redis_place place = {.port = (uint32_t)port};
    if (host.len == 0 || host.len >= sizeof place.host || memchr(host.data, '\0', host.len) ||
        port < 1 || port > 65535 || places->count == IDEM__REDIS_SENTINELS_MAX)
        return;
    memcpy(place.host, host.data, host.len);
    if (find(places, &place) == places->count)
        places->places[places->count++] = place;
}

/* ---------------------------------------------------------------------------------- the URL */

/* One of the list: `host`, `host:port`, `[IPv6]`, `[IPv6]:port`, which core has checked. */
static void add_listed(idem__redis_places *places, const char *at, size_t len)
{
    const char *close = at[0] == '[' ? memchr(at, ']', len) : NULL;
    size_t host_len = close ? (size_t)(close - at) + 1 : 0;
    while (host_len < len && at[host_len] != ':')
        host_len++;
    uint64_t port = host_len < len ? strtoull(at + host_len + 1, NULL, 10) : SENTINEL_PORT;
    if (close)
        idem__redis_places_add(places, (idem_bytes){at + 1, (size_t)(close - at) - 1}, port);
    else
        idem__redis_places_add(places, (idem_bytes){at, host_len}, port);
}

static int read_hosts(const idem_config *config, idem__redis_places *places,
                      idem__redis_fault *fault)
{
    size_t listed = 0;
    if (!config->host)
        return refuse("redis+sentinel: the URL names no sentinel", fault);
    if (!strchr(config->host, ',')) {
        idem__redis_places_add(places, idem_str(config->host),
                               config->port ? config->port : SENTINEL_PORT);
        return places->count ? IDEM_OK : refuse("redis+sentinel: a host's name is too long", fault);
    }
    for (const char *at = config->host;; at++) {
        size_t len = strcspn(at, ",");
        listed++;
        add_listed(places, at, len);
        at += len;
        if (!*at)
            break;
    }
    if (listed > IDEM__REDIS_SENTINELS_MAX / 2)
        return refuse("redis+sentinel: the URL names more than 16 sentinels: some are enough",
                      fault);
    return places->count ? IDEM_OK : refuse("redis+sentinel: the hosts' names are too long", fault);
}

static bool read_db(const char *text, uint32_t *db)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    *db = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

static int read_master(const char *path, idem__redis_sentinels *list, idem__redis_fault *fault)
{
    if (!path || path[0] != '/' || path[1] == '\0' || path[1] == '/')
        return refuse("redis+sentinel: the URL has no name of a master behind its hosts", fault);
    size_t len = strcspn(path + 1, "/");
    if (len >= sizeof list->master)
        return refuse("redis+sentinel: the master's name is too long", fault);
    memcpy(list->master, path + 1, len);
    const char *rest = path + 1 + len;
    if (rest[0] == '/' && rest[1] != '\0' && !read_db(rest + 1, &list->db))
        return refuse("redis+sentinel: what follows the master's name is not the number of a "
                      "database",
                      fault);
    return IDEM_OK;
}

int idem__redis_sentinels_make(const idem_config *config, idem__redis_sentinels **made,
                               idem__redis_fault *fault)
{
    idem__redis_sentinels *list = calloc(1, sizeof *list);
    if (!list || pthread_mutex_init(&list->lock, NULL)) {
        free(list);
        return idem__redis_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    }
    int rc = read_hosts(config, &list->known, fault);
    if (rc == IDEM_OK)
        rc = read_master(config->path, list, fault);
    list->named = list->known.count;
    if (rc)
        idem__redis_sentinels_free(list);
    else
        *made = list;
    return rc;
}

void idem__redis_sentinels_free(idem__redis_sentinels *list)
{
    (void)pthread_mutex_destroy(&list->lock);
    free(list);
}

/* ----------------------------------------------------------------------------- what is learned */

void idem__redis_sentinels_copy(idem__redis_sentinels *list, idem__redis_places *copy)
{
    (void)pthread_mutex_lock(&list->lock);
    size_t count = list->known.count;
    copy->count = count;
    for (size_t i = 0; i < count; i++)
        copy->places[i] = list->known.places[(list->first + i) % count];
    (void)pthread_mutex_unlock(&list->lock);
}

void idem__redis_sentinels_praise(idem__redis_sentinels *list, const idem__redis_place *asked,
                                  const idem__redis_places *others)
{
    (void)pthread_mutex_lock(&list->lock);
    if (others->count > 0) { /* it does not name itself */
        list->known.count = list->named;
        idem__redis_places_add(&list->known, idem_str(asked->host), asked->port);
        for (size_t i = 0; i < others->count; i++)
            idem__redis_places_add(&list->known, idem_str(others->places[i].host),
                                   others->places[i].port);
    }
    size_t at = find(&list->known, asked);
    list->first = at < list->known.count ? at : 0;
    (void)pthread_mutex_unlock(&list->lock);
}

void idem__redis_sentinels_doubt(idem__redis_sentinels *list, const idem__redis_place *asked)
{
    (void)pthread_mutex_lock(&list->lock);
    size_t at = find(&list->known, asked);
    list->first = at < list->known.count ? (at + 1) % list->known.count : 0;
    (void)pthread_mutex_unlock(&list->lock);
}
