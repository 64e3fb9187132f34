/* SPDX-License-Identifier: MIT */
/* A module that a host's openssl.cnf may name: whoever loads it ends at once. */
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
    _exit(99);
}
