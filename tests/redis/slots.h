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
#include <signal.h>
#include <stdlib.h>

#define ANSWER_MS 20000 /* no answer takes so long on any machine */
#define ROOM      64

extern const idem_backend_ops idem__redis_backend;
#ifdef WITH_TLS
extern const idem_backend_ops idem__redis_tls_backend;
#endif

static server redis;
#ifdef WITH_TLS
static tls_server secure;
#endif
static proxy *between;
static const idem_backend_ops *ops_of;
static idem_backend *backend;

/** Opens the instance: at a port of the proxy's, or of a server with TLS. */
static inline void open_at(const idem_backend_ops *table, const char *host, int port,
                           const char *ca)
{
    static idem_value values[8];
    static idem_config config;
    memset(values, 0, sizeof values);
    values[0].number = ANSWER_MS; /* connect_timeout */
    values[3].text = ca;          /* tls_ca, where there is one */
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
            .fd = now.fd, .events = (short)((now.read ? POLLIN : 0) | (now.write ? POLLOUT : 0))};
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

static inline void freeze(const server *at)
{
    ck_assert_int_eq(kill(at->pid, SIGSTOP), 0);
}

static inline void go_on(const server *at)
{
    ck_assert_int_eq(kill(at->pid, SIGCONT), 0);
}

static inline void set_up(void)
{
    go_on(&redis); /* where a test has failed */
    server_do(&redis, "FLUSHALL");
    between = proxy_start(redis.port);
    open_at(&idem__redis_backend, "127.0.0.1", atoi(strrchr(proxy_url(between), ':') + 1), NULL);
    /* The server knows the scripts from here on, and the user's rights are proved. */
    idem_record record = make_record(1, idem_str(""));
    idem_op warm_up[] = {
        make_op(IDEM_OP_INSERT, "warm-up", &record), make_op(IDEM_OP_GET, "warm-up", NULL),
        make_op(IDEM_OP_REPLACE, "warm-up", &record), make_op(IDEM_OP_REMOVE, "warm-up", NULL)};
    warm_up[2].expected = 1;
    warm_up[3].expected = 1;
    for (size_t i = 0; i < 4; i++)
        carry_out(&warm_up[i], 1);
    clear_ops(warm_up, 4);
}

static inline void tear_down(void)
{
    ops_of->close(backend);
    proxy_stop(between);
}

/* The same instance over TLS, where there is TLS and the row asks for it. */
static inline const server *choose_way(int row)
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

static inline void put(const server *at, const char *key, uint64_t version)
{
    idem_buffer text = {0};
    idem_record record = make_record(version, idem_str(""));
    ck_assert_int_eq(idem_record_encode(&record, &text, NULL), IDEM_OK);
    server_do(at, "SET %s %b PX 60000", key, text.data, text.len);
    idem_buffer_clear(&text);
}

/* Ops that read keys with versions of 1, 2, … */
static inline void make_gets(const server *at, idem_op *ops, char keys[][16], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], 16, "get-%u", (unsigned)i);
        put(at, keys[i], i + 1);
        ops[i] = make_op(IDEM_OP_GET, keys[i], NULL);
    }
}

static inline void expect_versions(const idem_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(ops[i].error.code == IDEM_OK && ops[i].has_found &&
                          ops[i].found.version == i + 1,
                      "%zu: %d %s, version %llu", i, ops[i].error.code, ops[i].error.message,
                      (unsigned long long)ops[i].found.version);
}

/* Without the proxy, which does not pass on what happens at rest. */
static inline void go_direct(void)
{
    ops_of->close(backend);
    open_at(&idem__redis_backend, "127.0.0.1", redis.port, NULL);
}

static inline void start_servers(void)
{
    server_require();
    server_start(&redis, NULL);
#ifdef WITH_TLS
    tls_server_start(&secure, "server", NULL);
#endif
}

#endif
