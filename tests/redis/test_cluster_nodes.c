/* SPDX-License-Identifier: MIT */
/* What redis+cluster:// and redis:// say of servers of the other kind, and of strange nodes. */
#include "loopback.h"
#include "cluster_set.h"
#include "proxy.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <stdlib.h>

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

int main(void)
{
    Suite *suite = suite_create("redis cluster nodes");
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
    ADD_HERE(suite, a_node_that_sends_a_key_to_itself_for_ever_is_told_by_the_deadline, 1);
    return run_suite(suite);
}
