/* SPDX-License-Identifier: MIT */
/* The environment that libfaketime reads, and the file with the offset. */
#include "faked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILE_VARIABLE "FAKETIME_TIMESTAMP_FILE"

static const char *const settings[][2] = {
    {"DONT_FAKE_MONOTONIC", "1"},
    {"FAKETIME_NO_CACHE", "1"},
    {"FAKETIME_DONT_RESET", "1"},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static void stop(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

void faked_require(void)
{
    const char *library = getenv("IDEM_FAKETIME");
    const char *skips_fail = getenv("IDEM_SKIPS_FAIL");
    if (library && access(library, R_OK) == 0)
        return;
    (void)fprintf(stderr, "libfaketime is not there (Debian: faketime)\n");
    exit(skips_fail && strcmp(skips_fail, "1") == 0 ? EXIT_FAILURE : 77);
}

bool faked_inside(void)
{
    return getenv(FILE_VARIABLE) != NULL;
}

/* In one step: a reader finds the old offset or the new one. */
void faked_set(long seconds)
{
    const char *path = getenv(FILE_VARIABLE);
    char fresh[256];
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "w");
    if (!file || fprintf(file, "%+ld\n", seconds) < 0 || fclose(file) != 0 ||
        rename(fresh, path) != 0)
        stop("the offset of the clock can't be written");
}

void faked_begin(void)
{
    char path[] = "/tmp/idem-time-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0 || setenv(FILE_VARIABLE, path, 1) != 0)
        stop("no file for the offset of the clock");
    for (size_t i = 0; i < SETTINGS; i++)
        (void)setenv(settings[i][0], settings[i][1], 1);
    (void)setenv("LD_PRELOAD", getenv("IDEM_FAKETIME"), 1);
    faked_set(0);
}

void faked_end(void)
{
    (void)unlink(getenv(FILE_VARIABLE));
    (void)unsetenv(FILE_VARIABLE);
    (void)unsetenv("LD_PRELOAD");
    for (size_t i = 0; i < SETTINGS; i++)
        (void)unsetenv(settings[i][0]);
}

int faked_run_again(const char *argument)
{
    int status = -1;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/proc/self/exe", "faked", argument, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return EXIT_FAILURE;
    return WEXITSTATUS(status);
}

/* The kernel is asked past the C library, where libfaketime does not come in between. */
long faked_offset(void)
{
    struct timespec real = {0};
    struct timespec faked = {0};
    (void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    (void)clock_gettime(CLOCK_REALTIME, &faked);
    return (long)(faked.tv_sec - real.tv_sec);
}
