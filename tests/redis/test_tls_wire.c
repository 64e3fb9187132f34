/* SPDX-License-Identifier: MIT */
/*
 * TLS between the library and a server: cut after any byte, stalled, in pieces of any length, and
 * what TLS itself says while nothing is asked. None of it is an answer, and none loses one.
 */
#include "options.h"
#include "redis_test.h"
#include "relay.h"
#include "tls_gate.h"
#include "tls_open.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BIG (8u << 20)

static tls_server own;
static unsigned stride;    /* every so many bytes a connection is cut; 0: as it is quick */
static atomic_bool bare;   /* something was sent without MSG_NOSIGNAL */
static atomic_bool spoils; /* the next record that is sent arrives with another byte */

ssize_t __real_send(int fd, const void *data, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t len, int flags);

ssize_t __wrap_send(int fd, const void *data, size_t len, int flags)
{
    if (!(flags & MSG_NOSIGNAL))
        atomic_store(&bare, true);
    if (len > 16 && len < 1024 && *(const char *)data == 23 && atomic_exchange(&spoils, false)) {
        char spoilt[1024];
        memcpy(spoilt, data, len);
        spoilt[len - 1] ^= 1;
        return __real_send(fd, spoilt, len, flags);
    }
    return __real_send(fd, data, len, flags);
}

static idem_store *open_through(const relay *between, const char *params)
{
    char all[200];
    (void)snprintf(all, sizeof all, "tls_ca=%%/ca.crt&%s", params);
    return try_at("localhost", relay_port(between), all);
}

/* In the handshake, the greeting, the call and its reply; one position in so many. */
static int cut_all(relay *between, relay_fault fault, relay_way way, size_t step)
{
    int fired = 1;
    int cuts = 0;
    for (size_t position = 0; fired > 0; position += stride ? stride : step) {
        char key[32];
        (void)snprintf(key, sizeof key, "cut-%d-%d-%zu", (int)fault, (int)way, position);
        relay_arm(between, fault, way, position, false);
        idem_store *store = open_through(between, PATIENT);
        ck_assert_msg(store != NULL, "cut at %zu: %s", position, err.message);
        complete(store, key, "1");
        assert_replays(store, key, "1");
        fired = relay_disarm(between);
        cuts += fired > 0;
        idem_close(store);
    }
    return cuts;
}

START_TEST(calls_outlive_a_cut_in_any_record)
{
    relay *between = relay_start(own.port, 1);
    int cuts = cut_all(between, RELAY_CLOSE, RELAY_TO_SERVER, 67) +
               cut_all(between, RELAY_RESET, RELAY_TO_CLIENT, 97);
    ck_assert_int_gt(cuts, 20);
    relay_stop(between);
}
END_TEST

/* The server's alert says that this record was none: the next connection's are. */
START_TEST(a_record_that_was_spoilt_under_way_costs_the_connection)
{
    relay *between = relay_start(own.port, 1);
    idem_store *store = open_through(between, PATIENT);
    ck_assert_msg(store != NULL, "%s", err.message);
    complete(store, "spoilt", "1");
    int before = relay_connections(between);
    idem_record record;
    atomic_store(&spoils, true);
    assert_ok(idem_get(store, idem_str("spoilt"), &record, &err));
    ck_assert(!atomic_load(&spoils));
    ck_assert_int_gt(relay_connections(between), before);
    idem_record_clear(&record);
    idem_close(store);
    relay_stop(between);
}
END_TEST

START_TEST(calls_that_are_stalled_in_any_record_end_by_their_deadline)
{
    relay *between = relay_start(own.port, 1);
    for (size_t position = 1; position < 4000; position += 401) {
        idem_record record;
        relay_arm(between, RELAY_STALL, RELAY_TO_CLIENT, position, true);
        idem_store *store = NULL;
        assert_in_time(200, store = open_through(between, "timeout=200ms"));
        int rc = err.code;
        if (store)
            assert_in_time(200, rc = idem_get(store, idem_str("stall"), &record, &err));
        ck_assert(rc == IDEM_ERR_UNAVAILABLE || rc == IDEM_ERR_NOT_FOUND);
        idem_close(store);
        (void)relay_disarm(between);
    }
    relay_stop(between);
}
END_TEST

START_TEST(records_in_pieces_are_not_noticed)
{
    relay *between = relay_start(own.port, 1);
    for (int pace = RELAY_BYTE_BY_BYTE; pace <= RELAY_JOIN; pace++) {
        char key[16];
        relay_set_pace(between, (relay_pace)pace);
        (void)snprintf(key, sizeof key, "pace-%d", pace);
        idem_store *store = open_through(between, "connect_timeout=20s&" PATIENT);
        ck_assert_msg(store != NULL, "%s", err.message);
        complete(store, key, "1");
        assert_replays(store, key, "1");
        idem_close(store);
    }
    ck_assert_int_eq(relay_connections(between), 3);
    relay_stop(between);
}
END_TEST

/* And nothing is sent in a way that raises SIGPIPE where the peer has closed. */
START_TEST(a_connection_that_closes_within_a_long_value_raises_no_signal)
{
    char *text = calloc(1, BIG);
    relay *between = relay_start(own.port, 1);
    (void)signal(SIGPIPE, SIG_DFL);
    ck_assert_ptr_nonnull(text);
    memset(text, '7', BIG);
    for (int i = 0; i < 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "long-%d", i);
        idem_store *store = open_through(between, PATIENT);
        ck_assert_msg(store != NULL, "%s", err.message);
        idem_outcome out = claim(store, key);
        relay_arm(between, RELAY_CLOSE, RELAY_TO_SERVER, 300000, false);
        assert_ok(idem_complete(store, out.claim, (idem_bytes){text, BIG}, &err));
        ck_assert_int_eq(relay_disarm(between), 1);
        idem_outcome_clear(&out);
        idem_close(store);
    }
    ck_assert(!atomic_load(&bare));
    relay_stop(between);
    free(text);
}
END_TEST

/* What a server may send while nothing is asked of it, or in front of an answer. */
static const struct {
    int version;
    tls_gate_act act;
    bool kept; /* else the connection ends, and the next call makes another one */
} acts[] = {{TLS1_3_VERSION, TLS_GATE_TICKET, true},
            {TLS1_3_VERSION, TLS_GATE_KEY_UPDATE, true},
            {TLS1_2_VERSION, TLS_GATE_RENEGOTIATION, false}};

START_TEST(what_tls_says_at_rest_is_no_answer_and_no_error)
{
    char key[16];
    tls_gate *gate = tls_gate_start(own.plain.port, tls_certificates(), acts[_i].version);
    idem_store *store = try_at("localhost", tls_gate_port(gate), "tls_ca=%/ca.crt&" PATIENT);
    ck_assert_msg(store != NULL, "%s", err.message);
    idem_outcome out = claim(store, "rest");
    for (int i = 0; i < 6; i++) {
        tls_gate_do(gate, acts[_i].act);
        if (i % 2 == 0)
            wait_ms(20);
        (void)snprintf(key, sizeof key, "rest-%d-%d", _i, i);
        complete(store, key, "1");
        assert_replays(store, key, "1");
    }
    assert_ok(idem_complete(store, out.claim, idem_str("7"), &err));
    assert_ok(idem_forget(store, idem_str("rest"), &err));
    idem_outcome_clear(&out);
    ck_assert_int_eq(tls_gate_connections(gate) > 1, !acts[_i].kept);
    idem_close(store);
    tls_gate_stop(gate);
}
END_TEST

int main(int count, char **words)
{
    Suite *suite = suite_create("redis TLS wire");
    TCase *cuts = tcase_create("cuts");
    stride = read_options(count, words, (test_options){.stride = 0}).stride;
    server_require();
    tls_server_start(&own, "server", NULL);
    tcase_set_timeout(cuts, stride ? 500 : 60);
    tcase_add_test(cuts, calls_outlive_a_cut_in_any_record);
    suite_add_tcase(suite, cuts);
    ADD(suite, a_record_that_was_spoilt_under_way_costs_the_connection);
    ADD(suite, calls_that_are_stalled_in_any_record_end_by_their_deadline);
    ADD(suite, a_connection_that_closes_within_a_long_value_raises_no_signal);
    ADD(suite, records_in_pieces_are_not_noticed);
    ADD_ROWS(suite, what_tls_says_at_rest_is_no_answer_and_no_error, acts);
    return run_suite(suite);
}
