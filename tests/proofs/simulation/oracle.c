/* SPDX-License-Identifier: MIT */
/*
 * What is right. Each change of the store has to be one that the table allows the asker at that
 * very moment, to the last field; a second store that is changed by the table alone stands beside
 * the first and has to stay equal to it, expiry included. And each call's end has to be what the
 * table says for one of the moments at which an operation of that call was carried out: that is
 * linearizability, checked with the truth at hand. An error is checked against what became of
 * the call's changes.
 */
#include "world.h"

static bool same_record(const ground_record *one, const ground_record *other)
{
    return one->state == other->state && one->version == other->version &&
           one->attempt == other->attempt && one->created_at_ms == other->created_at_ms &&
           one->lease_ms == other->lease_ms && one->ttl_ms == other->ttl_ms &&
           one->sealed == other->sealed && memcmp(one->token, other->token, IDEM_TOKEN_SIZE) == 0 &&
           text_equal(&one->fingerprint, &other->fingerprint) &&
           text_equal(&one->response, &other->response) &&
           text_equal(&one->checkpoint, &other->checkpoint);
}

static bool lease_live(const ground_record *record, uint64_t now_ms)
{
    return record->state == IN_PROGRESS && now_ms < record->stored_ms + record->lease_ms;
}

/* ------------------------------------------------------------------------------------ changes */

/* Which guarantee a change breaks that the table does not allow. */
static breach breach_of_change(const question *asked, const ground_record *before, uint64_t now_ms)
{
    if (before->state == GARBAGE)
        return BREACH_GARBAGE_STAYS;
    if (before->state == COMPLETED)
        return BREACH_RESPONSE_STAYS;
    if (asked->kind != IDEM__CALL_BEGIN)
        return BREACH_OWNER_ONLY;
    if (lease_live(before, now_ms) || table_tokenless(before))
        return BREACH_ONE_CLAIM;
    return BREACH_TABLE;
}

/* Which one a change breaks that wrote something else than it should. */
static breach breach_of_record(const question *asked, const ground_record *right,
                               const ground_record *written)
{
    if (right->version != written->version)
        return BREACH_FRESH_VERSION;
    if (!text_equal(&right->response, &written->response))
        return BREACH_RESPONSE_STAYS;
    if (asked->kind == IDEM__CALL_BEGIN && (right->attempt != written->attempt ||
                                            !text_equal(&right->checkpoint, &written->checkpoint)))
        return BREACH_TAKEOVER_TOLD;
    return BREACH_TABLE;
}

static void count_change(world *made, const verdict *judged, const ground_record *before)
{
    if (judged->row != ROW_BEGIN_EXPIRED)
        return;
    if (made->truth.now_ms == before->stored_ms + before->lease_ms)
        made->counts->situations[SAW_TAKEN_AT_ONCE]++;
    if (before->checkpoint.len > 0)
        made->counts->situations[SAW_CHECKPOINT_PASSED_ON]++;
}

/* What has no version that could be named is forgotten whatever it is by then: also garbage that
   came in its place after it was read. */
static bool forget_raced(const task *running, const letter *from, const ground_request *request,
                         const ground_record *before)
{
    bool read = !running; /* of a late request that is known elsewhere */
    for (size_t i = 0; running && i < running->moments_count; i++) {
        const ground_record *met = &running->moments[i].before;
        bool record = met->state == IN_PROGRESS || met->state == COMPLETED;
        read = read || (record && (met->sealed || table_tokenless(met)));
    }
    return read && before->state == GARBAGE && from->asked.kind == IDEM__CALL_FORGET &&
           request->kind == IDEM_OP_REMOVE && request->any_version;
}

/* Judges a change, and makes the same in the model. */
static void take_change(world *made, const task *running, const letter *from,
                        const ground_request *request, verdict *judged, const ground_record *before)
{
    char was[160];
    char is[160];
    char should[160];
    uint64_t now_ms = made->truth.now_ms;
    if (forget_raced(running, from, request, before))
        *judged = (verdict){.row = ROW_FORGET_GARBAGE, .code = IDEM_OK, .changes = true};
    if (!judged->changes) {
        world_breach(made, breach_of_change(&from->asked, before, now_ms),
                     "%s by token %u was carried out on %s", counts_kind_text(from->asked.kind),
                     world_token_number(from->asked.token), world_record_text(before, was));
        return;
    }
    ground_record written = {.state = ABSENT};
    if (request->kind != IDEM_OP_REMOVE)
        written = request->record;
    if (judged->after.state != ABSENT)
        judged->after.version = made->rules.blind ? written.version : from->version;
    if (judged->row == ROW_BEGIN_ABSENT)
        judged->after.created_at_ms = from->wall_ms;
    if (!same_record(&judged->after, &written))
        world_breach(made, breach_of_record(&from->asked, &judged->after, &written),
                     "%s by token %u wrote %s, and should have written %s",
                     counts_kind_text(from->asked.kind), world_token_number(from->asked.token),
                     world_record_text(&written, is), world_record_text(&judged->after, should));
    ground_plant(&made->model, request->key, &judged->after, table_live_ms(&judged->after));
    count_change(made, judged, before);
}

static void remember(task *running, const verdict *judged, const ground_record *before,
                     bool applied)
{
    if (running->moments_count == MOMENTS_MAX)
        return;
    moment *at = &running->moments[running->moments_count++];
    at->verdict = *judged;
    at->before = *before;
    at->applied = applied;
}

void oracle_op(world *made, task *running, const letter *from, const ground_request *request,
               const ground_reply *reply)
{
    ground_record before = ground_look(&made->model, request->key);
    verdict judged = table_judge(&from->asked, &before, made->truth.now_ms);
    if (reply->applied)
        take_change(made, running, from, request, &judged, &before);
    if (running)
        remember(running, &judged, &before, reply->applied);
}

void oracle_compare(world *made)
{
    char is[160];
    char should[160];
    for (size_t key = 0; key < made->keys_count; key++) {
        ground_record truth = ground_look(&made->truth, key);
        ground_record model = ground_look(&made->model, key);
        if (same_record(&truth, &model))
            continue;
        breach what = model.state == COMPLETED                 ? BREACH_RESPONSE_STAYS
                      : lease_live(&model, made->model.now_ms) ? BREACH_ONE_CLAIM
                                                               : BREACH_TABLE;
        world_breach(made, what, "key k%zu holds %s, and should hold %s", key,
                     world_record_text(&truth, is), world_record_text(&model, should));
    }
}

/* --------------------------------------------------------------------------------- how it ended */

/* True if what the call gives back is what the moment's record says. */
static bool gives_back(const moment *at, const idem__call *call)
{
    const ground_record *record = at->verdict.changes ? &at->verdict.after : &at->before;
    switch (call->kind) {
    case IDEM__CALL_BEGIN:
        if (call->outcome != at->verdict.outcome)
            return false;
        if (call->outcome == IDEM_IN_PROGRESS && call->retry_after_ms != at->verdict.retry_after_ms)
            return false;
        return ground_is(record, call->outcome == IDEM_NEW ? &call->held : &call->seen);
    case IDEM__CALL_COMPLETE:
    case IDEM__CALL_RENEW:
    case IDEM__CALL_CHECKPOINT:
        return !at->verdict.changes || ground_is(record, &call->held);
    case IDEM__CALL_RESUME:
        return ground_is(record, &call->held);
    case IDEM__CALL_GET:
        return ground_is(record, &call->seen);
    case IDEM__CALL_RELEASE:
    case IDEM__CALL_FORGET:
    case IDEM__CALL_FORGET_ANY:
    case IDEM__CALL_FORGET_EXPIRED:
    case IDEM__CALL_SETTLE:
        break;
    }
    return true;
}

static bool explains(const moment *at, const idem__call *call)
{
    if (at->verdict.code != call->code || (at->verdict.changes && !at->applied))
        return false;
    return call->code != IDEM_OK || gives_back(at, call);
}

static bool met(const task *ended, table_row row)
{
    for (size_t i = 0; i < ended->moments_count; i++) {
        if (ended->moments[i].verdict.row == row)
            return true;
    }
    return false;
}

static breach breach_of_begin(const task *ended)
{
    bool claimed = met(ended, ROW_BEGIN_OWN) || met(ended, ROW_BEGIN_OWN_EXPIRED);
    if (ended->call.outcome == IDEM_NEW && ended->call.code == IDEM_OK)
        return claimed || met(ended, ROW_BEGIN_EXPIRED) ? BREACH_TAKEOVER_TOLD
                                                        : BREACH_HONEST_ERROR;
    if (claimed)
        return BREACH_NOT_LOCKED_OUT;
    return met(ended, ROW_BEGIN_COMPLETED) ? BREACH_RESPONSE_STAYS : BREACH_TABLE;
}

/* Which guarantee an end breaks that no moment explains. */
static breach breach_of_end(const task *ended)
{
    static const table_row owned[] = {ROW_COMPLETE_OWN, ROW_COMPLETE_OWN_EXPIRED,
                                      ROW_COMPLETE_AGAIN, ROW_RENEW_OWN, ROW_CHECKPOINT_OWN};
    if (met(ended, ROW_ANY_GARBAGE))
        return BREACH_GARBAGE_STAYS;
    if (ended->call.kind == IDEM__CALL_BEGIN)
        return breach_of_begin(ended);
    if (ended->call.code == IDEM_OK)
        return met(ended, ROW_COMPLETE_LOST) || met(ended, ROW_RENEW_LOST) ||
                       met(ended, ROW_CHECKPOINT_LOST)
                   ? BREACH_OWNER_ONLY
                   : BREACH_TABLE;
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        if (met(ended, owned[i]))
            return BREACH_NOT_LOCKED_OUT;
    }
    return BREACH_TABLE;
}

static bool is_late(const world *made, const task *ended)
{
    for (size_t i = 0; i < made->strays_count; i++) {
        if (made->strays[i].letter.serial == ended->letter.serial)
            return true;
    }
    return false;
}

static bool changed(const task *ended)
{
    for (size_t i = 0; i < ended->moments_count; i++) {
        if (ended->moments[i].applied)
            return true;
    }
    return false;
}

/* An error other than those of the table: it says whether the outcome is known. */
static void judge_error(world *made, const task *ended)
{
    const char *kind = counts_kind_text(ended->call.kind);
    int code = ended->call.code;
    if (code == IDEM_ERR_UNCERTAIN && !ended->doubted)
        world_breach(made, BREACH_HONEST_ERROR,
                     "%s ended as uncertain, though no change of it ever was", kind);
    if (code != IDEM_ERR_UNCERTAIN && changed(ended))
        world_breach(made, BREACH_HONEST_ERROR, "%s ended with code %d, and had changed the record",
                     kind, code);
    if (code != IDEM_ERR_UNCERTAIN && is_late(made, ended))
        world_breach(made, BREACH_HONEST_ERROR,
                     "%s ended with code %d, and a change of it is still under way", kind, code);
    bool refused = ended->fault == FAULT_REFUSED_FOR_GOOD || ended->fault == FAULT_FULL;
    if (!ended->given_up && !refused)
        world_breach(made, BREACH_NOT_LOCKED_OUT,
                     "%s ended with code %d before its deadline, and was not repeated", kind, code);
}

static bool is_of_table(int code)
{
    return code == IDEM_OK || code == IDEM_ERR_LOST || code == IDEM_ERR_NOT_FOUND ||
           code == IDEM_ERR_CORRUPT;
}

/* An event tells of each reinstatement that the call knows of, and of nothing else. */
static void judge_reinstatement(world *made, const task *ended)
{
    bool inserted = false;
    for (size_t i = 0; i < ended->moments_count; i++) {
        const moment *at = &ended->moments[i];
        inserted = inserted || (at->applied && at->before.state == ABSENT);
    }
    bool told = ended->call.reinstated;
    if (told && (!inserted || ended->call.kind == IDEM__CALL_BEGIN))
        world_breach(made, BREACH_TABLE, "%s says that it put back what it did not",
                     counts_kind_text(ended->call.kind));
    bool by_last = ended->claim && ended->call.code == IDEM_OK && ended->call.op.applied &&
                   ended->call.op.kind == IDEM_OP_INSERT;
    if (by_last && !told)
        world_breach(made, BREACH_TABLE, "%s put the record back and does not say so",
                     counts_kind_text(ended->call.kind));
    if (told)
        made->counts->situations[by_last ? SAW_REINSTATED : SAW_OWN_REINSTATEMENT_FOUND]++;
    if (ended->call.code == IDEM_ERR_LOST && ended->call.op.kind == IDEM_OP_INSERT)
        made->counts->situations[SAW_REINSTATED_TOO_LATE]++;
}

static void count_explained(world *made, const task *ended, const moment *at)
{
    table_row row = at->verdict.row;
    made->counts->rows[row]++;
    if (!at->verdict.changes && changed(ended) && ended->doubted)
        made->counts->situations[SAW_OWN_WRITE_FOUND]++;
    if (row == ROW_BEGIN_LIVE && at->verdict.retry_after_ms == 1)
        made->counts->situations[SAW_LIVE_TO_THE_LAST]++;
    if (row == ROW_BEGIN_LIVE && made->truth.now_ms >= at->before.stored_ms + at->before.ttl_ms)
        made->counts->situations[SAW_OUTLIVED]++;
}

void oracle_end(world *made, const task *ended)
{
    const idem__call *call = &ended->call;
    made->counts->codes[call->kind][call->code]++;
    judge_reinstatement(made, ended);
    if (!is_of_table(call->code)) {
        judge_error(made, ended);
        return;
    }
    for (size_t i = ended->moments_count; i-- > 0;) {
        if (explains(&ended->moments[i], call)) {
            count_explained(made, ended, &ended->moments[i]);
            return;
        }
    }
    world_breach(made, breach_of_end(ended),
                 "%s by token %u ended with code %d and outcome %d, which none of the %zu moments "
                 "explains at which it reached the store",
                 counts_kind_text(call->kind), world_token_number(ended->letter.asked.token),
                 call->code, (int)call->outcome, ended->moments_count);
}
