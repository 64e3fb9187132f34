/* SPDX-License-Identifier: MIT */
/*
 * Batches, as core hands them to the backend: answers of their own for all ops, and what is said of
 * each when the connection ends in the middle.
 */
#include "proxy.h"
#include "redis_test.h"

#define SET_NX_GET "\r\nNX\r\n$3\r\nGET\r\n"

extern const idem_backend_ops idem__redis_backend;

static server redis;
static proxy *between;
static idem_backend *backend;
static idem_value values[3];
static idem_config config;

static void set_up(void)
{
    server_do(&redis, "FLUSHALL");
    server_do(&redis, "SCRIPT FLUSH");
    between = proxy_start(redis.port);
    values[0].number = 1000;
    config = (idem_config){
        .size = sizeof config,
        .scheme = "redis",
        .host = "127.0.0.1",
        .port = (uint32_t)atoi(strrchr(proxy_url(between), ':') + 1),
        .role = IDEM_ROLE_ANY,
        .values = values,
        .display = "redis://127.0.0.1",
        .deadline_ms = idem_monotonic_ms() + 30000,
    };
    ck_assert_int_eq(idem__redis_backend.open(&config, &backend, &err), IDEM_OK);
}

static void tear_down(void)
{
    idem__redis_backend.close(backend);
    proxy_stop(between);
}

static void submit(idem_op *ops, size_t count)
{
    idem_op *pointers[IDEM_BATCH_MAX];
    idem_error error = {0};
    for (size_t i = 0; i < count; i++)
        pointers[i] = &ops[i];
    ck_assert_int_eq(
        idem__redis_backend.submit(backend, pointers, count, idem_monotonic_ms() + 30000, &error),
        IDEM_OK);
}

static void clear(idem_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem_record_clear(&ops[i].found);
}

/* ----------------------------------------------------------------------------------- on one key */

static size_t count_applied(const idem_op *ops, size_t count)
{
    size_t applied = 0;
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(ops[i].error.code == IDEM_OK, "%zu: %s", i, ops[i].error.message);
        applied += ops[i].applied;
    }
    return applied;
}

/* They may be carried out in any order, also where the server has forgotten its scripts or is too
   old for SET with NX and GET, and some are sent twice: each step is atomic all the same. */
START_TEST(of_several_ops_on_one_key_one_applies)
{
    idem_record records[4];
    idem_op ops[4];
    if (_i > 0)
        proxy_add(between, (proxy_rule){.match = SET_NX_GET,
                                        .action = PROXY_ANSWER,
                                        .times = PROXY_ALWAYS,
                                        .text = "-ERR syntax error\r\n"});
    for (int time = 0; time < 3; time++) {
        for (size_t i = 0; i < 4; i++) {
            records[i] = make_record(i + 1, idem_str(""));
            ops[i] = make_op(IDEM_OP_INSERT, KEY, &records[i]);
        }
        submit(ops, 4);
        ck_assert_uint_eq(count_applied(ops, 4), 1);
        uint64_t winner = 0;
        for (size_t i = 0; i < 4; i++)
            winner = ops[i].applied ? i + 1 : winner;
        for (size_t i = 0; i < 4; i++)
            ck_assert(ops[i].applied || (ops[i].has_found && ops[i].found.version == winner));
        clear(ops, 4);
        for (size_t i = 0; i < 4; i++) {
            records[i] = make_record(10 + i, idem_str("1"));
            ops[i] = make_op(i < 3 ? IDEM_OP_REPLACE : IDEM_OP_REMOVE, KEY, &records[i]);
            ops[i].expected = winner;
        }
        ops[3].record = NULL;
        submit(ops, 4);
        ck_assert_uint_eq(count_applied(ops, 4), 1);
        clear(ops, 4);
        server_do(&redis, "SCRIPT FLUSH");
        server_do(&redis, "DEL %s", KEY);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------- answers */

START_TEST(a_batch_of_256_large_records_is_answered_in_full)
{
    static idem_op ops[IDEM_BATCH_MAX];
    static char keys[IDEM_BATCH_MAX][16];
    static char response[40000];
    memset(response, '7', sizeof response);
    idem_record record = make_record(1, (idem_bytes){response, sizeof response});
    for (size_t i = 0; i < IDEM_BATCH_MAX; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%zu", i);
        ops[i] = make_op(IDEM_OP_INSERT, keys[i], &record);
    }
    submit(ops, IDEM_BATCH_MAX);
    for (size_t i = 0; i < IDEM_BATCH_MAX; i++)
        ck_assert_msg(ops[i].applied, "%s: %s", keys[i], ops[i].error.message);
    ck_assert_int_eq(server_number(&redis, "DBSIZE"), IDEM_BATCH_MAX);
    for (size_t i = 0; i < IDEM_BATCH_MAX; i++)
        ops[i] = make_op(i % 2 ? IDEM_OP_GET : IDEM_OP_INSERT, keys[i], &record);
    submit(ops, IDEM_BATCH_MAX);
    for (size_t i = 0; i < IDEM_BATCH_MAX; i++) {
        ck_assert(ops[i].has_found && !ops[i].applied);
        ck_assert_uint_eq(ops[i].found.response.len, sizeof response);
        ck_assert_uint_eq(ops[i].found.key.len, strlen(keys[i]));
        ck_assert(memcmp(ops[i].found.key.data, keys[i], strlen(keys[i])) == 0);
    }
    clear(ops, IDEM_BATCH_MAX);
}
END_TEST

START_TEST(one_ops_error_is_its_own)
{
    const idem_record a = make_record(1, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "a", &a), make_op(IDEM_OP_INSERT, "a-list", &a),
                     make_op(IDEM_OP_INSERT, "a-text", &a), make_op(IDEM_OP_INSERT, "b", &a)};
    server_do(&redis, "RPUSH a-list 1");
    server_do(&redis, "SET a-text hello");
    submit(ops, 4);
    ck_assert(ops[0].applied && ops[3].applied);
    ck_assert_int_eq(ops[1].error.code, IDEM_ERR_CORRUPT);
    ck_assert_int_eq(ops[2].error.code, IDEM_ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(ops[1].error.message, "a-list"));
    ck_assert_ptr_nonnull(strstr(ops[2].error.message, "a-text"));
    clear(ops, 4);
}
END_TEST

/* ---------------------------------------------------------------------- a connection that ends */

START_TEST(what_was_sent_is_uncertain_also_where_only_the_seal_is_missing)
{
    const idem_record a = make_record(1, idem_str(""));
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "k0", &a), make_op(IDEM_OP_GET, "k1", NULL),
                     make_op(IDEM_OP_INSERT, "k2", &a), make_op(IDEM_OP_GET, "k3", NULL),
                     make_op(IDEM_OP_REMOVE, "k4", NULL)};
    static const int codes[] = {IDEM_ERR_UNCERTAIN, IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN,
                                IDEM_ERR_UNAVAILABLE, IDEM_ERR_UNCERTAIN};
    /* An old server, and one that has forgotten its scripts, say so now. */
    idem_op warm_up[] = {make_op(IDEM_OP_INSERT, "k9", &a), make_op(IDEM_OP_GET, "k1", NULL),
                         make_op(IDEM_OP_REMOVE, "k1", NULL)};
    submit(warm_up, 3);
    proxy_add(between, (proxy_rule){.match = "k2", .action = PROXY_CLOSE, .times = 1});
    submit(ops, 5);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_msg(ops[i].error.code == codes[i], "%zu: %d %s", i, ops[i].error.code,
                      ops[i].error.message);
        ck_assert(!ops[i].permanent);
    }
    ck_assert(!ops[0].applied && !ops[1].has_found && !ops[2].applied);
    /* The next batch has a new connection. */
    idem_op again = make_op(IDEM_OP_INSERT, "k2", &a);
    submit(&again, 1);
    ck_assert(again.applied);
    ck_assert_int_eq(proxy_connections(between), 2);
}
END_TEST

START_TEST(what_was_not_sent_is_unavailable)
{
    static char response[600000];
    static const int codes[] = {IDEM_ERR_UNCERTAIN, IDEM_ERR_UNCERTAIN, IDEM_ERR_UNAVAILABLE,
                                IDEM_ERR_UNAVAILABLE};
    memset(response, '7', sizeof response);
    const idem_record large = make_record(1, (idem_bytes){response, sizeof response});
    idem_op ops[] = {make_op(IDEM_OP_INSERT, "k0", &large), make_op(IDEM_OP_INSERT, "k1", &large),
                     make_op(IDEM_OP_INSERT, "k2", &large), make_op(IDEM_OP_INSERT, "k3", &large)};
    proxy_add(between, (proxy_rule){.match = "k1", .action = PROXY_CLOSE, .times = 1});
    proxy_add(between, (proxy_rule){.match = "k0", .action = PROXY_STALL, .times = 1});
    idem_op *pointers[] = {&ops[0], &ops[1], &ops[2], &ops[3]};
    ck_assert_int_eq(
        idem__redis_backend.submit(backend, pointers, 4, idem_monotonic_ms() + 300, &err), IDEM_OK);
    for (size_t i = 0; i < 4; i++)
        ck_assert_msg(ops[i].error.code == codes[i] || (i == 1 && ops[i].error.code == codes[2]),
                      "%zu: %d %s", i, ops[i].error.code, ops[i].error.message);
}
END_TEST

START_TEST(without_a_server_nothing_was_sent)
{
    const idem_record a = make_record(1, idem_str(""));
    idem_op op = make_op(IDEM_OP_INSERT, KEY, &a);
    proxy *gone = proxy_start(1);
    config.port = (uint32_t)atoi(strrchr(proxy_url(gone), ':') + 1);
    proxy_stop(gone);
    idem__redis_backend.close(backend);
    backend = NULL;
    ck_assert_int_eq(idem__redis_backend.open(&config, &backend, &err), IDEM_ERR_UNAVAILABLE);
    config.port = (uint32_t)redis.port;
    err = (idem_error){0};
    ck_assert_int_eq(idem__redis_backend.open(&config, &backend, &err), IDEM_OK);
    /* A deadline that is over is no reason to send anything. */
    idem_op *pointer = &op;
    ck_assert_int_eq(idem__redis_backend.submit(backend, &pointer, 1, idem_monotonic_ms(), &err),
                     IDEM_OK);
    ck_assert_int_eq(op.error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_int_eq(server_number(&redis, "DBSIZE"), 0);
}
END_TEST

/* ---------------------------------------------------------------------------- from the outside */

#define TOGETHER 16

/* How often the server has read from a client; asking reads once more. */
static long long reads(void)
{
    return server_info(&redis, "stats", "total_reads_processed");
}

/* Both calls send all they have in one write, which the server reads at once. */
START_TEST(a_batch_is_one_round_trip)
{
    static char keys[TOGETHER][32];
    idem_request requests[TOGETHER];
    idem_outcome outcomes[TOGETHER];
    idem_claim *claims[TOGETHER];
    idem_bytes responses[TOGETHER];
    idem_store *store = open_url(redis.unix_url, "");
    complete(store, KEY, "1"); /* connects, and loads the script */
    for (size_t i = 0; i < TOGETHER; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%zu", i);
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
        responses[i] = idem_str("1");
    }
    long long before = reads();
    long long asking = reads() - before;
    before = reads();
    assert_ok(idem_begin_many(store, requests, TOGETHER, outcomes, NULL, &err));
    ck_assert_int_eq(reads() - before - asking, 1);
    for (size_t i = 0; i < TOGETHER; i++) {
        ck_assert_int_eq(outcomes[i].kind, IDEM_NEW);
        claims[i] = outcomes[i].claim;
    }
    before = reads();
    assert_ok(idem_complete_many(store, claims, responses, TOGETHER, NULL, &err));
    ck_assert_int_eq(reads() - before - asking, 1);
    for (size_t i = 0; i < TOGETHER; i++)
        idem_outcome_clear(&outcomes[i]);
    before = reads();
    assert_ok(idem_begin_many(store, requests, TOGETHER, outcomes, NULL, &err));
    ck_assert_int_eq(reads() - before - asking, 1);
    for (size_t i = 0; i < TOGETHER; i++) {
        ck_assert_int_eq(outcomes[i].kind, IDEM_COMPLETED);
        idem_outcome_clear(&outcomes[i]);
    }
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis batches");
    server_require();
    server_start(&redis, NULL);
    ADD_HERE(suite, of_several_ops_on_one_key_one_applies, 2);
    ADD_HERE(suite, a_batch_of_256_large_records_is_answered_in_full, 1);
    ADD_HERE(suite, one_ops_error_is_its_own, 1);
    ADD_HERE(suite, what_was_sent_is_uncertain_also_where_only_the_seal_is_missing, 1);
    ADD_HERE(suite, what_was_not_sent_is_unavailable, 1);
    ADD_HERE(suite, without_a_server_nothing_was_sent, 1);
    ADD_HERE(suite, a_batch_is_one_round_trip, 1);
    return run_suite(suite);
}
