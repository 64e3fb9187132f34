/* SPDX-License-Identifier: MIT */
/*
 * The clock that dates rows. All processes that use a file share its kernel, and so the clock that
 * counts from boot and never goes back; it judges what was written since this boot. A time
 * namespace shifts that clock by an offset that the kernel tells, so one boot is one clock in all
 * of them. Only rows of an earlier boot (or of another machine, if the file was copied) are judged
 * by the wall clock. So setting the wall clock never takes a live claim away.
 *
 * A row of another boot that is dated after this one began is not of an earlier boot: another
 * kernel uses the file at the same time (guard.c refuses that where it can be seen), or its wall
 * clock was ahead. The true age of such a stray row is unknown, but it is at least the time since
 * the row was first seen. So its age is 0 at first, and the process that finds it dates it anew: it
 * lives at most as long again, and no claim is taken from a working owner.
 *
 * A row of this boot that is dated far into the future is a stray too: the machine was set back to
 * a snapshot and the file was not, or a process was shown a false clock.
 */
#include "clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef CLOCK_BOOTTIME
#define BOOT_CLOCK      CLOCK_BOOTTIME
#define BOOT_CLOCK_NAME "boottime"
#else
#define BOOT_CLOCK      CLOCK_MONOTONIC
#define BOOT_CLOCK_NAME "monotonic"
#endif

/* The inode number of the kernel's own time namespace, which has no offset. */
#define INITIAL_NAMESPACE 0xEFFFFFFAu

/* A writer reads the clock before others see its row; a larger difference means another clock.
   statements.c has it in SQL. */
#define AHEAD_MAX_MS INT64_C(10000)

/* "injected": rows that were dated by a test's clock are dated by it alone. */
#define INJECTED_BOOT_ID INT64_C(0x696e6a6563746564)

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Reads the beginning of a file of /proc. @return false: it is not there */
static bool read_text(const char *path, char *text, size_t size)
{
    int fd = idem_descriptor_raise(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, size - 1);
    (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* The first 64 bits of the kernel's boot id; 0 if there is none. */
static uint64_t read_boot_id(void)
{
    char text[40];
    uint64_t id = 0;
    int digits = 0;
    if (!read_text("/proc/sys/kernel/random/boot_id", text, sizeof text))
        return 0;
    for (const char *at = text; *at && digits < 16; at++) {
        int digit = hex_digit(*at);
        if (digit < 0)
            continue;
        id = id << 4 | (uint64_t)digit;
        digits++;
    }
    return digits == 16 ? id : 0;
}

/* By how much this process's boot clock is ahead of the kernel's, in the time namespace of this
   inode. @return false: it can't be told */
static bool read_offset(ino_t mine, int64_t *offset_ms)
{
    char text[256];
    struct stat childrens;
    long long seconds = 0;
    long long nanoseconds = 0;
    if (mine == INITIAL_NAMESPACE)
        return true;
    /* What is told is the offset for new children. */
    if (stat("/proc/self/ns/time_for_children", &childrens) || mine != childrens.st_ino ||
        !read_text("/proc/self/timens_offsets", text, sizeof text))
        return false;
    const char *line = strstr(text, BOOT_CLOCK_NAME);
    if (!line || sscanf(line, BOOT_CLOCK_NAME " %lld %lld", &seconds, &nanoseconds) != 2)
        return false;
    *offset_ms = (int64_t)(seconds * 1000 + nanoseconds / 1000000);
    return true;
}

void idem__sqlite_clock_read(idem__sqlite *self)
{
    self->boot_offset_ms = 0;
    self->boot_id = INJECTED_BOOT_ID;
    if (self->config->clock.now_ms)
        return;
    struct stat mine;
    uint64_t id = read_boot_id();
    bool has_namespaces = stat("/proc/self/ns/time", &mine) == 0; /* the kernel */
    /* Earlier versions told namespaces apart by their inode numbers: they agree with this one on
       the kernel's own. */
    if (id && has_namespaces)
        id ^= (uint64_t)INITIAL_NAMESPACE << 32;
    bool known = !has_namespaces || read_offset(mine.st_ino, &self->boot_offset_ms);
    self->boot_id = known ? (int64_t)id : 0;
}

idem__sqlite_now idem__sqlite_clock_now(const idem__sqlite *self)
{
    const idem_clock *clock = &self->config->clock;
    idem__sqlite_now now = {.boot_id = self->boot_id, .wall_ms = idem_wall_ms()};
    struct timespec time;
    if (clock->now_ms)
        now.boot_ms = (int64_t)clock->now_ms(clock->user);
    else if (clock_gettime(BOOT_CLOCK, &time) == 0)
        now.boot_ms = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000 - self->boot_offset_ms;
    else
        now.boot_id = 0;
    /* A test's clock says nothing of when a boot began. */
    bool began = !clock->now_ms && now.boot_id != 0;
    now.since_ms = began ? now.wall_ms - now.boot_ms : now.wall_ms;
    return now;
}

int idem__sqlite_clock_bind(sqlite3_stmt *statement, const idem__sqlite_now *now)
{
    int code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_BOOT_ID, now->boot_id);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_BOOT_MS, now->boot_ms);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_WALL_MS, now->wall_ms);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_SINCE_MS, now->since_ms);
    return code;
}

/* The difference, or the end of the range that it lies behind. */
static int64_t difference(int64_t now_ms, int64_t then_ms)
{
    if (then_ms < 0 && now_ms > INT64_MAX + then_ms)
        return INT64_MAX;
    if (then_ms > 0 && now_ms < INT64_MIN + then_ms)
        return INT64_MIN;
    return now_ms - then_ms;
}

static bool is_of_this_boot(const idem__sqlite_now *now, const idem__sqlite_date *date)
{
    return date->boot_id == now->boot_id && date->boot_id != 0;
}

/* What has no boot time is dated by the wall clock alone. */
static bool is_of_another_clock(const idem__sqlite_now *now, const idem__sqlite_date *date)
{
    return date->boot_id != 0 && date->boot_id != now->boot_id && date->boot_ms != 0 &&
           date->wall_ms > now->since_ms;
}

uint64_t idem__sqlite_clock_age(const idem__sqlite_now *now, const idem__sqlite_date *date)
{
    int64_t age_ms = 0;
    if (is_of_this_boot(now, date))
        age_ms = difference(now->boot_ms, date->boot_ms);
    else if (!is_of_another_clock(now, date))
        age_ms = difference(now->wall_ms, date->wall_ms);
    return age_ms > 0 ? (uint64_t)age_ms : 0; /* a clock may have fallen */
}

bool idem__sqlite_clock_is_stray(const idem__sqlite_now *now, const idem__sqlite_date *date)
{
    if (is_of_this_boot(now, date))
        return difference(date->boot_ms, now->boot_ms) > AHEAD_MAX_MS;
    return is_of_another_clock(now, date) || date->wall_ms > now->wall_ms;
}

uint64_t idem__sqlite_clock_known_ms(idem__sqlite *self, uint64_t version)
{
    const size_t size = sizeof self->strays / sizeof self->strays[0];
    uint64_t now_ms = idem_monotonic_ms();
    for (size_t i = 0; i < size; i++) {
        if (self->strays[i].since_ms && self->strays[i].version == version)
            return now_ms - self->strays[i].since_ms;
    }
    self->strays[self->next_stray].version = version;
    self->strays[self->next_stray].since_ms = now_ms;
    self->next_stray = (self->next_stray + 1) % size;
    return 0;
}

int idem__sqlite_clock_report(idem__sqlite *self, idem_finding_fn emit, void *emit_user,
                              idem__sqlite_fault *fault)
{
    idem__sqlite_now now = idem__sqlite_clock_now(self);
    sqlite3_stmt *count = idem__sqlite_statement(self, IDEM__SQLITE_COUNT_STRAYS, fault);
    if (!count)
        return fault->error.code;
    int64_t strays = 0;
    int code = idem__sqlite_clock_bind(count, &now);
    if (code == SQLITE_OK)
        code = idem__sqlite_step(self, count);
    if (code == SQLITE_ROW)
        strays = sqlite3_column_int64(count, 0);
    idem__sqlite_done(count);
    if (code != SQLITE_ROW)
        return idem__sqlite_fault_take(self, code, fault);
    if (strays > 0)
        idem_finding_emit(
            emit, emit_user,
            "share a file within one kernel only, and set the machines' clocks right",
            "%s has %lld records that another clock dates (another boot id, or the future): a "
            "machine or container with a kernel of its own uses it, or a clock was ahead",
            self->name, (long long)strays);
    return IDEM_OK;
}
