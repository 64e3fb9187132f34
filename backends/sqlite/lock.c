/* SPDX-License-Identifier: MIT */
/*
 * Waiting for other writers. SQLite calls its busy handler for most locks, but not for all: it
 * leaves it out where it fears a deadlock, while a write-ahead log is recovered, and on a caller's
 * connection there may be none. So the steps of statements are repeated by a loop of ours that
 * pauses in the same way. Neither ever gives up before the call's deadline.
 *
 * If a reader finds no place in the log's index, SQLite tries a hundred times before it reports
 * that, with pauses of 10 s in all and without the busy handler. It pauses by its VFS. So
 * connections are opened on a copy of the default VFS, whose pauses end with the deadline. The VFS
 * is known to SQLite only while a connection is opened: nothing of ours stays in its list if the
 * library is unloaded.
 */
#include "lock.h"

#include <pthread.h>
#include <time.h>

static _Thread_local uint64_t sleep_until_ms; /* the deadline of this thread's call */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs patient; /* `opening`; once it is filled in it stays as it is */
static sqlite3_vfs *copied;

void idem__sqlite_lock_enter(idem__sqlite *self, uint64_t deadline_ms)
{
    self->nested = self->joined && !sqlite3_get_autocommit(self->db);
    self->entered_ms = idem_monotonic_ms();
    self->deadline_ms = deadline_ms;
    self->committing = false;
    sleep_until_ms = deadline_ms;
    self->give_up_ms = deadline_ms;
    if (deadline_ms > self->entered_ms && self->busy_timeout_ms < deadline_ms - self->entered_ms)
        self->give_up_ms = self->entered_ms + self->busy_timeout_ms;
}

static int sleep_in_time(sqlite3_vfs *vfs, int pause_us)
{
    uint64_t now_ms = idem_monotonic_ms();
    uint64_t left_us = sleep_until_ms > now_ms ? (sleep_until_ms - now_ms) * 1000 : 0;
    (void)vfs;
    if (left_us == 0)
        return 0;
    return copied->xSleep(copied, (uint64_t)pause_us < left_us ? pause_us : (int)left_us);
}

int idem__sqlite_lock_open(const char *path, sqlite3 **db, int flags)
{
    (void)pthread_mutex_lock(&opening);
    sqlite3_vfs *usual = sqlite3_vfs_find(NULL);
    if (!copied && usual) {
        patient = *usual;
        patient.pNext = NULL;
        patient.zName = "libidem";
        patient.xSleep = sleep_in_time;
        copied = usual;
    }
    /* A default VFS that came later is taken as it is. */
    bool ours = usual && usual == copied && sqlite3_vfs_register(&patient, 0) == SQLITE_OK;
    int code = sqlite3_open_v2(path, db, flags, ours ? patient.zName : NULL);
    if (ours)
        (void)sqlite3_vfs_unregister(&patient);
    (void)pthread_mutex_unlock(&opening);
    return code;
}

void idem__sqlite_lock_opening(void)
{
    (void)pthread_mutex_lock(&opening);
}

void idem__sqlite_unlock_opening(void)
{
    (void)pthread_mutex_unlock(&opening);
}

bool idem__sqlite_lock_is_unix(const sqlite3_vfs *vfs)
{
    const char *name = vfs ? vfs->zName : NULL;
    if (vfs == &patient && copied)
        name = copied->zName;
    return name && strncmp(name, "unix", 4) == 0;
}

/* SQLite's own pauses grow to 100 ms. Where eight processes write without a break, one of them then
   waits for 2.5 s; with these it is 0.3 s, and as much is written. */
int idem__sqlite_lock_wait(void *user, int tries)
{
    static const uint16_t pauses_us[] = {500, 1000, 2000, 5000};
    const idem__sqlite *self = user;
    const size_t last = sizeof pauses_us / sizeof pauses_us[0] - 1;
    struct timespec pause = {0};
    uint64_t now_ms = idem_monotonic_ms();
    if (self->no_wait || now_ms >= self->give_up_ms)
        return 0;
    uint64_t left_us = (self->give_up_ms - now_ms) * 1000;
    uint64_t pause_us = pauses_us[(size_t)tries < last ? (size_t)tries : last];
    /* Half of it to one and a half, so that waiting processes don't try again at the same
       moment. */
    (void)clock_gettime(CLOCK_MONOTONIC, &pause);
    pause_us = pause_us / 2 + (uint64_t)pause.tv_nsec % pause_us;
    pause.tv_sec = 0;
    pause.tv_nsec = (long)(pause_us < left_us ? pause_us : left_us) * 1000;
    /* A signal may cut the pause short: one try more does no harm. */
    (void)nanosleep(&pause, NULL);
    return 1;
}

bool idem__sqlite_lock_may_pass(idem__sqlite *self, int code)
{
    /* A reader that another writer has overtaken can write only after it has ended. */
    if (code == SQLITE_BUSY_SNAPSHOT)
        return sqlite3_txn_state(self->db, "main") == SQLITE_TXN_NONE;
    if (code == SQLITE_LOCKED_SHAREDCACHE)
        return true;
    return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_PROTOCOL;
}
