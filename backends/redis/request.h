/* SPDX-License-Identifier: MIT */
/* One op on its way: in which form it is sent, and what its answer makes of it. */
#ifndef IDEM_REDIS_REQUEST_H
#define IDEM_REDIS_REQUEST_H

#include "fault.h"
#include "scripts.h"

#include <hiredis/hiredis.h>

#define IDEM__REDIS_NOT_SENT    UINT64_MAX
#define IDEM__REDIS_REPLIES_MAX 6u

/** The forms in which an op is sent. */
typedef enum {
    IDEM__REDIS_COMMAND, /**< a command of Redis' own does it: SET, DEL */
    IDEM__REDIS_BY_NAME, /**< a script by its name */
    IDEM__REDIS_BY_TEXT, /**< a script by its text, which the server keeps */
    IDEM__REDIS_BY_READS /**< GET, PTTL and GET again, where there is no right to scripts */
} idem__redis_form;

typedef struct idem__redis idem__redis;

typedef struct idem__redis_request {
    struct idem__redis_request *next;
    idem_op *op; /**< NULL: it was abandoned, and what is answered is dropped */
    idem__redis_script script;
    idem__redis_form form;
    bool looks;     /**< its change was refused, which the op's error says; it now reads what is
                         there */
    bool stale;     /**< by a server whose records may be old */
    bool rights;    /**< for lack of a right */
    bool answered;  /**< at least once */
    bool asking;    /**< with ASKING before each of its commands */
    bool last;      /**< of its pipeline: a seal follows, if there are seals */
    bool waits;     /**< and in front of the seal, the server waits for its replicas */
    unsigned tries; /**< reads between which the record was changed */
    uint64_t begin; /**< where its commands begin and end in what the connection sends */
    uint64_t end;
} idem__redis_request;

typedef enum { IDEM__REDIS_DONE, IDEM__REDIS_AGAIN, IDEM__REDIS_BROKEN } idem__redis_verdict;

idem__redis_request idem__redis_request_make(const idem__redis *self, idem_op *op);

/** How many replies its form has. */
size_t idem__redis_request_replies(const idem__redis_request *at);

/** Appends its commands to what is to be sent. @return false: its op has failed */
bool idem__redis_request_append(idem__redis *self, idem__redis_request *at);

/** Takes the replies in. BROKEN: `whole` says why; it also learns what concerns the connection. */
idem__redis_verdict idem__redis_request_take(idem__redis *self, idem__redis_request *at,
                                             redisReply *const *replies, idem__redis_fault *whole);

/** The connection failed before it had its answer. */
void idem__redis_request_fail(const idem__redis *self, idem__redis_request *at,
                              const idem__redis_fault *fault);

/** The answers were out of step: takes back what its op was told. */
void idem__redis_request_distrust(idem__redis_request *at, const idem__redis_fault *fault);

/** Makes the lower half of an op blank again. */
void idem__redis_request_take_back(idem_op *op);

#endif
