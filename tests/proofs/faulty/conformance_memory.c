/* SPDX-License-Identifier: MIT */
/* The suite on faulty+memory://NAME. */
#include "conformance_wrapped.h"

#include "conformance_memory.h"

int main(void)
{
    static const conformance_backend memory = {
        .name = "faulty+memory",
        .lacks = MEMORY_LACKS,
        .fresh = memory_fresh,
        .open = memory_open,
        .cleanup = memory_cleanup,
        .add_own = wrapped_add_own,
    };
    return wrapped_main(&memory);
}
