/* SPDX-License-Identifier: MIT */
/*
 * What a server holds at a key, as a record with an age. The age is the life that the record was
 * given less what is left of it, both by the server's clock; machines' clocks are never compared.
 *
 * Where somebody has given a key a longer life by hand, or none that ends, the record counts as
 * just written: a claim that may be live is never taken for an expired one. The owner's next
 * change puts it right; if there is no owner any more, an operator's answer ends it (settle), which
 * IDEM_RECORD_UNDATED allows, or forgetting the key does.
 */
#include "reading.h"

#define CLOCKS_APART_MS 60000u

static bool has_token(const idem_record *record)
{
    static const uint8_t none[IDEM_TOKEN_SIZE];
    return memcmp(record->token, none, sizeof none) != 0;
}

/* True if the key lives longer than any write of ours lets it. A server whose clock was set back,
   or a replica that was promoted and whose clock is behind, does not make it so. */
static bool is_undated(const idem_record *record, long long pttl)
{
    return record->status == IDEM_STATUS_IN_PROGRESS &&
           (pttl < 0 || (uint64_t)pttl > idem_record_live_ms(record) + CLOCKS_APART_MS);
}

static uint64_t age_of(const idem_record *record, long long pttl)
{
    uint64_t live_ms = idem_record_live_ms(record);
    if (pttl < 0 || (uint64_t)pttl >= live_ms)
        return 0;
    return live_ms - (uint64_t)pttl;
}

/* A record of the format's first writer says nothing of its life: the key does. */
static uint64_t life_of(long long pttl)
{
    if (pttl < 0 || (uint64_t)pttl > IDEM_DURATION_MAX_MS)
        return IDEM_DURATION_MAX_MS;
    return pttl > 0 ? (uint64_t)pttl : 1;
}

int idem__redis_read_record(idem_bytes key, idem_bytes text, long long pttl, idem_record *record,
                            idem_error *error)
{
    int rc = idem_record_decode(key, text.data, text.len, record, error);
    if (rc)
        return rc;
    if (has_token(record)) {
        record->age_ms = age_of(record, pttl);
        record->flags = is_undated(record, pttl) ? IDEM_RECORD_UNDATED : 0;
    } else {
        /* In progress it is until its key expires, and nothing of it stays behind. */
        record->lease_ms = life_of(pttl);
        record->ttl_ms = record->status == IDEM_STATUS_COMPLETED ? record->lease_ms : 0;
    }
    return IDEM_OK;
}

/* A text and how long it lives, at the front of an array. What is there has a life, or one without
   end. */
static bool read_pair(const redisReply *reply, size_t elements, idem_bytes *text, long long *pttl)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != elements ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_INTEGER ||
        reply->element[1]->integer < IDEM__REDIS_NO_END)
        return false;
    *text = (idem_bytes){reply->element[0]->str, reply->element[0]->len};
    *pttl = reply->element[1]->integer;
    return true;
}

bool idem__redis_read_found(const redisReply *reply, idem_bytes *text, long long *pttl)
{
    return read_pair(reply, 2, text, pttl);
}

bool idem__redis_read_proof(const redisReply *reply, idem_bytes *text, long long *pttl,
                            long long *rights)
{
    if (!read_pair(reply, 3, text, pttl) || reply->element[2]->type != REDIS_REPLY_INTEGER)
        return false;
    *rights = reply->element[2]->integer;
    return *rights >= -1 && *rights <= 1;
}
