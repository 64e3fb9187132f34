/* SPDX-License-Identifier: MIT */
/* Runs a command beside a server of its own: with_server COMMAND… finds the server's URL in
   IDEM_TEST_URL. */
#include "pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    pg_server server;
    int status = 0;
    if (argc < 2)
        return 64;
    pg_require();
    pg_start(&server, NULL);
    (void)setenv("IDEM_TEST_URL", server.url, 1);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)execvp(argv[1], argv + 1);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0)
        continue;
    pg_remove(&server);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
