/* SPDX-License-Identifier: MIT */
/* redis+sentinel://: who is asked, and who is believed. */
#include "loopback.h"
#include "redis_test.h"
#include "sentinel_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS  8
#define ANYWHERE "127.0.0.1"

static sentinel_set set; /* of tests that do it no harm */
static server lone;      /* a sentinel that watches its primary, and has the quorum alone */

static char *url_of(char *url, size_t size, const char *hosts, const char *rest)
{
    (void)snprintf(url, size, "redis+sentinel://%s/%s", hosts, rest);
    return url;
}

static int try_to_open(const char *hosts, const char *rest)
{
    char url[600];
    idem_store *store = NULL;
    err = (idem_error){0};
    int rc = idem_open(url_of(url, sizeof url, hosts, rest), &store, &err);
    idem_close(store);
    return rc;
}

static int try_at(int port, const char *rest)
{
    char host[32];
    (void)snprintf(host, sizeof host, ANYWHERE ":%d", port);
    return try_to_open(host, rest);
}

/* Repeating does not help: it is told at once. */
static void assert_refused_at_once(int port, const char *rest, const char *says)
{
    uint64_t began_ms = idem_monotonic_ms();
    ck_assert_int_eq(try_at(port, rest), IDEM_ERR_UNAVAILABLE);
    assert_says(says);
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 4000);
}

/* ----------------------------------------------------------------------------- false sentinels */

/* Answers each question with the same address, or with nothing at all. */
typedef struct {
    int fd;
    int port;
    atomic_int master; /* 0: silent */
    atomic_int asked;
    atomic_bool ended;
    pthread_t thread;
} false_sentinel;

static void answer(false_sentinel *self, int fd)
{
    char buf[2048] = "";
    char reply[128];
    char digits[16];
    size_t len = 0;
    ssize_t count;
    while (!strstr(buf, "GET-MASTER") && len < sizeof buf - 1 &&
           (count = recv(fd, buf + len, sizeof buf - 1 - len, 0)) > 0)
        len += (size_t)count;
    (void)atomic_fetch_add(&self->asked, 1);
    int digits_len = snprintf(digits, sizeof digits, "%d", atomic_load(&self->master));
    int reply_len = snprintf(reply, sizeof reply, "*0\r\n*2\r\n$9\r\n" ANYWHERE "\r\n$%d\r\n%s\r\n",
                             digits_len, digits);
    if (atomic_load(&self->master))
        (void)loopback_send_all(fd, reply, (size_t)reply_len);
    while (recv(fd, buf, sizeof buf, 0) > 0) {
    }
    (void)close(fd);
}

static void *serve(void *user)
{
    false_sentinel *self = user;
    for (;;) {
        int fd = accept(self->fd, NULL, NULL);
        if (fd < 0 || atomic_load(&self->ended)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        answer(self, fd);
    }
}

static void false_sentinel_start(false_sentinel *self, int master)
{
    memset(self, 0, sizeof *self);
    atomic_store(&self->master, master);
    self->fd = loopback_listen(64, &self->port);
    ck_assert_int_ge(self->fd, 0);
    ck_assert_int_eq(pthread_create(&self->thread, NULL, serve, self), 0);
}

static void false_sentinel_stop(false_sentinel *self)
{
    atomic_store(&self->ended, true);
    int fd = loopback_dial(self->port); /* wakes it */
    (void)pthread_join(self->thread, NULL);
    if (fd >= 0)
        (void)close(fd);
    (void)close(self->fd);
}

/* ------------------------------------------------------------------------------------ the URL */

static const struct {
    const char *url;
    const char *says;
} malformed[] = {
    {"redis+sentinel:///shop", "names no sentinel"},
    {"redis+sentinel://a,b", "no name of a master"},
    {"redis+sentinel://a,b/", "no name of a master"},
    {"redis+sentinel://a//1", "no name of a master"},
    {"redis+sentinel://a,b/shop/x", "not the number of a database"},
    {"redis+sentinel://a,b/shop/1/2", "not the number of a database"},
    {"redis+sentinel://a,,b/shop", "list of hosts is malformed"},
    {"redis+sentinel://a,b:0/shop", "list of hosts is malformed"},
    {"redis+sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/shop", "more than 16 sentinels"},
    {"redis+sentinel://a,b/shop?sentinel_user=x", "no sentinel_password"},
    {"redis+sentinel://a,b/shop?sentinel_password=s3cret&sentinel_password_file=/x",
     "sentinel_password_file: keep one"},
    {"redis+sentinel://a,b/shop?sentinel_password_file=x", "absolute paths"},
    {"redis+sentinel://user@a,b/shop", "a user but no password"},
    {"valkey+sentinel://a,b", "no name of a master"},
    {"redis://a,b", "redis+sentinel://"},
    {"redis-sentinel://a,b/shop", "redis+sentinel://"},
    {"redis://a:1?sentinel_password=s3cret", "no option \"sentinel_password\""},
};

/* Before anything is connected to. */
START_TEST(a_malformed_url_is_told)
{
    char url[300];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "%s%copen=lazy", malformed[_i].url,
                   strchr(malformed[_i].url, '?') ? '&' : '?');
    int rc = idem_open(url, &store, &err);
    ck_assert_msg(rc == IDEM_ERR_ARGUMENT || rc == IDEM_ERR_UNKNOWN_BACKEND, "%d", rc);
    assert_says(malformed[_i].says);
    ck_assert_ptr_null(strstr(err.message, "s3cret"));
}
END_TEST

START_TEST(a_database_follows_the_masters_name)
{
    char url[SERVER_URL_SIZE + 4];
    idem_store *store = open_url(set.url, "");
    complete(store, "db-0", "0");
    idem_close(store);
    (void)snprintf(url, sizeof url, "%s/3", set.url);
    store = open_url(url, "");
    complete(store, "db-0", "3");
    assert_replays(store, "db-0", "3");
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------- who is asked */

START_TEST(sentinels_that_were_told_of_are_asked_when_those_of_the_url_are_gone)
{
    char hosts[64];
    char url[200];
    sentinel_set own;
    sentinel_set_start(&own, SENTINEL_SET_CALM_MS);
    (void)snprintf(hosts, sizeof hosts, ANYWHERE ":%d", own.sentinels[0].port);
    idem_store *store = open_url(url_of(url, sizeof url, hosts, SENTINEL_SET_MASTER), "");
    complete(store, "told-0", "1");
    server_kill(&own.sentinels[0]);
    for (int i = 1; i <= 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "told-%d", i);
        server_do(&own.nodes[0], "CLIENT KILL TYPE normal SKIPME yes");
        complete(store, key, "1");
    }
    idem_close(store);
    sentinel_set_remove(&own);
}
END_TEST

START_TEST(sentinels_that_are_down_or_silent_take_a_part_of_the_deadline)
{
    char hosts[200];
    char url[400];
    false_sentinel silent;
    false_sentinel_start(&silent, 0);
    (void)snprintf(hosts, sizeof hosts,
                   ANYWHERE ":1,[::1]:1,no.such.host.invalid,127.0.0.1:%d,"
                            "localhost:%d",
                   silent.port, lone.port);
    idem_store *store = NULL;
    url_of(url, sizeof url, hosts, SENTINEL_SET_MASTER "?timeout=5s&connect_timeout=4s");
    assert_in_time(5000, assert_ok(idem_open(url, &store, &err)));
    complete(store, "silent-0", "1");
    /* The one that answered is asked first now. */
    int before = atomic_load(&silent.asked);
    server_do(&set.nodes[0], "CLIENT KILL TYPE normal SKIPME yes");
    complete(store, "silent-1", "1");
    ck_assert_int_eq(atomic_load(&silent.asked), before);
    idem_close(store);
    false_sentinel_stop(&silent);
}
END_TEST

START_TEST(no_sentinel_at_all_is_an_error_by_the_deadline)
{
    false_sentinel silent;
    false_sentinel_start(&silent, 0);
    assert_in_time(500,
                   ck_assert_int_eq(try_to_open(ANYWHERE ":1,127.0.0.1:2", "shop?timeout=500ms"),
                                    IDEM_ERR_UNAVAILABLE));
    assert_says("none of 2 sentinels told the master");
    assert_in_time(
        500, ck_assert_int_eq(try_at(silent.port, "shop?timeout=500ms"), IDEM_ERR_UNAVAILABLE));
    assert_says("none of 1 sentinels told the master");
    false_sentinel_stop(&silent);
}
END_TEST

/* ----------------------------------------------------------------------------- what they refuse */

START_TEST(a_name_that_no_sentinel_knows_is_told_at_once)
{
    assert_refused_at_once(lone.port, "nobody", "knows no master of this name");
}
END_TEST

/* One that is down may know it. */
START_TEST(a_name_that_a_sentinel_may_know_is_waited_for)
{
    char hosts[64];
    (void)snprintf(hosts, sizeof hosts, ANYWHERE ":1," ANYWHERE ":%d", lone.port);
    uint64_t began_ms = idem_monotonic_ms();
    ck_assert_int_eq(try_to_open(hosts, "nobody?timeout=500ms"), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_ge(idem_monotonic_ms() - began_ms, 400);
}
END_TEST

START_TEST(a_server_that_is_no_sentinel_is_told_at_once)
{
    assert_refused_at_once(set.nodes[0].port, SENTINEL_SET_MASTER, "is no sentinel");
}
END_TEST

START_TEST(a_sentinel_that_wants_a_password_gets_its_own)
{
    server locked;
    char settings[600];
    char path[160];
    char rest[300];
    sentinel_set_watch(settings, sizeof settings, ANYWHERE, set.nodes[0].port);
    (void)snprintf(settings + strlen(settings), sizeof settings - strlen(settings),
                   "requirepass s3cret\nuser app on >t0ken allchannels +auth "
                   "+sentinel|get-master-addr-by-name\n");
    server_start_sentinel(&locked, settings);
    assert_refused_at_once(locked.port, SENTINEL_SET_MASTER, "wants a password");
    assert_refused_at_once(locked.port, SENTINEL_SET_MASTER "?sentinel_password=wr0ng",
                           "refused sentinel_user or sentinel_password");
    ck_assert_ptr_null(strstr(err.message, "wr0ng"));
    assert_ok(try_at(locked.port, SENTINEL_SET_MASTER "?sentinel_password=s3cret"));
    /* A user that may ask for nothing but the master. */
    assert_ok(
        try_at(locked.port, SENTINEL_SET_MASTER "?sentinel_user=app&sentinel_password=t0ken"));
    assert_refused_at_once(lone.port, SENTINEL_SET_MASTER "?sentinel_password=s3cret",
                           "has no password set");
    (void)snprintf(path, sizeof path, "%s/password", locked.folder);
    FILE *file = fopen(path, "w");
    ck_assert(file && fputs("s3cret\n", file) >= 0 && fclose(file) == 0);
    (void)snprintf(rest, sizeof rest, SENTINEL_SET_MASTER "?sentinel_password_file=%s", path);
    assert_ok(try_at(locked.port, rest));
    server_remove(&locked);
}
END_TEST

START_TEST(names_in_place_of_addresses_are_followed)
{
    server named;
    char settings[600] = "sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n";
    size_t len = strlen(settings);
    sentinel_set_watch(settings + len, sizeof settings - len, "localhost", set.nodes[0].port);
    server_start_sentinel(&named, settings);
    redisReply *reply = server_ask(&named, "SENTINEL GET-MASTER-ADDR-BY-NAME shop");
    ck_assert_str_eq(reply->element[0]->str, "localhost");
    freeReplyObject(reply);
    assert_ok(try_at(named.port, SENTINEL_SET_MASTER));
    server_remove(&named);
}
END_TEST

/* ------------------------------------------------------------------------------ who is believed */

/* A replica may take writes, and would be taken for the primary but for ROLE. */
START_TEST(a_replica_that_is_named_as_the_master_is_refused)
{
    false_sentinel behind;
    server_do(&set.nodes[1], "CONFIG SET replica-read-only no");
    false_sentinel_start(&behind, set.nodes[1].port);
    ck_assert_int_eq(try_at(behind.port, "shop?timeout=500ms"), IDEM_ERR_UNAVAILABLE);
    assert_says("was named as the master");
    assert_says("and is none");
    server_do(&set.nodes[1], "CONFIG SET replica-read-only yes");
    false_sentinel_stop(&behind);
}
END_TEST

START_TEST(a_sentinel_that_lies_behind_is_not_asked_again_and_again)
{
    char hosts[64];
    false_sentinel behind;
    false_sentinel_start(&behind, set.nodes[1].port);
    (void)snprintf(hosts, sizeof hosts, ANYWHERE ":%d,127.0.0.1:%d", behind.port, lone.port);
    ck_assert_msg(try_to_open(hosts, "shop?" PATIENT) == IDEM_OK, "%s", err.message);
    ck_assert_int_eq(atomic_load(&behind.asked), 1);
    false_sentinel_stop(&behind);
}
END_TEST

START_TEST(a_user_that_may_not_ask_for_the_role_is_told_at_once)
{
    server_do(&set.nodes[0], "ACL SETUSER mute on >pw ~* +@all -role");
    char url[300];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "redis+sentinel://mute:pw@" ANYWHERE ":%d/shop", lone.port);
    assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err));
    assert_says("+role");
    server_do(&set.nodes[0], "ACL DELUSER mute");
}
END_TEST

/* --------------------------------------------------------------------------------------- doctor */

typedef struct {
    char text[16384];
} findings;

static void collect(void *user, const idem_finding *finding)
{
    findings *all = user;
    size_t len = strlen(all->text);
    (void)snprintf(all->text + len, sizeof all->text - len, "%s -> %s\n", finding->what,
                   finding->fix);
}

static void examine(idem_store *store, findings *all)
{
    all->text[0] = '\0';
    assert_ok(idem_check(store, collect, all, &err));
}

static void assert_finds(const findings *all, const char *words, bool finds)
{
    ck_assert_msg((strstr(all->text, words) != NULL) == finds, "'%s' %s: %s", words,
                  finds ? "is missing" : "is there", all->text);
}

START_TEST(the_doctor_looks_at_sentinels_and_replicas)
{
    static findings all;
    sentinel_set own;
    sentinel_set_start(&own, 2000);
    idem_store *store = open_url(own.url, "replicas=1&" PATIENT);
    for (int i = 0; i < SENTINEL_SET_NODES; i++)
        server_do(&own.nodes[i], "CONFIG SET appendonly yes");
    examine(store, &all);
    assert_finds(&all, "append-only file", false);
    assert_finds(&all, "a sentinel can't be asked", false);
    assert_finds(&all, "enough sentinels", false);
    assert_finds(&all, "a replica can't be asked", false);
    assert_finds(&all, "the clock of", false);
    assert_finds(&all, "replicas=1 is asked for, and the server has 2", true);
    assert_finds(&all, "min-replicas-to-write", true);
    server_do(&own.nodes[1], "CONFIG SET appendonly no");
    server_do(&own.nodes[2], "CONFIG SET requirepass s3cret");
    server_kill(&own.sentinels[1]);
    server_kill(&own.sentinels[2]);
    redisReply *reply = NULL;
    do { /* it takes them for gone a while later */
        freeReplyObject(reply);
        wait_ms(20);
        reply = server_ask(&own.sentinels[0], "SENTINEL CKQUORUM shop");
    } while (reply->type != REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    examine(store, &all);
    assert_finds(&all, "has no append-only file", true);
    assert_finds(&all, "does not see enough sentinels for a failover: NOQUORUM", true);
    assert_finds(&all, "a sentinel can't be asked", true);
    assert_finds(&all, "a replica can't be asked", true);
    idem_close(store);
    store = open_url(own.url, "replicas=3&timeout=2s");
    examine(store, &all);
    assert_finds(&all, "replicas=3 is asked for, and the server has 2", true);
    idem_close(store);
    sentinel_set_remove(&own);
}
END_TEST

/* All servers may have one port, each on a host of its own. */
START_TEST(the_doctor_finds_a_sentinel_that_names_another_host)
{
    static findings all;
    server other;
    char settings[400];
    char url[300];
    sentinel_set_watch(settings, sizeof settings, "127.0.0.2", set.nodes[0].port);
    server_start_sentinel(&other, settings);
    (void)snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/shop", lone.port,
                   other.port);
    idem_store *store = open_url(url, PATIENT);
    examine(store, &all);
    assert_finds(&all, "names another primary", true);
    idem_close(store);
    server_remove(&other);
}
END_TEST

START_TEST(a_sentinel_that_is_opened_as_a_server_says_so_at_once)
{
    char url[100];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", lone.port);
    assert_code(IDEM_ERR_UNSUPPORTED, idem_open(url, &store, &err));
    assert_says("write redis+sentinel://");
}
END_TEST

/* As after a failover whose clients nobody has cut off. */
START_TEST(a_connection_to_a_master_that_became_a_replica_is_dropped)
{
    server old;
    server new;
    false_sentinel named;
    char hosts[32];
    char url[200];
    server_start(&old, NULL);
    server_start(&new, NULL);
    false_sentinel_start(&named, old.port);
    (void)snprintf(hosts, sizeof hosts, ANYWHERE ":%d", named.port);
    idem_store *store = open_url(url_of(url, sizeof url, hosts, "shop"), "");
    complete(store, "demoted-0", "1");
    server_do(&old, "REPLICAOF 127.0.0.1 %d", new.port);
    atomic_store(&named.master, new.port);
    complete(store, "demoted-1", "1");
    ck_assert_int_eq(server_number(&new, "EXISTS demoted-1"), 1);
    idem_close(store);
    false_sentinel_stop(&named);
    server_remove(&old);
    server_remove(&new);
}
END_TEST

int main(void)
{
    char settings[600];
    Suite *suite = suite_create("redis sentinel");
    server_require();
    sentinel_set_start(&set, SENTINEL_SET_CALM_MS);
    sentinel_set_watch(settings, sizeof settings, ANYWHERE, set.nodes[0].port);
    server_start_sentinel(&lone, settings);
    ADD_ROWS(suite, a_malformed_url_is_told, malformed);
    ADD(suite, a_database_follows_the_masters_name);
    ADD(suite, sentinels_that_were_told_of_are_asked_when_those_of_the_url_are_gone);
    ADD(suite, sentinels_that_are_down_or_silent_take_a_part_of_the_deadline);
    ADD(suite, no_sentinel_at_all_is_an_error_by_the_deadline);
    ADD(suite, a_name_that_no_sentinel_knows_is_told_at_once);
    ADD(suite, a_name_that_a_sentinel_may_know_is_waited_for);
    ADD(suite, a_server_that_is_no_sentinel_is_told_at_once);
    ADD(suite, a_sentinel_that_wants_a_password_gets_its_own);
    ADD(suite, names_in_place_of_addresses_are_followed);
    ADD(suite, a_replica_that_is_named_as_the_master_is_refused);
    ADD(suite, a_sentinel_that_lies_behind_is_not_asked_again_and_again);
    ADD(suite, a_user_that_may_not_ask_for_the_role_is_told_at_once);
    ADD(suite, a_connection_to_a_master_that_became_a_replica_is_dropped);
    ADD(suite, the_doctor_looks_at_sentinels_and_replicas);
    ADD(suite, the_doctor_finds_a_sentinel_that_names_another_host);
    ADD(suite, a_sentinel_that_is_opened_as_a_server_says_so_at_once);
    return run_suite(suite);
}
