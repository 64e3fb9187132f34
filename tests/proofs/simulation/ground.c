/* SPDX-License-Identifier: MIT */
/*
 * The simulator's own store, as simple as the contract of a backend allows: an array. It shares no
 * code with any backend, and ends a record's life by the `live_ms` that it was given, not by what
 * the record says, so that a protocol that asks for too short a life is seen to lose records.
 */
#include "ground.h"

short_text text_of(idem_bytes bytes)
{
    short_text text = {.len = bytes.len < TEXT_SIZE ? bytes.len : TEXT_SIZE};
    if (text.len > 0)
        memcpy(text.data, bytes.data, text.len);
    return text;
}

idem_bytes text_bytes(const short_text *text)
{
    return (idem_bytes){text->len ? text->data : NULL, text->len};
}

bool text_equal(const short_text *one, const short_text *other)
{
    return one->len == other->len && memcmp(one->data, other->data, one->len) == 0;
}

static bool text_is(const short_text *text, idem_bytes bytes)
{
    return text->len == bytes.len &&
           (bytes.len == 0 || memcmp(text->data, bytes.data, bytes.len) == 0);
}

ground_record ground_look(const ground *store, size_t key)
{
    ground_record there = store->at[key];
    if (there.state != ABSENT && store->now_ms >= there.until_ms)
        memset(&there, 0, sizeof there);
    return there;
}

void ground_plant(ground *store, size_t key, const ground_record *record, uint64_t live_ms)
{
    ground_record *there = &store->at[key];
    *there = *record;
    there->stored_ms = store->now_ms;
    there->until_ms = store->now_ms + live_ms;
}

/* A record of the older format has no version that could be named, and of a sealed one it can't be
   compared. A replace that is told "any version" is obeyed here, on an absent key too: the contract
   knows that for remove alone, but a protocol that stopped comparing versions shall be seen to
   fail, not saved by its store. */
static bool may_change(const ground_request *request, const ground_record *there)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    bool versioned = memcmp(there->token, none, sizeof none) != 0 && !there->sealed;
    if (request->kind == IDEM_OP_INSERT)
        return there->state == ABSENT;
    if (request->kind == IDEM_OP_GET)
        return false;
    if (there->state == ABSENT)
        return request->kind == IDEM_OP_REPLACE && request->any_version;
    if (there->state == GARBAGE)
        return request->kind == IDEM_OP_REMOVE && request->any_version;
    return request->any_version || (versioned && there->version == request->expected);
}

ground_reply ground_carry_out(ground *store, const ground_request *request)
{
    ground_reply reply = {.before = ground_look(store, request->key)};
    reply.applied = may_change(request, &reply.before);
    if (!reply.applied)
        return reply;
    if (request->kind == IDEM_OP_REMOVE)
        memset(&store->at[request->key], 0, sizeof store->at[0]);
    else
        ground_plant(store, request->key, &request->record, request->live_ms);
    return reply;
}

ground_record ground_record_of(const idem_record *record)
{
    ground_record made = {
        .state = record->status == IDEM_STATUS_COMPLETED ? COMPLETED : IN_PROGRESS,
        .version = record->version,
        .attempt = record->attempt,
        .created_at_ms = record->created_at_ms,
        .lease_ms = record->lease_ms,
        .ttl_ms = record->ttl_ms,
        .fingerprint = text_of(record->fingerprint),
        .response = text_of(record->response),
        .checkpoint = text_of(record->checkpoint),
    };
    memcpy(made.token, record->token, IDEM_TOKEN_SIZE);
    return made;
}

ground_request ground_request_of(const idem_op *op)
{
    ground_request request = {
        .kind = op->kind,
        .any_version = op->any_version,
        .key = (size_t)(((const char *)op->key.data)[1] - '0'),
        .expected = op->expected,
        .live_ms = op->live_ms,
    };
    if (op->record)
        request.record = ground_record_of(op->record);
    return request;
}

void ground_answer(const ground_reply *reply, uint64_t now_ms, idem_op *op)
{
    const ground_record *there = &reply->before;
    op->applied = reply->applied;
    if (reply->applied || there->state == ABSENT)
        return;
    if (there->state == GARBAGE) {
        idem_op_fail(op, false, IDEM_ERR_CORRUPT, "what is stored is garbage");
        return;
    }
    idem_record found = {
        .key = op->key,
        .fingerprint = text_bytes(&there->fingerprint),
        .response = text_bytes(&there->response),
        .checkpoint = text_bytes(&there->checkpoint),
        .status = there->state == COMPLETED ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS,
        .attempt = there->attempt,
        .version = there->version,
        .created_at_ms = there->created_at_ms,
        .lease_ms = there->lease_ms,
        .ttl_ms = there->ttl_ms,
        .age_ms = now_ms - there->stored_ms,
    };
    memcpy(found.token, there->token, IDEM_TOKEN_SIZE);
    op->has_found = true;
    if (idem_record_copy(&found, &op->found, NULL) != IDEM_OK)
        idem_op_fail(op, true, IDEM_ERR_NO_MEMORY, "no memory for the simulation");
}

bool ground_is(const ground_record *truth, const idem_record *given)
{
    ground_state state = given->status == IDEM_STATUS_COMPLETED ? COMPLETED : IN_PROGRESS;
    return truth->state == state && truth->version == given->version &&
           truth->attempt == given->attempt && truth->created_at_ms == given->created_at_ms &&
           truth->lease_ms == given->lease_ms && truth->ttl_ms == given->ttl_ms &&
           memcmp(truth->token, given->token, IDEM_TOKEN_SIZE) == 0 &&
           text_is(&truth->fingerprint, given->fingerprint) &&
           text_is(&truth->response, given->response) &&
           text_is(&truth->checkpoint, given->checkpoint);
}
