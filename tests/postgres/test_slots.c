/* SPDX-License-Identifier: MIT */
/* Sending and receiving apart: the slots of the table of operations, called as the store's engine
   calls them, with several transactions on one connection. */
#include "pg_test.h"
#include "relay.h"

#include <poll.h>
#include <stdlib.h>

#define ANSWER_MS 15000
#define ROOM      600
#define SETTINGS  41

extern const idem_backend_ops idem__postgres_backend;

static const idem_backend_ops *const slots = &idem__postgres_backend;
static pg_server server;
static relay *wire;
static idem_backend *backend;
static idem_store *store; /* another one, for looking */
static char tokens;

static void open_at(int port)
{
    static idem_value values[SETTINGS];
    static idem_config config;
    memset(values, 0, sizeof values);
    for (size_t i = 0; i < slots->params_count; i++) {
        const char *name = slots->params[i].name;
        values[i].text = slots->params[i].fallback;
        if (strcmp(name, "sslmode") == 0 || strcmp(name, "gssencmode") == 0)
            values[i].text = "disable";
    }
    config = (idem_config){.size = sizeof config,
                           .scheme = slots->scheme,
                           .host = "127.0.0.1",
                           .port = (uint32_t)port,
                           .user = "postgres",
                           .path = "/postgres",
                           .role = IDEM_ROLE_ANY,
                           .values = values,
                           .display = "postgresql",
                           .deadline_ms = idem_monotonic_ms() + ANSWER_MS};
    memset(&err, 0, sizeof err);
    ck_assert_msg(slots->open(&config, &backend, &err) == IDEM_OK, "%s", err.message);
}

static void set_up(void)
{
    ck_assert_uint_le(slots->params_count, SETTINGS);
    pg_do(&server, "SET client_min_messages = error; DROP TABLE IF EXISTS idem_record");
    store = open_url(server.url, "");
    wire = relay_start(server.port, 1);
    open_at(relay_port(wire));
}

static void tear_down(void)
{
    slots->close(backend);
    relay_stop(wire);
    idem_close(store);
}

/* ---------------------------------------------------------------------------------------- ops */

typedef struct {
    char key[40];
    idem_record record;
    idem_op op;
} item;

static item make(idem_op_kind kind, const char *key)
{
    item made;
    memset(&made, 0, sizeof made);
    (void)snprintf(made.key, sizeof made.key, "%s", key);
    made.record = (idem_record){.version = (uint64_t)++tokens,
                                .status = IDEM_STATUS_IN_PROGRESS,
                                .attempt = 1,
                                .lease_ms = LONG_MS,
                                .ttl_ms = LONG_MS,
                                .created_at_ms = 1,
                                .updated_at_ms = 2};
    memset(made.record.token, tokens, sizeof made.record.token);
    made.op = (idem_op){.kind = kind, .live_ms = LONG_MS};
    return made;
}

/* An item that stays where it is. */
static idem_op *point(item *at)
{
    at->op.key = idem_str(at->key);
    at->record.key = at->op.key;
    bool stores = at->op.kind == IDEM_OP_INSERT || at->op.kind == IDEM_OP_REPLACE;
    at->op.record = stores ? &at->record : NULL;
    return &at->op;
}

static void send_one(item *at, const char *key)
{
    *at = make(IDEM_OP_INSERT, key);
    idem_op *op = point(at);
    ck_assert_uint_eq(slots->send(backend, &op, 1), 1);
}

static int receive_once(idem_op **done, size_t room, size_t *count)
{
    idem_wants now;
    slots->wants(backend, &now);
    struct pollfd entry = {.fd = now.fd,
                           .events = (short)((now.read ? POLLIN : 0) | (now.write ? POLLOUT : 0))};
    if (!now.at_once)
        ck_assert_int_eq(poll(&entry, 1, ANSWER_MS), 1);
    memset(&err, 0, sizeof err);
    return slots->receive(backend, done, room, count, &err);
}

static int receive_all(size_t wanted, idem_op **done)
{
    size_t count = 0;
    int rc = IDEM_OK;
    while (rc == IDEM_OK && count < wanted) {
        size_t got = 0;
        rc = receive_once(done + count, ROOM - count, &got);
        count += got;
    }
    ck_assert_uint_eq(count, wanted);
    return rc;
}

static void connect_again(void)
{
    memset(&err, 0, sizeof err);
    ck_assert_msg(slots->connect(backend, idem_monotonic_ms() + ANSWER_MS, &err) == IDEM_OK, "%s",
                  err.message);
}

/* The statements are known to the server, and new keys are not looked up first. */
static void warm_up(void)
{
    idem_op *done[ROOM];
    for (int i = 0; i < 6; i++) {
        char key[40];
        item at;
        (void)snprintf(key, sizeof key, "warm-%d-%d", tokens, i);
        send_one(&at, key);
        ck_assert_int_eq(receive_all(1, done), IDEM_OK);
        ck_assert(at.op.applied);
    }
}

/* A key that is held makes whoever inserts it wait. */
static PGconn *hold(const char *key)
{
    char sql[200];
    PGconn *stranger = pg_connect(&server);
    (void)snprintf(sql, sizeof sql,
                   "BEGIN; INSERT INTO idem_record VALUES ('%s', 1, now(), now() + '1 day', 'x')",
                   key);
    PQclear(PQexec(stranger, sql));
    ck_assert_int_eq(PQtransactionStatus(stranger), PQTRANS_INTRANS);
    return stranger;
}

/* -------------------------------------------------------------------------------------- tests */

START_TEST(a_batch_is_sent_while_another_is_out)
{
    idem_op *done[ROOM];
    item first;
    item second;
    warm_up();
    PGconn *stranger = hold("held");
    send_one(&first, "held");
    send_one(&second, "free"); /* taken, though nothing was answered */
    pg_await(&server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1);
    PQclear(PQexec(stranger, "ROLLBACK"));
    PQfinish(stranger);
    ck_assert_int_eq(receive_all(2, done), IDEM_OK);
    ck_assert(second.op.applied);
    ck_assert(first.op.applied || first.op.error.code == IDEM_ERR_UNAVAILABLE);
}
END_TEST

/* The one that waits for a lock in vain is refused; the one behind it is a transaction of its own.
   */
START_TEST(a_refusal_is_of_one_transaction)
{
    idem_op *done[ROOM];
    item first;
    item second;
    warm_up();
    PGconn *stranger = hold("held");
    send_one(&first, "held");
    send_one(&second, "free");
    ck_assert_int_eq(receive_all(2, done), IDEM_OK);
    ck_assert_int_eq(first.op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert(!first.op.applied && second.op.applied);
    PQfinish(stranger);
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record WHERE key = 'free'"), 1);
}
END_TEST

START_TEST(what_may_be_under_way_is_bounded)
{
    static item items[ROOM];
    idem_op *done[ROOM];
    size_t taken = 0;
    warm_up();
    PGconn *stranger = hold("held");
    send_one(&items[taken++], "held");
    for (size_t more = 1; more > 0 && taken < 100; taken += more) {
        char key[40];
        (void)snprintf(key, sizeof key, "more-%zu", taken);
        items[taken] = make(IDEM_OP_INSERT, key);
        idem_op *op = point(&items[taken]);
        more = slots->send(backend, &op, 1);
    }
    ck_assert_uint_ge(taken, 2);
    ck_assert_uint_le(taken, 8);
    PQfinish(stranger);
    ck_assert_int_eq(receive_all(taken, done), IDEM_OK);
}
END_TEST

START_TEST(every_kind_of_answer_comes_back)
{
    idem_op *done[ROOM];
    item again;
    complete(store, KEY, "[1]");
    send_one(&again, KEY);
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(again.op.has_found && again.op.found.response.len == 3);
    item gone = make(IDEM_OP_GET, "absent");
    idem_op *op = point(&gone);
    ck_assert_uint_eq(slots->send(backend, &op, 1), 1);
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(!gone.op.has_found && gone.op.error.code == IDEM_OK);
    item remove = make(IDEM_OP_REMOVE, KEY); /* another version is there: it is looked up */
    op = point(&remove);
    op->expected = again.op.found.version + 1;
    ck_assert_uint_eq(slots->send(backend, &op, 1), 1);
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(!remove.op.applied && remove.op.has_found);
    ck_assert_uint_eq(remove.op.found.version, again.op.found.version);
    idem_record_clear(&again.op.found);
    idem_record_clear(&remove.op.found);
}
END_TEST

START_TEST(an_abandoned_op_takes_nothing_from_the_others)
{
    item *gone = malloc(sizeof *gone);
    item kept[5];
    idem_op *ops[6];
    idem_op *done[ROOM];
    ck_assert_ptr_nonnull(gone);
    warm_up();
    *gone = make(IDEM_OP_INSERT, "k2");
    ops[5] = point(gone);
    for (int i = 0; i < 5; i++) {
        char key[40];
        (void)snprintf(key, sizeof key, "k%d", i < 2 ? i : i + 1);
        kept[i] = make(IDEM_OP_INSERT, key);
        ops[i] = point(&kept[i]);
    }
    ck_assert_uint_eq(slots->send(backend, ops, 6), 6);
    slots->abandon(backend, &gone->op);
    memset(gone, 0xee, sizeof *gone); /* whoever looks at it, or writes there, is found out */
    ck_assert_int_eq(receive_all(5, done), IDEM_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(kept[i].op.applied, "%s: %s", kept[i].key, kept[i].op.error.message);
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record WHERE key LIKE 'k_'"), 6);
    for (size_t i = 0; i < sizeof *gone; i++)
        ck_assert_int_eq(((const uint8_t *)gone)[i], 0xee);
    free(gone);
}
END_TEST

/* Abandoned while it waits to be sent again, too. */
START_TEST(an_abandoned_op_is_not_sent_again)
{
    idem_op *done[ROOM];
    item looked; /* an insert that is looked up first */
    item other;
    size_t count = 0;
    complete(store, KEY, "1");
    send_one(&other, KEY); /* found: from now on it is looked first */
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    idem_record_clear(&other.op.found);
    send_one(&looked, "never");
    slots->abandon(backend, &looked.op);
    memset(&looked, 0xee, sizeof looked);
    send_one(&other, "made");
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(other.op.applied);
    (void)slots->receive(backend, done, ROOM, &count, &err);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(a_dropped_connection_gives_all_back_at_once)
{
    idem_op *done[ROOM];
    item items[2];
    warm_up();
    relay_arm(wire, RELAY_STALL, RELAY_TO_CLIENT, 0, true);
    send_one(&items[0], "a");
    send_one(&items[1], "b");
    pg_await(&server, "SELECT count(*) FROM idem_record WHERE key = 'a'", 1);
    slots->drop(backend);
    int rc = receive_all(2, done);
    size_t count = 0;
    if (rc == IDEM_OK)
        rc = slots->receive(backend, done, ROOM, &count, &err);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(items[i].op.error.code, IDEM_ERR_UNCERTAIN);
    (void)relay_disarm(wire);
    connect_again();
    send_one(&items[0], "c");
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(items[0].op.applied);
}
END_TEST

START_TEST(a_session_that_ends_answers_what_was_under_way)
{
    idem_op *done[ROOM];
    item items[2];
    warm_up();
    PGconn *stranger = hold("held");
    send_one(&items[0], "held");
    send_one(&items[1], "free");
    pg_await(&server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1);
    pg_do(&server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type ="
                   " 'Lock' OR query LIKE 'WITH seen%%'");
    int rc = receive_all(2, done);
    size_t count = 0;
    if (rc == IDEM_OK)
        rc = receive_once(done, ROOM, &count);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    PQfinish(stranger);
    for (int i = 0; i < 2; i++)
        ck_assert(items[i].op.error.code == IDEM_ERR_UNCERTAIN ||
                  items[i].op.error.code == IDEM_ERR_UNAVAILABLE || items[i].op.applied);
    connect_again();
    send_one(&items[1], "after");
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(items[1].op.applied);
}
END_TEST

/* A warning is of the transaction that it came with: two wait for a standby, one is cancelled. It
   comes whatever the role has set. */
START_TEST(a_warning_is_of_one_transaction)
{
    idem_op *done[ROOM];
    item items[2];
    size_t count = 0;
    pg_do(&server, "ALTER ROLE postgres SET client_min_messages = error");
    slots->drop(backend);
    (void)slots->receive(backend, done, ROOM, &count, &err);
    connect_again();
    pg_do(&server, "ALTER ROLE postgres RESET client_min_messages");
    warm_up();
    pg_do(&server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    pg_do(&server, "SELECT pg_reload_conf()");
    pg_await(&server, "SELECT (current_setting('synchronous_standby_names') = 'nobody')::int", 1);
    wait_ms(200); /* the session that is open has been told as well, and nothing shows that */
    send_one(&items[0], "first");
    send_one(&items[1], "second");
    pg_await(&server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", 1);
    pg_do(&server, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event ="
                   " 'SyncRep'");
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert_ptr_eq(done[0], &items[0].op);
    ck_assert_int_eq(items[0].op.error.code, IDEM_ERR_UNCERTAIN);
    pg_do(&server, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_do(&server, "SELECT pg_reload_conf()");
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert_msg(items[1].op.applied, "%s", items[1].op.error.message);
}
END_TEST

/* The wait for a standby goes on behind the caller's deadline: to cancel it would be to commit. */
START_TEST(a_deadline_cancels_nothing)
{
    int rc = IDEM_OK;
    complete(store, "warm", "1");
    pg_do(&server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    pg_do(&server, "SELECT pg_reload_conf()");
    pg_await(&server, "SELECT (current_setting('synchronous_standby_names') = 'nobody')::int", 1);
    wait_ms(200); /* as above */
    assert_in_the_end(rc == IDEM_ERR_UNCERTAIN, {
        idem_outcome out;
        rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(KEY), .timeout_ms = limit_ms + 400),
                        &out, &err);
    });
    wait_ms(100); /* a cancel would have come through by then */
    ck_assert_int_eq(pg_number(&server, "SELECT count(*) FROM idem_record WHERE key = '" KEY "'"),
                     0);
    pg_do(&server, "ALTER SYSTEM RESET synchronous_standby_names");
    pg_do(&server, "SELECT pg_reload_conf()");
    pg_await(&server, "SELECT count(*) FROM idem_record WHERE key = '" KEY "'", 1);
}
END_TEST

/* The statement that is used while all keys are new says nothing of those that are not. */
START_TEST(a_key_that_was_taken_for_new_is_looked_up)
{
    idem_op *done[ROOM];
    item known;
    warm_up();
    complete(store, KEY, "[1]");
    send_one(&known, KEY);
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(!known.op.applied && known.op.has_found);
    ck_assert_uint_eq(known.op.found.response.len, 3);
    idem_record_clear(&known.op.found);
    warm_up();
    pg_do(&server, "UPDATE idem_record SET expires = now() WHERE key = '" KEY "'");
    send_one(&known, KEY); /* a row that has expired is no record */
    ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    ck_assert(known.op.applied && !known.op.has_found);
}
END_TEST

/* What a statement waits for may take longer than a record lives: the time is that of the moment.
   */
START_TEST(what_has_expired_behind_a_lock_is_absent)
{
    idem_op *done[ROOM];
    item change;
    warm_up();
    do {
        item made;
        pg_do(&server, "TRUNCATE idem_record");
        send_one(&made, KEY);
        ck_assert_int_eq(receive_all(1, done), IDEM_OK);
        ck_assert(made.op.applied);
        PGconn *stranger = pg_connect(&server);
        PQclear(PQexec(stranger, "BEGIN; UPDATE idem_record SET expires = clock_timestamp() + "
                                 "interval '150 ms'"));
        change = make(IDEM_OP_REPLACE, KEY);
        idem_op *op = point(&change);
        op->expected = made.record.version;
        ck_assert_uint_eq(slots->send(backend, &op, 1), 1);
        wait_ms(200);
        PQclear(PQexec(stranger, "COMMIT"));
        PQfinish(stranger);
        ck_assert_int_eq(receive_all(1, done), IDEM_OK);
    } while (change.op.error.code == IDEM_ERR_UNAVAILABLE); /* it waits for half a second at most */
    ck_assert_int_eq(change.op.error.code, IDEM_OK);
    ck_assert(!change.op.applied && !change.op.has_found);
}
END_TEST

/* Whatever the network does, sending and receiving return at once. */
START_TEST(nothing_waits_for_a_server_that_is_silent)
{
    static char response[4000000]; /* more than sockets and the relay take */
    idem_op *done[ROOM];
    static item items[4];
    size_t count = 0;
    memset(response, 'x', sizeof response);
    response[0] = response[sizeof response - 1] = '"';
    warm_up();
    relay_arm(wire, RELAY_STALL, RELAY_TO_SERVER, 0, true);
    uint64_t began_ms = idem_monotonic_ms();
    size_t sent = 0;
    for (int i = 0; i < 4; i++) {
        items[i] = make(IDEM_OP_INSERT, (const char *const[]){"a", "b", "c", "d"}[i]);
        idem_op *op = point(&items[i]);
        items[i].record.status = IDEM_STATUS_COMPLETED;
        items[i].record.response = (idem_bytes){response, sizeof response};
        op->deadline_ms = began_ms + ANSWER_MS; /* as the store's engine tells it */
        sent += slots->send(backend, &op, 1);
    }
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(slots->receive(backend, done, ROOM, &count, &err), IDEM_OK);
    ck_assert_uint_lt(idem_monotonic_ms() - began_ms, 5000);
    slots->drop(backend);
    (void)receive_all(sent, done);
}
END_TEST

/* Where the network takes no more, sending reads, too: what libpq has by then no poll() tells. */
START_TEST(an_answer_that_came_while_sending_is_given_back)
{
    static char response[8000000]; /* more than sockets take */
    static item large;
    idem_op *done[ROOM];
    item first;
    idem_wants now;
    size_t count = 0;
    memset(response, 'x', sizeof response);
    response[0] = response[sizeof response - 1] = '"';
    warm_up();
    send_one(&first, "first");
    slots->wants(backend, &now);
    struct pollfd entry = {.fd = now.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&entry, 1, ANSWER_MS), 1);
    relay_arm(wire, RELAY_STALL, RELAY_TO_SERVER, 0, true);
    large = make(IDEM_OP_INSERT, "large");
    idem_op *op = point(&large);
    large.record.status = IDEM_STATUS_COMPLETED;
    large.record.response = (idem_bytes){response, sizeof response};
    ck_assert_uint_eq(slots->send(backend, &op, 1), 1);
    slots->wants(backend, &now);
    ck_assert(now.write);
    ck_assert(now.at_once || poll(&entry, 1, 0) == 1);
    ck_assert_int_eq(slots->receive(backend, done, ROOM, &count, &err), IDEM_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(first.op.applied);
    slots->drop(backend);
    (void)receive_all(1, done);
}
END_TEST

int main(void)
{
    pg_require();
    lateness_watch();
    pg_start(&server, NULL);
    Suite *suite = suite_create("postgres slots");
    ADD_HERE(suite, a_batch_is_sent_while_another_is_out, 1);
    ADD_HERE(suite, a_refusal_is_of_one_transaction, 1);
    ADD_HERE(suite, what_may_be_under_way_is_bounded, 1);
    ADD_HERE(suite, every_kind_of_answer_comes_back, 1);
    ADD_HERE(suite, an_abandoned_op_takes_nothing_from_the_others, 1);
    ADD_HERE(suite, an_abandoned_op_is_not_sent_again, 1);
    ADD_HERE(suite, a_dropped_connection_gives_all_back_at_once, 1);
    ADD_HERE(suite, a_session_that_ends_answers_what_was_under_way, 1);
    ADD_HERE(suite, a_warning_is_of_one_transaction, 1);
    ADD_HERE(suite, a_deadline_cancels_nothing, 1);
    ADD_HERE(suite, a_key_that_was_taken_for_new_is_looked_up, 1);
    ADD_HERE(suite, what_has_expired_behind_a_lock_is_absent, 1);
    ADD_HERE(suite, nothing_waits_for_a_server_that_is_silent, 1);
    ADD_HERE(suite, an_answer_that_came_while_sending_is_given_back, 1);
    return run_suite(suite);
}
