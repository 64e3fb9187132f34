/* SPDX-License-Identifier: MIT */
/*
 * A primary and a replica that change places under load, the client's address (a relay) following.
 * Replication is asynchronous: what was acknowledged just before a failover may be gone, and that
 * is documented. So what is asserted is what is promised:
 *
 * - What was acknowledged before the replica was level with its primary (writers paused, offsets
 *   equal) is there after the failover, byte for byte, and is replayed by the new primary.
 * - In the life of one primary, between two failovers, nothing is New twice, and no response is
 *   another than the one stored: a strict load runs wholly within each of these times.
 * - In the meantime, with a load that runs right through the failover: no call outlasts its
 *   deadline, and all that anybody is told is an outcome, UNAVAILABLE, UNCERTAIN, or that a claim
 *   is gone (LOST, NOT_FOUND), since the new primary may never have heard of it.
 * - A demoted primary takes no claim (READONLY is UNAVAILABLE), and the same store goes on as soon
 *   as its address leads to the new primary.
 */
#include "lateness.h"
#include "load.h"
#include "options.h"
#include "relay.h"

#include <idem/backend.h>

#include <runner.h>

static test_options options;

static void wait_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static void wait_for_replica(const server *primary, const server *replica)
{
    for (int i = 0; i < 2000; i++) {
        char *info = server_text(replica, "INFO replication");
        bool up = strstr(info, "master_link_status:up") != NULL;
        free(info);
        if (up && server_info(primary, "replication", "master_repl_offset") ==
                      server_info(replica, "replication", "slave_repl_offset"))
            return;
        wait_ms(5);
    }
    ck_abort_msg("the replica never got level with its primary");
}

static load *start(const char *url, const char *prefix, bool may_lose, unsigned round)
{
    return load_start(&(load_plan){.url = url,
                                   .prefix = prefix,
                                   .threads = 8,
                                   .timeout_ms = 300,
                                   .seed = options.seed + round,
                                   .may_lose = may_lose});
}

static load_counts total;

static void end(load *all)
{
    load_counts counts = load_count(all);
    total.claims += counts.claims;
    total.completes += counts.completes;
    total.replays += counts.replays;
    total.failures += counts.failures;
    load_free(all);
}

/* A strict load in the life of one primary; level with the replica at its end. */
static load *work_and_level(const char *url, const server *primary, const server *replica,
                            const char *prefix, unsigned round)
{
    load *all = start(url, prefix, false, round);
    wait_ms(300);
    load_stop(all);
    ck_assert_msg(!load_failure(all), "%s", load_failure(all));
    ck_assert_msg(load_is_held(all, primary), "%s", load_failure(all));
    wait_for_replica(primary, replica);
    return all;
}

static void assert_refuses(const char *url)
{
    char with_timeout[SERVER_URL_SIZE + 40];
    idem_store *store = NULL;
    idem_outcome out;
    idem_error error;
    (void)snprintf(with_timeout, sizeof with_timeout, "%s?timeout=150ms", url);
    for (int i = 0; i < 20 && idem_open(with_timeout, &store, &error) != IDEM_OK; i++)
        continue;
    ck_assert_msg(store != NULL, "%s", error.message);
    /* Its last try may have had no answer by the deadline, and then it is uncertain. */
    int rc = IDEM_ERR_UNCERTAIN;
    for (int i = 0; i < 20 && rc == IDEM_ERR_UNCERTAIN; i++)
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("demoted")), &out, &error);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    idem_close(store);
}

/* The primary is demoted under load, the replica takes its place, and the address follows. */
static void fail_over(relay *address, const char *url, const server *primary, const server *replica,
                      unsigned round)
{
    char prefix[32];
    (void)snprintf(prefix, sizeof prefix, "through-%u", round);
    load *through = start(url, prefix, true, round);
    wait_ms(200);
    if (round % 2 == 0) { /* planned: the old primary is demoted first, and answers READONLY */
        server_do(primary, "REPLICAOF 127.0.0.1 %d", replica->port);
        assert_refuses(url);
        server_do(replica, "REPLICAOF NO ONE");
    } else { /* unplanned: for a while there are two, and the address leads to the old one */
        server_do(replica, "REPLICAOF NO ONE");
        wait_ms(50);
        server_do(primary, "REPLICAOF 127.0.0.1 %d", replica->port);
    }
    relay_lead_to(address, replica->port);
    wait_ms(200);
    for (int i = 0; i < 400 && load_count(through).completes <= 10; i++)
        wait_ms(50); /* a busy machine */
    load_stop(through);
    ck_assert_msg(!load_failure(through), "%s", load_failure(through));
    ck_assert_uint_gt(load_count(through).completes, 10);
    end(through);
}

START_TEST(a_failover_under_load_keeps_what_is_promised)
{
    server servers[2];
    char url[64];
    char port[16];
    unsigned round = 0;
    lateness_watch();
    server_start(&servers[0], (const char *const[]){"--repl-diskless-sync-delay", "0", NULL});
    (void)snprintf(port, sizeof port, "%d", servers[0].port);
    server_start(&servers[1], (const char *const[]){"--repl-diskless-sync-delay", "0",
                                                    "--replicaof", "127.0.0.1", port, NULL});
    relay *address = relay_start(servers[0].port, options.seed);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", relay_port(address));
    uint64_t until_ms = idem_monotonic_ms() + options.seconds * UINT64_C(1000);
    for (; idem_monotonic_ms() < until_ms; round++) {
        const server *primary = &servers[round % 2];
        const server *replica = &servers[(round + 1) % 2];
        char prefix[32];
        (void)snprintf(prefix, sizeof prefix, "level-%u", round);
        wait_for_replica(primary, replica);
        load *level = work_and_level(url, primary, replica, prefix, round);
        fail_over(address, url, primary, replica, round);
        ck_assert_msg(load_is_held(level, replica), "%s", load_failure(level));
        end(level);
    }
    printf("wire_failover: %u failovers, %lu claims, %lu completes, %lu replays, %lu errors in "
           "between\n",
           round, total.claims, total.completes, total.replays, total.failures);
    relay_stop(address);
    server_remove(&servers[0]);
    server_remove(&servers[1]);
}
END_TEST

int main(int count, char **words)
{
    Suite *suite = suite_create("wire failover");
    options = read_options(count, words, (test_options){.seconds = 4});
    server_require();
    TCase *tcase = tcase_create("failover");
    tcase_set_timeout(tcase, options.seconds * 2 + 120);
    tcase_add_test(tcase, a_failover_under_load_keeps_what_is_promised);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
