/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving apart: several batches in flight, answers in order and out of order, ops
 * that are abandoned, connections that are dropped, cut, blocked, or out of step. What holds for
 * every connection is shown over TLS as well.
 */
#include "slots.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#define BIG (8u << 20)

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);

static atomic_int watched; /* a descriptor */
static atomic_int sends;
static atomic_int receives;

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    sends += fd == watched;
    return __real_send(fd, data, len, flags);
}

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
    receives += fd == watched;
    return __real_recv(fd, data, len, flags);
}

static tls_server secure;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    between = proxy_start(redis.port);
    open_at(&idem__redis_backend, "127.0.0.1", atoi(strrchr(proxy_url(between), ':') + 1), NULL);
    /* The server knows the scripts from here on, and the user's rights are proved. */
    idem_record record = make_record(1, idem_str(""));
    idem_op warm_up[] = {make_op(IDEM_OP_INSERT, "warm-up", &record),
                         make_op(IDEM_OP_GET, "warm-up", NULL),
                         make_op(IDEM_OP_REPLACE, "warm-up", &record),
                         make_op(IDEM_OP_REMOVE, "warm-up", NULL)};
    warm_up[2].expected = 1;
    warm_up[3].expected = 1;
    for (size_t i = 0; i < 4; i++)
        carry_out(&warm_up[i], 1);
    clear_ops(warm_up, 4);
}

static void tear_down(void)
{
    ops_of->close(backend);
    proxy_stop(between);
}

/* The same instance over TLS, where there is TLS and the row asks for it. */
static const server *choose_way(int row)
{
#ifdef WITH_TLS
    if (row > 0) {
        static char ca[128];
        (void)snprintf(ca, sizeof ca, "%s/ca.crt", tls_certificates());
        ops_of->close(backend);
        server_do(&secure.plain, "FLUSHALL");
        open_at(&idem__redis_tls_backend, "localhost", secure.port, ca);
        return &secure.plain;
    }
#endif
    (void)row;
    return &redis;
}

#ifdef WITH_TLS
#define WAYS 2
#else
#define WAYS 1
#endif

static void put(const server *at, const char *key, uint64_t version)
{
    idem_buffer text = {0};
    idem_record record = make_record(version, idem_str(""));
    ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
    server_do(at, "SET %s %b PX 60000", key, text.data, text.len);
    idem_buffer_clear(&text);
}

/* Ops that read keys with versions of 1, 2, … */
static void make_gets(const server *at, idem_op *ops, char keys[][16], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], 16, "get-%u", (unsigned)i);
        put(at, keys[i], i + 1);
        ops[i] = make_op(IDEM_OP_GET, keys[i], NULL);
    }
}

static void expect_versions(const idem_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(ops[i].error.code == IDEM_OK && ops[i].has_found &&
                          ops[i].found.version == i + 1,
                      "%zu: %d %s, version %llu", i, ops[i].error.code, ops[i].error.message,
                      (unsigned long long)ops[i].found.version);
}

/* Without the proxy, which does not pass on what happens at rest. */
static void go_direct(void)
{
    ops_of->close(backend);
    open_at(&idem__redis_backend, "127.0.0.1", redis.port, NULL);
}

static void freeze(const server *at)
{
    ck_assert_int_eq(kill(at->pid, SIGSTOP), 0);
}

static void go_on(const server *at)
{
    ck_assert_int_eq(kill(at->pid, SIGCONT), 0);
}

/* -------------------------------------------------------------------------------------- in flight */

START_TEST(several_batches_are_in_flight_and_answered_in_order)
{
    idem_op ops[9];
    idem_op *done[9];
    char keys[9][16];
    make_gets(choose_way(_i), ops, keys, 9);
    connect_again();
    for (size_t i = 0; i < 9; i += 3)
        send_all(ops + i, 3);
    receive_count(done, 9);
    for (size_t i = 0; i < 9; i++)
        ck_assert_ptr_eq(done[i], &ops[i]);
    expect_versions(ops, 9);
    clear_ops(ops, 9);
}
END_TEST

START_TEST(what_is_sent_again_comes_behind_what_was_sent_before)
{
    const server *at = choose_way(_i);
    idem_record record = make_record(7, idem_str(""));
    idem_op *done[4];
    put(at, "there", 3);
    idem_op ops[] = {make_op(IDEM_OP_GET, "there", NULL), make_op(IDEM_OP_REMOVE, "none", NULL),
                     make_op(IDEM_OP_REPLACE, "there", &record),
                     make_op(IDEM_OP_REMOVE, "none", NULL)};
    ops[1].any_version = true;
    ops[2].expected = 2; /* 3 is there */
    ops[3].any_version = true;
    connect_again();
    server_do(at, "SCRIPT FLUSH");
    send_all(ops, 2);
    send_all(ops + 2, 2);
    receive_count(done, 4);
    ck_assert_ptr_eq(done[0], &ops[1]);
    ck_assert_ptr_eq(done[1], &ops[3]);
    ck_assert_ptr_eq(done[2], &ops[0]);
    ck_assert_ptr_eq(done[3], &ops[2]);
    ck_assert(ops[0].has_found && ops[0].found.version == 3);
    ck_assert(ops[2].has_found && !ops[2].applied && ops[2].found.version == 3);
    ck_assert(!ops[1].has_found && !ops[1].applied && !ops[1].error.code);
    clear_ops(ops, 4);
}
END_TEST

START_TEST(an_instance_without_an_answer_wants_to_read_and_nothing_else)
{
    const server *at = choose_way(_i);
    idem_op op = make_op(IDEM_OP_GET, "none", NULL);
    idem_op *done[ROOM];
    size_t count = 9;
    connect_again();
    freeze(at);
    send_all(&op, 1);
    for (int i = 0; i < 3; i++) {
        idem_wants now = wants();
        ck_assert(now.fd >= 3 && now.read && !now.write && !now.at_once);
        ck_assert_int_eq(ops_of->receive(backend, done, ROOM, &count, &err), IDEM_OK);
        ck_assert_uint_eq(count, 0);
    }
    go_on(at);
    receive_count(done, 1);
    ck_assert_int_eq(op.error.code, IDEM_OK);
}
END_TEST

START_TEST(with_room_for_one_they_come_one_by_one)
{
    idem_op ops[6];
    idem_op *done;
    size_t count = 0;
    char keys[6][16];
    make_gets(choose_way(_i), ops, keys, 6);
    connect_again();
    send_all(ops, 4);
    send_all(ops + 4, 2);
    for (size_t i = 0; i < 6; i++) {
        for (count = 0; count == 0;)
            ck_assert_int_eq(receive_once(&done, 1, &count), IDEM_OK);
        ck_assert_ptr_eq(done, &ops[i]);
    }
    ck_assert_int_eq(ops_of->receive(backend, &done, 1, &count, &err), IDEM_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert(!wants().at_once);
    expect_versions(ops, 6);
    clear_ops(ops, 6);
}
END_TEST

/* Nobody knows how long answers are, until some have come; and no more than 1,024 are in flight. */
START_TEST(no_more_is_taken_than_may_be_in_flight)
{
    static idem_op ops[IDEM_BATCH_MAX * 6];
    static idem_op *pointers[IDEM_BATCH_MAX * 6];
    static idem_op *done[IDEM_BATCH_MAX * 6];
    size_t taken = 0;
    for (size_t i = 0; i < IDEM_BATCH_MAX * 6; i++) {
        ops[i] = make_op(IDEM_OP_GET, "none", NULL);
        pointers[i] = &ops[i];
    }
    go_direct();
    connect_again();
    size_t first = ops_of->send(backend, pointers, IDEM_BATCH_MAX);
    ck_assert(first >= 8 && first <= 32);
    ck_assert_uint_eq(ops_of->send(backend, pointers + first, 1), 0);
    for (taken = first, receive_count(done, first); taken < 3 * (size_t)IDEM_BATCH_MAX; taken += first) {
        first = ops_of->send(backend, pointers, IDEM_BATCH_MAX);
        receive_count(done, first);
    }
    freeze(&redis);
    for (taken = 0; (first = ops_of->send(backend, pointers + taken, IDEM_BATCH_MAX)) > 0;)
        taken += first;
    ck_assert_uint_eq(taken, 1024);
    go_on(&redis);
    receive_count(done, taken);
    ck_assert_ptr_eq(done[1023], &ops[1023]);
}
END_TEST

/* A send, a wait and a receive: a system call each, and none to look at the connection. */
START_TEST(a_batch_costs_one_send_and_one_receive)
{
    idem_op ops[4];
    idem_op *done[4];
    char keys[4][16];
    make_gets(&redis, ops, keys, 4);
    carry_out(ops, 4);
    watched = wants().fd;
    sends = 0;
    receives = 0;
    uint64_t slow = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t began_ms = idem_monotonic_ms();
        size_t count = 0;
        clear_ops(ops, 4);
        make_gets(&redis, ops, keys, 4);
        slow += idem_monotonic_ms() > began_ms + 5;
        connect_again();
        send_all(ops, 4);
        ck_assert_int_eq(receive_once(done, 4, &count), IDEM_OK);
        while (count < 4) { /* the proxy may cut them */
            size_t more = 0;
            slow++;
            ck_assert_int_eq(receive_once(done, 4, &more), IDEM_OK);
            count += more;
        }
    }
    watched = 0;
    ck_assert_int_eq(sends, 100);
    ck_assert_msg(receives >= 100 && receives <= 100 + (int)slow, "%d receives, %llu slow", receives,
                  (unsigned long long)slow);
    clear_ops(ops, 4);
}
END_TEST

/* ------------------------------------------------------------------------------------- abandoned */

START_TEST(an_abandoned_op_takes_nothing_from_the_others)
{
    const server *at = choose_way(_i);
    idem_op ops[5];
    idem_op *done[5];
    char keys[5][16];
    make_gets(at, ops, keys, 5);
    connect_again();
    freeze(at);
    idem_op *gone = malloc(sizeof *gone);
    *gone = make_op(IDEM_OP_GET, keys[2], NULL);
    send_all(ops, 2);
    send_all(gone, 1);
    send_all(ops + 2, 3);
    ops_of->abandon(backend, gone);
    memset(gone, 0xa5, sizeof *gone);
    free(gone);
    /* Nothing that the caller knows of is in flight, and the connection lives. */
    int fd = wants().fd;
    go_on(at);
    receive_count(done, 5);
    expect_versions(ops, 5);
    clear_ops(ops, 5);
    ck_assert_int_eq(wants().fd, fd);
}
END_TEST

/* Answered, and not given back for want of room: what it found is freed, too. */
START_TEST(an_answered_op_can_be_abandoned)
{
    idem_op ops[3];
    idem_op *done[3];
    char keys[3][16];
    size_t count = 0;
    make_gets(choose_way(_i), ops, keys, 3);
    connect_again();
    send_all(ops, 3);
    while (count == 0)
        ck_assert_int_eq(receive_once(done, 1, &count), IDEM_OK);
    ops_of->abandon(backend, &ops[1]);
    ck_assert(!ops[1].has_found && ops[1].found.key.data == NULL);
    receive_count(done, 1);
    ck_assert_ptr_eq(done[0], &ops[2]);
    ck_assert(!wants().at_once);
    clear_ops(ops, 3);
}
END_TEST

START_TEST(an_abandoned_op_is_not_sent_again)
{
    const server *at = choose_way(_i);
    idem_record record = make_record(7, idem_str(""));
    idem_op gone = make_op(IDEM_OP_REPLACE, "there", &record);
    idem_op after = make_op(IDEM_OP_GET, "there", NULL);
    idem_op *done[1];
    put(at, "there", 3);
    gone.expected = 3;
    connect_again();
    server_do(at, "SCRIPT FLUSH");
    send_all(&gone, 1);
    ops_of->abandon(backend, &gone);
    connect_again(); /* with an answer due that nobody waits for */
    send_all(&after, 1);
    receive_count(done, 1);
    ck_assert_ptr_eq(done[0], &after);
    ck_assert_uint_eq(after.found.version, 3);
    clear_ops(&after, 1);
}
END_TEST

/* Else those whose answers never come would fill the instance. */
START_TEST(too_many_abandoned_ops_give_the_connection_up)
{
    idem_op ops[ROOM];
    idem_op *done[ROOM];
    size_t count = 0;
    for (size_t i = 0; i < ROOM; i++)
        ops[i] = make_op(IDEM_OP_GET, "none", NULL);
    for (int i = 0; i < 4; i++) /* answers are short */
        carry_out(ops, 16);
    int fd = wants().fd;
    connect_again();
    freeze(&redis);
    for (size_t i = 0; i < 2 * 512; i += count) {
        idem_op *pointers[ROOM];
        for (size_t j = 0; j < ROOM; j++)
            pointers[j] = &ops[j];
        count = ops_of->send(backend, pointers, ROOM);
        ck_assert_uint_gt(count, 0);
        for (size_t j = 0; j < count; j++)
            ops_of->abandon(backend, &ops[j]);
    }
    ck_assert_int_eq(wants().fd, fd);
    ck_assert_int_eq(receive_all(done, 1, &count), IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(wants().fd, -1);
    go_on(&redis);
    for (size_t i = 0; i < ROOM; i++)
        ops[i] = make_op(IDEM_OP_GET, "none", NULL);
    carry_out(ops, 1);
}
END_TEST

/* ----------------------------------------------------------------------- connections that are over */

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

/* The answers after it may all be those of the neighbours; those before it were confirmed. */
START_TEST(a_stray_reply_between_batches_makes_all_that_follows_uncertain)
{
    static const char *const strays[] = {"$-1\r\n", "+OK\r\n", ":1\r\n"};
    idem_record record = make_record(7, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "first-1", &record),
                     make_op(IDEM_OP_INSERT, "second-1", &record),
                     make_op(IDEM_OP_GET, "second-2", NULL),
                     make_op(IDEM_OP_REMOVE, "third-1", NULL)};
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

/* ------------------------------------------------------------------------------------------ at rest */

/* A reply that nobody asked for, or the end: nothing was sent yet, and so nothing is uncertain. */
START_TEST(a_connection_that_was_spoilt_at_rest_is_replaced)
{
    idem_op first = make_op(IDEM_OP_GET, "first", NULL);
    idem_op second = make_op(IDEM_OP_GET, "second", NULL);
    if (_i == 0)
        proxy_add(between, (proxy_rule){.match = "ECHO",
                                        .action = PROXY_STRAY_AFTER,
                                        .times = 1,
                                        .text = "$-1\r\n"});
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
    idem_op *third = &ops[1];
    idem_op *done[3];
    size_t count = 0;
    put(&redis, "there", 3);
    connect_again();
    proxy_add(between, (proxy_rule){.match = "refused",
                                    .action = PROXY_ANSWER,
                                    .times = 1,
                                    .text = "-READONLY You can't write against a replica.\r\n"});
    send_all(ops, 2);
    int rc = receive_all(done, 3, &count);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_uint_eq(count, 2);
    ck_assert(!ops[1].error.code && ops[1].has_found && ops[1].found.version == 3);
    ck_assert_int_eq(ops[0].error.code, IDEM_ERR_UNAVAILABLE);
    clear_ops(ops, 2);
    *third = make_op(IDEM_OP_GET, "there", NULL);
    carry_out(third, 1);
    ck_assert_uint_eq(third->found.version, 3);
    clear_ops(third, 1);
    ck_assert_int_eq(proxy_connections(between), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis pipeline");
    server_require();
    server_start(&redis, NULL);
#ifdef WITH_TLS
    tls_server_start(&secure, "server", NULL);
#endif
    ADD_HERE(suite, several_batches_are_in_flight_and_answered_in_order, WAYS);
    ADD_HERE(suite, what_is_sent_again_comes_behind_what_was_sent_before, WAYS);
    ADD_HERE(suite, an_instance_without_an_answer_wants_to_read_and_nothing_else, WAYS);
    ADD_HERE(suite, with_room_for_one_they_come_one_by_one, WAYS);
    ADD_HERE(suite, no_more_is_taken_than_may_be_in_flight, 1);
    ADD_HERE(suite, a_batch_costs_one_send_and_one_receive, 1);
    ADD_HERE(suite, an_abandoned_op_takes_nothing_from_the_others, WAYS);
    ADD_HERE(suite, an_answered_op_can_be_abandoned, WAYS);
    ADD_HERE(suite, an_abandoned_op_is_not_sent_again, WAYS);
    ADD_HERE(suite, too_many_abandoned_ops_give_the_connection_up, 1);
    ADD_HERE(suite, a_dropped_connection_gives_all_back, WAYS);
    ADD_HERE(suite, without_a_connection_nothing_was_sent, WAYS);
    ADD_HERE(suite, what_the_socket_does_not_take_is_sent_later, WAYS);
    ADD_HERE(suite, what_was_sent_in_part_is_uncertain_and_the_rest_unavailable, WAYS);
    ADD_HERE(suite, a_stray_reply_between_batches_makes_all_that_follows_uncertain, 3);
    ADD_HERE(suite, a_connection_that_was_spoilt_at_rest_is_replaced, 2);
    ADD_HERE(suite, a_receive_tells_of_an_end_at_rest, WAYS);
    ADD_HERE(suite, a_refusal_that_ends_the_connection_leaves_answers_as_they_are, 1);
    return run_suite(suite);
}
