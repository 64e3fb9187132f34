/* SPDX-License-Identifier: MIT */
/*
 * The claim object. It remembers the record as last known, version included, so that a change
 * needs one operation; if it remembers wrongly, the operation finds what is there, and the
 * protocol goes on from that. So an update that fails for want of memory does no harm.
 *
 * The object is made before its key is claimed: once the claim stands, nothing can fail any more.
 */
#include "claim.h"

#include "error.h"
#include "store.h"

#include <stdlib.h>

/* No write is stamped with it, so that a change by it finds what is there. */
#define UNKNOWN_VERSION 0

static uint8_t *place(uint8_t *at, idem_bytes bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

int idem__claim_new(const idem_store *store, idem_bytes key, idem_bytes fingerprint,
                    idem_claim **claim, idem_error *error)
{
    idem_bytes prefix = store->prefix;
    size_t room_size = prefix.len + key.len + fingerprint.len;
    idem_claim *made = malloc(sizeof *made + room_size);
    if (!made)
        return idem__error_no_memory(error);
    memset(made, 0, sizeof *made);
    uint8_t *end = place(place(made->room, prefix), key);
    made->held.key = (idem_bytes){made->room, prefix.len + key.len};
    if (fingerprint.len > 0)
        made->held.fingerprint = (idem_bytes){end, fingerprint.len};
    (void)place(end, fingerprint);
    made->room_size = room_size;
    made->store_id = store->id;
    made->prefix_len = prefix.len;
    atomic_init(&made->refs, 1);
    atomic_init(&made->in_call, false);
    atomic_init(&made->lost, false);
    *claim = made;
    return IDEM_OK;
}

/* ------------------------------------------------------------------------- what it remembers */

static idem__claim_bytes *reference(idem__claim_bytes *bytes)
{
    if (bytes)
        (void)atomic_fetch_add_explicit(&bytes->refs, 1, memory_order_relaxed);
    return bytes;
}

void idem__claim_release_bytes(idem__claim_bytes *bytes)
{
    if (bytes && atomic_fetch_sub(&bytes->refs, 1) == 1)
        free(bytes);
}

idem__claim_bytes *idem__claim_hold(const idem_claim *claim, idem_record *held)
{
    *held = claim->held;
    return reference(claim->bytes);
}

static bool lies_in(const uint8_t *room, size_t size, const idem_bytes *part)
{
    uintptr_t first = (uintptr_t)room;
    uintptr_t at = (uintptr_t)part->data;
    return part->len == 0 || (at >= first && at - first + part->len <= size);
}

static bool all_lie_in(const uint8_t *room, size_t size, const idem_record *record)
{
    return lies_in(room, size, &record->key) && lies_in(room, size, &record->fingerprint) &&
           lies_in(room, size, &record->checkpoint) && lies_in(room, size, &record->response);
}

/* Moves a record's bytes into a block of their own. @return NULL: there is no memory */
static idem__claim_bytes *gather(idem_record *record)
{
    idem_bytes *parts[] = {&record->key, &record->fingerprint, &record->checkpoint,
                           &record->response};
    size_t size = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        size += parts[i]->len;
    idem__claim_bytes *made = malloc(sizeof *made + size);
    if (!made)
        return NULL;
    atomic_init(&made->refs, 1);
    made->size = size;
    uint8_t *at = made->data;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint8_t *first = at;
        at = place(at, *parts[i]);
        parts[i]->data = parts[i]->len > 0 ? first : NULL;
    }
    return made;
}

void idem__claim_news_make(idem__claim_news *news, const idem_claim *claim, const idem_record *held,
                           idem__claim_bytes *bytes)
{
    const uint8_t *room = bytes ? bytes->data : claim->room;
    size_t size = bytes ? bytes->size : claim->room_size;
    news->held = *held;
    news->held.memory = NULL;
    news->whole = true;
    if (all_lie_in(room, size, held)) { /* a renewal changes numbers alone */
        news->bytes = reference(bytes);
        return;
    }
    news->bytes = gather(&news->held);
    news->whole = news->bytes != NULL;
}

void idem__claim_take_news(idem_claim *claim, idem__claim_news *news)
{
    idem__claim_bytes *before = claim->bytes;
    claim->stale = !news->whole;
    if (claim->stale)
        return;
    claim->held = news->held;
    claim->bytes = news->bytes;
    news->bytes = before;
}

void idem__claim_news_clear(idem__claim_news *news)
{
    idem__claim_release_bytes(news->bytes);
    news->bytes = NULL;
}

void idem__claim_take(idem_claim *claim, const idem_record *held)
{
    idem_bytes key = claim->held.key;
    idem_bytes fingerprint = claim->held.fingerprint;
    idem__claim_news news = {.whole = false};
    memcpy(claim->token, held->token, IDEM_TOKEN_SIZE);
    bool plain = held->checkpoint.len == 0 && held->response.len == 0 &&
                 held->fingerprint.len == fingerprint.len;
    if (!plain)
        idem__claim_news_make(&news, claim, held, NULL);
    if (news.whole) {
        idem__claim_take_news(claim, &news);
        idem__claim_news_clear(&news); /* what it remembered before */
        return;
    }
    claim->held = *held;
    claim->held.key = key;
    claim->held.fingerprint = fingerprint;
    claim->held.checkpoint = (idem_bytes){NULL, 0};
    claim->held.response = (idem_bytes){NULL, 0};
    claim->held.memory = NULL;
    if (!plain)
        claim->held.version = UNKNOWN_VERSION;
    claim->stale = !plain;
}

void idem__claim_drop(idem_claim *claim)
{
    if (atomic_fetch_sub(&claim->refs, 1) > 1)
        return;
    idem__claim_release_bytes(claim->bytes);
    free(claim);
}

/* --------------------------------------------------------------------------------- asked of it */

idem_bytes idem__claim_key(const idem_claim *claim)
{
    idem_bytes key = claim->held.key;
    key.data = (const char *)key.data + claim->prefix_len;
    key.len -= claim->prefix_len;
    return key;
}

const uint8_t *idem_claim_token(const idem_claim *claim)
{
    return claim ? claim->token : NULL;
}

int idem_token_make(uint8_t token[IDEM_TOKEN_SIZE], idem_error *error)
{
    idem__error_clear(error);
    if (!token)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the place for the token is NULL");
    return idem_random(token, IDEM_TOKEN_SIZE, error);
}

bool idem_claim_lost(const idem_claim *claim)
{
    return claim && atomic_load(&claim->lost);
}

void idem_claim_set_ttl(idem_claim *claim, uint64_t ttl_ms)
{
    if (claim && ttl_ms > 0)
        claim->ttl_ms = ttl_ms < IDEM_DURATION_MAX_MS ? ttl_ms : IDEM_DURATION_MAX_MS;
}
