/* SPDX-License-Identifier: MIT */
/*
 * Listing records: SCAN gives keys, and each key's record is read with its PTTL. SCAN walks over
 * the whole database, whatever the prefix; a page therefore takes several steps, until it has
 * enough records or half of its time is gone. Its cursor is the page's.
 *
 * A database has other users, so a key whose value is no text, or a text that neither begins like
 * ours nor can be read, is passed over. A text that begins like ours and can't be read is an error.
 */
#include "scan.h"

#include "reading.h"
#include "scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_KEYS   "256"
#define WINDOW_KEYS 16u /* read in one go: a record may have 8 MiB */
#define PATTERN_MAX (2 * (IDEM_KEY_MAX + IDEM_PREFIX_MAX) + 1)

typedef struct {
    idem__redis *self;
    idem_scan_page *page;
    uint64_t deadline_ms;
    uint64_t given;
    idem__redis_fault *fault;
} walk;

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

static int wrong_kind(const walk *at)
{
    return idem__redis_fault_set(at->fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s sent an answer of the wrong kind: is it Redis?",
                                 at->self->name);
}

/* Reads a reply that has to be of a type. NULL: the fault says why. */
static redisReply *expect(walk *at, int type)
{
    redisReply *reply = NULL;
    if (idem__redis_wire_reply(&at->self->wire, at->deadline_ms, &reply, at->fault))
        return NULL;
    if (reply->type == type)
        return reply;
    idem_bytes none = {NULL, 0};
    if (reply->type == REDIS_REPLY_ERROR)
        (void)idem__redis_fault_take(at->fault, at->self->name, none,
                                     (idem_bytes){reply->str, reply->len});
    else
        (void)wrong_kind(at);
    freeReplyObject(reply);
    return NULL;
}

/* --------------------------------------------------------------------------------- records */

static bool may_be_ours(const idem_scan_page *page, const redisReply *key)
{
    return key->type == REDIS_REPLY_STRING && key->len > 0 && key->len >= page->prefix.len &&
           key->len <= IDEM_KEY_MAX + IDEM_PREFIX_MAX &&
           (page->prefix.len == 0 || memcmp(key->str, page->prefix.data, page->prefix.len) == 0);
}

static bool begins_like_ours(idem_bytes text)
{
    static const char beginning[] = "{\"version\":\"";
    return text.len >= sizeof beginning - 1 &&
           memcmp(text.data, beginning, sizeof beginning - 1) == 0;
}

static int give(walk *at, idem_bytes key, idem_bytes text, long long pttl)
{
    idem_record record = {0};
    idem_error error = {0};
    int rc = idem__redis_read_record(key, text, pttl, &record, &error);
    if (rc == IDEM_ERR_CORRUPT && !begins_like_ours(text))
        return IDEM_OK;
    if (rc == IDEM_OK) {
        rc = at->page->emit(at->page->emit_user, &record, &error);
        at->given++;
    }
    idem_record_clear(&record);
    return rc ? idem__redis_fault_set(at->fault, true, rc, "%s", error.message) : IDEM_OK;
}

/* A key of another type is somebody else's. */
static int take_refusal(const walk *at, idem_bytes name, idem_bytes text)
{
    if (idem__redis_fault_is(text, "WRONGTYPE"))
        return IDEM_OK;
    return idem__redis_fault_take(at->fault, at->self->name, name, text);
}

static int take_record(walk *at, const redisReply *key)
{
    redisReply *reply = NULL;
    idem_bytes name = {key->str, key->len};
    idem_bytes text;
    long long pttl;
    int rc = idem__redis_wire_reply(&at->self->wire, at->deadline_ms, &reply, at->fault);
    if (rc)
        return rc;
    if (reply->type == REDIS_REPLY_ERROR)
        rc = take_refusal(at, name, (idem_bytes){reply->str, reply->len});
    else if (idem__redis_read_found(reply, &text, &pttl))
        rc = give(at, name, text, pttl);
    else if (reply->type != REDIS_REPLY_NIL) /* nil: it has gone in the meantime */
        rc = wrong_kind(at);
    freeReplyObject(reply);
    return rc;
}

static int take_window(walk *at, redisReply *const *keys, size_t count)
{
    int rc = IDEM_OK;
    const char *script = idem__redis_sources[IDEM__REDIS_READ].text;
    idem__redis_wire_begin(&at->self->wire, false);
    for (size_t i = 0; rc == IDEM_OK && i < count; i++) {
        idem_bytes words[] = {
            idem_str("EVAL"), idem_str(script), idem_str("1"), {keys[i]->str, keys[i]->len}};
        if (may_be_ours(at->page, keys[i]))
            rc = idem__redis_wire_append(&at->self->wire, 4, words, at->fault);
    }
    for (size_t i = 0; rc == IDEM_OK && i < count; i++) {
        if (may_be_ours(at->page, keys[i]))
            rc = take_record(at, keys[i]);
    }
    return rc;
}

/* ----------------------------------------------------------------------------------- steps */

static int ask_step(walk *at, uint64_t cursor)
{
    char number[24];
    char pattern[PATTERN_MAX];
    size_t len = make_pattern(at->page->prefix, pattern);
    (void)snprintf(number, sizeof number, "%" PRIu64, cursor);
    idem_bytes words[] = {idem_str("SCAN"), idem_str(number),  idem_str("MATCH"),
                          {pattern, len},   idem_str("COUNT"), idem_str(STEP_KEYS),
                          idem_str("TYPE"), idem_str("string")};
    idem__redis_wire_begin(&at->self->wire, false);
    return idem__redis_wire_append(&at->self->wire, sizeof words / sizeof words[0], words,
                                   at->fault);
}

static bool is_step(const redisReply *reply)
{
    return reply->elements == 2 && reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

/* One SCAN and the records that it leads to. */
static int step(walk *at, uint64_t *cursor)
{
    int rc = ask_step(at, *cursor);
    redisReply *reply = rc ? NULL : expect(at, REDIS_REPLY_ARRAY);
    if (!reply)
        return at->fault->error.code;
    if (is_step(reply)) {
        const redisReply *keys = reply->element[1];
        *cursor = strtoull(reply->element[0]->str, NULL, 10);
        for (size_t i = 0; rc == IDEM_OK && i < keys->elements; i += WINDOW_KEYS) {
            size_t left = keys->elements - i;
            rc = take_window(at, keys->element + i, left < WINDOW_KEYS ? left : WINDOW_KEYS);
        }
    } else {
        rc = wrong_kind(at);
    }
    freeReplyObject(reply);
    return rc;
}

int idem__redis_scan(idem__redis *self, idem_scan_page *page, uint64_t deadline_ms,
                     idem__redis_fault *fault)
{
    walk at = {.self = self, .page = page, .deadline_ms = deadline_ms, .fault = fault};
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t enough_ms = now_ms < deadline_ms ? now_ms + (deadline_ms - now_ms) / 2 : now_ms;
    uint64_t cursor = page->cursor;
    int rc;
    do {
        rc = step(&at, &cursor);
    } while (rc == IDEM_OK && cursor != 0 && at.given < page->limit &&
             idem_monotonic_ms() < enough_ms);
    page->next = cursor;
    if (rc)
        idem__redis_wire_close(&self->wire);
    else
        idem__redis_wire_begin(&self->wire, false);
    return rc;
}
