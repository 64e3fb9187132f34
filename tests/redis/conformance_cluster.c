/* SPDX-License-Identifier: MIT */
/* The suite on redis+cluster://. */
#include "cluster_set.h"
#include "main.h"

static cluster_set cluster;

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(cluster.url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("redis+cluster://127.0.0.1:1,127.0.0.1:2?timeout=300ms", store, error);
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
        .name = "redis+cluster",
        .lacks = IDEM_TRAIT_CLOCK | IDEM_TRAIT_PURGE,
        .fresh = flush,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = nothing,
    };
    server_require();
    cluster_start(&cluster, 3, 0, NULL);
    return conformance_main(&backend);
}
