/* SPDX-License-Identifier: MIT */
/* What the tables of operations share: see redis.c and rediss.c. */
#ifndef IDEM_REDIS_TABLE_H
#define IDEM_REDIS_TABLE_H

#include "sentinel.h"

/** Gives a located instance what it talks through; NULL: nothing. */
typedef int (*idem__redis_equip)(idem__redis *located, idem__redis_fault *fault);

/** An instance that is not connected yet. The configuration has to stay. */
int idem__redis_make(const idem_backend_ops *ops, idem__redis_way way, idem__redis_equip equip,
                     const idem_config *config, idem__redis **made, idem__redis_fault *fault);
int idem__redis_open(const idem_backend_ops *ops, idem__redis_way way, idem__redis_equip equip,
                     const idem_config *config, idem_backend **backend, idem_error *error);
int idem__redis_prepare(idem__redis_way way, const idem_config *config, idem_error *error);

/** The same where sentinels are asked: leaves their list for all instances. */
int idem__redis_prepare_sentinel(idem__redis_way way, const idem_config *config, void **prepared,
                                 idem_error *error);
void idem__redis_dispose_sentinel(void *prepared);

int idem__redis_run_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                           uint64_t deadline_ms, idem_error *error);
int idem__redis_connect(idem_backend *backend, uint64_t deadline_ms, idem_error *error);
int idem__redis_run_scan(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                         idem_error *error);
int idem__redis_run_check(idem_backend *backend, idem_finding_fn emit, void *emit_user,
                          uint64_t deadline_ms, idem_error *error);
void idem__redis_at_fork(idem_backend *backend, idem_fork_phase phase);
void idem__redis_close(idem_backend *backend);

/* clang-format off */
#define IDEM__REDIS_PASSWORD_FILE_ROW \
    {.name = "password_file", \
     .type = IDEM_PARAM_TEXT, \
     .help = "file with the password, read again for each connection"}
#define IDEM__REDIS_CONNECT_TIMEOUT_ROW \
    {.name = "connect_timeout", \
     .type = IDEM_PARAM_DURATION, \
     .fallback = "1s", \
     .help = "how long to wait for a connection, within the call's timeout"}
#define IDEM__REDIS_REPLICAS_ROW \
    {.name = "replicas", \
     .type = IDEM_PARAM_COUNT, \
     .help = "a change counts once so many replicas have it (WAIT); fewer by the deadline: it " \
             "is uncertain"}
#define IDEM__REDIS_SENTINEL_ROWS(first) \
    [(first) + IDEM__REDIS_SENTINEL_USER] = {.name = "sentinel_user", \
                                             .type = IDEM_PARAM_TEXT, \
                                             .help = "the user that the sentinels know"}, \
    [(first) + IDEM__REDIS_SENTINEL_PASSWORD] = {.name = "sentinel_password", \
                                                 .type = IDEM_PARAM_TEXT, \
                                                 .help = "its password; the one in front of the " \
                                                         "hosts is the master's"}, \
    [(first) + IDEM__REDIS_SENTINEL_PASSWORD_FILE] = { \
        .name = "sentinel_password_file", \
        .type = IDEM_PARAM_TEXT, \
        .help = "file with it, read again for each connection"}
/* clang-format on */

/* clang-format off */
#define IDEM__REDIS_SHARED \
    .size = sizeof(idem_backend_ops), \
    .instances = 4, \
    .submit = idem__redis_run_submit, \
    .close = idem__redis_close, \
    .scan = idem__redis_run_scan, \
    .check = idem__redis_run_check, \
    .at_fork = idem__redis_at_fork, \
    .connect = idem__redis_connect, \
    .send = idem__redis_send, \
    .receive = idem__redis_receive, \
    .abandon = idem__redis_abandon, \
    .drop = idem__redis_drop, \
    .wants = idem__redis_say_wants
#define IDEM__REDIS_ONE_HOST \
    IDEM__REDIS_SHARED, \
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_CREDENTIALS
#define IDEM__REDIS_HOSTS \
    IDEM__REDIS_SHARED, \
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_BACKEND_CREDENTIALS | \
              IDEM_BACKEND_HOST_LIST
/* clang-format on */

#endif
