/* SPDX-License-Identifier: MIT */
/* Redis: judges by its server's clock, which stays right here; the clients' are set. */
#include "faked.h"
#include "server.h"
#include "steps.h"

int main(int argc, char **argv)
{
    server redis;
    if (faked_inside())
        return steps_run(argc > 1 ? argv[1] : "");
    faked_require();
    server_require();
    server_start(&redis, NULL);
    faked_begin();
    int code = faked_run_again(redis.unix_url);
    faked_end();
    server_remove(&redis);
    return code;
}
