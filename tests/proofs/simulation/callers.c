/* SPDX-License-Identifier: MIT */
/*
 * What callers do: they begin, work, complete, renew, leave checkpoints, release, come back with
 * an old token, take up each other's claims, look, forget, crash. They know no more than a
 * program that uses the library: an idem_claim, made and updated as core/api/begin.c and
 * core/api/claim_ops.c do it, and the tokens they remember.
 */
#include "store.h"
#include "world.h"

/* A call's choices, out of a step's words. */
typedef struct {
    unsigned action; /* below 100 */
    unsigned more;
    unsigned times;
} choice;

static choice choice_of(const step *now, size_t call)
{
    return (choice){.action = now->word[3 + 3 * call] % 100u,
                    .more = now->word[4 + 3 * call],
                    .times = now->word[5 + 3 * call]};
}

static uint64_t lease_of(const choice *of)
{
    static const uint64_t leases[] = {20, 5, 50, 120};
    return leases[of->times % 4];
}

static uint64_t ttl_of(const choice *of)
{
    static const uint64_t ttls[] = {100, 10, 40, 300};
    return ttls[of->times / 4 % 4];
}

/* Tokens differ in their last bytes alone. */
static void fresh_token(world *made, uint8_t token[IDEM_TOKEN_SIZE])
{
    unsigned number = ++made->tokens;
    memset(token, 0xA5, IDEM_TOKEN_SIZE);
    token[IDEM_TOKEN_SIZE - 2] = (uint8_t)(number >> 8);
    token[IDEM_TOKEN_SIZE - 1] = (uint8_t)number;
}

static void fresh_text(world *made, char kind, short_text *text)
{
    char buf[TEXT_SIZE];
    int len = snprintf(buf, sizeof buf, "\"%c%u\"", kind, ++made->texts);
    *text = text_of((idem_bytes){buf, (size_t)len});
}

/* ------------------------------------------------------------------------------- kinds of calls */

void caller_blank_task(world *made, task *one, idem__call_kind kind, size_t key)
{
    memset(&one->letter, 0, sizeof one->letter);
    one->moments_count = 0;
    one->claim = NULL;
    one->bytes = NULL;
    one->renewal = false;
    one->answered = false;
    one->fault = FAULT_NONE;
    one->doubted = false;
    one->given_up = false;
    one->cut_off = false;
    one->stayed = false;
    one->pausing = false;
    one->sent_at = 0;
    one->left_behind = false;
    one->overtook = NULL;
    one->running = true;
    one->key = key;
    one->name[0] = 'k';
    one->name[1] = (char)('0' + key);
    one->letter.serial = ++made->serial;
    one->letter.asked.kind = kind;
    idem__protocol_init(&one->call, kind, (idem_bytes){one->name, sizeof one->name});
}

static task *new_task(world *made, caller *who, idem__call_kind kind, size_t key)
{
    size_t at = 0;
    while (who->tasks[at].running)
        at++;
    task *one = &who->tasks[at];
    caller_blank_task(made, one, kind, key);
    who->left[who->left_count++] = one;
    return one;
}

/* Puts the question to the protocol as core/api/begin.c and core/api/claim_ops.c do. */
void caller_put_question(const world *made, task *one)
{
    const question *asked = &one->letter.asked;
    idem__call *call = &one->call;
    call->no_takeover = asked->no_takeover;
    call->reinstate = asked->reinstate && one->claim;
    call->read_first = made->read_first && asked->kind == IDEM__CALL_BEGIN;
    call->fingerprint = text_bytes(&asked->fingerprint);
    call->text = text_bytes(&asked->text);
    call->lease_ms = asked->lease_ms;
    call->ttl_ms = asked->ttl_ms;
    memcpy(call->token, asked->token, IDEM_TOKEN_SIZE);
    if (one->claim) {
        memset(call->token, 0, IDEM_TOKEN_SIZE); /* the claim's record has it */
        one->bytes = idem__claim_hold(one->claim, &call->held);
        call->held.memory = NULL;
    }
}

/* As hold_still() of core/api/claim_ops.c: says to the keepalive that the claim is being ended. */
static void hold_still(const task *one)
{
    idem__call_kind kind = one->call.kind;
    if (!one->claim)
        return;
    one->claim->ending = kind == IDEM__CALL_COMPLETE || kind == IDEM__CALL_RELEASE;
    one->claim->given_back = kind == IDEM__CALL_RELEASE;
}

static void learn_token(world *made, caller *who, size_t key, const uint8_t *token)
{
    if (who->knows[key] && memcmp(who->tokens[key], token, IDEM_TOKEN_SIZE) == 0)
        return;
    for (size_t i = 0; i < made->callers_count; i++) {
        const caller *other = &made->callers[i];
        if (other->knows[key] && memcmp(other->tokens[key], token, IDEM_TOKEN_SIZE) == 0)
            made->counts->situations[SAW_TOKEN_SHARED]++;
    }
    who->knows[key] = true;
    memcpy(who->tokens[key], token, IDEM_TOKEN_SIZE);
}

static void ask_begin(world *made, caller *who, size_t key, const choice *of)
{
    static const char *const fingerprints[] = {"", "a", "", "a", "", "", "a", "b"};
    task *one = new_task(made, who, IDEM__CALL_BEGIN, key);
    question *asked = &one->letter.asked;
    asked->no_takeover = of->times / 16 % 8 == 7;
    asked->reinstate = of->times / 1024 % 2 == 1;
    asked->fingerprint = text_of(idem_str(fingerprints[of->times / 128 % 8]));
    asked->lease_ms = lease_of(of);
    asked->ttl_ms = ttl_of(of);
    if (who->knows[key] && of->more / 64 % 5 >= 3) {
        memcpy(asked->token, who->tokens[key], IDEM_TOKEN_SIZE);
    } else {
        fresh_token(made, asked->token);
        learn_token(made, who, key, asked->token);
    }
    world_say(made, "caller %zu begins k%zu: token %u, lease %llu, ttl %llu%s%s%s%s", who->number,
              key, world_token_number(asked->token), (unsigned long long)asked->lease_ms,
              (unsigned long long)asked->ttl_ms, asked->fingerprint.len ? ", fingerprint " : "",
              fingerprints[of->times / 128 % 8], asked->no_takeover ? ", no takeover" : "",
              asked->reinstate ? ", reinstating" : "");
}

static void ask_resume(world *made, caller *who, size_t key, const choice *of)
{
    const caller *from = &made->callers[of->more / 64 % made->callers_count];
    if (!from->knows[key])
        from = who;
    task *one = new_task(made, who, IDEM__CALL_RESUME, key);
    if (from->knows[key])
        memcpy(one->letter.asked.token, from->tokens[key], IDEM_TOKEN_SIZE);
    else
        fresh_token(made, one->letter.asked.token); /* a token that nobody has */
    learn_token(made, who, key, one->letter.asked.token);
    world_say(made, "caller %zu resumes k%zu with token %u", who->number, key,
              world_token_number(one->letter.asked.token));
}

static void ask_on_claim(world *made, caller *who, idem__call_kind kind, size_t key,
                         const choice *of)
{
    task *one = new_task(made, who, kind, key);
    question *asked = &one->letter.asked;
    one->claim = who->claims[key];
    memcpy(asked->token, one->claim->token, IDEM_TOKEN_SIZE);
    asked->reinstate = one->claim->reinstate && kind != IDEM__CALL_RELEASE;
    asked->held = ground_record_of(&one->claim->held);
    if (of->more / 64 % 4 == 3)
        idem_claim_set_ttl(one->claim, ttl_of(of));
    asked->ttl_ms = one->claim->ttl_ms;
    if (kind == IDEM__CALL_RENEW && of->more / 256 % 2 == 1)
        asked->lease_ms = lease_of(of);
    if (kind == IDEM__CALL_CHECKPOINT && of->more / 256 % 8 != 7)
        fresh_text(made, 'c', &asked->text);
    if (kind == IDEM__CALL_COMPLETE) {
        if (who->responses[key].len == 0 || of->more / 256 % 4 == 3)
            fresh_text(made, 'r', &who->responses[key]);
        asked->text = who->responses[key];
    }
    world_say(made, "caller %zu: %s k%zu with token %u%s%.*s", who->number, counts_kind_text(kind),
              key, world_token_number(asked->token), asked->text.len ? ": " : "",
              (int)asked->text.len, asked->text.data);
}

static void ask_plain(world *made, caller *who, idem__call_kind kind, size_t key)
{
    task *one = new_task(made, who, kind, key);
    if (kind == IDEM__CALL_SETTLE) {
        fresh_token(made, one->letter.asked.token);
        fresh_text(made, 's', &one->letter.asked.text);
    }
    world_say(made, "caller %zu: %s k%zu", who->number, counts_kind_text(kind), key);
}

/* -------------------------------------------------------------------------------- what to do */

/* What the other calls of the batch do with a key's claim. */
static bool key_is_free(const caller *who, size_t key, bool for_claim)
{
    for (size_t i = 0; i < who->left_count; i++) {
        const task *other = who->left[i];
        bool claims = other->call.kind == IDEM__CALL_BEGIN || other->call.kind == IDEM__CALL_RESUME;
        if (other->key == key && (other->claim || (for_claim && claims)))
            return false;
    }
    return true;
}

/* With a claim in hand. False if there is none, or the choice was something else. */
static bool work_on_claim(world *made, caller *who, size_t key, const choice *of)
{
    if (!who->claims[key] || !key_is_free(who, key, true) || of->action >= 80)
        return false;
    idem__call_kind kind = of->action < 30   ? IDEM__CALL_COMPLETE
                           : of->action < 50 ? IDEM__CALL_RENEW
                           : of->action < 68 ? IDEM__CALL_CHECKPOINT
                                             : IDEM__CALL_RELEASE;
    ask_on_claim(made, who, kind, key, of);
    return true;
}

/* What operators ask, each as often as the others. */
static idem__call_kind operators_kind(const choice *of)
{
    static const idem__call_kind kinds[] = {IDEM__CALL_FORGET, IDEM__CALL_FORGET_ANY,
                                            IDEM__CALL_FORGET_EXPIRED, IDEM__CALL_SETTLE};
    return kinds[of->more / 64 % 4];
}

static void choose(world *made, caller *who, const step *now, size_t call)
{
    choice of = choice_of(now, call);
    size_t key = of.more % made->keys_count;
    if (work_on_claim(made, who, key, &of))
        return;
    if (of.action >= 95)
        ask_plain(made, who, operators_kind(&of), key);
    else if (of.action >= 91 || !key_is_free(who, key, false))
        ask_plain(made, who, IDEM__CALL_GET, key);
    else if (of.action % 8 == 7)
        ask_resume(made, who, key, &of);
    else
        ask_begin(made, who, key, &of);
}

static void count_same_key(world *made, const caller *who)
{
    for (size_t i = 1; i < who->left_count; i++) {
        if (who->left[i]->key == who->left[0]->key) {
            made->counts->situations[SAW_BATCH_SAME_KEY]++;
            return;
        }
    }
}

/* Starts one call, or several that travel as a batch. */
static void start(world *made, caller *who, const step *now)
{
    size_t count = 1 + now->word[2] % made->batch_max;
    who->submitted = now->word[1] / 256 % 3 == 2;
    who->left_count = 0;
    for (size_t i = 0; i < count; i++)
        choose(made, who, now, i);
    for (size_t i = 0; i < count; i++) {
        caller_put_question(made, who->left[i]);
        hold_still(who->left[i]);
        who->left[i]->deadline_ms = made->truth.now_ms + 10 + 27u * (now->word[15] >> 4 * i & 15u);
    }
    count_same_key(made, who);
    sending_start(made, who);
}

void caller_step(world *made, caller *who, const step *now)
{
    switch (who->phase) {
    case IDLE:
        start(made, who, now);
        break;
    case SENDING:
        sending_step(made, who, now);
        break;
    case PAUSING:
        sending_pause(made, who, now);
        break;
    }
}

/* ---------------------------------------------------------------------------- what came of it */

static void drop_claim(caller *who, size_t key)
{
    if (who->claims[key]) {
        who->claims[key]->kept = false; /* whoever renews it still, nothing is told of it */
        idem__claim_drop(who->claims[key]);
    }
    who->claims[key] = NULL;
}

static void take_claim(world *made, caller *who, const task *ended)
{
    idem_claim *claim = NULL;
    const idem_record *held = &ended->call.held;
    static const idem_store no_store;
    if (idem__claim_new(&no_store, held->key, held->fingerprint, &claim, NULL) != IDEM_OK) {
        world_breach(made, BREACH_TABLE, "no memory for the simulation");
        return;
    }
    idem__claim_take(claim, held);
    claim->reinstate = ended->call.kind == IDEM__CALL_BEGIN && ended->letter.asked.reinstate;
    /* One that was resumed is kept only after a renewal of its own; here it is not. */
    claim->kept =
        made->keeps && ended->call.kind == IDEM__CALL_BEGIN && ended->letter.serial % 4 != 3;
    drop_claim(who, ended->key);
    who->claims[ended->key] = claim;
    who->responses[ended->key].len = 0;
}

/* As core/api/claim_ops.c does after complete, renew, checkpoint and release. A claim that has
   ended is dropped by most callers; some go on and use it again. */
static void settle_claim(caller *who, const task *ended)
{
    int code = ended->call.code;
    idem__call_kind kind = ended->call.kind;
    bool ends = kind == IDEM__CALL_COMPLETE || kind == IDEM__CALL_RELEASE;
    bool lost = code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND;
    bool changed = code == IDEM_OK || code == IDEM_ERR_UNCERTAIN || ended->call.doubt;
    idem_claim *claim = ended->claim;
    claim->ending = false;
    claim->given_back = claim->given_back && changed;
    claim->in_doubt = claim->in_doubt || (ends && changed && code != IDEM_OK);
    claim->generation += changed;
    if (lost || (ends && code == IDEM_OK))
        claim->kept = false;
    if (lost || (ends && changed))
        ended->claim->reinstate = false;
    if (code == IDEM_OK && !ends) {
        idem__claim_news news;
        idem__claim_news_make(&news, ended->claim, &ended->call.held, ended->bytes);
        idem__claim_take_news(ended->claim, &news);
        idem__claim_news_clear(&news);
    }
    if ((lost || (ends && code == IDEM_OK)) && ended->letter.serial % 4 != 0)
        drop_claim(who, ended->key);
}

void caller_settle(world *made, caller *who, task *ended)
{
    bool claimed = (ended->call.kind == IDEM__CALL_BEGIN && ended->call.outcome == IDEM_NEW) ||
                   ended->call.kind == IDEM__CALL_RESUME;
    if (ended->claim)
        settle_claim(who, ended);
    else if (claimed && ended->call.code == IDEM_OK)
        take_claim(made, who, ended);
}

void caller_crash(world *made, caller *who, bool keeps_tokens)
{
    for (size_t i = 0; i < TASKS_COUNT; i++) {
        if (!who->tasks[i].running)
            continue;
        made->counts->situations[SAW_CRASH_IN_CALL]++;
        idem__protocol_clear(&who->tasks[i].call);
        idem__claim_release_bytes(who->tasks[i].bytes);
        if (who->tasks[i].renewal)
            idem__claim_drop(who->tasks[i].claim);
        who->tasks[i].running = false;
    }
    for (size_t key = 0; key < GROUND_KEYS; key++) {
        if (who->claims[key])
            made->counts->situations[SAW_CRASH_HOLDING]++;
        drop_claim(who, key);
        who->knows[key] = who->knows[key] && keeps_tokens;
    }
    who->phase = IDLE;
    who->left_count = 0;
}
