/* SPDX-License-Identifier: MIT */
/* The command's reader of JSON: what is a text and what is none, the members of an object, and
   strings. */
#include "json.h"

#include "runner.h"

#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {
    "0",
    "-0",
    " 1 ",
    "-1.5e+30",
    "1E5",
    "0.1",
    "true",
    "false",
    "null",
    "\"\"",
    "{}",
    "[]",
    " { } ",
    "[ ]",
    "[1,2]",
    "[[],{},[[]]]",
    "{\"a\":1}",
    "{\"a\":1,\"a\":[{}]}",
    "\"\\u00e9\\n\\\"\"",
    "\"\\ud800\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    "\"\x7f\"",
    "\t\r\n[\n1\r,\t2 ]\n",
    "{\"\":{\"\":[]}}",
};

static const char *const others[] = {
    "",
    " ",
    "01",
    "-",
    "+1",
    ".5",
    "1.",
    "1e",
    "1e+",
    "0x1",
    "tru",
    "truex",
    "nul",
    "NaN",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "{",
    "}",
    "[",
    "]",
    "{]",
    "[}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "1 2",
    "[]]",
    "{}}",
    "'a'",
    "[1]x",
    "//",
    "\xef\xbb\xbf[]",
    "[\v]",
};

START_TEST(this_is_a_text)
{
    ck_assert(cli_json_is_text(idem_str(texts[_i])));
}
END_TEST

START_TEST(this_is_none)
{
    ck_assert_msg(!cli_json_is_text(idem_str(others[_i])), "%s", others[_i]);
}
END_TEST

/* Each is copied to memory of just its size, so that a sanitizer sees a byte too far. */
START_TEST(no_beginning_of_a_text_reads_beyond_its_end)
{
    size_t len = strlen(texts[_i]);
    for (size_t cut = 0; cut <= len; cut++) {
        char *copy = malloc(cut + 1);
        ck_assert_ptr_nonnull(copy);
        memmove(copy + 1, texts[_i], cut);
        (void)cli_json_is_text((idem_bytes){copy + 1, cut});
        free(copy);
    }
}
END_TEST

START_TEST(a_nul_is_no_part_of_a_text)
{
    static const char *const with[] = {"{}\0A=b", "\0{}", "\"a\0b\"", "1\0", "[\0]", "\"\\\0\""};
    static const size_t lens[] = {6, 3, 5, 2, 3, 4};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
        ck_assert(!cli_json_is_text((idem_bytes){with[i], lens[i]}));
}
END_TEST

START_TEST(nesting_has_an_end)
{
    char text[2 * (CLI_JSON_DEPTH_MAX + 2) + 1];
    for (size_t depth = 1; depth <= CLI_JSON_DEPTH_MAX + 2; depth++) {
        memset(text, '[', depth);
        text[depth] = '0';
        memset(text + depth + 1, ']', depth);
        bool is_text = cli_json_is_text((idem_bytes){text, 2 * depth + 1});
        ck_assert_int_eq(is_text, depth <= CLI_JSON_DEPTH_MAX);
    }
}
END_TEST

static bool is(idem_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

START_TEST(members_are_given_one_by_one)
{
    cli_json json =
        cli_json_object(idem_str(" {\"a\" : [1,{\"b\":2}] ,\n\"\\u0062\":\"}\" , \"c\":{} } "));
    idem_bytes name;
    idem_bytes value;
    ck_assert(cli_json_member(&json, &name, &value));
    ck_assert(is(name, "\"a\"") && is(value, "[1,{\"b\":2}]"));
    ck_assert(cli_json_member(&json, &name, &value));
    ck_assert(is(name, "\"\\u0062\"") && is(value, "\"}\""));
    ck_assert(cli_json_member(&json, &name, &value));
    ck_assert(is(name, "\"c\"") && is(value, "{}"));
    ck_assert(!cli_json_member(&json, &name, &value));
    ck_assert(!json.failed);
    ck_assert(!cli_json_member(&json, &name, &value));
}
END_TEST

START_TEST(an_object_is_read_to_its_end)
{
    static const char *const broken[] = {
        "",           "[]",  "1",          "{",         "{\"a\":1",   "{\"a\":1,", "{\"a\":1,}",
        "{\"a\":1}x", "{}x", "{\"a\":1}{", "{\"a\" 1}", "{\"a\":1;}", "{,}",       "{\"a\":[}"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        cli_json json = cli_json_object(idem_str(broken[i]));
        idem_bytes name;
        idem_bytes value;
        while (cli_json_member(&json, &name, &value)) {
        }
        ck_assert_msg(json.failed, "%s", broken[i]);
    }
}
END_TEST

START_TEST(strings_are_decoded)
{
    char to[64];
    size_t len = 0;
    const char *written =
        "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\u20AC\\ud83d\\ude00\xc3\xa9\"";
    const char *plain = "a\"\\/\b\f\n\r\t\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9";
    ck_assert(cli_json_string(idem_str(written), to, &len));
    ck_assert_uint_eq(len, 21);
    ck_assert_int_eq(memcmp(to, plain, len), 0);
    ck_assert(!cli_json_string(idem_str("\"\\ud800\""), to, &len));
    ck_assert(!cli_json_string(idem_str("\"\\ud800\\u0041\""), to, &len));
    ck_assert(!cli_json_string(idem_str("\"\\udc00\\ud800\""), to, &len));
    ck_assert(!cli_json_string(idem_str("1"), to, &len));
    ck_assert(!cli_json_string(idem_str("\"a\" "), to, &len));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    ADD_ROWS(suite, this_is_a_text, texts);
    ADD_ROWS(suite, this_is_none, others);
    ADD_ROWS(suite, no_beginning_of_a_text_reads_beyond_its_end, texts);
    ADD(suite, a_nul_is_no_part_of_a_text);
    ADD(suite, nesting_has_an_end);
    ADD(suite, members_are_given_one_by_one);
    ADD(suite, an_object_is_read_to_its_end);
    ADD(suite, strings_are_decoded);
    return run_suite(suite);
}
