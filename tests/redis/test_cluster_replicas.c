/* SPDX-License-Identifier: MIT */
/*
 * Replicas of a cluster: with replicas=N a change counts once N replicas of its key's master have
 * it, whoever that is; and the doctor looks at them.
 */
#include "cluster_set.h"
#include "proxy.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define MASTERS 3u
#define KEYS    30

static cluster_set cluster;
static cluster_set pair; /* a master and its replica, for the doctor */

/* A key of this master's. */
static const char *make_key(char key[32], const char *prefix, size_t master)
{
    for (int i = 0;; i++) {
        (void)snprintf(key, 32, "%s-%d", prefix, i);
        if (cluster_owner(&cluster, idem__redis_key_slot(idem_str(key))) == master)
            return key;
    }
}

static void stop(size_t node)
{
    (void)kill(cluster.nodes[node].pid, SIGSTOP);
}

static void go_on(size_t node)
{
    (void)kill(cluster.nodes[node].pid, SIGCONT);
}

START_TEST(what_is_acknowledged_is_on_the_replica_of_its_master)
{
    char key[32];
    idem_store *waits = open_url(cluster.url, "replicas=1&" PATIENT);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "acknowledged-%d", i);
        unsigned slot = idem__redis_key_slot(idem_str(key));
        complete(waits, key, "1");
        size_t replica = cluster_owner(&cluster, slot) + MASTERS;
        ck_assert_int_eq(server_number(&cluster.nodes[replica], "CLUSTER COUNTKEYSINSLOT %u", slot),
                         1);
    }
    idem_close(waits);
}
END_TEST

static idem_request make_request(const char *key, uint64_t timeout_ms)
{
    static const uint8_t token[] = TOKEN;
    idem_request request;
    idem_request_init(&request);
    request.key = idem_str(key);
    request.token = token;
    request.timeout_ms = timeout_ms;
    return request;
}

/* @param key  of this master's, which has one replica alone: that is stopped */
static void try_without_replica(idem_store *waits, const char *key, size_t master)
{
    idem_outcome out;
    idem_request request = make_request(key, 900);
    stop(master + MASTERS);
    assert_code(IDEM_ERR_UNCERTAIN, idem_begin(waits, &request, &out, &err));
    go_on(master + MASTERS);
    request.timeout_ms = 30000;
    assert_ok(idem_begin(waits, &request, &out, &err));
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
}

START_TEST(a_replica_that_is_lacking_concerns_the_keys_of_its_master_alone)
{
    char key[32];
    char others[32];
    idem_outcome out;
    idem_store *waits = open_url(cluster.url, "replicas=1&" PATIENT);
    idem_request request = make_request(make_key(key, "alone", 0), 900);
    stop(0 + MASTERS);
    for (size_t i = 1; i < MASTERS; i++)
        complete(waits, make_key(others, "others", i), "1");
    assert_code(IDEM_ERR_UNCERTAIN, idem_begin(waits, &request, &out, &err));
    go_on(0 + MASTERS);
    idem_close(waits);
}
END_TEST

START_TEST(too_few_replicas_by_the_deadline_are_uncertain)
{
    char key[32];
    idem_store *waits = open_url(cluster.url, "replicas=1&" PATIENT);
    try_without_replica(waits, make_key(key, "few", 1), 1);
    idem_close(waits);
}
END_TEST

/* The key's slot is under way, and its node sends it on with ASK. */
START_TEST(an_op_that_was_sent_on_waits_for_the_replicas_there)
{
    char key[32];
    idem_store *waits = open_url(cluster.url, "replicas=1&" PATIENT);
    unsigned slot = idem__redis_key_slot(idem_str(make_key(key, "asked", 0)));
    complete(waits, make_key((char[32]){0}, "known", 1), "1");
    cluster_open_slot(&cluster, slot, 0, 1);
    try_without_replica(waits, key, 1);
    cluster_move_keys(&cluster, slot, 0, 1);
    cluster_close_slot(&cluster, slot, 1);
    cluster_move(&cluster, slot, 1, 0);
    idem_close(waits);
}
END_TEST

/* --------------------------------------------------------------------------------------- doctor */

static char findings[16384];

static void keep_finding(void *user, const idem_finding *finding)
{
    size_t len = strlen(findings);
    (void)user;
    (void)snprintf(findings + len, sizeof findings - len, "%s\n", finding->what);
}

/* A replica is told to clients once it is known to have something. */
static void await_replica(void)
{
    bool told = false;
    server_do(&pair.nodes[0], "SET something 1");
    for (int i = 0; !told; i++) {
        redisReply *slots = server_ask(&pair.nodes[0], "CLUSTER SLOTS");
        told = slots->type == REDIS_REPLY_ARRAY && slots->elements == 1 &&
               slots->element[0]->elements == 4;
        freeReplyObject(slots);
        ck_assert_int_lt(i, 3000);
        wait_ms(10);
    }
}

static void examine(void)
{
    idem_store *store = open_url(pair.url, "");
    findings[0] = '\0';
    assert_ok(idem_check(store, keep_finding, NULL, &err));
    idem_close(store);
}

/* Where clients are to find the replica: until both nodes say so. */
static void announce(int port)
{
    char wanted[32];
    server_do(&pair.nodes[1], "CONFIG SET cluster-announce-port %d", port);
    (void)snprintf(wanted, sizeof wanted, ":%d@", port);
    for (size_t node = 0, i = 0; node < 2; i++) {
        char *nodes = server_text(&pair.nodes[node], "CLUSTER NODES");
        node += strstr(nodes, wanted) != NULL;
        free(nodes);
        ck_assert_uint_lt(i, 3000);
        wait_ms(10);
    }
}

static const struct {
    int seconds; /* by which the replica's clock is wrong */
    const char *says;
} clocks[] = {{0, NULL},
              {30, "s ahead of its master's: a failover to it ends leases so much too early"},
              {-30, "s behind its master's: a failover to it ends leases so much too late"}};

static void tell_time(proxy *between, char text[64], int wrong_s)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)idem_wall_ms() / 1000 + wrong_s);
    (void)snprintf(text, 64, "*2\r\n$%d\r\n%s\r\n$1\r\n0\r\n", len, digits);
    proxy_clear(between);
    proxy_add(between,
              (proxy_rule){
                  .match = "TIME", .action = PROXY_REWRITE, .times = PROXY_ALWAYS, .text = text});
}

START_TEST(a_replica_whose_clock_is_apart_from_its_masters_is_found)
{
    char texts[sizeof clocks / sizeof *clocks][64]; /* the proxy may still send an earlier one */
    proxy *between = proxy_start(pair.nodes[1].port);
    await_replica();
    announce(atoi(strrchr(proxy_url(between), ':') + 1));
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        if (clocks[i].says)
            tell_time(between, texts[i], clocks[i].seconds);
        examine();
        bool told = strstr(findings, clocks[i].says ? clocks[i].says : "its master's") != NULL;
        ck_assert_msg(told == (clocks[i].says != NULL), "%d s: %s", clocks[i].seconds, findings);
        ck_assert_ptr_null(strstr(findings, "can't be asked"));
    }
    ck_assert_int_eq(proxy_connections(between), (int)(sizeof clocks / sizeof *clocks));
    announce(pair.nodes[1].port);
    proxy_stop(between);
}
END_TEST

START_TEST(a_replica_that_can_not_be_asked_is_found)
{
    await_replica();
    examine();
    ck_assert_msg(!strstr(findings, "can't be asked"), "%s", findings);
    server_do(&pair.nodes[1], "CONFIG SET requirepass s3cret");
    examine();
    ck_assert_msg(strstr(findings, "a replica can't be asked") != NULL, "%s", findings);
}
END_TEST

static void set_up(void)
{
    for (size_t i = MASTERS; i < cluster.count; i++)
        go_on(i);
    cluster_flush(&cluster);
    for (size_t i = 0; i < MASTERS; i++)
        cluster_await_replicas(&cluster, i, 1);
}

static void tear_down(void)
{
}

int main(void)
{
    /* A replica that is stopped for a while is not taken for dead. */
    static const char *const options[] = {"--cluster-node-timeout", "60000", NULL};
    Suite *suite = suite_create("redis cluster replicas");
    server_require();
    cluster_start(&cluster, MASTERS, 1, options);
    cluster_start(&pair, 1, 1, options);
    ADD_HERE(suite, what_is_acknowledged_is_on_the_replica_of_its_master, 1);
    ADD_HERE(suite, a_replica_that_is_lacking_concerns_the_keys_of_its_master_alone, 1);
    ADD_HERE(suite, too_few_replicas_by_the_deadline_are_uncertain, 1);
    ADD_HERE(suite, an_op_that_was_sent_on_waits_for_the_replicas_there, 1);
    ADD_HERE(suite, a_replica_whose_clock_is_apart_from_its_masters_is_found, 1);
    ADD_HERE(suite, a_replica_that_can_not_be_asked_is_found, 1);
    return run_suite(suite);
}
