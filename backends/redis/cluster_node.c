/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a cluster, each with an instance as `redis://` has it. A node is connected when an
 * op is first sent to it, by a thread; while that is running, the instance is the thread's. Nodes
 * are known by the address that the cluster tells to its clients. One that has lost all its slots
 * is closed when it has nothing more to do.
 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>

#define REST_MS 10u /* a connection at rest for longer is looked at before it is used */

idem__redis_node *idem__redis_node_find(idem__redis_cluster *self,
                                        const idem__redis_address *address)
{
    idem__redis_node *at = self->nodes;
    while (at && !idem__redis_address_same(&at->address, address))
        at = at->next;
    return at;
}

idem_config idem__redis_node_config(const idem__redis_cluster *self,
                                    const idem__redis_address *address)
{
    idem_config config = *self->config;
    config.host = address->host;
    config.port = address->port;
    config.path = NULL;
    return config;
}

idem__redis *idem__redis_node_make(const idem__redis_cluster *self, const idem_config *config,
                                   idem__redis_fault *fault)
{
    idem__redis *made = NULL;
    int rc = idem__redis_make(self->node_ops, self->way, self->equip, config, &made, fault);
    if (rc)
        return NULL;
    made->clustered = true;
    return made;
}

idem__redis_node *idem__redis_node_get(idem__redis_cluster *self,
                                       const idem__redis_address *address)
{
    idem__redis_node *node = idem__redis_node_find(self, address);
    idem__redis_fault fault = {0};
    if (node)
        return node;
    node = calloc(1, sizeof *node);
    if (!node)
        return NULL;
    node->address = *address;
    node->config = idem__redis_node_config(self, &node->address);
    node->watched = -1;
    node->redis = idem__redis_node_make(self, &node->config, &fault);
    if (!node->redis) {
        free(node);
        return NULL;
    }
    node->next = self->nodes;
    self->nodes = node;
    return node;
}

/* On the thread. */
static void connect_node(void *user)
{
    idem__redis_node *node = user;
    node->dial.rc = idem__redis_ready(node->redis, node->dial.deadline_ms, &node->dial.fault);
}

bool idem__redis_node_dial(idem__redis_cluster *self, idem__redis_node *node,
                           idem__redis_fault *fault)
{
    uint64_t patience_ms = self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    uint64_t deadline_ms = idem_monotonic_ms() + 2 * patience_ms; /* a name is looked up as well */
    node->connected = false;
    if (idem__redis_job_start(&node->dial, connect_node, node, deadline_ms, self->notify[1]) == 0)
        return true;
    (void)idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                "%s can't be connected to: there is no thread for it: raise this "
                                "user's limit of them (ulimit -u)",
                                node->redis->name);
    return false;
}

int idem__redis_node_await(idem__redis_cluster *self, idem__redis_node *node, uint64_t deadline_ms,
                           idem__redis_fault *fault)
{
    while (node->dial.running && !idem__redis_job_reap(&node->dial) &&
           idem_monotonic_ms() < deadline_ms) {
        idem__redis_cluster_wait(self, deadline_ms);
        idem__redis_cluster_calm(self);
    }
    if (node->dial.running || node->sent.count > 0)
        return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE, "%s is busy with others",
                                     node->redis->name);
    int rc = idem__redis_ready(node->redis, deadline_ms, fault);
    node->connected = rc == IDEM_OK;
    node->watched = -1;
    return rc;
}

bool idem__redis_node_usable(idem__redis_node *node)
{
    idem__redis_wire *wire = &node->redis->wire;
    if (!node->connected || wire->fd < 0 || wire->broken)
        return false;
    if (wire->expected > 0 || node->redis->pipeline.live > 0 ||
        idem_monotonic_ms() < wire->heard_ms + REST_MS)
        return true;
    return idem__redis_wire_usable(wire);
}

static void free_node(idem__redis_node *node)
{
    idem__redis_job_join(&node->dial);
    idem__redis_close(&node->redis->base);
    free(node);
}

void idem__redis_node_sweep(idem__redis_cluster *self)
{
    idem__redis_node **at = &self->nodes;
    while (*at) {
        idem__redis_node *node = *at;
        if (node->named || node->dial.running || node->waiting.count > 0 || node->sent.count > 0) {
            at = &node->next;
            continue;
        }
        for (size_t i = 0; i < IDEM__REDIS_SLOTS; i++) {
            if (self->owner[i] == node)
                self->owner[i] = NULL;
        }
        *at = node->next;
        free_node(node);
    }
}

void idem__redis_node_free_all(idem__redis_cluster *self)
{
    while (self->nodes) {
        idem__redis_node *node = self->nodes;
        self->nodes = node->next;
        free_node(node);
    }
    memset(self->owner, 0, sizeof self->owner);
}
