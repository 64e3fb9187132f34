/* SPDX-License-Identifier: MIT */
/*
 * What stands in core/engine/call.c's place: it stamps, sends, takes answers, pauses, repeats and
 * gives up as the driver does, but one operation at each step, so that all callers' operations mix
 * in every order, and with a store between that loses and delays. Where the driver reads a clock or
 * waits, a word of the history decides.
 *
 * A batch travels on one connection: once it broke, no reply of the rest arrives, and each of
 * these requests was carried out, or was not, or will be. What a deadline does to a batch is of two
 * kinds. Where requests and replies travel apart, a call leaves at its deadline and the others get
 * their answers. Elsewhere, as on SQLite, the earliest deadline breaks the batch; calls whose own
 * has not come go on. That is how the calls of idem_begin_many() and idem_complete_many() travel,
 * and those of many threads, or of a loop, that share a batch. The store carries out the operations
 * of a batch in any order.
 */
#include "world.h"

#define ROUNDS_MAX 12u /* then the deadline has come, whatever the clock says */

static bool writes(const idem_op *op)
{
    return op->kind != IDEM_OP_GET;
}

/* ------------------------------------------------------------------------------------- sending */

/* Stamps a write as the driver does: anew each time, a repeat included. */
static void stamp(world *made, const caller *who, task *one)
{
    if (!one->call.op.record)
        return;
    if (!made->rules.reuse_stamps || one->letter.version == 0)
        one->letter.version = ++made->versions;
    one->letter.wall_ms = (int64_t)made->truth.now_ms + who->wall_skew_ms;
    idem__protocol_stamp(&one->call, one->letter.version, one->letter.wall_ms);
}

/* Makes a batch of the calls that are left: reads go first, as the driver sends them. */
static void gather(world *made, caller *who)
{
    who->batch_count = 0;
    who->sent = 0;
    who->broken = false;
    who->phase = SENDING;
    who->rounds++;
    who->cut_ms = UINT64_MAX;
    for (size_t i = 0; i < who->left_count; i++) {
        who->left[i]->overtook = NULL;
        stamp(made, who, who->left[i]);
        if (who->left[i]->deadline_ms < who->cut_ms)
            who->cut_ms = who->left[i]->deadline_ms;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < who->left_count; i++) {
            if (writes(&who->left[i]->call.op) == (pass == 1))
                who->batch[who->batch_count++] = who->left[i];
        }
    }
}

void sending_start(world *made, caller *who)
{
    who->rounds = 0;
    who->paused = 0;
    for (size_t i = 0; i < who->left_count; i++) {
        idem__protocol_start(&who->left[i]->call);
        made->counts->calls[who->left[i]->call.kind]++;
    }
    if (who->submitted)
        who->phase = SENDING;
    else
        gather(made, who);
}

/* True if the caller of this operation has left: the operation is abandoned, its batch is not. */
static bool has_left(const world *made, const task *one)
{
    return made->leaves && !made->calm && made->truth.now_ms >= one->deadline_ms;
}

/* What the network and the store do to an operation. */
static fault fate(const world *made, const caller *who, const task *one, const step *now)
{
    const idem_op *op = &one->call.op;
    static const fault broken[] = {FAULT_LOST_REQUEST, FAULT_LOST_REPLY, FAULT_LATE};
    unsigned draw = now->word[2] % 1000u;
    fault drawn = FAULT_NONE;
    if (made->calm)
        return FAULT_NONE;
    bool cut = !made->leaves && made->truth.now_ms >= who->cut_ms;
    if (who->broken || cut || has_left(made, one))
        drawn = broken[draw % 3];
    for (int i = FAULTS_COUNT - 1; drawn == FAULT_NONE && i > FAULT_NONE; i--) {
        if (draw >= 1000u - made->fault_rate[i])
            drawn = (fault)i;
        else
            draw += made->fault_rate[i];
    }
    bool stores = op->kind == IDEM_OP_INSERT || op->kind == IDEM_OP_REPLACE;
    if (drawn == FAULT_LATE && (!writes(op) || made->strays_count == STRAYS_MAX))
        return FAULT_LOST_REQUEST;
    return drawn == FAULT_FULL && !stores ? FAULT_REFUSED : drawn;
}

/* What a backend is promised of every operation. */
static void check_op(world *made, const task *one)
{
    const idem_op *op = &one->call.op;
    const idem_record *record = op->record;
    bool blank = !op->applied && !op->has_found && !op->permanent && op->error.code == IDEM_OK;
    bool named = op->key.len == sizeof one->name && memcmp(op->key.data, one->name, 2) == 0;
    if (record)
        named = named && record->key.len == op->key.len && record->key.data == op->key.data;
    if (!blank || !named)
        world_breach(made, BREACH_TABLE, "%s sends an operation that is not blank, or misnamed",
                     counts_kind_text(one->call.kind));
}

static void carry_out(world *made, size_t number, task *one, const ground_request *request,
                      ground_reply *reply)
{
    *reply = ground_carry_out(&made->truth, request);
    oracle_op(made, one, &one->letter, request, reply);
    sending_note_complete(made, number, &one->letter, request, reply);
}

/* A caller that is told of its own claim knows it as it is now. */
static void learn(task *one, const ground_reply *reply)
{
    question *asked = &one->letter.asked;
    const ground_record *there = &reply->before;
    if (!one->claim || reply->applied || there->state != IN_PROGRESS ||
        memcmp(there->token, asked->token, IDEM_TOKEN_SIZE) != 0)
        return;
    asked->held = *there;
    asked->held.sealed = false; /* what it would write is its own text again */
}

/* Sends an operation off to arrive later. */
static void send_late(world *made, const caller *who, const task *one,
                      const ground_request *request)
{
    stray late = {.request = *request, .letter = one->letter, .caller = who->number};
    for (size_t i = 0; i < one->moments_count; i++) {
        const ground_record *met = &one->moments[i].before;
        bool unnamed = met->state != ABSENT && (met->sealed || table_tokenless(met));
        late.wipes = late.wipes || met->state == GARBAGE || unnamed;
    }
    made->strays[made->strays_count++] = late;
}

static void say_sent(const world *made, const caller *who, const task *one,
                     const ground_request *request, const ground_reply *reply)
{
    static const char *const fates[] = {"",
                                        "the request is lost",
                                        "the reply is lost",
                                        "it will arrive late",
                                        "refused",
                                        "refused for good",
                                        "full"};
    char op[96];
    char was[160];
    if (!made->rules.trace)
        return;
    bool reached = one->fault == FAULT_NONE || one->fault == FAULT_LOST_REPLY;
    world_say(made, "caller %zu: %s: %s%s%s%s", who->number,
              sending_op_text(request, one->letter.version, op),
              !reached         ? ""
              : reply->applied ? "done, on "
                               : "met ",
              reached ? world_record_text(&reply->before, was) : "",
              reached && one->fault ? "; " : "", fates[one->fault]);
}

/* What the deadlines of a batch do to this operation. */
static void note_deadline(world *made, const caller *who, task *one)
{
    bool passed = !made->calm && made->truth.now_ms >= who->cut_ms;
    one->left_behind = !who->broken && has_left(made, one);
    if (!passed || made->truth.now_ms >= one->deadline_ms)
        return;
    if (!made->leaves)
        made->counts->situations[SAW_CUT_FOR_ANOTHER]++;
    one->cut_off = !made->leaves;
    one->stayed = made->leaves;
}

/* An operation without an answer. An abandoned one leaves the rest of its batch alone. */
static void lose_answer(world *made, caller *who, task *one)
{
    idem_op *op = &one->call.op;
    if (one->left_behind) {
        made->counts->situations[writes(op) ? SAW_CHANGE_ABANDONED : SAW_READ_ABANDONED]++;
    } else {
        if (!who->broken && who->batch_count > who->sent && who->sent > 1)
            made->counts->situations[SAW_BATCH_CUT]++;
        who->broken = true;
    }
    one->doubted = one->doubted || writes(op);
    if (one->left_behind && made->rules.leaver_untold)
        idem_op_fail(op, false, IDEM_ERR_UNAVAILABLE, "the deadline came");
    else
        idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "the reply was lost");
}

/* Sends one operation, and lays its answer by. */
static void send_one(world *made, caller *who, task *one, const step *now)
{
    idem_op *op = &one->call.op;
    ground_request request = ground_request_of(op);
    ground_reply reply = {.applied = false};
    check_op(made, one);
    made->operations++;
    one->known = one->letter.asked.held;
    one->fault = fate(made, who, one, now);
    made->counts->faults[one->fault]++;
    note_deadline(made, who, one);
    if (one->fault == FAULT_NONE || one->fault == FAULT_LOST_REPLY)
        carry_out(made, who->number, one, &request, &reply);
    if (one->fault == FAULT_LATE)
        send_late(made, who, one, &request);
    say_sent(made, who, one, &request, &reply);
    switch (one->fault) {
    case FAULT_LOST_REQUEST:
    case FAULT_LOST_REPLY:
    case FAULT_LATE:
        lose_answer(made, who, one);
        break;
    case FAULT_REFUSED:
    case FAULT_REFUSED_FOR_GOOD:
        idem_op_fail(op, one->fault == FAULT_REFUSED_FOR_GOOD, IDEM_ERR_UNAVAILABLE, "refused");
        break;
    case FAULT_FULL:
        idem_op_fail(op, false, IDEM_ERR_FULL, "full");
        break;
    default:
        ground_answer(&reply, made->truth.now_ms, op);
        learn(one, &reply);
    }
}

/* ------------------------------------------------------------------------------------- answers */

void sending_end(world *made, caller *who, task *one)
{
    static const char *const outcomes[] = {"",          "New",      "InProgress",
                                           "Completed", "Mismatch", "InDoubt"};
    world_say(made, "caller %zu: %s k%zu ends with %s%s%s", who->number,
              counts_kind_text(one->call.kind), one->key,
              one->call.code ? idem_strerror(one->call.code) : "ok", one->call.outcome ? ": " : "",
              outcomes[one->call.outcome]);
    if (one->cut_off && one->call.code == IDEM_OK)
        made->counts->situations[SAW_OUTLASTED]++;
    if (one->stayed && one->call.code == IDEM_OK)
        made->counts->situations[SAW_STAYED]++;
    oracle_end(made, one);
    for (size_t i = 0; i < made->strays_count; i++) {
        stray *late = &made->strays[i];
        if (late->letter.serial == one->letter.serial) {
            late->ended = true;
            late->code = one->call.code;
        }
    }
    if (one->renewal)
        keeper_settle(made, who, one);
    else
        caller_settle(made, who, one);
    idem__protocol_clear(&one->call);
    idem__claim_release_bytes(one->bytes);
    one->running = false;
}

/* What can't be fixed ends a call at once, and nothing else does before the deadline. */
static void check_step(world *made, const task *one, idem__step next)
{
    bool for_good = one->fault == FAULT_REFUSED_FOR_GOOD || one->fault == FAULT_FULL;
    if (for_good && next != IDEM__STEP_DONE)
        world_breach(made, BREACH_ENDLESS, "%s would repeat what repeating can't fix",
                     counts_kind_text(one->call.kind));
    if (one->fault != FAULT_NONE && !for_good && next == IDEM__STEP_NEXT)
        world_breach(made, BREACH_TABLE, "%s goes on after a failure as if it had been answered",
                     counts_kind_text(one->call.kind));
}

/* Counts turns that depend on others. `op` is what was answered. */
static void count_turn(world *made, const task *one, const idem_op *op, idem__step next)
{
    uint64_t *saw = made->counts->situations;
    bool begins = one->call.kind == IDEM__CALL_BEGIN;
    if (one->fault != FAULT_NONE || op->applied || !writes(op))
        return;
    if (begins && op->kind == IDEM_OP_REPLACE && op->has_found)
        saw[SAW_RACED]++;
    if (begins && op->kind == IDEM_OP_REPLACE && !op->has_found)
        saw[SAW_GONE_BETWEEN]++;
    if (!begins && next == IDEM__STEP_NEXT)
        saw[SAW_OWN_CLAIM_MOVED]++;
}

static idem__step answer(world *made, task *one)
{
    idem_op answered = one->call.op;
    idem__step next = idem__protocol_answer(&one->call);
    check_step(made, one, next);
    count_turn(made, one, &answered, next);
    return next;
}

/* The caller's batch may be under way beside it. */
idem__step sending_alone(world *made, caller *who, task *one, const step *now)
{
    size_t count = who->batch_count;
    size_t sent = who->sent;
    bool broken = who->broken;
    uint64_t cut_ms = who->cut_ms;
    who->batch_count = 1;
    who->sent = 1;
    who->broken = false;
    who->cut_ms = one->deadline_ms;
    stamp(made, who, one);
    send_one(made, who, one, now);
    who->batch_count = count;
    who->sent = sent;
    who->broken = broken;
    who->cut_ms = cut_ms;
    return answer(made, one);
}

static void keep(caller *who, task *one, bool pause)
{
    if (pause) {
        who->left[who->left_count++] = who->left[who->paused];
        who->left[who->paused++] = one;
    } else {
        who->left[who->left_count++] = one;
    }
}

/* Ends a call as the driver does when its deadline comes. */
static void give_up(world *made, caller *who, task *one)
{
    idem_op_fail(&one->call.op, false, IDEM_ERR_UNAVAILABLE, "the deadline came");
    idem__protocol_give_up(&one->call);
    made->counts->situations[SAW_GAVE_UP]++;
    sending_end(made, who, one);
}

/* Ends the calls whose deadline has come, and keeps the others. */
static void end_late_ones(world *made, caller *who)
{
    size_t count = who->left_count;
    size_t paused = who->paused;
    uint64_t now_ms = made->truth.now_ms;
    who->left_count = 0;
    who->paused = 0;
    for (size_t i = 0; i < count; i++) {
        task *one = who->left[i];
        one->given_up = !made->calm && (now_ms >= one->deadline_ms || who->rounds >= ROUNDS_MAX);
        if (one->given_up || (made->rules.deadline_of_all && now_ms >= who->cut_ms))
            give_up(made, who, one);
        else
            keep(who, one, i < paused);
    }
}

static void go_on(world *made, caller *who)
{
    if (who->left_count == 0)
        who->phase = IDLE;
    else if (who->paused > 0)
        who->phase = PAUSING;
    else
        gather(made, who);
}

static void take_answers(world *made, caller *who)
{
    task *ended[BATCH_CALLS];
    size_t ended_count = 0;
    size_t count = who->left_count;
    who->left_count = 0;
    who->paused = 0;
    for (size_t i = 0; i < count; i++) {
        task *one = who->left[i];
        idem__step next = answer(made, one);
        if (next == IDEM__STEP_DONE)
            ended[ended_count++] = one;
        else
            keep(who, one, next == IDEM__STEP_AGAIN);
    }
    for (size_t i = 0; i < ended_count; i++)
        sending_end(made, who, ended[i]);
    end_late_ones(made, who);
    go_on(made, who);
}

/* What a driver that mixes up a batch does to the answers of two calls. */
static void swap_answers(idem_op *one, idem_op *other)
{
    const size_t lower = offsetof(idem_op, applied);
    const idem_op kept = *one;
    memcpy((char *)one + lower, (const char *)other + lower, sizeof *one - lower);
    memcpy((char *)other + lower, (const char *)&kept + lower, sizeof *other - lower);
}

static void spread_error(const caller *who)
{
    for (size_t i = 1; i < who->batch_count; i++) {
        const idem_op *first = &who->batch[i - 1]->call.op;
        idem_op *op = &who->batch[i]->call.op;
        if (first->error.code == IDEM_OK)
            continue;
        idem_record_clear(&op->found);
        op->applied = false;
        op->has_found = false;
        op->error = first->error;
    }
}

/* Takes the operation that the store carries out next out of those that are left of the batch. */
static task *next_of_batch(world *made, caller *who, const step *now)
{
    size_t rest = who->batch_count - who->sent;
    size_t chosen = who->sent + (made->any_order ? now->word[3] % rest : 0);
    task *one = who->batch[chosen];
    for (size_t i = chosen; i > who->sent; i--) {
        who->batch[i] = who->batch[i - 1];
        if (who->batch[i]->key == one->key && one->overtook == NULL) {
            one->overtook = who->batch[i];
            made->counts->situations[SAW_OVERTAKEN]++;
        }
    }
    who->batch[who->sent++] = one;
    return one;
}

/* What a driver does that takes the order of a batch for that of its answers. */
static void answer_in_order(const caller *who)
{
    for (size_t i = 0; i < who->batch_count; i++) {
        task *one = who->batch[i];
        if (one->overtook)
            swap_answers(&one->call.op, &one->overtook->call.op);
    }
}

void sending_step(world *made, caller *who, const step *now)
{
    if (who->submitted) {
        submitted_step(made, who, now);
        return;
    }
    task *one = next_of_batch(made, who, now);
    send_one(made, who, one, now);
    if (who->sent < who->batch_count)
        return;
    if (made->rules.swap_answers && who->batch_count > 1)
        swap_answers(&who->batch[0]->call.op, &who->batch[1]->call.op);
    if (made->rules.answer_in_order)
        answer_in_order(who);
    if (made->rules.error_for_all)
        spread_error(who);
    take_answers(made, who);
}

/* Repeats what has to pause, unless there is too little time left for another try. */
void sending_pause(world *made, caller *who, const step *now)
{
    size_t count = who->left_count;
    size_t paused = who->paused;
    who->left_count = 0;
    who->paused = 0;
    for (size_t i = 0; i < count; i++) {
        task *one = who->left[i];
        one->given_up = !made->calm && i < paused && (now->word[2] >> 3 * i) % 8 == 7;
        if (one->given_up) {
            give_up(made, who, one);
            continue;
        }
        if (i < paused)
            idem__protocol_again(&one->call);
        keep(who, one, false);
    }
    go_on(made, who);
}
