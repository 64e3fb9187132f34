/* SPDX-License-Identifier: MIT */
/* rediss://: whom it trusts and what it says of the others, and that TLS changes nothing else. */
#include "loopback.h"
#include "redis_test.h"
#include "tls_open.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG (8u << 20)

void *__real_dlopen(const char *file, int mode);
void *__wrap_dlopen(const char *file, int mode);
void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);

static tls_server own;
static atomic_int resumed;

static bool missing;           /* OpenSSL's library is */
static const char *missing_in; /* a function that the library has not */
static int (*connect_really)(SSL *ssl);

void *__wrap_dlopen(const char *file, int mode)
{
    return missing ? NULL : __real_dlopen(file, mode);
}

static int connect_and_count(SSL *ssl)
{
    int rc = connect_really(ssl);
    if (rc == 1 && SSL_session_reused(ssl))
        (void)atomic_fetch_add(&resumed, 1);
    return rc;
}

void *__wrap_dlsym(void *library, const char *name)
{
    int (*counted)(SSL * ssl) = connect_and_count;
    void *found = __real_dlsym(library, name);
    if (missing_in && strcmp(name, missing_in) == 0)
        return NULL;
    if (strcmp(name, "SSL_connect") != 0)
        return found;
    memcpy(&connect_really, &found, sizeof found);
    memcpy(&found, &counted, sizeof found);
    return found;
}

static idem_store *open_own(const char *params)
{
    char all[200];
    (void)snprintf(all, sizeof all, "tls_ca=%%/ca.crt&%s", *params ? params : PATIENT);
    idem_store *store = try_at("localhost", own.port, all);
    ck_assert_msg(store != NULL, "%s", err.message);
    return store;
}

/* ------------------------------------------------------------------------------ who is trusted */

static const char *const asks_clients[] = {"--tls-auth-clients", "yes", NULL};
static const char *const old_tls[] = {"--tls-auth-clients", "no", "--tls-protocols", "TLSv1.2",
                                      NULL};

static const struct {
    const char *certificate;
    const char *const *options;
    const char *host;
    const char *params;
    const char *says; /* NULL: it opens */
} trials[] = {
    {"server", NULL, "localhost", "tls_ca=%/ca.crt", NULL},
    {"server", NULL, "127.0.0.1", "tls_ca=%/ca.crt", NULL},
    {"server", old_tls, "localhost", "tls_ca=%/ca.crt", NULL},
    {"server", NULL, "localhost", "", "unknown CA"},
    {"server", NULL, "localhost", "tls_ca=%/stranger.crt", "unknown CA"},
    {"strange", NULL, "localhost", "tls_ca=%/ca.crt", "unknown CA"},
    {"lasting", NULL, "localhost", "tls_ca=%/ca.crt", NULL},
    {"named", NULL, "localhost", "tls_ca=%/ca.crt", "another name than \"localhost\""},
    {"named", NULL, "127.0.0.1", "tls_ca=%/ca.crt", "another name than \"127.0.0.1\""},
    {"named", NULL, "127.0.0.1", "tls_ca=%/ca.crt&tls_name=redis.example.com", NULL},
    {"server", NULL, "localhost", "tls_ca=%/ca.crt&tls_name=example.com", "another name"},
    {"expired", NULL, "localhost", "tls_ca=%/ca.crt", "has expired"},
    {"server", NULL, "localhost", "tls_ca=%/none.crt", "tls_ca"},
    {"server", NULL, "localhost", "tls_ca=%/ca.key", "tls_ca"},
    {"server", NULL, "localhost", "tls_ca=%/ca.crt&tls_cert=%/none.crt", "tls_cert"},
    {"server", NULL, "localhost", "tls_ca=%/ca.crt&tls_cert=%/client.crt", "the key has to be"},
    {"server", NULL, "localhost", "tls_ca=%/ca.crt&tls_cert=%/client.crt&tls_key=%/locked.key",
     "without a passphrase"},
    {"server", NULL, "localhost", "tls_ca=%/ca.crt&tls_cert=%/client.crt&tls_key=%/server.key",
     "the certificate's"},
    {"server", NULL, "localhost", "tls_ca=ca.crt", "absolute paths"},
    {"server", NULL, "localhost", "tls_key=%/client.key&open=lazy", "without tls_cert"},
    {"server", asks_clients, "localhost", "tls_ca=%/ca.crt", "asks for a certificate of ours"},
    {"server", asks_clients, "localhost",
     "tls_ca=%/ca.crt&tls_cert=%/client.crt&tls_key=%/client.key", NULL},
    {"server", asks_clients, "localhost",
     "tls_ca=%/ca.crt&tls_cert=%/intruder.crt&tls_key=%/intruder.key", "refused our certificate"},
};

static tls_server *find_server(const char *certificate, const char *const *options)
{
    static tls_server servers[sizeof trials / sizeof trials[0]];
    static size_t firsts[sizeof trials / sizeof trials[0]];
    static size_t count;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(trials[firsts[i]].certificate, certificate) == 0 &&
            trials[firsts[i]].options == options)
            return &servers[i];
    }
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        if (strcmp(trials[i].certificate, certificate) == 0 && trials[i].options == options)
            firsts[count] = i;
    }
    tls_server_start(&servers[count], certificate, options);
    return &servers[count++];
}

/* What is wrong stays wrong: it is told at once. */
/* The first of all: in one process the library is loaded once. */
START_TEST(without_the_library_the_url_is_refused_until_it_is_there)
{
    missing = true;
    ck_assert_ptr_null(try_at("localhost", 1, ""));
    ck_assert_int_eq(err.code, IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "libssl"));
    missing = false;
    missing_in = "X509_get0_notAfter";
    ck_assert_ptr_null(try_at("localhost", 1, ""));
    ck_assert_int_eq(err.code, IDEM_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.message, "install that one"));
    missing_in = NULL;
    ck_assert_ptr_null(try_at("localhost", 1, ""));
    ck_assert_int_eq(err.code, IDEM_ERR_UNAVAILABLE);
}
END_TEST

START_TEST(who_is_not_trusted_is_told_why)
{
    const tls_server *here = find_server(trials[_i].certificate, trials[_i].options);
    uint64_t began_ms = idem_monotonic_ms();
    idem_store *store = try_at(trials[_i].host, here->port, trials[_i].params);
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 4000);
    ck_assert_msg((store != NULL) == !trials[_i].says, "%s", err.message);
    char key[16];
    (void)snprintf(key, sizeof key, "trial-%d", _i);
    if (store)
        complete(store, key, "1");
    else
        assert_says(trials[_i].says);
    idem_close(store);
}
END_TEST

START_TEST(a_plain_server_behind_the_port_is_told_apart)
{
    uint64_t began_ms = idem_monotonic_ms();
    ck_assert_ptr_null(try_at("localhost", own.plain.port, "tls_ca=%/ca.crt"));
    ck_assert_int_eq(err.code, IDEM_ERR_UNAVAILABLE);
    assert_says("speaks no TLS");
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 4000);
}
END_TEST

START_TEST(a_tls_port_that_is_named_without_tls_is_told)
{
    char url[100];
    idem_store *store = NULL;
    uint64_t began_ms = idem_monotonic_ms();
    (void)snprintf(url, sizeof url, "redis://:pw@localhost:%d", own.port);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err));
    assert_says("write rediss://");
    (void)snprintf(url, sizeof url, "redis+sentinel://localhost:%d/shop", own.port);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err));
    assert_says("speaks TLS at this port");
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 4000);
}
END_TEST

static void look_for_end(void *user, const idem_finding *finding)
{
    *(int *)user += strstr(finding->what, "certificate ends within") != NULL;
}

START_TEST(a_certificate_that_ends_soon_is_a_finding)
{
    int found = 0;
    idem_store *store = open_own("");
    assert_ok(idem_check(store, look_for_end, &found, &err));
    ck_assert_int_eq(found, 1);
    idem_close(store);
    store = open_own("tls_cert=%/client.crt&tls_key=%/client.key");
    found = 0;
    assert_ok(idem_check(store, look_for_end, &found, &err));
    ck_assert_int_eq(found, 2); /* ours, too */
    idem_close(store);
    found = 0;
    const tls_server *lasting = find_server("lasting", NULL);
    store = try_at("localhost", lasting->port, "tls_ca=%/ca.crt&" PATIENT);
    assert_ok(idem_check(store, look_for_end, &found, &err));
    ck_assert_int_eq(found, 0);
    idem_close(store);
}
END_TEST

/* A sentinel and its primary, both by TLS: certificates are for the addresses. */
START_TEST(sentinels_are_asked_by_tls)
{
    char settings[900];
    char url[400];
    server sentinel;
    idem_store *store = NULL;
    const char *folder = tls_certificates();
    (void)snprintf(settings, sizeof settings,
                   "tls-port %d\ntls-cert-file %s/server.crt\ntls-key-file %s/server.key\n"
                   "tls-ca-cert-file %s/ca.crt\ntls-auth-clients no\ntls-replication yes\n"
                   "sentinel monitor shop 127.0.0.1 %d 1\n",
                   loopback_free_port(), folder, folder, folder, own.port);
    int port = atoi(strstr(settings, "tls-port ") + strlen("tls-port "));
    server_start_sentinel(&sentinel, settings);
    (void)snprintf(url, sizeof url, "rediss+sentinel://localhost:%d/shop?tls_ca=%s/ca.crt&" PATIENT,
                   port, folder);
    assert_ok(idem_open(url, &store, &err));
    complete(store, "tls-sentinel", "1");
    idem_close(store);
    (void)snprintf(url, sizeof url,
                   "rediss+sentinel://localhost:%d/shop?tls_ca=%s/ca.crt&tls_name=other", port,
                   folder);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err));
    assert_says("another name than \"other\"");
    (void)snprintf(url, sizeof url, "rediss+sentinel://localhost:%d/shop?tls_ca=%s/ca.crt",
                   sentinel.port, folder);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err));
    assert_says("speaks no TLS at this port");
    server_remove(&sentinel);
}
END_TEST

/* --------------------------------------------------------------------------------- deadlines */

START_TEST(a_server_that_is_silent_in_the_handshake_is_left_at_the_deadline)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(fd, 50), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_in_time(500, ck_assert_ptr_null(try_at("localhost", ntohs(address.sin_port),
                                                  "tls_ca=%/ca.crt&timeout=500ms")));
    assert_says("did not answer the TLS handshake");
    (void)close(fd);
}
END_TEST

START_TEST(a_server_that_is_stopped_is_left_at_the_deadline)
{
    idem_record record;
    idem_store *store = open_own("timeout=300ms");
    (void)kill(own.plain.pid, SIGSTOP);
    for (int i = 0; i < 2; i++) /* over the old connection, and over a new one */
        assert_in_time(
            300, assert_code(IDEM_ERR_UNAVAILABLE, idem_get(store, idem_str(KEY), &record, &err)));
    (void)kill(own.plain.pid, SIGCONT);
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------- connections */

START_TEST(a_connection_is_kept_while_it_is_idle)
{
    char key[16];
    idem_store *store = open_own("");
    long long before = server_info(&own.plain, "stats", "total_connections_received");
    for (int i = 0; i < 10; i++) {
        wait_ms(10);
        (void)snprintf(key, sizeof key, "idle-%d", i);
        complete(store, key, "1");
    }
    /* The questions are connections themselves. */
    ck_assert_int_eq(server_info(&own.plain, "stats", "total_connections_received"), before + 1);
    idem_close(store);
}
END_TEST

START_TEST(a_connection_that_is_made_again_resumes_the_session)
{
    idem_store *store = open_own("");
    complete(store, "resumed-0", "1");
    for (int i = 1; i <= 3; i++) {
        char key[16];
        server_do(&own.plain, "CLIENT KILL TYPE normal SKIPME yes");
        (void)snprintf(key, sizeof key, "resumed-%d", i);
        complete(store, key, "1");
    }
    ck_assert_int_ge(atomic_load(&resumed), 3);
    idem_close(store);
}
END_TEST

static void copy_over(const char *from, const char *to)
{
    char command[400];
    (void)snprintf(command, sizeof command, "cd %s && cp %s copy && mv copy %s", tls_certificates(),
                   from, to);
    ck_assert_int_eq(system(command), 0); /* NOLINT(cert-env33-c) */
}

START_TEST(certificates_that_are_renewed_under_way_are_read_again)
{
    copy_over("ca.crt", "trusted.crt");
    idem_store *store = try_at("localhost", own.port, "tls_ca=%/trusted.crt&" PATIENT);
    ck_assert_msg(store != NULL, "%s", err.message);
    complete(store, "renewed-0", "1");
    server_do(&own.plain, "CONFIG SET tls-cert-file %s/strange.crt tls-key-file %s/strange.key",
              tls_certificates(), tls_certificates());
    copy_over("stranger.crt", "trusted.crt");
    server_do(&own.plain, "CLIENT KILL TYPE normal SKIPME yes");
    complete(store, "renewed-1", "1");
    assert_replays(store, "renewed-0", "1");
    idem_close(store);
}
END_TEST

static void *copy_later(void *user)
{
    (void)user;
    wait_ms(300);
    copy_over("ca.crt", "halfway.crt");
    return NULL;
}

/* Not every program renames a new file into place: it is missing for a while, or holds something
   else. */
START_TEST(a_file_that_is_missing_while_it_is_renewed_is_a_pause)
{
    char path[200];
    char key[16];
    copy_over("ca.crt", "halfway.crt");
    idem_store *store = try_at("localhost", own.port, "tls_ca=%/halfway.crt&" PATIENT);
    ck_assert_msg(store != NULL, "%s", err.message);
    complete(store, "halfway", "1");
    (void)snprintf(path, sizeof path, "%s/halfway.crt", tls_certificates());
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        if (i == 0)
            ck_assert_int_eq(unlink(path), 0);
        else
            copy_over("ca.key", "halfway.crt");
        ck_assert_int_eq(pthread_create(&thread, NULL, copy_later, NULL), 0);
        server_do(&own.plain, "CLIENT KILL TYPE normal SKIPME yes");
        (void)snprintf(key, sizeof key, "halfway-%d", i);
        complete(store, key, "1");
        (void)pthread_join(thread, NULL);
    }
    idem_close(store);
}
END_TEST

/* Without MSG_NOSIGNAL the process would end here. */
START_TEST(a_server_that_dies_raises_no_signal)
{
    idem_outcome out;
    (void)signal(SIGPIPE, SIG_DFL);
    idem_store *store = open_own("timeout=500ms");
    complete(store, "before", "1");
    for (int i = 0; i < 3; i++) {
        server_kill(&own.plain);
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("dead")), &out, &err);
        ck_assert(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_UNCERTAIN);
        tls_server_again(&own);
        char key[16];
        (void)snprintf(key, sizeof key, "again-%d", i);
        complete(store, key, "1");
    }
    idem_close(store);
}
END_TEST

/* --------------------------------------------------------------------------------- what travels */

START_TEST(eight_mebibytes_travel_there_and_back)
{
    char *text = malloc(BIG);
    idem_outcome out;
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < BIG; i++)
        text[i] = (char)('a' + i * 7 % 26);
    text[0] = text[BIG - 1] = '"';
    idem_store *store = open_own("");
    out = claim(store, "big");
    assert_ok(idem_complete(store, out.claim, (idem_bytes){text, BIG}, &err));
    idem_outcome_clear(&out);
    out = begin_key(store, "big");
    ck_assert_int_eq(out.kind, IDEM_COMPLETED);
    ck_assert_uint_eq(out.response.len, BIG);
    ck_assert_int_eq(memcmp(out.response.data, text, BIG), 0);
    idem_outcome_clear(&out);
    idem_close(store);
    free(text);
}
END_TEST

static void set_up(void)
{
    atomic_store(&resumed, 0);
}

/* Of those who do harm to their server. */
static void set_up_own(void)
{
    tls_server_start(&own, "server", NULL);
}

static void tear_down_own(void)
{
    server_remove(&own.plain);
}

#define ADD_RESET(suite, test)                           \
    do {                                                 \
        TCase *tcase_ = tcase_create(#test);             \
        tcase_set_timeout(tcase_, 60);                   \
        tcase_add_checked_fixture(tcase_, set_up, NULL); \
        tcase_add_test(tcase_, test);                    \
        suite_add_tcase(suite, tcase_);                  \
    } while (0)

#define ADD_APART(suite, test)                                        \
    do {                                                              \
        TCase *tcase_ = tcase_create(#test);                          \
        tcase_set_timeout(tcase_, 60);                                \
        tcase_add_checked_fixture(tcase_, set_up_own, tear_down_own); \
        tcase_add_test(tcase_, test);                                 \
        suite_add_tcase(suite, tcase_);                               \
    } while (0)

int main(void)
{
    Suite *suite = suite_create("redis TLS");
    server_require();
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
        own = *find_server(trials[i].certificate, trials[i].options);
    own = *find_server("server", NULL);
    ADD_RESET(suite, without_the_library_the_url_is_refused_until_it_is_there);
    ADD_ROWS(suite, who_is_not_trusted_is_told_why, trials);
    ADD_RESET(suite, a_plain_server_behind_the_port_is_told_apart);
    ADD_RESET(suite, a_tls_port_that_is_named_without_tls_is_told);
    ADD_RESET(suite, a_certificate_that_ends_soon_is_a_finding);
    ADD_RESET(suite, sentinels_are_asked_by_tls);
    ADD_RESET(suite, a_server_that_is_silent_in_the_handshake_is_left_at_the_deadline);
    ADD_RESET(suite, a_server_that_is_stopped_is_left_at_the_deadline);
    ADD_RESET(suite, a_connection_is_kept_while_it_is_idle);
    ADD_RESET(suite, a_connection_that_is_made_again_resumes_the_session);
    ADD_RESET(suite, eight_mebibytes_travel_there_and_back);
    ADD_APART(suite, certificates_that_are_renewed_under_way_are_read_again);
    ADD_APART(suite, a_file_that_is_missing_while_it_is_renewed_is_a_pause);
    ADD_APART(suite, a_server_that_dies_raises_no_signal);
    return run_suite(suite);
}
