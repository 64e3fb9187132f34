/* SPDX-License-Identifier: MIT */
/* Base64 as the command stores output in it: RFC 4648's own examples, libcrypto's opinion, and what is
   none. */
#include "base64.h"

#include "runner.h"

#include <openssl/evp.h>
#include <string.h>

static const struct {
    const char *plain;
    const char *encoded;
} examples[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}};

START_TEST(the_rfc_s_examples)
{
    char encoded[16] = "";
    char plain[16] = "";
    size_t len = strlen(examples[_i].plain);
    size_t decoded = 99;
    ck_assert_uint_eq(cli_base64_length(len), strlen(examples[_i].encoded));
    cli_base64_encode(examples[_i].plain, len, encoded);
    ck_assert_str_eq(encoded, examples[_i].encoded);
    ck_assert(cli_base64_decode(encoded, strlen(encoded), plain, &decoded));
    ck_assert_uint_eq(decoded, len);
    ck_assert_str_eq(plain, examples[_i].plain);
}
END_TEST

enum { LONGEST = 770 };

START_TEST(every_byte_comes_back_and_libcrypto_agrees)
{
    unsigned char data[LONGEST];
    unsigned char expected[LONGEST * 2];
    for (size_t i = 0; i < LONGEST; i++)
        data[i] = (unsigned char)(i * 37 + i / 256);
    for (size_t len = 0; len <= LONGEST; len++) {
        char encoded[LONGEST * 2];
        unsigned char plain[LONGEST + 2];
        size_t decoded = 0;
        size_t encoded_len = cli_base64_length(len);
        ck_assert_int_eq(EVP_EncodeBlock(expected, data, (int)len), (int)encoded_len);
        cli_base64_encode(data, len, encoded);
        ck_assert_mem_eq(encoded, expected, encoded_len);
        ck_assert(cli_base64_decode(encoded, encoded_len, plain, &decoded));
        ck_assert_uint_eq(decoded, len);
        ck_assert_mem_eq(plain, data, len);
    }
}
END_TEST

static const char *const none[] = {
    "Z",        "Zg",       "Zg=",      "Z===",     "====",       "=Zg=",    "Zg==Zg==", "Zm9=Zm9v",
    "Zm 9",     "Zm9v\n",   "Zm9-",     "Zm9_",     "Zm\xC3\xA9", "Zh==",    "Zm9=",     "Zm9v,m9v",
    "Zm9v@m9v", "Zm9v[m9v", "Zm9v`m9v", "Zm9v{m9v", "Zm9v:m9v",   "Zm9v.m9v"};

START_TEST(what_is_no_base64_is_refused)
{
    unsigned char plain[16];
    size_t decoded = 99;
    ck_assert(!cli_base64_decode(none[_i], strlen(none[_i]), plain, &decoded));
    ck_assert_uint_eq(decoded, 99);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    ADD_ROWS(suite, the_rfc_s_examples, examples);
    ADD(suite, every_byte_comes_back_and_libcrypto_agrees);
    ADD_ROWS(suite, what_is_no_base64_is_refused, none);
    return run_suite(suite);
}
