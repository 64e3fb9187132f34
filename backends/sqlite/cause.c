/* SPDX-License-Identifier: MIT */
/*
 * The cause of a failure in the words of what a person can do. SQLite has one code for a folder
 * that is not there, for rights that are missing and for a process that has no more descriptors;
 * and it takes a limit on the size of files for a full disk.
 */
#include "cause.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const struct {
    int number;
    const char *says; /* behind the database's name */
} causes[] = {
    {EACCES, "can't be opened or written: let this user write the file and its folder"},
    {EPERM, "can't be opened or written: let this user write the file and its folder"},
    {EROFS, "can't be written: it is on a file system that can only be read"},
    {ENOENT, "can't be opened: its folder has to be there"},
    {ENOTDIR, "can't be opened: a part of its path is a file and no folder"},
    {EISDIR, "can't be opened: it is a folder; name a file"},
    {ELOOP, "can't be opened: its symbolic links lead in a circle"},
    {ENAMETOOLONG, "can't be opened: a part of its path is too long"},
    {EMFILE,
     "can't be opened: this process may not have more open files; raise its limit (ulimit -n)"},
    {ENFILE, "can't be opened: this machine may not have more open files; raise fs.file-max"},
    {EFBIG, "can't grow: this process or file system has a limit on the size of files; raise it "
            "(ulimit -f); what was acknowledged is safe"},
    {ENOMEM, "needs more memory than there is"},
};

const char *idem__sqlite_cause_text(int number)
{
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        if (causes[i].number == number)
            return causes[i].says;
    }
    return NULL;
}

static const char *path_of(idem__sqlite *self)
{
    const char *path = self->db ? sqlite3_db_filename(self->db, "main") : NULL;
    return path && *path ? path : NULL;
}

/* SQLite opens for reading what it may not write, and tells only that. */
static int why_read_only(idem__sqlite *self)
{
    const char *path = path_of(self);
    return path && access(path, W_OK) != 0 ? errno : 0;
}

/* A log that can't be made is reported as one that is not there. */
static int why_not_opened(idem__sqlite *self, int number)
{
    const char *path = path_of(self);
    const char *slash = path ? strrchr(path, '/') : NULL;
    char folder[PATH_MAX];
    if (number != ENOENT || !slash || (size_t)(slash - path) >= sizeof folder - 1)
        return number;
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    return access(path, F_OK) == 0 && access(folder, W_OK) != 0 ? errno : number;
}

/* A write that stopped in the middle has no errno. Where the disk has room, it was the limit. */
static int why_full(idem__sqlite *self)
{
    struct rlimit limit;
    struct statvfs disk;
    const char *path = path_of(self);
    bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    bool has_room = path && statvfs(path, &disk) == 0 && disk.f_bavail > 0;
    return limited && has_room ? EFBIG : 0;
}

int idem__sqlite_cause_number(idem__sqlite *self, int code)
{
    int number = self->db ? sqlite3_system_errno(self->db) : 0;
    switch (code & 0xff) {
    case SQLITE_IOERR:
        return number;
    case SQLITE_CANTOPEN:
        return why_not_opened(self, number);
    case SQLITE_READONLY:
        return why_read_only(self);
    case SQLITE_FULL:
        return number == EFBIG ? number : why_full(self);
    default:
        return 0;
    }
}
