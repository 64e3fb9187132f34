/* SPDX-License-Identifier: MIT */
/* Claims: what a caller knows of the record that it holds. */
#ifndef IDEM_CORE_CLAIM_H
#define IDEM_CORE_CLAIM_H

#include "timer.h"

#include <idem/idem.h>

#include <stdatomic.h>

typedef struct idem__keeper idem__keeper;

/** The bytes of a record that a claim remembers. They never change, so that a call uses them
 *  without a copy and without a lock. */
typedef struct {
    atomic_uint refs;
    size_t size;
    uint8_t data[];
} idem__claim_bytes;

/* Without keepalive a claim belongs to one thread. With it, everything but `token` and what is
   atomic is guarded by idem__keepalive_lock(). */
struct idem_claim {
    idem_record held;         /* the record as last known, under its full key; it owns no memory */
    idem__claim_bytes *bytes; /* what its bytes are in; NULL: in `room` */
    uint8_t token[IDEM_TOKEN_SIZE];
    uint64_t store_id; /* of the store that made it, the only one that may change it */
    size_t prefix_len; /* of the store's prefix in held.key */
    uint64_t ttl_ms;   /* for the next change; 0: as it is */
    atomic_bool lost;

    atomic_uint refs;    /* the owner's, the keeper's while it renews, a submitted call's */
    atomic_bool in_call; /* a submitted call has it in hand */

    bool reinstate;       /* the caller asked for it, and the claim has not ended */
    bool stale;           /* there was no memory for all of what the record is now */
    bool kept;            /* the caller asked for keepalive */
    bool freed;           /* by its owner; somebody else has it in hand still */
    bool renewing;        /* the keeper has a reference */
    bool ending;          /* complete or release is under way */
    bool in_doubt;        /* a complete or release may have ended the claim: its reply was lost */
    bool given_back;      /* release is under way, or has ended the claim, or may have */
    uint32_t generation;  /* counts the owner's calls that have changed the record, or may have */
    idem__keeper *keeper; /* NULL: it is not renewed */
    idem__timer timer;    /* when to renew next, in the keeper's heap */
    size_t room_size;
    uint8_t room[]; /* for the key and the fingerprint that it was made with */
};

/** Makes a claim of a store that is not held yet, on copies of the key, with the prefix in front,
 *  and of the fingerprint. @return IDEM_ERR_NO_MEMORY */
int idem__claim_new(const idem_store *store, idem_bytes key, idem_bytes fingerprint,
                    idem_claim **claim, idem_error *error);

/** Takes in the record of its key that is held from now on. Can't fail: without memory for the
 *  whole record the claim's next call reads it anew. */
void idem__claim_take(idem_claim *claim, const idem_record *held);

/** Gives a reference back; the last one frees the object. */
void idem__claim_drop(idem_claim *claim);

/** What the claim knows of its record, for a call. @return what the bytes are in, for
 *  idem__claim_release_bytes(). Lock held if the claim is kept */
idem__claim_bytes *idem__claim_hold(const idem_claim *claim, idem_record *held);
void idem__claim_release_bytes(idem__claim_bytes *bytes);

/** What the record is now, ready to be taken in. It is made without the lock, since a checkpoint
 *  may be large. */
typedef struct {
    idem_record held;
    idem__claim_bytes *bytes;
    bool whole; /* false: there was no memory for it */
} idem__claim_news;

/** @param bytes  what the call was given by idem__claim_hold(): bytes in them are not copied */
void idem__claim_news_make(idem__claim_news *news, const idem_claim *claim, const idem_record *held,
                           idem__claim_bytes *bytes);

/** Takes them in; `news` has what is to be freed then. Lock held if the claim is kept. */
void idem__claim_take_news(idem_claim *claim, idem__claim_news *news);
void idem__claim_news_clear(idem__claim_news *news);

/** The key as the caller named it. */
idem_bytes idem__claim_key(const idem_claim *claim);

#endif
