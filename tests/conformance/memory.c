/* SPDX-License-Identifier: MIT */
/* The suite on memory://NAME, shared by the handles of one process. */
#include "conformance.h"

#include <stdio.h>

static char url[64];

static void fresh(void)
{
    static unsigned number;
    (void)snprintf(url, sizeof url, "memory://conformance-%u", number++);
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

static void cleanup(void)
{
    /* a named store ends with its last handle */
}

int main(void)
{
    static const conformance_backend memory = {
        .name = "memory",
        .lacks = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | CONFORMANCE_UNREACHABLE,
        .fresh = fresh,
        .open = open_store,
        .cleanup = cleanup,
    };
    return conformance_main(&memory);
}
