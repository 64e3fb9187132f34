/* SPDX-License-Identifier: MIT */
/* The suite on rediss+cluster://, whose nodes are told by name. */
#include "cluster_set.h"
#include "main.h"
#include "tls_server.h"

#include <stdio.h>

static cluster_set cluster;

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    char all[600];
    bool more = params && *params;
    (void)snprintf(all, sizeof all, "tls_ca=%s/ca.crt%s%s", tls_certificates(), more ? "&" : "",
                   more ? params : "");
    return conformance_open_url(cluster.url, all, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("rediss+cluster://127.0.0.1:1,127.0.0.1:2?timeout=300ms", store, error);
}

static void flush(void)
{
    cluster_flush(&cluster);
}

static void nothing(void)
{
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "rediss+cluster",
        .lacks = IDEM_TRAIT_CLOCK | IDEM_TRAIT_PURGE,
        .fresh = flush,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    server_require();
    cluster_start_tls(&cluster, 3, tls_certificates());
    int rc = conformance_main(&backend);
    cluster_remove(&cluster);
    return rc;
}
