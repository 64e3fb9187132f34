/* SPDX-License-Identifier: MIT */
/*
 * Listing records: SCAN gives keys, their values are measured, and what may be a record is read.
 * SCAN walks over the whole database, whatever the prefix; a page therefore takes several steps,
 * until it has enough records or half of its time is gone. Its cursor is the page's.
 *
 * What stands under the store's prefix and can't be read as a record is given as corrupt: a key of
 * another type, a text that is none. Keys that the user may not touch are passed over. A long value
 * that does not begin like a record is not fetched for that. A step whose records are long together
 * is done again with fewer keys, since core keeps a page.
 *
 * A server may answer anything. A cursor that is no number, or leads back to where the scan was, is
 * an error: a scan has no deadline of its own, and would go round for ever.
 */
#include "scan.h"

#include "batch.h"
#include "cluster_map.h"
#include "reading.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_KEYS     256u
#define STEP_KEYS_MIN 4u
#define STEP_BYTES    33554432u /* of the records of one step */
#define READ_BYTES    8388608u  /* of those that are read in one go */
#define READ_KEYS     64u
#define LONG_BYTES    1048576u /* whatever is longer has to begin like a record */
#define HEAD_LEN      256u
#define PATTERN_MAX   (2 * (IDEM_KEY_MAX + IDEM_PREFIX_MAX) + 1)

/* A key of a step, and what is known of its value. */
typedef struct {
    idem_bytes name;
    bool corrupt;
    bool closed; /* this user may not touch the key */
    size_t len;
} candidate;

typedef struct {
    idem__redis *self;
    idem_scan_page *page;
    uint64_t deadline_ms;
    uint64_t given;
    size_t step_keys;
    bool again; /* the last step is to be made again, with fewer keys */
    idem__redis_trail trail;
    idem__redis_fault *fault;
} walk;

static int wrong_kind(const walk *at)
{
    return idem__redis_fault_set(at->fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s sent an answer of the wrong kind: is it Redis?",
                                 at->self->name);
}

static int hear(const walk *at, redisReply **reply)
{
    return idem__redis_wire_reply(&at->self->wire, at->deadline_ms, reply, at->fault);
}

/* ---------------------------------------------------------------------------------- measuring */

/* True if a text may be a record: an object, with a member of ours near its beginning. */
static bool begins_like_a_record(const redisReply *head)
{
    static const char *const names[] = {"\"version\"", "\"status\""};
    size_t at = 0;
    if (head->type != REDIS_REPLY_STRING)
        return true; /* there is no right to look: reading it tells */
    while (at < head->len && strchr(" \t\r\n", head->str[at]))
        at++;
    if (at == head->len || head->str[at] != '{')
        return false;
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(names[i]);
        for (size_t from = at; from + len <= head->len; from++) {
            if (memcmp(head->str + from, names[i], len) == 0)
                return true;
        }
    }
    return false;
}

static bool is_of_another_type(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           idem__redis_fault_is((idem_bytes){reply->str, reply->len}, "WRONGTYPE");
}

/* Refused for the key, and not for the command. */
static bool is_closed_to_us(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR &&
           idem__redis_fault_is((idem_bytes){reply->str, reply->len}, "NOPERM") &&
           !strstr(reply->str, "command");
}

static int take_measure(const walk *at, candidate *key)
{
    redisReply *len = NULL;
    redisReply *head = NULL;
    int rc = hear(at, &len);
    if (rc == IDEM_OK)
        rc = hear(at, &head);
    if (rc == IDEM_OK) {
        if (len->type == REDIS_REPLY_INTEGER && len->integer > 0)
            key->len = (size_t)len->integer;
        key->closed = is_closed_to_us(len) && is_closed_to_us(head);
        key->corrupt = is_of_another_type(len) || is_of_another_type(head) ||
                       (key->len > LONG_BYTES && !begins_like_a_record(head));
    }
    if (len)
        freeReplyObject(len);
    if (head)
        freeReplyObject(head);
    return rc;
}

static int measure(const walk *at, candidate *keys, size_t count)
{
    char last[IDEM__REDIS_DIGITS_MAX];
    idem_bytes end = idem__redis_wire_number(HEAD_LEN - 1, last);
    int rc = IDEM_OK;
    idem__redis_wire_begin(&at->self->wire, false);
    for (size_t i = 0; rc == IDEM_OK && i < count; i++) {
        idem_bytes len[] = {idem_str("STRLEN"), keys[i].name};
        idem_bytes head[] = {idem_str("GETRANGE"), keys[i].name, idem_str("0"), end};
        rc = idem__redis_wire_append(&at->self->wire, 2, len, at->fault);
        if (rc == IDEM_OK)
            rc = idem__redis_wire_append(&at->self->wire, 4, head, at->fault);
    }
    for (size_t i = 0; rc == IDEM_OK && i < count; i++)
        rc = take_measure(at, &keys[i]);
    return rc;
}

/* ------------------------------------------------------------------------------------ records */

static int emit(walk *at, const idem_record *record)
{
    idem_error error = {0};
    int rc = at->page->emit(at->page->emit_user, record, &error);
    at->given++;
    return rc ? idem__redis_fault_set(at->fault, true, rc, "%s", error.message) : IDEM_OK;
}

static int give(walk *at, const candidate *key, idem_op *op)
{
    idem_record corrupt = {.key = key->name, .status = IDEM_STATUS_CORRUPT};
    if (key->closed)
        return IDEM_OK;
    if (key->corrupt || op->error.code == IDEM_ERR_CORRUPT)
        return emit(at, &corrupt);
    if (at->self->clustered && idem__redis_redirect_told(op))
        return IDEM_OK; /* it has moved: the other node lists it */
    if (op->error.code)
        return idem__redis_fault_set(at->fault, op->permanent, op->error.code, "%s",
                                     op->error.message);
    return op->has_found ? emit(at, &op->found) : IDEM_OK; /* it has gone in the meantime */
}

/* Reads and gives keys from the front of a list, as many as go together. @return how many */
static size_t give_some(walk *at, const candidate *keys, size_t count, int *rc)
{
    idem_op ops[READ_KEYS];
    idem_op *asked[READ_KEYS];
    size_t taken = 0;
    size_t asked_count = 0;
    size_t bytes = 0;
    for (; taken < count && taken < READ_KEYS; taken++) {
        bytes += keys[taken].corrupt ? 0 : keys[taken].len;
        if (taken > 0 && bytes > READ_BYTES)
            break;
        ops[taken] = (idem_op){.kind = IDEM_OP_GET, .key = keys[taken].name};
        if (!keys[taken].corrupt && !keys[taken].closed)
            asked[asked_count++] = &ops[taken];
    }
    if (asked_count > 0)
        (void)idem__redis_batch_run(at->self, asked, asked_count, at->deadline_ms);
    for (size_t i = 0; i < taken; i++) {
        if (*rc == IDEM_OK)
            *rc = give(at, &keys[i], &ops[i]);
        idem_record_clear(&ops[i].found);
    }
    return taken;
}

/* -------------------------------------------------------------------------------------- steps */

static size_t make_pattern(idem_bytes prefix, char pattern[PATTERN_MAX])
{
    const char *data = prefix.data;
    size_t len = 0;
    for (size_t i = 0; i < prefix.len; i++) {
        if (data[i] != '\0' && strchr("*?[]\\^", data[i]))
            pattern[len++] = '\\';
        pattern[len++] = data[i];
    }
    pattern[len++] = '*';
    return len;
}

static int ask_step(const walk *at, uint64_t cursor, redisReply **reply)
{
    char from[IDEM__REDIS_DIGITS_MAX];
    char keys[IDEM__REDIS_DIGITS_MAX];
    char pattern[PATTERN_MAX];
    size_t len = make_pattern(at->page->prefix, pattern);
    idem_bytes words[] = {idem_str("SCAN"),  idem__redis_wire_number(cursor, from),
                          idem_str("MATCH"), {pattern, len},
                          idem_str("COUNT"), idem__redis_wire_number(at->step_keys, keys)};
    idem__redis_wire_begin(&at->self->wire, false);
    int rc =
        idem__redis_wire_append(&at->self->wire, sizeof words / sizeof words[0], words, at->fault);
    return rc ? rc : hear(at, reply);
}

static bool read_cursor(const redisReply *reply, uint64_t *cursor)
{
    uint64_t number = 0;
    if (reply->type != REDIS_REPLY_STRING || reply->len == 0)
        return false;
    for (size_t i = 0; i < reply->len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)reply->str[i] - '0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *cursor = number;
    return true;
}

static bool may_be_ours(const idem_scan_page *page, const redisReply *key)
{
    return key->len > 0 && key->len >= page->prefix.len &&
           key->len <= IDEM_KEY_MAX + IDEM_PREFIX_MAX &&
           (page->prefix.len == 0 || memcmp(key->str, page->prefix.data, page->prefix.len) == 0);
}

/* The keys of a step that may be this store's. NULL: the fault says why; free() it. */
static candidate *take_keys(const walk *at, const redisReply *list, size_t *count)
{
    candidate *keys = calloc(list->elements + 1, sizeof *keys);
    *count = 0;
    if (!keys)
        (void)idem__redis_fault_set(at->fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; keys && i < list->elements; i++) {
        const redisReply *key = list->element[i];
        if (key->type != REDIS_REPLY_STRING) {
            (void)wrong_kind(at);
            free(keys);
            return NULL;
        }
        if (may_be_ours(at->page, key))
            keys[(*count)++].name = (idem_bytes){key->str, key->len};
    }
    return keys;
}

/* Measures and gives the keys of one step, unless their records are too long together. */
static int give_all(walk *at, const redisReply *list)
{
    size_t count = 0;
    size_t bytes = 0;
    candidate *keys = take_keys(at, list, &count);
    if (!keys)
        return at->fault->error.code;
    int rc = count > 0 ? measure(at, keys, count) : IDEM_OK;
    for (size_t i = 0; i < count; i++)
        bytes += keys[i].corrupt ? 0 : keys[i].len;
    at->again = rc == IDEM_OK && bytes > STEP_BYTES && at->step_keys > STEP_KEYS_MIN;
    for (size_t i = 0; rc == IDEM_OK && !at->again && i < count;)
        i += give_some(at, keys + i, count - i, &rc);
    free(keys);
    return rc;
}

/* Whether a cursor comes again (Brent's way: it is compared with a mark, which is set anew at steps
   that are ever further apart). */
static bool leads_back(idem__redis_trail *trail, uint64_t cursor, uint64_t next)
{
    if (next == 0)
        return false;
    if (next == cursor || next == trail->mark)
        return true;
    if (++trail->steps >= trail->limit) {
        trail->mark = next;
        trail->steps = 0;
        trail->limit *= 2;
    }
    return false;
}

static int take_step(walk *at, const redisReply *reply, uint64_t *cursor)
{
    uint64_t next = 0;
    if (reply->type == REDIS_REPLY_ERROR)
        return idem__redis_fault_take(at->fault, at->self->name, (idem_bytes){NULL, 0},
                                      (idem_bytes){reply->str, reply->len});
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY || !read_cursor(reply->element[0], &next))
        return wrong_kind(at);
    if (leads_back(&at->trail, *cursor, next))
        return idem__redis_fault_set(at->fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s leads a scan round in a circle: is it Redis?",
                                     at->self->name);
    int rc = give_all(at, reply->element[1]);
    if (at->again)
        at->step_keys = at->step_keys / 4 > STEP_KEYS_MIN ? at->step_keys / 4 : STEP_KEYS_MIN;
    else
        *cursor = next;
    return rc;
}

/* One SCAN and the records that it leads to. */
static int step(walk *at, uint64_t *cursor)
{
    redisReply *reply = NULL;
    idem__redis_trail before = at->trail;
    at->again = false;
    int rc = ask_step(at, *cursor, &reply);
    if (rc == IDEM_OK)
        rc = take_step(at, reply, cursor);
    if (at->again)
        at->trail = before;
    if (reply)
        freeReplyObject(reply);
    return rc;
}

int idem__redis_scan(idem__redis *self, idem_scan_page *page, uint64_t deadline_ms,
                     idem__redis_fault *fault)
{
    walk at = {.self = self,
               .page = page,
               .deadline_ms = deadline_ms,
               .step_keys = STEP_KEYS,
               .trail = self->trail,
               .fault = fault};
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t enough_ms = now_ms < deadline_ms ? now_ms + (deadline_ms - now_ms) / 2 : now_ms;
    uint64_t cursor = page->cursor;
    int rc;
    if (cursor == 0 || cursor != self->trail.last)
        at.trail = (idem__redis_trail){.limit = 1};
    do {
        rc = step(&at, &cursor);
    } while (rc == IDEM_OK && (at.again || (cursor != 0 && at.given < page->limit &&
                                            idem_monotonic_ms() < enough_ms)));
    page->next = cursor;
    if (rc) {
        idem__redis_wire_close(&self->wire);
        return rc;
    }
    self->trail = at.trail;
    self->trail.last = cursor;
    idem__redis_wire_begin(&self->wire, false);
    return IDEM_OK;
}
