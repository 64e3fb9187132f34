/* SPDX-License-Identifier: MIT */
/*
 * Calls on memory:// with the smallest timeouts. It answers without a wait, so that no deadline can
 * come in between, however late the system's coarse clock is.
 */
#include "runner.h"

#include <idem/idem.h>

#include <stdio.h>

#define TRIES       2000
#define TIMEOUT_MAX 10

static uint64_t now_ms;
static idem_error err;

static uint64_t tell_time(void *user)
{
    (void)user;
    return now_ms;
}

static idem_store *open_hasty(uint64_t timeout_ms)
{
    char url[40];
    idem_store *store = NULL;
    const idem_options options = {.size = sizeof options, .clock = {.now_ms = tell_time}};
    (void)snprintf(url, sizeof url, "memory://?timeout=%llums", (unsigned long long)timeout_ms);
    ck_assert_msg(idem_open_with(url, &options, &store, &err) == IDEM_OK, "%s", err.message);
    return store;
}

#define assert_ok(call) ck_assert_msg((call) == IDEM_OK, "%s: %s", #call, err.message)

static idem_outcome begin(idem_store *store, idem_bytes key, const uint8_t *token, uint32_t attempt)
{
    idem_outcome out;
    assert_ok(
        idem_begin(store, IDEM_REQUEST(.key = key, .token = token, .lease_ms = 5), &out, &err));
    ck_assert(out.kind == IDEM_NEW && out.attempt == attempt);
    return out;
}

START_TEST(no_timeout_is_too_small_for_a_store_that_answers_at_once)
{
    static const uint8_t mine[IDEM_TOKEN_SIZE] = "mine";
    idem_store *store = open_hasty((uint64_t)_i + 1);
    for (int i = 0; i < TRIES; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%d", i);
        idem_bytes key = idem_str(name);
        idem_outcome first = begin(store, key, mine, 1);
        now_ms += 5;
        idem_outcome again = begin(store, key, mine, 1); /* my own lease, anew */
        now_ms += 5;
        idem_outcome taken = begin(store, key, NULL, 2); /* a takeover */
        ck_assert_int_eq(idem_renew(store, first.claim, 0, &err), IDEM_ERR_LOST);
        assert_ok(idem_checkpoint(store, taken.claim, idem_str("1"), &err));
        now_ms += 5;
        if (i % 2)
            assert_ok(idem_settle(store, key, idem_str("1"), &err));
        else
            assert_ok(idem_forget_expired(store, key, &err));
        assert_ok(idem_forget(store, key, &err));
        idem_outcome_clear(&first);
        idem_outcome_clear(&again);
        idem_outcome_clear(&taken);
    }
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hurry");
    TCase *tcase = tcase_create("hurry");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, no_timeout_is_too_small_for_a_store_that_answers_at_once, 0,
                        TIMEOUT_MAX);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
