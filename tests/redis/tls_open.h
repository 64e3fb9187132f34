/* SPDX-License-Identifier: MIT */
/* Opening stores at servers that speak TLS. */
#ifndef IDEM_TESTS_TLS_OPEN_H
#define IDEM_TESTS_TLS_OPEN_H

#include "redis_test.h"
#include "tls_server.h"

/* Parameters in which each % stands for the folder of the certificates. */
static inline idem_store *try_at(const char *host, int port, const char *params)
{
    char url[2 * SERVER_URL_SIZE];
    idem_store *store = NULL;
    size_t len = (size_t)snprintf(url, sizeof url, "rediss://%s:%d?", host, port);
    for (const char *at = params; *at && len + 100 < sizeof url; at++) {
        if (*at == '%')
            len += (size_t)snprintf(url + len, sizeof url - len, "%s", tls_certificates());
        else
            url[len++] = *at;
    }
    url[len] = '\0';
    int rc = idem_open(url, &store, &err);
    ck_assert_int_eq(rc, err.code);
    return store;
}

#endif
