/* SPDX-License-Identifier: MIT */
/* SQLite: judges by the clock that counts from the machine's boot. */
#include "faked.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void remove_file(const char *folder, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/idem-time-XXXXXX";
    char url[128];
    if (faked_inside())
        return steps_run(argc > 1 ? argv[1] : "");
    faked_require();
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    (void)snprintf(url, sizeof url, "sqlite://%s/idem.db", folder);
    faked_begin();
    int code = faked_run_again(url);
    faked_end();
    remove_file(folder, "idem.db");
    remove_file(folder, "idem.db-wal");
    remove_file(folder, "idem.db-shm");
    (void)rmdir(folder);
    return code;
}
