/* SPDX-License-Identifier: MIT */
/* Responses of any bytes: each comes back as it was given, and every reader is told what it is. */
#include "conformance.h"

#define MIB ((size_t)1 << 20)

/* A text with its length, so that it may hold a NUL. */
#define BYTES(literal)               \
    {                                \
        literal, sizeof(literal) - 1 \
    }

/* Of each length modulo 3, what looks like something else, and what no text can hold. */
static const idem_bytes samples[] = {
    BYTES(""),
    BYTES("\0"),
    BYTES("\xff\xfe"),
    BYTES("\0\0\0"),
    BYTES("abcd"),
    BYTES("true"),
    BYTES("\"aGVsbG8=\""),
    BYTES("{\"status\":\"Completed\",\"encoding\":\"base64\"}"),
    BYTES("\x89PNG\r\n\x1a\n"),
    BYTES("'; DROP TABLE idem_record; --"),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void store_bytes(idem_bytes response)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete_bytes(one, out.claim, response, &err));
    idem_outcome_clear(&out);
}

static void assert_gives(idem_store *store, idem_bytes response, idem_encoding encoding)
{
    idem_outcome out = BEGIN(store, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_int_eq(out.encoding, encoding);
    assert_bytes(out.response, response);
    idem_outcome_clear(&out);
    idem_record record = record_now();
    ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
    ck_assert_int_eq(record.encoding, encoding);
    assert_bytes(record.response, response);
    idem_record_clear(&record);
}

START_TEST(any_bytes_come_back_byte_for_byte)
{
    for (size_t i = 0; i < COUNT(samples); i++) {
        store_bytes(samples[i]);
        assert_gives(other, samples[i], IDEM_ENCODING_BYTES);
        assert_gives(one, samples[i], IDEM_ENCODING_BYTES);
        assert_ok(idem_forget(one, KEY, &err));
    }
}
END_TEST

/* All values of a byte, at each place of a group of three. */
START_TEST(every_byte_comes_back)
{
    uint8_t bytes[258];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t len = sizeof bytes - 2; len <= sizeof bytes; len++) {
        for (size_t first = 0; first < 3 && first < len; first++) {
            idem_bytes response = {bytes + first, len - first};
            store_bytes(response);
            assert_gives(other, response, IDEM_ENCODING_BYTES);
            assert_ok(idem_forget(one, KEY, &err));
        }
    }
}
END_TEST

/* The same bytes, stored as JSON, are JSON: also where the key had bytes before, and the other way
   round. */
START_TEST(json_stays_json)
{
    for (int i = 0; i < 2; i++) {
        idem_bytes text = idem_str("[1, 2]");
        idem_outcome out = claim_key(one, LONG_MS);
        assert_ok(idem_complete(one, out.claim, text, &err));
        idem_outcome_clear(&out);
        assert_gives(other, text, IDEM_ENCODING_JSON);
        assert_ok(idem_forget(one, KEY, &err));
        store_bytes(text);
        assert_gives(other, text, IDEM_ENCODING_BYTES);
        assert_ok(idem_forget(one, KEY, &err));
    }
}
END_TEST

/* The first response stays, whatever the repetition brings, and is told as what it is. */
START_TEST(a_repeated_complete_changes_neither_response_nor_encoding)
{
    idem_bytes bytes = {"\xff\0\x01", 3};
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete_bytes(one, out.claim, bytes, &err));
    assert_ok(idem_complete_bytes(one, out.claim, idem_str("later"), &err));
    assert_ok(idem_complete(one, out.claim, idem_str("[]"), &err));
    assert_gives(other, bytes, IDEM_ENCODING_BYTES);

    idem_claim *resumed = NULL;
    assert_ok(idem_resume(other, KEY, idem_claim_token(out.claim), &resumed, &err));
    assert_ok(idem_complete(other, resumed, idem_str("{}"), &err));
    assert_error(IDEM_ERR_LOST, idem_renew(other, resumed, 0, &err));
    assert_gives(one, bytes, IDEM_ENCODING_BYTES);
    idem_claim_free(resumed);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_length_without_bytes_and_bytes_that_are_too_many_are_refused)
{
    idem_bytes large = {calloc(1, 8 * MIB + 1), 8 * MIB + 1};
    ck_assert_ptr_nonnull(large.data);
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_ARGUMENT,
                 idem_complete_bytes(one, out.claim, (idem_bytes){NULL, 3}, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_bytes(NULL, out.claim, idem_str("x"), &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete_bytes(one, NULL, idem_str("x"), &err));
    assert_error(IDEM_ERR_TOO_LARGE, idem_complete_bytes(one, out.claim, large, &err));
    assert_unchanged(&before);
    large.len--;
    assert_ok(idem_complete_bytes(one, out.claim, large, &err));
    assert_gives(other, large, IDEM_ENCODING_BYTES);
    idem_outcome_clear(&out);
    free((void *)large.data);
}
END_TEST

START_TEST(an_owner_that_was_overtaken_stores_no_bytes)
{
    idem_outcome mine = claim_key(one, LONG_MS);
    assert_ok(idem_checkpoint(one, mine.claim, idem_str("{\"step\":1}"), &err));
    assert_ok(idem_renew(one, mine.claim, 1, &err));
    advance(SHORT_MS);
    idem_outcome theirs = take_over(2);
    assert_error(IDEM_ERR_LOST, idem_complete_bytes(one, mine.claim, idem_str("\xff"), &err));
    assert_ok(idem_complete_bytes(other, theirs.claim, idem_str("\xfe"), &err));
    assert_gives(one, idem_str("\xfe"), IDEM_ENCODING_BYTES);
    idem_outcome_clear(&theirs);
    idem_outcome_clear(&mine);
}
END_TEST

/* What may go in place of an older record of the key, which had JSON. */
START_TEST(bytes_are_reinstated_as_bytes)
{
    idem_outcome out = BEGIN(one, .key = KEY, .lease_ms = LONG_MS, .flags = IDEM_REINSTATE);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    assert_ok(idem_forget(other, KEY, &err));
    assert_ok(idem_complete_bytes(one, out.claim, idem_str("\xc3("), &err));
    assert_gives(other, idem_str("\xc3("), IDEM_ENCODING_BYTES);
    idem_outcome_clear(&out);
}
END_TEST

typedef struct {
    unsigned count;
    idem_encoding encoding;
    size_t len;
} listed;

static int list(const idem_record *record, void *user)
{
    listed *seen = user;
    seen->count++;
    seen->encoding = record->encoding;
    seen->len = record->response.len;
    return 0;
}

START_TEST(a_scan_tells_the_encoding)
{
    listed seen = {0};
    store_bytes((idem_bytes){"\0\xff", 2});
    assert_ok(idem_scan(other, NULL, list, &seen, &err));
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_int_eq(seen.encoding, IDEM_ENCODING_BYTES);
    ck_assert_uint_eq(seen.len, 2);
}
END_TEST

void conformance_any_bytes(Suite *suite)
{
    ADD(suite, "any bytes", 0, ANY_TIME, any_bytes_come_back_byte_for_byte, every_byte_comes_back,
        json_stays_json, a_repeated_complete_changes_neither_response_nor_encoding,
        a_length_without_bytes_and_bytes_that_are_too_many_are_refused,
        an_owner_that_was_overtaken_stores_no_bytes, bytes_are_reinstated_as_bytes);
    ADD(suite, "any bytes in a scan", IDEM_TRAIT_SCAN, ANY_TIME, a_scan_tells_the_encoding);
}
