/* SPDX-License-Identifier: MIT */
/*
 * The table, written down a second time and in other words than the protocol's: from the state and
 * the question straight to the result.
 */
#include "table.h"

const char *table_row_text(table_row row)
{
    static const char *const texts[] = {
#define TABLE_ROW(name, text) text,
        TABLE_ROWS(TABLE_ROW)
#undef TABLE_ROW
    };
    return texts[row];
}

bool table_tokenless(const ground_record *record)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    return memcmp(record->token, none, sizeof none) == 0;
}

uint64_t table_live_ms(const ground_record *record)
{
    return record->state == IN_PROGRESS ? record->lease_ms + record->ttl_ms : record->ttl_ms;
}

static bool mine(const question *asked, const ground_record *record)
{
    return memcmp(asked->token, record->token, IDEM_TOKEN_SIZE) == 0;
}

static bool lease_live(const ground_record *record, uint64_t now_ms)
{
    return now_ms < record->stored_ms + record->lease_ms;
}

static verdict ends(table_row row, int code)
{
    return (verdict){.row = row, .code = code};
}

static verdict tells(table_row row, idem_outcome_kind outcome)
{
    return (verdict){.row = row, .code = IDEM_OK, .outcome = outcome};
}

/* A claim by the asker, on top of what an earlier claimer left. */
static verdict claims(table_row row, const question *asked, const ground_record *earlier)
{
    verdict made = {.row = row, .code = IDEM_OK, .outcome = IDEM_NEW, .changes = true};
    made.after = (ground_record){
        .state = IN_PROGRESS,
        .attempt = earlier->attempt + (row == ROW_BEGIN_OWN_EXPIRED ? 0 : 1),
        .created_at_ms = earlier->created_at_ms,
        .lease_ms = asked->lease_ms,
        .ttl_ms = asked->ttl_ms,
        .fingerprint = asked->fingerprint.len ? asked->fingerprint : earlier->fingerprint,
        .checkpoint = earlier->checkpoint,
    };
    memcpy(made.after.token, asked->token, IDEM_TOKEN_SIZE);
    return made;
}

static bool mismatch(const question *asked, const ground_record *before)
{
    return asked->fingerprint.len > 0 && before->fingerprint.len > 0 &&
           !text_equal(&asked->fingerprint, &before->fingerprint);
}

static verdict in_progress(table_row row, uint64_t retry_after_ms)
{
    verdict made = tells(row, IDEM_IN_PROGRESS);
    made.retry_after_ms = retry_after_ms;
    return made;
}

static verdict judge_begin(const question *asked, const ground_record *before, uint64_t now_ms)
{
    if (before->state == ABSENT)
        return claims(ROW_BEGIN_ABSENT, asked, before);
    if (mismatch(asked, before))
        return tells(ROW_BEGIN_MISMATCH, IDEM_MISMATCH);
    if (before->state == COMPLETED)
        return tells(ROW_BEGIN_COMPLETED, IDEM_COMPLETED);
    if (table_tokenless(before))
        return in_progress(ROW_BEGIN_OLDER, before->stored_ms + before->ttl_ms - now_ms);
    bool live = lease_live(before, now_ms);
    if (mine(asked, before) && live)
        return tells(ROW_BEGIN_OWN, IDEM_NEW);
    if (mine(asked, before))
        return claims(ROW_BEGIN_OWN_EXPIRED, asked, before);
    if (live)
        return in_progress(ROW_BEGIN_LIVE, before->stored_ms + before->lease_ms - now_ms);
    if (asked->no_takeover)
        return tells(ROW_BEGIN_IN_DOUBT, IDEM_IN_DOUBT);
    return claims(ROW_BEGIN_EXPIRED, asked, before);
}

/* The claim's record with what the asker changes of it. */
static verdict changes(table_row row, const question *asked, const ground_record *before)
{
    verdict made = {.row = row, .code = IDEM_OK, .changes = true, .after = *before};
    if (asked->ttl_ms > 0)
        made.after.ttl_ms = asked->ttl_ms;
    if (asked->lease_ms > 0)
        made.after.lease_ms = asked->lease_ms;
    return made;
}

static verdict completes(table_row row, const question *asked, const ground_record *before)
{
    verdict made = changes(row, asked, before);
    made.after.state = COMPLETED;
    made.after.response = asked->text;
    made.after.checkpoint.len = 0;
    return made;
}

static verdict judge_complete(const question *asked, const ground_record *before, uint64_t now_ms)
{
    if (before->state == ABSENT && asked->reinstate)
        return completes(ROW_COMPLETE_REINSTATED, asked, &asked->held);
    if (before->state == ABSENT)
        return ends(ROW_COMPLETE_ABSENT, IDEM_ERR_NOT_FOUND);
    if (!mine(asked, before))
        return ends(ROW_COMPLETE_LOST, IDEM_ERR_LOST);
    if (before->state == COMPLETED)
        return ends(ROW_COMPLETE_AGAIN, IDEM_OK);
    bool live = lease_live(before, now_ms);
    return completes(live ? ROW_COMPLETE_OWN : ROW_COMPLETE_OWN_EXPIRED, asked, before);
}

static verdict judge_renew(const question *asked, const ground_record *before)
{
    if (before->state == ABSENT && asked->reinstate)
        return changes(ROW_RENEW_REINSTATED, asked, &asked->held);
    if (before->state == ABSENT)
        return ends(ROW_RENEW_ABSENT, IDEM_ERR_NOT_FOUND);
    if (!mine(asked, before) || before->state == COMPLETED)
        return ends(ROW_RENEW_LOST, IDEM_ERR_LOST);
    return changes(ROW_RENEW_OWN, asked, before);
}

static verdict leaves(table_row row, const question *asked, const ground_record *before)
{
    verdict made = changes(row, asked, before);
    made.after.checkpoint = asked->text;
    return made;
}

static verdict judge_checkpoint(const question *asked, const ground_record *before)
{
    if (before->state == ABSENT && asked->reinstate)
        return leaves(ROW_CHECKPOINT_REINSTATED, asked, &asked->held);
    if (before->state == ABSENT)
        return ends(ROW_CHECKPOINT_ABSENT, IDEM_ERR_NOT_FOUND);
    if (!mine(asked, before) || before->state == COMPLETED)
        return ends(ROW_CHECKPOINT_LOST, IDEM_ERR_LOST);
    return leaves(ROW_CHECKPOINT_OWN, asked, before);
}

static verdict removes(table_row row)
{
    return (verdict){.row = row, .code = IDEM_OK, .changes = true};
}

static verdict judge_release(const question *asked, const ground_record *before)
{
    if (before->state == IN_PROGRESS && mine(asked, before))
        return removes(ROW_RELEASE_OWN);
    return ends(ROW_RELEASE_OTHER, IDEM_OK);
}

static verdict judge_resume(const question *asked, const ground_record *before)
{
    if (before->state == ABSENT)
        return ends(ROW_RESUME_ABSENT, IDEM_ERR_NOT_FOUND);
    if (!mine(asked, before))
        return ends(ROW_RESUME_LOST, IDEM_ERR_LOST);
    return ends(before->state == COMPLETED ? ROW_RESUME_COMPLETED : ROW_RESUME_OWN, IDEM_OK);
}

static verdict judge_forget(const ground_record *before)
{
    if (before->state == ABSENT)
        return ends(ROW_FORGET_ABSENT, IDEM_OK);
    return removes(before->state == GARBAGE ? ROW_FORGET_GARBAGE : ROW_FORGET_THERE);
}

static verdict judge_forget_expired(const ground_record *before, uint64_t now_ms)
{
    if (before->state == ABSENT)
        return ends(ROW_FORGET_EXPIRED_ABSENT, IDEM_OK);
    if (before->state == COMPLETED)
        return ends(ROW_FORGET_EXPIRED_COMPLETED, IDEM_ERR_LOST);
    if (table_tokenless(before))
        return ends(ROW_FORGET_EXPIRED_OLDER, IDEM_ERR_LOST);
    if (lease_live(before, now_ms))
        return ends(ROW_FORGET_EXPIRED_LIVE, IDEM_ERR_LOST);
    return removes(ROW_FORGET_EXPIRED);
}

static verdict judge_settle(const question *asked, const ground_record *before, uint64_t now_ms)
{
    if (before->state == ABSENT)
        return ends(ROW_SETTLE_ABSENT, IDEM_ERR_NOT_FOUND);
    if (before->state == COMPLETED && mine(asked, before))
        return ends(ROW_SETTLE_AGAIN, IDEM_OK);
    if (before->state == COMPLETED)
        return ends(ROW_SETTLE_COMPLETED, IDEM_ERR_LOST);
    if (table_tokenless(before))
        return ends(ROW_SETTLE_OLDER, IDEM_ERR_LOST);
    if (lease_live(before, now_ms))
        return ends(ROW_SETTLE_LIVE, IDEM_ERR_LOST);
    verdict made = completes(ROW_SETTLE_EXPIRED, asked, before);
    memcpy(made.after.token, asked->token, IDEM_TOKEN_SIZE);
    return made;
}

static verdict judge_readable(const question *asked, const ground_record *before, uint64_t now_ms)
{
    switch (asked->kind) {
    case IDEM__CALL_BEGIN:
        return judge_begin(asked, before, now_ms);
    case IDEM__CALL_COMPLETE:
        return judge_complete(asked, before, now_ms);
    case IDEM__CALL_RENEW:
        return judge_renew(asked, before);
    case IDEM__CALL_CHECKPOINT:
        return judge_checkpoint(asked, before);
    case IDEM__CALL_RELEASE:
        return judge_release(asked, before);
    case IDEM__CALL_RESUME:
        return judge_resume(asked, before);
    case IDEM__CALL_FORGET_EXPIRED:
        return judge_forget_expired(before, now_ms);
    case IDEM__CALL_SETTLE:
        return judge_settle(asked, before, now_ms);
    case IDEM__CALL_FORGET:
    case IDEM__CALL_FORGET_ANY:
        return judge_forget(before);
    case IDEM__CALL_GET:
        break;
    }
    if (before->state == ABSENT)
        return ends(ROW_GET_ABSENT, IDEM_ERR_NOT_FOUND);
    return ends(ROW_GET_THERE, IDEM_OK);
}

verdict table_judge(const question *asked, const ground_record *before, uint64_t now_ms)
{
    bool forgets = asked->kind == IDEM__CALL_FORGET || asked->kind == IDEM__CALL_FORGET_ANY;
    if (before->state == GARBAGE && asked->kind == IDEM__CALL_FORGET_ANY)
        return judge_forget(before);
    if (before->state == GARBAGE)
        return ends(ROW_ANY_GARBAGE, IDEM_ERR_CORRUPT);
    verdict made = judge_readable(asked, before, now_ms);
    if (before->sealed && made.changes && !forgets)
        return ends(ROW_ANY_SEALED, IDEM_ERR_CORRUPT);
    return made;
}
