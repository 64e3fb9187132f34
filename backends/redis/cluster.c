/* SPDX-License-Identifier: MIT */
/*
 * A Redis or Valkey Cluster by URL: an instance's life. It begins with the map of slots, which any
 * of the URL's hosts gives; nodes are connected when they are needed. A store opens one instance:
 * the callers' ops are spread over the nodes, and stay in pipelines worth sending.
 *
 * Files: cluster_map.c reads maps and redirections, cluster_refresh.c fetches them, cluster_node.c
 * connects nodes, cluster_route.c moves ops, cluster_submit.c waits for a batch of them,
 * cluster_wait.c says what is waited for, cluster_admin.c lists and examines, cluster_job.c makes
 * threads.
 */
#include "cluster.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

extern const idem_backend_ops idem__redis_backend;
extern const idem_backend_ops idem__redis_cluster_backend;

static const idem_param params[] = {
    [IDEM__REDIS_CONNECT_TIMEOUT] = IDEM__REDIS_CONNECT_TIMEOUT_ROW,
    [IDEM__REDIS_PASSWORD_FILE] = IDEM__REDIS_PASSWORD_FILE_ROW,
    [IDEM__REDIS_REPLICAS] = IDEM__REDIS_REPLICAS_ROW,
};

/* ----------------------------------------------------------------------------------- the URL */

static int report(const idem__redis_fault *fault, idem_error *error)
{
    int rc = idem_error_set(error, fault->error.code, "%s", fault->error.message);
    return fault->permanent && rc == IDEM_ERR_UNAVAILABLE ? rc | IDEM_PERMANENT : rc;
}

static int read_url(idem__redis_way way, const idem_config *config, idem__redis_address **seeds,
                    size_t *count, idem__redis_fault *fault)
{
    idem_config first = *config;
    idem__redis located = {.config = &first};
    const char *path = config->path;
    if (path && *path && strcmp(path, "/") != 0 && strcmp(path, "/0") != 0)
        return idem__redis_fault_set(fault, true, IDEM_ERR_ARGUMENT,
                                     "a cluster has database 0 alone: leave out what follows the "
                                     "URL's hosts");
    *seeds = idem__redis_addresses_read(config->host ? config->host : "127.0.0.1", config->port,
                                        count, fault);
    if (!*seeds)
        return fault->error.code;
    first.host = (*seeds)[0].host;
    first.port = (*seeds)[0].port;
    first.path = NULL;
    int rc = idem__redis_locate(&located, way, fault);
    if (rc == IDEM_OK)
        return IDEM_OK;
    free(*seeds);
    *seeds = NULL;
    return rc;
}

int idem__redis_cluster_prepare(idem__redis_way way, const idem_config *config, idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis_address *seeds = NULL;
    size_t count = 0;
    int rc = read_url(way, config, &seeds, &count, &fault);
    free(seeds);
    return rc ? report(&fault, error) : IDEM_OK;
}

/* ------------------------------------------------------------------------------------ its life */

static bool make_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        ends[0] = ends[1] = -1;
        return false;
    }
    bool good = true;
    for (int i = 0; i < 2; i++) {
        ends[i] = idem_descriptor_raise(ends[i]);
        good = good && ends[i] >= 0 && fcntl(ends[i], F_SETFD, FD_CLOEXEC) == 0 &&
               fcntl(ends[i], F_SETFL, O_NONBLOCK) == 0;
    }
    return good;
}

static void close_descriptors(idem__redis_cluster *self)
{
    int *all[] = {&self->notify[0], &self->notify[1], &self->set};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (*all[i] >= 0)
            (void)close(*all[i]);
        *all[i] = -1;
    }
}

static int refuse_pipe(idem__redis_fault *fault)
{
    return idem__redis_fault_set(
        fault, false, IDEM_ERR_UNAVAILABLE,
        "a cluster needs two descriptors beside its connections, and there "
        "are none left: raise this process's limit of open files "
        "(ulimit -n)");
}

static void join_all(idem__redis_cluster *self)
{
    atomic_store(&self->refresh.hurry, true);
    idem__redis_job_join(&self->refresh.job);
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        idem__redis_job_join(&at->dial);
}

static void free_flights(idem__redis_flight *at)
{
    while (at) {
        idem__redis_flight *next = at->next;
        free(at);
        at = next;
    }
}

static void free_all_flights(idem__redis_cluster *self)
{
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        free_flights(at->waiting.first);
        free_flights(at->sent.first);
        at->waiting = at->sent = (idem__redis_flights){0};
    }
    free_flights(self->homeless.first);
    free_flights(self->done.first);
    self->homeless = self->done = (idem__redis_flights){0};
    self->in_flight = 0;
}

void idem__redis_cluster_close(idem_backend *backend)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    join_all(self);
    free_all_flights(self);
    idem__redis_node_free_all(self);
    free_flights(self->unused);
    idem__redis_map_free(self->refresh.map);
    idem__redis_map_free(self->map);
    free(self->refresh.candidates);
    free(self->seeds);
    close_descriptors(self);
    free(self);
}

int idem__redis_cluster_open(const idem_backend_ops *ops, const idem_backend_ops *node_ops,
                             idem__redis_way way, idem__redis_equip equip,
                             const idem_config *config, idem_backend **backend, idem_error *error)
{
    idem__redis_fault fault = {0};
    idem__redis_cluster *self = calloc(1, sizeof *self);
    if (!self)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    self->base.ops = ops;
    self->itself = self;
    self->config = config;
    self->way = way;
    self->equip = equip;
    self->node_ops = node_ops;
    self->set = self->notify[0] = self->notify[1] = -1;
    int rc = read_url(way, config, &self->seeds, &self->seeds_count, &fault);
    /* One op can be taken whatever memory there is. */
    self->unused = calloc(1, sizeof *self->unused);
    if (rc == IDEM_OK && !self->unused)
        rc = idem__redis_fault_set(&fault, true, IDEM_ERR_NO_MEMORY, "out of memory");
    if (rc == IDEM_OK && !make_pipe(self->notify))
        rc = refuse_pipe(&fault);
    if (rc == IDEM_OK)
        rc = idem__redis_refresh_await(self, config->deadline_ms, &fault);
    if (rc) {
        idem__redis_cluster_close(&self->base);
        return report(&fault, error);
    }
    *backend = &self->base;
    return IDEM_OK;
}

int idem__redis_cluster_connect(idem_backend *backend, uint64_t deadline_ms, idem_error *error)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    idem__redis_fault fault = {0};
    self->dropped = false;
    int rc = self->notify[0] >= 0 || make_pipe(self->notify) ? IDEM_OK : refuse_pipe(&fault);
    if (rc == IDEM_OK)
        rc = idem__redis_refresh_await(self, deadline_ms, &fault);
    return rc ? report(&fault, error) : IDEM_OK;
}

/* No thread may be between two of its steps when the process is copied. The child's sockets are its
   own copies: to the nodes nothing has happened. */
void idem__redis_cluster_at_fork(idem_backend *backend, idem_fork_phase phase)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    if (phase == IDEM_FORK_PREPARE)
        join_all(self);
    if (phase != IDEM_FORK_CHILD)
        return;
    free_all_flights(self);
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        at->dial.running = false;
        at->connected = false;
        idem__redis_close_connection(at->redis);
    }
    if (self->refresh.job.running) {
        idem__redis_map_free(self->refresh.map);
        self->refresh.map = NULL;
    }
    self->refresh.job.running = false;
    close_descriptors(self);
    (void)make_pipe(self->notify);
}

/* ----------------------------------------------------------------------------------- the table */

static int open_plain(const idem_config *config, idem_backend **backend, idem_error *error)
{
    return idem__redis_cluster_open(&idem__redis_cluster_backend, &idem__redis_backend,
                                    IDEM__REDIS_TCP, NULL, config, backend, error);
}

static int prepare_plain(const idem_config *config, void **prepared, idem_error *error)
{
    (void)prepared;
    return idem__redis_cluster_prepare(IDEM__REDIS_TCP, config, error);
}

const idem_backend_ops idem__redis_cluster_backend = {
    IDEM__REDIS_CLUSTER_SHARED,
    .scheme = "redis+cluster",
    .summary = "a Redis or Valkey Cluster: each key is on the node that has its slot",
    .example = "redis+cluster://user:password@host1:6379,host2:6379",
    .params = params,
    .params_count = sizeof params / sizeof params[0],
    .open = open_plain,
    .prepare = prepare_plain,
};
