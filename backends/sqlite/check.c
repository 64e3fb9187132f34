/* SPDX-License-Identifier: MIT */
/*
 * Settings that could lose records or run work twice: how the database writes (on a caller's
 * connection that is the caller's choice), where the file lies, which other users may write it,
 * whether there is room, and whether a record can be written at all, which is tried. File systems
 * are recognised by the numbers of Linux' statfs(); on other systems they are not checked.
 */
#include "check.h"

#include "batch.h"
#include "check_access.h"
#include "clock.h"
#include "guard.h"
#include "harden.h"
#include "place.h"

#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#define FREE_BYTES_MIN (UINT64_C(64) * 1024 * 1024)
#define LOG_BYTES_MAX  (UINT64_C(64) * 1024 * 1024)
/* How long a record lives that was made to try whether one can be. */
#define PROBE_MS UINT64_C(10000)

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

/* A store whose file has come to the limit refuses every claim. */
static void check_file_limit(const examination *at, const char *path)
{
    struct rlimit limit;
    struct stat file;
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY || stat(path, &file))
        return;
    uint64_t needed = (uint64_t)file.st_size + FREE_BYTES_MIN;
    if ((uint64_t)limit.rlim_cur < needed)
        idem_finding_emit(at->emit, at->emit_user, "raise the limit: ulimit -f",
                          "%s may not grow beyond %llu KiB by this process: a write beyond that "
                          "fails",
                          at->self->name, (unsigned long long)limit.rlim_cur / 1024);
}

static void check_log(const examination *at, const char *path)
{
    char log[PATH_MAX];
    struct stat file;
    if (snprintf(log, sizeof log, "%s-wal", path) >= (int)sizeof log || stat(log, &file) ||
        (uint64_t)file.st_size <= LOG_BYTES_MAX)
        return;
    idem_finding_emit(
        at->emit, at->emit_user,
        "look for a program that leaves a transaction open on the file, and end it",
        "%s has a write-ahead log of %llu MiB: somebody who reads keeps it from being "
        "emptied, and it grows with every write",
        at->self->name, (unsigned long long)file.st_size >> 20);
}

/* Tables that were changed since they were opened. */
static int check_tables(const examination *at, idem__sqlite_fault *fault)
{
    idem__sqlite_fault own = {0};
    int rc = idem__sqlite_harden_tables(at->self, &own);
    if (rc && rc != IDEM_ERR_CORRUPT)
        return idem__sqlite_fault_set(fault, own.permanent, rc, "%s", own.error.message);
    if (rc)
        idem_finding_emit(at->emit, at->emit_user, "let nobody else change the tables idem_…", "%s",
                          own.error.message);
    return IDEM_OK;
}

/* ------------------------------------------------------------------------------------- probe */

static const char *mend_for(const idem_op *op)
{
    switch (op->error.code) {
    case IDEM_ERR_FULL:
        return "free space on its disk";
    case IDEM_ERR_CORRUPT:
        return "restore it from a backup";
    default:
        return "let this user write the file and its folder, on a disk that works";
    }
}

/* What fails is a finding, unless it says more of this process than of the file. */
static int carry_out(const examination *at, const char *what, idem_op *op,
                     idem__sqlite_fault *fault)
{
    idem_op *const ops[] = {op};
    idem__sqlite_batch_run(at->self, ops, 1);
    idem_record_clear(&op->found);
    if (op->error.code == IDEM_ERR_NO_MEMORY)
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_NO_MEMORY, "%s", op->error.message);
    if (op->error.code)
        idem_finding_emit(at->emit, at->emit_user, mend_for(op),
                          "a record can't be %s, so every claim is refused: %s", what,
                          op->error.message);
    else if (!op->applied)
        idem_finding_emit(at->emit, at->emit_user, "restore it from a backup",
                          "%s: a record that was to be %s is not there", at->self->name, what);
    return IDEM_OK;
}

/* Takes a key that nobody has through what claims need: inserted, replaced, removed. What a
   process that is killed in between leaves behind expires by itself. */
static int try_writing(const examination *at, idem__sqlite_fault *fault)
{
    uint64_t random[2];
    char key[40];
    int rc = idem_random(random, sizeof random, &fault->error);
    if (rc)
        return rc;
    (void)snprintf(key, sizeof key, "idem-doctor:%016llx", (unsigned long long)random[0]);
    idem_record record = {.key = idem_str(key),
                          .status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 1,
                          .version = random[1],
                          .lease_ms = PROBE_MS,
                          .ttl_ms = PROBE_MS,
                          .created_at_ms = idem_wall_ms(),
                          .updated_at_ms = idem_wall_ms()};
    idem_op insert = {
        .kind = IDEM_OP_INSERT, .key = record.key, .record = &record, .live_ms = PROBE_MS};
    idem_op replace = {.kind = IDEM_OP_REPLACE,
                       .key = record.key,
                       .record = &record,
                       .live_ms = PROBE_MS,
                       .expected = random[1]};
    idem_op removal = {.kind = IDEM_OP_REMOVE, .key = record.key, .any_version = true};
    rc = carry_out(at, "inserted", &insert, fault);
    if (rc || !insert.applied)
        return rc;
    record.version++;
    rc = carry_out(at, "replaced", &replace, fault);
    int removed = carry_out(at, "removed", &removal, fault);
    return rc ? rc : removed;
}

/* In a caller's transaction nothing is tried: it would be the caller's to commit. */
static int check_probe(const examination *at, const char *path, idem__sqlite_fault *fault)
{
    struct statvfs where;
    if (sqlite3_db_readonly(at->self->db, "main") != 1)
        return at->self->nested ? IDEM_OK : try_writing(at, fault);
    bool mounted = statvfs(path, &where) == 0 && (where.f_flag & ST_RDONLY);
    idem_finding_emit(at->emit, at->emit_user, "let this user write the file and its folder",
                      "%s can't be written by this user%s: every claim is refused", at->self->name,
                      mounted ? ", for its file system is mounted read-only" : "");
    return IDEM_OK;
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
    check_file_limit(&at, path);
    check_log(&at, path);
    idem__sqlite_check_access(
        self->name, path, self->place ? idem__sqlite_place_mode(self->place) : 0, emit, emit_user);
    idem__sqlite_guard_report(self, path, emit, emit_user);
    rc = check_tables(&at, fault);
    if (rc == IDEM_OK)
        rc = idem__sqlite_clock_report(self, emit, emit_user, fault);
    return rc ? rc : check_probe(&at, path, fault);
}
