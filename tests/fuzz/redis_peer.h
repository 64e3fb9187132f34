/* SPDX-License-Identifier: MIT */
/* A server on a unix socket that answers every connection with the same bytes, whatever it is
   asked. */
#ifndef IDEM_TESTS_FUZZ_REDIS_PEER_H
#define IDEM_TESTS_FUZZ_REDIS_PEER_H

#include <stddef.h>
#include <stdint.h>

/** The password in the URL. */
#define REDIS_PEER_PASSWORD "hunter2"

/** The server's URL; it is started with the first call. The bytes, which are borrowed until the
 *  next call, are what it says from now on. */
const char *redis_peer_url(const void *bytes, size_t len);

#endif
