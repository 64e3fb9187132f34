/* SPDX-License-Identifier: MIT */
/* Errors: the list of codes, the first message that wins, and bytes from strangers in a message. */
#include <idem/backend.h>

#include "error.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>

START_TEST(every_code_has_a_meaning_of_its_own)
{
    for (int code = IDEM_OK; code <= IDEM_ERR_INTERNAL; code++) {
        ck_assert_str_ne(idem_strerror(code), "unknown error");
        for (int other = IDEM_OK; other < code; other++)
            ck_assert_str_ne(idem_strerror(code), idem_strerror(other));
    }
    ck_assert_str_eq(idem_strerror(-1), "unknown error");
    ck_assert_str_eq(idem_strerror(13), "unknown error");
}
END_TEST

START_TEST(the_numbers_are_fixed)
{
    ck_assert_int_eq(IDEM_ERR_ARGUMENT, 1);
    ck_assert_int_eq(IDEM_ERR_UNKNOWN_BACKEND, 2);
    ck_assert_int_eq(IDEM_ERR_UNAVAILABLE, 3);
    ck_assert_int_eq(IDEM_ERR_UNCERTAIN, 4);
    ck_assert_int_eq(IDEM_ERR_LOST, 5);
    ck_assert_int_eq(IDEM_ERR_NOT_FOUND, 6);
    ck_assert_int_eq(IDEM_ERR_CORRUPT, 7);
    ck_assert_int_eq(IDEM_ERR_FULL, 8);
    ck_assert_int_eq(IDEM_ERR_TOO_LARGE, 9);
    ck_assert_int_eq(IDEM_ERR_UNSUPPORTED, 10);
    ck_assert_int_eq(IDEM_ERR_NO_MEMORY, 11);
    ck_assert_int_eq(IDEM_ERR_INTERNAL, 12);
}
END_TEST

START_TEST(the_first_message_wins)
{
    idem_error error = {0};
    ck_assert_int_eq(idem_error_set(&error, IDEM_ERR_FULL, "%s", "first"), IDEM_ERR_FULL);
    ck_assert_int_eq(idem_error_set(&error, IDEM_ERR_LOST, "second"), IDEM_ERR_LOST);
    ck_assert_int_eq(error.code, IDEM_ERR_FULL);
    ck_assert_str_eq(error.message, "first");
    idem__error_clear(&error);
    ck_assert(error.code == IDEM_OK && error.message[0] == '\0');
    ck_assert_int_eq(idem_error_set(NULL, IDEM_ERR_LOST, "nobody listens"), IDEM_ERR_LOST);
    idem__error_clear(NULL);
}
END_TEST

START_TEST(a_long_message_is_cut_and_closed)
{
    idem_error error = {0};
    (void)idem_error_set(&error, IDEM_ERR_FULL, "%0300d", 1);
    ck_assert_uint_eq(strlen(error.message), sizeof error.message - 1);
}
END_TEST

START_TEST(an_op_keeps_its_first_failure)
{
    idem_op op = {0};
    idem_op_fail(&op, true, IDEM_ERR_UNAVAILABLE, "read-only");
    idem_op_fail(&op, false, IDEM_ERR_FULL, "full");
    ck_assert(op.permanent && op.error.code == IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(op.error.message, "read-only");
}
END_TEST

START_TEST(strangers_bytes_are_quoted)
{
    char buf[IDEM_QUOTE_SIZE];
    idem_bytes bytes = {"a\n\0\"\\\xc3\xa9\x7f", 8};
    ck_assert_str_eq(idem_quote(bytes, buf), "\"a\\x0a\\x00\\x22\\x5c\\xc3\\xa9\\x7f\"");
    ck_assert_str_eq(idem_quote((idem_bytes){NULL, 0}, buf), "\"\"");
}
END_TEST

START_TEST(long_quotes_are_cut_within_their_room)
{
    char key[300];
    char buf[IDEM_QUOTE_SIZE + 1];
    for (int c = 0; c < 2; c++) {
        memset(key, c ? 'k' : '\n', sizeof key);
        for (size_t len = 0; len <= sizeof key; len++) {
            buf[IDEM_QUOTE_SIZE] = 'X';
            (void)idem_quote((idem_bytes){key, len}, buf);
            ck_assert_int_eq(buf[IDEM_QUOTE_SIZE], 'X');
            ck_assert_uint_lt(strlen(buf), IDEM_QUOTE_SIZE);
            bool whole = len * (c ? 1 : 4) <= IDEM_QUOTE_SIZE - 6; /* quotes, ellipsis, NUL */
            ck_assert_int_eq(strstr(buf, "\xe2\x80\xa6") == NULL, whole);
        }
    }
}
END_TEST

START_TEST(the_version_is_the_headers)
{
    char version[32];
    (void)snprintf(version, sizeof version, "%d.%d.%d", IDEM_VERSION_MAJOR, IDEM_VERSION_MINOR,
                   IDEM_VERSION_PATCH);
    ck_assert_str_eq(idem_version(), version);
    ck_assert_str_eq(idem_version(), IDEM_VERSION_TEXT);
    ck_assert_int_eq(IDEM_VERSION_NUMBER,
                     IDEM_VERSION_MAJOR * 10000 + IDEM_VERSION_MINOR * 100 + IDEM_VERSION_PATCH);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("error");
    ADD(suite, every_code_has_a_meaning_of_its_own);
    ADD(suite, the_numbers_are_fixed);
    ADD(suite, the_first_message_wins);
    ADD(suite, a_long_message_is_cut_and_closed);
    ADD(suite, an_op_keeps_its_first_failure);
    ADD(suite, strangers_bytes_are_quoted);
    ADD(suite, long_quotes_are_cut_within_their_room);
    ADD(suite, the_version_is_the_headers);
    return run_suite(suite);
}
