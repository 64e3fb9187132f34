/* SPDX-License-Identifier: MIT */
/*
 * Writing under a limit of file sizes. The system tells a thread that writes beyond it by SIGXFSZ, which
 * ends the process unless it is handled, and by EFBIG. The process is the caller's, and so are its
 * handlers: the signal is blocked in this thread while it writes, and taken back if it came. One that was
 * pending before is the caller's, and stays.
 */
#include "file_limit.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static void only_file_size(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGXFSZ);
}

void idem__sqlite_file_limit_enter(idem__sqlite_file_limit *limit)
{
    struct rlimit size;
    sigset_t signals;
    limit->held = false;
    if (getrlimit(RLIMIT_FSIZE, &size) || size.rlim_cur == RLIM_INFINITY)
        return;
    if (sigpending(&signals) || sigismember(&signals, SIGXFSZ) != 0)
        return; /* it is blocked already */
    only_file_size(&signals);
    limit->held = pthread_sigmask(SIG_BLOCK, &signals, &limit->mask) == 0;
}

void idem__sqlite_file_limit_leave(const idem__sqlite_file_limit *limit)
{
    const struct timespec now = {0};
    sigset_t signals;
    if (!limit->held)
        return;
    only_file_size(&signals);
    while (sigtimedwait(&signals, NULL, &now) == SIGXFSZ) {
    }
    (void)pthread_sigmask(SIG_SETMASK, &limit->mask, NULL);
}

/* SQLite does not say EFBIG when a commit fails. The system writes up to the limit before it refuses. */
static bool is_at(const char *path, rlim_t limit)
{
    const off_t page_max = 65536;
    struct stat file;
    return path && *path && stat(path, &file) == 0 && (rlim_t)(file.st_size + page_max) > limit;
}

bool idem__sqlite_file_limit_is_reached(sqlite3 *db)
{
    struct rlimit size;
    const char *path = sqlite3_db_filename(db, "main");
    if (!path || getrlimit(RLIMIT_FSIZE, &size) || size.rlim_cur == RLIM_INFINITY)
        return false;
    return is_at(path, size.rlim_cur) || is_at(sqlite3_filename_wal(path), size.rlim_cur);
}
