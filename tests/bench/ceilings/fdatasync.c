/* SPDX-License-Identifier: MIT */
/*
 * The floor under everything durable: a write as large as a frame of SQLite's log, and fdatasync().
 * It begins again at the front where SQLite's log would. The place is a path.
 */
#include "../harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAME_BYTES 4120u /* a page and its header */
#define LOG_FRAMES  1000u /* SQLite's checkpoints, unless set otherwise */

typedef struct {
    int fd;
    uint64_t frames;
    char frame[FRAME_BYTES];
} subject;

static void *open_file(const bench_options *options)
{
    subject *self = bench_alloc(sizeof *self);
    *self = (subject){.fd = open(options->place, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (self->fd < 0)
        bench_fail("%s can't be written", options->place);
    return self;
}

static void close_file(void *shared)
{
    subject *self = shared;
    (void)close(self->fd);
    free(self);
}

static void work_claim(void *shared, const bench_key *keys, size_t count)
{
    subject *self = shared;
    (void)keys;
    for (size_t i = 0; i < count; i++) {
        off_t at = (off_t)(self->frames++ % LOG_FRAMES * FRAME_BYTES);
        if (pwrite(self->fd, self->frame, FRAME_BYTES, at) != FRAME_BYTES || fdatasync(self->fd))
            bench_fail("a write or fdatasync() failed");
    }
}

int main(int argc, char **argv)
{
    static const bench_subject floor = {
        .open = open_file, .close = close_file, .work = {[BENCH_CLAIM] = work_claim}};
    return bench_main(argc, argv, &floor);
}
