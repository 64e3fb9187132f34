/* SPDX-License-Identifier: MIT */
/*
 * The recogniser of JSON texts, on cases of each production of RFC 8259's grammar and of RFC
 * 3629's UTF-8, at their edges, and on every prefix and every changed byte of a valid text.
 */
#include "json.h"

#include "runner.h"

#include <string.h>

#define BYTES(text)            \
    {                          \
        text, sizeof(text) - 1 \
    }

static bool valid(idem_bytes text)
{
    idem__json json;
    bool ok = idem__json_valid(&json, text);
    ck_assert(ok == (json.problem == NULL));
    return ok;
}

static const idem_bytes accepted[] = {
    BYTES("null"),
    BYTES("true"),
    BYTES("false"),
    BYTES("0"),
    BYTES("-0"),
    BYTES("1.0"),
    BYTES("1e2"),
    BYTES("1E+2"),
    BYTES("1e-2"),
    BYTES("-1.5e300"),
    BYTES("1e999"),
    BYTES("123"),
    BYTES("18446744073709551616"),
    BYTES("0.00000000000000000000000000000000000001"),
    BYTES("[]"),
    BYTES("{}"),
    BYTES("[ ]"),
    BYTES("{ }"),
    BYTES(" \t\r\n[1] \t\r\n"),
    BYTES("[1,2,[3,{\"a\":[]}]]"),
    BYTES("{\"a\":1,\"a\":2}"),
    BYTES("{\"\":{}}"),
    BYTES("\"\""),
    BYTES("\"\\u0000\""),
    BYTES("\"\\ud800\""),
    BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    BYTES("\"\\uD83D\\uDE00\""),
    BYTES("\"\x7f\""),
    BYTES("\"\xc2\x80\""),
    BYTES("\"\xdf\xbf\""),
    BYTES("\"\xe0\xa0\x80\""),
    BYTES("\"\xed\x9f\xbf\""),
    BYTES("\"\xee\x80\x80\""),
    BYTES("\"\xef\xbf\xbf\""),
    BYTES("\"\xf0\x90\x80\x80\""),
    BYTES("\"\xf4\x8f\xbf\xbf\""),
    BYTES("[true , false , null]"),
    BYTES("{ \"a\" : [ 1 , 2 ] , \"b\" : \"c\" }"),
};

static const idem_bytes refused[] = {
    BYTES(""),
    BYTES(" "),
    BYTES("\0"),
    BYTES("nul"),
    BYTES("nulll"),
    BYTES("True"),
    BYTES("NaN"),
    BYTES("Infinity"),
    BYTES("-"),
    BYTES("+1"),
    BYTES("01"),
    BYTES("-01"),
    BYTES("1."),
    BYTES(".5"),
    BYTES("1e"),
    BYTES("1e+"),
    BYTES("0x10"),
    BYTES("1 2"),
    BYTES("1,"),
    BYTES("-a"),
    BYTES("["),
    BYTES("]"),
    BYTES("[1"),
    BYTES("[1,"),
    BYTES("[1,]"),
    BYTES("[,1]"),
    BYTES("[1 2]"),
    BYTES("[}"),
    BYTES("{]"),
    BYTES("{"),
    BYTES("}"),
    BYTES("{\"a\"}"),
    BYTES("{\"a\":}"),
    BYTES("{\"a\":1,}"),
    BYTES("{a:1}"),
    BYTES("{1:1}"),
    BYTES("{'a':1}"),
    BYTES("{\"a\" 1}"),
    BYTES("{\"a\":1 \"b\":2}"),
    BYTES("{,}"),
    BYTES("[[1]"),
    BYTES("[1]]"),
    BYTES("{\"a\":[}"),
    BYTES("'a'"),
    BYTES("\""),
    BYTES("\"a"),
    BYTES("\"\\\""),
    BYTES("\"\\x41\""),
    BYTES("\"\\u00\""),
    BYTES("\"\\u00g0\""),
    BYTES("\"\\u\""),
    BYTES("\"\\\0\""),
    BYTES("\"\n\""),
    BYTES("\"\t\""),
    BYTES("\"\0\""),
    BYTES("\"\x1f\""),
    BYTES("1\0"),
    BYTES("\xef\xbb\xbf{}"),
    BYTES("\"\x80\""),
    BYTES("\"\xc0\x80\""),
    BYTES("\"\xc1\xbf\""),
    BYTES("\"\xc2\""),
    BYTES("\"\xe0\x9f\xbf\""),
    BYTES("\"\xed\xa0\x80\""),
    BYTES("\"\xed\xbf\xbf\""),
    BYTES("\"\xe2\x82\""),
    BYTES("\"\xf0\x8f\xbf\xbf\""),
    BYTES("\"\xf4\x90\x80\x80\""),
    BYTES("\"\xf5\x80\x80\x80\""),
    BYTES("\"\xff\""),
    BYTES("// c\n1"),
    BYTES("1 /* c */"),
    BYTES("\xc2\xa0"
          "1"),
    BYTES("\f1"),
};

START_TEST(accepts_every_production)
{
    ck_assert_msg(valid(accepted[_i]), "row %d", _i);
}
END_TEST

START_TEST(refuses_what_is_no_json)
{
    ck_assert_msg(!valid(refused[_i]), "row %d", _i);
}
END_TEST

/* A string of `len` plain bytes in memory of its own, so that a read beyond it is seen. */
static char *plain_string(size_t len)
{
    char *text = malloc(len + 2);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', len + 2);
    text[0] = '"';
    text[len + 1] = '"';
    return text;
}

/* Strings are read by the word, and by several: each byte has to be seen at each place of them, and behind. */
START_TEST(sees_every_byte_of_a_string_at_every_place)
{
    for (size_t len = 1; len <= 43; len++) {
        char *text = plain_string(len);
        for (size_t place = 1; place <= len; place++) {
            for (int byte = 0; byte < 256; byte++) {
                bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                text[place] = (char)byte;
                ck_assert_msg(valid((idem_bytes){text, len + 2}) == plain,
                              "%zu bytes, byte %02x at %zu", len, (unsigned)byte, place);
            }
            text[place] = 'a';
        }
        free(text);
    }
}
END_TEST

/* Of several bytes that can't stand in a string the first is told, whichever the others are. */
START_TEST(tells_the_first_bad_byte_of_a_string)
{
    static const char bytes[] = {'a',    ' ',    '!',  '#',    '[',   ']',
                                 '\x7f', '\x1f', '\0', '\x80', '\xff'};
    uint32_t random = 1;
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = round % 43;
        size_t bad = len;
        char *text = plain_string(len);
        for (size_t i = len; i > 0; i--) {
            random = random * 1664525u + 1013904223u;
            text[i] = random >> 28 ? 'a' : bytes[(random >> 16) % sizeof bytes];
            if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x80)
                bad = i - 1;
        }
        idem__json json;
        bool ok = idem__json_valid(&json, (idem_bytes){text, len + 2});
        ck_assert_msg(ok == (bad == len) && (ok || json.at == text + 1 + bad), "round %u", round);
        free(text);
    }
}
END_TEST

START_TEST(refuses_every_prefix_of_a_text)
{
    static const char text[] =
        "{\"a\":[1.5e3,true,null,{\"\\u00e9\\n\":\"\xf0\x9f\x98\x80\"},[[],{}]],\"b\":-0.1}";
    for (size_t len = 0; len < sizeof text - 1; len++)
        ck_assert_msg(!valid((idem_bytes){text, len}), "prefix of %zu bytes", len);
    ck_assert(valid((idem_bytes){text, sizeof text - 1}));
}
END_TEST

/* Nested brackets of a depth. */
static char *nested(size_t depth, const char *open, const char *close, size_t *len)
{
    char *text = malloc(depth * (strlen(open) + strlen(close)) + 2);
    ck_assert_ptr_nonnull(text);
    *len = 0;
    for (size_t i = 0; i < depth; i++, *len += strlen(open))
        memcpy(text + *len, open, strlen(open));
    text[(*len)++] = '1';
    for (size_t i = 0; i < depth; i++, *len += strlen(close))
        memcpy(text + *len, close, strlen(close));
    return text;
}

START_TEST(nests_to_1024_levels_and_no_deeper)
{
    size_t len;
    char *arrays = nested(1024, "[", "]", &len);
    ck_assert(valid((idem_bytes){arrays, len}));
    free(arrays);
    char *objects = nested(1024, "{\"a\":", "}", &len);
    ck_assert(valid((idem_bytes){objects, len}));
    free(objects);
    char *deeper = nested(1025, "[", "]", &len);
    idem__json json;
    ck_assert(!idem__json_valid(&json, (idem_bytes){deeper, len}));
    ck_assert_ptr_nonnull(strstr(json.problem, "1,024"));
    free(deeper);
    char *far_deeper = nested(1000000, "[{\"a\":", "}]", &len);
    ck_assert(!valid((idem_bytes){far_deeper, len}));
    free(far_deeper);
}
END_TEST

START_TEST(says_where_it_stopped)
{
    idem__json json;
    static const char text[] = "[1, 2, x]";
    ck_assert(!idem__json_valid(&json, idem_str(text)));
    ck_assert_int_eq(json.at - text, 7);
}
END_TEST

START_TEST(cuts_members_out_raw)
{
    static const char text[] = " { \"a\" : [ 1 ] , \"b\\n\":\"x\" }";
    idem__json json = {.at = text, .end = text + sizeof text - 1};
    idem_bytes name;
    idem_bytes value;
    ck_assert(idem__json_open(&json));
    ck_assert(idem__json_member(&json, true, &name, &value));
    ck_assert(name.len == 1 && memcmp(name.data, "a", 1) == 0);
    ck_assert(value.len == 7 && memcmp(value.data, " [ 1 ] ", 7) == 0);
    ck_assert(idem__json_member(&json, false, &name, &value));
    ck_assert(name.len == 3 && memcmp(name.data, "b\\n", 3) == 0);
    ck_assert(value.len == 4 && memcmp(value.data, "\"x\" ", 4) == 0);
    ck_assert(!idem__json_member(&json, false, &name, &value));
    ck_assert_ptr_null(json.problem);
    ck_assert_ptr_eq(json.at, json.end);
}
END_TEST

START_TEST(members_need_commas_between_them)
{
    static const char *const texts[] = {"{\"a\":1 \"b\":2}", "{,\"a\":1}", "{\"a\":1,}", "{\"a\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        idem__json json = {.at = texts[i], .end = texts[i] + strlen(texts[i])};
        idem_bytes name;
        idem_bytes value;
        bool first = true;
        ck_assert(idem__json_open(&json));
        while (idem__json_member(&json, first, &name, &value))
            first = false;
        ck_assert_msg(json.problem != NULL, "%s", texts[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    ADD_ROWS(suite, accepts_every_production, accepted);
    ADD_ROWS(suite, refuses_what_is_no_json, refused);
    ADD(suite, sees_every_byte_of_a_string_at_every_place);
    ADD(suite, tells_the_first_bad_byte_of_a_string);
    ADD(suite, refuses_every_prefix_of_a_text);
    ADD(suite, nests_to_1024_levels_and_no_deeper);
    ADD(suite, says_where_it_stopped);
    ADD(suite, cuts_members_out_raw);
    ADD(suite, members_need_commas_between_them);
    return run_suite(suite);
}
