/* SPDX-License-Identifier: MIT */
/* The suite on sqlite:///path, in a directory of its own. */
#include "conformance.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512];
static char url[600];

static void fresh(void)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "sqlite-%ld-%u", (long)getpid(), number++);
    conformance_path(folder, sizeof folder, name);
    (void)mkdir(folder, 0700);
    (void)snprintf(url, sizeof url, "sqlite://%s/idem.db", folder);
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("sqlite:///dev/null/no-such-folder/idem.db", store, error);
}

static void cleanup(void)
{
    conformance_remove(folder);
}

int main(void)
{
    static const conformance_backend sqlite = {
        .name = "sqlite",
        .fresh = fresh,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = cleanup,
    };
    return conformance_main(&sqlite);
}
