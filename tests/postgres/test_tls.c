/* SPDX-License-Identifier: MIT */
/* TLS is libpq's: who is not whom the URL names is refused, and no password goes to it. */
#include "pg_test.h"
#include "tls_gate.h"

#include <idem/postgres.h>

#include <openssl/ssl.h>

#include <stdlib.h>

static pg_server server;
static idem_store *store;

static void set_up(void)
{
    store = NULL;
}

static void tear_down(void)
{
    idem_close(store);
}

/* The server's certificate is one of those that were made. It is read anew, without a restart. */
static void serve(const char *name)
{
    char question[300];
    pg_do(&server, "ALTER SYSTEM SET ssl_cert_file = '%s/%s.crt'", server.folder, name);
    pg_do(&server, "ALTER SYSTEM SET ssl_key_file = '%s/%s.key'", server.folder, name);
    pg_do(&server, "ALTER SYSTEM SET ssl = on");
    pg_do(&server, "SELECT pg_reload_conf()");
    (void)snprintf(question, sizeof question,
                   "SELECT (current_setting('ssl') = 'on' AND current_setting('ssl_cert_file') ="
                   " '%s/%s.crt')::int",
                   server.folder, name);
    pg_await(&server, question, 1);
}

static const char *url_to(const char *host, const char *ca)
{
    static char url[PG_URL_SIZE];
    (void)snprintf(url, sizeof url,
                   "postgresql://postgres:hunter2@%s:%d/postgres?gssencmode=disable&"
                   "sslmode=verify-full&sslrootcert=%s/%s.crt",
                   host, server.port, server.folder, ca);
    return url;
}

static void assert_refused(const char *host, const char *ca, const char *says)
{
    const char *url = url_to(host, ca);
    assert_says_in_the_end(says,
                           assert_code(IDEM_ERR_UNAVAILABLE, try_open_for(url, limit_ms, &store)));
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
}

START_TEST(a_server_that_is_who_it_says_is_used)
{
    size_t len = 3000000; /* more than a record of TLS, and than libpq's buffer */
    char *text = malloc(len);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', len);
    text[0] = text[len - 1] = '"';
    serve("server");
    store = open_url(url_to("127.0.0.1", "ca"), "");
    ck_assert_int_ge(pg_number(&server, "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity "
                                        "USING (pid) WHERE ssl AND application_name = 'libidem'"),
                     1);
    for (int i = 0; i < 5; i++) {
        char key[20];
        (void)snprintf(key, sizeof key, "large-%d", i);
        idem_outcome out = claim(store, key);
        assert_ok(
            idem_complete(store, out.claim, (idem_bytes){text, len - (size_t)i * 5000}, &err));
        idem_outcome_clear(&out);
        out = begin_key(store, key);
        ck_assert_int_eq(out.kind, IDEM_COMPLETED);
        ck_assert_uint_eq(out.response.len, len - (size_t)i * 5000);
        idem_outcome_clear(&out);
        text[len - (size_t)(i + 1) * 5000 - 1] = '"';
        text[len - (size_t)i * 5000 - 1] = 'x';
    }
    free(text);
}
END_TEST

START_TEST(a_server_under_another_name_is_refused)
{
    serve("named");
    assert_refused("127.0.0.1", "ca", "does not match host name");
}
END_TEST

START_TEST(a_certificate_that_has_expired_is_refused)
{
    serve("expired");
    assert_refused("127.0.0.1", "ca", "certificate verify failed");
}
END_TEST

START_TEST(a_certificate_of_an_unknown_authority_is_refused)
{
    serve("server");
    assert_refused("127.0.0.1", "stranger", "certificate verify failed");
}
END_TEST

START_TEST(a_server_without_tls_is_refused)
{
    pg_do(&server, "ALTER SYSTEM SET ssl = off");
    pg_do(&server, "SELECT pg_reload_conf()");
    pg_await(&server, "SELECT (current_setting('ssl') = 'off')::int", 1);
    assert_refused("127.0.0.1", "ca", "does not support SSL");
}
END_TEST

/* Poolers, and servers from 17 on, send records that are larger than the room that libpq has left
   behind the begin of a message: what stays in OpenSSL, no poll() tells. */
START_TEST(the_largest_records_are_taken_in_to_their_end)
{
    enum { KEYS = 3, LEN = 10000 };
    static char text[LEN];
    char keys[KEYS][20];
    char words[400];
    idem_request requests[KEYS];
    idem_outcome outcomes[KEYS];
    memset(text, 'x', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    tls_gate *gate = tls_gate_start(server.port, server.folder, TLS1_3_VERSION);
    (void)snprintf(words, sizeof words,
                   "host=127.0.0.1 port=%d user=postgres dbname=postgres gssencmode=disable "
                   "sslmode=verify-full sslrootcert=%s/ca.crt",
                   tls_gate_port(gate), server.folder);
    PGconn *mine = PQconnectdb(words);
    ck_assert_int_eq(PQstatus(mine), CONNECTION_OK);
    assert_ok(idem_postgres_open_on(mine, "timeout=6s", &store, &err));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "record-%d", i);
        idem_outcome out = claim(store, keys[i]);
        assert_ok(idem_complete(store, out.claim, (idem_bytes){text, sizeof text}, &err));
        idem_outcome_clear(&out);
        requests[i] = (idem_request){.size = sizeof requests[i], .key = idem_str(keys[i])};
    }
    tls_gate_gather(gate);
    for (int round = 0; round < 5; round++) {
        assert_ok(idem_begin_many(store, requests, KEYS, outcomes, NULL, &err));
        for (int i = 0; i < KEYS; i++) {
            ck_assert_int_eq(outcomes[i].kind, IDEM_COMPLETED);
            ck_assert_uint_eq(outcomes[i].response.len, sizeof text);
            idem_outcome_clear(&outcomes[i]);
        }
    }
    idem_close(store);
    store = NULL;
    PQfinish(mine);
    tls_gate_stop(gate);
}
END_TEST

int main(void)
{
    pg_require();
    pg_start(&server, NULL);
    pg_use_tls(&server, CERTIFICATES);
    Suite *suite = suite_create("postgres over TLS");
    ADD_HERE(suite, a_server_that_is_who_it_says_is_used, 1);
    ADD_HERE(suite, a_server_under_another_name_is_refused, 1);
    ADD_HERE(suite, a_certificate_that_has_expired_is_refused, 1);
    ADD_HERE(suite, a_certificate_of_an_unknown_authority_is_refused, 1);
    ADD_HERE(suite, a_server_without_tls_is_refused, 1);
    ADD_HERE(suite, the_largest_records_are_taken_in_to_their_end, 1);
    return run_suite(suite);
}
