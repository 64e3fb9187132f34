/* SPDX-License-Identifier: MIT */
/* The suite on faulty+sqlite:///path. */
#include "conformance_wrapped.h"

#include "conformance_sqlite.h"

int main(void)
{
    static const conformance_backend sqlite = {
        .name = "faulty+sqlite",
        .fresh = sqlite_fresh,
        .open = sqlite_open,
        .open_unreachable = sqlite_open_unreachable,
        .cleanup = sqlite_cleanup,
        .add_own = wrapped_add_own,
    };
    return wrapped_main(&sqlite);
}
