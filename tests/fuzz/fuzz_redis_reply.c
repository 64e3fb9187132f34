/* SPDX-License-Identifier: MIT */
/*
 * Bytes that a server might send, given to the Redis backend through a socket. The first byte
 * chooses what has been asked: a batch of ops, a scan, a check, or (over a connection of its own,
 * with a password) the greeting. Whatever comes, each op has one answer that the contract allows,
 * a record that was found is sound and the key's own, and no message has the password or a control
 * character in it.
 *
 * But for the greeting nothing waits and no thread is needed: the whole input lies in the socket,
 * and behind it the end of the stream.
 */
#include "fuzz.h"

#include "redis/batch.h"
#include "redis/check.h"
#include "redis/scan.h"
#include "redis_peer.h"

#include <sys/socket.h>
#include <unistd.h>

#define INPUT_MAX REDIS_PEER_MAX
#define TIME_MS   2000u
#define OPS_MAX   6u

typedef enum { BATCH, SCAN, CHECK, GREETING } question;

static const idem_value values[IDEM__REDIS_UNIX_PARAMS] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = {.text = "1s", .number = 1000},
    [IDEM__REDIS_DB] = {.text = "0"},
};

static const idem_config config = {
    .size = sizeof config, .scheme = "redis", .values = values, .display = "redis://fuzzed"};

/* An instance whose server has sent `bytes` and closed its side. @return the server's end */
static int connect_to(idem__redis *self, fuzz_source bytes)
{
    int ends[2];
    idem__redis_fault fault = {0};
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    while (bytes.left > 0) {
        ssize_t sent = send(ends[1], bytes.at, bytes.left, MSG_NOSIGNAL);
        HOLDS(sent > 0);
        (void)fuzz_bytes(&bytes, (size_t)sent);
    }
    HOLDS(shutdown(ends[1], SHUT_WR) == 0);
    self->config = &config;
    self->wire.name = self->name;
    (void)snprintf(self->name, sizeof self->name, "Redis at \"fuzzed\" port 1");
    HOLDS(idem__redis_wire_open(&self->wire, ends[0], &fault) == IDEM_OK);
    return ends[1];
}

/* --------------------------------------------------------------------------------------- batch */

/* An op of each kind, on one of two keys. */
static void make_op(uint8_t choice, idem_op *op, idem_record *record)
{
    static const char *const keys[] = {"a", "b"};
    *record = (idem_record){.status = IDEM_STATUS_IN_PROGRESS,
                            .attempt = 1,
                            .token = {1},
                            .version = UINT64_C(0x1122334455667788),
                            .lease_ms = 60000,
                            .ttl_ms = 86400000};
    record->key = idem_str(keys[choice >> 2 & 1]);
    *op = (idem_op){.kind = (idem_op_kind)(IDEM_OP_INSERT + choice % 4), .key = record->key};
    op->any_version = op->kind == IDEM_OP_REMOVE && (choice & 8);
    op->expected = op->any_version ? 0 : UINT64_C(0x00000000deadbeef);
    if (op->kind == IDEM_OP_INSERT || op->kind == IDEM_OP_REPLACE) {
        op->record = record;
        op->live_ms = idem_record_live_ms(record);
    }
}

static void check_found(const idem_record *found, idem_bytes key)
{
    HOLDS(fuzz_same(found->key, key) && found->memory != NULL && found->attempt >= 1);
    HOLDS(found->status == IDEM_STATUS_IN_PROGRESS || found->status == IDEM_STATUS_COMPLETED);
    HOLDS((found->status == IDEM_STATUS_COMPLETED) == (found->response.len > 0));
    HOLDS(found->lease_ms >= 1 && found->lease_ms <= IDEM_DURATION_MAX_MS);
    HOLDS(idem_record_live_ms(found) >= 1 && found->ttl_ms <= IDEM_DURATION_MAX_MS);
    HOLDS(found->age_ms <= idem_record_live_ms(found));
}

static void check_op(idem_op *op)
{
    bool reads = op->kind == IDEM_OP_GET;
    HOLDS(!(op->applied && op->has_found) && !(reads && op->applied));
    if (op->error.code) {
        HOLDS(!op->applied && !op->has_found && op->found.memory == NULL);
        HOLDS(!reads || op->error.code != IDEM_ERR_UNCERTAIN);
        fuzz_check_message(&op->error, op->error.code);
    } else if (op->has_found) {
        HOLDS(!op->any_version);
        check_found(&op->found, op->key);
    }
    idem_record_clear(&op->found);
}

static void ask_batch(idem__redis *self, fuzz_source *source)
{
    idem_op ops[OPS_MAX];
    idem_record records[OPS_MAX];
    idem_op *list[OPS_MAX];
    size_t count = 1 + fuzz_below(source, OPS_MAX);
    for (size_t i = 0; i < count; i++) {
        make_op(fuzz_byte(source), &ops[i], &records[i]);
        list[i] = &ops[i];
    }
    self->no_nx_get = fuzz_below(source, 4) == 3;
    int server = connect_to(self, *source);
    idem__redis_batch_run(self, list, count, idem_monotonic_ms() + TIME_MS);
    for (size_t i = 0; i < count; i++)
        check_op(&ops[i]);
    (void)close(server);
}

/* --------------------------------------------------------------------------------- scan, check */

static int take_record(void *user, const idem_record *record, idem_error *error)
{
    (void)error;
    HOLDS(record->key.len > 0 && ((const char *)record->key.data)[0] == 'p');
    check_found(record, record->key);
    ++*(uint64_t *)user;
    return IDEM_OK;
}

static void ask_scan(idem__redis *self, fuzz_source *source)
{
    uint64_t given = 0;
    idem__redis_fault fault = {0};
    idem_scan_page page = {
        .prefix = {"p", 1}, .limit = 4, .emit = take_record, .emit_user = &given};
    int server = connect_to(self, *source);
    int rc = idem__redis_scan(self, &page, idem_monotonic_ms() + TIME_MS, &fault);
    HOLDS(rc == fault.error.code);
    if (rc)
        fuzz_check_message(&fault.error, rc);
    (void)close(server);
}

static void take_finding(void *user, const idem_finding *finding)
{
    (void)user;
    HOLDS(finding->what[0] != '\0' && finding->fix[0] != '\0');
    for (const char *at = finding->what; *at; at++)
        HOLDS((unsigned char)*at >= ' ' && *at != '\x7f');
}

static void ask_check(idem__redis *self, fuzz_source *source)
{
    idem__redis_fault fault = {0};
    int server = connect_to(self, *source);
    int rc = idem__redis_check(self, take_finding, NULL, idem_monotonic_ms() + TIME_MS, &fault);
    HOLDS(rc == fault.error.code);
    if (rc)
        fuzz_check_message(&fault.error, rc);
    (void)close(server);
}

/* ------------------------------------------------------------------------------------ greeting */

static void ask_greeting(const fuzz_source *source)
{
    idem_store *store = NULL;
    idem_error error;
    int rc = idem_open(redis_peer_url(source->at, source->left), &store, &error);
    HOLDS((rc == IDEM_OK) == (store != NULL) && error.code == rc);
    if (rc) {
        fuzz_check_message(&error, rc);
        HOLDS(strstr(error.message, REDIS_PEER_PASSWORD) == NULL);
    }
    idem_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const question questions[16] = {
        [10] = SCAN, [11] = SCAN, [12] = SCAN, [13] = CHECK, [14] = CHECK, [15] = GREETING};
    fuzz_source source = {data, size < INPUT_MAX ? size : INPUT_MAX};
    uint8_t choice = fuzz_byte(&source);
    idem__redis *self = calloc(1, sizeof *self);
    HOLDS(self != NULL);
    self->wire.fd = -1;
    switch (questions[choice % 16]) {
    case BATCH:
        ask_batch(self, &source);
        break;
    case SCAN:
        ask_scan(self, &source);
        break;
    case CHECK:
        ask_check(self, &source);
        break;
    case GREETING:
        ask_greeting(&source);
        break;
    }
    idem__redis_wire_close(&self->wire);
    idem_buffer_clear(&self->text);
    free(self);
    return 0;
}
