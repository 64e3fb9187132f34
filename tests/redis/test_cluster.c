/* SPDX-License-Identifier: MIT */
/* redis+cluster://: where each op goes, and what happens when slots move. Three masters. */
#include "cluster_set.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BIG      (8u << 20)
#define TAGGED   "{42}charge"
#define PAUSE_MS 10

static cluster_set cluster;
static idem_store *store;

static void set_up(void)
{
    cluster_flush(&cluster);
    for (size_t i = 0; i < 3; i++)
        server_do(&cluster.nodes[i], "CONFIG RESETSTAT");
    store = open_url(cluster.url, "");
}

static void tear_down(void)
{
    idem_close(store);
}

static size_t owner_of(const char *key)
{
    return cluster_owner(&cluster, idem__redis_key_slot(idem_str(key)));
}

/* How often a node has answered with this error. */
static long errors(size_t node, const char *name)
{
    char field[64];
    char *info = server_text(&cluster.nodes[node], "INFO errorstats");
    (void)snprintf(field, sizeof field, "errorstat_%s:count=", name);
    const char *at = strstr(info, field);
    long count = at ? atol(at + strlen(field)) : 0;
    free(info);
    return count;
}

/* ------------------------------------------------------------------------------------ routes */

START_TEST(keys_are_where_their_slots_are_and_nobody_is_asked_twice)
{
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        complete(store, key, "1");
    }
    long long keys = 0;
    for (size_t i = 0; i < 3; i++) {
        long long own = server_number(&cluster.nodes[i], "DBSIZE");
        ck_assert_int_gt(own, 20);
        keys += own;
        ck_assert_int_eq(errors(i, "MOVED"), 0);
    }
    ck_assert_int_eq(keys, 200);
}
END_TEST

START_TEST(a_large_response_comes_back)
{
    char *big = malloc(BIG + 1);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', BIG);
    big[0] = big[BIG - 1] = '"';
    big[BIG] = '\0';
    for (int i = 0; i < 4; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "big%d", i);
        complete(store, key, big);
        assert_replays(store, key, big);
    }
    free(big);
}
END_TEST

/* -------------------------------------------------------------------------------------- moves */

/* A key whose slot is at node 0. */
static const char *key_of_node_0(char key[32], int number)
{
    for (int i = 0;; i++) {
        (void)snprintf(key, 32, "n%d-%d", number, i);
        if (owner_of(key) == 0)
            return key;
    }
}

START_TEST(a_slot_that_has_moved_is_found_and_remembered)
{
    char key[32];
    unsigned slot = idem__redis_key_slot(idem_str(key_of_node_0(key, 0)));
    complete(store, key, "1");
    cluster_move(&cluster, slot, 0, 1);
    for (int i = 0; i < 20; i++)
        assert_replays(store, key, "1");
    ck_assert_int_ge(errors(0, "MOVED"), 1);
    ck_assert_int_le(errors(0, "MOVED"), 2);
    cluster_move(&cluster, slot, 1, 0);
    assert_replays(store, key, "1");
}
END_TEST

#define MOVED_SLOTS 60

/* One MOVED is enough to learn of all slots that have moved. */
START_TEST(a_slot_that_has_moved_brings_the_whole_map)
{
    char keys[MOVED_SLOTS][32];
    unsigned slots[MOVED_SLOTS];
    unsigned known = 0;
    complete(store, "a", "1");
    for (unsigned i = 0; i < MOVED_SLOTS; i++) {
        slots[i] = i; /* node 0 has the lowest ones */
        for (int k = 0;; k++) {
            (void)snprintf(keys[i], sizeof keys[i], "w%u-%d", i, k);
            if (idem__redis_key_slot(idem_str(keys[i])) == slots[i])
                break;
        }
        cluster_move(&cluster, slots[i], 0, 1);
    }
    for (unsigned i = 0; i < MOVED_SLOTS; i++) {
        long before = errors(0, "MOVED");
        complete(store, keys[i], "1");
        known += errors(0, "MOVED") == before;
        wait_ms(known ? 0 : PAUSE_MS);
    }
    ck_assert_uint_gt(known, MOVED_SLOTS / 2);
    for (unsigned i = 0; i < MOVED_SLOTS; i++)
        cluster_move(&cluster, slots[i], 1, 0);
}
END_TEST

/* Each of these is done while the key's slot is on its way: the key is at the target already. */
static void do_complete(idem_claim *claim)
{
    assert_ok(idem_complete(store, claim, idem_str("7"), &err));
}

static void do_renew(idem_claim *claim)
{
    assert_ok(idem_renew(store, claim, LONG_MS, &err));
}

static void do_checkpoint(idem_claim *claim)
{
    assert_ok(idem_checkpoint(store, claim, idem_str("[1]"), &err));
}

static void do_release(idem_claim *claim)
{
    assert_ok(idem_release(store, claim, &err));
}

static void do_forget(idem_claim *claim)
{
    (void)claim;
    assert_ok(idem_forget(store, idem_str(TAGGED), &err));
}

static void do_begin(idem_claim *claim)
{
    (void)claim;
    assert_begin(store, TAGGED, IDEM_IN_PROGRESS);
}

static void do_begin_another(idem_claim *claim)
{
    (void)claim;
    complete(store, "{42}another", "1");
    assert_replays(store, "{42}another", "1");
}

static void do_get(idem_claim *claim)
{
    idem_record record = {0};
    (void)claim;
    assert_ok(idem_get(store, idem_str(TAGGED), &record, &err));
    ck_assert_int_eq(record.status, IDEM_STATUS_IN_PROGRESS);
    idem_record_clear(&record);
}

static void (*const acts[])(idem_claim *claim) = {do_complete,      do_renew,  do_checkpoint,
                                                  do_release,       do_forget, do_begin,
                                                  do_begin_another, do_get};

START_TEST(an_op_follows_its_key_to_a_node_that_has_forgotten_the_scripts)
{
    unsigned slot = idem__redis_key_slot(idem_str(TAGGED));
    size_t from = owner_of(TAGGED);
    size_t to = (from + 1) % 3;
    idem_outcome out = claim(store, TAGGED);
    cluster_open_slot(&cluster, slot, from, to);
    cluster_move_keys(&cluster, slot, from, to);
    server_do(&cluster.nodes[to], "SCRIPT FLUSH");
    acts[_i](out.claim);
    ck_assert_int_ge(errors(from, "ASK"), 1);
    ck_assert_int_eq(errors(to, "MOVED"), 0);
    cluster_move_keys(&cluster, slot, from, to);
    cluster_close_slot(&cluster, slot, to);
    idem_outcome_clear(&out);
    cluster_move(&cluster, slot, to, from);
}
END_TEST

/* ----------------------------------------------------------------------- moves under many calls */

#define THREADS 8
#define KEYS    120
#define MOVES   8

static atomic_int times_done[KEYS];
static atomic_int failures;
static atomic_bool ended;

static bool do_once(int which)
{
    char key[16];
    char response[16];
    idem_outcome out;
    (void)snprintf(key, sizeof key, "{mv}%d", which);
    (void)snprintf(response, sizeof response, "%d", which);
    if (idem_begin(store,
                   IDEM_REQUEST(.key = idem_str(key), .wait_ms = 20000, .timeout_ms = 20000,
                                .lease_ms = LONG_MS),
                   &out, NULL) != IDEM_OK)
        return false;
    bool right = out.kind == IDEM_COMPLETED && out.response.len == strlen(response) &&
                 memcmp(out.response.data, response, out.response.len) == 0;
    if (out.kind == IDEM_NEW) {
        (void)atomic_fetch_add(&times_done[which], 1);
        right = idem_checkpoint(store, out.claim, idem_str("[1]"), NULL) == IDEM_OK &&
                idem_complete(store, out.claim, idem_str(response), NULL) == IDEM_OK;
    }
    idem_outcome_clear(&out);
    return right;
}

static void *work(void *user)
{
    const unsigned *number = user;
    for (int i = 0; i < KEYS || !atomic_load(&ended); i++) {
        if (!do_once((int)(((unsigned)i + *number * 13u) % KEYS)))
            (void)atomic_fetch_add(&failures, 1);
    }
    return NULL;
}

START_TEST(a_slot_that_moves_to_and_fro_under_its_callers_costs_nothing_but_time)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    unsigned slot = idem__redis_key_slot(idem_str("{mv}"));
    size_t at = owner_of("{mv}");
    size_t home = at;
    atomic_store(&failures, 0);
    atomic_store(&ended, false);
    for (int i = 0; i < KEYS; i++)
        atomic_store(&times_done[i], 0);
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &numbers[i]), 0);
    }
    for (int i = 0; i < MOVES || at != home; i++) {
        size_t to = (at + 1) % 3;
        cluster_move(&cluster, slot, at, to);
        at = to;
    }
    atomic_store(&ended, true);
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_int_eq(atomic_load(&failures), 0);
    for (int i = 0; i < KEYS; i++)
        ck_assert_int_eq(atomic_load(&times_done[i]), 1);
}
END_TEST

/* --------------------------------------------------------------------------------- doctor, ls */

static int count_record(const idem_record *record, void *user)
{
    (void)record;
    ++*(int *)user;
    return IDEM_OK;
}

START_TEST(a_listing_has_the_records_of_all_masters_once)
{
    int count = 0;
    for (int i = 0; i < 300; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "ls%d", i);
        complete(store, key, "1");
    }
    assert_ok(idem_scan(store, NULL, count_record, &count, &err));
    ck_assert_int_eq(count, 300);
}
END_TEST

static char findings[8192];

static void keep_finding(void *user, const idem_finding *finding)
{
    size_t len = strlen(findings);
    (void)user;
    (void)snprintf(findings + len, sizeof findings - len, "%s\n", finding->what);
}

START_TEST(a_check_looks_at_each_master_and_at_the_whole)
{
    char name[32];
    findings[0] = '\0';
    server_do(&cluster.nodes[1], "CONFIG SET maxmemory-policy allkeys-lru");
    assert_ok(idem_check(store, keep_finding, NULL, &err));
    server_do(&cluster.nodes[1], "CONFIG SET maxmemory-policy noeviction");
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "port %d has no replica", cluster.nodes[i].port);
        ck_assert_msg(strstr(findings, name) != NULL, "%s lacks %s", findings, name);
        (void)snprintf(name, sizeof name, "port %d: persistence", cluster.nodes[i].port);
        ck_assert_msg(strstr(findings, name) != NULL, "%s lacks %s", findings, name);
    }
    (void)snprintf(name, sizeof name, "port %d: maxmemory-policy", cluster.nodes[1].port);
    ck_assert_msg(strstr(findings, name) != NULL, "%s lacks %s", findings, name);
    ck_assert_ptr_null(strstr(findings, "can't be claimed"));
    ck_assert_ptr_null(strstr(findings, "no owner"));
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(server_number(&cluster.nodes[i], "DBSIZE"), 0);
}
END_TEST

/* Its connection is there, and says nothing. */
START_TEST(a_check_looks_at_the_others_beside_a_master_that_is_silent)
{
    char name[48];
    idem_store *own = open_url(cluster.url, "timeout=4s");
    assert_ok(idem_check(own, keep_finding, NULL, &err));
    findings[0] = '\0';
    ck_assert_int_eq(kill(cluster.nodes[2].pid, SIGSTOP), 0); /* which is asked first */
    int rc = idem_check(own, keep_finding, NULL, &err);
    ck_assert_int_eq(kill(cluster.nodes[2].pid, SIGCONT), 0);
    assert_ok(rc);
    ck_assert_ptr_nonnull(strstr(findings, "a master can't be examined"));
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "port %d: persistence", cluster.nodes[i].port);
        ck_assert_msg((strstr(findings, name) != NULL) == (i < 2), "%s, %s", findings, name);
        cluster_await(&cluster, i);
    }
    idem_close(own);
}
END_TEST

/* ------------------------------------------------------------------------------- join and leave */

START_TEST(nodes_join_and_leave_under_their_callers)
{
    char key[32];
    unsigned slot = idem__redis_key_slot(idem_str(key_of_node_0(key, 2)));
    cluster_set grown = cluster;
    complete(store, key, "1");
    size_t node = cluster_join(&grown);
    cluster_move(&grown, slot, 0, node);
    assert_replays(store, key, "1");
    ck_assert_int_eq(server_number(&grown.nodes[node], "DBSIZE"), 1);
    cluster_move(&grown, slot, node, 0);
    cluster_leave(&grown, node);
    assert_replays(store, key, "1");
    complete(store, "after", "1");
    server_remove(&grown.nodes[node]);
}
END_TEST

/* --------------------------------------------------------------------------------- a round trip */

static long long commands(void)
{
    long long count = 0;
    for (size_t i = 0; i < 3; i++)
        count += server_info(&cluster.nodes[i], "stats", "total_commands_processed");
    return count;
}

START_TEST(a_begin_is_one_round_trip)
{
    complete(store, "a", "1"); /* connects its node */
    long long before = commands();
    for (int i = 0; i < 10; i++)
        assert_replays(store, "a", "1");
    /* SET and ECHO; three INFO by commands() itself */
    ck_assert_int_eq(commands() - before, 10 * 2 + 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis cluster");
    server_require();
    cluster_start(&cluster, 3, 0, NULL);
    ADD_HERE(suite, keys_are_where_their_slots_are_and_nobody_is_asked_twice, 1);
    ADD_HERE(suite, a_begin_is_one_round_trip, 1);
    ADD_HERE(suite, a_large_response_comes_back, 1);
    ADD_HERE(suite, a_slot_that_has_moved_is_found_and_remembered, 1);
    ADD_HERE(suite, a_slot_that_has_moved_brings_the_whole_map, 1);
    ADD_HERE(suite, an_op_follows_its_key_to_a_node_that_has_forgotten_the_scripts,
             sizeof acts / sizeof *acts);
    ADD_HERE(suite, a_slot_that_moves_to_and_fro_under_its_callers_costs_nothing_but_time, 1);
    ADD_HERE(suite, a_listing_has_the_records_of_all_masters_once, 1);
    ADD_HERE(suite, a_check_looks_at_each_master_and_at_the_whole, 1);
    ADD_HERE(suite, a_check_looks_at_the_others_beside_a_master_that_is_silent, 1);
    ADD_HERE(suite, nodes_join_and_leave_under_their_callers, 1);
    return run_suite(suite);
}
