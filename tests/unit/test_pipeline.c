/* SPDX-License-Identifier: MIT */
/*
 * A pool over a backend that sends and receives apart, which the test plays: it says how many ops
 * are taken, and answers when the test wants it. An answer is a record whose version is the number
 * in the op's key.
 */
#include "pool.h"

#include "clock.h"
#include "runner.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LONG_MS     UINT64_C(30000)
#define OPS_MAX     512u
#define CONNECTIONS 2u
#define FAR         100u /* answers that were late: the server is behind a network */

typedef struct {
    idem_backend base;
    int fd; /* readable: something is to be received */
    idem_op *ops[OPS_MAX];
    size_t count;   /* in flight, abandoned ones as NULL */
    size_t answers; /* of these so many may be given back */
    bool dropped;
    uint64_t progress;
} fake;

static pthread_mutex_t world = PTHREAD_MUTEX_INITIALIZER;
static fake *fakes[16];
static size_t opened;
static size_t connects;
static size_t take_most; /* in flight on one connection */
static size_t sends;
static size_t drops;
static size_t received; /* answers that were given back */
static int connect_code;
static int reader_code; /* what opening one for readers answers */
static atomic_int inside;
static atomic_int overlapped;

static void enter(void)
{
    if (atomic_fetch_add(&inside, 1) > 0)
        atomic_fetch_add(&overlapped, 1);
    (void)pthread_mutex_lock(&world);
}

static void leave(void)
{
    (void)pthread_mutex_unlock(&world);
    atomic_fetch_sub(&inside, 1);
}

static int fake_open(const idem_config *config, idem_backend **backend, idem_error *error)
{
    if (config->role == IDEM_ROLE_READER && reader_code)
        return idem_error_set(error, reader_code, "no readers here") | IDEM_PERMANENT;
    if (connect_code)
        return idem_error_set(error, connect_code, "nothing is there");
    fake *made = calloc(1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    made->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    (void)pthread_mutex_lock(&world);
    fakes[opened++] = made;
    (void)pthread_mutex_unlock(&world);
    *backend = &made->base;
    return IDEM_OK;
}

static int fake_submit(idem_backend *backend, idem_op *const *ops, size_t count,
                       uint64_t deadline_ms, idem_error *error)
{
    (void)backend;
    (void)ops;
    (void)count;
    (void)deadline_ms;
    return idem_error_set(error, IDEM_ERR_INTERNAL, "submit is not for a pool that has send");
}

static void fake_close(idem_backend *backend)
{
    (void)close(((fake *)backend)->fd);
    free(backend);
}

static int fake_connect(idem_backend *backend, uint64_t deadline_ms, idem_error *error)
{
    (void)deadline_ms;
    ((fake *)backend)->dropped = false;
    (void)pthread_mutex_lock(&world);
    connects++;
    (void)pthread_mutex_unlock(&world);
    return connect_code ? idem_error_set(error, connect_code, "nothing is there") : IDEM_OK;
}

static size_t fake_send(idem_backend *backend, idem_op *const *ops, size_t count)
{
    fake *self = (fake *)backend;
    enter();
    size_t room = take_most > self->count ? take_most - self->count : 0;
    size_t taken = count < room ? count : room;
    for (size_t i = 0; i < taken; i++)
        self->ops[self->count++] = ops[i];
    sends++;
    leave();
    return taken;
}

static void answer_op(idem_op *op)
{
    op->found = (idem_record){
        .key = op->key, .status = IDEM_STATUS_IN_PROGRESS, .attempt = 1, .token = "mine"};
    memcpy(&op->found.version, op->key.data, sizeof op->found.version);
    op->has_found = true;
}

/* The lock is held. */
static idem_op *take_first(fake *self)
{
    idem_op *op = self->ops[0];
    memmove(self->ops, self->ops + 1, --self->count * sizeof self->ops[0]);
    return op;
}

static int fake_receive(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                        idem_error *error)
{
    fake *self = (fake *)backend;
    uint64_t read_in;
    enter();
    *count = 0;
    while (*count < room && self->count > 0 && (self->answers > 0 || self->dropped)) {
        idem_op *op = take_first(self);
        if (self->dropped && op)
            idem_op_fail(op, false, IDEM_ERR_UNCERTAIN, "the connection is gone");
        else if (op)
            answer_op(op);
        if (op)
            done[(*count)++] = op;
        if (!self->dropped) {
            self->answers--;
            self->progress++;
            received++;
        }
    }
    if (self->answers == 0)
        (void)!read(self->fd, &read_in, sizeof read_in);
    bool gone = self->dropped;
    leave();
    return gone ? idem_error_set(error, IDEM_ERR_UNAVAILABLE, "the connection is gone") : IDEM_OK;
}

static void fake_abandon(idem_backend *backend, idem_op *op)
{
    fake *self = (fake *)backend;
    enter();
    for (size_t i = 0; i < self->count; i++) {
        if (self->ops[i] == op)
            self->ops[i] = NULL;
    }
    leave();
}

static void fake_drop(idem_backend *backend)
{
    static const uint64_t one = 1;
    fake *self = (fake *)backend;
    enter();
    self->dropped = true;
    drops++;
    (void)!write(self->fd, &one, sizeof one);
    leave();
}

static void fake_wants(const idem_backend *backend, idem_wants *wants)
{
    const fake *self = (const fake *)backend;
    enter();
    *wants = (idem_wants){
        .fd = self->fd, .read = true, .in_flight = self->count, .progress = self->progress};
    leave();
}

static const idem_backend_ops fake_ops = {.size = sizeof fake_ops,
                                          .scheme = "fake",
                                          .open = fake_open,
                                          .submit = fake_submit,
                                          .close = fake_close,
                                          .connect = fake_connect,
                                          .send = fake_send,
                                          .receive = fake_receive,
                                          .abandon = fake_abandon,
                                          .drop = fake_drop,
                                          .wants = fake_wants};
static const idem_config config = {.size = sizeof config, .scheme = "fake"};
static idem__pool pool;

static void set_up(void)
{
    opened = 0;
    connects = 0;
    sends = 0;
    drops = 0;
    received = 0;
    take_most = OPS_MAX;
    connect_code = IDEM_OK;
    reader_code = IDEM_OK;
    atomic_store(&overlapped, 0);
    ck_assert_int_eq(idem__pool_init(&pool, &fake_ops, &config, IDEM_ROLE_ANY, CONNECTIONS, NULL),
                     IDEM_OK);
    for (size_t i = 0; i < CONNECTIONS; i++)
        pool.connections[i].far_answers = FAR;
}

static void tear_down(void)
{
    idem__pool_close(&pool);
    idem__pool_destroy(&pool);
}

/* ------------------------------------------------------------------------------------- callers */

typedef struct {
    uint64_t number;
    uint64_t timeout_ms;
    size_t count;
    idem_op ops[8];
    uint64_t took_ms;
    pthread_t thread;
} caller;

static void *call(void *argument)
{
    caller *me = argument;
    idem_op *ops[8];
    uint64_t began = idem_monotonic_ms();
    for (size_t i = 0; i < me->count; i++) {
        memset(&me->ops[i], 0, sizeof me->ops[i]);
        me->ops[i].kind = IDEM_OP_REMOVE;
        me->ops[i].key = (idem_bytes){&me->number, sizeof me->number};
        ops[i] = &me->ops[i];
    }
    ck_assert(idem__pool_submit(&pool, ops, me->count, idem__clock_deadline(me->timeout_ms)));
    me->took_ms = idem_monotonic_ms() - began;
    return NULL;
}

static void begin(caller *me, uint64_t number, uint64_t timeout_ms, size_t count)
{
    *me = (caller){.number = number, .timeout_ms = timeout_ms, .count = count};
    ck_assert_int_eq(pthread_create(&me->thread, NULL, call, me), 0);
}

static void end(caller *me)
{
    ck_assert_int_eq(pthread_join(me->thread, NULL), 0);
}

static void assert_answered(const caller *me)
{
    for (size_t i = 0; i < me->count; i++) {
        ck_assert_msg(me->ops[i].error.code == IDEM_OK, "%s", me->ops[i].error.message);
        ck_assert(me->ops[i].has_found);
        ck_assert_uint_eq(me->ops[i].found.version, me->number);
    }
}

static size_t in_flight(size_t index)
{
    (void)pthread_mutex_lock(&world);
    size_t count = index < opened ? fakes[index]->count : 0;
    (void)pthread_mutex_unlock(&world);
    return count;
}

static void await_in_flight(size_t index, size_t count)
{
    while (in_flight(index) != count)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
}

static void answer(size_t index, size_t count)
{
    static const uint64_t one = 1;
    (void)pthread_mutex_lock(&world);
    fakes[index]->answers += count;
    (void)!write(fakes[index]->fd, &one, sizeof one);
    (void)pthread_mutex_unlock(&world);
}

/* --------------------------------------------------------------------------------------- tests */

START_TEST(what_comes_is_sent_while_answers_are_out)
{
    caller all[3];
    for (size_t i = 0; i < 3; i++) {
        begin(&all[i], i + 1, LONG_MS, 1);
        await_in_flight(0, i + 1);
    }
    answer(0, 3);
    for (size_t i = 0; i < 3; i++) {
        end(&all[i]);
        assert_answered(&all[i]);
    }
    ck_assert_uint_eq(opened, 1);
}
END_TEST

/* The first one receives, and hands it on when it has its own. */
/* As if the answer to what is in flight came any moment, however slow this machine is. */
static void hold(size_t index)
{
    await_in_flight(index, 1);
    (void)pthread_mutex_lock(&pool.lock);
    pool.connections[index].held_until_ns = UINT64_MAX;
    (void)pthread_mutex_unlock(&pool.lock);
}

static void await_queued(size_t count)
{
    size_t queued = 0;
    while (queued != count) {
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
        (void)pthread_mutex_lock(&pool.lock);
        queued = pool.queue.count;
        (void)pthread_mutex_unlock(&pool.lock);
    }
}

START_TEST(a_few_callers_of_a_near_server_use_a_connection_each)
{
    caller all[2];
    for (size_t i = 0; i < 2; i++) {
        begin(&all[i], i + 1, LONG_MS, 1);
        hold(i);
    }
    ck_assert_uint_eq(opened, 2);
    for (size_t i = 0; i < 2; i++) {
        answer(i, 1);
        end(&all[i]);
        assert_answered(&all[i]);
    }
}
END_TEST

START_TEST(a_crowd_waits_for_a_near_answer_and_goes_together)
{
    caller all[5];
    for (size_t i = 0; i < 2; i++) {
        begin(&all[i], i + 1, LONG_MS, 1);
        hold(i);
    }
    for (size_t i = 2; i < 5; i++)
        begin(&all[i], i + 1, LONG_MS, 1);
    await_queued(3);
    answer(0, 1);
    end(&all[0]);
    ck_assert_uint_eq(in_flight(0), 0); /* the other one's answer is near */
    answer(1, 1);
    end(&all[1]);
    await_in_flight(0, 3);
    ck_assert_uint_eq(sends, 3);
    answer(0, 3);
    for (size_t i = 2; i < 5; i++) {
        end(&all[i]);
        assert_answered(&all[i]);
    }
}
END_TEST

START_TEST(each_gets_its_answer_as_it_comes)
{
    caller all[3];
    for (size_t i = 0; i < 3; i++) {
        begin(&all[i], i + 1, LONG_MS, 1);
        await_in_flight(0, i + 1);
    }
    for (size_t i = 0; i < 3; i++) {
        answer(0, 1);
        end(&all[i]);
        assert_answered(&all[i]);
    }
}
END_TEST

START_TEST(one_that_leaves_at_its_deadline_takes_nobody_along)
{
    caller patient;
    caller hasty;
    caller other;
    begin(&hasty, 1, 60, 1);
    await_in_flight(0, 1);
    begin(&patient, 2, LONG_MS, 1);
    await_in_flight(0, 2);
    end(&hasty); /* it was the receiver */
    ck_assert_int_eq(hasty.ops[0].error.code, IDEM_ERR_UNCERTAIN);
    ck_assert_uint_ge(hasty.took_ms, 59);
    begin(&other, 3, LONG_MS, 1);
    await_in_flight(0, 3);
    answer(0, 3); /* the first of them is nobody's any more */
    end(&patient);
    end(&other);
    assert_answered(&patient);
    assert_answered(&other);
    ck_assert_uint_eq(drops, 0);
}
END_TEST

/* A host that has died without a word costs a part of the deadline. */
START_TEST(a_silent_connection_is_given_up_after_a_part_of_the_deadline)
{
    caller one;
    begin(&one, 1, 3000, 1);
    end(&one);
    ck_assert_int_eq(one.ops[0].error.code, IDEM_ERR_UNCERTAIN);
    ck_assert_uint_ge(one.took_ms, 950);
    ck_assert_uint_lt(one.took_ms, 2900);
    ck_assert_uint_eq(drops, 1);
    caller again;
    begin(&again, 2, LONG_MS, 1);
    await_in_flight(0, 1);
    answer(0, 1);
    end(&again);
    assert_answered(&again);
}
END_TEST

/* None of these has the time to find out alone. */
START_TEST(a_silent_connection_is_given_up_although_all_are_hasty)
{
    for (uint64_t i = 0; i < 40 && drops == 0; i++) {
        caller one;
        begin(&one, i, 50, 1);
        end(&one);
        ck_assert_int_ne(one.ops[0].error.code, IDEM_OK);
    }
    ck_assert_uint_ge(drops, 1);
}
END_TEST

START_TEST(what_is_not_taken_at_once_is_sent_later)
{
    caller many;
    take_most = 3;
    begin(&many, 1, LONG_MS, 8);
    for (size_t left = 8; left > 0;) {
        await_in_flight(0, left < 3 ? left : 3);
        answer(0, left < 3 ? left : 3);
        left -= left < 3 ? left : 3;
    }
    end(&many);
    assert_answered(&many);
}
END_TEST

static bool is_busy(size_t index)
{
    (void)pthread_mutex_lock(&pool.lock);
    bool busy = pool.connections[index].busy;
    (void)pthread_mutex_unlock(&pool.lock);
    return busy;
}

/* Few ops are in flight there, and many wait to be. */
START_TEST(nothing_is_put_behind_what_an_instance_has_not_taken)
{
    caller many;
    caller other;
    caller third;
    take_most = 3;
    begin(&many, 1, LONG_MS, 8);
    await_in_flight(0, 3);
    while (is_busy(0))
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    begin(&other, 2, LONG_MS, 1);
    for (int i = 0; i < 10000 && in_flight(1) == 0; i++)
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    ck_assert_msg(in_flight(1) == 1, "it was put behind the first");
    answer(1, 1);
    end(&other);
    assert_answered(&other);
    for (size_t left = 8; left > 0;) {
        await_in_flight(0, left < 3 ? left : 3);
        answer(0, left < 3 ? left : 3);
        left -= left < 3 ? left : 3;
    }
    end(&many);
    assert_answered(&many);
    begin(&third, 3, LONG_MS, 2);
    await_in_flight(0, 2);
    answer(0, 2);
    end(&third);
}
END_TEST

START_TEST(callers_are_not_held_back_behind_a_waiting_scan)
{
    caller before;
    caller meanwhile;
    idem__connection *connection;
    begin(&before, 1, LONG_MS, 1);
    await_in_flight(0, 1);
    ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                     IDEM_OK);
    begin(&meanwhile, 2, LONG_MS, 1);
    await_in_flight(0, 2); /* the scan has the other connection */
    answer(0, 2);
    end(&meanwhile);
    end(&before);
    idem__pool_leave(&pool, connection);
}
END_TEST

typedef struct {
    atomic_bool entered;
    pthread_t thread;
} scanner;

static void *scan(void *argument)
{
    scanner *me = argument;
    idem__connection *connection;
    ck_assert_int_eq(idem__pool_enter(&pool, idem__clock_deadline(LONG_MS), &connection, NULL),
                     IDEM_OK);
    atomic_store(&me->entered, true);
    idem__pool_leave(&pool, connection);
    return NULL;
}

static bool is_draining(size_t index)
{
    (void)pthread_mutex_lock(&pool.lock);
    bool draining = pool.connections[index].draining;
    (void)pthread_mutex_unlock(&pool.lock);
    return draining;
}

/* All connections have something in flight: one is emptied for it, the other takes what comes. */
START_TEST(a_scan_has_its_turn_under_load)
{
    scanner one = {.thread = 0};
    caller all[20];
    atomic_init(&one.entered, false);
    for (size_t i = 0; i < 18; i++) {
        begin(&all[i], i + 1, LONG_MS, 1);
        while (in_flight(0) + in_flight(1) < i + 1)
            idem__clock_sleep_until(idem_monotonic_ms() + 1);
    }
    ck_assert_uint_eq(opened, 2);
    ck_assert_int_eq(pthread_create(&one.thread, NULL, scan, &one), 0);
    while (!is_draining(0) && !is_draining(1))
        idem__clock_sleep_until(idem_monotonic_ms() + 1);
    size_t kept = is_draining(0) ? 1 : 0;
    size_t before = in_flight(kept);
    begin(&all[18], 19, LONG_MS, 1);
    begin(&all[19], 20, LONG_MS, 1);
    await_in_flight(kept, before + 2);
    ck_assert(!atomic_load(&one.entered));
    answer(1 - kept, OPS_MAX);
    ck_assert_int_eq(pthread_join(one.thread, NULL), 0);
    answer(kept, OPS_MAX);
    for (size_t i = 0; i < 20; i++) {
        end(&all[i]);
        assert_answered(&all[i]);
    }
}
END_TEST

START_TEST(what_keeps_from_connecting_is_told_to_all)
{
    caller one;
    connect_code = IDEM_ERR_UNAVAILABLE;
    begin(&one, 1, LONG_MS, 1);
    end(&one);
    ck_assert_int_eq(one.ops[0].error.code, IDEM_ERR_UNAVAILABLE);
    ck_assert_str_eq(one.ops[0].error.message, "nothing is there");
    ck_assert_uint_lt(one.took_ms, LONG_MS / 2);
}
END_TEST

/* What asked them asks the writers then, once and for all. */
START_TEST(readers_may_be_refused)
{
    idem__pool readers;
    uint64_t number = 7;
    idem_op op = {.kind = IDEM_OP_GET, .key = {&number, sizeof number}};
    idem_op *ops[] = {&op};
    ck_assert_int_eq(
        idem__pool_init(&readers, &fake_ops, &config, IDEM_ROLE_READER, CONNECTIONS, NULL),
        IDEM_OK);
    reader_code = IDEM_ERR_UNSUPPORTED;
    ck_assert(!idem__pool_submit(&readers, ops, 1, idem__clock_deadline(LONG_MS)));
    ck_assert(op.error.code == IDEM_OK && !op.has_found);
    reader_code = IDEM_OK;
    ck_assert(!idem__pool_submit(&readers, ops, 1, idem__clock_deadline(LONG_MS)));
    ck_assert(op.error.code == IDEM_OK && !op.has_found);
    ck_assert_uint_eq(opened, 0);
    idem__pool_close(&readers);
    idem__pool_destroy(&readers);
}
END_TEST

/* Threads that come and go, with answers that come in pieces and deadlines that pass. */
static atomic_bool crowd_ends;

static void *answer_all(void *unused)
{
    (void)unused;
    for (unsigned i = 1; !atomic_load(&crowd_ends); i++) {
        for (size_t index = 0; index < CONNECTIONS; index++) {
            size_t count = in_flight(index);
            if (count > 0)
                answer(index, i % 7 == 0 ? count : 1);
        }
        if (i % 50 == 0)
            idem__clock_sleep_until(idem_monotonic_ms() + 3);
    }
    return NULL;
}

static void *ask_often(void *argument)
{
    caller *me = argument;
    size_t wrong = 0;
    for (unsigned i = 0; i < 400; i++) {
        caller one = {.number = me->number * 1000 + i,
                      .timeout_ms = i % 9 == 0 ? 1 : LONG_MS,
                      .count = 1 + i % 3};
        (void)call(&one);
        for (size_t k = 0; k < one.count; k++) {
            const idem_op *op = &one.ops[k];
            bool late = one.timeout_ms == 1 && op->error.code != IDEM_OK;
            wrong += !late && (!op->has_found || op->found.version != one.number);
        }
    }
    me->took_ms = wrong;
    return NULL;
}

START_TEST(a_crowd_of_hasty_and_patient_callers_each_gets_its_own)
{
    caller crowd[12];
    pthread_t server;
    atomic_store(&crowd_ends, false);
    ck_assert_int_eq(pthread_create(&server, NULL, answer_all, NULL), 0);
    for (size_t i = 0; i < 12; i++) {
        crowd[i] = (caller){.number = i + 1};
        ck_assert_int_eq(pthread_create(&crowd[i].thread, NULL, ask_often, &crowd[i]), 0);
    }
    for (size_t i = 0; i < 12; i++) {
        end(&crowd[i]);
        ck_assert_uint_eq(crowd[i].took_ms, 0);
    }
    atomic_store(&crowd_ends, true);
    ck_assert_int_eq(pthread_join(server, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pipeline");
    TCase *part = tcase_create("pipeline");
    tcase_set_timeout(part, 120);
    tcase_add_checked_fixture(part, set_up, tear_down);
    tcase_add_test(part, what_comes_is_sent_while_answers_are_out);
    tcase_add_test(part, a_few_callers_of_a_near_server_use_a_connection_each);
    tcase_add_test(part, a_crowd_waits_for_a_near_answer_and_goes_together);
    tcase_add_test(part, each_gets_its_answer_as_it_comes);
    tcase_add_test(part, one_that_leaves_at_its_deadline_takes_nobody_along);
    tcase_add_test(part, a_silent_connection_is_given_up_after_a_part_of_the_deadline);
    tcase_add_test(part, a_silent_connection_is_given_up_although_all_are_hasty);
    tcase_add_test(part, what_is_not_taken_at_once_is_sent_later);
    tcase_add_test(part, nothing_is_put_behind_what_an_instance_has_not_taken);
    tcase_add_test(part, callers_are_not_held_back_behind_a_waiting_scan);
    tcase_add_test(part, a_scan_has_its_turn_under_load);
    tcase_add_test(part, what_keeps_from_connecting_is_told_to_all);
    tcase_add_test(part, readers_may_be_refused);
    tcase_add_test(part, a_crowd_of_hasty_and_patient_callers_each_gets_its_own);
    suite_add_tcase(suite, part);
    return run_suite(suite);
}
