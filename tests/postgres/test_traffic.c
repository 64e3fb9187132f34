/* SPDX-License-Identifier: MIT */
/*
 * Steady traffic of short-lived records: the dead never outgrow the living, and what they leave is
 * used again. How many records: the first argument.
 */
#include "pg_test.h"

#include <stdlib.h>

#define BATCH   256
#define LIFE_MS 700

static pg_server server;
static idem_store *store;
static long records = 60000;

static void begin_batch(long from)
{
    static char keys[BATCH][40];
    static idem_request requests[BATCH];
    static idem_outcome outcomes[BATCH];
    static idem_error errors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        uint64_t spread = (uint64_t)(from + i) * UINT64_C(0x9e3779b97f4a7c15);
        (void)snprintf(keys[i], sizeof keys[i], "%016llx-%ld", (unsigned long long)spread,
                       from + i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
        requests[i].lease_ms = LIFE_MS / 2;
        requests[i].ttl_ms = LIFE_MS / 2;
    }
    assert_ok(idem_begin_many(store, requests, BATCH, outcomes, errors, &err));
    for (int i = 0; i < BATCH; i++)
        idem_outcome_clear(&outcomes[i]);
}

START_TEST(a_table_stays_as_small_as_what_lives_in_it)
{
    long long most = 0;
    double worst = 0;
    store = open_url(server.url, "timeout=30s");
    for (long from = 0; from < records; from += BATCH) {
        begin_batch(from);
        if (from / BATCH % 40 != 39)
            continue;
        long long all = pg_number(&server, "SELECT count(*) FROM idem_record");
        long long living =
            pg_number(&server, "SELECT count(*) FROM idem_record WHERE expires > now()");
        if (living > most)
            most = living;
        /* At the begin, nothing has died yet. */
        double ratio = (double)all / (double)(most > 0 ? most : 1);
        if (ratio > worst)
            worst = ratio;
    }
    long long bytes = pg_number(&server, "SELECT pg_total_relation_size('idem_record')");
    (void)printf("postgres traffic: %ld records of %d ms, at most %lld living at a time, at most "
                 "%.2f times as many rows, %.0f bytes for each that lived\n",
                 records, LIFE_MS, most, worst, (double)bytes / (double)(most > 0 ? most : 1));
    ck_assert_msg(worst <= 3, "%.2f rows for each living one", worst);
    /* A row takes some 500 bytes; with fillfactor and index about twice that. */
    ck_assert_msg((double)bytes < 10000.0 * (double)(most > 1000 ? most : 1000),
                  "%lld bytes for %lld living ones", bytes, most);
    idem_close(store);
}
END_TEST

int main(int argc, char **argv)
{
    static const char *const options[] = {"-c", "autovacuum_naptime=1", NULL};
    if (argc > 1)
        records = atol(argv[1]);
    pg_require();
    pg_start(&server, options);
    Suite *suite = suite_create("postgres traffic");
    TCase *tcase = tcase_create("traffic");
    tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, a_table_stays_as_small_as_what_lives_in_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
