/* SPDX-License-Identifier: MIT */
/*
 * Servers that refuse writes: out of memory, without their replicas, unable to save, replicas
 * themselves. What was completed is replayed, what is in progress is said to be so, and only what
 * would have to be written is refused.
 */
#include "proxy.h"
#include "redis_test.h"

#include <sys/stat.h>

#define HELD     "held"
#define DONE     "done"
#define HASTE_MS UINT64_C(15000) /* far below the calls' timeout */

static server redis;
static idem_store *store;
static idem_outcome held;

static void pause_until(const char *section, const char *words)
{
    for (int i = 0; i < 2000; i++) {
        char *info = server_text(&redis, "INFO %s", section);
        bool there = strstr(info, words) != NULL;
        free(info);
        if (there)
            return;
        wait_ms(5);
    }
    ck_abort_msg("%s does not come", words);
}

/* ------------------------------------------------------------------------------- ways to refuse */

static void fill_up(void)
{
    server_do(&redis, "CONFIG SET maxmemory 100000");
}

static void ask_for_replicas(void)
{
    server_do(&redis, "CONFIG SET min-replicas-to-write 1");
}

/* A folder stands where the snapshot has to go. */
static void fail_to_save(void)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/taken", redis.folder);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof path, "%s/taken/inside", redis.folder);
    (void)mkdir(path, 0700);
    server_do(&redis, "CONFIG SET save %s", "3600 1");
    server_do(&redis, "BGSAVE");
    pause_until("persistence", "rdb_last_bgsave_status:err");
}

static void follow_nobody(void)
{
    server_do(&redis, "REPLICAOF 127.0.0.1 1");
}

static const struct {
    void (*make)(void);
    int code;
    const char *says;
    bool lasting; /* not repeated until the deadline */
    bool stale;   /* what is there may be old */
} ways[] = {
    {fill_up, IDEM_ERR_FULL, "maxmemory", true, false},
    {ask_for_replicas, IDEM_ERR_UNAVAILABLE, "min-replicas-to-write", false, false},
    {fail_to_save, IDEM_ERR_UNAVAILABLE, "look at its disk", true, false},
    {follow_nobody, IDEM_ERR_UNAVAILABLE, "name the primary", false, true},
};
#define WAYS (sizeof ways / sizeof ways[0])

static void set_up(void)
{
    server_start(&redis, (const char *const[]){"--dbfilename", "taken", NULL});
    store = open_url(redis.url, "timeout=60s");
    complete(store, DONE, "7");
    held = claim(store, HELD);
}

static void tear_down(void)
{
    idem_outcome_clear(&held);
    idem_close(store);
    server_kill(&redis); /* one that can't save does not end by itself */
    server_remove(&redis);
}

static int begin_hastily(const char *key, idem_outcome *out)
{
    return idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = 300), out, &err);
}

/* With more time if there was too little of it for any answer. */
static void assert_refused(int which, const char *key)
{
    idem_outcome out;
    uint64_t timeout_ms = 150;
    int rc;
    do {
        timeout_ms *= 2;
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = timeout_ms), &out,
                        &err);
    } while ((rc == IDEM_ERR_UNCERTAIN || strstr(err.message, "deadline")) && timeout_ms < 20000);
    assert_code(ways[which].code, rc);
    assert_says(ways[which].says);
}

/* ---------------------------------------------------------------------------------------- begin */

START_TEST(what_is_there_is_told_and_what_is_new_is_refused)
{
    idem_store *another = open_url(redis.url, "timeout=60s"); /* its rights are not proved yet */
    idem_record record;
    ways[_i].make();
    uint64_t began = idem_monotonic_ms();
    for (int round = 0; round < 3; round++) {
        assert_replays(store, DONE, "7");
        assert_begin(store, HELD, IDEM_IN_PROGRESS);
        assert_replays(another, DONE, "7");
        assert_begin(another, HELD, IDEM_IN_PROGRESS);
        assert_ok(idem_get(store, idem_str(DONE), &record, &err));
        idem_record_clear(&record);
    }
    ck_assert_uint_lt(idem_monotonic_ms() - began, HASTE_MS);
    assert_refused(_i, KEY);
    ck_assert_int_eq(server_number(&redis, "EXISTS %s", KEY), 0);
    idem_close(another);
}
END_TEST

START_TEST(each_of_a_batch_is_told_its_own)
{
    static const char *const keys[] = {DONE, "new", HELD, DONE, "new-too"};
    static const int kinds[] = {IDEM_COMPLETED, 0, IDEM_IN_PROGRESS, IDEM_COMPLETED, 0};
    idem_request requests[5];
    idem_outcome outcomes[5];
    idem_error errors[5];
    uint64_t timeout_ms = 500;
    int rc;
    ways[_i].make();
    do { /* with more time if there was too little of it for the last answer */
        timeout_ms *= 2;
        for (size_t i = 0; i < 5; i++) {
            idem_request_init(&requests[i]);
            requests[i].key = idem_str(keys[i]);
            requests[i].timeout_ms = timeout_ms;
        }
        rc = idem_begin_many(store, requests, 5, outcomes, errors, &err);
        for (size_t i = 0; rc == IDEM_ERR_UNCERTAIN && i < 5; i++)
            idem_outcome_clear(&outcomes[i]);
    } while (rc == IDEM_ERR_UNCERTAIN && timeout_ms < 20000);
    ck_assert_int_eq(rc, ways[_i].code);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(errors[i].code, kinds[i] ? IDEM_OK : ways[_i].code);
        ck_assert_int_eq((int)outcomes[i].kind, kinds[i]);
        idem_outcome_clear(&outcomes[i]);
    }
}
END_TEST

START_TEST(another_content_and_a_stopped_owner_are_told_too)
{
    idem_outcome out;
    assert_ok(idem_begin(
        store, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1, .fingerprint = idem_str("a")),
        &out, &err));
    idem_outcome_clear(&out);
    wait_ms(5);
    ways[_i].make();
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .flags = IDEM_NO_TAKEOVER), &out,
                         &err));
    ck_assert_int_eq(out.kind, IDEM_IN_DOUBT);
    idem_outcome_clear(&out);
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .fingerprint = idem_str("b")),
                         &out, &err));
    ck_assert_int_eq(out.kind, IDEM_MISMATCH);
    idem_outcome_clear(&out);
    /* A takeover has to be written. */
    assert_refused(_i, KEY);
    idem_record record;
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    ck_assert_uint_eq(record.attempt, 1);
    idem_record_clear(&record);
}
END_TEST

START_TEST(what_can_never_be_written_is_refused_at_once)
{
    idem_outcome out;
    ways[_i].make();
    uint64_t began = idem_monotonic_ms();
    if (ways[_i].lasting) {
        assert_code(ways[_i].code,
                    idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
        ck_assert_int_eq(idem_complete(store, held.claim, idem_str("1"), &err), ways[_i].code);
        ck_assert_uint_lt(idem_monotonic_ms() - began, HASTE_MS);
    } else {
        (void)begin_hastily(KEY, &out);
        ck_assert_uint_ge(idem_monotonic_ms() - began, 250);
        idem_outcome_clear(&out);
    }
}
END_TEST

/* -------------------------------------------------------------------------- what owners ask for */

/* A claim's change with the deadline of a hasty store. */
static idem_store *hasty(const char *url)
{
    return open_url(url, "timeout=400ms");
}

START_TEST(a_claims_owner_is_refused_and_keeps_its_claim)
{
    idem_store *mine = hasty(redis.url);
    idem_outcome out = claim(mine, KEY);
    ways[_i].make();
    int rc = idem_complete(mine, out.claim, idem_str("1"), &err);
    ck_assert_msg(rc == ways[_i].code || rc == IDEM_ERR_UNCERTAIN, "%d: %s", rc, err.message);
    rc = idem_checkpoint(mine, out.claim, idem_str("1"), &err);
    ck_assert_msg(rc == ways[_i].code || rc == IDEM_ERR_UNCERTAIN, "%d: %s", rc, err.message);
    idem_record record;
    assert_ok(idem_get(mine, idem_str(KEY), &record, &err));
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    ck_assert_uint_eq(record.checkpoint.len, 0);
    idem_record_clear(&record);
    idem_outcome_clear(&out);
    idem_close(mine);
}
END_TEST

/* The reply to the first try is lost, and the repeat is refused. */
START_TEST(a_lost_completion_is_found_by_its_refused_repeat)
{
    proxy *between = proxy_start(redis.port);
    idem_store *mine = open_url(proxy_url(between), PATIENT);
    idem_outcome out = claim(mine, KEY);
    proxy_add(between, (proxy_rule){.match = "Completed", .action = PROXY_LOSE_REPLY, .times = 1});
    static const char *const refusals[] = {
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "-NOREPLICAS Not enough good replicas to write.\r\n",
        "-MISCONF Redis is configured to save RDB snapshots\r\n",
        "-READONLY You can't write against a read only replica.\r\n",
    };
    proxy_add(between, (proxy_rule){.match = "Completed",
                                    .action = PROXY_ANSWER,
                                    .times = PROXY_ALWAYS,
                                    .text = refusals[_i]});
    uint64_t began = idem_monotonic_ms();
    assert_ok(idem_complete(mine, out.claim, idem_str("1"), &err));
    ck_assert_uint_lt(idem_monotonic_ms() - began, HASTE_MS);
    ck_assert_int_eq(proxy_hits(between), 2);
    idem_outcome_clear(&out);
    idem_close(mine);
    proxy_stop(between);
}
END_TEST

/* What another has made of the key in the meantime is told, and not the refusal; but what a replica
   holds may be old, and takes nobody's claim away. */
static void assert_told(int way, int expected, int rc)
{
    bool told = ways[way].stale ? rc == ways[way].code || rc == IDEM_ERR_UNCERTAIN : rc == expected;
    ck_assert_msg(told, "%d: %s", rc, err.message);
}

START_TEST(a_lost_claim_is_told)
{
    idem_store *mine = hasty(redis.url);
    idem_outcome late;
    assert_ok(idem_begin(mine, IDEM_REQUEST(.key = idem_str(KEY), .lease_ms = 1), &late, &err));
    wait_ms(5);
    idem_outcome out = begin_key(store, KEY);
    ck_assert_uint_eq(out.attempt, 2);
    ways[_i].make();
    assert_told(_i, IDEM_ERR_LOST, idem_complete(mine, late.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    idem_outcome_clear(&late);
    idem_close(mine);
}
END_TEST

START_TEST(a_claim_whose_record_is_gone_is_told)
{
    idem_store *mine = hasty(redis.url);
    idem_outcome out = claim(mine, KEY);
    server_do(&redis, "DEL %s", KEY);
    ways[_i].make();
    assert_told(_i, IDEM_ERR_NOT_FOUND, idem_complete(mine, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    idem_close(mine);
}
END_TEST

/* The first insert of a connection too: what a replica holds proves nobody's claim. */
START_TEST(a_replica_does_not_say_new_again)
{
    idem_outcome out;
    idem_request request;
    uint8_t token[IDEM_TOKEN_SIZE];
    memcpy(token, TOKEN, sizeof token);
    idem_request_init(&request);
    request.key = idem_str(KEY);
    request.token = token;
    assert_ok(idem_begin(store, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    idem_outcome_clear(&out);
    follow_nobody();
    idem_store *mine = hasty(redis.url);
    int rc = idem_begin(mine, &request, &out, &err);
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN, "%d, kind %d", rc,
                  (int)out.kind);
    idem_outcome_clear(&out);
    assert_replays(mine, DONE, "7");
    idem_close(mine);
}
END_TEST

/* The refusal is told, and not that the key holds something else: unless it does. */
START_TEST(what_is_no_record_is_corrupt_there_too)
{
    idem_outcome out;
    server_do(&redis, "RPUSH a-list 1");
    server_do(&redis, "SET a-text hello");
    ways[_i].make();
    assert_code(IDEM_ERR_CORRUPT, begin_hastily("a-list", &out));
    assert_code(IDEM_ERR_CORRUPT, begin_hastily("a-text", &out));
}
END_TEST

START_TEST(when_writes_are_taken_again_all_goes_on)
{
    fill_up();
    assert_refused(0, KEY);
    server_do(&redis, "CONFIG SET maxmemory 0");
    ask_for_replicas();
    assert_refused(1, KEY);
    server_do(&redis, "CONFIG SET min-replicas-to-write 0");
    follow_nobody();
    assert_refused(3, KEY);
    server_do(&redis, "REPLICAOF NO ONE");
    assert_begin(store, KEY, IDEM_NEW);
    assert_ok(idem_complete(store, held.claim, idem_str("1"), &err));
}
END_TEST

/* A replica that has lost its primary may refuse reads as well. */
START_TEST(a_server_that_answers_no_reads_is_unavailable)
{
    idem_outcome out;
    server_do(&redis, "CONFIG SET replica-serve-stale-data no");
    follow_nobody();
    int rc = begin_hastily(DONE, &out);
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN, "%d", rc);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis refused");
    server_require();
    ADD_HERE(suite, what_is_there_is_told_and_what_is_new_is_refused, WAYS);
    ADD_HERE(suite, each_of_a_batch_is_told_its_own, WAYS);
    ADD_HERE(suite, another_content_and_a_stopped_owner_are_told_too, WAYS);
    ADD_HERE(suite, what_can_never_be_written_is_refused_at_once, WAYS);
    ADD_HERE(suite, a_claims_owner_is_refused_and_keeps_its_claim, WAYS);
    ADD_HERE(suite, a_lost_completion_is_found_by_its_refused_repeat, WAYS);
    ADD_HERE(suite, a_lost_claim_is_told, WAYS);
    ADD_HERE(suite, a_claim_whose_record_is_gone_is_told, WAYS);
    ADD_HERE(suite, a_replica_does_not_say_new_again, 1);
    ADD_HERE(suite, what_is_no_record_is_corrupt_there_too, WAYS);
    ADD_HERE(suite, when_writes_are_taken_again_all_goes_on, 1);
    ADD_HERE(suite, a_server_that_answers_no_reads_is_unavailable, 1);
    return run_suite(suite);
}
