/* SPDX-License-Identifier: MIT */
/*
 * What networks do to commands and replies, done by a proxy: replies that are lost after the
 * command was carried out, connections that close, stalls; and what happens between two operations
 * of one call.
 */
#include "between.h"

#include <signal.h>

/* ------------------------------------------------------------------------------- lost replies */

/* A begin or complete whose reply was lost is repeated over the new connection. */
START_TEST(a_begin_whose_reply_was_lost_is_new_with_attempt_1)
{
    once(KEY, PROXY_LOSE_REPLY);
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(proxy_connections(between), 2);
    ck_assert_int_eq(retries, 1);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    assert_replays(store, KEY, "1");
}
END_TEST

START_TEST(a_takeover_whose_reply_was_lost_is_new_with_its_attempt)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &out, &err));
    idem_outcome_clear(&out);
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){.match = "\"attempt\":2", .action = PROXY_LOSE_REPLY, .times = 1});
    while ((out = begin_key(store, KEY)).kind == IDEM_IN_PROGRESS)
        idem_outcome_clear(&out);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 2);
    ck_assert_int_ge(proxy_hits(between), 1);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_complete_whose_reply_was_lost_is_ok_and_stored_once)
{
    idem_outcome out = claim(store, KEY);
    once(COMPLETED, PROXY_LOSE_REPLY);
    assert_ok(idem_complete(store, out.claim, idem_str("{\"n\":1}"), &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    assert_replays(store, KEY, "{\"n\":1}");
}
END_TEST

START_TEST(a_renew_and_a_checkpoint_whose_replies_were_lost_are_ok)
{
    idem_outcome out = claim(store, KEY);
    once(SCRIPT, PROXY_LOSE_REPLY);
    assert_ok(idem_renew(store, out.claim, 0, &err));
    once("\"checkpoint\"", PROXY_LOSE_REPLY);
    assert_ok(idem_checkpoint(store, out.claim, idem_str("[7]"), &err));
    ck_assert_int_eq(proxy_hits(between), 2);
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_release_whose_reply_was_lost_is_ok_and_the_key_is_free)
{
    idem_outcome out = claim(store, KEY);
    once(SCRIPT, PROXY_LOSE_REPLY);
    assert_ok(idem_release(store, out.claim, &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    assert_begin(store, KEY, IDEM_NEW);
}
END_TEST

START_TEST(replies_that_are_always_lost_end_uncertain_and_the_same_token_finds_its_claim)
{
    idem_outcome out;
    idem_request request = {.size = sizeof request,
                            .key = idem_str(KEY),
                            .timeout_ms = 300,
                            .token = (const uint8_t *)TOKEN};
    always(KEY, PROXY_LOSE_REPLY, NULL);
    assert_in_time(300, assert_code(IDEM_ERR_UNCERTAIN, idem_begin(store, &request, &out, &err)));
    proxy_clear(between);
    assert_ok(idem_begin(store, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
}
END_TEST

/* -------------------------------------------------------------------------- closed connections */

/* check runs tests with SIGPIPE as it is: the default ends the process. */
START_TEST(a_connection_that_closes_under_a_write_does_not_end_the_process)
{
    static const proxy_action actions[] = {PROXY_CLOSE_EARLY, PROXY_CLOSE, PROXY_RESET};
    ck_assert(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    idem_outcome out = claim(store, KEY);
    once(COMPLETED, actions[_i]);
    size_t size = (size_t)8 << 20;
    char *response = malloc(size);
    ck_assert_ptr_nonnull(response);
    memset(response, 'x', size);
    response[0] = response[size - 1] = '"';
    assert_ok(idem_complete(store, out.claim, (idem_bytes){response, size}, &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
    out = begin_key(store, KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert(out.response.len == size && memcmp(out.response.data, response, size) == 0);
    idem_outcome_clear(&out);
    free(response);
}
END_TEST

/* Each is looked at before it is used. Where the server's end has not arrived yet, the reply is
   lost, and the call repeated. */
static const bool idle[] = {true, false};

START_TEST(a_connection_that_the_server_closed_is_replaced)
{
    idem_options options = {.size = sizeof options, .on_event = count_retry};
    idem_store *direct = NULL;
    assert_ok(idem_open_with(redis.url, &options, &direct, &err));
    idem_outcome out = claim(direct, KEY);
    server_do(&redis, "CLIENT KILL TYPE normal SKIPME yes");
    if (idle[_i])
        wait_ms(20);
    assert_ok(idem_complete(direct, out.claim, idem_str("1"), &err));
    ck_assert_int_le(retries, idle[_i] ? 0 : 1);
    idem_outcome_clear(&out);
    out = begin_key(direct, KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_close(direct);
}
END_TEST

/* --------------------------------------------------------------------------------------- stalls */

START_TEST(a_stalled_server_is_waited_for_until_the_deadline_and_no_longer)
{
    idem_outcome out;
    idem_record record;
    idem_store *hasty = open_between("timeout=300ms");
    always("", PROXY_STALL, NULL);
    assert_in_time(300,
                   assert_code(IDEM_ERR_UNCERTAIN,
                               idem_begin(hasty, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err)));
    assert_says("did not answer by the deadline");
    assert_in_time(
        300, assert_code(IDEM_ERR_UNAVAILABLE, idem_get(hasty, idem_str(KEY), &record, &err)));
    proxy_clear(between);
    assert_code(IDEM_ERR_NOT_FOUND, idem_get(hasty, idem_str(KEY), &record, &err));
    idem_close(hasty);
}
END_TEST

START_TEST(a_server_that_accepts_and_says_nothing_is_given_up_after_connect_timeout)
{
    char url[200];
    idem_store *opened = NULL;
    always("PING", PROXY_STALL, NULL);
    (void)snprintf(url, sizeof url, "%s?connect_timeout=50ms&timeout=400ms", proxy_url(between));
    int before = proxy_connections(between);
    assert_in_time(400, assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &opened, &err)));
    ck_assert_int_gt(proxy_connections(between), before + 1); /* by another connection, too */
    (void)snprintf(url, sizeof url, "%s?timeout=150ms", proxy_url(between));
    assert_in_time(150, assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &opened, &err)));
    ck_assert_ptr_null(opened);
}
END_TEST

/* ----------------------------------------------------------------------- between two operations */

static void expire_key(void *user)
{
    (void)user;
    server_do(&redis, "DEL %s", KEY);
}

START_TEST(a_key_that_expires_between_two_operations_of_a_begin_is_claimed_by_an_insert)
{
    idem_outcome held = claim(store, KEY);
    /* The insert found it in progress; before its age is read it is gone. */
    proxy_add(between,
              (proxy_rule){.match = SCRIPT, .action = PROXY_CALL, .times = 1, .call = expire_key});
    idem_outcome out = claim(store, KEY);
    ck_assert_int_eq(proxy_hits(between), 1);
    assert_code(IDEM_ERR_LOST, idem_complete(store, held.claim, idem_str("1"), &err));
    assert_ok(idem_complete(store, out.claim, idem_str("2"), &err));
    idem_outcome_clear(&held);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_key_that_expires_before_its_takeover_is_claimed_by_an_insert)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &out, &err));
    idem_outcome_clear(&out);
    wait_ms(10);
    proxy_add(between,
              (proxy_rule){
                  .match = "\"attempt\":2", .action = PROXY_CALL, .times = 1, .call = expire_key});
    out = claim(store, KEY); /* attempt 1 */
    ck_assert_int_eq(proxy_hits(between), 1);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_key_that_expires_before_its_completion_is_not_found_and_stays_absent)
{
    idem_outcome out = claim(store, KEY);
    proxy_add(
        between,
        (proxy_rule){.match = COMPLETED, .action = PROXY_CALL, .times = 1, .call = expire_key});
    assert_code(IDEM_ERR_NOT_FOUND, idem_complete(store, out.claim, idem_str("1"), &err));
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    idem_outcome_clear(&out);
}
END_TEST

static void complete_by_another_way(void *user)
{
    (void)user;
    server_do(&redis, "SET %s %s PX 1000", KEY,
              "{\"version\":\"00000000deadbeef\",\"status\":\"Completed\","
              "\"created_at\":\"2026-11-23T16:00:00.000Z\","
              "\"updated_at\":\"2026-11-23T16:00:01.250Z\",\"attempt\":1,\"lease_ms\":60000,"
              "\"ttl_ms\":1000,\"token\":\"30313233343536373839616263646566\",\"response\":7}");
}

/* With the old record and the new one's PTTL it would seem that the lease has expired. */
START_TEST(a_record_is_never_dated_by_another_ones_life)
{
    idem_outcome held = claim(store, KEY);
    idem_outcome out;
    proxy_add(between, (proxy_rule){.match = SCRIPT,
                                    .action = PROXY_CALL,
                                    .times = 1,
                                    .call = complete_by_another_way});
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = IDEM_NO_TAKEOVER), &out,
                         &err));
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    idem_outcome_clear(&out);
    idem_outcome_clear(&held);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis replies");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_begin_whose_reply_was_lost_is_new_with_attempt_1, 1);
    ADD_HERE(suite, a_takeover_whose_reply_was_lost_is_new_with_its_attempt, 1);
    ADD_HERE(suite, a_complete_whose_reply_was_lost_is_ok_and_stored_once, 1);
    ADD_HERE(suite, a_renew_and_a_checkpoint_whose_replies_were_lost_are_ok, 1);
    ADD_HERE(suite, a_release_whose_reply_was_lost_is_ok_and_the_key_is_free, 1);
    ADD_HERE(suite, replies_that_are_always_lost_end_uncertain_and_the_same_token_finds_its_claim,
             1);
    ADD_HERE(suite, a_connection_that_closes_under_a_write_does_not_end_the_process, 3);
    ADD_HERE(suite, a_connection_that_the_server_closed_is_replaced,
             (int)(sizeof idle / sizeof *idle));
    ADD_HERE(suite, a_stalled_server_is_waited_for_until_the_deadline_and_no_longer, 1);
    ADD_HERE(suite, a_server_that_accepts_and_says_nothing_is_given_up_after_connect_timeout, 1);
    ADD_HERE(suite, a_key_that_expires_between_two_operations_of_a_begin_is_claimed_by_an_insert,
             1);
    ADD_HERE(suite, a_key_that_expires_before_its_takeover_is_claimed_by_an_insert, 1);
    ADD_HERE(suite, a_key_that_expires_before_its_completion_is_not_found_and_stays_absent, 1);
    ADD_HERE(suite, a_record_is_never_dated_by_another_ones_life, 1);
    return run_suite(suite);
}
