/* SPDX-License-Identifier: MIT */
/*
 * Keeping the write-ahead log small. A passive checkpoint, which is what SQLite makes by itself,
 * copies the log into the file, but a writer begins the log anew only if it meets a moment in which
 * nobody reads from it. Readers that overlap all the time leave no such moment, and the log grows for
 * as long as they go on.
 *
 * So a writer that has made the log large empties it: it keeps other writers out, copies the rest, and
 * waits for those who read from the log. New readers then find everything in the file and need the log
 * no more, so that the wait lasts as long as the longest read: a page of a scan at most. A
 * transaction that another program leaves open can't be waited for; then the log grows, and the next
 * try is put off, further each time.
 */
#include "checkpoint.h"

#include "statements.h"

#include <stdlib.h>

/* As SQLite does it by itself. */
#define PASSIVE_FRAMES 1000
/* A log is large from here on. */
#define LARGE_BYTES (UINT64_C(16) * 1024 * 1024)
/* How long readers are waited for. Writers of all processes wait meanwhile. */
#define WAIT_MS 50u
/* After a try that failed the log may grow by so many frames, doubled each time. */
#define PUT_OFF_FRAMES     256
#define PUT_OFF_FRAMES_MAX 4096

static int note_commit(void *user, sqlite3 *db, const char *name, int frames)
{
    idem__sqlite *self = user;
    if (frames < self->log_frames) /* it was begun anew */
        self->trim_at_frames = 0;
    self->log_frames = frames;
    if (frames >= PASSIVE_FRAMES)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

void idem__sqlite_checkpoint_watch(idem__sqlite *self)
{
    self->log_frames = 0;
    self->trim_at_frames = 0;
    self->put_off_frames = PUT_OFF_FRAMES;
    (void)sqlite3_wal_hook(self->db, note_commit, self);
}

/* It can't change while there is a log. @return 0: not known */
static uint64_t page_size(idem__sqlite *self)
{
    char answer[IDEM__SQLITE_PRAGMA_SIZE];
    idem__sqlite_fault unused = {0};
    if (self->page_size == 0 &&
        idem__sqlite_pragma(self, "PRAGMA main.page_size", answer, &unused) == IDEM_OK)
        self->page_size = strtoull(answer, NULL, 10);
    return self->page_size;
}

static bool is_due(idem__sqlite *self)
{
    if (self->joined || self->in_memory || self->broken || self->log_frames < PUT_OFF_FRAMES ||
        self->log_frames < self->trim_at_frames)
        return false;
    return (uint64_t)self->log_frames * page_size(self) >= LARGE_BYTES;
}

void idem__sqlite_checkpoint_trim(idem__sqlite *self)
{
    if (!is_due(self))
        return;
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t left_ms = self->deadline_ms > now_ms ? self->deadline_ms - now_ms : 0;
    uint64_t give_up_ms = self->give_up_ms;
    self->give_up_ms = now_ms + (left_ms / 4 < WAIT_MS ? left_ms / 4 : WAIT_MS);
    int code = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    self->give_up_ms = give_up_ms;
    if (code == SQLITE_OK) {
        self->log_frames = 0;
        self->trim_at_frames = 0;
        self->put_off_frames = PUT_OFF_FRAMES;
        return;
    }
    self->trim_at_frames = self->log_frames + self->put_off_frames;
    if (self->put_off_frames < PUT_OFF_FRAMES_MAX)
        self->put_off_frames *= 2;
}
