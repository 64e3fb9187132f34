/* SPDX-License-Identifier: MIT */
/* Requests that arrive after their callers were told that their fate is uncertain; and connections
   that are given up after silence, which leave such requests behind. */
#include "world.h"

const char *sending_op_text(const ground_request *request, uint64_t version, char buf[96])
{
    unsigned long long stamp = version;
    unsigned long long expected = request->expected;
    if (request->kind == IDEM_OP_INSERT)
        (void)snprintf(buf, 96, "insert k%zu as version %llu", request->key, stamp);
    else if (request->kind == IDEM_OP_REPLACE)
        (void)snprintf(buf, 96, "replace version %llu of k%zu by version %llu", expected,
                       request->key, stamp);
    else if (request->kind == IDEM_OP_GET)
        (void)snprintf(buf, 96, "look at k%zu", request->key);
    else if (request->any_version)
        (void)snprintf(buf, 96, "remove k%zu, whatever it is", request->key);
    else
        (void)snprintf(buf, 96, "remove version %llu of k%zu", expected, request->key);
    return buf;
}

static task *running_call(world *made, const stray *late)
{
    caller *who = &made->callers[late->caller];
    for (size_t i = 0; i < TASKS_COUNT; i++) {
        if (who->tasks[i].running && who->tasks[i].letter.serial == late->letter.serial)
            return &who->tasks[i];
    }
    return NULL;
}

/* A call that told its caller what became of it changes nothing afterwards. Three things can still
   come: a claim by a begin's insert, which was told of nothing at that moment, and which runs
   out; a record that was put back once more, after its owner or an operator has ended it; and a
   forget of what has no version to name: garbage, records of the older format, and those rewritten
   by hand. */
static void check_late(world *made, const stray *late, const ground_reply *reply)
{
    idem__call_kind kind = late->letter.asked.kind;
    bool told = late->ended && late->code != IDEM_ERR_UNCERTAIN;
    bool claims = late->request.kind == IDEM_OP_INSERT &&
                  (late->code == IDEM_OK || late->code == IDEM_ERR_CORRUPT);
    bool wipes = late->request.any_version && late->wipes;
    bool reinstates = late->request.kind == IDEM_OP_INSERT && late->letter.asked.reinstate;
    if (!told || !reply->applied)
        return;
    if (kind != IDEM__CALL_BEGIN && reinstates)
        made->counts->situations[SAW_LATE_REINSTATEMENT]++;
    else if (claims)
        made->counts->situations[SAW_LATE_INSERT]++;
    else if (!wipes)
        world_breach(made, BREACH_HONEST_ERROR,
                     "%s had ended with code %d, and changed the record afterwards",
                     counts_kind_text(kind), late->code);
}

void sending_note_complete(world *made, size_t number, const letter *from,
                           const ground_request *request, const ground_reply *reply)
{
    if (reply->applied && from->asked.kind == IDEM__CALL_COMPLETE)
        made->completed[request->key] = (owner_end){.version = from->version, .caller = number};
}

void sending_arrive(world *made, size_t index)
{
    char op[96];
    char was[160];
    stray late = made->strays[index];
    uint64_t *saw = made->counts->situations;
    made->strays[index] = made->strays[--made->strays_count];
    task *running = running_call(made, &late);
    ground_reply reply = ground_carry_out(&made->truth, &late.request);
    world_say(made, "a late request of caller %zu, %s: %s: %s %s", late.caller,
              counts_kind_text(late.letter.asked.kind),
              sending_op_text(&late.request, late.letter.version, op),
              reply.applied ? "done, on" : "met", world_record_text(&reply.before, was));
    oracle_op(made, running, &late.letter, &late.request, &reply);
    sending_note_complete(made, late.caller, &late.letter, &late.request, &reply);
    check_late(made, &late, &reply);
    if (!reply.applied)
        saw[SAW_LATE_REFUSED]++;
    else if (running)
        saw[SAW_LATE_WHILE_REPEATED]++;
    else
        saw[SAW_LATE_APPLIED]++;
}

/* Takes away the answers that this caller's batch was about to get. */
static bool fall_silent(world *made, caller *who)
{
    bool lost = false;
    for (size_t i = 0; i < who->sent; i++) {
        task *one = who->batch[i];
        idem_op *op = &one->call.op;
        bool write = op->kind != IDEM_OP_GET;
        if (one->left_behind || op->error.code == IDEM_ERR_UNCERTAIN)
            continue;
        lost = true;
        one->fault = FAULT_LOST_REPLY;
        one->doubted = one->doubted || write;
        one->letter.asked.held = one->known;
        idem_record_clear(&op->found);
        memset(&op->applied, 0, sizeof *op - offsetof(idem_op, applied));
        idem_op_fail(op, false,
                     made->rules.silence_refuses ? IDEM_ERR_UNAVAILABLE : IDEM_ERR_UNCERTAIN,
                     "the connection was silent and was given up");
    }
    who->broken = true;
    return lost;
}

void sending_silence(world *made, size_t connection)
{
    unsigned callers = 0;
    world_say(made, "connection %zu is silent and is given up", connection);
    for (size_t i = 0; i < made->callers_count; i++) {
        caller *who = &made->callers[i];
        if (i % 2 == connection && who->phase == SENDING && !who->submitted && who->sent > 0)
            callers += fall_silent(made, who);
    }
    if (callers > 0)
        made->counts->situations[callers > 1 ? SAW_SILENT_FOR_MANY : SAW_SILENT]++;
}
