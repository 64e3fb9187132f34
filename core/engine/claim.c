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
    idem_claim *made = malloc(sizeof *made + prefix.len + key.len + fingerprint.len);
    if (!made)
        return idem__error_no_memory(error);
    memset(made, 0, sizeof *made);
    uint8_t *end = place(place(made->room, prefix), key);
    made->held.key = (idem_bytes){made->room, prefix.len + key.len};
    if (fingerprint.len > 0)
        made->held.fingerprint = (idem_bytes){end, fingerprint.len};
    (void)place(end, fingerprint);
    made->store_id = store->id;
    made->prefix_len = prefix.len;
    atomic_init(&made->refs, 1);
    atomic_init(&made->in_call, false);
    atomic_init(&made->lost, false);
    *claim = made;
    return IDEM_OK;
}

void idem__claim_take(idem_claim *claim, const idem_record *held)
{
    idem_bytes key = claim->held.key;
    idem_bytes fingerprint = claim->held.fingerprint;
    memcpy(claim->token, held->token, IDEM_TOKEN_SIZE);
    bool plain = held->checkpoint.len == 0 && held->response.len == 0 &&
                 held->fingerprint.len == fingerprint.len;
    if (!plain && idem_record_copy(held, &claim->held, NULL) == IDEM_OK)
        return;
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
    free(claim->held.memory);
    free(claim);
}

void idem__claim_update(idem_claim *claim, const idem_record *held)
{
    idem_record copy;
    claim->stale = idem_record_copy(held, &copy, NULL) != IDEM_OK;
    if (claim->stale)
        return;
    idem_record_clear(&claim->held);
    claim->held = copy;
}

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
