/* SPDX-License-Identifier: MIT */
#include "inside.h"

_Thread_local volatile unsigned idem__inside_depth;
atomic_bool idem__inside_orphan;

int idem__inside_refuse(idem_error *error)
{
    return idem_error_set(
        error, IDEM_ERR_UNAVAILABLE,
        "this process was forked by a signal handler in the middle of a call, and "
        "can use no store: exec a program, or let the handler set a flag and fork "
        "behind the call");
}
