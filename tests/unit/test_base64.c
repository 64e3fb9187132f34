/* SPDX-License-Identifier: MIT */
/* Base64: the vectors of RFC 4648, all lengths there and back, and texts that are refused. */
#include "base64.h"

#include "runner.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *plain;
    const char *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xef\xff", "++//"},
};

START_TEST(the_vectors_of_the_rfc_are_written_and_read)
{
    char text[16] = "";
    char plain[16] = "";
    size_t len = strlen(vectors[_i].plain);
    size_t decoded = 99;
    ck_assert_uint_eq(idem__base64_length(len), strlen(vectors[_i].text));
    idem__base64_encode(vectors[_i].plain, len, text);
    ck_assert_str_eq(text, vectors[_i].text);
    ck_assert(idem__base64_decode(text, strlen(text), plain, &decoded));
    ck_assert_uint_eq(decoded, len);
    ck_assert_mem_eq(plain, vectors[_i].plain, len);
}
END_TEST

START_TEST(any_bytes_of_any_length_come_back)
{
    uint8_t bytes[300];
    uint8_t back[300];
    char text[400];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + i / 256);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        size_t decoded = 0;
        idem__base64_encode(bytes, len, text);
        ck_assert(idem__base64_decode(text, idem__base64_length(len), back, &decoded));
        ck_assert_uint_eq(decoded, len);
        ck_assert_mem_eq(back, bytes, len);
    }
}
END_TEST

static const char *const wrong[] = {
    "Z",    "Zg",     "Zg=",       "====",     "Zg===",      "Z===", "A===", "AAAAA===",
    "=Zg=", "Zm9v\n", "Zm9vYg\n=", "Zm 9",     "Zg==Zg==",   "Zm=v", "Zm9-", "Zm9_",
    "Zh==", "Zm9=",   "Zm9vZm9=",  "Zm9vZh==", "Z\xc3\xa4g", "....",
};

START_TEST(what_is_never_written_is_not_read)
{
    char plain[16];
    size_t decoded = 99;
    ck_assert(!idem__base64_decode(wrong[_i], strlen(wrong[_i]), plain, &decoded));
    ck_assert_uint_eq(decoded, 99);
}
END_TEST

START_TEST(a_nul_is_no_character)
{
    char plain[4];
    size_t decoded = 0;
    ck_assert(!idem__base64_decode("Zm9", 4, plain, &decoded));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    ADD_ROWS(suite, the_vectors_of_the_rfc_are_written_and_read, vectors);
    ADD(suite, any_bytes_of_any_length_come_back);
    ADD_ROWS(suite, what_is_never_written_is_not_read, wrong);
    ADD(suite, a_nul_is_no_character);
    return run_suite(suite);
}
