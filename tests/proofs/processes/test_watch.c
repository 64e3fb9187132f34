/* SPDX-License-Identifier: MIT */
/*
 * The watch over servers that replicate: a run is judged by its windows, so no failover may pass
 * unseen, and no window may begin behind what was lost.
 */
#include "stamp.h"
#include "watch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_US 400000u /* for a few looks */

static server pair[2];
static watch guard;
static backend_window window;

static void require(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "watch: %s\n", what);
    exit(EXIT_FAILURE);
}

/* @return true if one of the looks has found something */
static bool look(void)
{
    uint64_t end_us = stamp_us() + LOOK_US;
    while (stamp_us() < end_us) {
        stamp_pause_us(20000);
        if (watch_look(&guard, &window))
            return true;
    }
    return false;
}

static void promote(int primary)
{
    server_do(&pair[primary], "REPLICAOF NO ONE");
    server_do(&pair[1 - primary], "REPLICAOF 127.0.0.1 %d", pair[primary].port);
}

static void await_calm(void)
{
    uint64_t calm_us = guard.calm_us;
    for (int i = 0; guard.calm_us == calm_us; i++) {
        require(i < 500, "it does not note that all have everything");
        stamp_pause_us(20000);
        require(!watch_look(&guard, &window), "a failover is seen where there is none");
    }
}

/* What a replica does not have yet keeps the window's begin where it is. */
static void check_lag(void)
{
    await_calm();
    (void)kill(pair[1].pid, SIGSTOP);
    stamp_pause_us(300000); /* for a look that had begun */
    uint64_t stopped_us = stamp_us();
    server_do(&pair[0], "SET lost 1");
    require(!look(), "a replica that lags is taken for a failover");
    require(guard.calm_us < stopped_us, "what no replica has is taken for safe");
    (void)kill(pair[1].pid, SIGCONT);
}

static void check_failover(int primary)
{
    uint64_t before_us = stamp_us();
    promote(primary);
    uint64_t after_us = stamp_us();
    require(look(), "a failover that nobody ordered is not seen");
    require(window.from <= before_us, "the window begins behind the loss");
    require(window.to >= after_us, "the window ends too early");
    require(guard.groups[0].primary == (size_t)primary, "it does not know the new primary");
    require(!look(), "a failover is seen twice");
}

/* There and back between two looks: only the histories tell. */
static void check_return(int primary)
{
    promote(1 - primary);
    promote(primary);
    require(watch_close(&guard, &window), "a failover there and back is not seen");
    require(!watch_close(&guard, &window), "a failover is seen where there is none");
}

int main(void)
{
    static const char *const options[] = {"--repl-diskless-sync-delay", "0",
                                          "--repl-ping-replica-period", "1", NULL};
    const server *const nodes[] = {&pair[0], &pair[1]};
    server_require();
    for (int i = 0; i < 2; i++)
        server_start(&pair[i], options);
    server_do(&pair[1], "REPLICAOF 127.0.0.1 %d", pair[0].port);
    watch_add(&guard, nodes, 2);
    watch_settle(&guard);
    check_lag();
    watch_settle(&guard);
    check_failover(1);
    check_failover(0);
    check_return(0);
    return EXIT_SUCCESS;
}
