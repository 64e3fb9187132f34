/* SPDX-License-Identifier: MIT */
/* What a URL may say, what it may not, and that no password is ever repeated. */
#include "redis_test.h"

#include <pthread.h>

#define SECRET "s3cr3t"

static server open_to_all;
static server guarded;

static const char *const guard[] = {"--requirepass", SECRET, NULL};

static int open_it(const char *url, idem_store **store)
{
    return idem_open(url, store, &err);
}

/* Opens a URL; `%d` in it is a server's port. @return the code, after looking for the secret */
static int try_url(const char *format, const server *at)
{
    char url[SERVER_URL_SIZE];
    idem_store *store = NULL;
    const char *mark = strstr(format, "%d");
    (void)snprintf(url, sizeof url, "%.*s%d%s", mark ? (int)(mark - format) : (int)strlen(format),
                   format, at->port, mark ? mark + 2 : "");
    if (!mark)
        (void)snprintf(url, sizeof url, "%s", format);
    int rc = open_it(url, &store);
    ck_assert_msg(!strstr(err.message, SECRET), "the secret is in: %s", err.message);
    ck_assert_int_eq(rc, err.code);
    idem_close(store);
    return rc;
}

/* ---------------------------------------------------------------------------- what is refused */

typedef struct {
    const char *url;
    int code;
    const char *says;
} bad_url;

static const bad_url bad_urls[] = {
    {"redis://127.0.0.1:0", IDEM_ERR_ARGUMENT, "port"},
    {"redis://127.0.0.1:70000", IDEM_ERR_ARGUMENT, "port"},
    {"redis://127.0.0.1:port", IDEM_ERR_ARGUMENT, "port"},
    {"redis://:" SECRET "@127.0.0.1:6379x", IDEM_ERR_ARGUMENT, "port"},
    {"redis://user:" SECRET "/x@127.0.0.1", IDEM_ERR_ARGUMENT, "%2F"},
    {"redis://127.0.0.1:%d/x", IDEM_ERR_ARGUMENT, "number of a database"},
    {"redis://127.0.0.1:%d/-1", IDEM_ERR_ARGUMENT, "number of a database"},
    {"redis://127.0.0.1:%d/1/2", IDEM_ERR_ARGUMENT, "number of a database"},
    {"redis://127.0.0.1:%d/99999999999", IDEM_ERR_ARGUMENT, "number of a database"},
    {"redis://127.0.0.1:%d/16", IDEM_ERR_ARGUMENT, "has no database 16"},
    {"redis://user@127.0.0.1:%d", IDEM_ERR_ARGUMENT, "user but no password"},
    {"redis://127.0.0.1:%d?db=1", IDEM_ERR_ARGUMENT, "connect_timeout"},
    {"redis://127.0.0.1:%d?password=" SECRET, IDEM_ERR_ARGUMENT, "connect_timeout"},
    {"redis://127.0.0.1:%d?connect_timeout=soon", IDEM_ERR_ARGUMENT, "connect_timeout"},
    {"redis://no-such-host.invalid?timeout=300ms", IDEM_ERR_UNAVAILABLE, "no-such-host.invalid"},
    {"redis://user:" SECRET "@127.0.0.1:1?timeout=300ms", IDEM_ERR_UNAVAILABLE, "can't be reached"},
    {"redis://127.0.0.1:6379,127.0.0.1:%d/1", IDEM_ERR_ARGUMENT, "names several hosts"},
    {"valkey://:" SECRET "@one,[::1]:6380,three", IDEM_ERR_ARGUMENT, "name one, the primary"},
    {"redis://127.0.0.1,user:" SECRET, IDEM_ERR_ARGUMENT, "list of hosts"},
    {"redis+unix://", IDEM_ERR_ARGUMENT, "no socket"},
    {"redis+unix://host/path.sock", IDEM_ERR_ARGUMENT, "names a host"},
    {"redis+unix:///no/such.sock?timeout=300ms", IDEM_ERR_UNAVAILABLE, "/no/such.sock"},
    {"redis+unix:///no/such.sock?db=x", IDEM_ERR_ARGUMENT, "number of a database"},
    {"redis+unix:///an/extraordinarily/long/path/that/has/more/than/one/hundred/and/eight/bytes/"
     "and/"
     "so/does/not/fit/into/the/address/of/a/socket.sock",
     IDEM_ERR_ARGUMENT, "at most"},
};

START_TEST(a_bad_url_is_refused_with_a_message_that_says_why)
{
    ck_assert_int_eq(try_url(bad_urls[_i].url, &open_to_all), bad_urls[_i].code);
    assert_says(bad_urls[_i].says);
}
END_TEST

/* It may be started a moment later; in the end the reason is told. */
START_TEST(a_refused_connection_is_repeated_until_the_timeout)
{
    uint64_t began = idem_monotonic_ms();
    assert_in_time(3000,
                   ck_assert_int_eq(try_url("redis://127.0.0.1:1?timeout=500ms", &open_to_all),
                                    IDEM_ERR_UNAVAILABLE));
    ck_assert_uint_ge(idem_monotonic_ms() - began, 200);
    assert_says("\"127.0.0.1\" port 1");
    assert_says("Connection refused");
}
END_TEST

typedef struct {
    char url[SERVER_URL_SIZE + 20];
    idem_store *store;
    idem_error error;
    int rc;
} opening;

static void *open_elsewhere(void *user)
{
    opening *own = user;
    own->rc = idem_open(own->url, &own->store, &own->error);
    return NULL;
}

/* A service that starts beside its store. */
START_TEST(open_waits_for_a_server_that_is_being_started)
{
    server own;
    opening meanwhile = {0};
    pthread_t thread;
    server_start(&own, NULL);
    (void)snprintf(meanwhile.url, sizeof meanwhile.url, "%s?timeout=30s", own.url);
    server_stop(&own);
    ck_assert_int_eq(pthread_create(&thread, NULL, open_elsewhere, &meanwhile), 0);
    wait_ms(200);
    server_again(&own, NULL);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_msg(meanwhile.rc == IDEM_OK, "%s", meanwhile.error.message);
    complete(meanwhile.store, KEY, "1");
    idem_close(meanwhile.store);
    server_remove(&own);
}
END_TEST

START_TEST(a_lazy_store_is_opened_without_its_server)
{
    server own;
    idem_record record;
    server_start(&own, NULL);
    server_stop(&own);
    idem_store *store = open_url(own.url, "open=lazy&timeout=2s");
    assert_code(IDEM_ERR_UNAVAILABLE, idem_get(store, idem_str(KEY), &record, &err));
    /* The last try may find the deadline come. */
    if (!strstr(err.message, "the deadline came before"))
        assert_says("Connection refused");
    server_again(&own, NULL);
    assert_code(IDEM_ERR_NOT_FOUND, idem_get(store, idem_str(KEY), &record, &err));
    complete(store, KEY, "1");
    idem_close(store);
    server_remove(&own);
}
END_TEST

START_TEST(what_is_wrong_with_a_lazy_url_is_told_when_it_is_opened)
{
    ck_assert_int_eq(try_url("redis://127.0.0.1:1/x?open=lazy", &open_to_all), IDEM_ERR_ARGUMENT);
    assert_says("number of a database");
    ck_assert_int_eq(try_url("redis+unix://?open=lazy", &open_to_all), IDEM_ERR_ARGUMENT);
    assert_says("no socket");
}
END_TEST

/* ------------------------------------------------------------------------------------ passwords */

static const bad_url passwords[] = {
    {"redis://127.0.0.1:%d", IDEM_ERR_UNAVAILABLE, "wants a password"},
    {"redis://127.0.0.1:%d/3", IDEM_ERR_UNAVAILABLE, "wants a password"},
    {"redis://:wrong-" SECRET "@127.0.0.1:%d", IDEM_ERR_UNAVAILABLE, "refused the user or the"},
    {"redis://default:wrong@127.0.0.1:%d/3", IDEM_ERR_UNAVAILABLE, "refused the user or the"},
    {"redis://nobody:" SECRET "@127.0.0.1:%d", IDEM_ERR_UNAVAILABLE, "refused the user or the"},
    {"redis://:" SECRET "@127.0.0.1:%d", IDEM_OK, ""},
    {"redis://default:" SECRET "@127.0.0.1:%d/3", IDEM_OK, ""},
    {"redis://default:%%73%%33cr3t@127.0.0.1:%d", IDEM_OK, ""},
};

START_TEST(a_password_opens_the_server_and_is_never_repeated)
{
    char url[SERVER_URL_SIZE];
    size_t len = 0;
    for (const char *at = passwords[_i].url; *at; at++) {
        url[len++] = *at;
        at += at[0] == '%' && at[1] == '%';
    }
    url[len] = '\0';
    /* It is not tried again. */
    assert_in_time(3000, ck_assert_int_eq(try_url(url, &guarded), passwords[_i].code));
    assert_says(passwords[_i].says);
}
END_TEST

START_TEST(a_password_where_none_is_set_is_told_so)
{
    ck_assert_int_eq(try_url("redis://:" SECRET "@127.0.0.1:%d", &open_to_all),
                     IDEM_ERR_UNAVAILABLE);
    assert_says("no password set");
}
END_TEST

START_TEST(a_password_that_was_changed_ends_the_calls_at_once)
{
    char url[SERVER_URL_SIZE];
    idem_store *store = NULL;
    idem_outcome out;
    server own;
    server_start(&own, NULL);
    server_do(&own, "ACL SETUSER app on >" SECRET " ~* +@all");
    (void)snprintf(url, sizeof url, "redis://app:" SECRET "@127.0.0.1:%d", own.port);
    assert_ok(open_it(url, &store));
    assert_begin(store, KEY, IDEM_NEW);
    server_do(&own, "ACL SETUSER app resetpass >another");
    server_do(&own, "CLIENT KILL TYPE normal SKIPME yes");
    wait_ms(20); /* else the call counts as one whose reply was lost */
    assert_in_time(3000,
                   assert_code(IDEM_ERR_UNAVAILABLE,
                               idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err)));
    assert_says("refused the user or the password");
    ck_assert_ptr_null(strstr(err.message, SECRET));
    idem_close(store);
    server_remove(&own);
}
END_TEST

/* The password is written as the tools of clusters do: beside, and then put in place. */
static void write_password(const server *at, const char *text)
{
    char path[200];
    char beside[210];
    (void)snprintf(path, sizeof path, "%s/password", at->folder);
    (void)snprintf(beside, sizeof beside, "%s.new", path);
    FILE *file = fopen(beside, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(rename(beside, path), 0);
}

static long long refusals(const server *at)
{
    long long count = 0;
    redisReply *log = server_ask(at, "ACL LOG");
    for (size_t i = 0; i < log->elements; i++)
        count += log->element[i]->element[1]->integer;
    freeReplyObject(log);
    return count;
}

static const char *const beginnings[] = {SECRET, SECRET "\n", SECRET "\r\n"};

START_TEST(a_password_file_is_read_again_for_each_connection)
{
    char url[2 * SERVER_URL_SIZE];
    idem_store *store = NULL;
    server own;
    server_start(&own, NULL);
    server_do(&own, "ACL SETUSER app on >" SECRET " ~* +@all");
    write_password(&own, beginnings[_i]);
    (void)snprintf(url, sizeof url, "redis://app@127.0.0.1:%d?password_file=%s/password&%s",
                   own.port, own.folder, PATIENT);
    assert_ok(open_it(url, &store));
    complete(store, "first", "1");
    server_do(&own, "ACL SETUSER app resetpass >another");
    write_password(&own, "another\n");
    server_do(&own, "CLIENT KILL TYPE normal SKIPME yes");
    complete(store, "second", "1");
    ck_assert_int_eq(refusals(&own), 0);
    idem_close(store);
    server_remove(&own);
}
END_TEST

START_TEST(a_password_from_a_file_that_is_refused_is_read_and_tried_once_more)
{
    char url[2 * SERVER_URL_SIZE];
    idem_store *store = NULL;
    server own;
    server_start(&own, NULL);
    server_do(&own, "ACL SETUSER app on >another ~* +@all");
    write_password(&own, SECRET "\n");
    (void)snprintf(url, sizeof url, "redis://app@127.0.0.1:%d?password_file=%s/password", own.port,
                   own.folder);
    ck_assert_int_eq(open_it(url, &store), IDEM_ERR_UNAVAILABLE);
    assert_says("password in password_file");
    ck_assert_ptr_null(strstr(err.message, SECRET));
    ck_assert_int_eq(refusals(&own), 2);
    server_remove(&own);
}
END_TEST

static const bad_url bad_files[] = {
    {"redis://app@127.0.0.1:%d?password_file=/no/such&timeout=300ms", IDEM_ERR_UNAVAILABLE,
     "is not there"},
    {"redis://127.0.0.1:%d?password_file=password", IDEM_ERR_ARGUMENT, "absolute paths"},
    {"redis://127.0.0.1:%d?password_file=/dev/null", IDEM_ERR_UNAVAILABLE, "no plain file"},
    {"redis://127.0.0.1:%d?password_file=/", IDEM_ERR_UNAVAILABLE, "no plain file"},
    {"redis://:" SECRET "@127.0.0.1:%d?password_file=/x", IDEM_ERR_ARGUMENT, "and a password_file"},
};

START_TEST(a_password_file_that_is_none_is_told)
{
    ck_assert_int_eq(try_url(bad_files[_i].url, &guarded), bad_files[_i].code);
    assert_says(bad_files[_i].says);
}
END_TEST

START_TEST(a_user_who_may_not_write_is_told_what_to_allow)
{
    char url[SERVER_URL_SIZE];
    idem_store *store = NULL;
    idem_outcome out;
    server own;
    server_start(&own, NULL);
    server_do(&own, "ACL SETUSER app on >" SECRET " ~* +get +ping");
    (void)snprintf(url, sizeof url, "redis://app:" SECRET "@127.0.0.1:%d", own.port);
    assert_ok(open_it(url, &store));
    assert_code(IDEM_ERR_UNAVAILABLE,
                idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY)), &out, &err));
    assert_says("allow set, get, pttl, del, eval, evalsha and scan");
    /* And that is enough indeed. */
    server_do(&own, "ACL SETUSER app -ping +set +pttl +del +eval +evalsha +scan");
    idem_close(store);
    assert_ok(open_it(url, &store));
    complete(store, KEY, "1");
    assert_replays(store, KEY, "1");
    idem_outcome held = claim(store, "other");
    assert_begin(store, "other", IDEM_IN_PROGRESS);
    assert_ok(idem_release(store, held.claim, &err));
    assert_ok(idem_forget(store, idem_str(KEY), &err));
    idem_outcome_clear(&held);
    idem_close(store);
    server_remove(&own);
}
END_TEST

/* ----------------------------------------------------------------------------------- databases */

START_TEST(databases_are_kept_apart_over_tcp_and_unix)
{
    char path[16];
    char url[SERVER_URL_SIZE + 16];
    idem_store *store;
    for (int db = 0; db < 4; db++) {
        (void)snprintf(path, sizeof path, "/%d", db);
        (void)snprintf(url, sizeof url, "%s%s", open_to_all.url, path);
        store = open_url(url, "");
        complete(store, KEY, path + 1);
        idem_close(store);
    }
    for (int db = 0; db < 4; db++) {
        (void)snprintf(path, sizeof path, "db=%d", db);
        store = open_url(open_to_all.unix_url, path);
        assert_replays(store, KEY, path + 3);
        assert_ok(idem_forget(store, idem_str(KEY), &err));
        idem_close(store);
    }
    store = open_url(open_to_all.url, "");
    assert_begin(store, KEY, IDEM_NEW);
    idem_close(store);
}
END_TEST

START_TEST(valkey_is_another_name_for_the_same_store)
{
    char url[SERVER_URL_SIZE + 16];
    idem_store *store = open_url(open_to_all.url, "");
    complete(store, "valkey", "1");
    idem_close(store);
    (void)snprintf(url, sizeof url, "valkey%s", strchr(open_to_all.url, ':'));
    store = open_url(url, "");
    assert_replays(store, "valkey", "1");
    idem_close(store);
    (void)snprintf(url, sizeof url, "valkey+unix%s", strchr(open_to_all.unix_url, ':'));
    store = open_url(url, "");
    assert_replays(store, "valkey", "1");
    assert_ok(idem_forget(store, idem_str("valkey"), &err));
    idem_close(store);
}
END_TEST

START_TEST(the_host_is_this_machine_unless_the_url_names_one)
{
    ck_assert_int_eq(try_url("redis://:%d", &open_to_all), IDEM_OK);
    ck_assert_int_eq(try_url("redis://localhost:%d/", &open_to_all), IDEM_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis URLs");
    server_require();
    server_start(&open_to_all, NULL);
    server_start(&guarded, guard);
    ADD_ROWS(suite, a_bad_url_is_refused_with_a_message_that_says_why, bad_urls);
    ADD(suite, a_refused_connection_is_repeated_until_the_timeout);
    ADD(suite, open_waits_for_a_server_that_is_being_started);
    ADD(suite, a_lazy_store_is_opened_without_its_server);
    ADD(suite, what_is_wrong_with_a_lazy_url_is_told_when_it_is_opened);
    ADD_ROWS(suite, a_password_opens_the_server_and_is_never_repeated, passwords);
    ADD(suite, a_password_where_none_is_set_is_told_so);
    ADD(suite, a_password_that_was_changed_ends_the_calls_at_once);
    ADD_ROWS(suite, a_password_file_is_read_again_for_each_connection, beginnings);
    ADD(suite, a_password_from_a_file_that_is_refused_is_read_and_tried_once_more);
    ADD_ROWS(suite, a_password_file_that_is_none_is_told, bad_files);
    ADD(suite, a_user_who_may_not_write_is_told_what_to_allow);
    ADD(suite, databases_are_kept_apart_over_tcp_and_unix);
    ADD(suite, valkey_is_another_name_for_the_same_store);
    ADD(suite, the_host_is_this_machine_unless_the_url_names_one);
    return run_suite(suite);
}
