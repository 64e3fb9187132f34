/* SPDX-License-Identifier: MIT */
/*
 * The driver: it stamps operations, sends them by the right way, hands the answers to the
 * protocol, pauses before what has to be repeated, and ends what the deadline has reached. It
 * takes many calls as easily as one: their operations travel in one batch.
 */
#include "call.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "random.h"
#include "store.h"

#define FIRST_PAUSE_MS 1u
#define PAUSE_LIMIT_MS 100u
/* With less time left than that, or than a quarter of all it had, a call does not begin to repeat:
   a try that is cut off says less than the error that is known. */
#define TOO_LATE_MS 20u

void idem__call_init(idem__call *call, idem__call_kind kind, idem_bytes key)
{
    idem__protocol_blank(call);
    call->kind = kind;
    call->key = key;
}

uint64_t idem__call_too_late_ms(uint64_t timeout_ms)
{
    return timeout_ms / 4 < TOO_LATE_MS ? timeout_ms / 4 + 1 : TOO_LATE_MS;
}

void idem__call_set_time(idem__call *call, uint64_t now, uint64_t timeout_ms)
{
    call->deadline_ms = idem__clock_after(now, timeout_ms);
    call->too_late_ms = idem__call_too_late_ms(timeout_ms);
}

uint64_t idem__call_backoff(uint64_t *pause_ms, uint64_t limit_ms)
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
    uint64_t pause = idem__call_backoff(pause_ms, PAUSE_LIMIT_MS);
    if (left_ms == 0)
        return 0;
    return now + (pause < left_ms / 2 ? pause : left_ms / 2);
}

/* Gives each op that writes a fresh version, drawn for all of them at once. Without random bits
   these ops have failed then. */
static void stamp_all(const idem_store *store, idem__call *const *calls, size_t count,
                      uint64_t deadline_ms)
{
    uint64_t versions[IDEM_BATCH_MAX];
    size_t writes = 0;
    idem_error error;
    int64_t wall_ms = idem_wall_ms();
    for (size_t i = 0; i < count; i++)
        writes += calls[i]->op.record != NULL;
    if (writes == 0)
        return;
    idem__error_clear(&error);
    int rc = idem__random_draw(store->pooled, versions, writes * sizeof versions[0], deadline_ms,
                               &error);
    for (size_t i = 0; i < count; i++) {
        if (!calls[i]->op.record)
            continue;
        if (rc == IDEM_OK)
            idem__protocol_stamp(calls[i], versions[--writes], wall_ms);
        else
            idem_op_fail(&calls[i]->op, false, rc, "%s", error.message);
    }
}

/* Sends operations by their ways: reads by a reader if all writers are busy. */
static void send(idem_store *store, idem_op *const *ops, size_t count, bool read_only,
                 uint64_t deadline_ms)
{
    if (read_only && store->readers.max > 0 && !idem__pool_idle(&store->writers) &&
        idem__pool_submit(&store->readers, ops, count, deadline_ms))
        return;
    (void)idem__pool_submit(&store->writers, ops, count, deadline_ms);
}

/* The earliest deadline of some calls: their operations share it, and a call whose operation fails
   for another's deadline repeats it. */
static uint64_t earliest_deadline(idem__call *const *calls, size_t count)
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
    uint64_t deadline_ms = earliest_deadline(calls, count);
    stamp_all(store, calls, count, deadline_ms);
    for (size_t i = 0; i < count; i++) {
        if (calls[i]->op.error.code != IDEM_OK)
            continue;
        if (calls[i]->op.kind == IDEM_OP_GET)
            reads[read_count++] = &calls[i]->op;
        else
            writes[write_count++] = &calls[i]->op;
    }
    if (read_count > 0)
        send(store, reads, read_count, true, deadline_ms);
    if (write_count > 0)
        send(store, writes, write_count, false, deadline_ms);
}

static void tell(idem_store *store, const idem__call *call, idem_event event)
{
    if (!store->on_event)
        return;
    event.key.data = (const char *)call->key.data + store->prefix.len;
    event.key.len = call->key.len - store->prefix.len;
    store->on_event(store->event_user, &event);
}

void idem__call_tell_retry(idem_store *store, const idem__call *call)
{
    idem__stats_repeat(store, call, call->op.error.code);
    tell(store, call,
         (idem_event){.kind = IDEM_EVENT_RETRY,
                      .code = call->op.error.code,
                      .message = call->op.error.message});
}

void idem__call_tell_reinstated(idem_store *store, const idem__call *call)
{
    idem__stats_reinstated(store);
    tell(store, call,
         (idem_event){.kind = IDEM_EVENT_REINSTATED,
                      .code = IDEM_ERR_NOT_FOUND,
                      .message = "the store had lost the record of this claim, which was put back; "
                                 "look why the store loses records"});
}

/* Calls that have to wait for a pause stand in front. */
typedef struct {
    idem__call *calls[IDEM_BATCH_MAX];
    size_t paused;
    size_t count;
} pending;

static void add(pending *left, idem__call *call, bool pause)
{
    if (pause) {
        left->calls[left->count++] = left->calls[left->paused];
        left->calls[left->paused++] = call;
    } else {
        left->calls[left->count++] = call;
    }
}

/* Takes in all answers and keeps the calls that are not done. */
static void take_answers(pending *left)
{
    size_t count = left->count;
    left->count = 0;
    left->paused = 0;
    for (size_t i = 0; i < count; i++) {
        idem__call *call = left->calls[i];
        idem__step step = idem__protocol_answer(call);
        if (step != IDEM__STEP_DONE)
            add(left, call, step == IDEM__STEP_AGAIN);
    }
}

/* What an instant store answers takes no time, whatever a deadline by the coarse clock says. */
bool idem__call_end_late(const idem_store *store, idem__call *call, bool pause, uint64_t now)
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

static void end_late_ones(const idem_store *store, pending *left, uint64_t now)
{
    size_t count = left->count;
    size_t paused = left->paused;
    left->count = 0;
    left->paused = 0;
    for (size_t i = 0; i < count; i++) {
        idem__call *call = left->calls[i];
        if (!idem__call_end_late(store, call, i < paused, now))
            add(left, call, i < paused);
    }
}

/* Pauses and makes the paused calls ready again. Those that need no pause go along with them, so
   the pause is no longer than any of them can bear. */
static void pause_before_repeat(idem_store *store, pending *left, uint64_t *pause_ms, uint64_t now)
{
    uint64_t deadline_ms = earliest_deadline(left->calls, left->count);
    uint64_t repeat_at_ms = idem__call_repeat_at(pause_ms, now, deadline_ms);
    for (size_t i = 0; i < left->paused; i++)
        idem__call_tell_retry(store, left->calls[i]);
    idem__clock_sleep_until(repeat_at_ms);
    for (size_t i = 0; i < left->paused; i++)
        idem__protocol_again(left->calls[i]);
}

void idem__call_run(idem_store *store, idem__call *const *calls, size_t count)
{
    pending left;
    uint64_t pause_ms = 0;
    /* A backend that is concurrent by itself is entered without others' operations in hand. */
    bool direct = idem__pool_are_concurrent(&store->writers);
    int cancel_state = direct ? 0 : idem__cancel_hold();
    left.count = 0;
    for (; left.count < count; left.count++) {
        left.calls[left.count] = calls[left.count];
        idem__protocol_start(calls[left.count]);
    }
    while (left.count > 0) {
        idem__call_send(store, left.calls, left.count);
        take_answers(&left);
        if (left.count == 0)
            break;
        uint64_t now = idem_monotonic_ms();
        end_late_ones(store, &left, now);
        if (left.paused > 0)
            pause_before_repeat(store, &left, &pause_ms, now);
    }
    if (!direct)
        idem__cancel_restore(cancel_state);
}
