/* SPDX-License-Identifier: MIT */
/*
 * A caller of a store, in a process of its own: it may end at any moment, or find its disk failing.
 * Calls are drawn at random from what a key's state allows, or come from a script. A key is used by
 * one thread alone. A key whose change ended in doubt is repeated until it is known or, every other
 * time, left alone; so what may be there is known at all times.
 */
#include "workload.h"

#include "platter.h"

#include <idem/backend.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LEASE_MS  60000u
#define EXPIRY_MS 200000u

typedef enum {
    DO_BEGIN = 1, /* a new key, or one whose lease has run out */
    DO_CHECKPOINT,
    DO_RENEW,
    DO_COMPLETE,
    DO_REPLAY,
    DO_TAKE_OVER,
    DO_RELEASE,
    DO_FORGET,
    DO_FILL,        /* a claim that expires soon, for sweeps to find */
    DO_PURGE,       /* of what has expired */
    DO_TRANSFER,    /* another connection moves the log into the file */
    DO_TRANSFER_ALL /* and empties it */
} deed;

typedef struct {
    const workload *work;
    uint32_t first_key, step; /* its keys: first_key, first_key + step, … */
    uint64_t random;
    idem_store *store;
    sqlite3 *other; /* the second connection */
    sqlite3_stmt *snapshot;
    idem_claim *claims[KEYS];
    key_state now[KEYS];
    bool in_doubt[KEYS];
} caller;

static const struct {
    uint8_t deed, key;
} script[] = {
    {DO_BEGIN, 0},      {DO_COMPLETE, 0},   {DO_REPLAY, 0},   {DO_BEGIN, 1},
    {DO_CHECKPOINT, 1}, {DO_RENEW, 1},      {DO_BEGIN, 2},    {DO_TRANSFER, 0},
    {DO_CHECKPOINT, 2}, {DO_TAKE_OVER, 2},  {DO_COMPLETE, 2}, {DO_BEGIN, 3},
    {DO_RELEASE, 3},    {DO_FILL, 0},       {DO_FILL, 0},     {DO_TRANSFER, 0},
    {DO_BEGIN, 4},      {DO_COMPLETE, 4},   {DO_FORGET, 0},   {DO_BEGIN, 0},
    {DO_COMPLETE, 1},   {DO_TRANSFER, 0},   {DO_BEGIN, 5},    {DO_CHECKPOINT, 5},
    {DO_PURGE, 0},      {DO_BEGIN, 6},      {DO_COMPLETE, 6}, {DO_TRANSFER_ALL, 0},
    {DO_COMPLETE, 5},   {DO_CHECKPOINT, 0}, {DO_FORGET, 4},   {DO_BEGIN, 3},
    {DO_TAKE_OVER, 0},  {DO_COMPLETE, 0},   {DO_TRANSFER, 0}, {DO_BEGIN, 7},
    {DO_CHECKPOINT, 7}, {DO_CHECKPOINT, 7}, {DO_COMPLETE, 7}, {DO_COMPLETE, 3},
    {DO_TRANSFER, 0},   {DO_FORGET, 1},     {DO_BEGIN, 1},    {DO_COMPLETE, 1},
};

uint64_t workload_clock(void *user)
{
    (void)user;
    return __atomic_load_n(&told->clock_ms, __ATOMIC_SEQ_CST);
}

static void let_time_pass(void)
{
    (void)__atomic_add_fetch(&told->clock_ms, EXPIRY_MS, __ATOMIC_SEQ_CST);
}

static uint32_t next_number(void)
{
    return __atomic_add_fetch(&told->serial, 1, __ATOMIC_SEQ_CST);
}

int workload_open(const char *folder, const char *options, idem_store **store, idem_error *error)
{
    char url[300];
    idem_options with = {.size = sizeof with, .clock = {.now_ms = workload_clock}};
    (void)snprintf(url, sizeof url, "sqlite:%s?ttl=8760h&%s", platter_path(folder, FILE_DB),
                   options);
    return idem_open_with(url, &with, store, error);
}

/* The process ends here: nothing that follows would mean anything. */
_Noreturn static void stop(const char *what, uint32_t key, int rc, const idem_error *error)
{
    history_fail("%s of key %u: code %d %s", what, key, rc, error ? error->message : "");
    _Exit(EXIT_FAILURE);
}

/* ---------------------------------------------------------------------------------- one call */

static history_entry *note(uint32_t key, const key_state *after)
{
    size_t index = __atomic_fetch_add(&told->count, 1, __ATOMIC_SEQ_CST);
    if (index >= HISTORY_MAX)
        stop("the history is full", key, 0, NULL);
    history_entry *entry = &told->entries[index];
    *entry = (history_entry){.key = key, .began = record_now(), .after = *after};
    return entry;
}

static bool is_doubtful(int rc)
{
    return rc == IDEM_ERR_UNCERTAIN || rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_FULL;
}

/* Notes how a call ended; true if it was done. */
static bool answered(caller *who, history_entry *entry, int rc, const char *what,
                     const idem_error *error)
{
    (void)__atomic_add_fetch(&told->calls, 1, __ATOMIC_SEQ_CST);
    if (rc && !is_doubtful(rc))
        stop(what, entry->key, rc, error);
    if (rc == IDEM_ERR_UNCERTAIN) {
        (void)__atomic_add_fetch(&told->uncertain, 1, __ATOMIC_SEQ_CST);
        who->in_doubt[entry->key] = true;
    }
    entry->rc = rc;
    entry->ended = record_now();
    if (rc == IDEM_OK)
        who->now[entry->key] = entry->after;
    return rc == IDEM_OK;
}

/* Is a call that failed to be made once more? Every other one that is in doubt is left so. */
static bool repeats(caller *who, int rc, unsigned tries)
{
    return rc && is_doubtful(rc) && tries < 40 &&
           (rc != IDEM_ERR_UNCERTAIN || draw(&who->random) % 2);
}

static void begin(caller *who, uint32_t key)
{
    char name[16];
    uint8_t token[IDEM_TOKEN_SIZE];
    idem_outcome outcome;
    idem_error error;
    const key_state *old = &who->now[key];
    const key_state after = {.present = true,
                             .status = IDEM_STATUS_IN_PROGRESS,
                             .attempt = old->present ? old->attempt + 1 : 1,
                             .lease_ms = LEASE_MS + next_number() % LEASE_MS,
                             .claimer = old->present ? old->claimer : next_number(),
                             .text = old->present ? old->text : 0};
    idem_request request = {.size = sizeof request,
                            .key = history_key(key, name),
                            .fingerprint = {&after.claimer, sizeof after.claimer},
                            .lease_ms = after.lease_ms,
                            .token = token};
    history_token(&after, token);
    history_entry *entry = note(key, &after);
    int rc = idem_begin(who->store, &request, &outcome, &error);
    for (unsigned tries = 0; repeats(who, rc, tries); tries++)
        rc = idem_begin(who->store, &request, &outcome, &error);
    if (rc == IDEM_OK && (outcome.kind != IDEM_NEW || outcome.attempt != after.attempt))
        stop("begin was not New", key, (int)outcome.kind, NULL);
    if (!answered(who, entry, rc, "begin", &error))
        return;
    idem_claim_free(who->claims[key]);
    who->claims[key] = outcome.claim;
    outcome.claim = NULL;
    idem_outcome_clear(&outcome);
}

static int call_claim(caller *who, deed what, uint32_t key, const key_state *after,
                      idem_error *error)
{
    static _Thread_local char text[TEXT_MAX];
    idem_claim *claim = who->claims[key];
    switch (what) {
    case DO_CHECKPOINT:
        return idem_checkpoint(who->store, claim, history_text(after->text, text), error);
    case DO_RENEW:
        return idem_renew(who->store, claim, after->lease_ms, error);
    case DO_COMPLETE:
        return idem_complete(who->store, claim, history_text(after->text, text), error);
    default:
        return idem_release(who->store, claim, error);
    }
}

static void use_claim(caller *who, deed what, uint32_t key)
{
    static const char *const names[] = {[DO_CHECKPOINT] = "checkpoint",
                                        [DO_RENEW] = "renew",
                                        [DO_COMPLETE] = "complete",
                                        [DO_RELEASE] = "release"};
    idem_error error;
    key_state after = who->now[key];
    if (what == DO_CHECKPOINT || what == DO_COMPLETE)
        after.text = next_number();
    if (what == DO_COMPLETE)
        after.status = IDEM_STATUS_COMPLETED;
    if (what == DO_RENEW)
        after.lease_ms = LEASE_MS + next_number() % LEASE_MS;
    if (what == DO_RELEASE)
        memset(&after, 0, sizeof after);
    history_entry *entry = note(key, &after);
    int rc = call_claim(who, what, key, &after, &error);
    for (unsigned tries = 0; repeats(who, rc, tries); tries++)
        rc = call_claim(who, what, key, &after, &error);
    (void)answered(who, entry, rc, names[what], &error);
}

static void forget(caller *who, uint32_t key)
{
    char name[16];
    idem_error error;
    const key_state after = {0};
    history_entry *entry = note(key, &after);
    int rc = idem_forget(who->store, history_key(key, name), &error);
    for (unsigned tries = 0; repeats(who, rc, tries); tries++)
        rc = idem_forget(who->store, history_key(key, name), &error);
    (void)answered(who, entry, rc, "forget", &error);
}

/* What is told of a completed key is a promise like any other. */
static void replay(caller *who, uint32_t key)
{
    static _Thread_local char text[TEXT_MAX];
    char name[16];
    idem_outcome outcome;
    idem_error error;
    idem_bytes expected = history_text(who->now[key].text, text);
    int rc = idem_begin(who->store, IDEM_REQUEST(.key = history_key(key, name)), &outcome, &error);
    (void)__atomic_add_fetch(&told->calls, 1, __ATOMIC_SEQ_CST);
    if (is_doubtful(rc))
        return;
    if (rc || outcome.kind != IDEM_COMPLETED || outcome.response.len != expected.len ||
        memcmp(outcome.response.data, expected.data, expected.len) != 0)
        stop("replay", key, rc ? rc : (int)outcome.kind, &error);
    idem_outcome_clear(&outcome);
}

/* --------------------------------------------------------------------------- around the calls */

static void fill(caller *who)
{
    char name[32];
    idem_outcome outcome;
    (void)snprintf(name, sizeof name, "filler-%u", next_number());
    idem_request request = {
        .size = sizeof request, .key = idem_str(name), .lease_ms = 1000, .ttl_ms = 1000};
    if (idem_begin(who->store, &request, &outcome, NULL) == IDEM_OK)
        idem_outcome_clear(&outcome);
}

/* It is of no account whether the log can be moved: others may be reading it. */
static void transfer(caller *who, int mode)
{
    if (who->other)
        (void)sqlite3_wal_checkpoint_v2(who->other, NULL, mode, NULL, NULL);
}

/* A reader that has begun to read stands in the way of checkpoints beyond what it sees. */
static void take_snapshot(caller *who)
{
    (void)sqlite3_finalize(who->snapshot);
    who->snapshot = NULL;
    if (draw(&who->random) % 3 > 0 && sqlite3_prepare_v2(who->other, "SELECT key FROM idem_record",
                                                         -1, &who->snapshot, NULL) == SQLITE_OK)
        (void)sqlite3_step(who->snapshot);
}

static deed draw_deed(caller *who, const key_state *state)
{
    static const deed held[] = {DO_CHECKPOINT, DO_CHECKPOINT, DO_RENEW,  DO_COMPLETE, DO_COMPLETE,
                                DO_COMPLETE,   DO_RELEASE,    DO_FORGET, DO_TAKE_OVER};
    static const deed around[] = {DO_FILL, DO_PURGE, DO_TRANSFER, DO_TRANSFER, DO_TRANSFER_ALL};
    uint64_t number = draw(&who->random);
    if (number % 6 == 0)
        return around[number / 6 % (sizeof around / sizeof around[0])];
    if (!state->present)
        return DO_BEGIN;
    if (state->status == IDEM_STATUS_COMPLETED)
        return number / 6 % 2 ? DO_REPLAY : DO_FORGET;
    if (number / 6 % 9 == 8 && who->work->threads)
        return DO_RENEW; /* the clock is the other threads' too */
    return held[number / 6 % (sizeof held / sizeof held[0])];
}

/* A change of the script whose forerunner failed has nothing to be made on. */
static bool fits(const caller *who, deed what, uint32_t key)
{
    const key_state *state = &who->now[key];
    bool held = state->present && state->status == IDEM_STATUS_IN_PROGRESS;
    if (what >= DO_FILL)
        return true;
    if (who->in_doubt[key])
        return false;
    if (what == DO_BEGIN)
        return !state->present;
    if (what == DO_REPLAY)
        return state->present && !held;
    return what == DO_FORGET || held;
}

static void act(caller *who, deed what, uint32_t key)
{
    if (!fits(who, what, key))
        return;
    switch (what) {
    case DO_TAKE_OVER:
        let_time_pass();
        begin(who, key);
        break;
    case DO_BEGIN:
        begin(who, key);
        break;
    case DO_CHECKPOINT:
    case DO_RENEW:
    case DO_COMPLETE:
    case DO_RELEASE:
        use_claim(who, what, key);
        break;
    case DO_REPLAY:
        replay(who, key);
        break;
    case DO_FORGET:
        forget(who, key);
        break;
    case DO_FILL:
        fill(who);
        break;
    case DO_PURGE:
        (void)idem_purge(who->store, 0, NULL, NULL);
        break;
    case DO_TRANSFER:
    case DO_TRANSFER_ALL:
        transfer(who, what == DO_TRANSFER ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE);
        break;
    }
}

/* What is read is a promise too: it has to be there for the next one. */
static void observe(caller *who, uint32_t key)
{
    char name[16];
    idem_record record;
    idem_error error;
    key_state *state = &who->now[key];
    int rc = idem_get(who->store, history_key(key, name), &record, &error);
    for (unsigned tries = 0; repeats(who, rc, tries); tries++)
        rc = idem_get(who->store, history_key(key, name), &record, &error);
    memset(state, 0, sizeof *state);
    if (rc == IDEM_OK && !history_read(&record, state))
        stop("a record is none that was written: get", key, 0, NULL);
    if (rc == IDEM_OK)
        idem_record_clear(&record);
    else if (rc != IDEM_ERR_NOT_FOUND)
        stop("get", key, rc, &error);
    /* A process that died takes nothing along. */
    if (!history_allows(key, state, record_now(), true))
        stop("a state that can't be: get", key, (int)state->status, NULL);
    history_entry *entry = note(key, state);
    entry->ended = record_now();
}

/* The claims that an earlier life has left are taken up by their tokens. */
static void resume_all(caller *who)
{
    char name[16];
    uint8_t token[IDEM_TOKEN_SIZE];
    idem_error error;
    for (uint32_t key = who->first_key; key < KEYS; key += who->step) {
        observe(who, key);
        if (!who->now[key].present || who->now[key].status == IDEM_STATUS_COMPLETED)
            continue;
        history_token(&who->now[key], token);
        idem_bytes bytes = history_key(key, name);
        int rc = idem_resume(who->store, bytes, token, &who->claims[key], &error);
        for (unsigned tries = 0; repeats(who, rc, tries); tries++)
            rc = idem_resume(who->store, bytes, token, &who->claims[key], &error);
        if (rc)
            stop("resume", key, rc, &error);
    }
}

static void *call_all(void *user)
{
    caller *who = user;
    const uint32_t own = 1 + (KEYS - 1 - who->first_key) / who->step;
    for (uint32_t i = 0; i < who->work->calls; i++) {
        uint32_t key = who->first_key + (uint32_t)(draw(&who->random) % own) * who->step;
        if (who->work->hold_snapshot && who->other && i % 8 == 0)
            take_snapshot(who);
        act(who, draw_deed(who, &who->now[key]), key);
    }
    return NULL;
}

static void call_script(caller *callers, uint32_t count)
{
    for (size_t i = 0; count > 0 && i < sizeof script / sizeof script[0]; i++) {
        caller *who = &callers[script[i].key % count];
        act(script[i].deed >= DO_TRANSFER ? &callers[0] : who, (deed)script[i].deed, script[i].key);
    }
}

static void open_caller(const workload *work, caller *who, uint32_t index)
{
    idem_error error;
    *who = (caller){
        .work = work, .first_key = index, .step = work->handles, .random = work->seed * 31 + index};
    int rc = workload_open(work->folder, work->options, &who->store, &error);
    for (unsigned tries = 0; rc && is_doubtful(rc) && tries < 200; tries++)
        rc = workload_open(work->folder, work->options, &who->store, &error);
    if (rc)
        stop("open", 0, rc, &error);
    if (index == 0 && sqlite3_open(platter_path(work->folder, FILE_DB), &who->other) != SQLITE_OK)
        who->other = NULL;
    resume_all(who);
}

static void close_caller(caller *who)
{
    (void)sqlite3_finalize(who->snapshot);
    (void)sqlite3_close(who->other);
    idem_close(who->store);
    for (uint32_t key = 0; key < KEYS; key++)
        idem_claim_free(who->claims[key]);
}

void workload_run(const workload *work)
{
    static caller callers[KEYS];
    pthread_t threads[KEYS];
    for (uint32_t i = 0; i < work->handles; i++)
        open_caller(work, &callers[i], i);
    if (work->scripted)
        call_script(callers, work->handles);
    for (uint32_t i = 0; !work->scripted && i < work->handles; i++) {
        if (!work->threads)
            (void)call_all(&callers[i]);
        else if (pthread_create(&threads[i], NULL, call_all, &callers[i]))
            stop("a thread can't be made", 0, 0, NULL);
    }
    for (uint32_t i = 0; !work->scripted && work->threads && i < work->handles; i++)
        (void)pthread_join(threads[i], NULL);
    for (uint32_t i = 0; work->close_at_end && i < work->handles; i++)
        close_caller(&callers[i]);
}
