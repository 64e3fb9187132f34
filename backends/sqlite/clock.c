/* SPDX-License-Identifier: MIT */
/*
 * The clock that rows are dated by. All who use a file share its machine, and so the clock that
 * counts from boot and never falls; it judges what was written since this boot. Only for rows of
 * an earlier boot (or of another machine, if the file was carried) the wall clock has to do.
 * So a wall clock that is set anew never takes a live claim away.
 */
#include "clock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef CLOCK_BOOTTIME
#define BOOT_CLOCK CLOCK_BOOTTIME
#else
#define BOOT_CLOCK CLOCK_MONOTONIC
#endif

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

/* The first 64 bits of the kernel's boot id; 0 if there is none. */
static uint64_t read_boot_id(void)
{
    char text[36];
    uint64_t id = 0;
    int digits = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof text);
    (void)close(fd);
    for (ssize_t i = 0; i < len && digits < 16; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            continue;
        id = id << 4 | (uint64_t)digit;
        digits++;
    }
    return digits == 16 ? id : 0;
}

int64_t idem__sqlite_clock_boot_id(const idem_config *config)
{
    struct stat space;
    if (config->clock.now_ms)
        return INJECTED_BOOT_ID;
    uint64_t id = read_boot_id();
    /* A time namespace has a boot clock of its own. */
    if (id && stat("/proc/self/ns/time", &space) == 0)
        id ^= (uint64_t)space.st_ino << 32;
    return (int64_t)id;
}

idem__sqlite_now idem__sqlite_clock_now(const idem__sqlite *self)
{
    const idem_clock *clock = &self->config->clock;
    idem__sqlite_now now = {.boot_id = self->boot_id, .wall_ms = idem_wall_ms()};
    struct timespec time;
    if (clock->now_ms)
        now.boot_ms = (int64_t)clock->now_ms(clock->user);
    else if (clock_gettime(BOOT_CLOCK, &time) == 0)
        now.boot_ms = (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
    else
        now.boot_id = 0;
    return now;
}

int idem__sqlite_clock_bind(sqlite3_stmt *statement, const idem__sqlite_now *now)
{
    int code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_BOOT_ID, now->boot_id);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_BOOT_MS, now->boot_ms);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(statement, IDEM__SQLITE_P_WALL_MS, now->wall_ms);
    return code;
}
