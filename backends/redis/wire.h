/* SPDX-License-Identifier: MIT */
/* Commands out, replies in, over a socket of our own, by a deadline. */
#ifndef IDEM_REDIS_WIRE_H
#define IDEM_REDIS_WIRE_H

#include "fault.h"
#include "tls.h"

#include <hiredis/hiredis.h>

#if HIREDIS_MAJOR >= 1
typedef size_t idem__redis_count;
#else
typedef int idem__redis_count;
#endif

/** Read from the socket at a time. */
#define IDEM__REDIS_CHUNK 65536

/** The most digits that a number of 64 bits has. */
#define IDEM__REDIS_DIGITS_MAX 20u

typedef struct {
    const char *name;     /**< the server in messages */
    int fd;               /**< -1: closed */
    idem__redis_tls *tls; /**< between it and the descriptor; the instance's. NULL: none */
    bool broken;          /**< nothing more can be sent; replies may still come */
    bool secret;          /**< the pipeline has to be overwritten when it is done */
    bool naps;            /**< recv() sleeps, for a bounded time */
    bool excessive; /**< an array of the server's was refused for its length, or a nothing for its
                        kind */
    redisReader *reader;
    redisReplyObjectFunctions functions;
    void *(*create_array)(const redisReadTask *task, idem__redis_count count);
    void *(*create_nil)(const redisReadTask *task);
    size_t elements; /**< of the reply that is being read, all arrays together */
    size_t received; /**< its bytes, or a little more */
    idem_buffer out; /**< commands since the last begin; sent up to `sent` */
    size_t sent;
    size_t expected; /**< replies that are still to come */
    unsigned seals;  /**< how pipelines are sealed, see wire.c; 0: they are not */
    bool sealed;     /**< the server has answered to such a seal */
    uint64_t seal;   /**< the last one */
    idem_spin patience;
    size_t chunk_len; /**< of what was received last, and how much of it the reader was given */
    size_t fed;
    char chunk[IDEM__REDIS_CHUNK];
} idem__redis_wire;

/** A blank wire is closed: `fd` has to be -1. Takes the descriptor, also when it fails.
 *  @return IDEM_ERR_NO_MEMORY */
int idem__redis_wire_open(idem__redis_wire *wire, int fd, idem__redis_fault *fault);

/** Closes it without a word to the server. */
void idem__redis_wire_close(idem__redis_wire *wire);

/** Looks whether the server has closed it, or has sent what nobody asked for, while no answer is
 *  due.
 *  @return IDEM_OK: neither; IDEM_ERR_UNAVAILABLE */
int idem__redis_wire_quiet(idem__redis_wire *wire, idem__redis_fault *fault);

/** True if it is open, and the server has neither closed it nor sent what nobody asked for. That
 *  takes a system call. */
bool idem__redis_wire_usable(idem__redis_wire *wire);

/** Begins a pipeline and forgets the last one. `secret`: a password will be in it. */
void idem__redis_wire_begin(idem__redis_wire *wire, bool secret);

/** A number as a word of a command, in the given room. */
idem_bytes idem__redis_wire_number(uint64_t number, char digits[IDEM__REDIS_DIGITS_MAX]);

/** Appends a command to the pipeline. It is sent when a reply is waited for.
 *  @return IDEM_ERR_NO_MEMORY; IDEM_ERR_TOO_LARGE: nothing was appended */
int idem__redis_wire_append(idem__redis_wire *wire, size_t count, const idem_bytes *words,
                            idem__redis_fault *fault);

/**
 * Sends what is left of the pipeline, and waits for its next reply.
 *
 * @param[out] reply  free it with freeReplyObject()
 * @return IDEM_ERR_UNAVAILABLE: it will not come; IDEM_ERR_NO_MEMORY: it can't be taken in. The
 *         wire has to be closed
 */
int idem__redis_wire_reply(idem__redis_wire *wire, uint64_t deadline_ms, redisReply **reply,
                           idem__redis_fault *fault);

/** Ends a pipeline with something that was never sent before, and that the server says again.
 *  @return as append */
int idem__redis_wire_seal(idem__redis_wire *wire, idem__redis_fault *fault);

/** Takes the seal's reply, when all others were taken. Where it is another one, the answers before
 *  it were not those to this pipeline. @return as reply */
int idem__redis_wire_confirm(idem__redis_wire *wire, uint64_t deadline_ms,
                             idem__redis_fault *fault);

/** The same for the greeting, where a server may say that it has no such command, or none for this
 *  user. Then the others are tried, each in a pipeline of its own; if all are refused, there are no
 *  seals. */
int idem__redis_wire_agree(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault);

/** Waits for the descriptor. @return false: the deadline has come */
bool idem__redis_wire_wait(int fd, short events, uint64_t deadline_ms, short *happened);

#endif
