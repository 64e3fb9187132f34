/* SPDX-License-Identifier: MIT */
/*
 * The keepalive: a second actor beside the owner, which renews its kept claims. A renewal goes one
 * operation at a time, and its answer is taken in later, as after a batch; the owner's calls come
 * between any two. The rules are those of core/engine/keepalive.c, on the claim's own fields, and
 * each function says which one it follows. The second call, which puts a lost record back, is left
 * out. There are no timers: a word of the history says when a renewal is due, at any time.
 */
#include "world.h"

/* As is_outdated(): the owner has changed the record, or may have, since this was taken. */
static bool is_outdated(const world *made, const task *done)
{
    return !made->rules.keep_outdated && done->claim->generation != done->generation;
}

/* As is_own_end(): what the renewal has found is its owner's own end of the claim. */
static bool is_own_end(const world *made, const task *done)
{
    const idem_claim *claim = done->claim;
    const idem_record *seen = &done->call.seen;
    if (made->rules.keep_own_end)
        return false;
    if (claim->given_back && !claim->ending)
        return true;
    return (claim->ending || claim->in_doubt) && done->call.code == IDEM_ERR_LOST &&
           seen->status == IDEM_STATUS_COMPLETED &&
           memcmp(seen->token, claim->token, IDEM_TOKEN_SIZE) == 0;
}

/* The owner is told that its claim is lost: wrong if what was found is a complete that was asked
   for on this very claim. One on an earlier claim of the same caller, which came late, is
   another's. */
static void tell_lost(world *made, const caller *who, const task *done)
{
    const owner_end *end = &made->completed[done->key];
    const ground_record *found = &done->moments[done->moments_count - 1].before;
    made->counts->situations[SAW_KEPT_LOST]++;
    atomic_store(&done->claim->lost, true);
    if (found->state == COMPLETED && end->version != 0 && found->version == end->version &&
        end->caller == who->number && (done->claim->ending || done->claim->in_doubt) &&
        memcmp(found->token, done->claim->token, IDEM_TOKEN_SIZE) == 0)
        world_breach(made, BREACH_KEEPALIVE,
                     "caller %zu is told that k%zu is lost, which it "
                     "completed itself",
                     who->number, done->key);
}

/* As settle_refusal(). */
static void settle_refusal(world *made, const caller *who, const task *done)
{
    idem_claim *claim = done->claim;
    if (is_own_end(made, done)) {
        made->counts->situations[SAW_KEPT_OWN_END]++;
        claim->kept = false;
        return;
    }
    if (claim->ending) { /* the owner's call finds out for itself */
        made->counts->situations[SAW_KEPT_ENDING]++;
        return;
    }
    if (is_outdated(made, done))
        return;
    tell_lost(made, who, done);
    claim->kept = false;
}

/* What the claim knows is not replaced by what is older. */
static void take_news(world *made, const task *done)
{
    idem_claim *claim = done->claim;
    idem__claim_news news;
    if (done->call.held.version < claim->held.version)
        world_breach(made, BREACH_KEEPALIVE,
                     "a late answer replaces version %llu of k%zu by version %llu",
                     (unsigned long long)claim->held.version, done->key,
                     (unsigned long long)done->call.held.version);
    idem__claim_news_make(&news, claim, &done->call.held, done->bytes);
    idem__claim_take_news(claim, &news);
    idem__claim_news_clear(&news);
}

/* As settle(). A claim that is no longer kept has ended in the meantime. */
void keeper_settle(world *made, const caller *who, const task *done)
{
    int code = done->call.code;
    if (!done->claim->kept)
        return;
    if (code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND) {
        settle_refusal(made, who, done);
    } else if (is_outdated(made, done)) {
        made->counts->situations[SAW_KEPT_OUTDATED]++;
    } else if (code == IDEM_OK) {
        made->counts->situations[SAW_KEPT_RENEWED]++;
        take_news(made, done);
    }
}

/* As take_due() and make_call(). */
static void start(world *made, task *one, idem_claim *claim, size_t key, const step *now)
{
    caller_blank_task(made, one, IDEM__CALL_RENEW, key);
    question *asked = &one->letter.asked;
    one->renewal = true;
    one->claim = claim;
    one->generation = claim->generation;
    (void)atomic_fetch_add(&claim->refs, 1);
    memcpy(asked->token, claim->token, IDEM_TOKEN_SIZE);
    asked->held = ground_record_of(&claim->held);
    one->deadline_ms = made->truth.now_ms + 5 + now->word[7] % 64u;
    caller_put_question(made, one);
    idem__protocol_start(&one->call);
    made->counts->calls[IDEM__CALL_RENEW]++;
}

bool keeper_step(world *made, caller *who, size_t key, const step *now)
{
    task *one = &who->tasks[BATCH_CALLS + key];
    idem_claim *claim = who->claims[key];
    if (!one->running && (made->calm || !claim || !claim->kept))
        return false;
    if (!one->running)
        start(made, one, claim, key, now);
    if (one->answered) {
        claim = one->claim;
        sending_end(made, who, one);
        idem__claim_drop(claim);
        return true;
    }
    bool late = made->truth.now_ms >= one->deadline_ms || one->moments_count >= MOMENTS_MAX / 2;
    if (late && !made->calm) {
        submitted_end_late(made, one);
        one->answered = true;
    } else {
        one->answered = submitted_go(made, who, one, now);
    }
    return true;
}
