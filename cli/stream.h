/* SPDX-License-Identifier: MIT */
/* One of CMD's two output streams: passed on as it comes, and kept up to a limit. */
#ifndef IDEM_CLI_STREAM_H
#define IDEM_CLI_STREAM_H

#include <idem/backend.h>

#include <poll.h>

typedef struct {
    const char *name; /**< "stdout" or "stderr" */
    int from;         /**< where CMD's output is read; -1 once it has ended */
    int to;           /**< idem's own stdout or stderr */
    size_t limit;     /**< how much is kept */
    idem_buffer kept; /**< the first bytes */
    char *tail; /**< a ring of the last `tail_size` bytes, once there are more than the limit */
    size_t tail_size;
    size_t tail_at;     /**< where the ring begins */
    uint64_t total;     /**< how much came in all */
    uint64_t owed;      /**< how much was still in the pipe when CMD ended, and is unread */
    bool ended;         /**< CMD has */
    bool late;          /**< that time is up */
    bool muted;         /**< nothing more is passed on */
    bool closed;        /**< our reader went away, and CMD was told: it could write no more */
    uint64_t reader_at; /**< when we saw that the reader had gone; 0: it is there */
    int problem;        /**< errno of passing it on; 0: none */
    char *chunk;        /**< what was read and waits to be passed on */
    size_t chunk_at;
    size_t chunk_len;
} cli_stream;

/** Makes a stream from the reading end of a pipe, which becomes the stream's. End it with
 *  cli_stream_close(). @return false when out of memory; the pipe stays the caller's then */
bool cli_stream_open(cli_stream *stream, const char *name, int from, int to, size_t limit);
void cli_stream_close(cli_stream *stream);

/** What the stream waits for. */
struct pollfd cli_stream_wants(const cli_stream *stream);

/** Does what can be done without waiting, after poll() has filled in `ready`. */
void cli_stream_step(cli_stream *stream, const struct pollfd *ready);

/** If our own reader has gone away, closes the pipe, so that CMD meets what it would have met
 *  without us. To be called from time to time. */
void cli_stream_settle(cli_stream *stream);

/** Puts what is to be stored into `kept`: its first bytes; or, if there were too many, the first
 *  and the last ones. @return how many of them are the first */
size_t cli_stream_keep_ends(cli_stream *stream);

/** CMD has ended: what it left in the pipe still belongs to its output. */
void cli_stream_end(cli_stream *stream);

/** Passes nothing on from now on; goes on reading and keeping. */
void cli_stream_mute(cli_stream *stream);

/** True when nothing is left to read or to pass on. */
bool cli_stream_is_done(const cli_stream *stream);

/** Writes bytes to a descriptor whatever it takes, as one that has time. @return 0 or errno */
int cli_stream_write(int fd, idem_bytes bytes);

#endif
