/* SPDX-License-Identifier: MIT */
/* Passwords that come from the program, and those that stop to be right. */
#include "between.h"

#include <stdatomic.h>

#define SECRET "s3cr3t"

typedef struct {
    atomic_int calls;
    int wrong; /* so many times, at first */
    int fails;
    const char *password;
} vault;

static int give(void *user, idem_credentials *credentials)
{
    vault *self = user;
    int call = atomic_fetch_add(&self->calls, 1);
    ck_assert_uint_eq(credentials->size, sizeof *credentials);
    ck_assert_str_eq(credentials->password, "");
    if (call < self->fails)
        return -1;
    (void)snprintf(credentials->user, sizeof credentials->user, "app");
    (void)snprintf(credentials->password, sizeof credentials->password, "%s",
                   call < self->fails + self->wrong ? "wrong-" SECRET : self->password);
    return 0;
}

static int open_with(vault *from, const char *format, idem_store **opened)
{
    char url[200];
    idem_options options = {.size = sizeof options, .credentials = give, .credentials_user = from};
    (void)snprintf(url, sizeof url, format, redis.port);
    *opened = NULL;
    int rc = idem_open_with(url, &options, opened, &err);
    ck_assert_msg(!strstr(err.message, SECRET), "the secret is in: %s", err.message);
    return rc;
}

static void set_up_user(void)
{
    server_do(&redis, "ACL SETUSER app reset on >%s ~* +@all", SECRET "-1");
    set_up();
}

START_TEST(they_are_asked_for_at_each_connect)
{
    vault from = {.password = SECRET "-1"};
    idem_store *opened;
    assert_ok(open_with(&from, "redis://127.0.0.1:%d?" PATIENT, &opened));
    complete(opened, "first", "1");
    ck_assert_int_eq(atomic_load(&from.calls), 1);
    server_do(&redis, "ACL SETUSER app resetpass >%s", SECRET "-2");
    from.password = SECRET "-2";
    server_do(&redis, "CLIENT KILL TYPE normal SKIPME yes");
    complete(opened, "second", "1");
    ck_assert_int_eq(atomic_load(&from.calls), 2);
    idem_close(opened);
}
END_TEST

START_TEST(refused_ones_are_asked_for_once_more)
{
    vault from = {.password = SECRET "-1", .wrong = 1};
    idem_store *opened;
    assert_ok(open_with(&from, "redis://127.0.0.1:%d?" PATIENT, &opened));
    ck_assert_int_eq(atomic_load(&from.calls), 2);
    idem_close(opened);
}
END_TEST

START_TEST(wrong_ones_are_told_at_once)
{
    vault from = {.password = SECRET "-1", .wrong = 100};
    idem_store *opened;
    assert_code(IDEM_ERR_UNAVAILABLE, open_with(&from, "redis://127.0.0.1:%d?" PATIENT, &opened));
    assert_says("callback `credentials`");
    ck_assert_int_eq(atomic_load(&from.calls), 2);
}
END_TEST

START_TEST(none_are_waited_for_until_the_deadline)
{
    vault from = {.password = SECRET "-1", .fails = 3};
    idem_store *opened;
    assert_ok(open_with(&from, "redis://127.0.0.1:%d?" PATIENT, &opened));
    ck_assert_int_eq(atomic_load(&from.calls), 4);
    idem_close(opened);
    from = (vault){.password = ""};
    assert_in_time(300,
                   assert_code(IDEM_ERR_UNAVAILABLE,
                               open_with(&from, "redis://127.0.0.1:%d?timeout=300ms", &opened)));
    assert_says("gave no password");
}
END_TEST

static const struct {
    const char *url;
    int code;
    const char *says;
} misfits[] = {
    {"redis://:" SECRET "@127.0.0.1:%d", IDEM_ERR_ARGUMENT, "callback credentials"},
    {"redis://127.0.0.1:%d?password_file=/x", IDEM_ERR_ARGUMENT, "callback credentials"},
    {"memory://n%d", IDEM_ERR_UNSUPPORTED, "takes no credentials"},
};

START_TEST(two_sources_and_none_that_is_asked_are_told)
{
    vault from = {.password = SECRET "-1"};
    idem_store *opened;
    assert_code(misfits[_i].code, open_with(&from, misfits[_i].url, &opened));
    assert_says(misfits[_i].says);
    ck_assert_int_eq(atomic_load(&from.calls), 0);
}
END_TEST

static const char *const refusals[] = {"-NOAUTH Authentication required.\r\n",
                                       "-WRONGPASS invalid username-password pair\r\n"};

/* A connection that was greeted has lost its rights, as where tokens run out under way. */
START_TEST(a_connection_that_is_refused_later_logs_on_anew)
{
    proxy_add(
        between,
        (proxy_rule){.match = SCRIPT, .action = PROXY_ANSWER, .times = 1, .text = refusals[_i]});
    complete(store, "later", "1");
    ck_assert_int_eq(proxy_hits(between), 1);
    ck_assert_int_eq(proxy_connections(between), 2);
}
END_TEST

#define ADD_USER(suite, test, rows)                                \
    do {                                                           \
        TCase *tcase_ = tcase_create(#test);                       \
        tcase_set_timeout(tcase_, 60);                             \
        tcase_add_checked_fixture(tcase_, set_up_user, tear_down); \
        tcase_add_loop_test(tcase_, test, 0, rows);                \
        suite_add_tcase(suite, tcase_);                            \
    } while (0)

int main(void)
{
    Suite *suite = suite_create("redis credentials");
    server_require();
    server_start(&redis, NULL);
    ADD_USER(suite, they_are_asked_for_at_each_connect, 1);
    ADD_USER(suite, refused_ones_are_asked_for_once_more, 1);
    ADD_USER(suite, wrong_ones_are_told_at_once, 1);
    ADD_USER(suite, none_are_waited_for_until_the_deadline, 1);
    ADD_USER(suite, two_sources_and_none_that_is_asked_are_told, 3);
    ADD_USER(suite, a_connection_that_is_refused_later_logs_on_anew, 2);
    return run_suite(suite);
}
