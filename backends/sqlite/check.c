/* SPDX-License-Identifier: MIT */
/*
 * Settings that could lose records or run work twice: how the database writes (on a caller's
 * connection that is the caller's choice), where the file lies, who else may write it, and whether
 * there is room. File systems are known by the numbers of Linux' statfs(); elsewhere they are not
 * looked at.
 */
#include "check.h"

#include "guard.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#define FREE_BYTES_MIN (UINT64_C(64) * 1024 * 1024)

typedef struct {
    idem__sqlite *self;
    idem_finding_fn emit;
    void *emit_user;
} examination;

/* With a write-ahead log FULL syncs every commit; with another journal, FULL and EXTRA do. */
static int check_writing(const examination *at, idem__sqlite_fault *fault)
{
    char journal[IDEM__SQLITE_PRAGMA_SIZE];
    char level[IDEM__SQLITE_PRAGMA_SIZE];
    int rc = idem__sqlite_pragma(at->self, "PRAGMA main.journal_mode", journal, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_pragma(at->self, "PRAGMA main.synchronous", level, fault);
    if (rc)
        return rc;
    if (strcmp(journal, "off") == 0 || strcmp(journal, "memory") == 0)
        idem_finding_emit(at->emit, at->emit_user, "set PRAGMA journal_mode = WAL",
                          "%s has journal_mode=%s: a process that is killed in a write damages it",
                          at->self->name, journal);
    if (strcmp(level, "0") == 0)
        idem_finding_emit(at->emit, at->emit_user, "set PRAGMA synchronous = FULL",
                          "%s has synchronous=off: a power failure can damage it", at->self->name);
    else if (strcmp(level, "1") == 0)
        idem_finding_emit(
            at->emit, at->emit_user, "open it with synchronous=full, which is the default",
            "%s has synchronous=normal: a power failure can lose the last records that were "
            "acknowledged, and their work is done again",
            at->self->name);
    return IDEM_OK;
}

const char *idem__sqlite_check_file_system(unsigned long type, bool *volatile_memory)
{
    static const struct {
        unsigned long type;
        const char *name;
        bool volatile_memory;
    } known[] = {
        {0x6969, "NFS", false},        {0x517b, "SMB", false},      {0xfe534d42, "SMB", false},
        {0xff534d42, "CIFS", false},   {0x01021997, "9p", false},   {0x00c36400, "Ceph", false},
        {0x0bd00bd0, "Lustre", false}, {0x5346414f, "AFS", false},  {0x47504653, "GPFS", false},
        {0x73757245, "Coda", false},   {0x65735546, "FUSE", false}, {0x01021994, "tmpfs", true},
        {0x858458f6, "ramfs", true},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].type == type) {
            *volatile_memory = known[i].volatile_memory;
            return known[i].name;
        }
    }
    return NULL;
}

static void check_file_system(const examination *at, const char *path)
{
#ifdef __linux__
    struct statfs where;
    bool volatile_memory = false;
    if (statfs(path, &where))
        return;
    const char *name =
        idem__sqlite_check_file_system((unsigned long)where.f_type & 0xffffffff, &volatile_memory);
    if (name && volatile_memory)
        idem_finding_emit(at->emit, at->emit_user, "keep it on a disk",
                          "%s lies on %s: it is gone when the machine stops", at->self->name, name);
    else if (name)
        idem_finding_emit(
            at->emit, at->emit_user, "keep it on a local disk, or use a store that is a server",
            "%s lies on %s, a network file system as a rule: its locks may not hold, and its "
            "write-ahead log can't be shared between machines",
            at->self->name, name);
#else
    (void)at, (void)path;
#endif
}

static void check_space(const examination *at, const char *path)
{
    struct statvfs where;
    if (statvfs(path, &where))
        return;
    uint64_t free_bytes = (uint64_t)where.f_bavail * where.f_frsize;
    if (free_bytes < FREE_BYTES_MIN)
        idem_finding_emit(at->emit, at->emit_user, "free space: claims are refused when it is full",
                          "%s has %llu KiB of free space left on its disk", at->self->name,
                          (unsigned long long)(free_bytes / 1024));
}

static void check_permissions(const examination *at, const char *path)
{
    struct stat file;
    if (stat(path, &file))
        return;
    if (file.st_mode & S_IWOTH)
        idem_finding_emit(
            at->emit, at->emit_user, "take the right away: chmod o-w",
            "%s may be written by every user of the machine (mode %03o): they can make any "
            "operation look done",
            at->self->name, (unsigned)(file.st_mode & 0777));
    if (sqlite3_db_readonly(at->self->db, "main") == 1)
        idem_finding_emit(at->emit, at->emit_user, "let this user write the file and its folder",
                          "%s can't be written by this user: every claim is refused",
                          at->self->name);
}

int idem__sqlite_check(idem__sqlite *self, idem_finding_fn emit, void *emit_user,
                       idem__sqlite_fault *fault)
{
    examination at = {.self = self, .emit = emit, .emit_user = emit_user};
    const char *path = sqlite3_db_filename(self->db, "main");
    if (!path || !*path) {
        idem_finding_emit(at.emit, at.emit_user, "name a file",
                          "%s is gone when the handle is closed", self->name);
        return IDEM_OK;
    }
    int rc = check_writing(&at, fault);
    if (rc)
        return rc;
    check_file_system(&at, path);
    check_space(&at, path);
    check_permissions(&at, path);
    idem__sqlite_guard_report(self, path, emit, emit_user);
    return IDEM_OK;
}
