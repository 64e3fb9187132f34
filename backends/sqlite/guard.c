/* SPDX-License-Identifier: MIT */
/*
 * One database under one name, by one clock. SQLite finds the log by the file's name, and relies on
 * all processes using the same name. The clock of one kernel dates the records. A hard link, a
 * mount of the single file, or a container with a kernel of its own breaks that: each side works
 * without an error, and does not see the other's claims.
 *
 * Locks belong to the inode, whatever the name. Each connection holds shared locks on two bytes far
 * behind the end of any file. One represents its name (the folder's inode and the name in it), the
 * other its boot id. A lock on another byte of these ranges is another name or clock. Each
 * connection takes its locks before it looks: of two at once at least one sees the other.
 *
 * The locks are those of an open file description; SQLite's own locks belong to the process, so the
 * two do not conflict. They are on SQLite's descriptor, since closing another descriptor of the
 * file would drop SQLite's locks. They end with it, however the process ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_OFD_SETLK, statx() */
#endif

#include "guard.h"

#include "lock.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* The ranges, and how many bytes each has. */
#define NAMES  (INT64_C(1) << 61)
#define CLOCKS (INT64_C(1) << 62)
#define SPAN   (INT64_C(1) << 60)

/* Two that come at once may refuse each other: they try again so often, some milliseconds apart. */
#define TRIES 5

/* How SQLite's files for Unix have begun since 3.7. What it says is believed only where it fits. */
typedef struct {
    const sqlite3_io_methods *methods;
    sqlite3_vfs *vfs;
    void *inode;
    int descriptor;
} unix_file;

int idem__sqlite_guard_descriptor(sqlite3 *db)
{
    sqlite3_file *file = NULL;
    sqlite3_vfs *vfs = NULL;
    struct stat found;
    unix_file seen;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
        sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs) != SQLITE_OK || !file ||
        !file->pMethods || !idem__sqlite_lock_is_unix(vfs) || vfs->szOsFile < (int)sizeof seen)
        return -1;
    memcpy(&seen, file, sizeof seen);
    if (seen.vfs != vfs || seen.descriptor < 0 || fstat(seen.descriptor, &found) ||
        !S_ISREG(found.st_mode))
        return -1;
    return seen.descriptor;
}

uint64_t idem__sqlite_guard_birth(const char *path, int fd)
{
#ifdef STATX_BTIME
    struct statx found;
    if (statx(*path ? AT_FDCWD : fd, path, AT_EMPTY_PATH, STATX_BTIME, &found) == 0 &&
        (found.stx_mask & STATX_BTIME))
        return (uint64_t)found.stx_btime.tv_sec * 1000000000 + found.stx_btime.tv_nsec;
#else
    (void)path, (void)fd;
#endif
    return 0;
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The last steps of splitmix64: what differs in one bit differs in half of them. */
static int64_t place_in_range(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return (int64_t)((hash ^ hash >> 31) % (uint64_t)SPAN);
}

bool idem__sqlite_guard_name(const char *path, int64_t *place)
{
    char folder[PATH_MAX];
    struct stat found;
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash || (size_t)(slash - path) >= sizeof folder)
        return false;
    (void)snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path);
    if (stat(folder, &found))
        return false;
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), slash, strlen(slash));
    hash = mix(hash, &found.st_dev, sizeof found.st_dev);
    hash = mix(hash, &found.st_ino, sizeof found.st_ino);
    *place = place_in_range(hash);
    return true;
}

#ifdef F_OFD_SETLK

static bool set_lock(int fd, short type, int64_t at, int64_t len)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = (off_t)len};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool is_locked(int fd, int64_t from, int64_t to)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)from,
                         .l_len = (off_t)(to - from)};
    return to > from && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

#else

static bool set_lock(int fd, short type, int64_t at, int64_t len)
{
    (void)fd, (void)type, (void)at, (void)len;
    return false;
}

static bool is_locked(int fd, int64_t from, int64_t to)
{
    (void)fd, (void)from, (void)to;
    return false;
}

#endif

/* Takes the byte at a place of a range. @return false: somebody has another one, and it is let go
   of */
static bool take_byte(int fd, int64_t range, int64_t place)
{
    /* Where locks can't be had at all, nobody else has one. */
    if (!set_lock(fd, F_RDLCK, range + place, 1))
        return true;
    if (!is_locked(fd, range, range + place) && !is_locked(fd, range + place + 1, range + SPAN))
        return true;
    (void)set_lock(fd, F_UNLCK, range + place, 1);
    return false;
}

static bool take_byte_soon(int fd, int64_t range, int64_t place)
{
    for (int tries = 1;; tries++) {
        struct timespec pause = {0};
        if (take_byte(fd, range, place))
            return true;
        if (tries == TRIES)
            return false;
        (void)clock_gettime(CLOCK_MONOTONIC, &pause);
        pause.tv_sec = 0;
        pause.tv_nsec = 1000000 + pause.tv_nsec % (tries * 2000000);
        (void)nanosleep(&pause, NULL);
    }
}

int idem__sqlite_guard_take(idem__sqlite *self, idem__sqlite_fault *fault)
{
    int fd = sizeof(off_t) < sizeof(int64_t) ? -1 : idem__sqlite_guard_descriptor(self->db);
    self->named = idem__sqlite_guard_name(sqlite3_db_filename(self->db, "main"), &self->name_at);
    if (fd < 0 || !self->named)
        return IDEM_OK;
    if (!take_byte_soon(fd, NAMES, self->name_at))
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                      "%s is in use under another name, and its log goes by the "
                                      "name: use one path for all; for a container mount the "
                                      "folder, not the file",
                                      self->name);
    /* A test's clock, or none that is known, is nobody's boot. */
    if (self->boot_id == 0 || self->config->clock.now_ms)
        return IDEM_OK;
    if (!take_byte_soon(fd, CLOCKS, place_in_range((uint64_t)self->boot_id)))
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                      "%s is in use by a process with another boot id, whose clock "
                                      "is not this one's: a file is for one kernel; use a store "
                                      "that is a server",
                                      self->name);
    return IDEM_OK;
}

void idem__sqlite_guard_release(idem__sqlite *self)
{
    int fd = self->db ? idem__sqlite_guard_descriptor(self->db) : -1;
    if (fd < 0)
        return;
    (void)set_lock(fd, F_UNLCK, NAMES, SPAN);
    (void)set_lock(fd, F_UNLCK, CLOCKS, SPAN);
}

/* ------------------------------------------------------------------------------------- findings */

#ifdef STATX_MNT_ID

static bool read_mount(const char *path, uint64_t *mount)
{
    struct statx found;
    if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &found) || !(found.stx_mask & STATX_MNT_ID))
        return false;
    *mount = found.stx_mnt_id;
    return true;
}

#else

static bool read_mount(const char *path, uint64_t *mount)
{
    (void)path;
    *mount = 0;
    return false;
}

#endif

/* True if the file alone is mounted where it is. */
static bool is_mounted(const char *path)
{
    char folder[PATH_MAX];
    uint64_t mount = 0;
    uint64_t folder_mount = 0;
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) + 1 >= sizeof folder)
        return false;
    (void)snprintf(folder, sizeof folder, "%.*s/", (int)(slash - path), path);
    return read_mount(path, &mount) && read_mount(folder, &folder_mount) && mount != folder_mount;
}

void idem__sqlite_guard_report(const idem__sqlite *self, const char *path, idem_finding_fn emit,
                               void *emit_user)
{
    struct stat file;
    if (stat(path, &file) == 0 && file.st_nlink > 1)
        idem_finding_emit(
            emit, emit_user, "use one of its names only; make backups as copies",
            "%s has %llu names (hard links): its write-ahead log goes by the name, so "
            "who opens it by another one does not see what is in the log",
            self->name, (unsigned long long)file.st_nlink);
    if (is_mounted(path))
        idem_finding_emit(
            emit, emit_user, "mount the folder that it is in, not the file",
            "%s is mounted by itself: its write-ahead log stays in this folder, where "
            "those who have the file elsewhere do not see it",
            self->name);
}
