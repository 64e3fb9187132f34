/* SPDX-License-Identifier: MIT */
/*
 * What servers do in real life: stopped and started, replicas, full, scripts forgotten, values that
 * are too large, a fork() with a connected handle.
 */
#include "redis_test.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static server redis;
static idem_store *store;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    store = open_url(redis.url, "");
}

static void tear_down(void)
{
    idem_close(store);
}

static idem_bytes long_response(size_t size)
{
    char *response = malloc(size);
    ck_assert_ptr_nonnull(response);
    for (size_t i = 0; i < size; i++)
        response[i] = (char)('a' + i % 23);
    response[0] = response[size - 1] = '"';
    return (idem_bytes){response, size};
}

/* --------------------------------------------------------------------------- stopped and started */

static const char *const append_only[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

START_TEST(a_server_stopped_between_begin_and_complete_and_started_again_loses_nothing)
{
    idem_outcome out;
    server own;
    server_start(&own, append_only);
    idem_store *mine = open_url(own.url, "timeout=1s");
    idem_outcome held = claim(mine, KEY);
    complete(mine, "done", "{\"n\":1}");
    server_stop(&own);
    /* While it is away, that is what is said, and never New. */
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(mine, IDEM_REQUEST(.key = idem_str("other")), &out, &err));
    ck_assert_int_ne(idem_complete(mine, held.claim, idem_str("42"), &err), IDEM_OK);
    server_again(&own, append_only);
    assert_begin(mine, KEY, IDEM_IN_PROGRESS);
    assert_ok(idem_complete(mine, held.claim, idem_str("42"), &err));
    assert_replays(mine, KEY, "42");
    assert_replays(mine, "done", "{\"n\":1}");
    assert_begin(mine, "other", IDEM_NEW);
    idem_outcome_clear(&held);
    idem_close(mine);
    server_remove(&own);
}
END_TEST

typedef struct {
    idem_store *store;
    idem_claim *claim;
    int rc;
} completion;

static void *complete_now(void *user)
{
    completion *call = user;
    call->rc = idem_complete(call->store, call->claim, idem_str("1"), NULL);
    return NULL;
}

START_TEST(a_call_waits_for_a_server_that_comes_back_before_its_deadline)
{
    pthread_t caller;
    server own;
    server_start(&own, append_only);
    completion call = {.store = open_url(own.url, "timeout=20s"), .rc = -1};
    idem_outcome held = claim(call.store, KEY);
    call.claim = held.claim;
    server_stop(&own);
    ck_assert_int_eq(pthread_create(&caller, NULL, complete_now, &call), 0);
    wait_ms(300);
    server_again(&own, append_only);
    ck_assert_int_eq(pthread_join(caller, NULL), 0);
    ck_assert_int_eq(call.rc, IDEM_OK);
    assert_replays(call.store, KEY, "1");
    idem_outcome_clear(&held);
    idem_close(call.store);
    server_remove(&own);
}
END_TEST

/* ------------------------------------------------------------------------------------- replicas */

START_TEST(a_read_only_replica_takes_no_claims_but_answers_gets)
{
    char port[16];
    idem_record record;
    idem_outcome out;
    server replica;
    server_do(&redis, "CONFIG SET repl-diskless-sync-delay 0");
    complete(store, KEY, "1");
    (void)snprintf(port, sizeof port, "%d", redis.port);
    server_start(&replica, (const char *const[]){"--replicaof", "127.0.0.1", port, NULL});
    for (int i = 0; i < 1000 && server_number(&replica, "EXISTS %s", KEY) == 0; i++)
        wait_ms(10);
    idem_store *mine = open_url(replica.url, "timeout=1s");
    assert_ok(idem_get(mine, idem_str(KEY), &record, &err));
    idem_record_clear(&record);
    /* A try whose answer the machine was too late for is uncertain, and tells nothing. */
    int rc = IDEM_ERR_UNCERTAIN;
    for (int i = 0; i < 20 && rc == IDEM_ERR_UNCERTAIN; i++)
        assert_in_time(1000,
                       rc = idem_begin(mine, IDEM_REQUEST(.key = idem_str("new")), &out, &err));
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    rc = IDEM_ERR_UNCERTAIN;
    for (int i = 0; i < 20 && rc == IDEM_ERR_UNCERTAIN; i++)
        rc = idem_forget(mine, idem_str(KEY), &err);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    /* A failover makes it the primary: the same handle works on. */
    server_do(&replica, "REPLICAOF NO ONE");
    assert_replays(mine, KEY, "1");
    assert_begin(mine, "new", IDEM_NEW);
    idem_close(mine);
    server_remove(&replica);
}
END_TEST

/* -------------------------------------------------------------------------------------- scripts */

static long long calls_of(const char *command)
{
    char field[64];
    char *stats = server_text(&redis, "INFO commandstats");
    (void)snprintf(field, sizeof field, "\ncmdstat_%s:calls=", command);
    const char *at = strstr(stats, field);
    long long calls = at ? atoll(at + strlen(field)) : 0;
    free(stats);
    return calls;
}

/* Uses all that there is, on a key of its own. */
static void use_everything(const char *key)
{
    idem_record record;
    idem_outcome out = claim(store, key);
    assert_begin(store, key, IDEM_IN_PROGRESS);
    assert_ok(idem_renew(store, out.claim, 0, &err));
    assert_ok(idem_checkpoint(store, out.claim, idem_str("[1]"), &err));
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    complete(store, key, "1");
    assert_replays(store, key, "1");
    assert_ok(idem_get(store, idem_str(key), &record, &err));
    idem_record_clear(&record);
    assert_ok(idem_forget(store, idem_str(key), &err));
}

/* Scripts are called by names that are written out in the source: a wrong one would work as well,
   but by sending the text each time. */
START_TEST(scripts_are_sent_once_and_called_by_name_then)
{
    use_everything("warm-up");
    server_do(&redis, "CONFIG RESETSTAT");
    use_everything(KEY);
    ck_assert_int_eq(calls_of("eval"), 0);
    ck_assert_int_ge(calls_of("evalsha"), 5);
}
END_TEST

START_TEST(scripts_that_the_server_forgot_are_sent_again)
{
    idem_record record;
    idem_outcome out = claim(store, KEY);
    server_do(&redis, "SCRIPT FLUSH");
    assert_begin(store, KEY, IDEM_IN_PROGRESS);
    server_do(&redis, "SCRIPT FLUSH");
    assert_ok(idem_renew(store, out.claim, 0, &err));
    server_do(&redis, "SCRIPT FLUSH");
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    idem_record_clear(&record);
    server_do(&redis, "SCRIPT FLUSH");
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    idem_outcome_clear(&out);
    out = claim(store, "other");
    server_do(&redis, "SCRIPT FLUSH");
    assert_ok(idem_release(store, out.claim, &err));
    idem_outcome_clear(&out);
    assert_replays(store, KEY, "1");
}
END_TEST

/* ----------------------------------------------------------------------------------------- full */

START_TEST(a_full_server_says_so_and_keeps_what_it_has)
{
    idem_outcome out;
    idem_outcome held = claim(store, "held");
    complete(store, KEY, "1");
    server_do(&redis, "CONFIG SET maxmemory 100000");
    assert_code(IDEM_ERR_FULL, idem_begin(store, IDEM_REQUEST(.key = idem_str("new")), &out, &err));
    assert_says("maxmemory");
    assert_code(IDEM_ERR_FULL, idem_complete(store, held.claim, idem_str("1"), &err));
    server_do(&redis, "CONFIG SET maxmemory 0");
    assert_ok(idem_complete(store, held.claim, idem_str("1"), &err));
    assert_replays(store, KEY, "1");
    idem_outcome_clear(&held);
}
END_TEST

START_TEST(a_response_larger_than_the_server_takes_is_too_large_and_the_claim_stays)
{
    idem_outcome out = claim(store, KEY);
    idem_bytes response = long_response((size_t)2 << 20);
    server_do(&redis, "CONFIG SET proto-max-bulk-len 1mb");
    assert_code(IDEM_ERR_TOO_LARGE, idem_complete(store, out.claim, response, &err));
    assert_says("proto-max-bulk-len");
    assert_ok(idem_complete(store, out.claim, idem_str("1"), &err));
    server_do(&redis, "CONFIG SET proto-max-bulk-len 512mb");
    assert_replays(store, KEY, "1");
    free((void *)(uintptr_t)response.data);
    idem_outcome_clear(&out);
}
END_TEST

START_TEST(a_response_of_8_MiB_goes_there_and_back)
{
    const char *const urls[] = {redis.url, redis.unix_url};
    idem_bytes response = long_response((size_t)8 << 20);
    idem_store *mine = open_url(urls[_i], "");
    idem_outcome out = claim(mine, KEY);
    assert_ok(idem_complete(mine, out.claim, response, &err));
    idem_outcome_clear(&out);
    out = begin_key(mine, KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_uint_eq(out.response.len, response.len);
    ck_assert(memcmp(out.response.data, response.data, response.len) == 0);
    idem_outcome_clear(&out);
    idem_close(mine);
    free((void *)(uintptr_t)response.data);
}
END_TEST

/* ------------------------------------------------------------------------------------ processes */

static void work(idem_store *mine, const char *who)
{
    for (int i = 0; i < 50; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s-%d", who, i);
        complete(mine, key, "1");
    }
}

START_TEST(after_fork_parent_and_child_work_on_over_connections_of_their_own)
{
    idem_outcome held = claim(store, KEY);
    long long before = server_info(&redis, "clients", "connected_clients");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        work(store, "child");
        assert_begin(store, KEY, IDEM_IN_PROGRESS);
        ck_assert_int_eq(server_info(&redis, "clients", "connected_clients"), before + 1);
        idem_close(store);
        _exit(EXIT_SUCCESS);
    }
    int status = -1;
    work(store, "parent");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    assert_ok(idem_complete(store, held.claim, idem_str("1"), &err));
    assert_replays(store, KEY, "1");
    idem_outcome_clear(&held);
    ck_assert_int_eq(server_number(&redis, "DBSIZE"), 101);
}
END_TEST

/* posix_spawn() runs no fork handlers: the descriptor itself has to stay behind. */
START_TEST(no_descriptor_is_handed_on_to_programs)
{
    char *const arguments[] = {"sleep", "5", NULL};
    char *const environment[] = {NULL};
    pid_t child = 0;
    long long before = server_info(&redis, "clients", "connected_clients");
    ck_assert_int_eq(posix_spawn(&child, "/bin/sleep", NULL, NULL, arguments, environment), 0);
    idem_close(store);
    store = NULL;
    long long after = before;
    for (int i = 0; i < 100 && after >= before; i++) {
        wait_ms(10);
        after = server_info(&redis, "clients", "connected_clients");
    }
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    ck_assert_int_lt(after, before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis faults");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, a_server_stopped_between_begin_and_complete_and_started_again_loses_nothing, 1);
    ADD_HERE(suite, a_call_waits_for_a_server_that_comes_back_before_its_deadline, 1);
    ADD_HERE(suite, a_read_only_replica_takes_no_claims_but_answers_gets, 1);
    ADD_HERE(suite, scripts_are_sent_once_and_called_by_name_then, 1);
    ADD_HERE(suite, scripts_that_the_server_forgot_are_sent_again, 1);
    ADD_HERE(suite, a_full_server_says_so_and_keeps_what_it_has, 1);
    ADD_HERE(suite, a_response_larger_than_the_server_takes_is_too_large_and_the_claim_stays, 1);
    ADD_HERE(suite, a_response_of_8_MiB_goes_there_and_back, 2);
    ADD_HERE(suite, after_fork_parent_and_child_work_on_over_connections_of_their_own, 1);
    ADD_HERE(suite, no_descriptor_is_handed_on_to_programs, 1);
    return run_suite(suite);
}
