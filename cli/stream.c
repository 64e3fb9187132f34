/* SPDX-License-Identifier: MIT */
/*
 * Passing output on without ever waiting for the reader: a chunk that was read is written in
 * pieces of PIPE_BUF bytes, each only after poll() has said that there is room for one. idem's own
 * stdout can't be made non-blocking instead, since others share it.
 *
 * When idem's own reader goes away (| head), CMD has to meet what it would have met alone: SIGPIPE,
 * or EPIPE. So its pipe is closed, after a moment in which a CMD that has just written its last may
 * end: then nothing is lost.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHUNK_SIZE 65536
#define MOMENT_MS  250 /* for a CMD that is about to end */

bool cli_stream_open(cli_stream *stream, const char *name, int from, int to, size_t limit)
{
    char *chunk = malloc(CHUNK_SIZE);
    if (!chunk)
        return false;
    *stream = (cli_stream){.name = name, .from = from, .to = to, .limit = limit, .chunk = chunk};
    (void)fcntl(from, F_SETFL, O_NONBLOCK);
    return true;
}

static void stop_reading(cli_stream *stream)
{
    if (stream->from >= 0)
        (void)close(stream->from);
    stream->from = -1;
    stream->owed = 0;
}

void cli_stream_close(cli_stream *stream)
{
    if (!stream->chunk)
        return;
    stop_reading(stream);
    idem_buffer_clear(&stream->kept);
    free(stream->tail);
    free(stream->chunk);
    memset(stream, 0, sizeof *stream);
}

static bool has_chunk(const cli_stream *stream)
{
    return stream->chunk_at < stream->chunk_len;
}

/* True if nobody can write any more: what is in the pipe is all there will be. */
static bool is_hung_up(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};
    return poll(&end, 1, 0) > 0 && (end.revents & POLLHUP);
}

static bool may_read(const cli_stream *stream)
{
    return stream->from >= 0 && (!stream->late || stream->owed > 0 || is_hung_up(stream->from));
}

struct pollfd cli_stream_wants(const cli_stream *stream)
{
    struct pollfd wants = {.fd = -1};
    if (has_chunk(stream)) {
        wants.fd = stream->to;
        wants.events = POLLOUT;
    } else if (may_read(stream)) {
        wants.fd = stream->from;
        wants.events = POLLIN;
    }
    return wants;
}

/* Without memory for it there is no tail: the first bytes are kept all the same. */
static void begin_tail(cli_stream *stream)
{
    size_t size = stream->limit / 2;
    if (size == 0 || stream->kept.len < stream->limit)
        return;
    stream->tail = malloc(size);
    if (!stream->tail)
        return;
    stream->tail_size = size;
    memcpy(stream->tail, stream->kept.data + stream->kept.len - size, size);
}

static void add_to_tail(cli_stream *stream, const char *data, size_t len)
{
    size_t size = stream->tail_size;
    if (len > size) {
        data += len - size;
        len = size;
    }
    size_t first = len < size - stream->tail_at ? len : size - stream->tail_at;
    memcpy(stream->tail + stream->tail_at, data, first);
    memcpy(stream->tail, data + first, len - first);
    stream->tail_at = (stream->tail_at + len) % size;
}

size_t cli_stream_keep_ends(cli_stream *stream)
{
    if (!stream->tail)
        return stream->kept.len;
    size_t first = stream->kept.len - stream->tail_size;
    size_t behind = stream->tail_size - stream->tail_at;
    memcpy(stream->kept.data + first, stream->tail + stream->tail_at, behind);
    memcpy(stream->kept.data + first + behind, stream->tail, stream->tail_at);
    return first;
}

/* Out of memory means: no more is kept, as if the limit were here. */
static void keep(cli_stream *stream, size_t len)
{
    size_t room = stream->limit - stream->kept.len;
    size_t part = len < room ? len : room;
    if (part > 0 && idem_buffer_append(&stream->kept, stream->chunk, part, NULL))
        stream->limit = stream->kept.len;
    if (len > room && stream->total <= stream->limit)
        begin_tail(stream);
    if (stream->tail)
        add_to_tail(stream, stream->chunk + part, len - part);
    stream->total += len;
    stream->owed -= len < stream->owed ? len : stream->owed;
}

static void read_chunk(cli_stream *stream)
{
    bool is_last = stream->late && stream->owed > 0 && stream->owed < CHUNK_SIZE;
    size_t most = is_last ? (size_t)stream->owed : CHUNK_SIZE;
    ssize_t got = read(stream->from, stream->chunk, most);
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (got <= 0) {
        stop_reading(stream);
        return;
    }
    keep(stream, (size_t)got);
    stream->chunk_at = 0;
    stream->chunk_len = stream->muted ? 0 : (size_t)got;
}

static void write_piece(cli_stream *stream)
{
    size_t left = stream->chunk_len - stream->chunk_at;
    ssize_t written =
        write(stream->to, stream->chunk + stream->chunk_at, left < PIPE_BUF ? left : PIPE_BUF);
    if (written >= 0) {
        stream->chunk_at += (size_t)written;
    } else if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        bool gone = errno == EPIPE || errno == ECONNRESET;
        stream->problem = gone ? EPIPE : errno;
        stream->reader_at = gone ? idem_monotonic_ms() : 0;
        cli_stream_mute(stream);
    }
}

/* What is in the pipe by now was written in time. */
static void close_early(cli_stream *stream)
{
    int waiting = 0;
    uint64_t until = stream->total;
    if (ioctl(stream->from, FIONREAD, &waiting) == 0 && waiting > 0)
        until += (uint64_t)waiting;
    for (uint64_t before = stream->total - 1;
         stream->from >= 0 && stream->total < until && stream->total != before;) {
        before = stream->total;
        read_chunk(stream);
    }
    stream->closed = stream->from >= 0;
    stop_reading(stream);
}

void cli_stream_settle(cli_stream *stream)
{
    if (!stream->reader_at || stream->ended || stream->from < 0 || is_hung_up(stream->from))
        return;
    if (idem_monotonic_ms() - stream->reader_at >= MOMENT_MS)
        close_early(stream);
}

void cli_stream_step(cli_stream *stream, const struct pollfd *ready)
{
    if (!ready->revents)
        return;
    if (has_chunk(stream))
        write_piece(stream);
    else if (may_read(stream) && stream->reader_at && !stream->ended && !is_hung_up(stream->from))
        close_early(stream);
    else if (may_read(stream))
        read_chunk(stream);
}

void cli_stream_end(cli_stream *stream)
{
    int waiting = 0;
    stream->ended = true;
    if (stream->from >= 0 && ioctl(stream->from, FIONREAD, &waiting) == 0 && waiting > 0)
        stream->owed = (uint64_t)waiting;
}

void cli_stream_mute(cli_stream *stream)
{
    stream->muted = true;
    stream->chunk_at = stream->chunk_len = 0;
}

bool cli_stream_is_done(const cli_stream *stream)
{
    return !has_chunk(stream) && !may_read(stream);
}

int cli_stream_write(int fd, idem_bytes bytes)
{
    const char *data = bytes.data;
    for (size_t at = 0; at < bytes.len;) {
        ssize_t written = write(fd, data + at, bytes.len - at);
        if (written >= 0) {
            at += (size_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};
            (void)poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}
