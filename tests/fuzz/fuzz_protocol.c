/* SPDX-License-Identifier: MIT */
/*
 * Public calls of several callers on a store, against a model of the state machine's table that is
 * too simple to be wrong: one record per key, a clock that is a number, and the rows of the table
 * as they stand in the contract. Any difference in an answer, or in a record afterwards, ends it.
 *
 * The first byte chooses the store; every step takes a byte for the call and a few for what is
 * given. The store judges time by the model's clock, so nothing waits.
 */
#include "fuzz.h"

#define KEYS      3
#define CALLERS   4
#define TOKENS    3
#define STEPS_MAX 400

typedef enum { ABSENT, IN_PROGRESS, COMPLETED } state;

typedef struct {
    state state;
    bool settled; /* under a token that nobody knows */
    uint32_t attempt;
    uint8_t token[IDEM_TOKEN_SIZE];
    idem_bytes fingerprint, checkpoint, response;
    uint64_t lease_ms, ttl_ms, written_ms;
    int64_t created_at_ms; /* as the store has told it */
} record;

/* What a caller holds: at most one claim. */
typedef struct {
    idem_claim *claim;
    int key;
    uint64_t ttl_ms; /* set for the next changes; 0: as it is */
    bool lost;
    bool reinstates;
    record held; /* of a claim that reinstates: the record as it last knew it */
} caller;

typedef struct {
    fuzz_source source;
    idem_store *store;
    uint64_t now_ms;
    uint64_t capacity; /* 0: any number */
    record records[KEYS];
    caller callers[CALLERS];
} world;

/* NUL, and one that is the beginning of another. */
static const idem_bytes keys[KEYS] = {{"a", 1}, {"a\0b", 3}, {"\xff", 1}};
static const uint8_t tokens[TOKENS][IDEM_TOKEN_SIZE] = {{1}, {2}, {[15] = 1}};
static const idem_bytes fingerprints[] = {{NULL, 0}, {"one", 3}, {"one\0", 4}, {"two", 3}};
static const char *const texts[] = {"1", " [2] ", "{\"three\":3}", "\"\\ud800\""};
static const char *const refused_texts[] = {"", "nul", "\"\xff\"", "[1,]"};

static uint64_t tell_now(void *user)
{
    return ((const world *)user)->now_ms;
}

/* -------------------------------------------------------------------------------------- model */

static uint64_t live_ms(const record *at)
{
    return at->state == IN_PROGRESS ? at->lease_ms + at->ttl_ms : at->ttl_ms;
}

static uint64_t age_ms(const world *w, const record *at)
{
    return w->now_ms - at->written_ms;
}

/* The record as the table sees it: one whose retention is over is absent. */
static record *look_up(world *w, int key)
{
    record *at = &w->records[key];
    if (at->state != ABSENT && age_ms(w, at) >= live_ms(at))
        *at = (record){.state = ABSENT};
    return at;
}

static bool is_full(world *w)
{
    uint64_t live = 0;
    for (int i = 0; i < KEYS; i++)
        live += look_up(w, i)->state != ABSENT;
    return w->capacity > 0 && live >= w->capacity;
}

static bool bears(const record *at, const uint8_t *token)
{
    return !at->settled && memcmp(at->token, token, IDEM_TOKEN_SIZE) == 0;
}

/* What a call on a claim that is no longer held is told. */
static int not_held(const record *at)
{
    return at->state == ABSENT ? IDEM_ERR_NOT_FOUND : IDEM_ERR_LOST;
}

static bool mismatch(const record *at, idem_bytes fingerprint)
{
    return at->state != ABSENT && at->fingerprint.len > 0 && fingerprint.len > 0 &&
           !fuzz_same(at->fingerprint, fingerprint);
}

static idem_outcome_kind judge(const world *w, const record *at, const idem_request *request)
{
    if (mismatch(at, request->fingerprint))
        return IDEM_MISMATCH;
    if (at->state == ABSENT)
        return IDEM_NEW;
    if (at->state == COMPLETED)
        return IDEM_COMPLETED;
    if (request->token && bears(at, request->token))
        return IDEM_NEW;
    if (age_ms(w, at) < at->lease_ms)
        return IDEM_IN_PROGRESS;
    return request->flags & IDEM_NO_TAKEOVER ? IDEM_IN_DOUBT : IDEM_NEW;
}

/* Makes the change of a begin that is told New. */
static void claim_in_model(world *w, record *at, const idem_request *request, const uint8_t *token)
{
    bool mine = at->state == IN_PROGRESS && bears(at, token);
    if (mine && age_ms(w, at) < at->lease_ms)
        return;
    if (at->state == ABSENT)
        *at = (record){.state = IN_PROGRESS, .created_at_ms = INT64_MIN};
    at->attempt += !mine;
    memcpy(at->token, token, IDEM_TOKEN_SIZE);
    if (request->fingerprint.len > 0)
        at->fingerprint = request->fingerprint;
    at->lease_ms = request->lease_ms;
    at->ttl_ms = request->ttl_ms;
    at->written_ms = w->now_ms;
}

/* ------------------------------------------------------------------------------------ the look */

static idem_status status_of(const record *at)
{
    return at->state == COMPLETED ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS;
}

static void check_record(const world *w, record *at, const idem_record *read)
{
    HOLDS(at->state != ABSENT && read->status == status_of(at) && read->attempt == at->attempt);
    HOLDS(fuzz_same(read->fingerprint, at->fingerprint));
    HOLDS(fuzz_same(read->checkpoint, at->checkpoint) && fuzz_same(read->response, at->response));
    HOLDS(read->lease_ms == at->lease_ms && read->ttl_ms == at->ttl_ms);
    HOLDS(read->age_ms == age_ms(w, at));
    if (at->created_at_ms == INT64_MIN)
        at->created_at_ms = read->created_at_ms;
    HOLDS(read->created_at_ms == at->created_at_ms);
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        HOLDS(read->token[i] == 0);
}

static void check_key(world *w, int key)
{
    idem_record read = {0};
    idem_error error;
    record *at = look_up(w, key);
    int rc = idem_get(w->store, keys[key], &read, &error);
    HOLDS(rc == (at->state == ABSENT ? IDEM_ERR_NOT_FOUND : IDEM_OK) && error.code == rc);
    if (rc == IDEM_OK)
        check_record(w, at, &read);
    else
        fuzz_check_message(&error, rc);
    idem_record_clear(&read);
}

static void check_all(world *w)
{
    for (int i = 0; i < KEYS; i++)
        check_key(w, i);
}

/* --------------------------------------------------------------------------------------- begin */

static void let_go(caller *who)
{
    idem_claim_free(who->claim);
    *who = (caller){0};
}

static void take_claim(caller *who, idem_claim **claim, int key)
{
    let_go(who);
    who->claim = *claim;
    who->key = key;
    *claim = NULL;
}

static void check_outcome(const world *w, const record *before, idem_outcome_kind kind,
                          const idem_outcome *out)
{
    HOLDS(out->kind == kind && (out->claim != NULL) == (kind == IDEM_NEW));
    HOLDS(fuzz_same(out->response,
                    kind == IDEM_COMPLETED ? before->response : (idem_bytes){NULL, 0}));
    bool tells = kind == IDEM_NEW || kind == IDEM_IN_DOUBT;
    HOLDS(fuzz_same(out->checkpoint, tells ? before->checkpoint : (idem_bytes){NULL, 0}));
    HOLDS(out->retry_after_ms ==
          (kind == IDEM_IN_PROGRESS ? before->lease_ms - age_ms(w, before) : 0));
    HOLDS(kind != IDEM_IN_DOUBT || out->attempt == before->attempt);
}

static idem_request draw_request(fuzz_source *source, int key)
{
    uint8_t choice = fuzz_byte(source);
    idem_request request = {.size = sizeof request, .key = keys[key]};
    request.lease_ms = 1 + fuzz_byte(source);
    request.ttl_ms = 1 + 2 * (uint64_t)fuzz_byte(source);
    request.fingerprint = fingerprints[choice & 3];
    request.token = (choice >> 2 & 3) < TOKENS ? tokens[choice >> 2 & 3] : NULL;
    request.flags = choice & 16 ? IDEM_NO_TAKEOVER : 0;
    request.flags |= choice & 32 ? IDEM_REINSTATE : 0;
    return request;
}

static void do_begin(world *w, caller *who)
{
    idem_outcome out = {0};
    idem_error error;
    int key = fuzz_below(&w->source, KEYS);
    record *at = look_up(w, key);
    idem_request request = draw_request(&w->source, key);
    idem_outcome_kind kind = judge(w, at, &request);
    bool full = at->state == ABSENT && is_full(w);
    int rc = idem_begin(w->store, &request, &out, &error);
    HOLDS(rc == (full ? IDEM_ERR_FULL : IDEM_OK) && error.code == rc);
    if (rc)
        return;
    check_outcome(w, at, kind, &out);
    if (kind == IDEM_NEW) {
        claim_in_model(w, at, &request, idem_claim_token(out.claim));
        HOLDS(!request.token || bears(at, request.token));
        HOLDS(out.attempt == at->attempt && !idem_claim_lost(out.claim));
        take_claim(who, &out.claim, key);
        check_key(w, key); /* learns created_at_ms */
        who->reinstates = (request.flags & IDEM_REINSTATE) != 0;
        who->held = *at;
    }
    idem_outcome_clear(&out);
}

/* -------------------------------------------------------------------------------------- claims */

static void check_change(caller *who, int expected, int rc, const idem_error *error)
{
    HOLDS(rc == expected && error->code == rc);
    who->lost = rc != IDEM_OK && (who->lost || rc == IDEM_ERR_LOST || rc == IDEM_ERR_NOT_FOUND);
    HOLDS(idem_claim_lost(who->claim) == who->lost);
    who->reinstates = who->reinstates && !who->lost;
    if (rc)
        fuzz_check_message(error, rc);
}

/* A claim that asks for it puts back what is not there. A full store has no place for it. False:
   the call fails with IDEM_ERR_FULL. */
static bool put_back(world *w, const caller *who, record *at)
{
    if (at->state != ABSENT || !who->reinstates)
        return true;
    if (is_full(w))
        return false;
    *at = who->held;
    return true;
}

static void check_full(caller *who, int rc, const idem_error *error)
{
    HOLDS(rc == IDEM_ERR_FULL && !idem_claim_lost(who->claim));
    fuzz_check_message(error, rc);
}

/* What every change through a claim does to its record. */
static void touch(world *w, const caller *who, record *at)
{
    at->written_ms = w->now_ms;
    if (who->ttl_ms)
        at->ttl_ms = who->ttl_ms;
}

static void do_complete(world *w, caller *who)
{
    idem_error error;
    idem_bytes text = idem_str(texts[fuzz_byte(&w->source) % 4]);
    record *at = look_up(w, who->key);
    bool full = !put_back(w, who, at);
    bool mine = at->state != ABSENT && bears(at, idem_claim_token(who->claim));
    int rc = idem_complete(w->store, who->claim, text, &error);
    if (full) {
        check_full(who, rc, &error);
        return;
    }
    check_change(who, mine ? IDEM_OK : not_held(at), rc, &error);
    who->reinstates = false;
    if (rc || at->state == COMPLETED)
        return;
    touch(w, who, at);
    at->state = COMPLETED;
    at->response = text;
    at->checkpoint = (idem_bytes){NULL, 0};
}

static bool holds_claim(const record *at, const caller *who)
{
    return at->state == IN_PROGRESS && bears(at, idem_claim_token(who->claim));
}

static void do_renew(world *w, caller *who)
{
    idem_error error;
    uint64_t lease_ms = fuzz_byte(&w->source);
    record *at = look_up(w, who->key);
    bool full = !put_back(w, who, at);
    bool mine = holds_claim(at, who);
    int rc = idem_renew(w->store, who->claim, lease_ms, &error);
    if (full) {
        check_full(who, rc, &error);
        return;
    }
    check_change(who, mine ? IDEM_OK : not_held(at), rc, &error);
    if (!mine)
        return;
    touch(w, who, at);
    at->lease_ms = lease_ms ? lease_ms : at->lease_ms;
    who->held = *at;
}

static void do_checkpoint(world *w, caller *who)
{
    idem_error error;
    uint8_t choice = fuzz_below(&w->source, 5);
    idem_bytes text = choice < 4 ? idem_str(texts[choice]) : (idem_bytes){NULL, 0};
    record *at = look_up(w, who->key);
    bool full = !put_back(w, who, at);
    bool mine = holds_claim(at, who);
    int rc = idem_checkpoint(w->store, who->claim, text, &error);
    if (full) {
        check_full(who, rc, &error);
        return;
    }
    check_change(who, mine ? IDEM_OK : not_held(at), rc, &error);
    if (!mine)
        return;
    touch(w, who, at);
    at->checkpoint = text;
    who->held = *at;
}

static void do_release(world *w, caller *who)
{
    idem_error error;
    record *at = look_up(w, who->key);
    HOLDS(idem_release(w->store, who->claim, &error) == IDEM_OK && error.code == IDEM_OK);
    who->reinstates = false;
    if (holds_claim(at, who))
        *at = (record){.state = ABSENT};
}

/* What is no JSON is refused whoever asks, and changes nothing. */
static void do_refused(world *w, caller *who)
{
    idem_error error;
    idem_bytes text = idem_str(refused_texts[fuzz_byte(&w->source) % 4]);
    HOLDS(idem_complete(w->store, who->claim, text, &error) == IDEM_ERR_ARGUMENT);
    fuzz_check_message(&error, IDEM_ERR_ARGUMENT);
    if (text.len > 0)
        HOLDS(idem_checkpoint(w->store, who->claim, text, &error) == IDEM_ERR_ARGUMENT);
    HOLDS(idem_claim_lost(who->claim) == who->lost);
}

static void do_set_ttl(world *w, caller *who)
{
    uint64_t ttl_ms = fuzz_byte(&w->source);
    idem_claim_set_ttl(who->claim, ttl_ms);
    who->ttl_ms = ttl_ms ? ttl_ms : who->ttl_ms;
}

static void do_resume(world *w, caller *who)
{
    idem_claim *claim = NULL;
    idem_error error;
    int key = fuzz_below(&w->source, KEYS);
    record *at = look_up(w, key);
    uint8_t choice = fuzz_below(&w->source, TOKENS + 1);
    uint8_t token[IDEM_TOKEN_SIZE] = {9};
    if (choice < TOKENS)
        memcpy(token, tokens[choice], sizeof token);
    else if (at->state != ABSENT)
        memcpy(token, at->token, sizeof token);
    bool mine = at->state != ABSENT && bears(at, token);
    int rc = idem_resume(w->store, keys[key], token, &claim, &error);
    HOLDS(rc == (mine ? IDEM_OK : not_held(at)) && (claim != NULL) == mine);
    if (mine)
        take_claim(who, &claim, key);
}

/* ------------------------------------------------------------------------------------ operators */

/* What an operator is told of a key that it wants to decide about. */
static int judge_abandoned(const world *w, const record *at, int if_absent)
{
    if (at->state == ABSENT)
        return if_absent;
    bool abandoned = at->state == IN_PROGRESS && age_ms(w, at) >= at->lease_ms;
    return abandoned ? IDEM_OK : IDEM_ERR_LOST;
}

static void do_settle(world *w, int key)
{
    idem_error error;
    idem_bytes text = idem_str(texts[fuzz_byte(&w->source) % 4]);
    record *at = look_up(w, key);
    int expected = judge_abandoned(w, at, IDEM_ERR_NOT_FOUND);
    HOLDS(idem_settle(w->store, keys[key], text, &error) == expected && error.code == expected);
    if (expected)
        return;
    at->state = COMPLETED;
    at->response = text;
    at->checkpoint = (idem_bytes){NULL, 0};
    at->written_ms = w->now_ms;
    at->settled = true;
}

static void do_operate(world *w, caller *who)
{
    idem_error error;
    uint8_t choice = fuzz_below(&w->source, 4);
    int key = fuzz_below(&w->source, KEYS);
    record *at = look_up(w, key);
    (void)who;
    if (choice == 3) {
        do_settle(w, key);
        return;
    }
    int expected = choice == 2 ? judge_abandoned(w, at, IDEM_OK) : IDEM_OK;
    int rc = choice == 2   ? idem_forget_expired(w->store, keys[key], &error)
             : choice == 1 ? idem_forget_any(w->store, keys[key], &error)
                           : idem_forget(w->store, keys[key], &error);
    HOLDS(rc == expected && error.code == expected);
    if (rc == IDEM_OK)
        *at = (record){.state = ABSENT};
}

typedef struct {
    world *w;
    int given[KEYS];
} survey;

static int note_key(const idem_record *read, void *user)
{
    survey *s = user;
    int key = 0;
    while (key < KEYS && !fuzz_same(read->key, keys[key]))
        key++;
    HOLDS(key < KEYS);
    s->given[key]++;
    check_record(s->w, look_up(s->w, key), read);
    return 0;
}

static void do_scan(world *w, caller *who)
{
    survey s = {.w = w};
    (void)who;
    HOLDS(idem_scan(w->store, NULL, note_key, &s, NULL) == IDEM_OK);
    for (int i = 0; i < KEYS; i++)
        HOLDS(s.given[i] == (look_up(w, i)->state != ABSENT));
}

static void do_purge(world *w, caller *who)
{
    uint64_t removed = UINT64_MAX;
    (void)who;
    HOLDS(idem_purge(w->store, fuzz_byte(&w->source), &removed, NULL) == IDEM_OK);
    HOLDS(removed <= KEYS);
    check_all(w);
}

/* Lets time pass: some, or to the edge of a lease or of a retention, where one moment decides. */
static void do_advance(world *w, caller *who)
{
    uint8_t choice = fuzz_byte(&w->source);
    const record *at = look_up(w, choice % KEYS);
    uint64_t edge_ms = choice & 64 ? at->lease_ms : live_ms(at);
    (void)who;
    if (choice < 64 || at->state == ABSENT)
        w->now_ms += choice;
    else if (at->written_ms + edge_ms > w->now_ms)
        w->now_ms = at->written_ms + edge_ms - (choice >> 5 & 1);
    else
        w->now_ms += (uint64_t)1 << (choice % 44);
}

/* --------------------------------------------------------------------------------------- steps */

static void step(world *w)
{
    static void (*const on_store[])(world *, caller *) = {
        do_begin, do_begin, do_resume, do_operate, do_scan, do_purge, do_advance, do_advance};
    static void (*const on_claim[])(world *, caller *) = {do_complete, do_renew,   do_checkpoint,
                                                          do_release,  do_refused, do_set_ttl,
                                                          do_begin,    do_advance};
    uint8_t choice = fuzz_byte(&w->source);
    caller *who = &w->callers[choice >> 6];
    bool by_claim = who->claim && (choice & 8);
    (by_claim ? on_claim : on_store)[choice & 7](w, who);
    check_key(w, (choice >> 4) % KEYS);
}

static const char *choose_store(world *w)
{
    uint8_t choice = fuzz_byte(&w->source);
#ifdef IDEM_BACKEND_SQLITE
    if (choice % 8 == 7)
        return "sqlite::memory:";
#endif
    w->capacity = choice % 4 == 3 ? 2 : 0;
    return w->capacity ? "memory://?capacity=2" : "memory://?prefix=a%25b";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world w = {.source = {data, size}, .now_ms = UINT64_C(1000000)};
    idem_options options = {.size = sizeof options, .clock = {.now_ms = tell_now, .user = &w}};
    HOLDS(idem_open_with(choose_store(&w), &options, &w.store, NULL) == IDEM_OK);
    for (int steps = 0; w.source.left > 0 && steps < STEPS_MAX; steps++)
        step(&w);
    check_all(&w);
    for (int i = 0; i < CALLERS; i++)
        let_go(&w.callers[i]);
    idem_close(w.store);
    return 0;
}
