/* SPDX-License-Identifier: MIT */
/*
 * Ops on their way through a cluster. Each has a flight, which is in one place: waiting for a node
 * or sent to it, homeless (no map says where to), or done and to be given back.
 *
 * MOVED and ASK are refusals: nothing was changed, so the op is sent again as it is. After MOVED
 * the slot belongs to the node that was named, and a new map is wanted; after ASK only this op goes
 * there, with ASKING before each of its commands. An op that was sent on too often, or by a node to
 * itself, is given back as unavailable: the store repeats it after a pause, until its deadline.
 *
 * An op for a node that is not connected waits while a thread connects it; all others go on. If
 * that fails, or if the connection fails later, the ops of this node are given back, and a new map
 * is wanted, in which its replica may have its slots.
 */
#include "cluster.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLIGHTS_MAX 1024u
#define HOPS_MAX    5u
#define ROOM        64u
#define REDIAL_MS   50u  /* after a node could not be connected */
#define REST_MS     10u  /* between two looks at a connection on which nothing is due */
#define SILENT_MS   500u /* a node that owes an answer for so long is asked about */

/* ------------------------------------------------------------------------------------- flights */

static void push(idem__redis_flights *list, idem__redis_flight *at)
{
    at->next = NULL;
    if (list->first)
        list->last->next = at;
    else
        list->first = at;
    list->last = at;
    list->count++;
}

static idem__redis_flight *pop(idem__redis_flights *list)
{
    idem__redis_flight *at = list->first;
    list->first = at->next;
    list->count--;
    return at;
}

/* The flight of an op, taken off the list. Answers come nearly in order. */
static idem__redis_flight *pick(idem__redis_flights *list, const idem_op *op)
{
    idem__redis_flight *before = NULL;
    idem__redis_flight *at = list->first;
    while (at && at->op != op) {
        before = at;
        at = at->next;
    }
    if (!at)
        return NULL;
    if (before)
        before->next = at->next;
    else
        list->first = at->next;
    if (list->last == at)
        list->last = before;
    list->count--;
    return at;
}

static void put_back(idem__redis_cluster *self, idem__redis_flight *at)
{
    at->next = self->unused;
    self->unused = at;
    self->in_flight--;
}

static idem__redis_flight *make_flight(idem__redis_cluster *self, idem_op *op)
{
    idem__redis_flight *made = self->unused;
    if (made)
        self->unused = made->next;
    else
        made = malloc(sizeof *made);
    if (!made)
        return NULL;
    *made = (idem__redis_flight){.op = op};
    self->in_flight++;
    return made;
}

static void finish(idem__redis_cluster *self, idem__redis_flight *at)
{
    at->node = NULL;
    push(&self->done, at);
}

static void fail(idem__redis_cluster *self, idem__redis_flight *at, const idem__redis_fault *fault)
{
    idem_op_fail(at->op, fault->permanent, fault->error.code, "%s", fault->error.message);
    finish(self, at);
}

static void fail_all(idem__redis_cluster *self, idem__redis_flights *list,
                     const idem__redis_fault *fault)
{
    while (list->first)
        fail(self, pop(list), fault);
}

/* -------------------------------------------------------------------------------------- sending */

/* Gives a connected node what it takes of its waiting flights: ASKED ones apart from others. */
static size_t send_some(idem__redis_node *node, bool asking)
{
    idem_op *ops[IDEM_BATCH_MAX];
    size_t count = 0;
    for (idem__redis_flight *at = node->waiting.first;
         at && at->asking == asking && count < IDEM_BATCH_MAX; at = at->next)
        ops[count++] = at->op;
    if (count == 0)
        return 0;
    if (node->redis->wire.expected == 0)
        node->silent_ms = idem_monotonic_ms();
    node->redis->asking = asking;
    size_t taken = idem__redis_send(&node->redis->base, ops, count);
    node->redis->asking = false;
    for (size_t i = 0; i < taken; i++)
        push(&node->sent, pop(&node->waiting));
    return taken;
}

static void kick(idem__redis_cluster *self, idem__redis_node *node)
{
    idem__redis_fault fault = {0};
    if (node->dial.running || node->waiting.count == 0)
        return;
    if (idem__redis_node_usable(node)) {
        while (node->waiting.first && send_some(node, node->waiting.first->asking) > 0) {
        }
        return;
    }
    if (node->sent.count > 0) /* `receive` is to tell of the connection's end first */
        return;
    if (idem_monotonic_ms() < node->not_before_ms)
        fail_all(self, &node->waiting, &node->dial.fault);
    else if (!idem__redis_node_dial(self, node, &fault))
        fail_all(self, &node->waiting, &fault);
}

static void go_to(idem__redis_node *node, idem__redis_flight *at)
{
    at->node = node;
    push(&node->waiting, at);
}

/* By the map. */
static void route(idem__redis_cluster *self, idem__redis_flight *at)
{
    unsigned slot = idem__redis_key_slot(at->op->key);
    idem__redis_fault fault = {0};
    at->asking = false;
    if (self->owner[slot]) {
        go_to(self->owner[slot], at);
        return;
    }
    idem__redis_refresh_want(self);
    idem__redis_refresh_start(self, UINT64_MAX);
    if (self->refresh.job.running) {
        push(&self->homeless, at);
        return;
    }
    if (self->map)
        (void)idem__redis_fault_set(&fault, false, IDEM_ERR_UNAVAILABLE,
                                    "no node of the cluster has slot %u: look at redis-cli "
                                    "--cluster check, which says how to repair it",
                                    slot);
    else if (self->reason.error.code)
        fault = self->reason;
    else
        (void)idem__redis_fault_set(&fault, false, IDEM_ERR_UNAVAILABLE,
                                    "the cluster's map of slots has not been fetched yet");
    fail(self, at, &fault);
}

static void kick_all(idem__redis_cluster *self)
{
    for (idem__redis_node *at = self->nodes; at; at = at->next)
        kick(self, at);
}

/* A silent node may have been replaced. One that has no slots any more is given up, and one that
   has been silent for longer than a connection may take is connected anew: what is between may have
   forgotten the old one, whatever the other nodes say, and however many callers have come since. */
static void check_silence(idem__redis_cluster *self)
{
    uint64_t now_ms = idem_monotonic_coarse_ms();
    uint64_t patience_ms = self->config->values[IDEM__REDIS_CONNECT_TIMEOUT].number;
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        bool owes = at->connected && !at->dial.running && at->redis->wire.expected > 0;
        if (!owes || now_ms < at->silent_ms + SILENT_MS)
            continue;
        idem__redis_refresh_want(self);
        /* With nothing but abandoned ops out, it has been silent to all of its callers. */
        uint64_t most_ms = patience_ms + (at->sent.count > 0 ? SILENT_MS : 0);
        if (!at->named || now_ms > at->silent_ms + most_ms)
            idem__redis_drop(&at->redis->base);
    }
}

size_t idem__redis_cluster_send(idem_backend *backend, idem_op *const *ops, size_t count)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    size_t taken = 0;
    while (taken < count && self->in_flight < FLIGHTS_MAX) {
        idem__redis_flight *at = make_flight(self, ops[taken]);
        if (!at)
            break;
        route(self, at);
        taken++;
    }
    kick_all(self);
    return taken;
}

void idem__redis_cluster_reroute(idem__redis_cluster *self)
{
    idem__redis_flights again = self->homeless;
    self->homeless = (idem__redis_flights){0};
    for (idem__redis_node *node = self->nodes; node; node = node->next) {
        idem__redis_flights kept = {0};
        while (node->waiting.first) {
            idem__redis_flight *at = pop(&node->waiting);
            push(at->asking || node->connected ? &kept : &again, at);
        }
        node->waiting = kept;
    }
    while (again.first) {
        idem__redis_flight *at = pop(&again);
        unsigned slot = idem__redis_key_slot(at->op->key);
        if (self->owner[slot])
            go_to(self->owner[slot], at);
        else
            route(self, at);
    }
}

/* ------------------------------------------------------------------------------- redirections */

/* Blank again, as it came. */
static void redirect(idem__redis_cluster *self, idem__redis_node *from, idem__redis_flight *at)
{
    idem__redis_redirect read;
    idem__redis_fault fault = {0};
    idem_op *op = at->op;
    bool known = idem__redis_redirect_read(op->error.message, &from->address, &read);
    idem__redis_node *to = known ? idem__redis_node_get(self, &read.to) : NULL;
    idem__redis_request_take_back(op);
    if (!known || !read.ask)
        idem__redis_refresh_want(self);
    if (to && !read.ask && read.slot == idem__redis_key_slot(op->key))
        self->owner[read.slot] = to;
    if (to && to != from && at->hops++ < HOPS_MAX) {
        at->asking = read.ask;
        go_to(to, at);
        return;
    }
    const char *says = !known ? "sends this key to a node without an address: let all nodes "
                                "announce one (cluster-announce-ip, cluster-announce-hostname)"
                       : !to  ? "sends this key to another node, for which there is no memory"
                       : to == from
                           ? "sends this key to itself: look at redis-cli --cluster check"
                           : "sends this key on, as others did before, and nobody takes it: "
                             "look at redis-cli --cluster check";
    (void)idem__redis_fault_set(&fault, false, IDEM_ERR_UNAVAILABLE, "%s %s", from->redis->name,
                                says);
    fail(self, at, &fault);
}

static void take_answer(idem__redis_cluster *self, idem__redis_node *node, idem_op *op)
{
    idem__redis_flight *at = pick(&node->sent, op);
    if (!at)
        return;
    if (idem__redis_redirect_told(op)) {
        redirect(self, node, at);
        return;
    }
    if (!op->permanent &&
        (op->error.code == IDEM_ERR_UNAVAILABLE || op->error.code == IDEM_ERR_UNCERTAIN))
        idem__redis_refresh_want(self);
    finish(self, at);
}

/* ------------------------------------------------------------------------------------ receiving */

static void receive_from(idem__redis_cluster *self, idem__redis_node *node)
{
    idem_op *done[ROOM];
    idem_error error = {0};
    size_t count = ROOM;
    uint64_t before = node->redis->wire.progress;
    int rc = IDEM_OK;
    while (count == ROOM) {
        rc = idem__redis_receive(&node->redis->base, done, ROOM, &count, &error);
        if (count > 0 || node->redis->wire.progress != before)
            node->silent_ms = idem_monotonic_ms();
        for (size_t i = 0; i < count; i++)
            take_answer(self, node, done[i]);
    }
    self->progress += node->redis->wire.progress != before;
    if (rc) {
        node->connected = false;
        idem__redis_refresh_want(self);
    }
}

/* A node that closes a connection at rest would keep its descriptor readable for ever. */
static void look_at_rest(idem__redis_cluster *self, idem__redis_node *node)
{
    uint64_t now_ms = idem_monotonic_coarse_ms();
    if (now_ms < node->looked_ms + REST_MS)
        return;
    node->looked_ms = now_ms;
    if (idem__redis_wire_usable(&node->redis->wire))
        return;
    idem__redis_close_connection(node->redis);
    node->connected = false;
    idem__redis_refresh_want(self);
}

static void end_dial(idem__redis_cluster *self, idem__redis_node *node)
{
    if (!idem__redis_job_reap(&node->dial))
        return;
    node->connected = node->dial.rc == IDEM_OK;
    node->watched = -1;
    if (node->connected)
        return;
    node->not_before_ms = idem_monotonic_ms() + REDIAL_MS;
    idem__redis_refresh_want(self);
    fail_all(self, &node->waiting, &node->dial.fault);
}

void idem__redis_cluster_turn(idem__redis_cluster *self, bool all)
{
    bool news = idem__redis_refresh_take(self);
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        end_dial(self, at);
        if (!at->connected || at->dial.running)
            continue;
        if (at->redis->wire.expected + at->sent.count == 0)
            look_at_rest(self, at);
        else if (all || at->ready)
            receive_from(self, at);
        at->ready = false;
    }
    if (news)
        idem__redis_cluster_reroute(self);
    check_silence(self);
    if (news)
        idem__redis_node_sweep(self);
    kick_all(self);
    idem__redis_refresh_start(self, UINT64_MAX);
}

size_t idem__redis_cluster_give_back(idem__redis_cluster *self, idem_op **done, size_t room)
{
    size_t count = 0;
    while (count < room && self->done.first) {
        idem__redis_flight *at = pop(&self->done);
        done[count++] = at->op;
        put_back(self, at);
    }
    return count;
}

int idem__redis_cluster_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                                idem_error *error)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    idem__redis_cluster_calm(self);
    if (!self->dropped)
        idem__redis_cluster_turn(self, true);
    *count = idem__redis_cluster_give_back(self, done, room);
    if (!self->dropped)
        return IDEM_OK;
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                          "the cluster's answers did not come: look at its nodes' load");
}

/* ------------------------------------------------------------------------------------ giving up */

static void forget(idem__redis_cluster *self, idem__redis_flight *at)
{
    if (at)
        put_back(self, at);
}

void idem__redis_cluster_abandon(idem_backend *backend, idem_op *op)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    forget(self, pick(&self->homeless, op));
    forget(self, pick(&self->done, op));
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        idem__redis_flight *sent = pick(&at->sent, op);
        if (sent)
            idem__redis_abandon(&at->redis->base, op);
        forget(self, sent);
        forget(self, pick(&at->waiting, op));
    }
}

void idem__redis_cluster_give_up(idem__redis_cluster *self)
{
    idem__redis_fault fault = {0};
    (void)idem__redis_fault_set(&fault, false, IDEM_ERR_UNAVAILABLE,
                                "the deadline came before a node of the cluster could be asked: "
                                "look at its load, or set a longer timeout");
    fail_all(self, &self->homeless, &fault);
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        fail_all(self, &at->waiting, &fault);
        while (at->sent.first) {
            idem__redis_flight *flight = pop(&at->sent);
            bool change = flight->op->kind != IDEM_OP_GET;
            idem__redis_abandon(&at->redis->base, flight->op);
            idem__redis_request_take_back(flight->op);
            idem_op_fail(flight->op, false, change ? IDEM_ERR_UNCERTAIN : IDEM_ERR_UNAVAILABLE,
                         "%s did not answer by the deadline: look at its load, or set a longer "
                         "timeout%s",
                         at->redis->name, change ? "; the change may have been made" : "");
            finish(self, flight);
        }
    }
}

void idem__redis_cluster_drop(idem_backend *backend)
{
    idem__redis_cluster *self = (idem__redis_cluster *)backend;
    uint64_t now_ms = idem_monotonic_ms();
    idem__redis_cluster_give_up(self);
    for (idem__redis_node *at = self->nodes; at; at = at->next) {
        bool owes = at->connected && !at->dial.running && at->redis->wire.expected > 0;
        if (owes && now_ms > at->silent_ms + SILENT_MS / 5)
            idem__redis_drop(&at->redis->base);
    }
    self->dropped = true;
    (void)!write(self->notify[1], "", 1);
}
