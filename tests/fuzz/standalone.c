/* SPDX-License-Identifier: MIT */
/*
 * The driver of a fuzz target where there is no libFuzzer: replays the files that it is given, and
 * those in the folders that it is given, each in memory of its exact size. No file at all is a
 * failure, since nothing would have been tested. The input at which a property did not hold is
 * named on stderr.
 */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static char current[4096];

static void name_current(int number)
{
    static const char words[] = "the input was ";
    ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);
    if (written > 0)
        written = write(STDERR_FILENO, current, strlen(current));
    if (written > 0)
        written = write(STDERR_FILENO, "\n", 1);
    (void)written;
    (void)number; /* of SIGABRT, which goes on when this returns */
}

static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    size_t got = file && data ? fread(data, 1, size, file) : 0;
    bool whole = file && data && got == size;
    if (file)
        (void)fclose(file);
    (void)snprintf(current, sizeof current, "%s", path);
    if (whole)
        (void)LLVMFuzzerTestOneInput(data, size);
    else
        (void)fprintf(stderr, "%s can't be read\n", path);
    free(data);
    return whole ? 1 : -1;
}

/* Replays the files that a folder holds. @return how many, or -1 */
static int replay_folder(const char *path)
{
    char inner[4096];
    struct stat info;
    DIR *folder = opendir(path);
    int count = folder ? 0 : -1;
    for (struct dirent *entry = NULL; count >= 0 && (entry = readdir(folder)) != NULL;) {
        int len = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        bool found = len > 0 && (size_t)len < sizeof inner && stat(inner, &info) == 0;
        if (found && S_ISREG(info.st_mode))
            count = replay_file(inner, (size_t)info.st_size) < 0 ? -1 : count + 1;
    }
    if (folder)
        (void)closedir(folder);
    return count;
}

/* @return how many inputs, or -1 */
static int replay(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        (void)fprintf(stderr, "%s is not there\n", path);
        return -1;
    }
    return S_ISDIR(info.st_mode) ? replay_folder(path) : replay_file(path, (size_t)info.st_size);
}

int main(int argc, char **argv)
{
    int count = 0;
    (void)signal(SIGABRT, name_current);
    for (int i = 1; i < argc; i++) {
        int more = replay(argv[i]);
        if (more < 0)
            return EXIT_FAILURE;
        count += more;
    }
    (void)printf("%d inputs replayed\n", count);
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
