/* SPDX-License-Identifier: MIT */
/* Several faults in one call, and faults in opening: which code is told, and in which words. */
#include "faulty.h"
#include "place.h"

#include "runner.h"

#include <stdio.h>
#include <unistd.h>

static idem_error err;
static char url[PLACE_URL_SIZE];

static void set_up(void)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "errors-%ld-%u", (long)getpid(), number++);
    faulty_clear();
    place_url(url, sizeof url, "faulty+", name);
    size_t len = strlen(url);
    (void)snprintf(url + len, sizeof url - len, "timeout=20s");
}

typedef struct {
    int code;     /* of the second try, the first being a lost reply */
    int expected; /* of the call */
} second_try;

static const second_try second_tries[] = {
    {IDEM_ERR_FULL, IDEM_ERR_UNCERTAIN},        {IDEM_ERR_NO_MEMORY, IDEM_ERR_UNCERTAIN},
    {IDEM_ERR_TOO_LARGE, IDEM_ERR_UNCERTAIN},   {IDEM_ERR_INTERNAL, IDEM_ERR_UNCERTAIN},
    {IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN}, {IDEM_ERR_CORRUPT, IDEM_ERR_CORRUPT},
};

/* The first try claimed the key, or stored the response; whatever hindered the second, nobody may
   be told that nothing was changed. */
START_TEST(after_a_lost_reply_an_error_says_that_the_change_may_have_been_made)
{
    const second_try *row = &second_tries[_i];
    idem_store *store = NULL;
    idem_outcome out;
    set_up();
    ck_assert_int_eq(idem_open(url, &store, &err), IDEM_OK);
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(IDEM_OP_INSERT));
    FAULTY(.kind = FAULTY_BEFORE, .nth = 2, .code = row->code, .permanent = true,
           .message = "the second try", .places = FAULTY_ON(IDEM_OP_INSERT));
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &err);
    if (rc == IDEM_OK) { /* a store that looks first found its claim without a second insert */
        ck_assert_int_eq(out.kind, IDEM_NEW);
        idem_outcome_clear(&out);
    } else {
        ck_assert_int_eq(rc, row->expected);
        ck_assert_int_eq(err.code, row->expected);
        ck_assert_ptr_nonnull(strstr(err.message, "the second try"));
        ck_assert(row->expected == IDEM_ERR_CORRUPT || strstr(err.message, "an earlier try"));
    }
    faulty_clear();
    idem_close(store);
}
END_TEST

START_TEST(an_open_that_fails_without_a_message_is_given_one)
{
    idem_store *store = NULL;
    set_up();
    FAULTY(.kind = FAULTY_BEFORE, .places = FAULTY_ON(FAULTY_OPEN), .message = "",
           .permanent = true);
    ck_assert_int_eq(idem_open(url, &store, &err), IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(err.code, IDEM_ERR_UNAVAILABLE);
    ck_assert(err.message[0] != '\0');
    ck_assert_ptr_null(store);
    faulty_clear();
}
END_TEST

START_TEST(an_open_whose_reply_was_lost_leaves_nothing_behind)
{
    idem_store *store = NULL;
    set_up();
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(FAULTY_OPEN), .code = IDEM_ERR_UNAVAILABLE,
           .message = "lost", .permanent = true);
    ck_assert_int_eq(idem_open(url, &store, &err), IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(err.message, "lost");
    ck_assert_int_eq(idem_open(url, &store, &err), IDEM_OK);
    idem_close(store);
    faulty_clear();
}
END_TEST

START_TEST(an_open_that_fails_or_whose_reply_is_lost_is_repeated)
{
    idem_store *store = NULL;
    set_up();
    FAULTY(.kind = FAULTY_BEFORE, .places = FAULTY_ON(FAULTY_OPEN));
    FAULTY(.kind = FAULTY_AFTER, .places = FAULTY_ON(FAULTY_OPEN), .nth = 2, .times = 2);
    ck_assert_int_eq(idem_open(url, &store, &err), IDEM_OK);
    ck_assert_uint_eq(faulty_seen(FAULTY_OPEN), 4);
    idem_close(store);
    faulty_clear();
}
END_TEST

int main(void)
{
    place_start();
    faulty_require();
    Suite *suite = suite_create("errors");
    ADD_ROWS(suite, after_a_lost_reply_an_error_says_that_the_change_may_have_been_made,
             second_tries);
    ADD(suite, an_open_that_fails_without_a_message_is_given_one);
    ADD(suite, an_open_whose_reply_was_lost_leaves_nothing_behind);
    ADD(suite, an_open_that_fails_or_whose_reply_is_lost_is_repeated);
    int failed = run_suite(suite);
    place_end();
    return failed;
}
