/* SPDX-License-Identifier: MIT */
/* The suite on redis+cluster://. */
#include "cluster_set.h"
#include "main.h"

static cluster_set cluster;

static void flush(void)
{
    cluster_flush(&cluster);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "redis+cluster",
        .lacks = IDEM_TRAIT_CLOCK | IDEM_TRAIT_PURGE,
        .fresh = flush,
    };
    server_require();
    cluster_start(&cluster, 3, 0, NULL);
    return conformance_main(conformance_at(
        &backend, cluster.url, "redis+cluster://127.0.0.1:1,127.0.0.1:2?timeout=300ms"));
}
