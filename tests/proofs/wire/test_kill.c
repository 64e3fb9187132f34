/* SPDX-License-Identifier: MIT */
/*
 * A server with an append-only file that it syncs before it answers (appendfsync always), killed
 * without a warning again and again while many threads work, and started again on that file. What
 * it has acknowledged is there afterwards, byte for byte; nothing is New twice; nobody is told that
 * his claim was lost; no call outlasts its deadline.
 */
#include "lateness.h"
#include "load.h"
#include "options.h"

#include <idem/backend.h>

#include <runner.h>

static test_options options;

static void wait_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

START_TEST(what_a_killed_server_has_acknowledged_is_there_when_it_is_back)
{
    static const char *const append_only[] = {"--appendonly", "yes", "--appendfsync", "always",
                                              NULL};
    server own;
    unsigned kills = 0;
    lateness_watch();
    server_start(&own, append_only);
    load *all = load_start(&(load_plan){
        .url = own.url, .prefix = "kill", .threads = 12, .timeout_ms = 400, .seed = options.seed});
    uint64_t until_ms = idem_monotonic_ms() + options.seconds * UINT64_C(1000);
    uint64_t random = options.seed;
    while (!load_failure(all) && goes_on(until_ms, kills > 2 && load_count(all).completes > 50)) {
        wait_ms(20 + draw_below(&random, 400));
        server_kill(&own);
        kills++;
        wait_ms(draw_below(&random, 60));
        server_again(&own, append_only);
    }
    wait_ms(100);
    load_stop(all);
    ck_assert_msg(!load_failure(all), "%s", load_failure(all));
    ck_assert_msg(load_is_held(all, &own), "%s", load_failure(all));
    /* And once more, from the file alone. */
    server_kill(&own);
    server_again(&own, append_only);
    ck_assert_msg(load_is_held(all, &own), "%s", load_failure(all));
    load_counts counts = load_count(all);
    printf("wire_kill: %u kills, %lu claims, %lu completes, %lu replays, %lu errors in between\n",
           kills, counts.claims, counts.completes, counts.replays, counts.failures);
    ck_assert_uint_gt(kills, 2); /* which callers need not have noticed: calls are repeated */
    ck_assert_uint_gt(counts.completes, 50);
    load_free(all);
    server_remove(&own);
}
END_TEST

int main(int count, char **words)
{
    Suite *suite = suite_create("wire kill");
    options = read_options(count, words, (test_options){.seconds = 4});
    server_require();
    TCase *tcase = tcase_create("kill");
    tcase_set_timeout(tcase, options.seconds * 2 + 120);
    tcase_add_test(tcase, what_a_killed_server_has_acknowledged_is_there_when_it_is_back);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
