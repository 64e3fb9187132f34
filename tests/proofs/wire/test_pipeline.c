/* SPDX-License-Identifier: MIT */
/*
 * Several callers' operations in one pipeline, as core hands them to the backend, with the
 * connection cut after every byte of it and of its replies. Each operation has an answer of its
 * own, and each answer is true: done, or not done because of what is there, or UNAVAILABLE and the
 * key is as it was, or UNCERTAIN and it is as it was or as it should be; a read leaves no doubt.
 * Sent again, each is done or finds its own earlier write. Handed over as one batch, and as two of
 * which the second is sent before the first is answered.
 */
#include "options.h"
#include "relay.h"

#include <idem/backend.h>

#include <poll.h>
#include <runner.h>
#include <server.h>

extern const idem_backend_ops idem__redis_backend;

#define OPS     6
#define LIFE_MS UINT64_C(600000)

typedef struct {
    idem_op_kind kind;
    uint64_t there;    /* the version that is there before; 0: none */
    uint64_t expected; /* by the operation */
    bool applies;
} plan;

static const plan plans[OPS] = {
    {IDEM_OP_INSERT, 0, 0, true},   {IDEM_OP_INSERT, 5, 0, false}, {IDEM_OP_REPLACE, 5, 5, true},
    {IDEM_OP_REPLACE, 5, 6, false}, {IDEM_OP_REMOVE, 5, 5, true},  {IDEM_OP_GET, 5, 0, false},
};

static server redis;
static test_options options;
static redisContext *truth;
static idem_backend *backend;
static idem_value values[3];
static idem_config config;
static unsigned long uncertain;
static unsigned long unavailable;

static idem_record make_record(uint64_t version)
{
    idem_record record = {.version = version,
                          .status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 1,
                          .lease_ms = LIFE_MS,
                          .ttl_ms = LIFE_MS,
                          .created_at_ms = 1,
                          .updated_at_ms = 2};
    memset(record.token, version == 9 ? 'm' : 't', sizeof record.token);
    return record;
}

static bool holds(const char *key, uint64_t version)
{
    redisReply *reply = redisCommand(truth, "GET %s", key);
    idem_record record = {0};
    ck_assert_ptr_nonnull(reply);
    bool right = version == 0 && reply->type == REDIS_REPLY_NIL;
    if (reply->type == REDIS_REPLY_STRING)
        right =
            idem_record_decode(idem_str(key), reply->str, reply->len, &record, NULL) == IDEM_OK &&
            record.version == version;
    idem_record_clear(&record);
    freeReplyObject(reply);
    return right;
}

static void put(const char *key, uint64_t version)
{
    idem_buffer text = {0};
    idem_record record = make_record(version);
    if (version == 0) {
        freeReplyObject(redisCommand(truth, "DEL %s", key));
        return;
    }
    ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
    freeReplyObject(redisCommand(truth, "SET %s %b PX 600000", key, text.data, text.len));
    idem_buffer_clear(&text);
}

/* What the engine does: one batch in two halves, both in flight. */
static void send_halves(idem_op *const *ops, size_t count)
{
    const idem_backend_ops *table = &idem__redis_backend;
    idem_op *done[OPS];
    size_t given = 0;
    size_t got;
    int rc = table->connect(backend, idem_monotonic_ms() + 20000, NULL);
    ck_assert_int_eq(rc, IDEM_OK);
    ck_assert_uint_eq(table->send(backend, ops, count / 2), count / 2);
    /* Where the first half has shown that the connection is over, the second waits. */
    size_t sent = count / 2 + table->send(backend, ops + count / 2, count - count / 2);
    while (given < sent) {
        idem_wants wants;
        table->wants(backend, &wants);
        struct pollfd entry = {.fd = wants.fd,
                               .events = (short)(wants.write ? POLLIN | POLLOUT : POLLIN)};
        ck_assert(wants.at_once || poll(&entry, 1, 20000) == 1);
        rc = table->receive(backend, done, OPS, &got, NULL);
        ck_assert(got > 0 || rc == IDEM_OK);
        given += got;
    }
    for (size_t i = sent; i < count; i++)
        idem_op_fail(ops[i], false, IDEM_ERR_UNAVAILABLE, "it was not taken");
}

static void submit(idem_op *ops, size_t count, bool in_halves)
{
    idem_op *pointers[OPS];
    idem_error error = {0};
    for (size_t i = 0; i < count; i++)
        pointers[i] = &ops[i];
    if (in_halves)
        send_halves(pointers, count);
    else
        ck_assert_int_eq(idem__redis_backend.submit(backend, pointers, count,
                                                    idem_monotonic_ms() + 20000, &error),
                         IDEM_OK);
}

static idem_op make_op(const plan *at, const char *key, const idem_record *mine)
{
    bool writes = at->kind == IDEM_OP_INSERT || at->kind == IDEM_OP_REPLACE;
    return (idem_op){.kind = at->kind,
                     .key = idem_str(key),
                     .record = writes ? mine : NULL,
                     .live_ms = LIFE_MS,
                     .expected = at->expected};
}

/* What a write makes of the key. */
static uint64_t version_after(const plan *at)
{
    if (!at->applies)
        return at->there;
    return at->kind == IDEM_OP_REMOVE ? 0 : 9;
}

static void judge(const plan *at, const idem_op *op, const char *key, size_t position)
{
    int code = op->error.code;
    bool old = holds(key, at->there);
    bool new = holds(key, version_after(at));
    bool right = false;
    if (code == IDEM_OK)
        right = op->applied == at->applies && op->has_found == !at->applies && new &&
                (at->applies || op->found.version == at->there);
    else if (code == IDEM_ERR_UNAVAILABLE)
        right = old;
    else if (code == IDEM_ERR_UNCERTAIN)
        right = (old || new) && at->kind != IDEM_OP_GET;
    uncertain += code == IDEM_ERR_UNCERTAIN;
    unavailable += code == IDEM_ERR_UNAVAILABLE;
    ck_assert_msg(right && !op->permanent, "%s after %zu bytes: code %d (%s), applied %d, found %d",
                  key, position, code, op->error.message, (int)op->applied, (int)op->has_found);
}

/* An operation whose answer was lost, sent again. */
static void judge_again(const plan *at, const char *key, const idem_record *mine)
{
    idem_op op = make_op(at, key, mine);
    submit(&op, 1, false);
    ck_assert_int_eq(op.error.code, IDEM_OK);
    ck_assert_msg(holds(key, version_after(at)), "%s, sent again", key);
    bool own = op.has_found && op.found.version == 9;
    bool gone = at->kind == IDEM_OP_REMOVE && !op.applied && !op.has_found;
    ck_assert(op.applied || own || gone || !at->applies);
    idem_record_clear(&op.found);
}

static int try_position(relay *between, relay_fault fault, relay_way way, size_t position,
                        bool in_halves)
{
    char keys[OPS][16];
    idem_op ops[OPS];
    const idem_record mine = make_record(9);
    for (size_t i = 0; i < OPS; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "op-%zu", i);
        put(keys[i], plans[i].there);
        ops[i] = make_op(&plans[i], keys[i], &mine);
    }
    relay_arm(between, fault, way, position, false);
    submit(ops, OPS, in_halves);
    int fired = relay_disarm(between);
    freeReplyObject(redisCommand(truth, "PING")); /* what has reached the server is done by then */
    for (size_t i = 0; i < OPS; i++) {
        judge(&plans[i], &ops[i], keys[i], position);
        if (ops[i].error.code != IDEM_OK)
            judge_again(&plans[i], keys[i], &mine);
        idem_record_clear(&ops[i].found);
    }
    return fired;
}

START_TEST(a_pipeline_cut_after_any_byte_gives_every_operation_a_true_answer)
{
    unsigned long positions = 0;
    relay *between = relay_start(redis.port, options.seed);
    truth = redisConnect("127.0.0.1", redis.port);
    values[0].number = 1000;
    config = (idem_config){.size = sizeof config,
                           .scheme = "redis",
                           .host = "127.0.0.1",
                           .port = (uint32_t)relay_port(between),
                           .role = IDEM_ROLE_ANY,
                           .values = values,
                           .display = "redis://127.0.0.1",
                           .deadline_ms = idem_monotonic_ms() + 20000};
    ck_assert_int_eq(idem__redis_backend.open(&config, &backend, NULL), IDEM_OK);
    for (int which = 0; which < 4; which++) {
        relay_fault fault = which % 2 ? RELAY_RESET : RELAY_CLOSE;
        relay_way way = which / 2 ? RELAY_TO_CLIENT : RELAY_TO_SERVER;
        size_t position = options.seed % options.stride;
        while (try_position(between, fault, way, position, _i > 0) > 0) {
            position += options.stride;
            positions++;
        }
    }
    printf("wire_pipeline: %lu positions (every %u.), %lu operations uncertain, %lu unavailable\n",
           positions, options.stride, uncertain, unavailable);
    ck_assert_uint_gt(positions, 4000 / options.stride);
    idem__redis_backend.close(backend);
    relay_stop(between);
    redisFree(truth);
}
END_TEST

int main(int count, char **words)
{
    Suite *suite = suite_create("wire pipeline");
    options = read_options(count, words, (test_options){.stride = 1});
    server_require();
    server_start(&redis, NULL);
    TCase *tcase = tcase_create("pipeline");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, a_pipeline_cut_after_any_byte_gives_every_operation_a_true_answer, 0,
                        2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
