/* SPDX-License-Identifier: MIT */
/*
 * The VFS in front of the system's. A file of ours begins with SQLite's part, and the system's file
 * lies behind it; every method decides whether it fails by plan, and else calls the system's.
 *
 * One lock guards plan, counts and record, and is held while a file is changed, so that the record
 * has the changes in the order in which they were made. Locks of files are taken without it, since
 * they may have to wait for each other.
 */
#include "shim.h"

#include "leave.h"

#include "record.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    sqlite3_file base;
    file_role role;
    uint32_t inode;
    bool new_entry; /* the first sync takes the folder along, as the system's VFS does */
    sqlite3_file *system;
} shim_file;

const char *const call_names[CALL_KINDS] = {"open",    "read",     "write",  "truncate",
                                            "sync",    "size",     "lock",   "unlock",
                                            "shm map", "shm lock", "delete", "access"};
const char *const role_names[FILE_ROLES] = {"db", "wal", "journal", "shm"};

static sqlite3_vfs shim_vfs;
static sqlite3_vfs *system_vfs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static fault_plan plan;
static uint64_t calls[CALL_KINDS][FILE_ROLES];
static uint64_t fired;
static bool recording;
static uint64_t changes;
static uint64_t last_change;
static int64_t space_left = INT64_MAX;
static int space_code;
static int space_number;

/* ---------------------------------------------------------------------------- plan and counts */

static void reset_counts(void)
{
    memset(calls, 0, sizeof calls);
    fired = 0;
}

void shim_plan(const fault_plan *wanted)
{
    (void)pthread_mutex_lock(&lock);
    plan = *wanted;
    reset_counts();
    (void)pthread_mutex_unlock(&lock);
}

void shim_mend(void)
{
    (void)pthread_mutex_lock(&lock);
    plan.nth = 0;
    space_left = INT64_MAX;
    (void)pthread_mutex_unlock(&lock);
}

uint64_t shim_fired(void)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t count = fired;
    (void)pthread_mutex_unlock(&lock);
    return count;
}

uint64_t shim_calls(call_kind kind, file_role role)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t count = calls[kind][role];
    (void)pthread_mutex_unlock(&lock);
    return count;
}

void shim_space(int64_t bytes, int code, int number)
{
    (void)pthread_mutex_lock(&lock);
    space_left = bytes;
    space_code = code;
    space_number = number;
    reset_counts();
    (void)pthread_mutex_unlock(&lock);
}

void shim_record(bool on)
{
    recording = on;
    changes = 0;
}

void shim_die_at(uint64_t nth)
{
    last_change = nth;
}

/* Counts a call; SQLITE_OK, or what it fails with. The lock is held. */
static int judge(call_kind kind, file_role role)
{
    uint64_t count = ++calls[kind][role];
    if (plan.nth == 0 || plan.kind != kind || plan.role != role || count < plan.nth ||
        count - plan.nth >= plan.times)
        return SQLITE_OK;
    fired++;
    errno = plan.number;
    return plan.code;
}

static int judge_alone(call_kind kind, file_role role)
{
    (void)pthread_mutex_lock(&lock);
    int code = judge(kind, role);
    (void)pthread_mutex_unlock(&lock);
    return code;
}

/* Before each change of a file while the record is kept; the lock is held. */
static void approach_change(void)
{
    if (recording && last_change > 0 && ++changes >= last_change)
        leave(0);
}

/* -------------------------------------------------------------------------------------- files */

static sqlite3_file *below(sqlite3_file *file)
{
    return ((shim_file *)file)->system;
}

static file_role role_of(sqlite3_file *file)
{
    return ((shim_file *)file)->role;
}

static int shim_close(sqlite3_file *file)
{
    return below(file)->pMethods->xClose(below(file));
}

static int shim_read(sqlite3_file *file, void *buf, int len, sqlite3_int64 offset)
{
    int code = judge_alone(CALL_READ, role_of(file));
    return code ? code : below(file)->pMethods->xRead(below(file), buf, len, offset);
}

/* How much of a write there is room for; the lock is held. */
static int fitting(sqlite3_file *file, int len, sqlite3_int64 offset)
{
    sqlite3_int64 size = 0;
    if (space_left == INT64_MAX || below(file)->pMethods->xFileSize(below(file), &size))
        return len;
    sqlite3_int64 growth = offset + len - (size > offset ? size : offset);
    if (growth <= 0)
        return len;
    sqlite3_int64 granted = growth < space_left ? growth : space_left;
    space_left -= granted;
    return len - (int)(growth - granted);
}

/* Writes and keeps what was written; the lock is held. */
static int put(shim_file *file, const void *buf, int len, sqlite3_int64 offset)
{
    if (len <= 0)
        return SQLITE_OK;
    approach_change();
    int code = file->system->pMethods->xWrite(file->system, buf, len, offset);
    if (code == SQLITE_OK && recording)
        record_add(EVENT_WRITE, file->role, file->inode, (uint64_t)offset, (uint64_t)len, buf,
                   false);
    return code;
}

static int shim_write(sqlite3_file *file, const void *buf, int len, sqlite3_int64 offset)
{
    (void)pthread_mutex_lock(&lock);
    int code = judge(CALL_WRITE, role_of(file));
    int number = errno;
    int written = code && !plan.torn ? 0 : code ? len / 2 : fitting(file, len, offset);
    int rc = put((shim_file *)file, buf, written, offset);
    if (rc == SQLITE_OK && code == SQLITE_OK && written < len) {
        fired++;
        code = space_code;
        number = space_number;
    }
    (void)pthread_mutex_unlock(&lock);
    if (code)
        errno = number;
    return rc ? rc : code;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)pthread_mutex_lock(&lock);
    int code = judge(CALL_TRUNCATE, role_of(file));
    if (code == SQLITE_OK) {
        approach_change();
        code = below(file)->pMethods->xTruncate(below(file), size);
        if (code == SQLITE_OK && recording)
            record_add(EVENT_TRUNCATE, role_of(file), ((shim_file *)file)->inode, 0, (uint64_t)size,
                       NULL, false);
    }
    (void)pthread_mutex_unlock(&lock);
    return code;
}

static int shim_sync(sqlite3_file *base, int flags)
{
    shim_file *file = (shim_file *)base;
    (void)pthread_mutex_lock(&lock);
    int code = judge(CALL_SYNC, file->role);
    if (recording) {
        approach_change();
        record_add(code ? EVENT_SYNC_FAILED : EVENT_SYNC, file->role, file->inode, 0, 0, NULL,
                   code == SQLITE_OK && file->new_entry);
        file->new_entry = file->new_entry && code != SQLITE_OK;
    }
    (void)pthread_mutex_unlock(&lock);
    return code || recording ? code : file->system->pMethods->xSync(file->system, flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int code = judge_alone(CALL_SIZE, role_of(file));
    return code ? code : below(file)->pMethods->xFileSize(below(file), size);
}

static int shim_lock(sqlite3_file *file, int level)
{
    int code = judge_alone(CALL_LOCK, role_of(file));
    return code ? code : below(file)->pMethods->xLock(below(file), level);
}

/* What fails to unlock has unlocked all the same, as with close(): else nobody could ever go on. */
static int shim_unlock(sqlite3_file *file, int level)
{
    int code = judge_alone(CALL_UNLOCK, role_of(file));
    int rc = below(file)->pMethods->xUnlock(below(file), level);
    return code ? code : rc;
}

static int shim_check_reserved(sqlite3_file *file, int *reserved)
{
    return below(file)->pMethods->xCheckReservedLock(below(file), reserved);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    return below(file)->pMethods->xFileControl(below(file), op, arg);
}

static int shim_sector_size(sqlite3_file *file)
{
    return below(file)->pMethods->xSectorSize(below(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return below(file)->pMethods->xDeviceCharacteristics(below(file));
}

static int shim_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **at)
{
    int code = judge_alone(CALL_SHM_MAP, FILE_SHM);
    return code ? code : below(file)->pMethods->xShmMap(below(file), region, size, extend, at);
}

/* A lock that is given back never fails: SQLite does not look. */
static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    int code = flags & SQLITE_SHM_LOCK ? judge_alone(CALL_SHM_LOCK, FILE_SHM) : SQLITE_OK;
    return code ? code : below(file)->pMethods->xShmLock(below(file), offset, count, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    below(file)->pMethods->xShmBarrier(below(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete_it)
{
    return below(file)->pMethods->xShmUnmap(below(file), delete_it);
}

/* Version 2: no memory mapping of files, which are then read and written by the calls above. */
static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector_size,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

/* -------------------------------------------------------------------------------------- names */

static file_role role_of_name(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    if (len > 4 && strcmp(name + len - 4, "-wal") == 0)
        return FILE_WAL;
    if (len > 8 && strcmp(name + len - 8, "-journal") == 0)
        return FILE_JOURNAL;
    return FILE_DB;
}

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                     int *flags_out)
{
    shim_file *file = (shim_file *)base;
    (void)vfs;
    memset(file, 0, sizeof *file);
    file->role = role_of_name(name);
    file->system = (sqlite3_file *)(void *)(file + 1);
    file->system->pMethods = NULL;
    (void)pthread_mutex_lock(&lock);
    int code = judge(CALL_OPEN, file->role);
    if (code == SQLITE_OK)
        code = system_vfs->xOpen(system_vfs, name, file->system, flags, flags_out);
    if (code == SQLITE_OK && recording) {
        file->inode = record_inode(file->role);
        if (!file->inode)
            file->inode = record_create(file->role);
        file->new_entry = file->role != FILE_DB;
    }
    (void)pthread_mutex_unlock(&lock);
    if (file->system->pMethods)
        file->base.pMethods = &methods;
    return code;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    file_role role = role_of_name(name);
    (void)vfs;
    (void)pthread_mutex_lock(&lock);
    int code = judge(CALL_DELETE, role);
    if (code == SQLITE_OK) {
        approach_change();
        code = system_vfs->xDelete(system_vfs, name, recording ? 0 : sync_folder);
        if (code == SQLITE_OK && recording && record_inode(role))
            record_delete(role, sync_folder != 0);
    }
    (void)pthread_mutex_unlock(&lock);
    return code;
}

static int shim_access(sqlite3_vfs *vfs, const char *name, int flags, int *result)
{
    (void)vfs;
    int code = judge_alone(CALL_ACCESS, role_of_name(name));
    return code ? code : system_vfs->xAccess(system_vfs, name, flags, result);
}

void shim_install(void)
{
    system_vfs = sqlite3_vfs_find(NULL);
    shim_vfs = *system_vfs;
    shim_vfs.zName = "shim";
    shim_vfs.pNext = NULL;
    shim_vfs.szOsFile = (int)sizeof(shim_file) + system_vfs->szOsFile;
    shim_vfs.xOpen = shim_open;
    shim_vfs.xDelete = shim_delete;
    shim_vfs.xAccess = shim_access;
    if (sqlite3_vfs_register(&shim_vfs, 1) != SQLITE_OK) {
        (void)fprintf(stderr, "the shim can't be registered\n");
        exit(EXIT_FAILURE);
    }
}
