/* SPDX-License-Identifier: MIT */
/*
 * Sixty-four threads on one store, through all of its life. They take turns in everything that a
 * store can do, on keys of their own and on keys that all of them share; further handles on the
 * same place are opened, used and closed meanwhile, and threads come while others go. Claims that
 * are kept alive change hands: the thread that begins a key is not the one that ends it.
 *
 * What is right is counted: every shared key is New for exactly one thread, everybody else is given
 * that thread's response, a key that serves as a lock is held by one thread at a time, and what was
 * completed at any time is there in the end.
 */
#include "place.h"

#include <runner.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define THREADS     64
#define SHARED_KEYS 12
#define PATIENCE_MS UINT64_C(50000)

typedef struct {
    pthread_t thread;
    unsigned number;
    unsigned turns;
    uint32_t dice;
} worker;

static const place *at;
static idem_store *store;
static unsigned rounds;     /* of all threads, one after the other */
static unsigned generation; /* of the keys: one for each round */
static atomic_uint times_new[SHARED_KEYS];
static atomic_uint holders;
static atomic_uint events;
static atomic_ullong calls;
static uint64_t seconds;

static pthread_mutex_t problem_lock = PTHREAD_MUTEX_INITIALIZER;
static char problem[400];
static atomic_bool gone_wrong;

/* A claim that is on its way from one thread to another. */
static _Atomic(idem_claim *) handed;

static void note(const char *what, int rc, const idem_error *error)
{
    (void)pthread_mutex_lock(&problem_lock);
    if (!atomic_exchange(&gone_wrong, true))
        (void)snprintf(problem, sizeof problem, "%s, %s: %d %s", at->name, what, rc,
                       rc ? error->message : "");
    (void)pthread_mutex_unlock(&problem_lock);
}

/* Counts a call, and takes it down if it failed. */
static bool went(const char *what, int rc, const idem_error *error)
{
    (void)atomic_fetch_add(&calls, 1);
    if (rc)
        note(what, rc, error);
    return rc == IDEM_OK;
}

static bool right(const char *what, bool so)
{
    if (!so)
        note(what, 0, NULL);
    return so;
}

static unsigned roll(worker *self, unsigned sides)
{
    self->dice = self->dice * 1664525u + 1013904223u;
    return (self->dice >> 16) % sides;
}

static void on_event(void *user, const idem_event *event)
{
    (void)event;
    (void)atomic_fetch_add((atomic_uint *)user, 1);
}

/* ----------------------------------------------------------------------------------- one's own */

static idem_bytes own_key(const worker *self, char buf[64])
{
    (void)snprintf(buf, 64, "own-%u-%u-%u", generation, self->number, self->turns);
    return idem_str(buf);
}

static bool begin_own(worker *self, idem_store *by, uint64_t flags, idem_outcome *out)
{
    char buf[64];
    idem_error error;
    const idem_request *request = IDEM_REQUEST(.key = own_key(self, buf), .lease_ms = LONG_MS,
                                               .timeout_ms = PATIENCE_MS, .flags = flags);
    if (!went("begin", idem_begin(by, request, out, &error), &error))
        return false;
    return right("a key of one's own is new", out->kind == IDEM_NEW && out->attempt == 1);
}

/* The whole life of a key, told by get in between. */
static void live_through(worker *self, idem_store *by, uint64_t flags)
{
    char buf[64];
    idem_error error;
    idem_outcome out = {0};
    idem_record record = {0};
    if (!begin_own(self, by, flags, &out))
        return;
    bool went_well =
        went("renew", idem_renew(by, out.claim, 0, &error), &error) &&
        went("checkpoint", idem_checkpoint(by, out.claim, idem_str("[7]"), &error), &error) &&
        went("get", idem_get(by, own_key(self, buf), &record, &error), &error) &&
        right("the checkpoint is there", record.checkpoint.len == 3) &&
        went("complete", idem_complete(by, out.claim, idem_str("true"), &error), &error);
    (void)went_well;
    idem_record_clear(&record);
    idem_outcome_clear(&out);
}

static void complete_own(worker *self, uint64_t flags)
{
    char buf[64];
    char response[80];
    idem_error error;
    idem_outcome out = {0};
    (void)snprintf(response, sizeof response, "\"%u of %u\"", self->turns, self->number);
    if (!begin_own(self, store, flags, &out))
        return;
    if (went("renew", idem_renew(store, out.claim, 0, &error), &error) &&
        went("checkpoint", idem_checkpoint(store, out.claim, idem_str("[7]"), &error), &error))
        (void)went("complete", idem_complete(store, out.claim, idem_str(response), &error), &error);
    idem_outcome_clear(&out);
    const idem_request *again = IDEM_REQUEST(.key = own_key(self, buf), .timeout_ms = PATIENCE_MS);
    if (went("begin again", idem_begin(store, again, &out, &error), &error))
        (void)right("the response is replayed",
                    out.kind == IDEM_COMPLETED && out.response.len == strlen(response) &&
                        memcmp(out.response.data, response, out.response.len) == 0);
    idem_outcome_clear(&out);
}

static void release_own(worker *self)
{
    char buf[64];
    idem_error error;
    idem_record record;
    idem_outcome out = {0};
    if (!begin_own(self, store, IDEM_KEEPALIVE, &out))
        return;
    (void)went("release", idem_release(store, out.claim, &error), &error);
    idem_outcome_clear(&out);
    (void)right("what was released is gone",
                idem_get(store, own_key(self, buf), &record, &error) == IDEM_ERR_NOT_FOUND);
    if (begin_own(self, store, 0, &out))
        (void)went("forget", idem_forget(store, own_key(self, buf), &error), &error);
    idem_outcome_clear(&out);
}

/* -------------------------------------------------------------------------------------- shared */

static void race_for_shared(worker *self)
{
    char key[64];
    char response[64];
    idem_error error;
    idem_outcome out = {0};
    unsigned which = roll(self, SHARED_KEYS);
    (void)snprintf(key, sizeof key, "shared-%u-%u", generation, which);
    (void)snprintf(response, sizeof response, "{\"key\":%u}", which);
    const idem_request *request = IDEM_REQUEST(.key = idem_str(key), .lease_ms = LONG_MS,
                                               .wait_ms = PATIENCE_MS, .timeout_ms = PATIENCE_MS);
    if (!went("begin", idem_begin(store, request, &out, &error), &error))
        return;
    if (out.kind == IDEM_NEW) {
        (void)atomic_fetch_add(&times_new[which], 1);
        (void)went("complete", idem_complete(store, out.claim, idem_str(response), &error), &error);
    } else {
        (void)right("who waited is given the response",
                    out.kind == IDEM_COMPLETED && out.response.len == strlen(response) &&
                        memcmp(out.response.data, response, out.response.len) == 0);
    }
    idem_outcome_clear(&out);
}

/* One key is a lock that is kept alive by a lease much shorter than the queue for it. */
static void pass_through_lock(void)
{
    idem_error error;
    idem_outcome out = {0};
    const idem_request *request =
        IDEM_REQUEST(.key = idem_str("lock"), .lease_ms = 2000, .wait_ms = 5,
                     .timeout_ms = PATIENCE_MS, .flags = IDEM_KEEPALIVE);
    if (!went("begin", idem_begin(store, request, &out, &error), &error))
        return;
    if (out.kind == IDEM_NEW) {
        (void)right("one thread has the lock", atomic_fetch_add(&holders, 1) == 0);
        (void)atomic_fetch_sub(&holders, 1);
        (void)went("release", idem_release(store, out.claim, &error), &error);
    }
    idem_outcome_clear(&out);
}

/* Leaves a claim for whoever comes next, and ends the one that was left. */
static void hand_over(worker *self)
{
    idem_error error;
    idem_outcome out = {0};
    if (!begin_own(self, store, IDEM_KEEPALIVE, &out))
        return;
    idem_claim *mine = out.claim;
    out.claim = NULL;
    idem_outcome_clear(&out);
    idem_claim *theirs = atomic_exchange(&handed, mine);
    if (theirs && roll(self, 2))
        (void)went("complete another's", idem_complete(store, theirs, idem_str("1"), &error),
                   &error);
    (void)right("it was kept alive", !idem_claim_lost(theirs));
    idem_claim_free(theirs);
}

static int count_record(const idem_record *record, void *user)
{
    *(unsigned *)user += record->key.len > 0;
    return 0;
}

static void look_around(worker *self)
{
    char prefix[64];
    idem_error error;
    unsigned seen = 0;
    (void)snprintf(prefix, sizeof prefix, "own-%u-%u-", generation, self->number);
    idem_filter filter = {.size = sizeof filter, .prefix = idem_str(prefix)};
    /* It has the store's deadline, which 64 threads on a busy machine can make it miss. */
    int rc = IDEM_ERR_UNAVAILABLE;
    for (int i = 0; i < 20 && rc == IDEM_ERR_UNAVAILABLE; i++)
        rc = idem_scan(store, &filter, count_record, &seen, &error);
    (void)went("scan", rc, &error);
    if (idem_traits(store) & IDEM_TRAIT_PURGE)
        (void)went("purge", idem_purge(store, 0, NULL, &error), &error);
}

/* One more handle on the same place: what is done through it is seen by all. */
static void use_another_handle(worker *self)
{
    char buf[64];
    idem_error error;
    idem_record record = {0};
    idem_store *another = NULL;
    if (!went("open", idem_open(at->base, &another, &error), &error))
        return;
    live_through(self, another, IDEM_KEEPALIVE);
    idem_close(another);
    if (at->alone)
        return;
    (void)went("get", idem_get(store, own_key(self, buf), &record, &error), &error);
    idem_record_clear(&record);
}

/* ----------------------------------------------------------------------------------- all of it */

static void take_turn(worker *self)
{
    switch (roll(self, 16)) {
    case 0:
        use_another_handle(self);
        break;
    case 1:
        look_around(self);
        break;
    case 2:
    case 3:
        release_own(self);
        break;
    case 4:
    case 5:
        hand_over(self);
        break;
    case 6:
    case 7:
        pass_through_lock();
        break;
    case 8:
    case 9:
        complete_own(self, IDEM_KEEPALIVE);
        break;
    case 10:
    case 11:
        complete_own(self, 0);
        break;
    default:
        race_for_shared(self);
    }
}

#define TURNS 12u

static pthread_barrier_t all_there; /* the first of them begin together */

static void *work(void *argument)
{
    worker *self = argument;
    if (self->number < THREADS)
        (void)pthread_barrier_wait(&all_there);
    for (; self->turns < TURNS && !atomic_load(&gone_wrong); self->turns++)
        take_turn(self);
    return NULL;
}

static void start(worker *self, unsigned number)
{
    *self = (worker){.number = number, .dice = number * 2654435761u + generation};
    if (pthread_create(&self->thread, NULL, work, self))
        abort();
}

/* For each that goes another one comes; then these go too. */
static void run_threads(void)
{
    static worker workers[2 * THREADS];
    (void)pthread_barrier_init(&all_there, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        start(&workers[i], i);
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        start(&workers[THREADS + i], THREADS + i);
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(workers[THREADS + i].thread, NULL);
    (void)pthread_barrier_destroy(&all_there);
}

/* Every shared key that was met was new once; without a place to look from outside, the store that
   is still open is asked. */
static void judge_shared(void)
{
    for (unsigned i = 0; i < SHARED_KEYS; i++) {
        char key[64];
        idem_error error;
        idem_record record = {0};
        unsigned count = atomic_exchange(&times_new[i], 0);
        (void)snprintf(key, sizeof key, "shared-%u-%u", generation, i);
        ck_assert_msg(count == 1, "%s: %s was new %u times", at->name, key, count);
        ck_assert_int_eq(idem_get(store, idem_str(key), &record, &error), IDEM_OK);
        ck_assert_int_eq(record.status, IDEM_STATUS_COMPLETED);
        ck_assert_uint_eq(record.attempt, 1);
        idem_record_clear(&record);
    }
}

static void one_life(void)
{
    idem_error error;
    const idem_options options = {
        .size = sizeof options, .on_event = on_event, .event_user = &events};
    ck_assert_msg(idem_open_with(at->base, &options, &store, &error) == IDEM_OK, "%s: %s", at->name,
                  error.message);
    run_threads();
    ck_assert_msg(problem[0] == '\0', "%s", problem);
    judge_shared();
    /* The store is closed while a claim is kept alive, which is freed behind it. */
    idem_close(store);
    idem_claim_free(atomic_exchange(&handed, NULL));
    generation++;
    rounds++;
}

static uint64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

static void live_on(const char *name)
{
    size_t count;
    uint64_t began = now_s();
    at = places(&count);
    while (count > 0 && strcmp(at->name, name) != 0) {
        at++;
        count--;
    }
    if (count == 0) /* not in this build */
        return;
    rounds = 0;
    atomic_store(&calls, 0);
    do {
        one_life();
    } while (now_s() - began < seconds);
    (void)printf("allocation_threads: %s: %u lives of a store under %u threads, %llu calls, %u "
                 "events\n",
                 name, rounds, (unsigned)THREADS, atomic_load(&calls), atomic_load(&events));
}

static const char *const names[] = {"memory", "memory named", "sqlite",    "sqlite in memory",
                                    "redis",  "redis unix",   "postgresql"};

START_TEST(sixty_four_threads_share_a_store_through_all_of_its_life)
{
    live_on(names[_i]);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite = suite_create("allocation_threads");
    if (argc > 2 && strcmp(argv[1], "--seconds") == 0)
        seconds = strtoull(argv[2], NULL, 10) / (sizeof names / sizeof names[0]);
    places_start();
    TCase *tcase = tcase_create("threads");
    tcase_set_timeout(tcase, (double)(seconds + 100));
    tcase_add_loop_test(tcase, sixty_four_threads_share_a_store_through_all_of_its_life, 0,
                        (int)(sizeof names / sizeof names[0]));
    suite_add_tcase(suite, tcase);
    int status = run_suite(suite);
    places_end();
    return status;
}
