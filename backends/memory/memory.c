/* SPDX-License-Identifier: MIT */
/*
 * The memory backend: shards behind an instance. `memory://` has shards of its own; handles of
 * `memory://NAME` share those of the name, which live as long as one of them is open.
 *
 * `names_lock` guards the list of names and the counts of handles; no other lock is taken under it.
 * A fork() finds it free, since the store lets no open or close be under way then. Ops may be: the
 * shards keep them out.
 */
#include "shards.h"

#include <pthread.h>
#include <stdlib.h>

extern const idem_backend_ops idem__memory_backend;

enum { PARAM_CAPACITY, PARAMS_COUNT };

static const idem_param params[PARAMS_COUNT] = {
    [PARAM_CAPACITY] = {.name = "capacity",
                        .type = IDEM_PARAM_COUNT,
                        .help = "the most records; full is an error, nothing live is dropped"},
};

/* Shards that handles share. */
typedef struct named {
    idem__shards *shards;
    unsigned handles;
    struct named *next;
    char name[];
} named;

typedef struct {
    idem_backend base;
    idem__shards *shards;
    named *shared; /* NULL: the shards are this instance's alone */
} instance;

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static named *names;

/* ------------------------------------------------------------------------------------- names */

static named *find_name(const char *name)
{
    named *at = names;
    while (at && strcmp(at->name, name) != 0)
        at = at->next;
    return at;
}

static uint64_t capacity_of(const idem_config *config)
{
    const idem_value *value = &config->values[PARAM_CAPACITY];
    return value->text ? value->number : 0;
}

static int open_shards(const idem_config *config, idem__shards **shards, idem_error *error)
{
    return idem__shards_open(&config->clock, capacity_of(config), config->deadline_ms, shards,
                             error);
}

static int add_name(const idem_config *config, named **added, idem_error *error)
{
    size_t name_size = strlen(config->host) + 1;
    named *made = malloc(sizeof *made + name_size);
    if (!made)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    int rc = open_shards(config, &made->shards, error);
    if (rc) {
        free(made);
        return rc;
    }
    memcpy(made->name, config->host, name_size);
    made->handles = 0;
    made->next = names;
    names = made;
    *added = made;
    return IDEM_OK;
}

/* Two handles that disagree about the records they share are a mistake of the caller's. */
static int check_same(const named *there, const idem_config *config, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    uint64_t capacity = idem__shards_capacity(there->shards);
    const idem_clock *clock = idem__shards_clock(there->shards);
    (void)idem_quote(idem_str(there->name), quoted);
    if (clock->now_ms != config->clock.now_ms || clock->user != config->clock.user)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "memory: the store %s is open with another clock; give each of its "
                              "handles the same one",
                              quoted);
    if (capacity == capacity_of(config))
        return IDEM_OK;
    if (capacity == 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "memory: the store %s is open without a capacity; leave capacity "
                              "out, or set it in each of its handles",
                              quoted);
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "memory: the store %s is open with capacity=%llu; write that in each of "
                          "its handles",
                          quoted, (unsigned long long)capacity);
}

static int join_name(const idem_config *config, named **joined, idem_error *error)
{
    int rc;
    (void)pthread_mutex_lock(&names_lock);
    named *there = find_name(config->host);
    if (there)
        rc = check_same(there, config, error);
    else
        rc = add_name(config, &there, error);
    if (rc == IDEM_OK) {
        there->handles++;
        *joined = there;
    }
    (void)pthread_mutex_unlock(&names_lock);
    return rc;
}

static void leave_name(named *shared)
{
    named **at = &names;
    (void)pthread_mutex_lock(&names_lock);
    bool last = --shared->handles == 0;
    while (last && *at != shared)
        at = &(*at)->next;
    if (last)
        *at = shared->next;
    (void)pthread_mutex_unlock(&names_lock);
    if (last) {
        idem__shards_close(shared->shards);
        free(shared);
    }
}

/* -------------------------------------------------------------------------------- operations */

static int check_url(const idem_config *config, idem_error *error)
{
    const char *wrong = NULL;
    if (config->user || config->password)
        wrong = "user or password";
    else if (config->port)
        wrong = "port";
    else if (config->path && config->path[0])
        wrong = "path";
    if (!wrong)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_ARGUMENT,
                          "memory: the URL has a %s, but this store takes none; write memory://, "
                          "or memory://NAME for one that handles share",
                          wrong);
}

static int memory_open(const idem_config *config, idem_backend **backend, idem_error *error)
{
    int rc = check_url(config, error);
    if (rc)
        return rc;
    instance *made = calloc(1, sizeof *made);
    if (!made)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    made->base.ops = &idem__memory_backend;
    if (config->host && config->host[0]) {
        rc = join_name(config, &made->shared, error);
        made->shards = rc == IDEM_OK ? made->shared->shards : NULL;
    } else {
        rc = open_shards(config, &made->shards, error);
    }
    if (rc)
        free(made);
    else
        *backend = &made->base;
    return rc;
}

static void memory_close(idem_backend *backend)
{
    instance *it = (instance *)backend;
    if (it->shared)
        leave_name(it->shared);
    else
        idem__shards_close(it->shards);
    free(it);
}

static int memory_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                         uint64_t deadline_ms, idem_error *error)
{
    (void)deadline_ms; /* nothing here waits for anything */
    (void)error;
    idem__shards_submit(((instance *)backend)->shards, ops, count);
    return IDEM_OK;
}

static int memory_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                       idem_error *error)
{
    (void)deadline_ms;
    return idem__shards_scan(((instance *)backend)->shards, page, error);
}

static int memory_purge(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                        idem_error *error)
{
    (void)deadline_ms;
    (void)error;
    idem__shards_purge(((instance *)backend)->shards, portion);
    return IDEM_OK;
}

static void memory_at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__shards *shards = ((instance *)backend)->shards;
    if (phase == IDEM_FORK_PREPARE)
        idem__shards_freeze(shards);
    else
        idem__shards_thaw(shards, phase == IDEM_FORK_CHILD);
}

const idem_backend_ops idem__memory_backend = {
    .size = sizeof(idem_backend_ops),
    .scheme = "memory",
    .summary = "records in this process's memory; gone when it ends",
    .example = "memory://NAME?capacity=100000",
    .traits = IDEM_TRAIT_CONCURRENT | IDEM_TRAIT_CLOCK | IDEM_BACKEND_IN_PROCESS |
              IDEM_BACKEND_HOST_LIST, /* a NAME may have a comma in it */
    .params = params,
    .params_count = PARAMS_COUNT,
    .open = memory_open,
    .submit = memory_submit,
    .close = memory_close,
    .scan = memory_scan,
    .purge = memory_purge,
    .at_fork = memory_at_fork,
};
