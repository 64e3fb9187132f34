/* SPDX-License-Identifier: MIT */
/*
 * Submitted calls on a connection that the dispatching thread drives: it sends what is ready,
 * receives what has come, and sees to time, and never blocks. What a user's loop polls is an epoll
 * set over the socket, a timer and the notifier. Only to connect, which resolves names and shakes
 * hands, a thread of its own is started; it ends when the connection stands.
 *
 * A connection that owes an answer for a part of a call's time without a single byte is given up,
 * as in silence.c.
 */
#include "loop.h"

#include "clock.h"
#include "inside.h"
#include "verify.h"

#ifdef __linux__

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ALONE_MS      100u /* silence for so long is enough where nobody else waits */
#define ROOM          64u  /* for what one `receive` gives back */
#define TURN_ROOMS    4u   /* so often in one turn */
#define IN_FLIGHT_MAX 1024u
#define LOOKS_MAX     256u /* in flight: what is new is answered behind them */
#define DUE_IN_A_TURN 256u
/* While others wait to be sent, or for their answers: so many more than there were answers. */
#define DUE_BESIDE 4u
#define DUE_LATE   32u /* likewise, where time is not kept */
#define LATE_MS    50u

/* ------------------------------------------------------------------------------ after an answer */

void idem__loop_step_all(idem_async *async, idem__flight *const *flights, size_t count)
{
    idem__flight_state states[IDEM_BATCH_MAX];
    for (size_t i = 0; i < count; i++) {
        idem_op *op = &flights[i]->call->op;
        idem__verify_found(&op, 1, true);
        states[i] = idem__queue_step(async->store, flights[i]);
    }
    idem__inside_lock(&async->lock);
    for (size_t i = 0; i < count; i++) {
        idem__timers_unset(&async->timers, &flights[i]->timer);
        flights[i]->state = states[i];
        idem__queue_put(async, flights[i]);
    }
    idem__inside_unlock(&async->lock);
}

/* -------------------------------------------------------------------------------------- sending */

static uint64_t silent_at(const idem__loop *loop, const idem__flight *flight)
{
    uint64_t since = loop->heard_ms > flight->sent_ms ? loop->heard_ms : flight->sent_ms;
    uint64_t at_ms = since + idem__call_silence_ms(flight->call->timeout_ms);
    return at_ms < flight->call->deadline_ms ? at_ms : flight->call->deadline_ms;
}

static void set_timer(idem_async *async, idem__flight *flight, uint64_t at_ms)
{
    idem__timers_set(&async->timers, &flight->timer, at_ms + IDEM__QUEUE_GRAIN_MS);
}

/* Those that could not be stamped have failed already. @return how many are left, in front */
static size_t stamp(idem_async *async, idem__flight **flights, size_t count)
{
    idem__call *calls[IDEM_BATCH_MAX];
    idem__flight *failed[IDEM_BATCH_MAX];
    size_t failed_count = 0;
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        calls[i] = flights[i]->call;
    idem__call_stamp(async->store, calls, count, idem__call_earliest(calls, count));
    for (size_t i = 0; i < count; i++) {
        if (flights[i]->call->op.error.code)
            failed[failed_count++] = flights[i];
        else
            flights[left++] = flights[i];
    }
    idem__loop_step_all(async, failed, failed_count);
    return left;
}

/* How many flights can be sent. The lock is held. */
static size_t sendable(const idem_async *async)
{
    const idem__way *way = &async->ways[0];
    size_t room = LOOKS_MAX > async->loop.looks ? LOOKS_MAX - async->loop.looks : 0;
    return way->fresh.count + (way->looks.count < room ? way->looks.count : room);
}

/* @return how many of them the instance has taken; the others are queued again */
static size_t send_some(idem_async *async, idem__flight *const *flights, size_t count)
{
    idem__loop *loop = &async->loop;
    idem_op *ops[IDEM_BATCH_MAX];
    uint64_t now = idem_monotonic_ms();
    for (size_t i = 0; i < count; i++) {
        ops[i] = &flights[i]->call->op;
        ops[i]->owner = flights[i];
        ops[i]->deadline_ms = flights[i]->call->deadline_ms;
    }
    size_t taken = async->store->ops.send(loop->backend, ops, count);
    loop->in_flight += taken;
    idem__inside_lock(&async->lock);
    for (size_t i = 0; i < taken; i++) {
        flights[i]->sent_ms = now;
        loop->looks += flights[i]->looks;
        set_timer(async, flights[i], silent_at(loop, flights[i]));
    }
    for (size_t i = taken; i < count; i++) {
        flights[i]->state = IDEM__FLIGHT_QUEUED;
        idem__queue_put(async, flights[i]);
    }
    idem__inside_unlock(&async->lock);
    return taken;
}

/* Sends what was ready when this began. */
static void send_ready(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__flight *flights[IDEM_BATCH_MAX];
    idem__inside_lock(&async->lock);
    size_t left = async->frozen ? 0 : sendable(async);
    idem__inside_unlock(&async->lock);
    if (left == 0)
        return;
    loop->blocked = !idem__loop_is_ready(async);
    while (!loop->blocked && left > 0) {
        size_t room = IN_FLIGHT_MAX > loop->in_flight ? IN_FLIGHT_MAX - loop->in_flight : 0;
        room = room < IDEM_BATCH_MAX ? room : IDEM_BATCH_MAX;
        idem__inside_lock(&async->lock);
        size_t count = idem__queue_take(&async->ways[0], flights, room < left ? room : left,
                                        LOOKS_MAX > loop->looks ? LOOKS_MAX - loop->looks : 0);
        idem__inside_unlock(&async->lock);
        left = count < left && count > 0 ? left - count : 0; /* others may have been cancelled */
        size_t stamped = stamp(async, flights, count);
        size_t taken = stamped ? send_some(async, flights, stamped) : 0;
        loop->blocked = room == 0 || taken < stamped;
    }
}

/* ------------------------------------------------------------------------------------ receiving */

/* @return true if there is more */
static bool receive_some(idem_async *async)
{
    idem__loop *loop = &async->loop;
    const idem_backend_ops *ops = &async->store->ops;
    idem__flight *flights[ROOM];
    idem_op *done[ROOM];
    idem_wants wants;
    idem_error error = {0};
    size_t count = 0;
    int rc = ops->receive(loop->backend, done, ROOM, &count, &error);
    for (size_t i = 0; i < count; i++) {
        flights[i] = done[i]->owner;
        done[i]->owner = NULL;
        loop->looks -= flights[i]->looks;
    }
    loop->in_flight -= count;
    loop->received += count;
    ops->wants(loop->backend, &wants);
    if (wants.progress != loop->progress) {
        loop->heard_ms = idem_monotonic_ms();
        loop->owed_ms = 0;
    }
    loop->progress = wants.progress;
    idem__loop_step_all(async, flights, count);
    if (rc && count < ROOM) {
        loop->sound = false;
        loop->watched = -1;
    }
    return count == ROOM || (rc == IDEM_OK && wants.at_once);
}

static void receive_all(idem_async *async)
{
    idem__loop *loop = &async->loop;
    unsigned rooms = 0;
    loop->received = 0;
    loop->more = loop->sound;
    while (loop->more && rooms++ < TURN_ROOMS)
        loop->more = receive_some(async);
}

/* ----------------------------------------------------------------------------------------- time */

/* A call has left without an answer, and nothing came since it was sent. Drops the connection if it
   has owed an answer for too long: each of many calls may have less time than that. */
static void suspect(idem_async *async, const idem__flight *flight, uint64_t now)
{
    idem__loop *loop = &async->loop;
    if (!loop->sound || loop->heard_ms > flight->sent_ms)
        return;
    if (!loop->owed_ms || flight->sent_ms < loop->owed_ms)
        loop->owed_ms = flight->sent_ms;
    uint64_t limit_ms = loop->in_flight == 0 ? ALONE_MS : idem__call_silence_ms(0);
    if (now >= loop->owed_ms + limit_ms)
        async->store->ops.drop(loop->backend);
}

void idem__loop_expire(idem_async *async, idem__flight *flight, uint64_t now)
{
    idem__loop *loop = &async->loop;
    idem_op *op = &flight->call->op;
    uint64_t silent_ms = silent_at(loop, flight);
    if (now < flight->call->deadline_ms) {
        if (now >= silent_ms && loop->sound)
            async->store->ops.drop(loop->backend);
        set_timer(async, flight, now >= silent_ms ? flight->call->deadline_ms : silent_ms);
        return;
    }
    async->store->ops.abandon(loop->backend, op);
    op->owner = NULL;
    loop->in_flight--;
    loop->looks -= flight->looks;
    suspect(async, flight, now);
    idem_op_fail(op, false, op->kind == IDEM_OP_GET ? IDEM_ERR_UNAVAILABLE : IDEM_ERR_UNCERTAIN,
                 "the store did not answer by the deadline%s",
                 op->kind == IDEM_OP_GET ? "" : "; the change may have been made");
    idem__flights_add(&loop->late, flight);
}

static void see_to_time(idem_async *async)
{
    idem__loop *loop = &async->loop;
    uint64_t fired;
    uint64_t now = idem_monotonic_ms();
    if (now >= loop->armed_ms) {
        loop->armed_ms = UINT64_MAX;
        while (read(loop->timer, &fired, sizeof fired) < 0 && errno == EINTR) {
        }
    }
    idem__inside_lock(&async->lock);
    bool others = loop->in_flight > 0 || async->ways[0].fresh.count > 0;
    bool late = idem__timers_next_ms(&async->timers) + LATE_MS < now;
    size_t limit = !others ? DUE_IN_A_TURN : loop->received + (late ? DUE_LATE : DUE_BESIDE);
    loop->due_left = !idem__queue_see_to_time(async, now, limit);
    idem__inside_unlock(&async->lock);
    while (loop->late.first) {
        idem__flight *flight = loop->late.first;
        idem__flights_remove(&loop->late, flight);
        idem__loop_step_all(async, &flight, 1);
    }
}

/* ---------------------------------------------------------------------------------------- turns */

static idem__note *take_note(idem_async *async)
{
    idem__inside_lock(&async->loop.io);
    idem__note *note = idem__notes_take(&async->loop.repeats);
    idem__inside_unlock(&async->loop.io);
    return note;
}

/* One by one: the child of a fork() has none that its parent has left to tell. */
void idem__loop_tell(idem_async *async)
{
    idem__note *note;
    while (async->store->on_event && async->loop.used && (note = take_note(async)) != NULL) {
        idem__stats_tell(async->store, NULL, *idem__note_event(note));
        idem__note_free(note);
    }
}

void idem__loop_turn(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__inside_lock(&loop->io);
    loop->blocked = idem__loop_is_connecting(async);
    if (!loop->blocked)
        receive_all(async);
    see_to_time(async);
    if (!loop->blocked)
        send_ready(async);
    idem__inside_unlock(&loop->io);
    idem__loop_tell(async);
}

void idem__loop_send(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__inside_lock(&loop->io);
    if (!loop->blocked && !idem__loop_is_connecting(async))
        send_ready(async);
    idem__inside_unlock(&loop->io);
    idem__loop_arm(async);
    idem__loop_tell(async);
}

bool idem__loop_has_work(idem_async *async)
{
    idem__loop *loop = &async->loop;
    return loop->more || loop->due_left || loop->ended ||
           (!loop->blocked && !async->frozen && sendable(async) > 0);
}

static void watch_socket(idem__loop *loop, const idem_wants *wants)
{
    struct epoll_event event = {.events = EPOLLIN | (wants->write ? EPOLLOUT : 0u),
                                .data.fd = wants->fd};
    if (loop->watched >= 0 && loop->watched != wants->fd) {
        (void)epoll_ctl(loop->set, EPOLL_CTL_DEL, loop->watched, NULL);
        loop->watched = -1;
    }
    if (wants->fd < 0 || (loop->watched == wants->fd && loop->watched_write == wants->write))
        return;
    int how = loop->watched < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(loop->set, how, wants->fd, &event) == 0 || errno == EEXIST)
        loop->watched = wants->fd;
    loop->watched_write = wants->write;
}

static void arm_timer(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__inside_lock(&async->lock);
    uint64_t next_ms = idem__timers_next_ms(&async->timers);
    idem__inside_unlock(&async->lock);
    if (next_ms >= loop->armed_ms)
        return;
    struct itimerspec when = {.it_value = idem__clock_point(next_ms)};
    if (when.it_value.tv_sec == 0 && when.it_value.tv_nsec == 0)
        when.it_value.tv_nsec = 1;
    if (timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        loop->armed_ms = next_ms;
}

void idem__loop_arm(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem_wants wants = {.fd = -1};
    idem__inside_lock(&loop->io);
    if (!idem__loop_is_connecting(async) && loop->backend) {
        async->store->ops.wants(loop->backend, &wants);
        loop->more = loop->more || (loop->sound && wants.at_once);
        watch_socket(loop, &wants);
    }
    arm_timer(async);
    idem__inside_unlock(&loop->io);
}

/* Receives what is due, and sends nothing new. @return true: nothing is under way any more */
static bool wind_down(idem_async *async)
{
    idem__loop *loop = &async->loop;
    idem__inside_lock(&loop->io);
    bool connecting = idem__loop_is_connecting(async);
    if (!connecting)
        receive_all(async);
    see_to_time(async);
    arm_timer(async); /* what was due is read away, and a poll of the set is not told */
    bool rests = !connecting && loop->in_flight == 0;
    idem__inside_unlock(&loop->io);
    return rests;
}

/* Sleeps until something comes, or for a moment: the set would also tell of callbacks to be run. */
static void await_answers(idem_async *async, uint64_t left_ms)
{
    idem_wants wants = {.fd = -1};
    idem__inside_lock(&async->loop.io);
    if (!idem__loop_is_connecting(async) && async->loop.backend)
        async->store->ops.wants(async->loop.backend, &wants);
    idem__inside_unlock(&async->loop.io);
    struct pollfd socket = {.fd = wants.fd,
                            .events = (short)(POLLIN | (wants.write ? POLLOUT : 0))};
    (void)poll(&socket, 1, wants.at_once ? 0 : left_ms < 10 ? (int)left_ms : 10);
}

bool idem__loop_drain(idem_async *async, uint64_t until_ms)
{
    while (!wind_down(async)) {
        uint64_t now = idem_monotonic_ms();
        if (now >= until_ms)
            return false;
        await_answers(async, until_ms - now);
    }
    return true;
}

#else /* workers do it */

void idem__loop_turn(idem_async *async)
{
    (void)async;
}

void idem__loop_send(idem_async *async)
{
    (void)async;
}

bool idem__loop_has_work(idem_async *async)
{
    (void)async;
    return false;
}

bool idem__loop_drain(idem_async *async, uint64_t until_ms)
{
    (void)async;
    (void)until_ms;
    return true;
}

void idem__loop_expire(idem_async *async, idem__flight *flight, uint64_t now)
{
    (void)async;
    (void)flight;
    (void)now;
}

void idem__loop_arm(idem_async *async)
{
    (void)async;
}

void idem__loop_tell(idem_async *async)
{
    (void)async;
}

#endif
