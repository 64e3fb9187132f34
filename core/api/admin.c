/* SPDX-License-Identifier: MIT */
/*
 * What operators do with records and their store: get, forget, settle, scan, purge, check. A scan
 * collects a page on a connection, leaves the connection, and then gives the page to the caller. So
 * the callback may call the store.
 */
#include "call_key.h"
#include "cancel.h"
#include "clock.h"
#include "call.h"
#include "error.h"
#include "validate.h"
#include "random.h"
#include "attempt.h"
#include "store.h"
#include "verify.h"

#include <stdlib.h>

#define PAGE_RECORDS 128u

/* Takes the prefix off the key, and the token, which is as good as a password, away. */
static void make_public(const idem_store *store, idem_record *record)
{
    record->key.data = (const char *)record->key.data + store->prefix.len;
    record->key.len -= store->prefix.len;
    memset(record->token, 0, sizeof record->token);
}

/* What is asked about one key. */
typedef struct {
    idem__call_kind kind;
    idem_bytes key;
    idem_bytes text;
} question;

/* Carries out a call on one key. @return as the call; nothing has to be cleared if it failed */
static int call_on_key(idem_store *store, const question *asked, idem__call *call,
                       idem_error *error)
{
    idem__call_key full;
    int rc = idem__call_key_make(&full, store, asked->key, error);
    if (rc)
        return idem__stats_refused(store, asked->kind, rc);
    idem__protocol_init(call, asked->kind, full.bytes);
    idem__call_set_time(call, idem_monotonic_ms(), store->timeout_ms);
    idem__stats_start(store->timed, call);
    call->text = asked->text;
    if (asked->kind == IDEM__CALL_SETTLE)
        rc = idem__random_draw(store->pooled, call->token, sizeof call->token, call->deadline_ms,
                               error);
    if (rc)
        return idem__stats_refused(store, asked->kind, rc);
    idem__call_run(store, &call, 1);
    idem__stats_end(store, call);
    if (call->code)
        (void)idem__error_copy(error, &call->error);
    rc = call->code;
    if (rc)
        idem__protocol_clear(call);
    return rc;
}

int idem_get(idem_store *store, idem_bytes key, idem_record *record, idem_error *error)
{
    idem__call call;
    idem__error_clear(error);
    if (!store || !record)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the record is NULL");
    const question asked = {.kind = IDEM__CALL_GET, .key = key};
    int rc = call_on_key(store, &asked, &call, error);
    if (rc)
        return rc;
    *record = call.seen;
    memset(&call.seen, 0, sizeof call.seen);
    idem__protocol_clear(&call);
    make_public(store, record);
    return IDEM_OK;
}

/* Carries out a call that leaves nothing but its code. */
static int decide(idem_store *store, const question *asked, idem_error *error)
{
    idem__call call;
    idem__error_clear(error);
    if (!store)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store is NULL");
    int rc = call_on_key(store, asked, &call, error);
    if (rc == IDEM_OK)
        idem__protocol_clear(&call);
    return rc;
}

int idem_forget(idem_store *store, idem_bytes key, idem_error *error)
{
    return decide(store, &(question){.kind = IDEM__CALL_FORGET, .key = key}, error);
}

int idem_forget_any(idem_store *store, idem_bytes key, idem_error *error)
{
    return decide(store, &(question){.kind = IDEM__CALL_FORGET_ANY, .key = key}, error);
}

int idem_forget_expired(idem_store *store, idem_bytes key, idem_error *error)
{
    return decide(store, &(question){.kind = IDEM__CALL_FORGET_EXPIRED, .key = key}, error);
}

int idem_settle(idem_store *store, idem_bytes key, idem_bytes response, idem_error *error)
{
    const question asked = {.kind = IDEM__CALL_SETTLE, .key = key, .text = response};
    idem__error_clear(error);
    int rc = store ? idem__validate_json(store, "response", response, error) : IDEM_OK;
    return rc ? idem__stats_refused(store, asked.kind, rc) : decide(store, &asked, error);
}

/* ------------------------------------------------------------------------ on a connection alone */

/* Something that is done on a connection that nobody else uses meanwhile. */
typedef struct {
    int (*once)(idem_store *store, idem_backend *backend, void *user, uint64_t deadline_ms,
                idem_error *error);
    void *user;
    bool changes; /* it may leave a change behind; else it only reads */
} alone;

static int try_alone(idem_store *store, void *user, uint64_t deadline_ms, idem_error *error)
{
    const alone *job = user;
    idem__connection *connection;
    int cancel_state = idem__cancel_hold();
    int rc = idem__pool_enter(&store->writers, deadline_ms, &connection, error);
    if (rc == IDEM_OK) {
        rc = job->once(store, connection->backend, job->user, deadline_ms, error);
        idem__pool_leave(&store->writers, connection);
    }
    idem__cancel_restore(cancel_state);
    return rc;
}

/* Does it, and repeats what may succeed later, until the deadline. */
static int do_alone(idem_store *store, alone *job, idem_error *error)
{
    const idem__attempt attempt = {.once = try_alone, .user = job, .changes = job->changes};
    return idem__repeat(store, &attempt, idem__clock_deadline(store->timeout_ms), error);
}

/* A way through the whole store, step by step. */
typedef struct {
    uint64_t moved_ms; /* when the cursor last was another one */
} walk;

static walk begin_walk(void)
{
    return (walk){.moved_ms = idem_monotonic_ms()};
}

/* Goes on to where a step has left off. A store that stays where it is for as long as a call may
   take would keep its caller for ever. */
static int get_on(const idem_store *store, walk *way, uint64_t *cursor, uint64_t next,
                  idem_error *error)
{
    uint64_t now = idem_monotonic_ms();
    if (next != *cursor)
        way->moved_ms = now;
    *cursor = next;
    if (next == 0 || now - way->moved_ms < store->timeout_ms)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                          "%s: the store got no further within the timeout; call again, or set a "
                          "longer timeout",
                          store->ops.scheme);
}

/* ---------------------------------------------------------------------------------------- scan */

/* The records of one page. */
typedef struct {
    const idem_bytes *own; /* the store's prefix */
    bool whole;            /* see verify.h */
    idem_record *records;
    size_t count;
    size_t capacity;
} collection;

static bool begins_with(const idem_bytes *key, const idem_bytes *prefix)
{
    return prefix->len == 0 || memcmp(key->data, prefix->data, prefix->len) == 0;
}

/* What can't be believed is shown by its key alone, and what has no key of this store is not
   shown. */
static int collect(void *user, const idem_record *record, idem_error *error)
{
    collection *page = user;
    idem_record known = {.key = record->key, .status = IDEM_STATUS_CORRUPT};
    if (!record->key.data || record->key.len <= page->own->len ||
        record->key.len > IDEM_KEY_MAX + page->own->len || !begins_with(&record->key, page->own))
        return IDEM_OK;
    if (record->status != IDEM_STATUS_CORRUPT && !idem__verify_record(record, page->whole))
        known = *record;
    if (page->count == page->capacity) {
        size_t capacity = page->capacity ? page->capacity * 2 : PAGE_RECORDS;
        idem_record *grown = realloc(page->records, capacity * sizeof *grown);
        if (!grown)
            return idem__error_no_memory(error);
        page->records = grown;
        page->capacity = capacity;
    }
    int rc = idem_record_copy(&known, &page->records[page->count], error);
    if (rc == IDEM_OK)
        page->count++;
    return rc;
}

static void clear_page(collection *page)
{
    for (size_t i = 0; i < page->count; i++)
        idem_record_clear(&page->records[i]);
    page->count = 0;
}

static int read_page(idem_store *store, idem_backend *backend, void *user, uint64_t deadline_ms,
                     idem_error *error)
{
    idem_scan_page *page = user;
    clear_page(page->emit_user); /* of a try that failed */
    page->next = 0;
    return store->ops.scan(backend, page, deadline_ms, error);
}

/* What is left to do of a scan. */
typedef struct {
    uint64_t status;
    uint64_t left;
    idem_scan_fn fn;
    void *user;
} delivery;

/* Gives a page to the caller. False: the scan is over. */
static bool deliver(const idem_store *store, const collection *page, delivery *to)
{
    for (size_t i = 0; i < page->count; i++) {
        idem_record shown = page->records[i];
        shown.memory = NULL; /* borrowed by the caller */
        if (to->status && shown.status != (idem_status)to->status)
            continue;
        make_public(store, &shown);
        if (to->fn(&shown, to->user) || --to->left == 0)
            return false;
    }
    return true;
}

static int read_filter(const idem_filter *filter, idem_filter *read, idem_error *error)
{
    memset(read, 0, sizeof *read);
    if (!filter)
        return IDEM_OK;
    int rc = idem__validate_struct("filter", filter, offsetof(idem_filter, status), read,
                                   sizeof *read, error);
    if (rc)
        return rc;
    if (read->status > IDEM_STATUS_CORRUPT || read->prefix.len > IDEM_KEY_MAX ||
        (read->prefix.len > 0 && !read->prefix.data))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the filter's status is unknown, or its prefix is no beginning of a "
                              "key");
    return IDEM_OK;
}

static int scan_pages(idem_store *store, idem_bytes prefix, delivery *to, idem_error *error)
{
    collection found = {.own = &store->prefix, .whole = !store->in_process};
    idem_scan_page page = {
        .prefix = prefix, .limit = PAGE_RECORDS, .emit = collect, .emit_user = &found};
    alone job = {.once = read_page, .user = &page};
    walk way = begin_walk();
    int rc;
    bool more;
    do {
        rc = do_alone(store, &job, error);
        more = rc == IDEM_OK && deliver(store, &found, to) && page.next != 0;
        clear_page(&found);
        if (more)
            rc = get_on(store, &way, &page.cursor, page.next, error);
    } while (more && rc == IDEM_OK);
    free(found.records);
    return rc;
}

static int scan_all(idem_store *store, const idem_filter *filter, idem_scan_fn fn, void *user,
                    idem_error *error)
{
    idem_filter read;
    idem__call_key prefix;
    idem__error_clear(error);
    if (!store || !fn)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the function is NULL");
    int rc = read_filter(filter, &read, error);
    if (rc)
        return rc;
    if (!store->ops.scan)
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED, "%s: records can't be listed",
                              store->ops.scheme);
    prefix.bytes = store->prefix;
    if (read.prefix.len > 0) {
        rc = idem__call_key_make(&prefix, store, read.prefix, error);
        if (rc)
            return rc;
    }
    delivery to = {.status = read.status,
                   .left = read.limit ? read.limit : UINT64_MAX,
                   .fn = fn,
                   .user = user};
    return scan_pages(store, prefix.bytes, &to, error);
}

int idem_scan(idem_store *store, const idem_filter *filter, idem_scan_fn fn, void *user,
              idem_error *error)
{
    uint64_t started_ns = idem__stats_now(store);
    int rc = scan_all(store, filter, fn, user, error);
    return idem__stats_whole(store, IDEM_CALL_SCAN, started_ns, rc, error);
}

/* --------------------------------------------------------------------------- purge and check */

static int purge_portion(idem_store *store, idem_backend *backend, void *user, uint64_t deadline_ms,
                         idem_error *error)
{
    idem_purge_portion *portion = user;
    portion->removed = 0;
    portion->next = 0;
    return store->ops.purge(backend, portion, deadline_ms, error);
}

/* Portion by portion, so that other callers of the store get their turns in between. A try whose
   reply was lost is made again from where it began, and counts for nothing. */
static int purge_portions(idem_store *store, uint64_t limit, uint64_t *removed, idem_error *error)
{
    idem_purge_portion portion = {.limit = limit};
    alone job = {.once = purge_portion, .user = &portion, .changes = true};
    walk way = begin_walk();
    int rc;
    do {
        rc = do_alone(store, &job, error);
        if (rc)
            break;
        *removed += portion.removed;
        portion.limit -= portion.removed < portion.limit ? portion.removed : portion.limit;
        rc = get_on(store, &way, &portion.cursor, portion.next, error);
    } while (rc == IDEM_OK && portion.next != 0 && portion.limit > 0);
    return rc;
}

static int purge_all(idem_store *store, uint64_t limit, uint64_t *removed, idem_error *error)
{
    idem__error_clear(error);
    if (!store)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store is NULL");
    if (!store->ops.purge)
        return idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                              "%s: drops expired records by itself; there is nothing to purge",
                              store->ops.scheme);
    uint64_t dropped = 0;
    int rc = purge_portions(store, limit ? limit : UINT64_MAX, &dropped, error);
    if (rc == IDEM_OK && removed)
        *removed = dropped;
    return rc;
}

int idem_purge(idem_store *store, uint64_t limit, uint64_t *removed, idem_error *error)
{
    uint64_t started_ns = idem__stats_now(store);
    int rc = purge_all(store, limit, removed, error);
    return idem__stats_whole(store, IDEM_CALL_PURGE, started_ns, rc, error);
}

static const idem_finding not_durable = {
    .what = "the store keeps its records in this process alone",
    .fix = "use a durable store where a restart must not run work again",
};

/* What a repeated check must not report again. */
typedef struct {
    idem_finding_fn fn;
    void *user;
    size_t told; /* by all tries */
    size_t seen; /* by this one */
} findings;

static void tell_finding(void *user, const idem_finding *finding)
{
    findings *all = user;
    if (++all->seen <= all->told)
        return;
    all->told = all->seen;
    all->fn(all->user, finding);
}

static int check(idem_store *store, idem_backend *backend, void *user, uint64_t deadline_ms,
                 idem_error *error)
{
    findings *all = user;
    all->seen = 0;
    return store->ops.check(backend, tell_finding, all, deadline_ms, error);
}

static int check_all(idem_store *store, idem_finding_fn fn, void *user, idem_error *error)
{
    idem__error_clear(error);
    if (!store || !fn)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the store or the function is NULL");
    if (!(store->ops.traits & IDEM_TRAIT_DURABLE))
        fn(user, &not_durable);
    if (!store->ops.check)
        return IDEM_OK;
    findings all = {.fn = fn, .user = user};
    alone job = {.once = check, .user = &all};
    return do_alone(store, &job, error);
}

int idem_check(idem_store *store, idem_finding_fn fn, void *user, idem_error *error)
{
    uint64_t started_ns = idem__stats_now(store);
    int rc = check_all(store, fn, user, error);
    return idem__stats_whole(store, IDEM_CALL_CHECK, started_ns, rc, error);
}
