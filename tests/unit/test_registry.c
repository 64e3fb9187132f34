/* SPDX-License-Identifier: MIT */
/* Schemes and backends: built in, left out, registered at run time, refused. */
#include <idem/backend.h>

#include "registry.h"
#include "runner.h"

#include <stdio.h>
#include <string.h>

static int open_nothing(const idem_config *config, idem_backend **backend, idem_error *error)
{
    (void)backend;
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE, "%s: there is nothing", config->scheme);
}

static int submit_nothing(idem_backend *backend, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms, idem_error *error)
{
    (void)backend, (void)ops, (void)count, (void)deadline_ms, (void)error;
    return IDEM_OK;
}

static void close_nothing(idem_backend *backend)
{
    (void)backend;
}

static idem_backend_ops complete_ops(const char *scheme)
{
    return (idem_backend_ops){.size = sizeof(idem_backend_ops),
                              .scheme = scheme,
                              .open = open_nothing,
                              .submit = submit_nothing,
                              .close = close_nothing};
}

static void assert_refused(const idem_backend_ops *ops, const char *says)
{
    idem_error error = {0};
    ck_assert_int_eq(idem_backend_register(ops, &error), IDEM_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, says) != NULL, "%s", error.message);
}

START_TEST(an_unknown_scheme_lists_the_known_ones)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(idem_open("mysql://u:hunter2@h/db", &store, &error), IDEM_ERR_UNKNOWN_BACKEND);
    ck_assert_ptr_nonnull(strstr(error.message, "mysql"));
    ck_assert_ptr_nonnull(strstr(error.message, "memory"));
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
    ck_assert_ptr_null(store);
}
END_TEST

static const char *const hints[][2] = {
    {"redis+tls://u:hunter2@h", "by rediss://"},
    {"redis-sentinel://u:hunter2@h/m", "redis+sentinel://host1,host2/master_name"},
    {"valkeys-sentinel://u:hunter2@h/m", "redis+sentinel://host1,host2/master_name"},
    {"sentinel://h1:26379,h2/m", "redis+sentinel://host1,host2/master_name"},
    {"redis-cluster://:hunter2@h1,h2", "redis+cluster://host1:port,host2:port"},
    {"valkey-cluster://h", "redis+cluster://host1:port,host2:port"},
    {"redis-socket:///run/redis.sock", "redis+unix:///"},
    {"unix:///run/redis.sock", "redis+unix:///"},
    {"sqlite3:///var/idem.db", "sqlite:///"},
};

START_TEST(what_people_type_for_a_scheme_gets_a_hint)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(idem_open(hints[_i][0], &store, &error), IDEM_ERR_UNKNOWN_BACKEND);
    ck_assert_msg(strstr(error.message, hints[_i][1]) != NULL, "%s", error.message);
    ck_assert_ptr_nonnull(strstr(error.message, "known ones: memory"));
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
}
END_TEST

static bool is_listed(const char *scheme)
{
    const idem_backend_ops *ops;
    for (size_t i = 0; (ops = idem_backend_at(i)) != NULL; i++) {
        if (strcmp(ops->scheme, scheme) == 0)
            return true;
    }
    return false;
}

START_TEST(a_second_name_is_found_and_not_listed)
{
    const idem_backend_ops *ops = NULL;
    idem_error error = {0};
    int rc = idem__registry_find("postgres", &ops, &error);
    ck_assert_int_eq(rc, is_listed("postgresql") ? IDEM_OK : IDEM_ERR_UNKNOWN_BACKEND);
    if (rc == IDEM_OK)
        ck_assert_str_eq(ops->scheme, "postgresql");
    ck_assert(!is_listed("postgres"));
}
END_TEST

START_TEST(several_hosts_are_refused_where_one_is_taken)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(idem_open("memory://a,b", &store, &error), IDEM_OK);
    idem_close(store);
    if (!is_listed("redis"))
        return;
    ck_assert_int_eq(idem_open("redis://u:hunter2@h1:1,h2:2/0", &store, &error), IDEM_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, "several hosts"));
    ck_assert_ptr_null(strstr(error.message, "hunter2"));
}
END_TEST

/* In a build that has them all, this shows that they are all there. */
START_TEST(a_backend_that_was_left_out_says_how_to_bring_it_back)
{
    static const char *const known[][2] = {
        {"postgresql", "IDEM_BACKEND_POSTGRES"}, {"redis", "IDEM_BACKEND_REDIS"},
        {"redis+unix", "IDEM_BACKEND_REDIS"},    {"rediss", "IDEM_REDIS_TLS"},
        {"sqlite", "IDEM_BACKEND_SQLITE"},       {"valkey", "IDEM_BACKEND_REDIS"},
        {"valkey+unix", "IDEM_BACKEND_REDIS"},   {"valkeys", "IDEM_REDIS_TLS"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const idem_backend_ops *ops = NULL;
        idem_error error = {0};
        int rc = idem__registry_find(known[i][0], &ops, &error);
        char scheme[16] = "redis"; /* which another name stands for */
        bool other = strncmp(known[i][0], "valkey", 6) == 0;
        (void)snprintf(scheme, sizeof scheme, "%s%s", other ? "redis" : "",
                       known[i][0] + (other ? 6 : 0));
        ck_assert_int_eq(rc, is_listed(scheme) ? IDEM_OK : IDEM_ERR_UNKNOWN_BACKEND);
        if (rc == IDEM_OK) {
            ck_assert_str_eq(ops->scheme, scheme);
            continue;
        }
        ck_assert_ptr_nonnull(strstr(error.message, "left out of this build"));
        ck_assert_ptr_nonnull(strstr(error.message, known[i][1]));
        ck_assert_ptr_nonnull(strstr(error.message, "memory"));
    }
}
END_TEST

START_TEST(a_registered_backend_is_found_and_listed_in_order)
{
    static const char *const schemes[] = {"zeta", "alpha", "nothing"};
    idem_store *store = NULL;
    idem_error error;
    for (int i = 0; i < 3; i++) {
        idem_backend_ops ops = complete_ops(schemes[i]);
        ck_assert_int_eq(idem_backend_register(&ops, &error), IDEM_OK);
    }
    ck_assert_int_eq(idem_open("nothing:x", &store, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(error.message, "nothing: there is nothing");
    size_t count = 0;
    const idem_backend_ops *last = NULL;
    for (const idem_backend_ops *ops; (ops = idem_backend_at(count)) != NULL; count++) {
        ck_assert(!last || strcmp(last->scheme, ops->scheme) < 0);
        last = ops;
    }
    ck_assert_uint_ge(count, 4);
    idem_backend_ops twice = complete_ops("alpha");
    assert_refused(&twice, "taken");
}
END_TEST

START_TEST(incomplete_backends_are_refused)
{
    idem_backend_ops ops = complete_ops("memory");
    assert_refused(&ops, "taken");
    ops = complete_ops("sqlite");
    assert_refused(&ops, "taken");
    ops = complete_ops("valkey");
    assert_refused(&ops, "taken");
    ops = complete_ops("incomplete");
    ops.submit = NULL;
    assert_refused(&ops, "must be provided");
    ops = complete_ops("incomplete");
    ops.params_count = 1;
    assert_refused(&ops, "no table");
    ops.size = 0;
    assert_refused(&ops, "size");
    assert_refused(NULL, "size");
    static const char *const malformed[] = {
        "", "Upper", "1x", "a b", "a:b", NULL, "a23456789012345678901234567890123456789012345"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        ops = complete_ops(malformed[i]);
        assert_refused(&ops, "scheme");
    }
}
END_TEST

/* A backend compiled against an older header has a smaller table: what it lacks is not called. */
START_TEST(an_older_backend_is_filled_up_with_zeros)
{
    struct {
        idem_backend_ops ops;
    } old = {complete_ops("older")};
    idem_backend_ops adopted;
    old.ops.at_fork = (void (*)(idem_backend *, idem_fork_phase))(uintptr_t)1;
    old.ops.size = offsetof(idem_backend_ops, at_fork);
    ck_assert_int_eq(idem__registry_adopt(&old.ops, &adopted, NULL), IDEM_OK);
    ck_assert(adopted.close == close_nothing && !adopted.at_fork);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("registry");
    ADD_ROWS(suite, what_people_type_for_a_scheme_gets_a_hint, hints);
    ADD(suite, an_unknown_scheme_lists_the_known_ones);
    ADD(suite, a_second_name_is_found_and_not_listed);
    ADD(suite, several_hosts_are_refused_where_one_is_taken);
    ADD(suite, a_backend_that_was_left_out_says_how_to_bring_it_back);
    ADD(suite, a_registered_backend_is_found_and_listed_in_order);
    ADD(suite, incomplete_backends_are_refused);
    ADD(suite, an_older_backend_is_filled_up_with_zeros);
    return run_suite(suite);
}
