/* SPDX-License-Identifier: MIT */
/*
 * Sending and receiving apart: several batches in flight, answers in order and out of order, ops
 * that are abandoned. What holds for every connection is shown over TLS as well.
 */
#include "slots.h"

#include <stdatomic.h>
#include <sys/socket.h>

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);
ssize_t __real_recv(int fd, void *data, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t len, int flags);

static atomic_int watched; /* a descriptor */
static atomic_int sends;
static atomic_int receives;
static atomic_int looks;          /* that a pause does not explain */
static _Atomic uint64_t heard_ms; /* when it was last received from, by the coarse clock */

/* After such a pause a connection is looked at. The library goes by the coarse clock too, which may
   be late by more than a tick. */
#define RECENT_MS 10

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    sends += fd == watched;
    return __real_send(fd, data, len, flags);
}

ssize_t __wrap_recv(int fd, void *data, size_t len, int flags)
{
    uint64_t now_ms = idem_monotonic_coarse_ms(); /* no later than what the library notes */
    bool look = fd == watched && (flags & MSG_PEEK);
    looks += look && idem_monotonic_ms() < heard_ms + RECENT_MS;
    receives += fd == watched && !look;
    ssize_t count = __real_recv(fd, data, len, flags);
    if (count > 0 && fd == watched && !look)
        heard_ms = now_ms;
    return count;
}

/* ----------------------------------------------------------------------------------- in flight */

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
    for (taken = first, receive_count(done, first); taken < 3 * (size_t)IDEM_BATCH_MAX;
         taken += first) {
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

/* 1 MiB of commands; the one that goes beyond it is the last. */
START_TEST(no_more_bytes_are_sent_than_may_be_in_flight)
{
    static char response[100000];
    static idem_op ops[30];
    static char keys[30][16];
    idem_op *pointers[30];
    idem_op *done[30];
    memset(response, '7', sizeof response);
    idem_record large = make_record(7, (idem_bytes){response, sizeof response});
    for (size_t i = 0; i < 30; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "large-%u", (unsigned)i);
        ops[i] = make_op(IDEM_OP_GET, keys[i], NULL);
        pointers[i] = &ops[i];
    }
    for (int i = 0; i < 6; i++) /* answers are short */
        carry_out(ops, 8);
    for (size_t i = 0; i < 30; i++)
        ops[i] = make_op(IDEM_OP_INSERT, keys[i], &large);
    freeze(&redis);
    ck_assert_uint_eq(ops_of->send(backend, pointers, 30), 11);
    ck_assert_uint_eq(ops_of->send(backend, pointers + 11, 19), 0);
    go_on(&redis);
    receive_count(done, 11);
    for (size_t i = 0; i < 11; i++)
        ck_assert_msg(ops[i].applied, "%s: %s", keys[i], ops[i].error.message);
}
END_TEST

/* A send, a wait and a receive: a system call each, and none to look at the connection. Where this
   thread was held up between two batches, a look is right: its last answer is no longer recent. */
START_TEST(a_batch_costs_one_send_and_one_receive)
{
    idem_op ops[4];
    idem_op *done[4];
    char keys[4][16];
    int pieces = 0;
    go_direct();
    make_gets(&redis, ops, keys, 4);
    carry_out(ops, 4);
    heard_ms = 0;
    sends = 0;
    receives = 0;
    looks = 0;
    watched = wants().fd;
    for (int i = 0; i < 100; i++) {
        size_t count = 0;
        clear_ops(ops, 4);
        make_gets(&redis, ops, keys, 4);
        connect_again();
        send_all(ops, 4);
        ck_assert_int_eq(receive_once(done, 4, &count), IDEM_OK);
        while (count < 4) { /* the answers may have come in pieces */
            size_t more = 0;
            pieces++;
            ck_assert_int_eq(receive_once(done, 4, &more), IDEM_OK);
            count += more;
        }
    }
    watched = 0;
    ck_assert_int_eq(sends, 100);
    ck_assert_int_eq(receives, 100 + pieces);
    ck_assert_int_eq(looks, 0);
    clear_ops(ops, 4);
}
END_TEST

/* ----------------------------------------------------------------------------------- abandoned */

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

int main(void)
{
    Suite *suite = suite_create("redis pipeline");
    start_servers();
    ADD_HERE(suite, several_batches_are_in_flight_and_answered_in_order, WAYS);
    ADD_HERE(suite, what_is_sent_again_comes_behind_what_was_sent_before, WAYS);
    ADD_HERE(suite, an_instance_without_an_answer_wants_to_read_and_nothing_else, WAYS);
    ADD_HERE(suite, with_room_for_one_they_come_one_by_one, WAYS);
    ADD_HERE(suite, no_more_is_taken_than_may_be_in_flight, 1);
    ADD_HERE(suite, no_more_bytes_are_sent_than_may_be_in_flight, 1);
    ADD_HERE(suite, a_batch_costs_one_send_and_one_receive, 1);
    ADD_HERE(suite, an_abandoned_op_takes_nothing_from_the_others, WAYS);
    ADD_HERE(suite, an_answered_op_can_be_abandoned, WAYS);
    ADD_HERE(suite, an_abandoned_op_is_not_sent_again, WAYS);
    ADD_HERE(suite, too_many_abandoned_ops_give_the_connection_up, 1);
    return run_suite(suite);
}
