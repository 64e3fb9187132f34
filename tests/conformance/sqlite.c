/* SPDX-License-Identifier: MIT */
/* The suite on sqlite:///path. */
#include "conformance_sqlite.h"

int main(void)
{
    static const conformance_backend sqlite = {
        .name = "sqlite",
        .fresh = sqlite_fresh,
        .open = sqlite_open,
        .open_unreachable = sqlite_open_unreachable,
        .cleanup = sqlite_cleanup,
    };
    return conformance_main(&sqlite);
}
