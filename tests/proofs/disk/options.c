/* SPDX-License-Identifier: MIT */
/* The arguments of this folder's programs, and the folders they work in. */
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE */

#include "options.h"

#include <idem/backend.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t number_of(const char *text)
{
    char *end = NULL;
    uint64_t number = text ? strtoull(text, &end, 10) : 0;
    if (!end || *end || end == text) {
        (void)fprintf(stderr, "usage: [--seed N] [--stride N] [--seconds N]\n");
        exit(64);
    }
    return number;
}

void options_read(int argc, char **argv, options *given)
{
    *given = (options){.stride = 1};
    if (idem_random(&given->seed, sizeof given->seed, NULL))
        exit(EXIT_FAILURE);
    given->seed %= 1000000000;
    for (int i = 1; i < argc; i += 2) {
        uint64_t number = number_of(argv[i + 1]);
        if (strcmp(argv[i], "--seed") == 0)
            given->seed = number;
        else if (strcmp(argv[i], "--stride") == 0 && number > 0)
            given->stride = number;
        else if (strcmp(argv[i], "--seconds") == 0)
            given->seconds = number;
        else
            (void)number_of(NULL);
    }
    (void)printf("seed %llu, stride %llu, seconds %llu\n", (unsigned long long)given->seed,
                 (unsigned long long)given->stride, (unsigned long long)given->seconds);
}

void options_folder(char path[64])
{
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(path, 64, "%s/idem-disk-XXXXXX", parent);
    if (!mkdtemp(path)) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

void *shared_memory(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return memory;
}
