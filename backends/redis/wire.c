/* SPDX-License-Identifier: MIT */
/*
 * Commands out, replies in. hiredis parses the replies; the socket is ours, so that no wait
 * outlasts the deadline and no signal is raised by a server that has gone.
 *
 * Nothing here waits: that is wire_wait.c's.
 *
 * Reading goes on while there is something to send: a server that refuses a command answers and
 * closes before it has read all.
 *
 * What comes may be anything. What it can make us allocate is limited, in bytes, in elements and in
 * depth of arrays, and a line or a length that no answer can have is not waited for. A peer that
 * sends without end is not read beyond the deadline. What comes behind the last answer that was
 * asked for would be taken for the next one's, so it ends the connection. One that comes before,
 * from a proxy that is out of step, shows when the seal at the pipeline's end is not what it has to
 * be.
 *
 * Invariant: `sent` bytes of `out` were given to the system, in order. A command of which not even
 * the first byte was given to it was never carried out.
 */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX     32u /* of a number with its sign and both ends of a line, and of the next */
#define SPARE        512u
#define VALUE_MAX    ((size_t)512 << 20) /* Redis' own limit, unless it was raised */
#define REPLY_MAX    (VALUE_MAX + 65536u)
#define ELEMENTS_MAX 65536u
#define DEPTH_MAX    3u      /* arrays in the answer to ROLE */
#define NESTED_MAX   524288u /* elements of a map in which each slot stands alone */
#define NESTED_DEPTH 4u
#define LINE_MAX_LEN 65536u  /* of a status, an error, a number, a length */
#define KEPT_MAX     262144u /* capacity that an idle wire may keep */
#define SEAL_LEN     16u
#define FED_MAX      4096u /* handed to the reader at a time */

/* What says a text again, by preference: ECHO also works while a server loads its data; a user may
   lack it, and PING. Users that may claim a key have EVAL. */
enum { NO_SEALS, BY_ECHO, BY_PING, BY_EVAL };

/* --------------------------------------------------------------------------------- commands */

static void wipe(void *data, size_t len)
{
    volatile char *at = data;
    while (len-- > 0)
        *at++ = '\0';
}

void idem__redis_wire_begin(idem__redis_wire *wire, bool secret)
{
    if (wire->secret && wire->out.len > 0)
        wipe(wire->out.data, wire->out.len);
    if (wire->out.capacity > KEPT_MAX)
        idem_buffer_clear(&wire->out);
    wire->secret = secret;
    wire->gone += wire->sent;
    wire->out.len = 0;
    wire->sent = 0;
}

uint64_t idem__redis_wire_end(const idem__redis_wire *wire)
{
    return wire->gone + wire->out.len;
}

uint64_t idem__redis_wire_sent(const idem__redis_wire *wire)
{
    return wire->gone + wire->sent;
}

void idem__redis_wire_cut(idem__redis_wire *wire, uint64_t end, size_t commands)
{
    wire->out.len = (size_t)(end - wire->gone);
    wire->expected -= commands;
}

/* Takes what was sent out of the buffer. */
static void shift(idem__redis_wire *wire)
{
    idem_buffer *out = &wire->out;
    memmove(out->data, (char *)out->data + wire->sent, out->len - wire->sent);
    out->len -= wire->sent;
    wire->gone += wire->sent;
    wire->sent = 0;
}

/* Room for so much more. Growing leaves a copy behind, so a pipeline with a password in it, which
   is short otherwise, is given all its room at once. */
static int reserve(idem__redis_wire *wire, size_t len)
{
    idem_buffer *out = &wire->out;
    if (len > out->capacity - out->len && wire->sent > out->len / 2 && !wire->secret)
        shift(wire);
    if (len <= out->capacity - out->len)
        return IDEM_OK;
    size_t capacity = out->capacity * 2 > out->len + len ? out->capacity * 2 : out->len + len;
    char *grown = realloc(out->data, capacity + SPARE);
    if (!grown)
        return IDEM_ERR_NO_MEMORY;
    out->data = grown;
    out->capacity = capacity + SPARE;
    return IDEM_OK;
}

static void put(idem_buffer *out, const void *data, size_t len)
{
    if (len > 0)
        memcpy(out->data + out->len, data, len);
    out->len += len;
}

idem_bytes idem__redis_wire_number(uint64_t number, char digits[IDEM__REDIS_DIGITS_MAX])
{
    size_t begin = IDEM__REDIS_DIGITS_MAX;
    do {
        digits[--begin] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (idem_bytes){digits + begin, IDEM__REDIS_DIGITS_MAX - begin};
}

static void put_count(idem_buffer *out, char sign, size_t count)
{
    char digits[IDEM__REDIS_DIGITS_MAX];
    idem_bytes number = idem__redis_wire_number(count, digits);
    put(out, &sign, 1);
    put(out, number.data, number.len);
    put(out, "\r\n", 2);
}

int idem__redis_wire_append(idem__redis_wire *wire, size_t count, const idem_bytes *words,
                            idem__redis_fault *fault)
{
    size_t len = HEAD_MAX;
    for (size_t i = 0; i < count; i++) {
        if (words[i].len > VALUE_MAX)
            return idem__redis_fault_set(fault, true, IDEM_ERR_TOO_LARGE,
                                         "%s takes no value over 512 MiB: store less", wire->name);
        len += words[i].len + HEAD_MAX;
    }
    if (reserve(wire, len))
        return idem__redis_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    put_count(&wire->out, '*', count);
    for (size_t i = 0; i < count; i++) {
        put_count(&wire->out, '$', words[i].len);
        put(&wire->out, words[i].data, words[i].len);
        put(&wire->out, "\r\n", 2);
    }
    wire->expected++;
    return IDEM_OK;
}

/* ---------------------------------------------------------------------------------- lifetime */

static void *create_limited_array(const redisReadTask *task, idem__redis_count count)
{
    idem__redis_wire *wire = task->privdata;
    size_t depth = 1;
    for (const redisReadTask *at = task->parent; at; at = at->parent)
        depth++;
    size_t most = wire->nested ? NESTED_MAX : ELEMENTS_MAX;
    if (depth > (wire->nested ? NESTED_DEPTH : DEPTH_MAX) || wire->elements > most ||
        (size_t)count > most - wire->elements) {
        wire->excessive = true;
        return NULL;
    }
    wire->elements += (size_t)count;
    return wire->create_array(task, count);
}

/* An array that is nothing would be taken for a key that is absent. Nothing that we ask for is
   answered with one, nor with RESP3's nothing. */
static void *create_nil_text(const redisReadTask *task)
{
    idem__redis_wire *wire = task->privdata;
    if (task->type != REDIS_REPLY_STRING) {
        wire->excessive = true;
        return NULL;
    }
    return wire->create_nil(task);
}

int idem__redis_wire_open(idem__redis_wire *wire, int fd, idem__redis_fault *fault)
{
    wire->fd = fd;
    wire->broken = false;
    wire->excessive = false;
    wire->elements = 0;
    wire->received = 0;
    wire->chunk_len = 0;
    wire->fed = 0;
    wire->expected = 0;
    wire->seals = idem_random(&wire->seal, sizeof wire->seal, NULL) == IDEM_OK ? BY_ECHO : NO_SEALS;
    wire->sealed = false;
    wire->confirmed = wire->seal;
    wire->gone = 0;
    wire->pending = false;
    wire->reader = redisReaderCreate();
    if (!wire->reader) {
        idem__redis_wire_close(wire);
        return idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY, "out of memory");
    }
    wire->functions = *wire->reader->fn;
    wire->create_array = wire->functions.createArray;
    wire->create_nil = wire->functions.createNil;
    wire->functions.createArray = create_limited_array;
    wire->functions.createNil = create_nil_text;
    wire->reader->fn = &wire->functions;
    wire->reader->privdata = wire;
    return IDEM_OK;
}

void idem__redis_wire_close(idem__redis_wire *wire)
{
    if (wire->tls)
        wire->tls->ops->stop(wire->tls);
    if (wire->fd >= 0)
        (void)close(wire->fd);
    wire->fd = -1;
    wire->expected = 0;
    wire->pending = false;
    if (wire->reader)
        redisReaderFree(wire->reader);
    wire->reader = NULL;
    idem__redis_wire_begin(wire, false);
    idem_buffer_clear(&wire->out);
}

int idem__redis_wire_tell_excess(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    fault->distrust = true;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s sent more answers than it was asked for: is it Redis?",
                                 wire->name);
}

int idem__redis_wire_tell_closed(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    if (wire->tls && wire->tls->ops->tell(wire->tls, fault))
        return fault->error.code;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s closed the connection before it answered: look at its "
                                 "log and at what is between",
                                 wire->name);
}

int idem__redis_wire_tell_lost(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "the connection to %s was lost: look at its log and at what is "
                                 "between",
                                 wire->name);
}

/* Tickets of TLS make a socket readable, and are not the server's words. */
static ssize_t peek_byte(idem__redis_wire *wire)
{
    char byte;
    return wire->tls ? wire->tls->ops->peek(wire->tls, &byte, 1)
                     : recv(wire->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

int idem__redis_wire_quiet(idem__redis_wire *wire, idem__redis_fault *fault)
{
    ssize_t got = peek_byte(wire);
    if (got > 0)
        return idem__redis_wire_tell_excess(wire, fault);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return IDEM_OK;
    return idem__redis_wire_tell_closed(wire, fault);
}

bool idem__redis_wire_usable(idem__redis_wire *wire)
{
    idem__redis_fault fault = {0};
    return wire->fd >= 0 && !wire->broken && wire->expected == 0 &&
           idem__redis_wire_quiet(wire, &fault) == IDEM_OK;
}

/* ---------------------------------------------------------------------------------- the socket */

static void send_some(idem__redis_wire *wire)
{
    while (!wire->broken && wire->sent < wire->out.len) {
        const char *data = wire->out.data + wire->sent;
        size_t len = wire->out.len - wire->sent;
        ssize_t count = wire->tls ? wire->tls->ops->send(wire->tls, data, len)
                                  : send(wire->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0)
            wire->sent += (size_t)count;
        if (count > 0 && wire->held_up) /* the other side has made room for it */
            wire->progress += (uint64_t)count;
        if (count > 0)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            wire->held_up = true;
            return;
        }
        if (count == 0 || errno != EINTR)
            wire->broken = true; /* why, the server may have said already */
    }
}

void idem__redis_wire_flush(idem__redis_wire *wire)
{
    idem_buffer *out = &wire->out;
    send_some(wire);
    /* A password is kept until it is overwritten. */
    if (wire->sent < out->len || wire->secret)
        return;
    wire->gone += wire->sent;
    wire->sent = 0;
    out->len = 0;
    if (out->capacity > KEPT_MAX)
        idem_buffer_clear(out);
}

bool idem__redis_wire_wants_write(const idem__redis_wire *wire)
{
    return (!wire->broken && wire->sent < wire->out.len) ||
           (wire->tls && wire->tls->ops->events(wire->tls) != 0);
}

/* Why the reader has given up. */
static int refuse_answer(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    if (wire->reader->err == REDIS_ERR_OOM && !wire->excessive)
        return idem__redis_fault_set(fault, false, IDEM_ERR_NO_MEMORY,
                                     "there is no memory for the answer of %s", wire->name);
    fault->distrust = true;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s sent something that is no answer: is it Redis?", wire->name);
}

int idem__redis_wire_read(idem__redis_wire *wire, bool *got, idem__redis_fault *fault)
{
    ssize_t count = wire->tls ? wire->tls->ops->receive(wire->tls, wire->chunk, sizeof wire->chunk)
                              : recv(wire->fd, wire->chunk, sizeof wire->chunk, MSG_DONTWAIT);
    *got = count > 0;
    wire->pending = *got && wire->tls && wire->tls->ops->pending(wire->tls);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return IDEM_OK;
    if (count <= 0)
        return idem__redis_wire_tell_closed(wire, fault);
    wire->heard_ms = idem_monotonic_coarse_ms();
    wire->progress += (uint64_t)count;
    wire->chunk_len = (size_t)count;
    wire->fed = 0;
    wire->received += (size_t)count;
    if (wire->received > REPLY_MAX)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s sent more than any answer can have: is it Redis?",
                                     wire->name);
    return wire->expected == 0 ? idem__redis_wire_tell_excess(wire, fault) : IDEM_OK;
}

/* True if the part of an answer that is there is one that no more bytes can fix. A line that has
   come to its end but whose element has not can only be a text's length. */
static bool is_hopeless(const redisReader *reader)
{
    size_t len = reader->len - reader->pos;
    const char *at = reader->buf + reader->pos;
    const char *newline = len ? memchr(at, '\n', len < LINE_MAX_LEN ? len : LINE_MAX_LEN) : NULL;
    if (!newline)
        return len >= LINE_MAX_LEN;
    return strtoull(at, NULL, 10) > VALUE_MAX;
}

bool idem__redis_wire_has_more(const idem__redis_wire *wire)
{
    return wire->reader &&
           (wire->reader->pos < wire->reader->len || wire->fed < wire->chunk_len || wire->pending);
}

int idem__redis_wire_take(idem__redis_wire *wire, redisReply **reply, idem__redis_fault *fault)
{
    void *got = NULL;
    bool sound = redisReaderGetReply(wire->reader, &got) == REDIS_OK;
    while (sound && !got && wire->fed < wire->chunk_len) {
        /* By portions: the reader moves what it has not read to its beginning again and again,
           which would be most of the work if that were much. A failure to feed it is kept by the
           reader, which gives no answer any more. */
        size_t left = wire->chunk_len - wire->fed;
        size_t len = left < FED_MAX ? left : FED_MAX;
        (void)redisReaderFeed(wire->reader, wire->chunk + wire->fed, len);
        wire->fed += len;
        sound = redisReaderGetReply(wire->reader, &got) == REDIS_OK;
    }
    bool more = wire->reader->pos < wire->reader->len || wire->fed < wire->chunk_len;
    bool too_many = got && wire->expected == 1 && more;
    *reply = got;
    if (!sound || too_many || (!got && is_hopeless(wire->reader))) {
        if (got)
            freeReplyObject(got);
        *reply = NULL;
        return too_many ? idem__redis_wire_tell_excess(wire, fault) : refuse_answer(wire, fault);
    }
    if (got) {
        wire->elements = 0;
        wire->received = 0;
        wire->expected--;
    }
    return IDEM_OK;
}

/* ---------------------------------------------------------------------------------------- seals */

static idem_bytes seal_text(uint64_t seal, char text[SEAL_LEN])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SEAL_LEN; i++)
        text[i] = digits[seal >> 4 * i & 15];
    return (idem_bytes){text, SEAL_LEN};
}

int idem__redis_wire_seal(idem__redis_wire *wire, idem__redis_fault *fault)
{
    char text[SEAL_LEN];
    if (wire->seals == NO_SEALS)
        return IDEM_OK;
    idem_bytes word = seal_text(wire->seal + 1, text);
    idem_bytes echo[] = {idem_str(wire->seals == BY_ECHO ? "ECHO" : "PING"), word};
    idem_bytes eval[] = {idem_str("EVAL"), idem_str("return ARGV[1]"), idem_str("0"), word};
    int rc = wire->seals == BY_EVAL ? idem__redis_wire_append(wire, 4, eval, fault)
                                    : idem__redis_wire_append(wire, 2, echo, fault);
    wire->seal += rc == IDEM_OK;
    return rc;
}

/* True if a server refuses everything for a while, and so says nothing of this seal. */
static bool is_held_up(const redisReply *reply)
{
    static const char *const all[] = {"BUSY", "LOADING", "MASTERDOWN"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (idem__redis_fault_is((idem_bytes){reply->str, reply->len}, all[i]))
            return true;
    }
    return false;
}

int idem__redis_wire_confirm(idem__redis_wire *wire, const redisReply *reply,
                             idem__redis_fault *fault)
{
    char text[SEAL_LEN];
    idem_bytes expected = seal_text(++wire->confirmed, text);
    if (!wire->sealed && reply->type == REDIS_REPLY_ERROR) {
        if (!is_held_up(reply))
            wire->seals = wire->seals == BY_EVAL ? NO_SEALS : wire->seals + 1;
        return IDEM_OK;
    }
    if (reply->type != REDIS_REPLY_STRING || reply->len != SEAL_LEN ||
        memcmp(reply->str, expected.data, SEAL_LEN) != 0)
        return idem__redis_wire_tell_excess(wire, fault);
    wire->sealed = true;
    return IDEM_OK;
}

bool idem__redis_wire_seals(const idem__redis_wire *wire)
{
    return wire->seals != NO_SEALS;
}
