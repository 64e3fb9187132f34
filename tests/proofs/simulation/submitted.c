/* SPDX-License-Identifier: MIT */
/*
 * Submitted calls, as core/engine/async_queue.c and loop.c take them along: each goes one operation
 * at a time and by itself, with operations of its caller's other calls and of other callers between
 * any two. It pauses by itself, ends at its own deadline, and may be cancelled between two steps as
 * idem__call_cancel() does it.
 */
#include "world.h"

#define STEPS_MAX 40u /* then the deadline has come, whatever the clock says */

/* What a queue does that forgets that a call was cancelled: its operation is sent all the same. */
static void send_cancelled(world *made, const caller *who, const task *one, int code)
{
    const idem_op *op = &one->call.op;
    if (op->kind == IDEM_OP_GET || made->strays_count == STRAYS_MAX)
        return;
    made->strays[made->strays_count++] = (stray){.request = ground_request_of(op),
                                                 .letter = one->letter,
                                                 .caller = who->number,
                                                 .ended = true,
                                                 .code = code};
}

static void cancel(world *made, caller *who, task *one)
{
    uint64_t *saw = made->counts->situations;
    task sent = *one;
    one->given_up = true;
    one->call.op.error.code = IDEM_OK;
    idem_op_fail(&one->call.op, false, IDEM_ERR_UNAVAILABLE, "cancelled");
    idem__protocol_give_up(&one->call);
    world_say(made, "caller %zu cancels a call on k%zu", who->number, one->key);
    if (one->call.code == IDEM_ERR_UNCERTAIN)
        saw[SAW_CANCELLED_IN_DOUBT]++;
    else
        saw[one->sent_at ? SAW_CANCELLED_BETWEEN : SAW_CANCELLED_UNSENT]++;
    if (made->rules.send_cancelled && sent.call.op.error.code == IDEM_OK)
        send_cancelled(made, who, &sent, one->call.code);
}

void submitted_end_late(world *made, task *one)
{
    one->given_up = true;
    idem_op_fail(&one->call.op, false, IDEM_ERR_UNAVAILABLE, "the deadline came");
    idem__protocol_give_up(&one->call);
    made->counts->situations[SAW_GAVE_UP]++;
}

bool submitted_go(world *made, caller *who, task *one, const step *now)
{
    if (one->pausing) {
        idem__protocol_again(&one->call);
        one->pausing = false;
    }
    if (one->sent_at && one->sent_at != made->operations)
        made->counts->situations[SAW_BETWEEN_STEPS]++;
    idem__step next = sending_alone(made, who, one, now);
    one->sent_at = made->operations;
    one->pausing = next == IDEM__STEP_AGAIN;
    return next == IDEM__STEP_DONE;
}

void submitted_step(world *made, caller *who, const step *now)
{
    size_t at = now->word[3] % who->left_count;
    task *one = who->left[at];
    bool done = true;
    who->rounds++;
    if (!made->calm && (made->truth.now_ms >= one->deadline_ms || who->rounds >= STEPS_MAX))
        submitted_end_late(made, one);
    else if (!made->calm && now->word[4] % 16 == 15)
        cancel(made, who, one);
    else
        done = submitted_go(made, who, one, now);
    if (!done)
        return;
    who->left[at] = who->left[--who->left_count];
    sending_end(made, who, one);
    if (who->left_count == 0)
        who->phase = IDLE;
}
