/* SPDX-License-Identifier: MIT */
/* Claims: what a caller knows of the record that it holds. */
#ifndef IDEM_CORE_CLAIM_H
#define IDEM_CORE_CLAIM_H

#include <idem/idem.h>

#include <stdatomic.h>

typedef struct idem__keeper idem__keeper;

/* Without keepalive a claim belongs to one thread. With it, everything but `token` and what is
   atomic is guarded by idem__keepalive_lock(). */
struct idem_claim {
    idem_record held; /* the record as last known, under its full key; its bytes are in
                         `room`, or its own */
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
    bool given_back;      /* release is under way, or has ended the claim */
    idem__keeper *keeper; /* NULL: not on a keeper's list */
    idem_claim *next;
    uint64_t due_ms; /* when to renew next, idem_monotonic_ms() */
    uint8_t room[];  /* for the key and the fingerprint that it was made with */
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

/** Takes in what the record is now. */
void idem__claim_update(idem_claim *claim, const idem_record *held);

/** The key as the caller named it. */
idem_bytes idem__claim_key(const idem_claim *claim);

#endif
