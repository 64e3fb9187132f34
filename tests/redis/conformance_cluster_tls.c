/* SPDX-License-Identifier: MIT */
/* The suite on rediss+cluster://, whose nodes are told by name. */
#include "cluster_set.h"
#include "main.h"
#include "tls_server.h"

#include <stdio.h>

static cluster_set cluster;

static void flush(void)
{
    cluster_flush(&cluster);
}

int main(void)
{
    static const conformance_backend backend = {
        .name = "rediss+cluster",
        .lacks = IDEM_TRAIT_CLOCK | IDEM_TRAIT_PURGE,
        .fresh = flush,
    };
    char url[SERVER_URL_SIZE + 160];
    server_require();
    cluster_start_tls(&cluster, 3, tls_certificates());
    (void)snprintf(url, sizeof url, "%s?tls_ca=%s/ca.crt", cluster.url, tls_certificates());
    int rc = conformance_main(
        conformance_at(&backend, url, "rediss+cluster://127.0.0.1:1,127.0.0.1:2?timeout=300ms"));
    cluster_remove(&cluster);
    return rc;
}
