/* SPDX-License-Identifier: MIT */
/*
 * Lanes and the batching of callers.
 *
 * The first thread in the queue that finds a free lane becomes its leader: it takes as many
 * tickets from the queue's head as fit into a batch, its own among them or not, carries them out
 * with the lock open, and answers all. Nobody waits past his deadline: a ticket that is still in
 * the queue leaves it, and a batch is given the earliest deadline of those in it; an operation
 * that fails for another's deadline is repeated by its own caller. So a ticket that was taken is
 * always answered in time, and may live on its caller's stack.
 *
 * One lock guards it all; it is never held while a backend is at work. `busy` of a lane is held
 * in its place.
 */
#include "lanes.h"

#include "clock.h"
#include "error.h"

typedef enum { QUEUED, TAKEN, ANSWERED } ticket_state;

struct idem__ticket {
    idem_op *const *ops;
    size_t count;
    uint64_t deadline_ms;
    ticket_state state;
    bool refused;
    idem__ticket *next;
};

/* Tickets taken together. */
typedef struct {
    idem_op *ops[IDEM_BATCH_MAX];
    size_t count;
    uint64_t deadline_ms;
    idem__ticket *tickets;
} batch;

int idem__lanes_init(idem__lanes *lanes, const idem_backend_ops *ops, const idem_config *config,
                     idem_role role, size_t max, idem_error *error)
{
    memset(lanes, 0, sizeof *lanes);
    lanes->ops = ops;
    lanes->config = *config;
    lanes->config.role = role;
    lanes->concurrent = (ops->traits & IDEM_TRAIT_CONCURRENT) != 0;
    lanes->max = max > IDEM__LANES_MAX ? IDEM__LANES_MAX : max;
    if (lanes->concurrent && lanes->max > 1)
        lanes->max = 1;
    lanes->last = &lanes->first;
    if (pthread_mutex_init(&lanes->lock, NULL))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a mutex can't be made");
    if (idem__clock_cond_init(&lanes->changed)) {
        (void)pthread_mutex_destroy(&lanes->lock);
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a condition variable can't be made");
    }
    return IDEM_OK;
}

/* Opens a lane that the caller has made busy, or that nobody else knows yet. */
static int open_lane(idem__lanes *lanes, idem__lane *lane, uint64_t deadline_ms, idem_error *error)
{
    idem_backend *backend = NULL;
    lane->config = lanes->config;
    lane->config.deadline_ms = deadline_ms;
    int rc = lanes->ops->open(&lane->config, &backend, error);
    if (rc == IDEM_OK && !backend)
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "%s: open gave no instance",
                            lanes->ops->scheme);
    if (rc == IDEM_OK)
        lane->backend = backend;
    else
        (void)idem_error_set(error, rc, "%s: %s", lanes->ops->scheme, idem_strerror(rc));
    return rc;
}

/* Makes a lane busy, so that no fork() happens while it is opened or closed. */
static void occupy(idem__lanes *lanes, idem__lane *lane)
{
    (void)pthread_mutex_lock(&lanes->lock);
    while (lanes->frozen || lane->busy)
        (void)pthread_cond_wait(&lanes->changed, &lanes->lock);
    lane->busy = true;
    (void)pthread_mutex_unlock(&lanes->lock);
}

static void vacate(idem__lanes *lanes, idem__lane *lane)
{
    (void)pthread_mutex_lock(&lanes->lock);
    lane->busy = false;
    (void)pthread_cond_broadcast(&lanes->changed);
    (void)pthread_mutex_unlock(&lanes->lock);
}

int idem__lanes_open(idem__lanes *lanes, uint64_t deadline_ms, idem_error *error)
{
    idem__lane *first = &lanes->lanes[0];
    occupy(lanes, first);
    int rc = open_lane(lanes, first, deadline_ms, error);
    vacate(lanes, first);
    return rc;
}

void idem__lanes_close(idem__lanes *lanes)
{
    for (size_t i = 0; i < lanes->max; i++) {
        idem__lane *lane = &lanes->lanes[i];
        occupy(lanes, lane);
        if (lane->backend)
            lanes->ops->close(lane->backend);
        lane->backend = NULL;
        vacate(lanes, lane);
    }
}

void idem__lanes_destroy(idem__lanes *lanes)
{
    (void)pthread_cond_destroy(&lanes->changed);
    (void)pthread_mutex_destroy(&lanes->lock);
}

/* A lane to enter: an open one if there is one, else one to open. The lock is held. */
static idem__lane *free_lane(idem__lanes *lanes)
{
    idem__lane *closed = NULL;
    if (lanes->frozen)
        return NULL;
    for (size_t i = 0; i < lanes->max; i++) {
        idem__lane *lane = &lanes->lanes[i];
        if (!lane->busy && lane->backend)
            return lane;
        if (!lane->busy && !closed)
            closed = lane;
    }
    return closed;
}

bool idem__lanes_idle(idem__lanes *lanes)
{
    if (lanes->concurrent)
        return true;
    (void)pthread_mutex_lock(&lanes->lock);
    const idem__lane *lane = free_lane(lanes);
    bool idle = lane && lane->backend && !lanes->first;
    (void)pthread_mutex_unlock(&lanes->lock);
    return idle;
}

/* ---------------------------------------------------------------------------------- the queue */

static void enqueue(idem__lanes *lanes, idem__ticket *ticket)
{
    ticket->next = NULL;
    *lanes->last = ticket;
    lanes->last = &ticket->next;
}

static void leave_queue(idem__lanes *lanes, const idem__ticket *ticket)
{
    idem__ticket **at = &lanes->first;
    while (*at != ticket)
        at = &(*at)->next;
    *at = ticket->next;
    if (!*at)
        lanes->last = at;
}

static void take_batch(idem__lanes *lanes, batch *taken)
{
    idem__ticket **end = &taken->tickets;
    taken->count = 0;
    taken->deadline_ms = UINT64_MAX;
    *end = NULL;
    while (lanes->first && taken->count + lanes->first->count <= IDEM_BATCH_MAX) {
        idem__ticket *ticket = lanes->first;
        lanes->first = ticket->next;
        ticket->next = NULL;
        ticket->state = TAKEN;
        *end = ticket;
        end = &ticket->next;
        for (size_t i = 0; i < ticket->count; i++)
            taken->ops[taken->count++] = ticket->ops[i];
        if (ticket->deadline_ms < taken->deadline_ms)
            taken->deadline_ms = ticket->deadline_ms;
    }
    if (!lanes->first)
        lanes->last = &lanes->first;
}

static void fail_unanswered(idem_op *const *ops, size_t count, int code, const char *message)
{
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->applied && !ops[i]->has_found)
            idem_op_fail(ops[i], false, code, "%s", message);
    }
}

static void submit_to(idem_backend *backend, const idem_backend_ops *ops, idem_op *const *batch_ops,
                      size_t count, uint64_t deadline_ms)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = ops->submit(backend, batch_ops, count, deadline_ms, &error);
    if (rc != IDEM_OK)
        fail_unanswered(batch_ops, count, rc, error.code ? error.message : idem_strerror(rc));
}

/* Carries a batch out on a lane that was made busy; the lock is open. False if this is a lane for
   readers and the backend can have none. */
static bool carry_out(idem__lanes *lanes, idem__lane *lane, const batch *taken)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = IDEM_OK;
    if (!lane->backend)
        rc = open_lane(lanes, lane, taken->deadline_ms, &error);
    if (rc == IDEM_ERR_UNSUPPORTED && lanes->config.role == IDEM_ROLE_READER)
        return false;
    if (rc == IDEM_OK)
        submit_to(lane->backend, lanes->ops, taken->ops, taken->count, taken->deadline_ms);
    else
        fail_unanswered(taken->ops, taken->count, rc, error.message);
    return true;
}

/* Leads one batch, by the leader's own deadline too; the lock is held before and after. */
static void lead(idem__lanes *lanes, idem__lane *lane, uint64_t deadline_ms)
{
    batch taken;
    take_batch(lanes, &taken);
    if (deadline_ms < taken.deadline_ms)
        taken.deadline_ms = deadline_ms;
    lane->busy = true;
    (void)pthread_mutex_unlock(&lanes->lock);
    bool carried_out = carry_out(lanes, lane, &taken);
    (void)pthread_mutex_lock(&lanes->lock);
    lane->busy = false;
    if (!carried_out)
        lanes->refused = true;
    while (taken.tickets) {
        idem__ticket *ticket = taken.tickets;
        taken.tickets = ticket->next; /* before its owner may return */
        ticket->refused = !carried_out;
        ticket->state = ANSWERED;
    }
    (void)pthread_cond_broadcast(&lanes->changed);
}

/* Waits until the ticket is answered, or its deadline comes while it is queued, leading when a
   lane is free; the lock is held. */
static void see_through(idem__lanes *lanes, idem__ticket *ticket)
{
    bool in_time = true;
    while (ticket->state != ANSWERED) {
        idem__lane *lane = ticket->state == QUEUED ? free_lane(lanes) : NULL;
        if (lane) {
            lead(lanes, lane, ticket->deadline_ms);
        } else if (ticket->state == TAKEN) {
            (void)pthread_cond_wait(&lanes->changed, &lanes->lock);
        } else if (in_time) {
            in_time = idem__clock_cond_wait(&lanes->changed, &lanes->lock, ticket->deadline_ms);
        } else {
            leave_queue(lanes, ticket);
            fail_unanswered(ticket->ops, ticket->count, IDEM_ERR_UNAVAILABLE,
                            "the store was busy with other callers until the deadline; call "
                            "again, or set a longer timeout");
            return;
        }
    }
}

bool idem__lanes_submit(idem__lanes *lanes, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    if (lanes->max == 0)
        return false;
    if (lanes->concurrent) {
        submit_to(lanes->lanes[0].backend, lanes->ops, ops, count, deadline_ms);
        return true;
    }
    idem__ticket ticket = {.ops = ops, .count = count, .deadline_ms = deadline_ms};
    (void)pthread_mutex_lock(&lanes->lock);
    ticket.refused = lanes->refused;
    if (!ticket.refused) {
        enqueue(lanes, &ticket);
        see_through(lanes, &ticket);
    }
    (void)pthread_mutex_unlock(&lanes->lock);
    return !ticket.refused;
}

/* ----------------------------------------------------------------------------- alone on a lane */

int idem__lanes_enter(idem__lanes *lanes, uint64_t deadline_ms, idem__lane **lane,
                      idem_error *error)
{
    if (lanes->concurrent) {
        *lane = &lanes->lanes[0];
        return IDEM_OK;
    }
    bool in_time = true;
    (void)pthread_mutex_lock(&lanes->lock);
    idem__lane *mine = free_lane(lanes);
    while (!mine && in_time) {
        in_time = idem__clock_cond_wait(&lanes->changed, &lanes->lock, deadline_ms);
        mine = free_lane(lanes);
    }
    if (mine)
        mine->busy = true;
    (void)pthread_mutex_unlock(&lanes->lock);
    if (!mine)
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "the store was busy with other callers until the deadline");
    int rc = mine->backend ? IDEM_OK : open_lane(lanes, mine, deadline_ms, error);
    if (rc)
        idem__lanes_leave(lanes, mine);
    else
        *lane = mine;
    return rc;
}

void idem__lanes_leave(idem__lanes *lanes, idem__lane *lane)
{
    if (!lanes->concurrent)
        vacate(lanes, lane);
}

/* --------------------------------------------------------------------------------------- fork */

static bool any_busy(const idem__lanes *lanes)
{
    for (size_t i = 0; i < lanes->max; i++) {
        if (lanes->lanes[i].busy)
            return true;
    }
    return false;
}

static void tell_backends(idem__lanes *lanes, idem_fork_phase phase)
{
    for (size_t i = 0; lanes->ops->at_fork && i < lanes->max; i++) {
        if (lanes->lanes[i].backend)
            lanes->ops->at_fork(lanes->lanes[i].backend, phase);
    }
}

void idem__lanes_fork(idem__lanes *lanes, idem_fork_phase phase)
{
    if (phase == IDEM_FORK_PREPARE) {
        (void)pthread_mutex_lock(&lanes->lock);
        lanes->frozen = true;
        while (any_busy(lanes))
            (void)pthread_cond_wait(&lanes->changed, &lanes->lock);
        tell_backends(lanes, phase);
        return; /* the lock stays held across the fork */
    }
    tell_backends(lanes, phase);
    lanes->frozen = false;
    if (phase == IDEM_FORK_CHILD) {
        /* Those who waited in the queue are threads of the parent. */
        lanes->first = NULL;
        lanes->last = &lanes->first;
        (void)idem__clock_cond_init(&lanes->changed);
    } else {
        (void)pthread_cond_broadcast(&lanes->changed);
    }
    (void)pthread_mutex_unlock(&lanes->lock);
}
