/* SPDX-License-Identifier: MIT */
/* A server on a unix socket that answers every connection with the same bytes, whatever it is
   asked. */
#ifndef IDEM_TESTS_FUZZ_REDIS_PEER_H
#define IDEM_TESTS_FUZZ_REDIS_PEER_H

#include <stddef.h>
#include <stdint.h>

/** The most that it says. */
#define REDIS_PEER_MAX 65536u

/** The password in the URL. */
#define REDIS_PEER_PASSWORD "hunter2"

/** The server's URL; it is started with the first call. A copy of the bytes is what
 *  it says from now on, also to those who have connected and not yet been heard. */
const char *redis_peer_url(const void *bytes, size_t len);

#endif
