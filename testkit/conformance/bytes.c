/* SPDX-License-Identifier: MIT */
/* Responses and checkpoints byte for byte: what is JSON comes back as it was given, what is not is
   refused before anything is stored. */
#include "conformance.h"

#define MIB ((size_t)1 << 20)

/* A text with its length, so that it may hold a NUL. */
#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

static const idem_bytes json_texts[] = {
    TEXT("1.0"),
    TEXT("1e2"),
    TEXT("-0"),
    TEXT("-0.0E-0"),
    TEXT("18446744073709551616"),
    TEXT("9007199254740993"),
    TEXT("1e400"),
    TEXT("-1e999999"),
    TEXT("1E-999999"),
    TEXT("77777777777777777777777777777777777777777777777777777777777777777777777777777777"
         "77777777777777777777777777777777777777777777777777777777777777777777777777777777"
         "77777777777777777777777777777777777777777777777777777777777777777777777777777777"
         "77777777777777777777777777777777777777777777777777777777777777777777777777777777"
         "77777777777777777777777777777777777777777777777777777777777777777777777777777777"),
    TEXT("0.1000000000000000055511151231257827"),
    TEXT("[]"),
    TEXT("{}"),
    TEXT("null"),
    TEXT("true"),
    TEXT("\"\""),
    TEXT("\"\\u0000\""),
    TEXT("\"\\ud800\""),
    TEXT("\"\\/ \\u00e9 \\uD83D\\uDE00\""),
    TEXT("\"\x7f\""),
    TEXT("\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbb\xbf\""),
    TEXT("\"\xf4\x8f\xbf\xbf \xed\x9f\xbf \xee\x80\x80\""),
    TEXT("{\"b\":1,\"a\":2}"),
    TEXT("{\"a\":1,\"a\":2}"),
    TEXT("{ \"a\" : [ 1 , 2 ] }"),
    TEXT(" \t\r\n[1]\n\r\t "),
    TEXT("[\n  1,\n  2\n]\n"),
    TEXT("{\"status\":\"Completed\",\"response\":null,\"token\":\"x\"}"),
    TEXT("\"'; DROP TABLE idem_record; --\""),
    TEXT("\"\\\\\\\"\""),
};

static const idem_bytes other_texts[] = {
    TEXT(""),
    TEXT(" "),
    TEXT("nonsense"),
    TEXT("nul"),
    TEXT("True"),
    TEXT("NaN"),
    TEXT("Infinity"),
    TEXT("'single'"),
    TEXT("-"),
    TEXT("+1"),
    TEXT("01"),
    TEXT("-01"),
    TEXT("1."),
    TEXT(".5"),
    TEXT("1e"),
    TEXT("0x10"),
    TEXT("[1"),
    TEXT("[1,]"),
    TEXT("[,1]"),
    TEXT("[1 2]"),
    TEXT("]"),
    TEXT("{\"a\"}"),
    TEXT("{\"a\":}"),
    TEXT("{a:1}"),
    TEXT("{\"a\":1,}"),
    TEXT("{1:2}"),
    TEXT("[1}"),
    TEXT("{} {}"),
    TEXT("1 1"),
    TEXT("{}x"),
    TEXT("\"open"),
    TEXT("\"\\"),
    TEXT("\"\\u12\""),
    TEXT("\"\\x41\""),
    TEXT("\"a\nb\""),
    TEXT("\"a\tb\""),
    TEXT("\"\x01\""),
    TEXT("\"\0\""),
    TEXT("1\0"),
    TEXT("\0"),
    TEXT("[1,\0 2]"),
    TEXT("\xef\xbb\xbf{}"),
    TEXT("\v1"),
    TEXT("\xc2\xa0"
         "1"),
    TEXT("// note\n1"),
    TEXT("\"\xff\""),
    TEXT("\"\xc3\""),
    TEXT("\"\xc3(\""),
    TEXT("\"\x80\""),
    TEXT("\"\xc0\xaf\""),
    TEXT("\"\xe0\x80\xaf\""),
    TEXT("\"\xed\xa0\x80\""),
    TEXT("\"\xf4\x90\x80\x80\""),
    TEXT("\"\xf0\x9f\x98"),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void store_response(idem_bytes response)
{
    idem_outcome out = claim_key(one, LONG_MS);
    assert_ok(idem_complete(one, out.claim, response, &err));
    idem_outcome_clear(&out);
}

static void assert_replayed_exactly(idem_bytes response)
{
    idem_outcome out = BEGIN(other, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_uint_eq(out.response.len, response.len);
    ck_assert(memcmp(out.response.data, response.data, response.len) == 0);
    idem_outcome_clear(&out);
}

START_TEST(responses_come_back_byte_for_byte)
{
    for (size_t i = 0; i < COUNT(json_texts); i++) {
        store_response(json_texts[i]);
        assert_replayed_exactly(json_texts[i]);
        idem_record record = record_now();
        assert_bytes(record.response, json_texts[i]);
        idem_record_clear(&record);
        assert_ok(idem_forget(one, KEY, &err));
    }
}
END_TEST

START_TEST(checkpoints_come_back_byte_for_byte)
{
    idem_outcome out = claim_key(one, LONG_MS);
    for (size_t i = 0; i < COUNT(json_texts); i++) {
        assert_ok(idem_checkpoint(one, out.claim, json_texts[i], &err));
        idem_record record = record_now();
        assert_bytes(record.checkpoint, json_texts[i]);
        idem_record_clear(&record);
    }
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(what_is_not_json_is_refused_before_anything_is_stored)
{
    idem_outcome out = claim_key(one, LONG_MS);
    for (size_t i = 0; i < COUNT(other_texts); i++) {
        idem_record before = record_now();
        int rc = idem_complete(one, out.claim, other_texts[i], &err);
        ck_assert_msg(rc == IDEM_ERR_ARGUMENT && err.code == rc && err.message[0],
                      "text number %zu gave %d", i, rc);
        if (other_texts[i].len > 0)
            assert_error(IDEM_ERR_ARGUMENT, idem_checkpoint(one, out.claim, other_texts[i], &err));
        assert_unchanged(&before);
    }
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, out.claim, (idem_bytes){NULL, 0}, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, out.claim, (idem_bytes){NULL, 3}, &err));
    ck_assert(!idem_claim_lost(out.claim));
    assert_ok(idem_complete(one, out.claim, idem_str("\"good\""), &err));
    assert_replayed(other, "\"good\"");
    idem_outcome_clear(&out);
}
END_TEST

/* ------------------------------------------------------------------------------------ nesting */

/* `depth` arrays or objects in one another. The caller's to free. */
static char *nested(size_t depth, bool objects)
{
    size_t step = objects ? 5 : 1;
    size_t len = depth * (step + 1) + 1;
    char *text = malloc(len + 1);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < depth; i++)
        memcpy(text + i * step, objects ? "{\"a\":" : "[", step);
    text[depth * step] = '1';
    memset(text + depth * step + 1, objects ? '}' : ']', depth);
    text[len] = '\0';
    return text;
}

/* Whole, or cut off in the middle. */
START_TEST(json_that_is_nested_a_million_deep_is_refused)
{
    for (int objects = 0; objects < 2; objects++) {
        char *deep = nested(1000000, objects);
        idem_bytes texts[] = {idem_str(deep), {deep, 1000000}};
        idem_outcome out = claim_key(one, LONG_MS);
        idem_record before = record_now();
        for (size_t i = 0; i < COUNT(texts); i++) {
            assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, out.claim, texts[i], &err));
            assert_error(IDEM_ERR_ARGUMENT, idem_checkpoint(one, out.claim, texts[i], &err));
        }
        assert_unchanged(&before);
        assert_ok(idem_release(one, out.claim, &err));
        idem_outcome_clear(&out);
        free(deep);
    }
}
END_TEST

START_TEST(json_may_be_nested_1024_deep_and_no_deeper)
{
    for (int objects = 0; objects < 2; objects++) {
        char *deep = nested(1024, objects);
        char *deeper = nested(1025, objects);
        idem_outcome out = claim_key(one, LONG_MS);
        idem_record before = record_now();
        assert_error(IDEM_ERR_ARGUMENT, idem_complete(one, out.claim, idem_str(deeper), &err));
        assert_unchanged(&before);
        assert_ok(idem_complete(one, out.claim, idem_str(deep), &err));
        assert_replayed_exactly(idem_str(deep));
        assert_ok(idem_forget(one, KEY, &err));
        idem_outcome_clear(&out);
        free(deep);
        free(deeper);
    }
}
END_TEST

/* --------------------------------------------------------------------------------------- size */

/* A JSON string of `len` bytes in all, with every byte that may stand in one. */
static idem_bytes big_text(size_t len)
{
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < len; i++) {
        char c = (char)(' ' + i % 95);
        text[i] = c == '"' || c == '\\' ? '.' : c;
    }
    text[0] = '"';
    text[len - 1] = '"';
    return (idem_bytes){text, len};
}

START_TEST(a_response_of_1_MiB_comes_back)
{
    idem_bytes response = big_text(MIB);
    store_response(response);
    assert_replayed_exactly(response);
    free((void *)response.data);
}
END_TEST

START_TEST(a_response_of_8_MiB_comes_back_and_one_byte_more_is_too_large)
{
    ck_assert_uint_eq(idem_max_response(one), 8 * MIB);
    idem_bytes response = big_text(8 * MIB);
    idem_bytes larger = big_text(8 * MIB + 1);
    idem_outcome out = claim_key(one, LONG_MS);
    idem_record before = record_now();
    assert_error(IDEM_ERR_TOO_LARGE, idem_complete(one, out.claim, larger, &err));
    assert_error(IDEM_ERR_TOO_LARGE, idem_checkpoint(one, out.claim, larger, &err));
    assert_unchanged(&before);
    assert_ok(idem_complete(one, out.claim, response, &err));
    assert_replayed_exactly(response);
    idem_outcome_clear(&out);
    free((void *)response.data);
    free((void *)larger.data);
}
END_TEST

START_TEST(max_response_sets_the_limit_of_a_handle)
{
    idem_store *small = open_more("max_response=1KiB");
    ck_assert_uint_eq(idem_max_response(small), 1024);
    idem_bytes fits = big_text(1024);
    idem_bytes larger = big_text(1025);
    idem_outcome out = claim_key(small, LONG_MS);
    assert_error(IDEM_ERR_TOO_LARGE, idem_complete(small, out.claim, larger, &err));
    assert_ok(idem_complete(small, out.claim, fits, &err));
    assert_replayed_exactly(fits);
    idem_outcome_clear(&out);
    assert_ok(idem_forget(one, KEY, &err));
    store_response(larger);
    out = BEGIN(small, .key = KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    assert_bytes(out.response, larger);
    idem_outcome_clear(&out);
    idem_close(small);
    free((void *)fits.data);
    free((void *)larger.data);
}
END_TEST

START_TEST(a_large_checkpoint_is_handed_on_at_takeover)
{
    idem_bytes large = big_text(MIB);
    idem_outcome mine = claim_key(one, LONG_MS);
    assert_ok(idem_checkpoint(one, mine.claim, large, &err));
    assert_ok(idem_renew(one, mine.claim, 1, &err));
    advance(SHORT_MS);
    idem_outcome out = take_over(2);
    assert_bytes(out.checkpoint, large);
    idem_outcome_clear(&out);
    idem_outcome_clear(&mine);
    free((void *)large.data);
}
END_TEST

void conformance_bytes(Suite *suite)
{
    ADD(suite, "bytes", 0, ANY_TIME, responses_come_back_byte_for_byte,
        checkpoints_come_back_byte_for_byte, what_is_not_json_is_refused_before_anything_is_stored,
        json_that_is_nested_a_million_deep_is_refused, json_may_be_nested_1024_deep_and_no_deeper,
        a_response_of_1_MiB_comes_back,
        a_response_of_8_MiB_comes_back_and_one_byte_more_is_too_large,
        max_response_sets_the_limit_of_a_handle, a_large_checkpoint_is_handed_on_at_takeover);
}
