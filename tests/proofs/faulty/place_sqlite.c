/* SPDX-License-Identifier: MIT */
/* Files in a folder that goes away. */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "place.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[300];

void place_start(void)
{
    const char *parent = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.200s/idem-faulty-XXXXXX",
                   parent && *parent ? parent : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(EXIT_FAILURE);
    }
}

void place_url(char *url, size_t size, const char *wrapper, const char *name)
{
    (void)snprintf(url, size, "%ssqlite://%s/%s.db?synchronous=normal&", wrapper, folder, name);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void place_end(void)
{
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
