/* SPDX-License-Identifier: MIT */
/* The suite on memory://NAME. */
#include "conformance_memory.h"

int main(void)
{
    static const conformance_backend memory = {
        .name = "memory",
        .lacks = MEMORY_LACKS,
        .fresh = memory_fresh,
        .open = memory_open,
        .cleanup = memory_cleanup,
    };
    return conformance_main(&memory);
}
