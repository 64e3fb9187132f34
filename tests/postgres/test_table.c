/* SPDX-License-Identifier: MIT */
/* The table: made, found, refused; rights on it; what is in it; and that it stays small. */
#include "pg_test.h"

#include <stdlib.h>

static pg_server server;
static idem_store *store;

static void set_up(void)
{
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record;"
                   " DROP SCHEMA IF EXISTS app CASCADE; DROP ROLE IF EXISTS teller");
    store = NULL;
}

static void tear_down(void)
{
    idem_close(store);
}

/* The URL with another role. */
static const char *url_of(const char *role)
{
    static char url[PG_URL_SIZE];
    (void)snprintf(url, sizeof url, "postgresql:///postgres?host=%s&port=%d&user=%s", server.folder,
                   server.port, role);
    return url;
}

START_TEST(a_table_can_be_named_with_its_schema)
{
    pg_do(&server, "CREATE SCHEMA app");
    store = open_url(server.url, PATIENT "&table=app.Odd%22Name");
    complete(store, KEY, "1");
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM app.\"Odd\"\"Name\""), 1);
    idem_close(store);
    store = open_url(server.url, PATIENT "&table=app.Odd%22Name");
    assert_replays(store, KEY, "1");
}
END_TEST

START_TEST(what_is_no_name_of_a_table_is_refused)
{
    static const char *const names[] = {"", ".x", "x.", "a.b.c", "a@b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char params[100];
        (void)snprintf(params, sizeof params, "table=%s", names[i]);
        assert_code(IDEM_ERR_ARGUMENT, try_open(server.url, params, &store));
    }
}
END_TEST

START_TEST(a_table_of_another_program_is_refused_and_left_alone)
{
    pg_do(&server, "CREATE TABLE idem_record (key text PRIMARY KEY, value text)");
    assert_code(IDEM_ERR_ARGUMENT, try_open(server.url, "", &store));
    assert_says("not one that this library made");
    pg_do(&server, "DROP TABLE idem_record; CREATE VIEW idem_record AS SELECT 1 AS key");
    assert_code(IDEM_ERR_ARGUMENT, try_open(server.url, "", &store));
    pg_do(&server, "DROP VIEW idem_record");
}
END_TEST

START_TEST(a_table_without_its_key_is_refused)
{
    idem_close(open_url(server.url, ""));
    pg_do(&server, "ALTER TABLE idem_record DROP CONSTRAINT idem_record_pkey");
    assert_code(IDEM_ERR_ARGUMENT, try_open(server.url, "", &store));
    assert_says("no primary key");
}
END_TEST

START_TEST(a_table_of_a_newer_version_is_refused)
{
    idem_close(open_url(server.url, ""));
    pg_do(&server, "COMMENT ON TABLE idem_record IS 'libidem records, version 2'");
    assert_code(IDEM_ERR_UNSUPPORTED, try_open(server.url, "", &store));
    pg_do(&server, "COMMENT ON TABLE idem_record IS 'payments team: do not drop'");
    store = open_url(server.url, "");
}
END_TEST

START_TEST(who_may_not_make_the_table_is_told_the_statement)
{
    char create[256];
    pg_do(&server, "CREATE ROLE teller LOGIN; REVOKE CREATE ON SCHEMA public FROM public");
    assert_code(IDEM_ERR_UNAVAILABLE, try_open(url_of("teller"), "", &store));
    const char *at = strstr(err.message, "CREATE TABLE");
    ck_assert_msg(at != NULL, "%s", err.message);
    (void)snprintf(create, sizeof create, "%s", at);
    pg_do(&server, "%s", create);
    pg_do(&server, "GRANT SELECT, INSERT, UPDATE, DELETE ON idem_record TO teller");
    store = open_url(url_of("teller"), "");
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
    uint64_t removed = 0;
    assert_ok(idem_purge(store, 0, &removed, &err));
}
END_TEST

START_TEST(who_opens_what_exists_makes_nothing)
{
    const idem_options existing = {.size = sizeof existing, .flags = IDEM_OPEN_EXISTING};
    int rc = idem_open_with(server.url, &existing, &store, &err);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    assert_says("is not there");
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM pg_class WHERE relname = "
                                        "'idem_record'"),
                     0);
}
END_TEST

static int count_record(const idem_record *record, void *user)
{
    (void)record;
    ++*(int *)user;
    return 0;
}

START_TEST(the_right_to_read_is_enough_for_what_reads_and_replays)
{
    idem_record record;
    idem_outcome out;
    int count = 0;
    idem_store *writer = open_url(server.url, "");
    complete(writer, KEY, "1");
    idem_close(writer);
    pg_do(&server, "CREATE ROLE teller LOGIN; GRANT SELECT ON idem_record TO teller");
    const idem_options existing = {.size = sizeof existing, .flags = IDEM_OPEN_EXISTING};
    assert_ok(idem_open_with(url_of("teller"), &existing, &store, &err));
    assert_ok(idem_get(store, idem_str(KEY), &record, &err));
    idem_record_clear(&record);
    assert_ok(idem_scan(store, NULL, count_record, &count, &err));
    ck_assert_int_eq(count, 1);
    assert_replays(store, KEY, "1");
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str("new")), &out, &err));
    assert_says("GRANT");
    pg_do(&server, "GRANT INSERT, UPDATE, DELETE ON idem_record TO teller");
    complete(store, "new", "2");
}
END_TEST

START_TEST(a_begin_is_not_told_new_where_complete_could_not_work)
{
    idem_outcome out;
    idem_close(open_url(server.url, ""));
    pg_do(&server, "CREATE ROLE teller LOGIN; GRANT SELECT, INSERT ON idem_record TO teller");
    store = open_url(url_of("teller"), "");
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record"), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------ records */

START_TEST(rows_that_cannot_be_understood_are_told_and_left)
{
    static const char *const spoils[] = {
        "UPDATE idem_record SET record = 'x'",
        "UPDATE idem_record SET record = ''",
        "UPDATE idem_record SET version = version + 1",
        ("UPDATE idem_record SET record = convert_to(regexp_replace(convert_from(record, 'UTF8'), "
         "'\"token\":\"[^\"]*\",?', ''), 'UTF8')"),
    };
    idem_outcome out;
    idem_record record;
    store = open_url(server.url, "");
    for (size_t i = 0; i < sizeof spoils / sizeof spoils[0]; i++) {
        complete(store, KEY, "1");
        pg_do(&server, "%s", spoils[i]);
        assert_code(IDEM_ERR_CORRUPT,
                    idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
        assert_says(KEY);
        assert_code(IDEM_ERR_CORRUPT, idem_get(store, idem_str(KEY), &record, &err));
        ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record"), 1);
        pg_do(&server, "TRUNCATE idem_record");
    }
}
END_TEST

static int count_corrupt(const idem_record *record, void *user)
{
    *(int *)user += record->status == IDEM_STATUS_CORRUPT;
    return 0;
}

START_TEST(a_listing_goes_past_what_cannot_be_understood)
{
    int count = 0;
    int corrupt = 0;
    store = open_url(server.url, "");
    for (int i = 0; i < 300; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key-%d", i);
        complete(store, key, "1");
    }
    pg_do(&server, "UPDATE idem_record SET record = 'x' WHERE key = 'key-200'");
    pg_do(&server, "UPDATE idem_record SET written = '-infinity' WHERE key = 'key-201'");
    pg_do(&server, "INSERT INTO idem_record VALUES ('', 1, now(), now() + '1 day', 'y')");
    pg_do(&server, "INSERT INTO idem_record SELECT convert_to(repeat('j', 1300) || i, 'UTF8'), i,"
                   " now(), now() + '1 day', 'z' FROM generate_series(1, 300) AS i");
    assert_ok(idem_scan(store, NULL, count_record, &count, &err));
    assert_ok(idem_scan(store, NULL, count_corrupt, &corrupt, &err));
    ck_assert_int_eq(count, 300);
    ck_assert_int_eq(corrupt, 2);
}
END_TEST

START_TEST(a_large_response_comes_back_as_it_was)
{
    size_t len = 8u * 1024 * 1024;
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + (i * 7 + i / 251) % 26);
    text[0] = text[len - 1] = '"';
    store = open_url(server.url, "");
    idem_outcome out = claim(store, KEY);
    assert_ok(idem_complete(store, out.claim, (idem_bytes){text, len}, &err));
    idem_outcome_clear(&out);
    out = begin_key(store, KEY);
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert(out.response.len == len && memcmp(out.response.data, text, len) == 0);
    idem_outcome_clear(&out);
    free(text);
}
END_TEST

START_TEST(a_replay_writes_nothing)
{
    char before[64];
    char after[64];
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
    pg_do(&server, "CHECKPOINT");
    /* The server itself writes now and then, for its standbys. */
    for (int tries = 0; tries < 5; tries++) {
        (void)pg_ask(&server, before, sizeof before, "SELECT pg_current_wal_insert_lsn()");
        for (int i = 0; i < 20; i++)
            assert_replays(store, KEY, "1");
        (void)pg_ask(&server, after, sizeof after, "SELECT pg_current_wal_insert_lsn()");
        if (strcmp(before, after) == 0)
            break;
    }
    ck_assert_str_eq(before, after);
}
END_TEST

/* ------------------------------------------------------------------------------------ sweeping */

static void begin_short(const char *key)
{
    idem_outcome out;
    assert_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str(key), .lease_ms = 1, .ttl_ms = 1),
                         &out, &err));
    idem_outcome_clear(&out);
}

START_TEST(inserts_sweep_what_has_expired)
{
    char key[40];
    store = open_url(server.url, "");
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "%d-dead", (i * 7919) % 10000);
        begin_short(key);
    }
    wait_ms(5);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "%d-live", (i * 7907) % 10000);
        idem_outcome out = claim(store, key);
        idem_outcome_clear(&out);
    }
    long long rows = pg_number(&server, "SELECT count(*) FROM idem_record");
    ck_assert_msg(rows < 300, "%lld rows are left of 200 dead and 200 living ones", rows);
}
END_TEST

START_TEST(a_purge_drops_all_that_has_expired_and_no_more)
{
    uint64_t removed = 0;
    store = open_url(server.url, "");
    complete(store, KEY, "1");
    pg_do(&server, "INSERT INTO idem_record SELECT convert_to('k' || i, 'UTF8'), i, now(), now(),"
                   " 'x' FROM generate_series(1, 5000) AS i");
    assert_ok(idem_purge(store, 10, &removed, &err));
    ck_assert_uint_eq(removed, 10);
    assert_ok(idem_purge(store, 0, &removed, &err));
    ck_assert_uint_eq(removed, 4990);
    assert_replays(store, KEY, "1");
}
END_TEST

/* A row that somebody holds is nobody's to wait for. */
START_TEST(a_purge_waits_for_nobody)
{
    uint64_t removed = 0;
    store = open_url(server.url, "");
    pg_do(&server, "INSERT INTO idem_record SELECT convert_to('k' || i, 'UTF8'), i, now(), now(),"
                   " 'x' FROM generate_series(1, 10) AS i");
    PGconn *stranger = pg_connect(&server);
    PQclear(PQexec(stranger, "BEGIN; SELECT FROM idem_record WHERE key = 'k5' FOR UPDATE"));
    assert_ok(idem_purge(store, 0, &removed, &err));
    ck_assert_uint_eq(removed, 9);
    PQfinish(stranger);
}
END_TEST

int main(void)
{
    pg_require();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres table");
    ADD_HERE(suite, a_table_can_be_named_with_its_schema, 1);
    ADD_HERE(suite, what_is_no_name_of_a_table_is_refused, 1);
    ADD_HERE(suite, a_table_of_another_program_is_refused_and_left_alone, 1);
    ADD_HERE(suite, a_table_without_its_key_is_refused, 1);
    ADD_HERE(suite, a_table_of_a_newer_version_is_refused, 1);
    ADD_HERE(suite, who_may_not_make_the_table_is_told_the_statement, 1);
    ADD_HERE(suite, who_opens_what_exists_makes_nothing, 1);
    ADD_HERE(suite, the_right_to_read_is_enough_for_what_reads_and_replays, 1);
    ADD_HERE(suite, a_begin_is_not_told_new_where_complete_could_not_work, 1);
    ADD_HERE(suite, rows_that_cannot_be_understood_are_told_and_left, 1);
    ADD_HERE(suite, a_listing_goes_past_what_cannot_be_understood, 1);
    ADD_HERE(suite, a_large_response_comes_back_as_it_was, 1);
    ADD_HERE(suite, a_replay_writes_nothing, 1);
    ADD_HERE(suite, inserts_sweep_what_has_expired, 1);
    ADD_HERE(suite, a_purge_drops_all_that_has_expired_and_no_more, 1);
    ADD_HERE(suite, a_purge_waits_for_nobody, 1);
    return run_suite(suite);
}
