/* SPDX-License-Identifier: MIT */
/*
 * The keepalive renews a claim when nearly a third of its lease has passed, in batches of those
 * that are due. Kept claims are in a heap by their next renewal, so that one of many costs no more
 * than one of few. Renewals are spread over a quarter of their interval: claims that were made
 * together drift apart.
 *
 * One process-wide lock guards the heaps and the kept claims, since a claim may be freed after its
 * store was closed. It is held for one claim at a time, and never while the store is called or
 * memory is copied. The keeper works on what the claim knew when it was taken. An answer that is
 * older than the owner's last call is dropped: the claim's `generation` tells.
 *
 * A renewal that meets its owner's own end is no loss. It finds the completed record under the
 * claim's token while complete is under way, or after complete has ended in doubt; or whatever it
 * finds after release.
 *
 * A record that the store has lost is put back (IDEM_REINSTATE) by a second call, and only while
 * its owner is not ending the claim: to a renewal, a record that was just released looks like a
 * lost one. If the owner gives the key back during that second call, the keeper removes what it has
 * put back, by its version: the owner may have begun anew under the same token.
 */
#include "keepalive.h"

#include "call.h"
#include "clock.h"
#include "error.h"
#include "inside.h"
#include "store.h"
#include "thread.h"

#include <stdlib.h>

#define RETRY_MIN_MS 10u
/* A wake-up takes along what is due in this part of the interval. */
#define ALONG 128u
/* Renewals come up to this part of the interval early. */
#define SPREAD 4u
/* Of the shortest lease, the part that one renewal may take. */
#define SPARED 4u
/* The fraction of the golden ratio, of 2^32: its multiples are spread evenly at any time. */
#define GOLDEN UINT32_C(0x9e3779b9)

static pthread_mutex_t keepers = PTHREAD_MUTEX_INITIALIZER;

void idem__keepalive_lock(void)
{
    idem__inside_lock(&keepers);
}

void idem__keepalive_unlock(void)
{
    idem__inside_unlock(&keepers);
}

int idem__keepalive_init(idem__keeper *keeper, idem_store *store, idem_error *error)
{
    memset(keeper, 0, sizeof *keeper);
    keeper->store = store;
    if (idem__clock_cond_init(&keeper->changed))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a condition variable can't be made");
    return IDEM_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t interval_ms(uint64_t lease_ms)
{
    return lease_ms / 3 + 1;
}

/* Sets a claim's next renewal. The thread is woken only if it would sleep longer. Lock held. */
static void set_due(idem__keeper *keeper, idem_claim *claim, uint64_t due_ms)
{
    idem__timers_set(&keeper->timers, &claim->timer, due_ms);
    if (due_ms < keeper->wakes_ms)
        (void)pthread_cond_broadcast(&keeper->changed);
}

/* The same for a lease of that age. It may be older than the clock, which begins at zero when the
   machine does. */
static void set_interval(idem__keeper *keeper, idem_claim *claim, uint64_t now, uint64_t age_ms)
{
    uint64_t interval = interval_ms(claim->held.lease_ms);
    uint64_t left = age_ms < interval ? interval - age_ms : 0;
    keeper->spread += GOLDEN;
    uint64_t early = interval / SPREAD * (keeper->spread >> 16) >> 16;
    set_due(keeper, claim, now + left - least(early, left));
    keeper->shortest_ms = least(keeper->shortest_ms, claim->held.lease_ms);
}

void idem__keepalive_add(idem__keeper *keeper, idem_claim *claim)
{
    if (keeper->count == 0)
        keeper->shortest_ms = UINT64_MAX;
    keeper->count += !claim->keeper;
    claim->keeper = keeper;
    /* A claim that was begun again as the same caller is of some age already. */
    set_interval(keeper, claim, idem_monotonic_ms(), claim->held.age_ms);
}

void idem__keepalive_hurry(idem_claim *claim)
{
    if (claim->keeper)
        set_due(claim->keeper, claim, idem_monotonic_ms());
}

void idem__keepalive_remove(idem_claim *claim)
{
    if (!claim->keeper)
        return;
    idem__timers_unset(&claim->keeper->timers, &claim->timer);
    claim->keeper->count--;
    claim->keeper = NULL;
}

static idem_claim *claim_of(idem__timer *timer)
{
    return (idem_claim *)(void *)((char *)timer - offsetof(idem_claim, timer));
}

/* Forgets all claims, which are in the heap while they are renewed too. Lock held. */
static void forget_all(idem__keeper *keeper)
{
    idem__timer *timer;
    while ((timer = idem__timers_take_due(&keeper->timers, UINT64_MAX)) != NULL) {
        keeper->count--;
        claim_of(timer)->keeper = NULL;
    }
}

size_t idem__keepalive_count(const idem__keeper *keeper)
{
    idem__keepalive_lock();
    size_t count = keeper->count;
    idem__keepalive_unlock();
    return count;
}

/* ---------------------------------------------------------------------------------- renewing */

/* A claim's renewal. The claim is referenced, and so are the bytes of `held`. */
struct idem__renewal {
    idem_claim *claim;
    idem_record held;
    idem__claim_bytes *bytes;
    uint32_t generation; /* of the claim, when it was taken */
    uint64_t limit_ms;   /* how long it may take */
    uint64_t sent_ms;
    idem__call call;
    idem__claim_news news; /* of a renewal that was carried out */
    bool reinstates;       /* the first call has found nothing, and a second one puts it back */
};

typedef struct idem__renewal renewal;

/* The thread is not there. What it held is given back later: nothing is freed here, since another
   thread may have had the allocator in hand. */
void idem__keepalive_child(idem__keeper *keeper)
{
    forget_all(keeper);
    for (size_t i = keeper->finished; i < keeper->taken; i++)
        keeper->batch[i].claim->renewing = false;
    keeper->running = false;
    keeper->wakes_ms = 0;
    (void)idem__clock_cond_init(&keeper->changed);
}

static void give_back(renewal *one)
{
    idem__claim_release_bytes(one->bytes);
    idem__claim_drop(one->claim);
}

/* Lock held. */
static void give_all_back(idem__keeper *keeper)
{
    while (keeper->finished < keeper->taken)
        give_back(&keeper->batch[keeper->finished++]);
}

/* Takes the next claim that is due at `until_ms`. Should the answer not come, it is due again an
   interval later. @return false: none is */
static bool take_due(idem__keeper *keeper, uint64_t now, uint64_t until_ms)
{
    idem__keepalive_lock();
    renewal *one = &keeper->batch[keeper->taken];
    idem__timer *timer = idem__timers_take_due(&keeper->timers, until_ms);
    if (timer) {
        idem_claim *claim = claim_of(timer);
        uint64_t again_ms = now + interval_ms(claim->held.lease_ms);
        one->claim = claim;
        one->bytes = idem__claim_hold(claim, &one->held);
        one->generation = claim->generation;
        /* One thread renews all. So a renewal that is not answered takes no longer than the
           shortest lease can spare, which is renewed at a third, waits, and has its own time. */
        one->limit_ms = least(least(claim->held.lease_ms / 3, keeper->shortest_ms / SPARED),
                              keeper->store->timeout_ms);
        claim->renewing = true;
        (void)atomic_fetch_add(&claim->refs, 1);
        idem__timers_set(&keeper->timers, timer, again_ms > until_ms ? again_ms : until_ms + 1);
        keeper->taken++;
    }
    idem__keepalive_unlock();
    return timer != NULL;
}

static size_t take_batch(idem__keeper *keeper, uint64_t now)
{
    uint64_t until_ms = now;
    size_t count = 0;
    idem__keepalive_lock();
    keeper->taken = keeper->finished = 0;
    idem__keepalive_unlock();
    while (count < IDEM_BATCH_MAX && take_due(keeper, now, until_ms)) {
        if (count++ == 0)
            until_ms += interval_ms(keeper->batch[0].held.lease_ms) / ALONG;
    }
    return count;
}

static void make_call(const renewal *one, idem__call_kind kind, uint64_t now, idem__call *call)
{
    idem__protocol_init(call, kind, one->held.key);
    idem__call_set_time(call, now, one->limit_ms);
    call->held = one->held;
}

static void renew(idem__keeper *keeper, renewal *batch, size_t count, uint64_t now)
{
    idem__call *calls[IDEM_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        batch[i].sent_ms = now;
        make_call(&batch[i], IDEM__CALL_RENEW, now, &batch[i].call);
        batch[i].reinstates = false;
        calls[i] = &batch[i].call;
    }
    idem__call_run(keeper->store, calls, count);
}

/* True if the owner has changed the record, or may have, since the renewal was taken. Lock held. */
static bool is_outdated(const renewal *done)
{
    return done->claim->generation != done->generation;
}

/* Chooses the claims whose records the store has lost. @return how many there are */
static size_t choose_lost(renewal *batch, size_t count)
{
    size_t chosen = 0;
    for (size_t i = 0; i < count; i++) {
        const idem_claim *claim = batch[i].claim;
        if (batch[i].call.code != IDEM_ERR_NOT_FOUND)
            continue;
        idem__keepalive_lock();
        batch[i].reinstates = claim->reinstate && !claim->stale && !claim->ending &&
                              claim->keeper && !is_outdated(&batch[i]);
        idem__keepalive_unlock();
        chosen += batch[i].reinstates;
    }
    return chosen;
}

/* The owner has released the claim while this renewal put the record back. The owner's remove may
   have come first. So the keeper removes what it wrote, by its version alone: the owner may hold
   the key again under the same token. */
static void take_back(idem__keeper *keeper, const renewal *one)
{
    idem__call call;
    idem__call *calls[] = {&call};
    idem__keepalive_lock();
    bool given_back = one->claim->given_back;
    idem__keepalive_unlock();
    if (!given_back || !(one->call.reinstated || one->call.doubt))
        return;
    make_call(one, IDEM__CALL_RELEASE, idem_monotonic_ms(), &call);
    call.held.version = one->call.code == IDEM_OK ? one->call.held.version : one->call.next.version;
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        call.held.token[i] ^= 0xff; /* nobody's: the call takes no other version for its own */
    idem__call_run(keeper->store, calls, 1);
    idem__protocol_clear(&call);
}

static void reinstate(idem__keeper *keeper, renewal *batch, size_t count)
{
    idem__call *calls[IDEM_BATCH_MAX];
    size_t made = 0;
    uint64_t now = idem_monotonic_ms();
    for (size_t i = 0; i < count; i++) {
        if (!batch[i].reinstates)
            continue;
        idem__protocol_clear(&batch[i].call);
        batch[i].sent_ms = now;
        make_call(&batch[i], IDEM__CALL_RENEW, now, &batch[i].call);
        batch[i].call.reinstate = true;
        calls[made++] = &batch[i].call;
    }
    idem__call_run(keeper->store, calls, made);
    for (size_t i = 0; i < count; i++) {
        if (batch[i].reinstates)
            take_back(keeper, &batch[i]);
    }
}

static void tell(const idem__keeper *keeper, idem_event_kind kind, const renewal *done)
{
    idem__stats_tell(keeper->store, NULL,
                     (idem_event){.kind = kind,
                                  .code = done->call.code,
                                  .key = idem__stats_key(keeper->store, &done->call),
                                  .message = done->call.error.message});
}

/* True if what a renewal has found is its owner's own end of the claim. Lock held. */
static bool is_own_end(const renewal *done)
{
    const idem_claim *claim = done->claim;
    const idem_record *seen = &done->call.seen;
    if (claim->given_back && !claim->ending)
        return true;
    return (claim->ending || claim->in_doubt) && done->call.code == IDEM_ERR_LOST &&
           seen->status == IDEM_STATUS_COMPLETED &&
           memcmp(seen->token, claim->token, IDEM_TOKEN_SIZE) == 0;
}

/* A renewal was refused. Lock held. @return what to tell, or 0 */
static int settle_refusal(const renewal *done)
{
    idem_claim *claim = done->claim;
    if (is_own_end(done)) {
        idem__keepalive_remove(claim);
        return 0;
    }
    if (claim->ending) /* the owner's call finds out for itself */
        return 0;
    if (is_outdated(done)) {
        idem__keepalive_hurry(claim);
        return 0;
    }
    atomic_store(&claim->lost, true);
    idem__keepalive_remove(claim);
    return IDEM_EVENT_CLAIM_LOST;
}

/* Takes in one renewal's answer. Lock held. @return what to tell, or 0 */
static int settle(renewal *done)
{
    idem_claim *claim = done->claim;
    int code = done->call.code;
    claim->renewing = false;
    if (!claim->keeper) /* it ended in the meantime */
        return 0;
    if (code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND)
        return settle_refusal(done);
    if (is_outdated(done)) /* the owner's call has set when to renew */
        return code == IDEM_OK ? 0 : IDEM_EVENT_RENEW_FAILED;
    if (code == IDEM_OK) {
        idem__claim_take_news(claim, &done->news);
        uint64_t now = idem_monotonic_ms();
        set_interval(claim->keeper, claim, now, now - done->sent_ms);
        return 0;
    }
    uint64_t retry_ms = claim->held.lease_ms / 10;
    set_due(claim->keeper, claim,
            idem_monotonic_ms() + (retry_ms > RETRY_MIN_MS ? retry_ms : RETRY_MIN_MS));
    return IDEM_EVENT_RENEW_FAILED;
}

static void finish(idem__keeper *keeper, renewal *done)
{
    bool renewed = done->call.code == IDEM_OK;
    idem__stats_renewal(keeper->store, done->call.code);
    if (renewed)
        idem__claim_news_make(&done->news, done->claim, &done->call.held, done->bytes);
    idem__keepalive_lock();
    int event = settle(done);
    idem__keepalive_unlock();
    if (event)
        tell(keeper, (idem_event_kind)event, done);
    if (done->call.reinstated)
        idem__call_tell_reinstated(keeper->store, &done->call);
    if (renewed)
        idem__claim_news_clear(&done->news);
    idem__protocol_clear(&done->call);
    idem__keepalive_lock();
    keeper->finished++;
    give_back(done);
    idem__keepalive_unlock();
}

/* Renews a batch of what is due. The lock is open. */
static void renew_due(idem__keeper *keeper, uint64_t now)
{
    renewal *batch = keeper->batch;
    size_t count = take_batch(keeper, now);
    if (count == 0)
        return;
    renew(keeper, batch, count, now);
    if (choose_lost(batch, count) > 0)
        reinstate(keeper, batch, count);
    for (size_t i = 0; i < count; i++)
        finish(keeper, &batch[i]);
}

/* Sleeps until the next renewal, or until one is due sooner. The lock is held. */
static void sleep_until(idem__keeper *keeper, uint64_t next_ms)
{
    keeper->wakes_ms = next_ms;
    (void)idem__clock_cond_wait(&keeper->changed, &keepers, next_ms);
    keeper->wakes_ms = 0;
}

static void *keep(void *argument)
{
    idem__keeper *keeper = argument;
    idem__keepalive_lock();
    while (!keeper->stopping) {
        uint64_t now = idem_monotonic_ms();
        uint64_t next_ms = idem__timers_next_ms(&keeper->timers);
        if (next_ms > now) {
            sleep_until(keeper, next_ms);
            continue;
        }
        idem__keepalive_unlock();
        renew_due(keeper, now);
        idem__keepalive_lock();
    }
    idem__keepalive_unlock();
    return NULL;
}

/* ---------------------------------------------------------------------------------- the thread */

bool idem__keepalive_is_running(idem__keeper *keeper)
{
    idem__keepalive_lock();
    bool running = keeper->running;
    idem__keepalive_unlock();
    return running;
}

/* Lock held. @return 0, or what to tell is that there is no memory or no thread */
static int start(idem__keeper *keeper)
{
    if (keeper->running)
        return 0;
    if (!keeper->batch) /* the child of a fork() has its parent's */
        keeper->batch = malloc(IDEM_BATCH_MAX * sizeof *keeper->batch);
    if (!keeper->batch)
        return -1;
    give_all_back(keeper);
    int failed = idem__thread_start(&keeper->thread, keep, keeper);
    keeper->running = !failed;
    return failed;
}

int idem__keepalive_start(idem__keeper *keeper, idem_error *error)
{
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error);
    idem__keepalive_lock();
    int failed = start(keeper);
    idem__keepalive_unlock();
    if (failed) /* the system tells no difference between its two reasons */
        return idem_error_set(error, IDEM_ERR_NO_MEMORY,
                              "no thread could be started for the keepalive, for want of memory or "
                              "by a limit on threads; renew the claim yourself, or raise it");
    return IDEM_OK;
}

void idem__keepalive_stop(idem__keeper *keeper)
{
    idem__keepalive_lock();
    bool running = keeper->running;
    keeper->stopping = true;
    (void)pthread_cond_broadcast(&keeper->changed);
    idem__keepalive_unlock();
    if (running)
        (void)pthread_join(keeper->thread, NULL);
    idem__keepalive_lock();
    forget_all(keeper);
    give_all_back(keeper);
    idem__keepalive_unlock();
    free(keeper->batch);
    (void)pthread_cond_destroy(&keeper->changed);
}
