/* SPDX-License-Identifier: MIT */
/* What pgbouncer says itself: that its server is gone, and that it has clients enough. */
#include "pg_test.h"
#include "pooler.h"

#define CLIENTS 220 /* more than pooler.c lets it have */

static pg_server server;
static idem_store *store;
static char url[PG_URL_SIZE];

/* Whoever stops a server or a pooler has to be the process that started it. */
static void set_up(void)
{
    store = NULL;
    pg_start(&server, NULL);
    pooler_start(&server, "transaction", url, sizeof url);
}

static void tear_down(void)
{
    idem_close(store);
    pooler_stop();
    pg_remove(&server);
}

START_TEST(a_server_that_is_gone_behind_its_pooler_is_unavailable_and_comes_back)
{
    store = open_url(url, "timeout=60s");
    complete(store, KEY, "1");
    pg_stop(&server, SIGQUIT);
    int rc = IDEM_OK;
    assert_says_in_the_end("SQLSTATE 08", {
        idem_outcome out;
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("gone"), .timeout_ms = 4 * limit_ms),
                        &out, &err);
        ck_assert(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN);
    });
    pg_again(&server, NULL);
    assert_replays(store, KEY, "1");
    complete(store, "gone", "2");
}
END_TEST

START_TEST(a_pooler_that_has_clients_enough_may_have_room_later)
{
    static PGconn *all[CLIENTS];
    size_t count = 0;
    idem_close(open_url(url, ""));
    for (; count < CLIENTS; count++) {
        all[count] = PQconnectdb(url);
        if (PQstatus(all[count]) != CONNECTION_OK)
            break;
    }
    ck_assert_uint_lt(count, CLIENTS);
    assert_says_in_the_end("SQLSTATE 08",
                           assert_code(IDEM_ERR_UNAVAILABLE, try_open_for(url, limit_ms, &store)));
    for (size_t i = 0; i <= count; i++)
        PQfinish(all[i]);
    store = open_url(url, "");
    complete(store, KEY, "1");
}
END_TEST

int main(void)
{
    pg_require();
    pooler_require();
    Suite *suite = suite_create("postgres behind pgbouncer");
    ADD_HERE(suite, a_server_that_is_gone_behind_its_pooler_is_unavailable_and_comes_back, 1);
    ADD_HERE(suite, a_pooler_that_has_clients_enough_may_have_room_later, 1);
    return run_suite(suite);
}
