/* SPDX-License-Identifier: MIT */
/*
 * Keeping the write-ahead log small. A passive checkpoint, which SQLite makes by itself, copies the
 * log into the file. But a writer restarts the log only at a moment when no reader uses it. Readers
 * that overlap all the time leave no such moment, and the log grows as long as they go on.
 *
 * So a writer that has made the log large empties it: it keeps other writers out, copies the rest,
 * and waits for the readers of the log. New readers find everything in the file and need the log no
 * more, so the wait lasts as long as the longest read: a page of a scan at most. A transaction that
 * another program leaves open can't be waited for; then the log grows.
 */
#include "wal_trim.h"

#include "lock.h"
#include "statements.h"

#include <stdlib.h>
#include <time.h>

/* As SQLite does it by itself. */
#define PASSIVE_FRAMES 1000
/* A log of so many bytes is emptied where that takes a short wait for its readers. There are
   some three locks to wait for, and writers of all processes wait meanwhile; what is copied and
   synced in between counts for the call's deadline alone. A longer log is worth a longer wait,
   in which readers that a busy machine has put aside get their turn. Beyond that there is a
   reader that does not end, and to wait is of no use. A try that failed is repeated when the log
   has grown. */
static const struct {
    uint64_t bytes;
    uint64_t wait_ms;
    uint64_t growth;
} stages[] = {
    {UINT64_C(16) << 20, 100, UINT64_C(2) << 20},
    {UINT64_C(24) << 20, 1000, UINT64_C(4) << 20},
    {UINT64_C(64) << 20, 50, UINT64_C(16) << 20},
};
#define STAGES        (sizeof stages / sizeof stages[0])
#define WAIT_PAUSE_US 500
/* After a try that failed the log may grow by so many frames, doubled each time. */
#define PUT_OFF_FRAMES     256
#define PUT_OFF_FRAMES_MAX 4096

static int note_commit(void *user, sqlite3 *db, const char *name, int frames)
{
    idem__sqlite *self = user;
    if (frames < self->log_frames) /* it was begun anew */
        self->trim_at_bytes = 0;
    self->log_frames = frames;
    if (frames >= PASSIVE_FRAMES)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

void idem__sqlite_checkpoint_watch(idem__sqlite *self)
{
    self->log_frames = 0;
    self->trim_at_bytes = 0;
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

/* SQLite counts the tries for each lock anew. */
static int wait_for_readers(void *user, int tries)
{
    idem__sqlite *self = user;
    const struct timespec pause = {.tv_nsec = WAIT_PAUSE_US * 1000};
    uint64_t now_ms = idem_monotonic_ms();
    if (tries == 0)
        self->trim_until_ms = now_ms + self->trim_wait_ms;
    if (now_ms >= self->trim_until_ms || now_ms >= self->give_up_ms)
        return 0;
    (void)nanosleep(&pause, NULL);
    return 1;
}

static uint64_t log_bytes(idem__sqlite *self)
{
    /* The page size is asked for where the log may be large: pages have 64 KiB at most. */
    if (self->joined || self->in_memory || self->broken ||
        (uint64_t)self->log_frames << 16 < stages[0].bytes)
        return 0;
    return (uint64_t)self->log_frames * page_size(self);
}

static int empty_log(idem__sqlite *self)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t give_up_ms = self->give_up_ms;
    uint64_t left_ms = give_up_ms > now_ms ? give_up_ms - now_ms : 0;
    self->give_up_ms = now_ms + left_ms / 2;
    (void)sqlite3_busy_handler(self->db, wait_for_readers, self);
    int code = sqlite3_wal_checkpoint_v2(self->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    (void)sqlite3_busy_handler(self->db, idem__sqlite_lock_wait, self);
    self->give_up_ms = give_up_ms;
    return code;
}

void idem__sqlite_checkpoint_trim(idem__sqlite *self)
{
    uint64_t bytes = log_bytes(self);
    if (bytes < stages[0].bytes || bytes < self->trim_at_bytes)
        return;
    size_t stage = STAGES - 1;
    while (bytes < stages[stage].bytes)
        stage--;
    self->trim_wait_ms = stages[stage].wait_ms;
    if (empty_log(self) == SQLITE_OK) {
        self->log_frames = 0;
        self->trim_at_bytes = 0;
    } else {
        self->trim_at_bytes = bytes + stages[stage].growth;
    }
}
