/* SPDX-License-Identifier: MIT */
/* What redis+cluster:// and redis:// say of servers of the other kind, and of strange nodes. */
#include "loopback.h"
#include "cluster_set.h"
#include "proxy.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* More of a thread's own than the stacks of the library's threads have room for: all is as
   usual. */
static _Thread_local char large[600 * 1024];

static cluster_set cluster;

static void set_up(void)
{
    cluster_flush(&cluster);
}

static void tear_down(void)
{
}

/* --------------------------------------------------------------------------------- told apart */

static int try_url(const char *scheme, int port, const char *rest)
{
    char url[200];
    idem_store *tried = NULL;
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%d%s", scheme, port, rest);
    int rc = idem_open(url, &tried, &err);
    idem_close(tried);
    return rc;
}

START_TEST(a_node_that_is_opened_as_a_single_server_says_so_at_once)
{
    assert_in_time(2000, assert_code(IDEM_ERR_UNSUPPORTED,
                                     try_url("redis", cluster.nodes[0].port, "?timeout=20s")));
    assert_says("write redis+cluster://");
}
END_TEST

START_TEST(a_single_server_that_is_opened_as_a_cluster_says_so_at_once)
{
    server alone;
    server_start(&alone, NULL);
    assert_in_time(2000, assert_code(IDEM_ERR_UNSUPPORTED,
                                     try_url("redis+cluster", alone.port, "?timeout=20s")));
    assert_says("is no node of a cluster: write redis://");
    server_remove(&alone);
}
END_TEST

START_TEST(a_cluster_without_slots_says_what_is_missing)
{
    char bus[16];
    const char *const options[] = {"--cluster-enabled", "yes", "--cluster-port", bus, NULL};
    server node;
    (void)snprintf(bus, sizeof bus, "%d", loopback_free_port());
    server_start(&node, options);
    /* With more time if there was too little of it for an answer. */
    static const char *const timeouts[] = {"?timeout=1500ms", "?timeout=5s", "?timeout=15s"};
    for (size_t i = 0; i < 3 && (i == 0 || !strstr(err.message, "no node has a slot")); i++)
        assert_code(IDEM_ERR_UNAVAILABLE, try_url("redis+cluster", node.port, timeouts[i]));
    assert_says("no node has a slot");
    server_remove(&node);
}
END_TEST

static const struct {
    const char *rest;
    const char *says;
} bad_urls[] = {
    {"/1", "database 0 alone"},
    {"/x", "database 0 alone"},
    {"?db=1", "no option"},
    {",h:x", "list of hosts"},
};

START_TEST(a_malformed_url_is_refused_before_anything_is_asked)
{
    assert_code(IDEM_ERR_ARGUMENT, try_url("redis+cluster", 1, bad_urls[_i].rest));
    assert_says(bad_urls[_i].says);
}
END_TEST

START_TEST(any_host_of_the_list_gives_the_map)
{
    char url[200];
    (void)snprintf(url, sizeof url, "valkey+cluster://127.0.0.1:1,localhost:%d",
                   cluster.nodes[0].port);
    idem_store *own = open_url(url, "");
    complete(own, "a", "1");
    assert_replays(own, "a", "1");
    idem_close(own);
}
END_TEST

/* ------------------------------------------------------------------------------ strange nodes */

/* A node behind a proxy, which tells what its map is. */
static proxy *strange_node(char map[400], const char *host, int *port)
{
    proxy *between = proxy_start(cluster.nodes[0].port);
    *port = atoi(strrchr(proxy_url(between), ':') + 1);
    (void)snprintf(map, 400, "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%s\r\n:%d\r\n$2\r\nid\r\n", host,
                   *port);
    proxy_add(between,
              (proxy_rule){
                  .match = "CLUSTER", .action = PROXY_ANSWER, .times = PROXY_ALWAYS, .text = map});
    return between;
}

static const char *const host_forms[] = {"$0\r\n", "$-1", "$1\r\n?", "$9\r\n127.0.0.1",
                                         "$9\r\nlocalhost"};

START_TEST(a_node_that_does_not_know_its_name_is_where_it_was_asked)
{
    char map[400];
    char url[100];
    int port;
    proxy *between = strange_node(map, host_forms[_i], &port);
    (void)snprintf(url, sizeof url, "redis+cluster://localhost:%d", port);
    idem_store *own = open_url(url, "");
    complete(own, KEY, "1");
    assert_replays(own, KEY, "1");
    idem_close(own);
    proxy_stop(between);
}
END_TEST

/* It is greeted, and says nothing of slots. */
START_TEST(a_node_that_gives_no_map_leaves_time_for_the_others)
{
    char url[200];
    proxy *between = proxy_start(cluster.nodes[0].port);
    proxy_add(between,
              (proxy_rule){.match = "CLUSTER", .action = PROXY_STALL, .times = PROXY_ALWAYS});
    (void)snprintf(url, sizeof url, "redis+cluster://%s,127.0.0.1:%d",
                   proxy_url(between) + strlen("redis://"), cluster.nodes[0].port);
    idem_store *own = open_url(url, "connect_timeout=500ms&timeout=5s");
    ck_assert_int_ge(proxy_hits(between), 1);
    idem_close(own);
    proxy_stop(between);
}
END_TEST

START_TEST(a_node_that_sends_a_key_to_itself_for_ever_is_told_by_the_deadline)
{
    char map[400];
    char moved[64];
    char url[100];
    int port;
    idem_outcome out;
    proxy *between = strange_node(map, "$9\r\n127.0.0.1", &port);
    (void)snprintf(moved, sizeof moved, "-MOVED %u 127.0.0.1:%d\r\n",
                   idem__redis_key_slot(idem_str(KEY)), port);
    proxy_add(
        between,
        (proxy_rule){.match = KEY, .action = PROXY_ANSWER, .times = PROXY_ALWAYS, .text = moved});
    (void)snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d", port);
    idem_store *own = open_url(url, "timeout=1s");
    int rc = IDEM_OK;
    assert_in_time(1000, rc = idem_begin(own, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    /* The deadline may come when the last try has no answer yet. */
    if (rc != IDEM_ERR_UNCERTAIN) {
        ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
        assert_says("to itself");
    }
    ck_assert_int_lt(proxy_hits(between), 400); /* with pauses, and not as fast as can be */
    idem_close(own);
    proxy_stop(between);
}
END_TEST

/* -------------------------------------------------------- masters that go while it is listed */

#define LISTED 400 /* some pages */

static proxy *fronts[2];
static char fronts_maps[2][400]; /* before and after the first master has gone */
static idem_store *listing;
static int emitted;
static bool taken_over;

/* Both lead to one node, and say that each has half of the slots; or that the second has what it
   has at the end. */
static void tell_map(bool both, unsigned first)
{
    int len = 0;
    char *map = fronts_maps[!both];
    (void)snprintf(map, sizeof fronts_maps[0], "*%d\r\n%n", both ? 2 : 1, &len);
    for (size_t i = both ? 0 : 1; i < 2; i++) {
        int more = 0;
        (void)snprintf(map + len, sizeof fronts_maps[0] - (size_t)len,
                       "*3\r\n:%u\r\n:%u\r\n*3\r\n$9\r\n127.0.0.1\r\n:%s\r\n$2\r\nid\r\n%n",
                       i == 0 ? 0 : first, i == 0 ? first - 1 : 16383,
                       strrchr(proxy_url(fronts[i]), ':') + 1, &more);
        len += more;
    }
    for (size_t i = both ? 0 : 1; i < 2; i++)
        proxy_set(fronts[i], (proxy_rule){.match = "CLUSTER",
                                          .action = PROXY_ANSWER,
                                          .times = PROXY_ALWAYS,
                                          .text = map});
}

static void start_fronts(void)
{
    char url[100];
    for (size_t i = 0; i < 2; i++)
        fronts[i] = proxy_start(cluster.nodes[0].port);
    tell_map(true, 8192);
    (void)snprintf(url, sizeof url, "redis+cluster://%s",
                   proxy_url(fronts[1]) + strlen("redis://"));
    listing = open_url(url, PATIENT);
    for (int i = 0; i < LISTED; i++)
        server_do(&cluster.nodes[0],
                  "SET listed-%d {\"status\":\"InProgress\",\"created_at\":\"2026-11-23T16:00:00."
                  "000Z\",\"updated_at\":\"2026-11-23T16:00:00.000Z\"} PX 600000",
                  i);
    emitted = 0;
}

/* The first master goes, in the middle of its list. */
static int go_away(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    if (emitted++ > 0)
        return 0;
    tell_map(false, taken_over ? 0 : 8192);
    proxy_stop(fronts[0]);
    idem_record found;
    idem_error error = {0};
    while (!taken_over && !strstr(error.message, "has slot")) /* others have seen it before */
        ck_assert_int_ne(idem_get(listing, idem_str("b"), &found, &error), IDEM_OK);
    return 0;
}

START_TEST(a_master_that_goes_while_it_is_listed_is_listed_by_its_heir)
{
    taken_over = true;
    start_fronts();
    assert_ok(idem_scan(listing, NULL, go_away, NULL, &err));
    ck_assert_int_ge(emitted, LISTED); /* some of them twice */
    idem_close(listing);
    proxy_stop(fronts[1]);
}
END_TEST

START_TEST(a_listing_that_lacks_a_master_says_so)
{
    taken_over = false;
    start_fronts();
    idem_close(listing);
    char url[100];
    (void)snprintf(url, sizeof url, "redis+cluster://%s",
                   proxy_url(fronts[1]) + strlen("redis://"));
    listing = open_url(url, "timeout=500ms");
    ck_assert_uint_lt(idem__redis_key_slot(idem_str("b")), 8192);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_scan(listing, NULL, go_away, NULL, &err));
    assert_says("no other has slot 0");
    ck_assert_int_lt(emitted, LISTED);
    idem_close(listing);
    proxy_stop(fronts[1]);
}
END_TEST

/* -------------------------------------------------------------- a connection that is silent */

static atomic_bool over;

/* Asks for keys of one half of the slots, one after the other, each with little time. */
static void *ask_on(void *user)
{
    char key[32];
    idem_record found;
    for (int i = 0; !atomic_load(&over); i++) {
        (void)snprintf(key, sizeof key, "{%s}%d", (const char *)user, i);
        if (idem_get(listing, idem_str(key), &found, NULL) == IDEM_OK)
            idem_record_clear(&found);
    }
    return NULL;
}

/* What is between has forgotten the one connection to a master: nobody says so, the other master
   answers, and there are always callers that wait. */
START_TEST(a_connection_that_is_silent_is_made_anew_beside_others)
{
    static const char *const halves[] = {"a", "b", "b"};
    pthread_t threads[3];
    char url[100];
    idem_record found;
    start_fronts();
    idem_close(listing);
    (void)snprintf(url, sizeof url, "redis+cluster://%s",
                   proxy_url(fronts[1]) + strlen("redis://"));
    listing = open_url(url, "timeout=700ms&connect_timeout=200ms");
    complete(listing, "{b}", "1");
    proxy_add(fronts[0], (proxy_rule){.match = "{b}1", .action = PROXY_STALL, .times = 1});
    atomic_store(&over, false);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_on, (void *)halves[i]), 0);
    uint64_t end_ms = idem_monotonic_ms() + 10000;
    int rc = IDEM_OK;
    bool silent = false;
    while (idem_monotonic_ms() < end_ms && (rc == IDEM_OK) != silent) {
        rc = idem_get(listing, idem_str("{b}"), &found, &err);
        if (rc == IDEM_OK)
            idem_record_clear(&found);
        silent = silent || rc != IDEM_OK;
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    ck_assert(silent);
    assert_ok(rc);
    idem_close(listing);
    for (size_t i = 0; i < 2; i++)
        proxy_stop(fronts[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis cluster nodes");
    large[sizeof large - 1] = 1; /* it is there */
    server_require();
    cluster_start(&cluster, 1, 0, NULL);
    ADD_HERE(suite, a_node_that_is_opened_as_a_single_server_says_so_at_once, 1);
    ADD_HERE(suite, a_single_server_that_is_opened_as_a_cluster_says_so_at_once, 1);
    ADD_HERE(suite, a_cluster_without_slots_says_what_is_missing, 1);
    ADD_HERE(suite, a_malformed_url_is_refused_before_anything_is_asked,
             sizeof bad_urls / sizeof *bad_urls);
    ADD_HERE(suite, any_host_of_the_list_gives_the_map, 1);
    ADD_HERE(suite, a_node_that_does_not_know_its_name_is_where_it_was_asked,
             sizeof host_forms / sizeof *host_forms);
    ADD_HERE(suite, a_node_that_gives_no_map_leaves_time_for_the_others, 1);
    ADD_HERE(suite, a_node_that_sends_a_key_to_itself_for_ever_is_told_by_the_deadline, 1);
    ADD_HERE(suite, a_master_that_goes_while_it_is_listed_is_listed_by_its_heir, 1);
    ADD_HERE(suite, a_listing_that_lacks_a_master_says_so, 1);
    ADD_HERE(suite, a_connection_that_is_silent_is_made_anew_beside_others, 1);
    return run_suite(suite);
}
