/* SPDX-License-Identifier: MIT */
/*
 * A link: the tests' relay between unix sockets, which holds each chunk back for a fixed time, each
 * way. Its bandwidth has no limit, and what was read together is passed on together.
 *
 *   link SOCKET TARGET MICROSECONDS
 */
#include "harness.h"

#include "relay.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        bench_fail("usage: link SOCKET TARGET MICROSECONDS");
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)relay_start_with(&(relay_options){
        .path = argv[1], .target = argv[2], .delay_ns = strtoull(argv[3], NULL, 10) * 1000});
    for (;;)
        (void)pause();
}
