/* SPDX-License-Identifier: MIT */
/* memory: judges by the process's monotonic clock. */
#include "faked.h"
#include "steps.h"

int main(void)
{
    if (faked_inside())
        return steps_run("memory://time");
    faked_require();
    faked_begin();
    int code = faked_run_again("memory");
    faked_end();
    return code;
}
