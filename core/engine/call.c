/* SPDX-License-Identifier: MIT */
/*
 * The one policy for stamps, ways, repeats, waits and deadlines. A batch of one caller's calls
 * travels together; each call has its own deadline, its own pauses and its own wait.
 */
#include "call.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "random.h"
#include "store.h"
#include "watch.h"

#define FIRST_PAUSE_MS 1u
#define PAUSE_LIMIT_MS 100u
/* A call with less time left than this is not repeated. The same goes for less than a quarter of
   its timeout. The known error says more than a try that is cut off. */
#define TOO_LATE_MS  20u
#define WOKEN_LATE   4u   /* with so small a part of that left, not even one that was to be */
#define SEEN_MS      3u   /* a look that another caller made is not asked about at once again */
#define SILENCE_PART 3u   /* of a timeout, */
#define SILENCE_MS   750u /* but so long at least */

uint64_t idem__call_too_late_ms(uint64_t timeout_ms)
{
    return timeout_ms / 4 < TOO_LATE_MS ? timeout_ms / 4 + 1 : TOO_LATE_MS;
}

bool idem__call_woke_late(uint64_t too_late_ms, uint64_t now, uint64_t deadline_ms)
{
    return now + too_late_ms / WOKEN_LATE > deadline_ms;
}

uint64_t idem__call_silence_ms(uint64_t timeout_ms)
{
    uint64_t part_ms = timeout_ms / SILENCE_PART;
    return part_ms > SILENCE_MS ? part_ms : SILENCE_MS;
}

void idem__call_set_time(idem__call *call, uint64_t now, uint64_t timeout_ms)
{
    call->timeout_ms = timeout_ms;
    call->deadline_ms = idem__clock_after(now, timeout_ms);
    call->too_late_ms = idem__call_too_late_ms(timeout_ms);
}

static uint64_t backoff(uint64_t *pause_ms, uint64_t limit_ms)
{
    uint64_t bits = 0;
    *pause_ms = *pause_ms ? *pause_ms * 2 : FIRST_PAUSE_MS;
    if (*pause_ms > limit_ms)
        *pause_ms = limit_ms;
    (void)idem__random_draw(true, &bits, sizeof bits, 0, NULL);
    return *pause_ms / 2 + bits % (*pause_ms / 2 + 1) + 1;
}

uint64_t idem__call_repeat_at(uint64_t *pause_ms, uint64_t now, uint64_t deadline_ms)
{
    uint64_t left_ms = now < deadline_ms ? deadline_ms - now : 0;
    uint64_t pause = backoff(pause_ms, PAUSE_LIMIT_MS);
    if (left_ms == 0)
        return 0;
    return now + (pause < left_ms / 2 ? pause : left_ms / 2);
}

void idem__call_stamp(const idem_store *store, idem__call *const *calls, size_t count,
                      uint64_t deadline_ms)
{
    uint64_t versions[IDEM_BATCH_MAX];
    size_t writes = 0;
    idem_error error;
    int64_t wall_ms = idem_wall_ms();
    for (size_t i = 0; i < count; i++)
        writes += calls[i]->op.record != NULL && calls[i]->first_version == 0;
    idem__error_clear(&error);
    int rc = writes == 0 ? IDEM_OK
                         : idem__random_draw(store->pooled, versions, writes * sizeof versions[0],
                                             deadline_ms, &error);
    for (size_t i = 0; i < count; i++) {
        uint64_t first = calls[i]->first_version;
        if (!calls[i]->op.record)
            continue;
        calls[i]->first_version = 0; /* each is used once */
        if (first || rc == IDEM_OK)
            idem__protocol_stamp(calls[i], first ? first : versions[--writes], wall_ms);
        else
            idem_op_fail(&calls[i]->op, false, rc, "%s", error.message);
    }
}

uint64_t idem__call_earliest(idem__call *const *calls, size_t count)
{
    uint64_t deadline_ms = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (calls[i]->deadline_ms < deadline_ms)
            deadline_ms = calls[i]->deadline_ms;
    }
    return deadline_ms;
}

void idem__call_send(idem_store *store, idem__call *const *calls, size_t count)
{
    idem_op *reads[IDEM_BATCH_MAX];
    idem_op *writes[IDEM_BATCH_MAX];
    size_t read_count = 0;
    size_t write_count = 0;
    uint64_t deadline_ms = idem__call_earliest(calls, count);
    idem__call_stamp(store, calls, count, deadline_ms);
    for (size_t i = 0; i < count; i++) {
        if (calls[i]->op.error.code != IDEM_OK)
            continue;
        if (calls[i]->op.kind == IDEM_OP_GET)
            reads[read_count++] = &calls[i]->op;
        else
            writes[write_count++] = &calls[i]->op;
    }
    /* Reads go to a reader if no writer is free. */
    bool by_reader = read_count > 0 && store->readers.max > 0 &&
                     !idem__pool_is_idle(&store->writers) &&
                     idem__pool_submit(&store->readers, reads, read_count, deadline_ms);
    if (read_count > 0 && !by_reader)
        (void)idem__pool_submit(&store->writers, reads, read_count, deadline_ms);
    if (write_count > 0)
        (void)idem__pool_submit(&store->writers, writes, write_count, deadline_ms);
}

static void tell_retry(idem_store *store, const idem__call *call)
{
    idem__stats_repeat(store, call, call->op.error.code);
    const idem__call *noted = call->events && call->events->repeats ? call : NULL;
    idem__stats_tell(store, noted,
                     (idem_event){.kind = IDEM_EVENT_RETRY,
                                  .code = call->op.error.code,
                                  .key = idem__stats_key(store, call),
                                  .message = call->op.error.message});
}

void idem__call_tell_reinstated(idem_store *store, const idem__call *call)
{
    idem__stats_reinstated(store);
    idem__stats_tell(
        store, call,
        (idem_event){.kind = IDEM_EVENT_REINSTATED,
                     .code = IDEM_ERR_NOT_FOUND,
                     .key = idem__stats_key(store, call),
                     .message = "the store had lost the record of this claim, which was put back; "
                                "look why the store loses records"});
}

/* ------------------------------------------------------------------------------------ one step */

/* A begin that waits is done as far as the protocol knows: it asks anew, with a time of its own. */
static void start_look(const idem_store *store, idem__call *call)
{
    uint64_t wait_until_ms = call->wait_until_ms;
    idem__protocol_clear(call);
    call->read_first = store->read_first; /* by now it is known that something is there */
    idem__call_set_time(call, idem_monotonic_ms(), call->timeout_ms);
    if (call->deadline_ms > wait_until_ms + call->timeout_ms)
        call->deadline_ms = wait_until_ms + call->timeout_ms;
    call->waits = false;
    idem__protocol_start(call);
}

static void set_look(idem_store *store, idem__call *call, uint64_t now)
{
    if (call->wait_pause_ms == 0)
        call->wait_pause_ms = idem__watch_first_pause_ms(store);
    uint64_t pause = backoff(&call->wait_pause_ms, idem__watch_pause_limit_ms(store));
    if (pause > call->retry_after_ms + 1)
        pause = call->retry_after_ms + 1;
    call->until_ms = now + pause < call->wait_until_ms ? now + pause : call->wait_until_ms;
}

/* True if a begin with `wait_ms` has found its key in progress, and there is time to wait. */
static bool waits_for_key(idem_store *store, idem__call *call)
{
    uint64_t now = idem_monotonic_ms();
    idem__watch_note(store, call, now);
    if (call->outcome != IDEM_IN_PROGRESS || now >= call->wait_until_ms)
        return false;
    call->waits = true;
    idem__watch_join(store, call);
    set_look(store, call, now);
    return true;
}

/* Ends a call that is not done if its deadline leaves no time to go on. What an in-process store
   answers takes no time, whatever a deadline by the coarse clock says. */
static bool end_late(const idem_store *store, idem__call *call, bool pause, uint64_t now)
{
    if (store->in_process && !pause)
        return false;
    if (now + (pause ? call->too_late_ms : 1) <= call->deadline_ms)
        return false;
    idem_op_fail(&call->op, false, IDEM_ERR_UNAVAILABLE,
                 "the deadline came before the call was done; call again, or set a longer "
                 "timeout");
    idem__protocol_give_up(call);
    return true;
}

idem__call_next idem__call_step(idem_store *store, idem__call *call)
{
    idem__step step = idem__protocol_answer(call);
    bool done = step == IDEM__STEP_DONE;
    if (done && call->wait_until_ms > 0 && call->code == IDEM_OK && waits_for_key(store, call))
        return IDEM__CALL_WAIT;
    uint64_t now = done ? 0 : idem_monotonic_ms();
    if (done || end_late(store, call, step == IDEM__STEP_AGAIN, now)) {
        if (call->counted)
            idem__watch_leave(store, call);
        return IDEM__CALL_DONE;
    }
    if (step == IDEM__STEP_NEXT)
        return IDEM__CALL_SEND;
    tell_retry(store, call);
    call->until_ms = idem__call_repeat_at(&call->pause_ms, now, call->deadline_ms);
    return IDEM__CALL_WAIT;
}

idem__call_next idem__call_resume(idem_store *store, idem__call *call, bool crowded)
{
    uint64_t now = idem_monotonic_ms();
    if (!call->waits && idem__call_woke_late(call->too_late_ms, now, call->deadline_ms)) {
        idem__protocol_give_up(call);
        idem__watch_leave(store, call);
        return IDEM__CALL_DONE;
    }
    if (!call->waits) {
        idem__protocol_again(call);
        return IDEM__CALL_SEND;
    }
    idem__watch_answer answer = now >= call->wait_until_ms ? IDEM__WATCH_LOOK
                                : crowded                  ? IDEM__WATCH_SEEN
                                                           : idem__watch_ask(store, call, now);
    if (answer == IDEM__WATCH_CROWDED)
        call->wait_pause_ms = idem__watch_pause_limit_ms(store);
    if (answer != IDEM__WATCH_LOOK) {
        set_look(store, call, now + SEEN_MS);
        return IDEM__CALL_WAIT;
    }
    /* Another call of the batch took longer than all of this one's time. A look that is sent too
       late could claim the key for nobody, so the key is in progress, as was seen last. */
    if (now >= call->wait_until_ms + call->timeout_ms) {
        idem__watch_leave(store, call);
        return IDEM__CALL_DONE;
    }
    start_look(store, call);
    return IDEM__CALL_SEND;
}

void idem__call_end(idem_store *store, idem__call *call, const char *why)
{
    if (call->waits)
        start_look(store, call);
    idem_op_fail(&call->op, false, IDEM_ERR_UNAVAILABLE, "%s", why);
    idem__protocol_give_up(call);
    idem__watch_leave(store, call);
}

void idem__call_cancel(idem_store *store, idem__call *call, const char *why)
{
    if (call->waits)
        start_look(store, call);
    call->op.error.code = IDEM_OK;
    idem__call_end(store, call, why);
}

/* ----------------------------------------------------------------------------- calls that block */

typedef struct {
    idem__call *ready[IDEM_BATCH_MAX];
    idem__call *waiting[IDEM_BATCH_MAX];
    size_t ready_count;
    size_t waiting_count;
} under_way;

static void put(under_way *all, idem__call *call, idem__call_next next)
{
    if (next == IDEM__CALL_SEND)
        all->ready[all->ready_count++] = call;
    else if (next == IDEM__CALL_WAIT)
        all->waiting[all->waiting_count++] = call;
    else if (call->done)
        call->done(call, call->user);
}

/* Sleeps until the first is due, if there is nothing to send. */
static void resume_due(idem_store *store, under_way *all)
{
    uint64_t first_ms = UINT64_MAX;
    size_t count = all->waiting_count;
    for (size_t i = 0; i < count; i++)
        first_ms = all->waiting[i]->until_ms < first_ms ? all->waiting[i]->until_ms : first_ms;
    if (all->ready_count == 0)
        idem__clock_sleep_until(first_ms);
    uint64_t now = idem_monotonic_ms();
    bool repeats = false; /* those that failed together are repeated together, in one batch */
    for (size_t i = 0; i < count; i++)
        repeats = repeats || (!all->waiting[i]->waits && all->waiting[i]->until_ms <= now);
    all->waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        idem__call *call = all->waiting[i];
        bool due = call->until_ms <= now || (repeats && !call->waits);
        put(all, call, due ? idem__call_resume(store, call, false) : IDEM__CALL_WAIT);
    }
}

void idem__call_run(idem_store *store, idem__call *const *calls, size_t count)
{
    under_way all;
    /* A concurrent in-process backend holds no other caller's operations and has no cancellation
       point. */
    bool direct = store->in_process && idem__pool_is_concurrent(&store->writers);
    int cancel_state = direct ? 0 : idem__cancel_hold();
    all.ready_count = 0;
    all.waiting_count = 0;
    for (size_t i = 0; i < count; i++) {
        calls[i]->waits = false;
        idem__protocol_start(calls[i]);
        put(&all, calls[i], IDEM__CALL_SEND);
    }
    while (all.ready_count + all.waiting_count > 0) {
        size_t sent = all.ready_count;
        if (sent > 0)
            idem__call_send(store, all.ready, sent);
        all.ready_count = 0;
        for (size_t i = 0; i < sent; i++) /* one that goes on takes a place that was read already */
            put(&all, all.ready[i], idem__call_step(store, all.ready[i]));
        if (all.waiting_count > 0)
            resume_due(store, &all);
    }
    if (!direct)
        idem__cancel_restore(cancel_state);
}
