/* SPDX-License-Identifier: MIT */
/* What the tests of this folder do over and over. */
#ifndef IDEM_TESTS_REDIS_TEST_H
#define IDEM_TESTS_REDIS_TEST_H

#include "server.h"
#include "store_test.h"

#define TOKEN "0123456789abcdef"

/* An operation of the backend, and a record for it. */

static inline idem_record make_record(uint64_t version, idem_bytes response)
{
    idem_record record = {
        .version = version,
        .status = response.len ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS,
        .response = response,
        .attempt = 1,
        .lease_ms = LONG_MS,
        .ttl_ms = LONG_MS,
        .created_at_ms = 1,
        .updated_at_ms = 2,
    };
    memcpy(record.token, TOKEN, sizeof record.token);
    return record;
}

static inline idem_op make_op(idem_op_kind kind, const char *key, const idem_record *record)
{
    return (idem_op){.kind = kind, .key = idem_str(key), .record = record, .live_ms = LONG_MS};
}

#endif
