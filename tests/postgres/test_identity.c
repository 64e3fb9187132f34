/* SPDX-License-Identifier: MIT */
/* One store is one store: each connection, made now or later, leads to the records that it was
   opened on, or its calls are errors. */
#include "pg_test.h"
#include "relay.h"

#include <pthread.h>

#define CALLERS 8

static pg_server server;
static idem_store *store;

static void set_up(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record, before;"
                   " DROP SCHEMA IF EXISTS app CASCADE");
    store = NULL;
}

static void tear_down(void)
{
    idem_close(store);
}

static void end_sessions(void)
{
    pg_do(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                   " application_name = 'libidem'");
}

static void begin_refused(const char *says)
{
    idem_outcome out;
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says(says);
}

typedef struct {
    pthread_t thread;
    unsigned tries;
    unsigned failed;
} caller;

static void *begin_again_and_again(void *user)
{
    caller *self = user;
    for (self->tries = 0; self->tries < 12; self->tries++) {
        idem_error error = {0};
        idem_outcome out;
        int rc =
            idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .timeout_ms = 1500), &out, &error);
        self->failed += rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN;
        idem_outcome_clear(&out);
    }
    return NULL;
}

/* A name of a host that leads elsewhere, where the records are others. More callers than
   connections: the store opens some that it did not have before. */
START_TEST(another_server_is_not_this_store)
{
    pg_server other;
    caller callers[CALLERS] = {0};
    char url[PG_URL_SIZE];
    pg_start(&other, NULL);
    relay *wire = relay_start(server.port, 1);
    (void)snprintf(url, sizeof url,
                   "postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable&gssencmode=disable",
                   relay_port(wire));
    store = open_url(url, PATIENT);
    complete(store, KEY, "1");
    relay_lead_to(wire, other.port);
    for (size_t i = 0; i < CALLERS; i++)
        ck_assert_int_eq(
            pthread_create(&callers[i].thread, NULL, begin_again_and_again, &callers[i]), 0);
    for (size_t i = 0; i < CALLERS; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        ck_assert_uint_eq(callers[i].failed, callers[i].tries);
    }
    ck_assert_int_eq(pg_number(&other, "SELECT count(*) FROM pg_class WHERE relname ="
                                       " 'idem_record'"),
                     0);
    relay_lead_to(wire, server.port);
    assert_replays(store, KEY, "1");
    idem_close(store);
    store = NULL;
    relay_stop(wire);
    pg_remove(&other);
}
END_TEST

START_TEST(a_table_that_was_dropped_is_not_made_anew)
{
    store = open_url(server.url, PATIENT);
    complete(store, KEY, "1");
    pg_do(&server, "ALTER TABLE idem_record RENAME TO before");
    begin_refused("not there any more");
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM pg_class WHERE relname ="
                                        " 'idem_record'"),
                     0);
    pg_do(&server, "ALTER TABLE before RENAME TO idem_record");
    assert_replays(store, KEY, "1");
    pg_do(&server, "DROP TABLE idem_record");
    begin_refused("not there any more");
    idem_close(store); /* what is opened now makes one */
    store = open_url(server.url, PATIENT);
    complete(store, KEY, "2");
}
END_TEST

START_TEST(another_table_under_the_name_is_not_this_store)
{
    store = open_url(server.url, PATIENT);
    complete(store, KEY, "1");
    pg_do(&server, "ALTER TABLE idem_record RENAME TO before; CREATE TABLE idem_record (LIKE before"
                   " INCLUDING ALL)");
    end_sessions();
    begin_refused("another table");
    pg_do(&server, "DROP TABLE idem_record; ALTER TABLE before RENAME TO idem_record");
    assert_replays(store, KEY, "1");
    pg_do(&server, "VACUUM FULL idem_record"); /* other files, the same table */
    end_sessions();
    assert_replays(store, KEY, "1");
}
END_TEST

/* Where the URL names no schema, the first connection has decided. */
START_TEST(a_later_connection_looks_in_no_other_schema)
{
    caller callers[CALLERS] = {0};
    store = open_url(server.url, PATIENT);
    complete(store, KEY, "1");
    pg_do(&server, "CREATE SCHEMA app; CREATE TABLE app.idem_record (LIKE idem_record INCLUDING"
                   " ALL); ALTER ROLE postgres SET search_path = app, public");
    end_sessions();
    for (size_t i = 0; i < CALLERS; i++)
        ck_assert_int_eq(
            pthread_create(&callers[i].thread, NULL, begin_again_and_again, &callers[i]), 0);
    for (size_t i = 0; i < CALLERS; i++)
        (void)pthread_join(callers[i].thread, NULL);
    pg_do(&server, "ALTER ROLE postgres RESET search_path");
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM app.idem_record"), 0);
}
END_TEST

int main(void)
{
    pg_require();
    lateness_watch();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres identity");
    ADD_HERE(suite, another_server_is_not_this_store, 1);
    ADD_HERE(suite, a_table_that_was_dropped_is_not_made_anew, 1);
    ADD_HERE(suite, another_table_under_the_name_is_not_this_store, 1);
    ADD_HERE(suite, a_later_connection_looks_in_no_other_schema, 1);
    return run_suite(suite);
}
