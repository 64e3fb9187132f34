/* SPDX-License-Identifier: MIT */
/* The schedules on faulty+memory:. */
#include "schedules.h"

#include "conformance_memory.h"

static void fresh(void)
{
    faulty_clear();
    memory_fresh();
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "schedules on memory",
        .lacks = MEMORY_LACKS,
        .fresh = fresh,
        .open = memory_open,
        .cleanup = memory_cleanup,
    };
    return schedules_main(&backend);
}
