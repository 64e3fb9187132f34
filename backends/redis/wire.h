/* SPDX-License-Identifier: MIT */
/* Commands out, replies in, over a socket of our own: without waiting, or by a deadline. */
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
    bool pending;         /**< TLS has more that no poll would tell */
    bool excessive; /**< an array of the server's was refused for its length, or a nothing for its
                        kind */
    redisReader *reader;
    redisReplyObjectFunctions functions;
    void *(*create_array)(const redisReadTask *task, idem__redis_count count);
    void *(*create_nil)(const redisReadTask *task);
    bool nested;     /**< answers may be as deep and as many-membered as CLUSTER SLOTS and HELLO */
    size_t elements; /**< of the reply that is being read, all arrays together */
    size_t received; /**< its bytes, or a little more */
    idem_buffer out; /**< commands; sent up to `sent` */
    size_t sent;
    uint64_t gone;     /**< bytes that were sent and are not in `out` any more */
    uint64_t progress; /**< bytes that came, and that were sent after they had to wait */
    bool held_up;      /**< the system did not take all at once, some time */
    size_t expected;   /**< replies that are still to come */
    unsigned seals;    /**< how pipelines are sealed, see wire.c; 0: they are not */
    bool sealed;       /**< the server has answered to such a seal */
    uint64_t seal;     /**< the last one that was sent, and that was answered */
    uint64_t confirmed;
    uint64_t heard_ms; /**< when something came last, by the coarse clock */
    size_t chunk_len;  /**< of what was received last, and how much of it the reader was given */
    size_t fed;
    char chunk[IDEM__REDIS_CHUNK];
} idem__redis_wire;

/** A blank wire is closed: `fd` has to be -1. Takes the descriptor, also when it fails.
 *  @return IDEM_ERR_NO_MEMORY */
int idem__redis_wire_open(idem__redis_wire *wire, int fd, idem__redis_fault *fault);

/** Closes it without a word to the server. */
void idem__redis_wire_close(idem__redis_wire *wire);

/** Looks whether the server has closed it, or has sent an answer that was not asked for, while no
 *  answer is due.
 *  @return IDEM_OK: neither; IDEM_ERR_UNAVAILABLE */
int idem__redis_wire_quiet(idem__redis_wire *wire, idem__redis_fault *fault);

/** True if it is open, and the server has neither closed it nor sent what nobody asked for. That
 *  takes a system call. */
bool idem__redis_wire_usable(idem__redis_wire *wire);

/** Begins anew and forgets what was not sent. `secret`: a password will be in it. Nothing is in
 *  flight. */
void idem__redis_wire_begin(idem__redis_wire *wire, bool secret);

/** A number as a word of a command, in the given room. */
idem_bytes idem__redis_wire_number(uint64_t number, char digits[IDEM__REDIS_DIGITS_MAX]);

/** Appends a command. It is sent by the next flush, or when a reply is waited for.
 *  @return IDEM_ERR_NO_MEMORY; IDEM_ERR_TOO_LARGE: nothing was appended */
int idem__redis_wire_append(idem__redis_wire *wire, size_t count, const idem_bytes *words,
                            idem__redis_fault *fault);

/** Where the next command will begin, and up to where all was sent: bytes of this connection. */
uint64_t idem__redis_wire_end(const idem__redis_wire *wire);
uint64_t idem__redis_wire_sent(const idem__redis_wire *wire);

/** Takes the commands from such a point on back: none of them was sent. */
void idem__redis_wire_cut(idem__redis_wire *wire, uint64_t end, size_t commands);

/* ------------------------------------------------------------------------------ without waiting */

/** Sends what the system takes at once. */
void idem__redis_wire_flush(idem__redis_wire *wire);

/** Reads once. @param[out] got  something has come
 *  @return IDEM_ERR_UNAVAILABLE: the connection is over */
int idem__redis_wire_read(idem__redis_wire *wire, bool *got, idem__redis_fault *fault);

/** Takes the next reply from what was read, if it is whole; else `reply` is NULL.
 *  @param[out] reply  free it with freeReplyObject()
 *  @return IDEM_ERR_UNAVAILABLE: it is none; IDEM_ERR_NO_MEMORY: it can't be taken in. The wire has
 *  to be closed */
int idem__redis_wire_take(idem__redis_wire *wire, redisReply **reply, idem__redis_fault *fault);

/** Ends a pipeline with something that was never sent before, and that the server says again.
 *  @return as append */
int idem__redis_wire_seal(idem__redis_wire *wire, idem__redis_fault *fault);

/** Judges a seal's reply, when all before it were taken. Where it is another one, the answers
 *  before it were not those to this pipeline.
 *  @return IDEM_ERR_UNAVAILABLE */
int idem__redis_wire_confirm(idem__redis_wire *wire, const redisReply *reply,
                             idem__redis_fault *fault);

/** True if pipelines are sealed. */
bool idem__redis_wire_seals(const idem__redis_wire *wire);

/** True if replies, or parts of them, have come that were not taken. */
bool idem__redis_wire_has_more(const idem__redis_wire *wire);

/** True if something waits for the descriptor to become writable. */
bool idem__redis_wire_wants_write(const idem__redis_wire *wire);

/** Why a reply did not come, or came that nobody asked for: the server said why, or it closed the
 *  connection; the connection was lost before; it is late; it is one too many.
 *  @return IDEM_ERR_UNAVAILABLE */
int idem__redis_wire_tell_closed(const idem__redis_wire *wire, idem__redis_fault *fault);
int idem__redis_wire_tell_lost(const idem__redis_wire *wire, idem__redis_fault *fault);
int idem__redis_wire_tell_excess(const idem__redis_wire *wire, idem__redis_fault *fault);
int idem__redis_wire_tell_late(const idem__redis_wire *wire, idem__redis_fault *fault);

/* -------------------------------------------------------------------------------- by a deadline */

/** Sends what is left, and waits for the next reply. @return as take */
int idem__redis_wire_reply(idem__redis_wire *wire, uint64_t deadline_ms, redisReply **reply,
                           idem__redis_fault *fault);

/** Waits for the reply to the greeting's seal. A server may say that it has no such command, or
 *  none for this user. Then the others are tried, each in a pipeline of its own; if all are
 *  refused, there are no seals. One that can't answer yet (it is busy, or loads its data) is not
 *  asked again: pipelines are sealed, and their seals tell. */
int idem__redis_wire_agree(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault);

/** Waits for the descriptor. @return false: the deadline has come */
bool idem__redis_wire_wait(int fd, short events, uint64_t deadline_ms, short *happened);

#endif
