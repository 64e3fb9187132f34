/* SPDX-License-Identifier: MIT */
/*
 * Lanes and the batching of callers.
 *
 * A thread that finds a free lane becomes its leader: it takes as many tickets from the queue's
 * head as fit into a batch, its own among them or not, carries them out with the lock open, and
 * answers all. Nobody waits past his deadline: a ticket that is still in the queue leaves it, and
 * a batch is given the earliest deadline of those in it; an operation that fails for another's
 * deadline is repeated by its own caller. So a ticket that was taken is always answered in time,
 * and may live on its caller's stack. No thread of these can be cancelled, or it would leave the
 * others behind.
 *
 * One lock guards it all but the tickets' own words; it is never held while a backend is at work,
 * nor while a batch is answered. `busy` of a lane is held in its place.
 *
 * Invariant, whenever the lock is open: if a lane is free and the queue is not empty, then its head
 * was called, or is looking. Whoever comes may be quicker and take the head along.
 */
#include "lanes.h"

#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "inside.h"
#include "patience.h"
#include "verify.h"

#define FEW 8u /* callers in the queue */

int idem__lanes_init(idem__lanes *lanes, const idem_backend_ops *ops, const idem_config *config,
                     idem_role role, size_t max, idem_error *error)
{
    memset(lanes, 0, sizeof *lanes);
    lanes->ops = ops;
    lanes->config = *config;
    lanes->config.role = role;
    atomic_init(&lanes->concurrent, false);
    lanes->max = max > IDEM__LANES_MAX ? IDEM__LANES_MAX : max;
    if ((ops->traits & IDEM_TRAIT_CONCURRENT) && lanes->max > 1)
        lanes->max = 1;
    idem__line_init(&lanes->line);
    if (pthread_mutex_init(&lanes->lock, NULL))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a mutex can't be made");
    if (idem__clock_cond_init(&lanes->changed)) {
        (void)pthread_mutex_destroy(&lanes->lock);
        return idem_error_set(error, IDEM_ERR_INTERNAL, "a condition variable can't be made");
    }
    return IDEM_OK;
}

/* Opens a lane that the caller has made busy, or that nobody else knows yet.
   @return the code, with IDEM_PERMANENT if it is of no use to try again */
static int open_lane(idem__lanes *lanes, idem__lane *lane, uint64_t deadline_ms, idem_error *error)
{
    idem_backend *backend = NULL;
    lane->config = lanes->config;
    lane->config.deadline_ms = deadline_ms;
    int rc = lanes->ops->open(&lane->config, &backend, error);
    if (rc == IDEM_OK && !backend)
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "%s: open gave no instance",
                            lanes->ops->scheme);
    if (rc == IDEM_OK) {
        lane->backend = backend;
        /* Up to here callers queue for it, those of a concurrent backend too. */
        atomic_store(&lanes->concurrent, (lanes->ops->traits & IDEM_TRAIT_CONCURRENT) != 0);
        return rc;
    }
    (void)idem_error_set(error, rc & ~IDEM_PERMANENT, "%s: %s", lanes->ops->scheme,
                         idem_strerror(rc & ~IDEM_PERMANENT));
    return rc;
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

/* Somebody has to look: a lane may be free. The lock is held. */
static void call_head(idem__lanes *lanes)
{
    if (lanes->line.first && free_lane(lanes))
        idem__ticket_call(lanes->line.first);
}

/* Whoever opens the lane of a concurrent backend is alone on it until here. The lock is held. */
static void set_free(idem__lanes *lanes, idem__lane *lane)
{
    lane->busy = false;
    if (lane->backend && (lanes->ops->traits & IDEM_TRAIT_CONCURRENT)) {
        lanes->open_to_all.backend = lane->backend;
        atomic_store_explicit(&lanes->concurrent, true, memory_order_release);
    }
    (void)pthread_cond_broadcast(&lanes->changed);
    call_head(lanes);
}

static void vacate(idem__lanes *lanes, idem__lane *lane)
{
    int cancel_state = lane->cancel_state;
    (void)pthread_mutex_lock(&lanes->lock);
    set_free(lanes, lane);
    (void)pthread_mutex_unlock(&lanes->lock);
    idem__inside_leave();
    idem__cancel_restore(cancel_state);
}

/* Makes a lane busy, so that no fork() happens while it is opened or closed. */
static void occupy(idem__lanes *lanes, idem__lane *lane)
{
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    (void)pthread_mutex_lock(&lanes->lock);
    while (lanes->frozen || lane->busy)
        (void)pthread_cond_wait(&lanes->changed, &lanes->lock);
    lane->busy = true;
    lane->cancel_state = cancel_state;
    (void)pthread_mutex_unlock(&lanes->lock);
}

int idem__lanes_open(idem__lanes *lanes, uint64_t deadline_ms, idem_error *error)
{
    idem__lane *first = &lanes->lanes[0];
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
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

bool idem__lanes_are_concurrent(const idem__lanes *lanes)
{
    return atomic_load_explicit(&lanes->concurrent, memory_order_acquire);
}

bool idem__lanes_idle(idem__lanes *lanes)
{
    if (idem__lanes_are_concurrent(lanes))
        return true;
    idem__inside_lock(&lanes->lock);
    const idem__lane *lane = free_lane(lanes);
    bool idle = lane && lane->backend && !lanes->line.first;
    idem__inside_unlock(&lanes->lock);
    return idle;
}

/* ---------------------------------------------------------------------------------- the queue */

/* A lane for the ticket's owner, if it is his turn. The lock is held. */
static idem__lane *lane_for(const idem__ticket *ticket, idem__lanes *lanes)
{
    bool first = lanes->line.first == ticket;
    if (!ticket->queued || (!first && (ticket->alone || lanes->line.first->alone)))
        return NULL;
    return free_lane(lanes);
}

/* Whether who waits yields before he sleeps. His turn is near where one lane serves a few. In a
   crowd he would be called on again and again for nothing, and where there are several lanes their
   leaders yield, whom he would keep from it. The lock is held. */
static bool is_near(const idem__lanes *lanes)
{
    return lanes->max == 1 && lanes->line.count <= FEW;
}

/* Waits until a lane may be entered, which is busy then. NULL: the ticket is answered, or has left
   the queue at its deadline. The lock is held before, and open afterwards. */
static idem__lane *await_turn(idem__lanes *lanes, idem__ticket *ticket)
{
    bool in_time = true;
    for (;;) {
        idem__lane *lane = lane_for(ticket, lanes);
        bool leaves = !lane && !in_time && ticket->queued;
        uint64_t deadline_ms = ticket->queued ? ticket->deadline_ms : UINT64_MAX;
        atomic_uint *misses = is_near(lanes) ? &lanes->misses : NULL;
        idem__ticket_heed(ticket);
        if (lane)
            lane->busy = true;
        if (leaves) /* no lane is free, so nobody has to be called instead */
            idem__line_remove(&lanes->line, ticket);
        (void)pthread_mutex_unlock(&lanes->lock);
        if (lane || leaves)
            return lane;
        in_time = idem__ticket_wait(ticket, deadline_ms, misses);
        if (idem__ticket_is_answered(ticket))
            return NULL;
        (void)pthread_mutex_lock(&lanes->lock);
    }
}

/* --------------------------------------------------------------------------------- carrying out */

/* `code` may have IDEM_PERMANENT added. */
static void fail_unanswered(idem_op *const *ops, size_t count, int code, const char *message)
{
    int known = idem__error_known(code & ~IDEM_PERMANENT);
    for (size_t i = 0; i < count; i++) {
        if (!ops[i]->applied && !ops[i]->has_found)
            idem_op_fail(ops[i], (code & IDEM_PERMANENT) != 0, known, "%s", message);
    }
}

static void submit_to(idem_backend *backend, const idem_backend_ops *ops, idem_op *const *batch_ops,
                      size_t count, uint64_t deadline_ms)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = ops->submit(backend, batch_ops, count, deadline_ms, &error);
    if (rc != IDEM_OK)
        fail_unanswered(batch_ops, count, rc,
                        error.code ? error.message
                                   : idem_strerror(idem__error_known(rc & ~IDEM_PERMANENT)));
}

/* Carries a batch out on a lane that was made busy; the lock is open. False if this is a lane for
   readers and the backend can have none. */
static bool carry_out(idem__lanes *lanes, idem__lane *lane, const idem__batch *taken)
{
    idem_error error;
    idem__error_clear(&error);
    int rc = IDEM_OK;
    if (!lane->backend)
        rc = open_lane(lanes, lane, taken->deadline_ms, &error);
    if ((rc & ~IDEM_PERMANENT) == IDEM_ERR_UNSUPPORTED && lanes->config.role == IDEM_ROLE_READER)
        return false;
    if (rc == IDEM_OK)
        submit_to(lane->backend, lanes->ops, taken->ops, taken->count, taken->deadline_ms);
    else
        fail_unanswered(taken->ops, taken->count, rc, error.message);
    return true;
}

/* Leads one batch on a lane that was made busy, by the leader's own deadline too. Where one lane
   serves a crowd, those who were just answered are let in first: they are on their way with what
   they want next. With several lanes another one takes them. The lock is open before and after. */
static void lead(idem__lanes *lanes, idem__lane *lane, uint64_t deadline_ms)
{
    idem__batch taken;
    bool carried_out = true;
    if (lane->crowded && lanes->max == 1)
        idem__patience_pause();
    (void)pthread_mutex_lock(&lanes->lock);
    idem__line_take(&lanes->line, &taken);
    call_head(lanes);
    (void)pthread_mutex_unlock(&lanes->lock);
    if (deadline_ms < taken.deadline_ms)
        taken.deadline_ms = deadline_ms;
    if (taken.count > 0)
        carried_out = carry_out(lanes, lane, &taken);
    (void)pthread_mutex_lock(&lanes->lock);
    lane->crowded = taken.callers > 1;
    lanes->refused = lanes->refused || !carried_out;
    set_free(lanes, lane);
    (void)pthread_mutex_unlock(&lanes->lock);
    idem__batch_answer(&taken, !carried_out);
}

/* False if there can be no lanes of this role. */
static bool see_through(idem__lanes *lanes, idem__ticket *ticket)
{
    idem__lane *lane;
    (void)pthread_mutex_lock(&lanes->lock);
    if (lanes->refused) {
        (void)pthread_mutex_unlock(&lanes->lock);
        return false;
    }
    idem__line_add(&lanes->line, ticket);
    while ((lane = await_turn(lanes, ticket)) != NULL) {
        lead(lanes, lane, ticket->deadline_ms);
        if (idem__ticket_is_answered(ticket))
            return !ticket->refused;
        (void)pthread_mutex_lock(&lanes->lock);
    }
    if (!idem__ticket_is_answered(ticket))
        fail_unanswered(ticket->ops, ticket->count, IDEM_ERR_UNAVAILABLE,
                        "the store was busy with other callers until the deadline; call again, or "
                        "set a longer timeout");
    return !ticket->refused;
}

/* As a ticket in the queue. False if there can be no lanes of this role. */
static bool submit_queued(idem__lanes *lanes, idem_op *const *ops, size_t count,
                          uint64_t deadline_ms)
{
    idem__ticket ticket;
    int rc = idem__ticket_init(&ticket, ops, count, deadline_ms);
    if (rc) {
        fail_unanswered(ops, count, rc, "there is no memory for waiting");
        return true;
    }
    int cancel_state = idem__cancel_hold();
    bool refused = !see_through(lanes, &ticket);
    idem__cancel_restore(cancel_state);
    idem__ticket_destroy(&ticket);
    return !refused;
}

bool idem__lanes_submit(idem__lanes *lanes, idem_op *const *ops, size_t count, uint64_t deadline_ms)
{
    bool there = true;
    if (lanes->max == 0)
        return false;
    if (idem__inside_is_orphan()) {
        idem_error error = {0};
        int rc = idem__inside_refuse(&error);
        fail_unanswered(ops, count, rc | IDEM_PERMANENT, error.message);
        return true;
    }
    idem__inside_enter();
    if (idem__lanes_are_concurrent(lanes))
        submit_to(lanes->open_to_all.backend, lanes->ops, ops, count, deadline_ms);
    else
        there = submit_queued(lanes, ops, count, deadline_ms);
    idem__inside_leave();
    if (!there)
        return false;
    /* By each caller for its own: no leader looks at the bytes of others. */
    idem__verify_found(ops, count, !(lanes->ops->traits & IDEM_BACKEND_INSTANT));
    return true;
}

/* ----------------------------------------------------------------------------- alone on a lane */

/* Waits for a lane. NULL: none was free by the deadline. */
static idem__lane *occupy_any(idem__lanes *lanes, idem__ticket *ticket)
{
    (void)pthread_mutex_lock(&lanes->lock);
    idem__line_add(&lanes->line, ticket);
    idem__lane *lane = await_turn(lanes, ticket);
    if (!lane)
        return NULL;
    (void)pthread_mutex_lock(&lanes->lock);
    idem__line_remove(&lanes->line, ticket);
    call_head(lanes);
    (void)pthread_mutex_unlock(&lanes->lock);
    return lane;
}

int idem__lanes_enter(idem__lanes *lanes, uint64_t deadline_ms, idem__lane **lane,
                      idem_error *error)
{
    idem__ticket ticket;
    if (idem__inside_is_orphan())
        return idem__inside_refuse(error) | IDEM_PERMANENT;
    if (idem__lanes_are_concurrent(lanes)) {
        idem__inside_enter();
        *lane = &lanes->open_to_all;
        return IDEM_OK;
    }
    if (idem__ticket_init(&ticket, NULL, 0, deadline_ms))
        return idem__error_no_memory(error);
    ticket.alone = true;
    int cancel_state = idem__cancel_hold();
    idem__inside_enter();
    idem__lane *mine = occupy_any(lanes, &ticket);
    idem__ticket_destroy(&ticket);
    if (!mine) {
        idem__inside_leave();
        idem__cancel_restore(cancel_state);
        return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                              "the store was busy with other callers until the deadline");
    }
    mine->cancel_state = cancel_state;
    int rc = mine->backend ? IDEM_OK : open_lane(lanes, mine, deadline_ms, error);
    if (rc)
        vacate(lanes, mine);
    else
        *lane = mine;
    return rc;
}

void idem__lanes_leave(idem__lanes *lanes, idem__lane *lane)
{
    if (lane != &lanes->open_to_all)
        vacate(lanes, lane);
    else
        idem__inside_leave();
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
        idem__line_init(&lanes->line);
        (void)idem__clock_cond_init(&lanes->changed);
    } else {
        (void)pthread_cond_broadcast(&lanes->changed);
        call_head(lanes);
    }
    (void)pthread_mutex_unlock(&lanes->lock);
}
