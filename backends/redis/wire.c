/* SPDX-License-Identifier: MIT */
/*
 * Commands out, replies in. hiredis parses the replies; the socket is ours, so that no wait
 * outlasts the deadline and no signal is raised by a server that has gone.
 *
 * A reply is waited for in three ways: awake, by yielding, while patience lasts; then asleep in
 * recv(), a nap at a time, which saves a call of poll(); and in poll() where there is something to
 * send as well, or where the deadline is nearer than a nap.
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
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEAD_MAX     32u /* of a number with its sign and both ends of a line, and of the next */
#define SPARE        512u
#define VALUE_MAX    ((size_t)512 << 20) /* Redis' own limit, unless it was raised */
#define REPLY_MAX    (VALUE_MAX + 65536u)
#define ELEMENTS_MAX 65536u
#define DEPTH_MAX    2u      /* arrays in the answer to SCAN */
#define LINE_MAX_LEN 65536u  /* of a status, an error, a number, a length */
#define KEPT_MAX     262144u /* capacity that an idle wire may keep */
#define NAP_MS       40u     /* the longest sleep in recv() */
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
    wire->out.len = 0;
    wire->sent = 0;
}

/* Room for so much more. Growing leaves a copy behind, so a pipeline with a password in it, which
   is short otherwise, is given all its room at once. */
static int reserve(idem__redis_wire *wire, size_t len)
{
    idem_buffer *out = &wire->out;
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
    if (depth > DEPTH_MAX || (size_t)count > ELEMENTS_MAX - wire->elements) {
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

/* Makes recv() sleep for a nap. False: it can't, and poll() has to. */
static bool allow_naps(int fd)
{
    struct timeval nap = {.tv_usec = NAP_MS * 1000};
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &nap, sizeof nap) == 0 &&
           fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
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
    wire->naps = allow_naps(fd);
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
    if (wire->reader)
        redisReaderFree(wire->reader);
    wire->reader = NULL;
    idem__redis_wire_begin(wire, false);
    idem_buffer_clear(&wire->out);
}

static int refuse_excess(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    fault->distrust = true;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s sent more answers than it was asked for: is it Redis?",
                                 wire->name);
}

static int tell_closed(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    if (wire->tls && wire->tls->ops->tell(wire->tls, fault))
        return fault->error.code;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s closed the connection before it answered: look at its "
                                 "log and at what is between",
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
        return refuse_excess(wire, fault);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return IDEM_OK;
    return tell_closed(wire, fault);
}

bool idem__redis_wire_usable(idem__redis_wire *wire)
{
    idem__redis_fault fault = {0};
    return wire->fd >= 0 && !wire->broken && wire->expected == 0 &&
           idem__redis_wire_quiet(wire, &fault) == IDEM_OK;
}

/* ---------------------------------------------------------------------------------- the socket */

bool idem__redis_wire_wait(int fd, short events, uint64_t deadline_ms, short *happened)
{
    struct pollfd entry = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
        int count = poll(&entry, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count > 0) {
            *happened = entry.revents;
            return true;
        }
        if (left_ms == 0)
            return false;
    }
}

static ssize_t transmit(idem__redis_wire *wire)
{
    const char *data = wire->out.data + wire->sent;
    size_t len = wire->out.len - wire->sent;
    return wire->tls ? wire->tls->ops->send(wire->tls, data, len)
                     : send(wire->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_some(idem__redis_wire *wire)
{
    while (!wire->broken && wire->sent < wire->out.len) {
        ssize_t count = transmit(wire);
        if (count > 0)
            wire->sent += (size_t)count;
        else if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        else if (count >= 0 || errno != EINTR)
            wire->broken = true; /* why, the server may have said already */
    }
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

/* @param flags  MSG_DONTWAIT, or 0 for a nap. @param[out] got  something has come */
static int receive_some(idem__redis_wire *wire, int flags, bool *got, idem__redis_fault *fault)
{
    ssize_t count = wire->tls
                        ? wire->tls->ops->receive(wire->tls, wire->chunk, sizeof wire->chunk, flags)
                        : recv(wire->fd, wire->chunk, sizeof wire->chunk, flags);
    *got = count > 0;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return IDEM_OK;
    if (count <= 0)
        return tell_closed(wire, fault);
    wire->chunk_len = (size_t)count;
    wire->fed = 0;
    wire->received += (size_t)count;
    if (wire->received > REPLY_MAX)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                     "%s sent more than any answer can have: is it Redis?",
                                     wire->name);
    return IDEM_OK;
}

/* Waits for something to read while patience lasts. */
static int receive_awake(idem__redis_wire *wire, bool *got, idem__redis_fault *fault)
{
    int rc = IDEM_OK;
    *got = false;
    while (rc == IDEM_OK && !*got && idem_spin_yield(&wire->patience))
        rc = receive_some(wire, MSG_DONTWAIT, got, fault);
    idem_spin_end(&wire->patience);
    return rc;
}

static int too_late(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s did not answer by the deadline: look at its load, or set "
                                 "a longer timeout",
                                 wire->name);
}

static int exchange(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault)
{
    short happened = 0;
    bool got = false;
    int rc = IDEM_OK;
    send_some(wire);
    bool unsent = !wire->broken && wire->sent < wire->out.len;
    if (!unsent)
        rc = receive_awake(wire, &got, fault);
    if (rc || got)
        return rc;
    if (!unsent && wire->naps && idem_monotonic_ms() + 2 * NAP_MS < deadline_ms)
        return receive_some(wire, 0, &got, fault);
    short events = (short)(unsent ? POLLIN | POLLOUT : POLLIN);
    if (wire->tls) { /* it may have what the descriptor has not any more */
        rc = receive_some(wire, MSG_DONTWAIT, &got, fault);
        if (rc || got)
            return rc;
        events = (short)(events | wire->tls->ops->events(wire->tls));
    }
    if (!idem__redis_wire_wait(wire->fd, events, deadline_ms, &happened))
        return too_late(wire, fault);
    return (happened & ~POLLOUT) != 0 ? receive_some(wire, MSG_DONTWAIT, &got, fault) : IDEM_OK;
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

/* Hands on a portion of what was received. The reader moves what it has not read to its beginning
   again and again, which would be most of the work if that were much. False: there is nothing
   more. */
static bool feed(idem__redis_wire *wire)
{
    size_t left = wire->chunk_len - wire->fed;
    size_t len = left < FED_MAX ? left : FED_MAX;
    if (len == 0)
        return false;
    /* A failure is kept by the reader, which gives no answer any more. */
    (void)redisReaderFeed(wire->reader, wire->chunk + wire->fed, len);
    wire->fed += len;
    return true;
}

/* Takes the next answer if it is whole. NULL in its place: more has to come. */
static int take_whole(idem__redis_wire *wire, redisReply **reply, idem__redis_fault *fault)
{
    void *got = NULL;
    bool sound;
    do
        sound = redisReaderGetReply(wire->reader, &got) == REDIS_OK;
    while (sound && !got && feed(wire));
    bool more = wire->reader->pos < wire->reader->len || wire->fed < wire->chunk_len;
    bool too_many = got && wire->expected == 1 && more;
    *reply = got;
    if (!sound || too_many || (!got && is_hopeless(wire->reader))) {
        if (got)
            freeReplyObject(got);
        *reply = NULL;
        return too_many ? refuse_excess(wire, fault) : refuse_answer(wire, fault);
    }
    if (got) {
        wire->elements = 0;
        wire->received = 0;
        wire->expected--;
    }
    return IDEM_OK;
}

int idem__redis_wire_reply(idem__redis_wire *wire, uint64_t deadline_ms, redisReply **reply,
                           idem__redis_fault *fault)
{
    redisReply *got = NULL;
    bool late = false;
    int rc = take_whole(wire, &got, fault);
    while (rc == IDEM_OK && !got) {
        /* What has arrived by the deadline still counts; more is not read. */
        rc = late ? too_late(wire, fault) : exchange(wire, deadline_ms, fault);
        late = idem_monotonic_ms() >= deadline_ms;
        if (rc == IDEM_OK)
            rc = take_whole(wire, &got, fault);
    }
    if (rc == IDEM_OK)
        *reply = got;
    return rc;
}

/* ---------------------------------------------------------------------------------------- seals */

static idem_bytes seal_text(const idem__redis_wire *wire, char text[SEAL_LEN])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SEAL_LEN; i++)
        text[i] = digits[wire->seal >> 4 * i & 15];
    return (idem_bytes){text, SEAL_LEN};
}

int idem__redis_wire_seal(idem__redis_wire *wire, idem__redis_fault *fault)
{
    char text[SEAL_LEN];
    if (wire->seals == NO_SEALS)
        return IDEM_OK;
    wire->seal++;
    idem_bytes word = seal_text(wire, text);
    idem_bytes echo[] = {idem_str(wire->seals == BY_ECHO ? "ECHO" : "PING"), word};
    idem_bytes eval[] = {idem_str("EVAL"), idem_str("return ARGV[1]"), idem_str("0"), word};
    return wire->seals == BY_EVAL ? idem__redis_wire_append(wire, 4, eval, fault)
                                  : idem__redis_wire_append(wire, 2, echo, fault);
}

int idem__redis_wire_confirm(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault)
{
    char text[SEAL_LEN];
    redisReply *reply = NULL;
    if (wire->seals == NO_SEALS)
        return IDEM_OK;
    int rc = idem__redis_wire_reply(wire, deadline_ms, &reply, fault);
    if (rc)
        return rc;
    if (!wire->sealed && reply->type == REDIS_REPLY_ERROR)
        wire->seals = wire->seals == BY_EVAL ? NO_SEALS : wire->seals + 1;
    else if (reply->type != REDIS_REPLY_STRING || reply->len != SEAL_LEN ||
             memcmp(reply->str, seal_text(wire, text).data, SEAL_LEN) != 0)
        rc = refuse_excess(wire, fault);
    else
        wire->sealed = true;
    freeReplyObject(reply);
    return rc;
}

int idem__redis_wire_agree(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int rc = idem__redis_wire_confirm(wire, deadline_ms, fault);
    while (rc == IDEM_OK && wire->seals != NO_SEALS && !wire->sealed) {
        idem__redis_wire_begin(wire, false);
        rc = idem__redis_wire_seal(wire, fault);
        if (rc == IDEM_OK)
            rc = idem__redis_wire_confirm(wire, deadline_ms, fault);
    }
    return rc;
}
