/* SPDX-License-Identifier: MIT */
/*
 * Scheme to backend. One sorted table has every scheme that the project knows, with NULL where a
 * build left the backend out: no constructors and no linker sections, which a static archive
 * drops in silence. Backends registered at run time are in a sorted list behind a lock; nodes are
 * never freed, so a table once found stays.
 */
#include "registry.h"

#include "error.h"
#include "inside.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

extern const idem_backend_ops idem__memory_backend;
#ifdef IDEM_BACKEND_SQLITE
extern const idem_backend_ops idem__sqlite_backend;
#define SQLITE_OPS &idem__sqlite_backend
#else
#define SQLITE_OPS NULL
#endif
#ifdef IDEM_BACKEND_POSTGRES
extern const idem_backend_ops idem__postgres_backend;
#define POSTGRES_OPS &idem__postgres_backend
#else
#define POSTGRES_OPS NULL
#endif
#ifdef IDEM_BACKEND_REDIS
extern const idem_backend_ops idem__redis_backend;
extern const idem_backend_ops idem__redis_unix_backend;
extern const idem_backend_ops idem__redis_sentinel_backend;
extern const idem_backend_ops idem__redis_cluster_backend;
#define REDIS_OPS          &idem__redis_backend
#define REDIS_UNIX_OPS     &idem__redis_unix_backend
#define REDIS_SENTINEL_OPS &idem__redis_sentinel_backend
#define REDIS_CLUSTER_OPS  &idem__redis_cluster_backend
#else
#define REDIS_OPS          NULL
#define REDIS_UNIX_OPS     NULL
#define REDIS_SENTINEL_OPS NULL
#define REDIS_CLUSTER_OPS  NULL
#endif
#ifdef IDEM_REDIS_TLS
extern const idem_backend_ops idem__redis_tls_backend;
extern const idem_backend_ops idem__redis_tls_sentinel_backend;
extern const idem_backend_ops idem__redis_cluster_tls_backend;
#define REDIS_TLS_OPS          &idem__redis_tls_backend
#define REDIS_TLS_SENTINEL_OPS &idem__redis_tls_sentinel_backend
#define REDIS_CLUSTER_TLS_OPS  &idem__redis_cluster_tls_backend
#else
#define REDIS_TLS_OPS          NULL
#define REDIS_TLS_SENTINEL_OPS NULL
#define REDIS_CLUSTER_TLS_OPS  NULL
#endif

static const struct {
    const char *scheme;
    const idem_backend_ops *ops; /* NULL: not in this build */
    const char *option;          /* the build option that brings it back */
} known[] = {
    {"memory", &idem__memory_backend, NULL},
    {"postgres", POSTGRES_OPS, "IDEM_BACKEND_POSTGRES"},
    {"postgresql", POSTGRES_OPS, "IDEM_BACKEND_POSTGRES"},
    {"redis", REDIS_OPS, "IDEM_BACKEND_REDIS"},
    {"redis+cluster", REDIS_CLUSTER_OPS, "IDEM_BACKEND_REDIS"},
    {"redis+sentinel", REDIS_SENTINEL_OPS, "IDEM_BACKEND_REDIS"},
    {"redis+unix", REDIS_UNIX_OPS, "IDEM_BACKEND_REDIS"},
    {"rediss", REDIS_TLS_OPS, "IDEM_REDIS_TLS"},
    {"rediss+cluster", REDIS_CLUSTER_TLS_OPS, "IDEM_REDIS_TLS"},
    {"rediss+sentinel", REDIS_TLS_SENTINEL_OPS, "IDEM_REDIS_TLS"},
    {"sqlite", SQLITE_OPS, "IDEM_BACKEND_SQLITE"},
    {"valkey", REDIS_OPS, "IDEM_BACKEND_REDIS"},
    {"valkey+cluster", REDIS_CLUSTER_OPS, "IDEM_BACKEND_REDIS"},
    {"valkey+sentinel", REDIS_SENTINEL_OPS, "IDEM_BACKEND_REDIS"},
    {"valkey+unix", REDIS_UNIX_OPS, "IDEM_BACKEND_REDIS"},
    {"valkeys", REDIS_TLS_OPS, "IDEM_REDIS_TLS"},
    {"valkeys+cluster", REDIS_CLUSTER_TLS_OPS, "IDEM_REDIS_TLS"},
    {"valkeys+sentinel", REDIS_TLS_SENTINEL_OPS, "IDEM_REDIS_TLS"},
};
#define KNOWN (sizeof known / sizeof known[0])

/* A second name for a backend is found, and not listed. */
static bool is_listed(size_t i)
{
    return known[i].ops && strcmp(known[i].scheme, known[i].ops->scheme) == 0;
}

/* What people write that is no scheme here, and what they can do instead. */
static const struct {
    const char *scheme;
    const char *says;
} hints[] = {
#define TLS      "TLS is asked for by rediss://"
#define SENTINEL "Sentinel is asked by redis+sentinel://host1,host2/master_name"
#define CLUSTER  "a cluster is named by redis+cluster://host1:port,host2:port"
#define SOCKET   "a socket on this machine is named by redis+unix:///path/of.sock"
    {"redis+socket", SOCKET},
    {"redis+tls", TLS},
    {"redis-cluster", CLUSTER},
    {"redis-sentinel", SENTINEL},
    {"redis-socket", SOCKET},
    {"rediss-cluster", CLUSTER},
    {"rediss-sentinel", SENTINEL},
    {"sentinel", SENTINEL},
    {"sqlite3", "SQLite is named by sqlite:///path/of.db"},
    {"unix", SOCKET},
    {"valkey-cluster", CLUSTER},
    {"valkey-sentinel", SENTINEL},
    {"valkeys-cluster", CLUSTER},
    {"valkeys-sentinel", SENTINEL},
};

typedef struct node {
    struct node *next;
    idem_backend_ops ops;
} node;

static node *registered; /* sorted by scheme */
static pthread_mutex_t registered_lock = PTHREAD_MUTEX_INITIALIZER;

void idem__registry_lock(void)
{
    idem__inside_lock(&registered_lock);
}

void idem__registry_unlock(void)
{
    idem__inside_unlock(&registered_lock);
}

/* The backend at an index of both lists merged; the lock is held. */
static const idem_backend_ops *at_index(size_t index)
{
    size_t i = 0;
    const node *own = registered;
    for (;;) {
        while (i < KNOWN && !is_listed(i))
            i++;
        const idem_backend_ops *ops = i < KNOWN ? known[i].ops : NULL;
        if (own && (!ops || strcmp(own->ops.scheme, ops->scheme) < 0)) {
            ops = &own->ops;
            own = own->next;
        } else {
            i++;
        }
        if (!ops || index-- == 0)
            return ops;
    }
}

const idem_backend_ops *idem_backend_at(size_t index)
{
    idem__registry_lock();
    const idem_backend_ops *ops = at_index(index);
    idem__registry_unlock();
    return ops;
}

/* Writes "memory, sqlite" and so on; the lock is held. */
static void list_schemes(char *buf, size_t size)
{
    size_t at = 0;
    const idem_backend_ops *ops;
    for (size_t i = 0; at < size && (ops = at_index(i)) != NULL; i++) {
        int len = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", ops->scheme);
        at += len > 0 ? (size_t)len : 0;
    }
}

/* The built-in of a scheme's index in `known`, or KNOWN. */
static size_t known_index(const char *scheme)
{
    size_t i = 0;
    while (i < KNOWN && strcmp(known[i].scheme, scheme) != 0)
        i++;
    return i;
}

static const idem_backend_ops *find_registered(const char *scheme)
{
    for (const node *own = registered; own; own = own->next) {
        if (strcmp(own->ops.scheme, scheme) == 0)
            return &own->ops;
    }
    return NULL;
}

/* NULL: nobody is known to write that. */
static const char *find_hint(const char *scheme)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strcmp(hints[i].scheme, scheme) == 0)
            return hints[i].says;
    }
    return NULL;
}

int idem__registry_find(const char *scheme, const idem_backend_ops **ops, idem_error *error)
{
    char schemes[160] = "";
    size_t i = known_index(scheme);
    idem__registry_lock();
    const idem_backend_ops *found = i < KNOWN ? known[i].ops : find_registered(scheme);
    if (!found)
        list_schemes(schemes, sizeof schemes);
    idem__registry_unlock();
    if (found) {
        *ops = found;
        return IDEM_OK;
    }
    if (i < KNOWN)
        return idem_error_set(error, IDEM_ERR_UNKNOWN_BACKEND,
                              "%s: was left out of this build of libidem; rebuild it with "
                              "-D%s=ON, or use one of: %s",
                              scheme, known[i].option, schemes);
    const char *hint = find_hint(scheme);
    if (hint)
        return idem_error_set(error, IDEM_ERR_UNKNOWN_BACKEND,
                              "unknown scheme %.40s; %s; known ones: %s", scheme, hint, schemes);
    return idem_error_set(error, IDEM_ERR_UNKNOWN_BACKEND, "unknown scheme %.40s; known ones: %s",
                          scheme, schemes);
}

static bool scheme_is_valid(const char *scheme)
{
    size_t len = scheme ? strlen(scheme) : 0;
    return len > 0 && len <= 40 && scheme[0] >= 'a' && scheme[0] <= 'z' &&
           strspn(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == len;
}

int idem__registry_adopt(const idem_backend_ops *ops, idem_backend_ops *copy, idem_error *error)
{
    if (!ops || ops->size < offsetof(idem_backend_ops, scan))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the backend's size is not set; write .size = "
                              "sizeof(idem_backend_ops)");
    memset(copy, 0, sizeof *copy);
    memcpy(copy, ops, ops->size < sizeof *copy ? ops->size : sizeof *copy);
    if (!scheme_is_valid(copy->scheme))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the backend's scheme is not 1 to 40 of a-z, 0-9, +, - and ., "
                              "beginning with a letter");
    if (!copy->open || !copy->submit || !copy->close)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the backend %s lacks open, submit or close; they must be provided",
                              copy->scheme);
    int parts = (copy->connect != NULL) + (copy->send != NULL) + (copy->receive != NULL) +
                (copy->abandon != NULL) + (copy->drop != NULL) + (copy->wants != NULL);
    if (parts != 0 && (parts != 6 || (copy->traits & IDEM_TRAIT_CONCURRENT)))
        return idem_error_set(
            error, IDEM_ERR_ARGUMENT,
            "the backend %s has some of connect, send, receive, abandon, drop and "
            "wants: they go together, and not with IDEM_TRAIT_CONCURRENT",
            copy->scheme);
    if (copy->params_count > 0 && !copy->params)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the backend %s counts parameters but has no table of them",
                              copy->scheme);
    return IDEM_OK;
}

int idem_backend_register(const idem_backend_ops *ops, idem_error *error)
{
    idem__error_clear(error);
    node *own = calloc(1, sizeof *own);
    if (!own)
        return idem__error_no_memory(error);
    int rc = idem__registry_adopt(ops, &own->ops, error);
    if (rc)
        goto out;
    idem__registry_lock();
    if (known_index(own->ops.scheme) < KNOWN || find_registered(own->ops.scheme)) {
        rc = idem_error_set(error, IDEM_ERR_ARGUMENT,
                            "the scheme %s is taken; register the backend once, under a name of "
                            "its own",
                            own->ops.scheme);
    } else {
        node **place = &registered;
        while (*place && strcmp((*place)->ops.scheme, own->ops.scheme) < 0)
            place = &(*place)->next;
        own->next = *place;
        *place = own;
        own = NULL;
    }
    idem__registry_unlock();
out:
    free(own);
    return rc;
}
