/* SPDX-License-Identifier: MIT */
/*
 * An instance whose slots the test calls by itself: connect, send, receive and the rest, as the
 * store's engine does. Over TCP through a proxy, or over TLS.
 */
#ifndef IDEM_TESTS_SLOTS_H
#define IDEM_TESTS_SLOTS_H

#include "proxy.h"
#include "redis_test.h"
#include "tls_server.h"

#include <poll.h>
#include <stdlib.h>

#define ANSWER_MS 20000 /* no answer takes so long on any machine */
#define ROOM      64

extern const idem_backend_ops idem__redis_backend;
#ifdef WITH_TLS
extern const idem_backend_ops idem__redis_tls_backend;
#endif

static server redis;
static proxy *between;
static const idem_backend_ops *ops_of;
static idem_backend *backend;

static inline idem_record make_record(uint64_t version, idem_bytes response)
{
    idem_record record = {
        .version = version,
        .status = response.len ? IDEM_STATUS_COMPLETED : IDEM_STATUS_IN_PROGRESS,
        .response = response,
        .attempt = 1,
        .lease_ms = LONG_MS,
        .ttl_ms = LONG_MS,
        .created_at_ms = 1,
        .updated_at_ms = 2,
    };
    memcpy(record.token, TOKEN, sizeof record.token);
    return record;
}

static inline idem_op make_op(idem_op_kind kind, const char *key, const idem_record *record)
{
    return (idem_op){.kind = kind, .key = idem_str(key), .record = record, .live_ms = LONG_MS};
}

/** Opens the instance: at a port of the proxy's, or of a server with TLS. */
static inline void open_at(const idem_backend_ops *table, const char *host, int port,
                           const char *ca)
{
    static idem_value values[8];
    static idem_config config;
    memset(values, 0, sizeof values);
    values[0].number = ANSWER_MS; /* connect_timeout */
    values[2].text = ca;          /* tls_ca, where there is one */
    config = (idem_config){.size = sizeof config,
                           .scheme = table->scheme,
                           .host = host,
                           .port = (uint32_t)port,
                           .role = IDEM_ROLE_ANY,
                           .values = values,
                           .display = "redis",
                           .deadline_ms = idem_monotonic_ms() + ANSWER_MS};
    ops_of = table;
    err = (idem_error){0};
    ck_assert_msg(table->open(&config, &backend, &err) == IDEM_OK, "%s", err.message);
}

static inline void send_all(idem_op *ops, size_t count)
{
    idem_op *pointers[ROOM];
    for (size_t i = 0; i < count; i++)
        pointers[i] = &ops[i];
    ck_assert_uint_eq(ops_of->send(backend, pointers, count), count);
}

static inline idem_wants wants(void)
{
    idem_wants now;
    ops_of->wants(backend, &now);
    return now;
}

/** Waits for what the instance wants, and receives once. @return as receive */
static inline int receive_once(idem_op **done, size_t room, size_t *count)
{
    idem_wants now = wants();
    if (!now.at_once) {
        struct pollfd entry = {
            .fd = now.fd,
            .events = (short)((now.read ? POLLIN : 0) | (now.write ? POLLOUT : 0))};
        ck_assert_int_eq(poll(&entry, 1, ANSWER_MS), 1);
    }
    err = (idem_error){0};
    return ops_of->receive(backend, done, room, count, &err);
}

/** Receives until so many ops were given back, or the connection is over. @return as receive */
static inline int receive_all(idem_op **done, size_t wanted, size_t *count)
{
    int rc = IDEM_OK;
    *count = 0;
    while (rc == IDEM_OK && *count < wanted) {
        size_t got = 0;
        rc = receive_once(done + *count, wanted - *count, &got);
        *count += got;
    }
    return rc;
}

/** The same where nothing may go wrong with the connection. */
static inline void receive_count(idem_op **done, size_t wanted)
{
    size_t count = 0;
    int rc = receive_all(done, wanted, &count);
    ck_assert_msg(rc == IDEM_OK, "%d: %s", rc, err.message);
    ck_assert_uint_eq(count, wanted);
}

static inline void connect_again(void)
{
    err = (idem_error){0};
    ck_assert_msg(ops_of->connect(backend, idem_monotonic_ms() + ANSWER_MS, &err) == IDEM_OK, "%s",
                  err.message);
}

/** Sends ops and receives them all. */
static inline void carry_out(idem_op *ops, size_t count)
{
    idem_op *done[ROOM];
    connect_again();
    send_all(ops, count);
    receive_count(done, count);
}

static inline void clear_ops(idem_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        idem_record_clear(&ops[i].found);
}

#endif
