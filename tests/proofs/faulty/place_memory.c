/* SPDX-License-Identifier: MIT */
/* memory://NAME. */
#include "place.h"

#include <stdio.h>

void place_start(void)
{
    /* it is always there */
}

void place_url(char *url, size_t size, const char *wrapper, const char *name)
{
    (void)snprintf(url, size, "%smemory://%s?", wrapper, name);
}

void place_end(void)
{
    /* it ends with its last handle */
}
