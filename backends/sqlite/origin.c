/* SPDX-License-Identifier: MIT */
/*
 * Which file a write-ahead log was written for. SQLite takes a log for that of the file beside
 * it. When another file was put there (a backup, after a crash that left the log), it writes the
 * log's pages into it: keys that the backup knew are gone, and the file may be damaged. And when
 * a file is opened under another name than before the crash, its log is not found. Neither is to
 * be seen in what SQLite writes.
 *
 * So both bear an attribute. The log's has the inode of its database, its own, and the time that
 * its database was made, since an inode's number may be given again: a log that is
 * where it was written, beside a file that it was not written for, is refused. Both inodes are
 * new where file and log were copied together, and then the log belongs. The database's has its
 * own inode, its name as guard.c has it, and the log's path; the last connection that closes the
 * file removes it. Without attributes nothing is refused.
 *
 * An empty log holds nothing that could be missed or mistaken. So a connection that only reads
 * writes no attributes: they are there before its first change is.
 */
#include "origin.h"

#include "guard.h"
#include "place.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/xattr.h>

#define OF_LOG  "user.idem.origin" /* "FILE:LOG:BORN": inodes, and a time, in hexadecimal */
#define OF_FILE "user.idem.log"    /* "FILE:NAME:PATH" */

#define NOTE_SIZE (PATH_MAX + 60)

typedef struct {
    const char *path;
    char log[PATH_MAX];
    uint64_t file_inode;
    uint64_t born_ns; /* when the file was made; 0: not known */
    bool has_log;
    bool has_content; /* the log has */
    uint64_t log_inode;
} origin;

/* @return false: there is no such path */
static bool find_log(const char *path, origin *is)
{
    struct stat log;
    is->path = path;
    is->log_inode = 0;
    if (!path || !*path || snprintf(is->log, sizeof is->log, "%s-wal", path) >= (int)sizeof is->log)
        return false;
    is->has_log = stat(is->log, &log) == 0;
    is->has_content = is->has_log && log.st_size > 0;
    if (is->has_log)
        is->log_inode = (uint64_t)log.st_ino;
    return true;
}

/* The file is the one that was opened; whether it still is at its path place.c looks. */
static bool find(const idem__sqlite *self, origin *is)
{
    return self->place && !self->in_memory && self->named &&
           idem__sqlite_place_identity(self->place, &is->file_inode, &is->born_ns) &&
           find_log(sqlite3_db_filename(self->db, "main"), is);
}

/* Reads an attribute. @return what stands behind its first number; NULL if there is none */
static char *read_note(const char *path, const char *name, char text[NOTE_SIZE], uint64_t *inode)
{
    char *end = NULL;
    ssize_t len = getxattr(path, name, text, NOTE_SIZE - 1);
    if (len <= 0)
        return NULL;
    text[len] = '\0';
    *inode = strtoull(text, &end, 16);
    return *end == ':' ? end + 1 : NULL;
}

static void write_note(const char *path, const char *name, const char *text)
{
    char there[NOTE_SIZE];
    ssize_t len = getxattr(path, name, there, sizeof there);
    if (len < 0 || (size_t)len != strlen(text) || memcmp(there, text, (size_t)len) != 0)
        (void)setxattr(path, name, text, strlen(text), 0);
}

static bool log_is_anothers(const origin *is)
{
    char text[NOTE_SIZE];
    uint64_t file_inode = 0;
    char *rest = read_note(is->log, OF_LOG, text, &file_inode);
    if (!rest || strtoull(rest, &rest, 16) != is->log_inode)
        return false;
    uint64_t born_ns = *rest == ':' ? strtoull(rest + 1, NULL, 16) : 0;
    bool born_apart = born_ns && is->born_ns && born_ns != is->born_ns;
    return file_inode != is->file_inode || born_apart;
}

/* The path of a log under another name, if this file has one that is not known to be empty. */
static const char *log_elsewhere(const origin *is, int64_t own_name, char text[NOTE_SIZE])
{
    struct stat found;
    uint64_t file_inode = 0;
    char *log = NULL;
    char *name = read_note(is->path, OF_FILE, text, &file_inode);
    if (!name || file_inode != is->file_inode || strtoull(name, &log, 16) == (uint64_t)own_name ||
        *log++ != ':')
        return NULL;
    if (stat(log, &found) == 0)
        return found.st_size > 0 ? log : NULL;
    /* Where its folder can be seen, it is gone. Else it is out of reach, in another container. */
    char *slash = strrchr(log, '/');
    if (errno != ENOENT || !slash)
        return log;
    *slash = '\0';
    bool gone = stat(slash > log ? log : "/", &found) == 0;
    *slash = '/';
    return gone ? NULL : log;
}

int idem__sqlite_origin_check(idem__sqlite *self, idem__sqlite_fault *fault)
{
    origin is;
    char text[NOTE_SIZE];
    char quoted[IDEM_QUOTE_SIZE];
    self->noted = true;
    self->note_due = false;
    if (!find(self, &is))
        return IDEM_OK;
    if (is.has_content && log_is_anothers(&is))
        return idem__sqlite_fault_set(
            fault, true, IDEM_ERR_CORRUPT,
            "%s has a write-ahead log beside it that belongs to the file that was here before: "
            "after a restore remove the old -wal and -shm, then open it again",
            self->name);
    self->noted = false;
    self->note_due = is.has_content;
    const char *elsewhere = is.has_content ? NULL : log_elsewhere(&is, self->name_at, text);
    if (!elsewhere)
        return IDEM_OK;
    return idem__sqlite_fault_set(
        fault, true, IDEM_ERR_UNAVAILABLE,
        "%.60s has records under another name, in the log %s: use one path for all, or mount the "
        "folder, not the file",
        self->name, idem_quote(idem_str(elsewhere), quoted));
}

void idem__sqlite_origin_note(idem__sqlite *self)
{
    origin is;
    char text[NOTE_SIZE];
    if (self->noted || !find(self, &is) || !is.has_log)
        return;
    (void)snprintf(text, sizeof text, "%" PRIx64 ":%" PRIx64 ":%" PRIx64, is.file_inode,
                   is.log_inode, is.born_ns);
    write_note(is.log, OF_LOG, text);
    (void)snprintf(text, sizeof text, "%" PRIx64 ":%" PRIx64 ":%s", is.file_inode,
                   (uint64_t)self->name_at, is.log);
    write_note(is.path, OF_FILE, text);
    self->noted = true;
}

void idem__sqlite_origin_disown(const idem__sqlite *self)
{
    origin is;
    char text[NOTE_SIZE];
    if (!find(self, &is) || !is.has_content)
        return;
    (void)snprintf(text, sizeof text, "0:%" PRIx64, is.log_inode);
    write_note(is.log, OF_LOG, text);
}

void idem__sqlite_origin_forget(const char *path)
{
    origin is;
    struct stat file;
    char text[NOTE_SIZE];
    uint64_t file_inode = 0;
    int64_t name_at = 0;
    if (!find_log(path, &is) || is.has_log)
        return;
    const char *name = read_note(path, OF_FILE, text, &file_inode);
    if (name && stat(path, &file) == 0 && file_inode == (uint64_t)file.st_ino &&
        idem__sqlite_guard_name(path, &name_at) && strtoull(name, NULL, 16) == (uint64_t)name_at)
        (void)removexattr(path, OF_FILE);
}

#else

int idem__sqlite_origin_check(idem__sqlite *self, idem__sqlite_fault *fault)
{
    (void)self, (void)fault;
    return IDEM_OK;
}

void idem__sqlite_origin_note(idem__sqlite *self)
{
    (void)self;
}

void idem__sqlite_origin_disown(const idem__sqlite *self)
{
    (void)self;
}

void idem__sqlite_origin_forget(const char *path)
{
    (void)path;
}

#endif
