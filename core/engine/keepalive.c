/* SPDX-License-Identifier: MIT */
/*
 * The keepalive renews a claim when a third of its lease has passed, all that are due in one
 * batch. One process-wide lock guards the lists and the kept claims, since a claim may be freed
 * after its store was closed; it is never held while the store is called. The keeper works on a
 * copy of what the claim knows, so the owner may complete at the same time: versions decide.
 *
 * A record that the store has lost is put back (IDEM_REINSTATE) by a second call, and only while
 * its owner is not ending the claim: to a renewal, a record that was just released looks like a
 * lost one. If the owner gives the key back during that second call, the keeper removes what it has
 * put back.
 */
#include "keepalive.h"

#include "clock.h"
#include "call.h"
#include "error.h"
#include "inside.h"
#include "store.h"
#include "thread.h"

#define BATCH        32u
#define RETRY_MIN_MS 10u

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

static uint64_t interval_ms(const idem_claim *claim)
{
    return claim->held.lease_ms / 3 + 1;
}

void idem__keepalive_add(idem__keeper *keeper, idem_claim *claim)
{
    /* A claim that was begun again as the same caller is of some age already. */
    uint64_t interval = interval_ms(claim);
    uint64_t age_ms = claim->held.age_ms < interval ? claim->held.age_ms : interval;
    claim->due_ms = idem_monotonic_ms() + interval - age_ms;
    if (!claim->keeper) {
        claim->keeper = keeper;
        claim->next = keeper->first;
        keeper->first = claim;
    }
    (void)pthread_cond_broadcast(&keeper->changed);
}

void idem__keepalive_remove(idem_claim *claim)
{
    if (!claim->keeper)
        return;
    idem_claim **at = &claim->keeper->first;
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
    claim->keeper = NULL;
    claim->next = NULL;
}

void idem__keepalive_child(idem__keeper *keeper)
{
    while (keeper->first) {
        idem_claim *claim = keeper->first;
        if (claim->renewing) /* what the thread held is gone with it */
            (void)atomic_fetch_sub(&claim->refs, 1);
        claim->renewing = false;
        idem__keepalive_remove(claim);
    }
    keeper->running = false;
    (void)idem__clock_cond_init(&keeper->changed);
}

/* ---------------------------------------------------------------------------------- renewing */

/* A claim's renewal: the claim is referenced, and `held` is a copy. */
typedef struct {
    idem_claim *claim;
    idem_record held;
    idem__call call;
    bool reinstates; /* the first call has found nothing, and a second one puts it back */
} renewal;

/* Takes the claims that are due, up to BATCH; *next_ms is when to look again. Lock held. */
static size_t take_due(idem__keeper *keeper, renewal *batch, uint64_t now, uint64_t *next_ms)
{
    size_t count = 0;
    *next_ms = UINT64_MAX;
    for (idem_claim *claim = keeper->first; claim; claim = claim->next) {
        if (claim->due_ms <= now && count < BATCH &&
            idem_record_copy(&claim->held, &batch[count].held, NULL) == IDEM_OK) {
            batch[count++].claim = claim;
            (void)atomic_fetch_add(&claim->refs, 1);
            claim->renewing = true;
            claim->due_ms = now + interval_ms(claim);
        }
        if (claim->due_ms < *next_ms)
            *next_ms = claim->due_ms;
    }
    return count;
}

static void make_call(const idem__keeper *keeper, const renewal *one, idem__call_kind kind,
                      uint64_t now, idem__call *call)
{
    uint64_t limit_ms = one->held.lease_ms / 3;
    if (limit_ms > keeper->store->timeout_ms)
        limit_ms = keeper->store->timeout_ms;
    idem__call_init(call, kind, one->held.key);
    idem__call_set_time(call, now, limit_ms);
    call->held = one->held;
}

static void renew(idem__keeper *keeper, renewal *batch, size_t count, uint64_t now)
{
    idem__call *calls[BATCH];
    for (size_t i = 0; i < count; i++) {
        make_call(keeper, &batch[i], IDEM__CALL_RENEW, now, &batch[i].call);
        batch[i].reinstates = false;
        calls[i] = &batch[i].call;
    }
    idem__call_run(keeper->store, calls, count);
}

/* Chooses the claims whose records the store has lost. @return how many there are */
static size_t choose_lost(renewal *batch, size_t count)
{
    size_t chosen = 0;
    idem__keepalive_lock();
    for (size_t i = 0; i < count; i++) {
        const idem_claim *claim = batch[i].claim;
        batch[i].reinstates = batch[i].call.code == IDEM_ERR_NOT_FOUND && claim->reinstate &&
                              !claim->stale && !claim->ending && claim->keeper;
        chosen += batch[i].reinstates;
    }
    idem__keepalive_unlock();
    return chosen;
}

/* Removes what was put back under a claim whose owner has given the key back meanwhile, or is about
   to: the owner's own remove may have come too early. */
static void take_back(idem__keeper *keeper, const renewal *one)
{
    idem__call call;
    idem__call *calls[] = {&call};
    idem__keepalive_lock();
    bool given_back = one->claim->given_back;
    idem__keepalive_unlock();
    if (!given_back || !(one->call.reinstated || one->call.doubt))
        return;
    make_call(keeper, one, IDEM__CALL_RELEASE, idem_monotonic_ms(), &call);
    idem__call_run(keeper->store, calls, 1);
    idem__protocol_clear(&call);
}

static void reinstate(idem__keeper *keeper, renewal *batch, size_t count)
{
    idem__call *calls[BATCH];
    size_t made = 0;
    uint64_t now = idem_monotonic_ms();
    for (size_t i = 0; i < count; i++) {
        if (!batch[i].reinstates)
            continue;
        idem__protocol_clear(&batch[i].call);
        make_call(keeper, &batch[i], IDEM__CALL_RENEW, now, &batch[i].call);
        batch[i].call.reinstate = true;
        calls[made++] = &batch[i].call;
    }
    idem__call_run(keeper->store, calls, made);
    for (size_t i = 0; i < count; i++) {
        if (batch[i].reinstates)
            take_back(keeper, &batch[i]);
    }
}

static void tell(idem__keeper *keeper, idem_event_kind kind, const renewal *done)
{
    idem_store *store = keeper->store;
    if (!store->on_event)
        return;
    idem_bytes key = done->held.key;
    key.data = (const char *)key.data + store->prefix.len;
    key.len -= store->prefix.len;
    idem_event event = {
        .kind = kind, .code = done->call.code, .key = key, .message = done->call.error.message};
    store->on_event(store->event_user, &event);
}

/* Takes in one renewal's answer. Lock held. @return what to tell, or 0 */
static int settle(renewal *done)
{
    idem_claim *claim = done->claim;
    uint64_t retry_ms = claim->held.lease_ms / 10;
    int code = done->call.code;
    if (!claim->keeper) /* it ended in the meantime */
        return 0;
    if (code == IDEM_OK) {
        idem__claim_update(claim, &done->call.held);
        return 0;
    }
    if (code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND) {
        if (claim->ending) /* by its owner, most likely; he finds out for himself */
            return 0;
        atomic_store(&claim->lost, true);
        idem__keepalive_remove(claim);
        return IDEM_EVENT_CLAIM_LOST;
    }
    claim->due_ms = idem_monotonic_ms() + (retry_ms > RETRY_MIN_MS ? retry_ms : RETRY_MIN_MS);
    return IDEM_EVENT_RENEW_FAILED;
}

/* Renews what is due, with the lock open in between. */
static void renew_due(idem__keeper *keeper, renewal *batch, size_t count, uint64_t now)
{
    idem__keepalive_unlock();
    renew(keeper, batch, count, now);
    if (choose_lost(batch, count) > 0)
        reinstate(keeper, batch, count);
    for (size_t i = 0; i < count; i++) {
        idem__keepalive_lock();
        int event = settle(&batch[i]);
        batch[i].claim->renewing = false;
        idem__keepalive_unlock();
        if (event)
            tell(keeper, (idem_event_kind)event, &batch[i]);
        if (batch[i].call.reinstated)
            idem__call_tell_reinstated(keeper->store, &batch[i].call);
        idem__claim_drop(batch[i].claim);
        idem__protocol_clear(&batch[i].call);
        idem_record_clear(&batch[i].held);
    }
    idem__keepalive_lock();
}

static void *keep(void *argument)
{
    idem__keeper *keeper = argument;
    renewal batch[BATCH];
    idem__keepalive_lock();
    while (!keeper->stopping) {
        uint64_t next_ms;
        uint64_t now = idem_monotonic_ms();
        size_t count = take_due(keeper, batch, now, &next_ms);
        if (count > 0)
            renew_due(keeper, batch, count, now);
        else if (next_ms == UINT64_MAX)
            (void)idem__clock_cond_wait(&keeper->changed, &keepers, UINT64_MAX);
        else /* a claim that is due but could not be copied waits for memory */
            (void)idem__clock_cond_wait(&keeper->changed, &keepers,
                                        next_ms > now ? next_ms : now + RETRY_MIN_MS);
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

int idem__keepalive_start(idem__keeper *keeper, idem_error *error)
{
    int failed = 0;
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error);
    idem__keepalive_lock();
    if (!keeper->running) {
        failed = idem__thread_start(&keeper->thread, keep, keeper);
        keeper->running = !failed;
    }
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
    while (keeper->first)
        idem__keepalive_remove(keeper->first);
    idem__keepalive_unlock();
    (void)pthread_cond_destroy(&keeper->changed);
}
