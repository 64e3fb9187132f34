/* SPDX-License-Identifier: MIT */
/*
 * A cluster's instance whose slots the test calls by itself, as the store's engine does: one
 * descriptor for all nodes, and a node that says nothing holds up nobody else.
 */
#include "cluster_set.h"
#include "redis_test.h"

#include "redis/key_slot.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#define ANSWER_MS 20000 /* no answer takes so long on any machine */
#define OPS       60

extern const idem_backend_ops idem__redis_cluster_backend;

static const idem_backend_ops *const table = &idem__redis_cluster_backend;
static cluster_set cluster;
static idem_backend *backend;
static char keys[OPS][16];
static idem_record records[OPS];
static idem_op ops[OPS];

static void open_instance(void)
{
    static idem_value values[8];
    static idem_config config;
    memset(values, 0, sizeof values);
    values[0].number = ANSWER_MS; /* connect_timeout */
    config = (idem_config){.size = sizeof config,
                           .scheme = table->scheme,
                           .host = cluster.url + strlen("redis+cluster://"),
                           .role = IDEM_ROLE_ANY,
                           .values = values,
                           .display = "cluster",
                           .deadline_ms = idem_monotonic_ms() + ANSWER_MS};
    err = (idem_error){0};
    ck_assert_msg(table->open(&config, &backend, &err) == IDEM_OK, "%s", err.message);
}

/* Inserts of keys that are all over the slots. */
static void make_ops(idem_op_kind kind)
{
    for (unsigned i = 0; i < OPS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "slots-%u", i);
        records[i] = (idem_record){.key = idem_str(keys[i]),
                                   .version = i + 1,
                                   .status = IDEM_STATUS_IN_PROGRESS,
                                   .attempt = 1,
                                   .lease_ms = LONG_MS,
                                   .ttl_ms = LONG_MS,
                                   .created_at_ms = 1,
                                   .updated_at_ms = 1};
        memcpy(records[i].token, TOKEN, sizeof records[i].token);
        ops[i] = (idem_op){.kind = kind, .key = idem_str(keys[i]), .live_ms = LONG_MS};
        if (kind == IDEM_OP_INSERT)
            ops[i].record = &records[i];
    }
}

static void clear_ops(void)
{
    for (unsigned i = 0; i < OPS; i++)
        idem_record_clear(&ops[i].found);
}

static size_t node_of(const idem_op *op)
{
    return idem__redis_key_slot(op->key) * 3 / CLUSTER_SLOTS;
}

static void set_up(void)
{
    cluster_flush(&cluster);
    open_instance();
}

static void tear_down(void)
{
    clear_ops();
    table->close(backend);
}

static void connect_it(void)
{
    err = (idem_error){0};
    ck_assert_msg(table->connect(backend, idem_monotonic_ms() + ANSWER_MS, &err) == IDEM_OK, "%s",
                  err.message);
}

static void send_all(void)
{
    idem_op *pointers[OPS];
    for (unsigned i = 0; i < OPS; i++)
        pointers[i] = &ops[i];
    ck_assert_uint_eq(table->send(backend, pointers, OPS), OPS);
}

/* Receives so many ops by polling the one descriptor. @return as receive */
static int receive(size_t wanted, idem_op **done)
{
    size_t count = 0;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && count < wanted) {
        idem_wants wants;
        size_t got = 0;
        table->wants(backend, &wants);
        ck_assert_int_ge(wants.fd, 3);
        struct pollfd entry = {.fd = wants.fd, .events = POLLIN};
        if (!wants.at_once)
            ck_assert_int_eq(poll(&entry, 1, ANSWER_MS), 1);
        err = (idem_error){0};
        rc = table->receive(backend, done + count, wanted - count, &got, &err);
        count += got;
    }
    return rc;
}

static size_t count_of(size_t node)
{
    size_t count = 0;
    for (unsigned i = 0; i < OPS; i++)
        count += node_of(&ops[i]) == node;
    return count;
}

START_TEST(ops_go_to_all_nodes_and_come_back_through_one_descriptor)
{
    idem_op *done[OPS];
    for (int round = 0; round < 3; round++) {
        make_ops(round == 0 ? IDEM_OP_INSERT : IDEM_OP_GET);
        connect_it();
        send_all();
        ck_assert_int_eq(receive(OPS, done), IDEM_OK);
        for (unsigned i = 0; i < OPS; i++) {
            ck_assert_msg(ops[i].error.code == IDEM_OK, "%s", ops[i].error.message);
            ck_assert(round == 0 ? ops[i].applied
                                 : ops[i].has_found && ops[i].found.version == i + 1);
        }
        clear_ops();
    }
}
END_TEST

/* Row 1: it was connected before. */
START_TEST(a_node_that_says_nothing_holds_up_nobody_else)
{
    idem_op *done[OPS];
    size_t count = 0;
    make_ops(IDEM_OP_INSERT);
    size_t silent = count_of(1);
    if (_i == 1) {
        send_all();
        ck_assert_int_eq(receive(OPS, done), IDEM_OK);
        make_ops(IDEM_OP_GET);
    }
    ck_assert_int_eq(kill(cluster.nodes[1].pid, SIGSTOP), 0);
    assert_in_time(100, send_all());
    ck_assert_int_eq(receive(OPS - silent, done), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++) {
        bool answered = ops[i].applied || ops[i].has_found;
        ck_assert_int_eq(answered, node_of(&ops[i]) != 1);
        if (!answered)
            table->abandon(backend, &ops[i]);
    }
    ck_assert_int_eq(kill(cluster.nodes[1].pid, SIGCONT), 0);
    clear_ops();
    make_ops(IDEM_OP_GET);
    connect_it();
    send_all();
    ck_assert_int_eq(receive(OPS, done), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++)
        count += ops[i].error.code == IDEM_OK && ops[i].has_found;
    ck_assert_uint_ge(count, OPS - silent);
}
END_TEST

START_TEST(what_is_dropped_is_given_back_and_a_connect_makes_it_good)
{
    idem_op *done[OPS];
    make_ops(IDEM_OP_INSERT);
    send_all();
    ck_assert_int_eq(receive(OPS, done), IDEM_OK);
    make_ops(IDEM_OP_INSERT);
    ck_assert_int_eq(kill(cluster.nodes[1].pid, SIGSTOP), 0);
    send_all();
    wait_ms(200);
    table->drop(backend);
    ck_assert_int_ne(receive(OPS, done), IDEM_OK);
    ck_assert_int_eq(kill(cluster.nodes[1].pid, SIGCONT), 0);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_int_eq(ops[i].error.code, IDEM_ERR_UNCERTAIN);
    clear_ops();
    make_ops(IDEM_OP_GET);
    connect_it();
    send_all();
    ck_assert_int_eq(receive(OPS, done), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_msg(ops[i].has_found, "%d %s", ops[i].error.code, ops[i].error.message);
}
END_TEST

/* Nothing is due on them: whoever polls would be woken for ever. */
START_TEST(a_connection_at_rest_that_ends_is_noticed)
{
    idem_op *done[OPS];
    idem_wants wants;
    make_ops(IDEM_OP_INSERT);
    send_all();
    ck_assert_int_eq(receive(OPS, done), IDEM_OK);
    for (size_t i = 0; i < 3; i++)
        server_do(&cluster.nodes[i], "CLIENT KILL TYPE normal");
    table->wants(backend, &wants);
    struct pollfd entry = {.fd = wants.fd, .events = POLLIN};
    for (int i = 0; i < 1000 && poll(&entry, 1, 100) == 1; i++) {
        size_t count = 0;
        ck_assert_int_eq(table->receive(backend, done, OPS, &count, &err), IDEM_OK);
        wait_ms(1);
    }
    ck_assert_int_eq(poll(&entry, 1, 0), 0);
    make_ops(IDEM_OP_GET);
    send_all();
    ck_assert_int_eq(receive(OPS, done), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_msg(ops[i].has_found, "%d %s", ops[i].error.code, ops[i].error.message);
}
END_TEST

/* By the deadline, whatever connect_timeout says. */
START_TEST(a_cluster_that_says_nothing_is_given_up_by_the_deadline)
{
    char url[SERVER_URL_SIZE + 60];
    idem_store *store = NULL;
    (void)snprintf(url, sizeof url, "%s?timeout=300ms&connect_timeout=20s", cluster.url);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(kill(cluster.nodes[i].pid, SIGSTOP), 0);
    assert_in_time(300, assert_code(IDEM_ERR_UNAVAILABLE, idem_open(url, &store, &err)));
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(kill(cluster.nodes[i].pid, SIGCONT), 0);
    assert_ok(idem_open(cluster.url, &store, &err));
    complete(store, "a", "1");
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(kill(cluster.nodes[i].pid, SIGSTOP), 0);
    idem_outcome out;
    assert_in_time(300, ck_assert_int_ne(
                            idem_begin(store, IDEM_REQUEST(.key = idem_str("b"), .timeout_ms = 300),
                                       &out, &err),
                            IDEM_OK));
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(kill(cluster.nodes[i].pid, SIGCONT), 0);
    assert_begin(store, "a", IDEM_COMPLETED);
    idem_close(store);
}
END_TEST

static int submit_all(uint64_t deadline_ms)
{
    idem_op *pointers[OPS];
    for (unsigned i = 0; i < OPS; i++)
        pointers[i] = &ops[i];
    err = (idem_error){0};
    return table->submit(backend, pointers, OPS, deadline_ms, &err);
}

/* What wraps a backend has nothing but this. */
START_TEST(a_batch_for_a_caller_that_waits_is_whole_by_its_deadline)
{
    make_ops(IDEM_OP_INSERT);
    ck_assert_int_eq(submit_all(idem_monotonic_ms() + ANSWER_MS), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_msg(ops[i].applied, "%s", ops[i].error.message);
    make_ops(IDEM_OP_GET);
    ck_assert_int_eq(submit_all(idem_monotonic_ms() + ANSWER_MS), IDEM_OK);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert_uint_eq(ops[i].found.version, i + 1);
    clear_ops();
    ck_assert_int_eq(kill(cluster.nodes[0].pid, SIGSTOP), 0);
    make_ops(IDEM_OP_GET);
    ck_assert_int_eq(submit_all(idem_monotonic_ms() + 300), IDEM_OK);
    ck_assert_int_eq(kill(cluster.nodes[0].pid, SIGCONT), 0);
    for (unsigned i = 0; i < OPS; i++)
        ck_assert(ops[i].has_found || ops[i].error.code == IDEM_ERR_UNAVAILABLE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis cluster slots");
    /* A node that is stopped for a moment is not to be replaced: there are no replicas. */
    static const char *const patient[] = {"--cluster-node-timeout", "30000", NULL};
    server_require();
    cluster_start(&cluster, 3, 0, patient);
    ADD_HERE(suite, ops_go_to_all_nodes_and_come_back_through_one_descriptor, 1);
    ADD_HERE(suite, a_node_that_says_nothing_holds_up_nobody_else, 2);
    ADD_HERE(suite, what_is_dropped_is_given_back_and_a_connect_makes_it_good, 1);
    ADD_HERE(suite, a_connection_at_rest_that_ends_is_noticed, 1);
    ADD_HERE(suite, a_batch_for_a_caller_that_waits_is_whole_by_its_deadline, 1);
    ADD_HERE(suite, a_cluster_that_says_nothing_is_given_up_by_the_deadline, 1);
    return run_suite(suite);
}
