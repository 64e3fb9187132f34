/* SPDX-License-Identifier: MIT */
/* libpq, loaded when the first store needs it. */
#ifndef IDEM_POSTGRES_PQ_H
#define IDEM_POSTGRES_PQ_H

#include <idem/backend.h>

#include <libpq-fe.h>

/** The functions of libpq that are used here. Each is a member of ::idem__pq under its own name. */
/* clang-format off */
#define IDEM__PQ_FUNCTIONS(X)                                                           \
    X(PQbackendPID) X(PQclear) X(PQcmdTuples) X(PQconnectPoll) X(PQconnectStartParams)  \
    X(PQconsumeInput) X(PQenterPipelineMode) X(PQerrorMessage) X(PQexitPipelineMode)    \
    X(PQfinish) X(PQflush) X(PQgetResult) X(PQgetisnull) X(PQgetlength) X(PQgetvalue)   \
    X(PQisBusy) X(PQisnonblocking) X(PQlibVersion) X(PQnfields) X(PQntuples)            \
    X(PQpipelineStatus) X(PQpipelineSync) X(PQresultErrorField) X(PQresultStatus)       \
    X(PQsendPrepare) X(PQsendQueryParams) X(PQsendQueryPrepared) X(PQsetErrorVerbosity) \
    X(PQsetNoticeReceiver) X(PQsetnonblocking) X(PQsocket) X(PQsslInUse) X(PQsslStruct) \
    X(PQstatus) X(PQtransactionStatus)
/* clang-format on */

typedef struct {
#define IDEM__PQ_MEMBER(name) __typeof__(&name) name;
    IDEM__PQ_FUNCTIONS(IDEM__PQ_MEMBER)
#undef IDEM__PQ_MEMBER
    int (*ssl_pending)(const void *ssl); /**< OpenSSL's; NULL: libpq is made without it */
} idem__pq;

/**
 * The functions of libpq. The first call loads the library.
 *
 * @param[out] pq  stays for the rest of the process
 * @return IDEM_ERR_UNSUPPORTED: there is no libpq, or it is too old; IDEM_ERR_NO_MEMORY
 */
int idem__pq_load(const idem__pq **pq, idem_error *error);

#endif
