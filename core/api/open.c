/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing stores: from the URL to the backend, its parameters, its first connection.
 */
#include "error.h"
#include "fork.h"
#include "validate.h"
#include "inside.h"
#include "registry.h"
#include "attempt.h"
#include "store.h"

#include "cancel.h"
#include "clock.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Most of a store is counters and places for callers; a process with a short life never touches
   them. So the first store of a process is in memory that is zero without being written, and that
   is not used again. AddressSanitizer is to see what is used after a close. */
#if defined(__SANITIZE_ADDRESS__)
#define FIRST_IS_STATIC false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIRST_IS_STATIC false
#endif
#endif
#ifndef FIRST_IS_STATIC
#define FIRST_IS_STATIC true
#endif

static idem_store first_store;
static atomic_flag first_taken = ATOMIC_FLAG_INIT;

static idem_store *make_store(void)
{
    if (FIRST_IS_STATIC && !atomic_flag_test_and_set(&first_taken))
        return &first_store;
    return calloc(1, sizeof(idem_store));
}

static int read_options(const idem_options *options, idem_options *read, idem_error *error)
{
    memset(read, 0, sizeof *read);
    if (!options)
        return IDEM_OK;
    int rc = idem__validate_struct("options", options, offsetof(idem_options, on_event), read,
                                   sizeof *read, error);
    if (rc)
        return rc;
    if (read->flags & ~(IDEM_OPEN_EXISTING | IDEM_OBSERVE_CALLS))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a flag of the options is not known; use IDEM_OPEN_EXISTING and "
                              "IDEM_OBSERVE_CALLS");
    if ((read->flags & IDEM_OBSERVE_CALLS) && !read->on_event)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "IDEM_OBSERVE_CALLS is set and on_event is not; set the function "
                              "that is to be told");
    return IDEM_OK;
}

static int read_params(idem_store *store, char *query, idem_error *error)
{
    store->own = calloc(store->ops.params_count + 1, sizeof *store->own);
    if (!store->own)
        return idem__error_no_memory(error);
    int rc = idem__params_parse(query, &store->ops, store->common, store->own, error);
    if (rc)
        return rc;
    store->lease_ms = store->common[IDEM__PARAM_LEASE].number;
    store->ttl_ms = store->common[IDEM__PARAM_TTL].number;
    store->timeout_ms = store->common[IDEM__PARAM_TIMEOUT].number;
    store->max_response = store->common[IDEM__PARAM_MAX_RESPONSE].number;
    store->prefix = idem_str(store->common[IDEM__PARAM_PREFIX].text);
    return IDEM_OK;
}

static int read_hooks(idem_store *store, const idem_options *options, idem_error *error)
{
    store->on_event = options->on_event;
    store->event_user = options->event_user;
    store->observe_calls = (options->flags & IDEM_OBSERVE_CALLS) != 0;
    if (options->clock.now_ms && !(store->ops.traits & IDEM_TRAIT_CLOCK))
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "%s: keeps its own time and takes no clock", store->ops.scheme);
    if (options->credentials && !(store->ops.traits & IDEM_BACKEND_CREDENTIALS))
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "%s: takes no credentials from a callback; leave it out of the "
                              "options",
                              store->ops.scheme);
    return IDEM_OK;
}

static size_t connection_count(const idem_store *store)
{
    return store->ops.instances ? (size_t)store->ops.instances : 1;
}

static int make_pool(idem_store *store, const idem_config *config, idem_error *error)
{
    int rc = idem__pool_init(&store->writers, &store->ops, config, IDEM_ROLE_ANY,
                             connection_count(store), error);
    if (rc)
        return rc;
    rc = idem__pool_init(&store->readers, &store->ops, config, IDEM_ROLE_READER,
                         (size_t)store->ops.readers, error);
    if (rc)
        goto destroy_writers;
    rc = idem__keepalive_init(&store->keeper, store, error);
    if (rc)
        goto destroy_readers;
    if (idem__watch_init(&store->watch) == 0)
        return IDEM_OK;
    rc = idem_error_set(error, IDEM_ERR_INTERNAL, "a lock can't be made");
    idem__keepalive_stop(&store->keeper);
destroy_readers:
    idem__pool_destroy(&store->readers);
destroy_writers:
    idem__pool_destroy(&store->writers);
    return rc;
}

static void destroy_pool(idem_store *store)
{
    idem__watch_destroy(&store->watch);
    idem__pool_destroy(&store->readers);
    idem__pool_destroy(&store->writers);
}

/* fork() knows the store as long as it may have an instance. */
static void stop(idem_store *store)
{
    idem__keepalive_stop(&store->keeper);
    idem__pool_close(&store->readers);
    idem__pool_close(&store->writers);
    idem__fork_remove(store);
    destroy_pool(store);
}

static int try_to_open(idem_store *store, void *user, uint64_t deadline_ms, idem_error *error)
{
    (void)user;
    return idem__pool_open(&store->writers, deadline_ms, error);
}

/* What is in the process already is not waited for. */
static bool is_lazy(const idem_store *store)
{
    return store->common[IDEM__PARAM_OPEN].number == IDEM__OPEN_LAZY &&
           !(store->ops.traits & (IDEM_BACKEND_IN_PROCESS | IDEM_BACKEND_NO_BACKGROUND));
}

/* fork() knows the store before it has an instance: so it can do so while another thread waits here
   for a server. */
static int start(idem_store *store, const idem_config *config, idem_error *error)
{
    const idem__attempt first = {.once = try_to_open, .changes = true}; /* it may make tables */
    int rc = make_pool(store, config, error);
    if (rc)
        return rc;
    uint64_t deadline_ms = idem__clock_deadline(store->timeout_ms);
    rc = idem__fork_add(store, deadline_ms, error);
    if (rc) {
        idem__keepalive_stop(&store->keeper);
        destroy_pool(store);
        return rc;
    }
    store->listed = true;
    return is_lazy(store) ? IDEM_OK : idem__repeat(store, &first, deadline_ms, error);
}

static int prepare(idem_store *store, idem_config *config, idem_error *error)
{
    if (!store->ops.prepare)
        return IDEM_OK;
    int rc = store->ops.prepare(config, &store->prepared, error);
    config->prepared = store->prepared;
    if (rc)
        (void)idem_error_set(error, rc & ~IDEM_PERMANENT, "%s: %s", store->ops.scheme,
                             idem_strerror(rc & ~IDEM_PERMANENT));
    return rc & ~IDEM_PERMANENT;
}

/* The backend reads files and has descriptors here, so cancellation is held off. */
static void destroy(idem_store *store)
{
    int cancel_state = idem__cancel_hold();
    if (store->prepared && store->ops.dispose)
        store->ops.dispose(store->prepared);
    idem__url_clear(&store->url);
    free(store->own);
    if (store != &first_store)
        free(store);
    idem__cancel_restore(cancel_state);
}

/* Opening has failed, and fork() does not know the store any more. */
static void end(idem_store *store)
{
    idem__keepalive_stop(&store->keeper);
    destroy_pool(store);
    destroy(store);
}

static void give_up(idem_store *store)
{
    int cancel_state = idem__cancel_hold();
    if (!store->listed)
        destroy(store);
    else if (idem__fork_give_up(store, end))
        end(store);
    idem__cancel_restore(cancel_state);
}

/* `store` has its ops and its URL. Cancellation is held off. */
static int set_up(idem_store *store, const idem_options *options, void *context, idem_error *error)
{
    idem_options read;
    int rc = read_options(options, &read, error);
    if (rc == IDEM_OK)
        rc = read_params(store, store->url.query, error);
    if (rc == IDEM_OK)
        rc = read_hooks(store, &read, error);
    if (rc)
        return rc;
    store->id = idem__store_id();
    store->read_first = (store->ops.traits & IDEM_BACKEND_READ_FIRST) != 0;
    store->in_process = (store->ops.traits & IDEM_BACKEND_IN_PROCESS) != 0;
    store->timed = !store->in_process || store->observe_calls;
    store->pooled = (store->ops.traits & (IDEM_TRAIT_SHARED | IDEM_TRAIT_DURABLE)) == 0;
    idem_config config = {
        .size = sizeof config,
        .scheme = store->ops.scheme,
        .user = store->url.user,
        .password = store->url.password,
        .host = store->url.host,
        .path = store->url.path,
        .port = store->url.port,
        .values = store->own,
        .display = store->url.display ? store->url.display : store->ops.scheme,
        .clock = read.clock,
        .context = context,
        .flags = read.flags & IDEM_OPEN_EXISTING,
        .prefix = store->prefix,
        .credentials = read.credentials,
        .credentials_user = read.credentials_user,
    };
    rc = prepare(store, &config, error);
    return rc ? rc : start(store, &config, error);
}

/* From here on it is the same for all ways of opening. */
static int open_store(idem_store *store, const idem_options *options, void *context,
                      idem_error *error)
{
    int cancel_state = idem__cancel_hold();
    int rc = set_up(store, options, context, error);
    idem__cancel_restore(cancel_state);
    return rc;
}

int idem_open_with(const char *url, const idem_options *options, idem_store **store,
                   idem_error *error)
{
    const idem_backend_ops *ops;
    idem__error_clear(error);
    if (!url || !store)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the URL, or the place for the store, is "
                              "NULL");
    idem_store *made = make_store();
    if (!made)
        return idem__error_no_memory(error);
    int rc = idem__url_parse(url, &made->url, error);
    if (rc == IDEM_OK)
        rc = idem__registry_find(made->url.scheme, &ops, error);
    if (rc == IDEM_OK && made->url.host && strchr(made->url.host, ',') &&
        !(ops->traits & IDEM_BACKEND_HOST_LIST))
        rc = idem_error_set(
            error, IDEM_ERR_ARGUMENT,
            "%s: the URL names several hosts, and this store takes one: name one, the primary; "
            "sentinels are listed in redis+sentinel://host1,host2/master_name",
            ops->scheme);
    if (rc == IDEM_OK) {
        made->ops = *ops;
        rc = open_store(made, options, NULL, error);
    }
    if (rc)
        give_up(made);
    else
        *store = made;
    return rc;
}

int idem_open(const char *url, idem_store **store, idem_error *error)
{
    return idem_open_with(url, NULL, store, error);
}

int idem_open_backend(const idem_backend_ops *ops, void *context, const char *options,
                      idem_store **store, idem_error *error)
{
    idem__error_clear(error);
    if (!store)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the place for the store is NULL");
    idem_store *made = make_store();
    if (!made)
        return idem__error_no_memory(error);
    int rc = idem__registry_adopt(ops, &made->ops, error);
    if (rc == IDEM_OK && options)
        rc = idem__url_check_bytes(options, "the list of options", error);
    if (rc == IDEM_OK && options) {
        made->url.memory = strdup(options);
        made->url.query = made->url.memory;
        if (!made->url.memory)
            rc = idem__error_no_memory(error);
    }
    if (rc == IDEM_OK)
        rc = open_store(made, NULL, context, error);
    if (rc)
        give_up(made);
    else
        *store = made;
    return rc;
}

void idem_close(idem_store *store)
{
    if (!store || idem__inside_is_orphan()) /* nobody knows in what state it is */
        return;
    int cancel_state = idem__cancel_hold();
    stop(store);
    destroy(store);
    idem__cancel_restore(cancel_state);
}
