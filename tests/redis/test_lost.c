/* SPDX-License-Identifier: MIT */
/*
 * Connections that are given up, blocked, out of step or closed while ops are in flight, or none
 * are: each op has the code that is true, and the next connection serves. What holds for every
 * connection is shown over TLS as well.
 */
#include "slots.h"

#include <sys/socket.h>

#define BIG (8u << 20)

/* -------------------------------------------------------------------------- with ops in flight */

START_TEST(a_dropped_connection_gives_all_back)
{
    const server *at = choose_way(_i);
    idem_record record = make_record(7, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "new", &record), make_op(IDEM_OP_GET, "none", NULL),
                     make_op(IDEM_OP_REMOVE, "none", NULL)};
    static const int codes[] = {IDEM_ERR_UNCERTAIN, IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN};
    idem_op *done[3];
    size_t count = 0;
    connect_again();
    freeze(at);
    send_all(ops, 2);
    send_all(ops + 2, 1);
    int fd = wants().fd;
    ops_of->drop(backend);
    ck_assert_int_eq(wants().fd, fd);
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&entry, 1, 0), 1); /* whoever polls it is woken */
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(receive_once(done, 1, &count), IDEM_ERR_UNAVAILABLE);
        assert_says("did not answer");
        ck_assert_uint_eq(count, 1);
        ck_assert_ptr_eq(done[0], &ops[i]);
        ck_assert_int_eq(ops[i].error.code, codes[i]);
        ck_assert(wants().fd == -1 && wants().at_once == (i < 2));
    }
    go_on(at);
    idem_op again = make_op(IDEM_OP_GET, "none", NULL);
    carry_out(&again, 1);
    ck_assert_int_eq(again.error.code, IDEM_OK);
}
END_TEST

/* Told by the next receive, each op with its code. */
START_TEST(without_a_connection_nothing_was_sent)
{
    idem_record record = make_record(7, idem_str(""));
    idem_op op = make_op(IDEM_OP_INSERT, "new", &record);
    idem_op *done[2];
    size_t count = 0;
    const server *at = choose_way(_i);
    ops_of->drop(backend);
    ck_assert_int_ne(receive_once(done, 2, &count), IDEM_OK);
    send_all(&op, 1);
    ck_assert_int_eq(receive_once(done, 2, &count), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 1);
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(server_number(at, "EXISTS new"), 0);
}
END_TEST

/* A value that the socket does not take at once goes out bit by bit, and nothing else meanwhile. */
START_TEST(what_the_socket_does_not_take_is_sent_later)
{
    static char response[BIG];
    const server *at = choose_way(_i);
    memset(response, '7', sizeof response);
    idem_record large = make_record(7, (idem_bytes){response, sizeof response});
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "large", &large), make_op(IDEM_OP_GET, "large", NULL)};
    idem_op *second = &ops[1];
    idem_op *done[2];
    connect_again();
    int small = 4096;
    ck_assert_int_eq(setsockopt(wants().fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    send_all(ops, 1);
    ck_assert(wants().write && wants().read);
    ck_assert_uint_eq(ops_of->send(backend, &second, 1), 0);
    receive_count(done, 1);
    ck_assert_msg(ops[0].applied, "%s", ops[0].error.message);
    ck_assert(!wants().write);
    send_all(second, 1);
    receive_count(done, 1);
    ck_assert(second->has_found && second->found.response.len == sizeof response);
    ck_assert(memcmp(second->found.response.data, response, sizeof response) == 0);
    ck_assert_int_gt(server_number(at, "STRLEN large"), (int)sizeof response);
    clear_ops(ops, 2);
}
END_TEST

/* One that was not sent in full, and is given up: the server has not carried it out. */
START_TEST(what_was_sent_in_part_is_uncertain_and_the_rest_unavailable)
{
    static char response[BIG];
    const server *at = choose_way(_i);
    memset(response, '7', sizeof response);
    idem_record large = make_record(7, (idem_bytes){response, sizeof response});
    idem_record record = make_record(7, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "large", &large),
                     make_op(IDEM_OP_INSERT, "small", &record)};
    idem_op *pointers[] = {&ops[1], &ops[0]};
    idem_op *done[2];
    size_t count = 0;
    int small = 4096;
    connect_again();
    ck_assert_int_eq(setsockopt(wants().fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    freeze(at);
    ck_assert_uint_eq(ops_of->send(backend, pointers, 2), 2);
    ops_of->drop(backend);
    ck_assert_int_eq(receive_all(done, 2, &count), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(ops[1].error.code, IDEM_ERR_UNCERTAIN);
    ck_assert(ops[0].error.code == IDEM_ERR_UNCERTAIN || (_i > 0 && ops[0].error.code));
    go_on(at);
    ck_assert_int_eq(server_number(at, "EXISTS large"), 0);
}
END_TEST

START_TEST(what_was_not_sent_is_unavailable)
{
    static char response[100000];
    idem_op ops[8];
    idem_op *done[8];
    char keys[8][16];
    size_t count = 0;
    int small = 4096;
    memset(response, '7', sizeof response);
    idem_record large = make_record(7, (idem_bytes){response, sizeof response});
    for (size_t i = 0; i < 8; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "large-%u", (unsigned)i);
        ops[i] = make_op(IDEM_OP_INSERT, keys[i], &large);
    }
    connect_again();
    ck_assert_int_eq(setsockopt(wants().fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    freeze(&redis);
    send_all(ops, 8); /* in which no time is given to anybody to take it all */
    ck_assert(wants().write);
    ops_of->drop(backend);
    ck_assert_int_eq(receive_all(done, 8, &count), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 8);
    ck_assert_int_eq(ops[0].error.code, IDEM_ERR_UNCERTAIN);
    ck_assert_int_eq(ops[7].error.code, IDEM_ERR_UNAVAILABLE);
    go_on(&redis);
}
END_TEST

/* The answers after it may all be those of the neighbours; those before it were confirmed. */
START_TEST(a_stray_reply_between_batches_makes_all_that_follows_uncertain)
{
    static const char *const strays[] = {"$-1\r\n", "+OK\r\n", ":1\r\n"};
    idem_record record = make_record(7, idem_str(""));
    idem_op ops[] = {
        make_op(IDEM_OP_INSERT, "first-1", &record), make_op(IDEM_OP_INSERT, "second-1", &record),
        make_op(IDEM_OP_GET, "second-2", NULL), make_op(IDEM_OP_REMOVE, "third-1", NULL)};
    static const int codes[] = {IDEM_OK, IDEM_ERR_UNCERTAIN, IDEM_ERR_UNAVAILABLE,
                                IDEM_ERR_UNCERTAIN};
    idem_op *done[4];
    size_t count = 0;
    connect_again();
    proxy_add(between, (proxy_rule){.match = "second-1",
                                    .action = PROXY_STRAY_BEFORE,
                                    .times = 1,
                                    .text = strays[_i]});
    send_all(ops, 1);
    send_all(ops + 1, 2);
    send_all(ops + 3, 1);
    ck_assert_int_eq(receive_all(done, 5, &count), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(ops[i].error.code == codes[i] && !ops[i].permanent, "%zu: %d %s", i,
                      ops[i].error.code, ops[i].error.message);
    ck_assert(ops[0].applied && !ops[1].applied && !ops[2].has_found && !ops[3].applied);
    ck_assert_int_eq(wants().fd, -1);
}
END_TEST

/* On a server that says no seal again, all that can be known is that nothing was asked yet. */
START_TEST(a_reply_ahead_of_what_is_sent_again_is_not_its_answer)
{
    static const char *const seals[] = {"$4\r\nECHO\r\n", "$4\r\nPING\r\n$16", "return ARGV[1]"};
    idem_op ops[] = {make_op(IDEM_OP_GET, "there", NULL), make_op(IDEM_OP_GET, "other", NULL)};
    idem_op *done[2];
    size_t count = 0;
    put(&redis, "there", 3);
    for (size_t i = 0; i < 3; i++)
        proxy_add(between, (proxy_rule){.match = seals[i],
                                        .action = PROXY_ANSWER,
                                        .times = PROXY_ALWAYS,
                                        .text = "-NOPERM this user has no permissions\r\n"});
    proxy_add(between, (proxy_rule){.match = "there",
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = "-NOSCRIPT No matching script.\r\n$-1\r\n$-1\r\n"});
    ops_of->close(backend);
    open_at(&idem__redis_backend, "127.0.0.1", atoi(strrchr(proxy_url(between), ':') + 1), NULL);
    send_all(ops, 2);
    int rc = receive_all(done, 2, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_msg(rc == IDEM_ERR_UNAVAILABLE && ops[0].error.code == IDEM_ERR_UNAVAILABLE,
                  "%d: %s, found %d", rc, err.message, ops[0].has_found);
}
END_TEST

/* ------------------------------------------------------------------------------------- at rest */

/* A reply that nobody asked for, or the end: nothing was sent yet, and so nothing is uncertain. */
START_TEST(a_connection_that_was_spoilt_at_rest_is_replaced)
{
    idem_op first = make_op(IDEM_OP_GET, "first", NULL);
    idem_op second = make_op(IDEM_OP_GET, "second", NULL);
    if (_i == 0)
        proxy_add(between,
                  (proxy_rule){
                      .match = "ECHO", .action = PROXY_STRAY_AFTER, .times = 1, .text = "$-1\r\n"});
    else
        go_direct();
    carry_out(&first, 1);
    if (_i == 1)
        server_do(&redis, "CLIENT KILL TYPE normal");
    struct pollfd entry = {.fd = wants().fd, .events = POLLIN};
    ck_assert_int_eq(poll(&entry, 1, ANSWER_MS), 1);
    wait_ms(30);
    carry_out(&second, 1);
    ck_assert_msg(second.error.code == IDEM_OK, "%s", second.error.message);
    ck_assert(_i == 1 || proxy_connections(between) == 2);
}
END_TEST

START_TEST(a_receive_tells_of_an_end_at_rest)
{
    idem_op *done[1];
    size_t count = 9;
    go_direct();
    const server *at = choose_way(_i);
    connect_again();
    server_do(at, "CLIENT KILL TYPE normal");
    int rc = IDEM_OK;
    while (rc == IDEM_OK)
        rc = receive_once(done, 1, &count);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    assert_says("closed the connection");
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(wants().fd, -1);
}
END_TEST

/* A server that has become a replica: what is in flight is answered, and then another is asked. */
START_TEST(a_refusal_that_ends_the_connection_leaves_answers_as_they_are)
{
    idem_record record = make_record(7, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "refused", &record),
                     make_op(IDEM_OP_GET, "there", NULL)};
    idem_op next = make_op(IDEM_OP_GET, "there", NULL);
    idem_op *third = &next;
    idem_op *done[3];
    size_t count = 0;
    put(&redis, "there", 3);
    connect_again();
    proxy_add(between, (proxy_rule){.match = "refused",
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = "-READONLY You can't write against a replica.\r\n"});
    freeze(&redis); /* the proxy answers the first by itself */
    send_all(ops, 2);
    ck_assert_int_eq(receive_once(done, 3, &count), IDEM_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(ops_of->send(backend, &third, 1), 0);
    go_on(&redis);
    int rc = receive_all(done, 3, &count);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 2);
    ck_assert(!ops[1].error.code && ops[1].has_found && ops[1].found.version == 3);
    ck_assert_int_eq(ops[0].error.code, IDEM_ERR_UNAVAILABLE);
    clear_ops(ops, 2);
    carry_out(third, 1);
    ck_assert_uint_eq(third->found.version, 3);
    clear_ops(third, 1);
    ck_assert_int_eq(proxy_connections(between), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis lost connections");
    start_servers();
    ADD_HERE(suite, a_dropped_connection_gives_all_back, WAYS);
    ADD_HERE(suite, without_a_connection_nothing_was_sent, WAYS);
    ADD_HERE(suite, what_the_socket_does_not_take_is_sent_later, WAYS);
    ADD_HERE(suite, what_was_sent_in_part_is_uncertain_and_the_rest_unavailable, WAYS);
    ADD_HERE(suite, what_was_not_sent_is_unavailable, 1);
    ADD_HERE(suite, a_stray_reply_between_batches_makes_all_that_follows_uncertain, 3);
    ADD_HERE(suite, a_reply_ahead_of_what_is_sent_again_is_not_its_answer, 1);
    ADD_HERE(suite, a_connection_that_was_spoilt_at_rest_is_replaced, 2);
    ADD_HERE(suite, a_receive_tells_of_an_end_at_rest, WAYS);
    ADD_HERE(suite, a_refusal_that_ends_the_connection_leaves_answers_as_they_are, 1);
    return run_suite(suite);
}
