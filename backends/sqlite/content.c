/* SPDX-License-Identifier: MIT */
/*
 * Whether only SQLite has written the file. With a write-ahead log nothing but a checkpoint does,
 * and that says in the log's index, before its first write, how far it goes. So where the file
 * has changed and the index has not, somebody else wrote it: a backup was copied over it, as a
 * rule. The log's pages would be mixed with the copy's.
 *
 * What is kept of the index is read before the file's time is, and compared with the index as it
 * is behind the next one: so a checkpoint between any two of these is always a change of the
 * index. The first bytes of the file tell a copy from a mere change of the time. The offsets are
 * those of SQLite's "WAL-mode File Format".
 */
#include "content.h"

#include "guard.h"

#include <unistd.h>

#define INDEX_SIZE         32768
#define INDEX_SALTS_AT     32
#define INDEX_BACKFILL_AT  96
#define INDEX_ATTEMPTED_AT 128

static uint32_t read_word(const volatile void *index, size_t at)
{
    return *(const volatile uint32_t *)(const volatile void *)((const volatile char *)index + at);
}

bool idem__sqlite_content_read(const idem__sqlite *self, idem__sqlite_content *seen)
{
    if (!self->db || !self->has_log)
        return false;
    sqlite3_file *file = NULL;
    void volatile *index = NULL;
    if (sqlite3_file_control(self->db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        !file || !file->pMethods || file->pMethods->iVersion < 2 ||
        file->pMethods->xShmMap(file, 0, INDEX_SIZE, 0, &index) != SQLITE_OK || !index)
        return false;
    seen->salts[0] = read_word(index, INDEX_SALTS_AT);
    seen->salts[1] = read_word(index, INDEX_SALTS_AT + 4);
    seen->attempted = read_word(index, INDEX_ATTEMPTED_AT);
    seen->backfill = read_word(index, INDEX_BACKFILL_AT);
    /* A log that was begun anew in between has two halves of different times. */
    return seen->salts[0] == read_word(index, INDEX_SALTS_AT) &&
           seen->salts[1] == read_word(index, INDEX_SALTS_AT + 4);
}

/* A checkpoint that was begun and not ended may still be under way. */
static bool no_checkpoint_since(const idem__sqlite_content *before, const idem__sqlite_content *now)
{
    return now->backfill == now->attempted && before->backfill == now->backfill &&
           before->attempted == now->attempted &&
           memcmp(before->salts, now->salts, sizeof now->salts) == 0;
}

bool idem__sqlite_content_is_foreign(idem__sqlite *self, const idem__sqlite_content *first,
                                     const struct stat *file)
{
    idem__sqlite_content *kept = &self->content;
    idem__sqlite_content now = *first;
    idem__sqlite_content last = {0};
    now.known = true;
    now.size = file->st_size;
    now.changed = file->st_mtim;
    memcpy(now.header, kept->header, sizeof now.header);
    bool unchanged = kept->known && kept->size == file->st_size &&
                     kept->changed.tv_sec == file->st_mtim.tv_sec &&
                     kept->changed.tv_nsec == file->st_mtim.tv_nsec;
    if (!unchanged) {
        int fd = idem__sqlite_guard_descriptor(self->db);
        if (fd < 0 || pread(fd, now.header, sizeof now.header, 0) != (ssize_t)sizeof now.header)
            memset(now.header, 0, sizeof now.header);
        if (kept->known && idem__sqlite_content_read(self, &last) &&
            no_checkpoint_since(kept, &last) &&
            (kept->size != now.size || memcmp(kept->header, now.header, sizeof now.header) != 0))
            return true;
    }
    *kept = now;
    return false;
}
