/* SPDX-License-Identifier: MIT */
/*
 * The turns of a loop that drives a connection, step by step: what becomes of calls that come while
 * a fork() of another thread is near, of a server that is silent beside short deadlines, of answers
 * that no poll tells of, and of a hook that waits for other threads.
 *
 * The backend has its slots on an eventfd, and answers out of the memory backend.
 */
#include "clock.h"
#include "engine/loop.h"
#include "loop.h"
#include "registry.h"
#include "runner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOM 512u

typedef struct {
    idem_backend base;
    idem_backend *memory;
    int fd;
    idem_op *in_flight[ROOM];
    size_t count;
    bool dropped;
    uint64_t progress;
} instance;

static const idem_backend_ops *memory;
static idem_store *store;
static idem_async *async;
static bool silent;    /* nothing is answered */
static bool untold;    /* answers make no descriptor readable */
static bool failing;   /* what is asked for fails, and may succeed later */
static unsigned drops; /* how often the connection was given up */

/* -------------------------------------------------------------------------------- the backend */

static int open_instance(const idem_config *config, idem_backend **backend, idem_error *error)
{
    instance *made = calloc(1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    made->fd = -1;
    int rc = memory->open(config, &made->memory, error);
    *backend = &made->base;
    return rc;
}

static int submit(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error)
{
    return memory->submit(((instance *)backend)->memory, ops, count, deadline_ms, error);
}

static void close_instance(idem_backend *backend)
{
    instance *self = (instance *)backend;
    if (self->fd >= 0)
        (void)close(self->fd);
    memory->close(self->memory);
    free(self);
}

static int connect_instance(idem_backend *backend, uint64_t deadline_ms, idem_error *error)
{
    instance *self = (instance *)backend;
    if (deadline_ms == 0)
        return self->fd >= 0 && !self->dropped ? IDEM_OK : IDEM_ERR_UNAVAILABLE;
    if (self->fd < 0)
        self->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->dropped = false;
    return self->fd >= 0 ? IDEM_OK : idem_error_set(error, IDEM_ERR_UNAVAILABLE, "no descriptor");
}

static size_t send_ops(idem_backend *backend, idem_op *const *ops, size_t count)
{
    instance *self = (instance *)backend;
    const uint64_t one = 1;
    size_t taken = 0;
    while (taken < count && self->count < ROOM)
        self->in_flight[self->count++] = ops[taken++];
    if (taken > 0 && !silent && !untold)
        ck_assert_int_eq(write(self->fd, &one, sizeof one), sizeof one);
    return taken;
}

static int receive_ops(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                       idem_error *error)
{
    instance *self = (instance *)backend;
    uint64_t told;
    *count = 0;
    if (self->fd >= 0)
        (void)!read(self->fd, &told, sizeof told);
    while (self->count > 0 && *count < room && (self->dropped || !silent)) {
        idem_op *op = self->in_flight[--self->count];
        if (self->dropped)
            idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "the connection was given up");
        else if (failing)
            idem_op_fail(op, false, IDEM_ERR_UNAVAILABLE, "the server is starting");
        else
            (void)memory->submit(self->memory, &op, 1, UINT64_MAX, error);
        self->progress++;
        done[(*count)++] = op;
    }
    if (!self->dropped)
        return IDEM_OK;
    if (self->fd >= 0)
        (void)close(self->fd);
    self->fd = -1;
    return idem_error_set(error, IDEM_ERR_UNAVAILABLE, "the connection was given up");
}

static void abandon_op(idem_backend *backend, idem_op *op)
{
    instance *self = (instance *)backend;
    for (size_t i = 0; i < self->count; i++) {
        if (self->in_flight[i] != op)
            continue;
        self->in_flight[i] = self->in_flight[--self->count];
        return;
    }
}

static void drop_connection(idem_backend *backend)
{
    instance *self = (instance *)backend;
    drops++;
    self->dropped = true;
}

static void say_wants(const idem_backend *backend, idem_wants *wants)
{
    const instance *self = (const instance *)backend;
    bool answers = self->fd >= 0 && self->count > 0 && untold && !silent;
    *wants = (idem_wants){.fd = self->fd,
                          .read = true,
                          .in_flight = self->count,
                          .progress = self->progress,
                          .at_once = answers || (self->dropped && self->fd >= 0)};
}

/* The memory backend's table, with slots of its own and entered by one thread at a time. */
static idem_backend_ops turning_ops(void)
{
    idem_backend_ops ops = *memory;
    ops.traits &= ~(IDEM_TRAIT_CONCURRENT | IDEM_BACKEND_IN_PROCESS);
    ops.open = open_instance;
    ops.submit = submit;
    ops.close = close_instance;
    ops.scan = NULL;
    ops.purge = NULL;
    ops.check = NULL;
    ops.at_fork = NULL;
    ops.connect = connect_instance;
    ops.send = send_ops;
    ops.receive = receive_ops;
    ops.abandon = abandon_op;
    ops.drop = drop_connection;
    ops.wants = say_wants;
    return ops;
}

static void set_up(void)
{
    idem_error error;
    silent = untold = failing = false;
    drops = 0;
    ck_assert_int_eq(idem__registry_find("memory", &memory, NULL), IDEM_OK);
    idem_backend_ops ops = turning_ops();
    ck_assert_int_eq(idem_open_backend(&ops, NULL, "timeout=10s", &store, &error), IDEM_OK);
    ck_assert_int_eq(idem_async_open(store, &async, &error), IDEM_OK);
    ck_assert(async->loop.used);
}

static void tear_down(void)
{
    silent = false;
    idem_async_close(async);
    idem_close(store);
}

/* ---------------------------------------------------------------------------------- the tests */

static answer second;

static void thaw_and_submit(void *user, idem_outcome *outcome, const idem_error *error)
{
    on_begun(user, outcome, error);
    idem__queue_thaw(async);
    (void)loop_begin(async, "second", &second);
}

/* What was asked for within a turn that began while a fork() was near: it is sent at once. */
START_TEST(a_call_that_comes_when_a_fork_has_passed_is_not_forgotten)
{
    answer first = {.answers = 0};
    memset(&second, 0, sizeof second);
    idem_outcome warm = loop_claim(async, "warm");
    idem_outcome_clear(&warm);
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("first")),
                                      thaw_and_submit, &first, NULL, NULL),
                     IDEM_OK);
    idem__loop_turn(async); /* sent */
    idem__loop_turn(async); /* answered, and not told yet */
    idem__queue_freeze(async);
    (void)idem_async_dispatch(async, 0);
    assert_told(first, IDEM_OK);
    for (int i = 0; i < 100 && second.answers == 0 && loop_is_readable(async, 3000); i++)
        (void)idem_async_dispatch(async, 0);
    assert_told(second, IDEM_OK);
    idem_outcome_clear(&first.outcome);
    idem_outcome_clear(&second.outcome);
}
END_TEST

/* With deadlines so short, none of the calls alone has the time to find it out. */
START_TEST(a_silent_connection_is_given_up_beside_short_deadlines)
{
    enum { CALLS = 60, EVERY_MS = 50, TIMEOUT_MS = 200 };
    static answer told[CALLS];
    memset(told, 0, sizeof told);
    idem_outcome warm = loop_claim(async, "warm");
    idem_outcome_clear(&warm);
    silent = true;
    for (int i = 0; i < CALLS && drops == 0; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key-%d", i);
        ck_assert_int_eq(
            idem_async_begin(async, IDEM_REQUEST(.key = idem_str(key), .timeout_ms = TIMEOUT_MS),
                             on_begun, &told[i], NULL, NULL),
            IDEM_OK);
        uint64_t until = idem_monotonic_ms() + EVERY_MS;
        while (idem_monotonic_ms() < until) {
            (void)loop_is_readable(async, 5);
            (void)idem_async_dispatch(async, 0);
        }
    }
    ck_assert_uint_ge(drops, 1);
    silent = false;
    loop_until_idle(async);
    for (int i = 0; i < CALLS; i++)
        idem_outcome_clear(&told[i].outcome);
}
END_TEST

/* As what TLS has decrypted already, or what could not even be sent. */
START_TEST(answers_that_no_poll_tells_of_are_taken_in)
{
    answer told = {.answers = 0};
    idem_outcome warm = loop_claim(async, "warm");
    idem_outcome_clear(&warm);
    untold = true;
    (void)loop_begin(async, "k", &told);
    for (int i = 0; i < 20 && told.answers == 0 && loop_is_readable(async, 1000); i++)
        (void)idem_async_dispatch(async, 0);
    assert_told(told, IDEM_OK);
    idem_outcome_clear(&told.outcome);
}
END_TEST

/* However many calls wait for their keys: of what is in flight, few look. */
START_TEST(looks_leave_room_for_what_is_new)
{
    enum { KEYS = 600, LOOKS = 256 };
    static answer told[KEYS];
    static idem_outcome held[KEYS];
    answer fresh = {.answers = 0};
    char key[16];
    memset(told, 0, sizeof told);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        held[i] = loop_claim(async, key);
        ck_assert_int_eq(idem_async_begin(async,
                                          IDEM_REQUEST(.key = idem_str(key), .wait_ms = 60000),
                                          on_begun, &told[i], NULL, NULL),
                         IDEM_OK);
    }
    while (atomic_load(&store->watch.waiting) < KEYS)
        (void)idem_async_dispatch(async, 0);
    const instance *self = (const instance *)async->loop.backend;
    silent = true;
    for (uint64_t until = idem_monotonic_ms() + 300; idem_monotonic_ms() < until;) {
        (void)loop_is_readable(async, 5);
        (void)idem_async_dispatch(async, 0);
        ck_assert_uint_le(self->count, LOOKS);
        if (self->count < LOOKS) /* all would have looked by then */
            until = idem_monotonic_ms() + 300;
    }
    (void)loop_begin(async, "fresh", &fresh);
    (void)idem_async_dispatch(async, 0);
    ck_assert_uint_eq(self->count, LOOKS + 1);
    silent = false;
    loop_until(async, &fresh);
    assert_told(fresh, IDEM_OK);
    idem_outcome_clear(&fresh.outcome);
    for (int i = 0; i < KEYS; i++)
        idem_outcome_clear(&held[i]);
}
END_TEST

static atomic_uint hooked;
static atomic_bool asked;

static void *ask_queue(void *unused)
{
    (void)idem_async_cancel(async, UINT64_MAX);
    atomic_store(&asked, true);
    return unused;
}

/* A hook that writes to a log may wait for a thread that submits with the log's lock held. */
static void wait_for_another(void *user, const idem_event *event)
{
    pthread_t thread;
    (void)user;
    if (event->kind != IDEM_EVENT_CALL || event->code != IDEM_ERR_UNAVAILABLE)
        return;
    (void)atomic_fetch_add(&hooked, 1);
    ck_assert(event->key.len == 1 && *(const char *)event->key.data == 'k');
    ck_assert_int_eq(pthread_create(&thread, NULL, ask_queue, NULL), 0);
    (void)pthread_detach(thread);
    uint64_t until = idem_monotonic_ms() + 3000;
    while (!atomic_load(&asked) && idem_monotonic_ms() < until)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    ck_assert(atomic_load(&asked));
}

START_TEST(the_hook_is_told_with_no_lock_held)
{
    answer told = {.answers = 0};
    idem_outcome claimed;
    idem_options options = {
        .size = sizeof options, .on_event = wait_for_another, .flags = IDEM_OBSERVE_CALLS};
    idem_store *observed;
    idem_async *queue = async;
    ck_assert_int_eq(idem_open_with("memory://", &options, &observed, NULL), IDEM_OK);
    ck_assert_int_eq(idem_async_open(observed, &async, NULL), IDEM_OK);
    ck_assert_int_eq(idem_begin(observed, IDEM_REQUEST(.key = idem_str("k")), &claimed, NULL),
                     IDEM_OK);
    idem_async_call call;
    ck_assert_int_eq(idem_async_begin(async, IDEM_REQUEST(.key = idem_str("k"), .wait_ms = 60000),
                                      on_begun, &told, &call, NULL),
                     IDEM_OK);
    while (!idem_async_cancel(async, call)) /* until it waits for the key */
        (void)idem_async_dispatch(async, 0);
    loop_until(async, &told);
    ck_assert_uint_eq(atomic_load(&hooked), 1);
    idem_outcome_clear(&told.outcome);
    idem_outcome_clear(&claimed);
    idem_async_close(async);
    idem_close(observed);
    async = queue;
}
END_TEST

static atomic_bool forked;
static char repeated[64];

static void *fork_once(void *unused)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    ck_assert(pid > 0 && waitpid(pid, NULL, 0) == pid);
    atomic_store(&forked, true);
    return unused;
}

/* As the above, where the other thread forks. */
static void wait_for_fork(void *user, const idem_event *event)
{
    static pthread_t thread;
    bool *told = user;
    if (event->kind != IDEM_EVENT_RETRY)
        return;
    failing = false;
    (void)snprintf(repeated, sizeof repeated, "%.*s %d %s", (int)event->key.len,
                   (const char *)event->key.data, event->code, event->message);
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_once, NULL), 0);
    uint64_t until = idem_monotonic_ms() + 10000;
    while (!atomic_load(&forked) && idem_monotonic_ms() < until)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    *told = atomic_load(&forked);
    ck_assert_msg(*told, "the thread that forks waits for the one that is in the hook");
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

START_TEST(the_hook_is_told_of_a_repeat_while_the_connection_is_free)
{
    answer told = {.answers = 0};
    bool hook_was_told = false;
    atomic_store(&forked, false);
    idem_outcome warm = loop_claim(async, "warm");
    idem_outcome_clear(&warm);
    store->on_event = wait_for_fork;
    store->event_user = &hook_was_told;
    failing = true;
    (void)loop_begin(async, "repeated", &told);
    loop_until(async, &told);
    assert_told(told, IDEM_OK);
    ck_assert(hook_was_told); /* before the callback */
    ck_assert_str_eq(repeated, "repeated 3 the server is starting");
    idem_outcome_clear(&told.outcome);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async turns");
    ADD_HERE(suite, a_call_that_comes_when_a_fork_has_passed_is_not_forgotten, 1);
    ADD_HERE(suite, a_silent_connection_is_given_up_beside_short_deadlines, 1);
    ADD_HERE(suite, answers_that_no_poll_tells_of_are_taken_in, 1);
    ADD_HERE(suite, looks_leave_room_for_what_is_new, 1);
    ADD_HERE(suite, the_hook_is_told_with_no_lock_held, 1);
    ADD_HERE(suite, the_hook_is_told_of_a_repeat_while_the_connection_is_free, 1);
    return run_suite(suite);
}
