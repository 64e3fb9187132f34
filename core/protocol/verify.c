/* SPDX-License-Identifier: MIT */
/*
 * Nothing is believed because a backend returned it: a file may have been written by hand, a server
 * may hold another program's data, a backend of somebody's own may have a bug. What is handed on
 * from here is what its fields say it is; callers put a checkpoint into an environment and a
 * response between other members of a JSON text on that.
 */
#include "verify.h"

#include "error.h"
#include "json.h"

#define TEXT_MAX (UINT64_C(256) * 1024 * 1024) /* no store takes more: `max_response` */

static inline bool has_token(const idem_record *record)
{
    uint64_t halves[2];
    memcpy(halves, record->token, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

static inline bool is_sound(const idem_bytes *bytes, uint64_t max)
{
    return bytes->len <= max && (bytes->len == 0 || bytes->data);
}

static bool is_json(idem_bytes text)
{
    idem__json json;
    return idem__json_valid(&json, text);
}

/* A record of the format's first writer has nothing but its status, its times and its response. */
static bool is_of_first_format(const idem_record *record)
{
    return record->version == 0 && record->attempt == 1 && record->fingerprint.len == 0 &&
           record->checkpoint.len == 0 && record->encoding == IDEM_ENCODING_JSON;
}

static inline const char *check_fields(const idem_record *record)
{
    if (record->status != IDEM_STATUS_IN_PROGRESS && record->status != IDEM_STATUS_COMPLETED)
        return "its status is unknown";
    if (record->attempt == 0)
        return "its attempt is 0";
    if (record->encoding != IDEM_ENCODING_JSON &&
        (record->encoding != IDEM_ENCODING_BYTES || record->status != IDEM_STATUS_COMPLETED))
        return "its encoding is unknown";
    if (record->lease_ms > IDEM_DURATION_MAX_MS || record->ttl_ms > IDEM_DURATION_MAX_MS)
        return "its lease or its retention is no duration";
    if (!has_token(record) && !is_of_first_format(record))
        return "it has no token";
    return NULL;
}

static inline const char *check_lengths(const idem_record *record)
{
    if (!is_sound(&record->fingerprint, IDEM_FINGERPRINT_MAX))
        return "its fingerprint is none";
    if (!is_sound(&record->response, TEXT_MAX) || !is_sound(&record->checkpoint, TEXT_MAX))
        return "a length in it is wrong";
    if (record->status == IDEM_STATUS_COMPLETED && record->response.len == 0 &&
        record->encoding == IDEM_ENCODING_JSON)
        return "it is completed without a response";
    if (record->status == IDEM_STATUS_IN_PROGRESS && record->response.len > 0)
        return "it has a response and is not completed";
    return NULL;
}

static const char *check_texts(const idem_record *record)
{
    if (record->status == IDEM_STATUS_COMPLETED && record->encoding == IDEM_ENCODING_JSON &&
        !is_json(record->response))
        return "its response is no JSON";
    if (record->checkpoint.len > 0 && !is_json(record->checkpoint))
        return "its checkpoint is no JSON";
    return NULL;
}

static inline const char *verify(const idem_record *record, bool whole)
{
    const char *wrong = check_fields(record);
    if (!wrong)
        wrong = check_lengths(record);
    return wrong || !whole ? wrong : check_texts(record);
}

const char *idem__verify_record(const idem_record *record, bool whole)
{
    return verify(record, whole);
}

static inline bool is_same(const idem_bytes *a, const idem_bytes *b)
{
    return a->len == b->len && a->data && memcmp(a->data, b->data, a->len) == 0;
}

static void refuse(idem_op *op, const char *wrong)
{
    char quoted[IDEM_QUOTE_SIZE];
    idem_record_clear(&op->found);
    op->has_found = false;
    idem_op_fail(
        op, true, IDEM_ERR_CORRUPT,
        "the record of %s is not what it should be (%s); it was left as it is: look at it, "
        "then remove it with idem_forget_any() or idem forget --force",
        idem_quote(op->key, quoted), wrong);
}

static void refuse_contradiction(idem_op *op)
{
    idem_record_clear(&op->found);
    op->applied = false;
    op->has_found = false;
    idem_op_fail(
        op, false, IDEM_ERR_UNCERTAIN,
        "the backend contradicts itself: the change was made, and something was in its way; "
        "report it to who wrote the backend");
}

void idem__verify_found(idem_op *const *ops, size_t count, bool whole)
{
    for (size_t i = 0; i < count; i++) {
        idem_op *op = ops[i];
        if (op->error.code != IDEM_OK)
            op->error.code = idem__error_known(op->error.code);
        /* A change that a read has made is none, and an answer that contradicts itself is none
           either: no caller is told that a key is New on the word of such a backend. */
        if (op->kind == IDEM_OP_GET)
            op->applied = false;
        if (op->applied && op->has_found)
            refuse_contradiction(op);
        if (!op->has_found)
            continue;
        const char *wrong =
            is_same(&op->found.key, &op->key) ? verify(&op->found, whole) : "it is another key's";
        if (wrong)
            refuse(op, wrong);
    }
}
