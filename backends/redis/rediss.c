/* SPDX-License-Identifier: MIT */
/*
 * The Redis backend over TLS, by URL. It is apart from redis.c, so that a build can be without TLS.
 */
#include "cluster.h"
#include "table.h"

extern const idem_backend_ops idem__redis_tls_backend;
extern const idem_backend_ops idem__redis_cluster_tls_backend;
extern const idem_backend_ops idem__redis_tls_sentinel_backend;

/* clang-format off */
#define TLS_ROWS \
    [IDEM__REDIS_TLS_CA] = {.name = "tls_ca", \
                            .type = IDEM_PARAM_TEXT, \
                            .help = "file with the certificates of the CAs to trust, instead of " \
                                    "the system's"}, \
    [IDEM__REDIS_TLS_CERT] = {.name = "tls_cert", \
                              .type = IDEM_PARAM_TEXT, \
                              .help = "file with this client's certificate and its chain"}, \
    [IDEM__REDIS_TLS_KEY] = {.name = "tls_key", \
                             .type = IDEM_PARAM_TEXT, \
                             .help = "file with the key of `tls_cert`, unless it is in there"}, \
    [IDEM__REDIS_TLS_NAME] = {.name = "tls_name", \
                              .type = IDEM_PARAM_TEXT, \
                              .help = "the name that the server's certificate has to be for, " \
                                      "instead of the URL's host"}
/* clang-format on */

static const idem_param tls_params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = IDEM__REDIS_CONNECT_TIMEOUT_ROW,
    [IDEM__REDIS_PASSWORD_FILE] = IDEM__REDIS_PASSWORD_FILE_ROW,
    [IDEM__REDIS_REPLICAS] = IDEM__REDIS_REPLICAS_ROW,
    TLS_ROWS,
};

static const idem_param tls_sentinel_params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = IDEM__REDIS_CONNECT_TIMEOUT_ROW,
    [IDEM__REDIS_PASSWORD_FILE] = IDEM__REDIS_PASSWORD_FILE_ROW,
    [IDEM__REDIS_REPLICAS] = IDEM__REDIS_REPLICAS_ROW,
    TLS_ROWS,
    IDEM__REDIS_SENTINEL_ROWS(IDEM__REDIS_TLS_PARAMS),
};

/* `located`: its host is known, unless a sentinel is to name it. */
static int make_tls(idem__redis *located, idem__redis_fault *fault)
{
    const idem_value *values = located->config->values;
    const char *name = values[IDEM__REDIS_TLS_NAME].text;
    idem__redis_tls_options options = {.server = located->name,
                                       .host = name ? name : located->host,
                                       .ca = values[IDEM__REDIS_TLS_CA].text,
                                       .cert = values[IDEM__REDIS_TLS_CERT].text,
                                       .key = values[IDEM__REDIS_TLS_KEY].text};
    return idem__redis_tls_make(&options, &located->wire.tls, fault);
}

static int open_tls(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_open(&idem__redis_tls_backend, IDEM__REDIS_TLS, make_tls, config, backend,
                            error);
}

static int open_sentinel(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_open(&idem__redis_tls_sentinel_backend, IDEM__REDIS_SENTINEL_TLS, make_tls,
                            config, backend, error);
}

static int prepare_sentinel(const idem_config *config, void **prepared, idem_error *error)
{
    return idem__redis_prepare_sentinel(IDEM__REDIS_SENTINEL_TLS, config, prepared, error);
}

static int prepare_tls(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return idem__redis_prepare(IDEM__REDIS_TLS, config, error);
}

const idem_backend_ops idem__redis_tls_backend = {
    IDEM__REDIS_ONE_HOST,
    .scheme = "rediss",
    .summary = "the same over TLS",
    .example = "rediss://user:password@redis.example.com:6379/0",
    .params = tls_params,
    .params_count = IDEM__REDIS_TLS_PARAMS,
    .open = open_tls,
    .prepare = prepare_tls,
};

const idem_backend_ops idem__redis_tls_sentinel_backend = {
    IDEM__REDIS_HOSTS,
    .scheme = "rediss+sentinel",
    .summary = "the same over TLS, to the sentinels and to the primary",
    .example = "rediss+sentinel://user:password@host1:26379,host2:26379/master_name/0",
    .params = tls_sentinel_params,
    .params_count = IDEM__REDIS_TLS_PARAMS + IDEM__REDIS_SENTINEL_PARAMS,
    .open = open_sentinel,
    .prepare = prepare_sentinel,
    .dispose = idem__redis_dispose_sentinel,
};

static int open_cluster(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_cluster_open(&idem__redis_cluster_tls_backend, &idem__redis_tls_backend,
                                    IDEM__REDIS_TLS, make_tls, config, backend, error);
}

static int prepare_cluster(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return idem__redis_cluster_prepare(IDEM__REDIS_TLS, config, error);
}

const idem_backend_ops idem__redis_cluster_tls_backend = {
    IDEM__REDIS_CLUSTER_SHARED,
    .scheme = "rediss+cluster",
    .summary = "a Redis or Valkey Cluster over TLS",
    .example = "rediss+cluster://user:password@host1:6379,host2:6379",
    .params = tls_params,
    .params_count = IDEM__REDIS_TLS_PARAMS,
    .open = open_cluster,
    .prepare = prepare_cluster,
};
