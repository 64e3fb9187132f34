/* SPDX-License-Identifier: MIT */
/*
 * Making the end of the write-ahead log durable. Recovery treats every complete transaction in the
 * log as committed, even one that was never synced. Its writer may have been killed before the
 * sync, or have been told that the sync failed. In that case the system considers the pages clean,
 * and no later sync writes them. Answers that were read from them, and transactions committed after
 * them, would be lost with the next power failure.
 *
 * Every transaction is synced before the next one begins, so only the last one can be in question.
 * Its frames are written once more as they are, which makes the pages dirty again, and synced. The
 * offsets are those of SQLite's "WAL-mode File Format", which all its versions share.
 */
#include "wal_sync.h"

#include "statements.h"

#include <stdlib.h>

#define LOG_HEADER_SIZE   32
#define LOG_PAGE_SIZE_AT  8
#define FRAME_HEADER_SIZE 24
#define FRAME_COMMIT_AT   4
#define INDEX_SIZE        32768
#define INDEX_FRAMES_AT   16

typedef struct {
    sqlite3_file *file;
    int frame_size;
    uint32_t frames;
} log_file;

static sqlite3_file *file_of(idem__sqlite *self, int which)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(self->db, "main", which, &file);
    return code == SQLITE_OK && file && file->pMethods ? file : NULL;
}

static uint32_t big_endian(const unsigned char bytes[4])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The number of frames that count, from the index that the processes share. */
static int read_frames(idem__sqlite *self, uint32_t *frames)
{
    void volatile *index = NULL;
    sqlite3_file *database = file_of(self, SQLITE_FCNTL_FILE_POINTER);
    *frames = 0;
    if (!database || database->pMethods->iVersion < 2)
        return SQLITE_OK;
    int code = database->pMethods->xShmMap(database, 0, INDEX_SIZE, 0, &index);
    if (code == SQLITE_OK && index)
        *frames = *(volatile uint32_t *)((volatile unsigned char *)index + INDEX_FRAMES_AT);
    return code;
}

static int read_shape(idem__sqlite *self, log_file *log)
{
    unsigned char header[LOG_HEADER_SIZE];
    int code = read_frames(self, &log->frames);
    log->file = file_of(self, SQLITE_FCNTL_JOURNAL_POINTER);
    if (code != SQLITE_OK || log->frames == 0 || !log->file)
        return code;
    code = log->file->pMethods->xRead(log->file, header, sizeof header, 0);
    log->frame_size = (int)(FRAME_HEADER_SIZE + big_endian(header + LOG_PAGE_SIZE_AT));
    return code;
}

static sqlite3_int64 frame_at(const log_file *log, uint32_t frame)
{
    return LOG_HEADER_SIZE + (sqlite3_int64)(frame - 1) * log->frame_size;
}

/* Finds the first frame of the last transaction: the one behind the commit before it. */
static int find_last(const log_file *log, uint32_t *first)
{
    unsigned char header[FRAME_HEADER_SIZE];
    for (*first = log->frames; *first > 1; --*first) {
        int code =
            log->file->pMethods->xRead(log->file, header, sizeof header, frame_at(log, *first - 1));
        if (code != SQLITE_OK)
            return code;
        if (big_endian(header + FRAME_COMMIT_AT) != 0)
            break;
    }
    return SQLITE_OK;
}

static int write_again(const log_file *log)
{
    uint32_t frame = 0;
    void *bytes = malloc((size_t)log->frame_size);
    int code = bytes ? find_last(log, &frame) : SQLITE_NOMEM;
    for (; code == SQLITE_OK && frame <= log->frames; frame++) {
        code = log->file->pMethods->xRead(log->file, bytes, log->frame_size, frame_at(log, frame));
        if (code == SQLITE_OK)
            code = log->file->pMethods->xWrite(log->file, bytes, log->frame_size,
                                               frame_at(log, frame));
    }
    if (code == SQLITE_OK)
        code = log->file->pMethods->xSync(log->file, SQLITE_SYNC_NORMAL);
    free(bytes);
    return code;
}

/* Holds the write lock, so no other connection adds to the log or restarts it. If the lock is taken
   there is no need to wait: its holder has synced the log's end when it opened the file. */
static int lock_log(idem__sqlite *self)
{
    self->no_wait = true;
    int code = idem__sqlite_run(self, IDEM__SQLITE_BEGIN_WRITE);
    self->no_wait = false;
    return code;
}

int idem__sqlite_wal_sync(idem__sqlite *self, idem__sqlite_fault *fault)
{
    log_file log = {0};
    bool normal = self->config->values[IDEM__SQLITE_SYNCHRONOUS].number == 1;
    if (!self->has_log || normal || sqlite3_db_readonly(self->db, "main") == 1)
        return IDEM_OK;
    /* A transaction that came after the connection was opened is synced by its writer. */
    int code = read_frames(self, &log.frames);
    if (code == SQLITE_OK && log.frames == 0)
        return IDEM_OK;
    if (code == SQLITE_OK)
        code = lock_log(self);
    if (code != SQLITE_OK)
        return (code & 0xff) == SQLITE_BUSY ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
    code = read_shape(self, &log);
    if (code == SQLITE_OK && log.frames > 0 && log.file)
        code = write_again(&log);
    (void)idem__sqlite_run(self, IDEM__SQLITE_ROLLBACK);
    return code == SQLITE_OK ? IDEM_OK : idem__sqlite_fault_take(self, code, fault);
}
