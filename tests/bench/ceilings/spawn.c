/* SPDX-License-Identifier: MIT */
/*
 * Starts a command again and again and waits for its end: fork(), exec(), nothing else.
 *
 *   spawn TIMES COMMAND [ARGUMENTS…]
 */
#include "../harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void start(char **argv)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO);
        (void)execv(argv[0], argv);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        bench_fail("%s did not succeed", argv[0]);
}

int main(int argc, char **argv)
{
    long times = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    if (times < 1)
        bench_fail("usage: spawn TIMES COMMAND [ARGUMENTS...]");
    start(argv + 2);
    uint64_t began_ns = bench_now_ns();
    for (long i = 0; i < times; i++)
        start(argv + 2);
    (void)printf("ns=%.2f\n", (double)(bench_now_ns() - began_ns) / (double)times);
    return EXIT_SUCCESS;
}
