/* SPDX-License-Identifier: MIT */
/* The schedules on faulty+sqlite:. */
#include "schedules.h"

#include "conformance_sqlite.h"

static void fresh(void)
{
    faulty_clear();
    sqlite_fresh();
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "schedules on sqlite",
        .fresh = fresh,
        .open = sqlite_open,
        .open_unreachable = sqlite_open_unreachable,
        .cleanup = sqlite_cleanup,
    };
    return schedules_main(&backend);
}
