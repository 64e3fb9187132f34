/* SPDX-License-Identifier: MIT */
/*
 * What is done to a server while it is at work: its scripts forgotten, its clients thrown out, its
 * records flushed, its memory exhausted, a password set.
 */
#include "lateness.h"
#include "load.h"
#include "options.h"

#include <idem/backend.h>

#include <runner.h>

#include <pthread.h>
#include <stdatomic.h>

#define FLUSHED_THREADS 8

static server redis;
static test_options options;

static void wait_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static load_plan plan_of(const char *url, const char *prefix)
{
    return (load_plan){
        .url = url, .prefix = prefix, .threads = 12, .timeout_ms = 20000, .seed = options.seed};
}

static uint64_t end_of_test(void)
{
    return idem_monotonic_ms() + options.seconds * UINT64_C(1000);
}

static void assert_sound(load *all)
{
    ck_assert_msg(!load_failure(all), "%s", load_failure(all));
}

/* ------------------------------------------------------------------------- scripts and clients */

/* Neither is noticed: no call fails, and all that was acknowledged is there. */
START_TEST(forgotten_scripts_and_killed_clients_are_not_noticed)
{
    static const char *const commands[] = {"SCRIPT FLUSH", "CLIENT KILL TYPE normal"};
    unsigned long times = 0;
    server_do(&redis, "FLUSHALL");
    lateness_watch();
    const load_plan plan = plan_of(redis.url, "killed");
    load *all = load_start(&plan);
    for (uint64_t until_ms = end_of_test();
         !load_failure(all) && goes_on(until_ms, load_count(all).completes > 100); times++) {
        server_do(&redis, commands[times % 2]);
        wait_ms(7);
    }
    load_stop(all);
    assert_sound(all);
    ck_assert_msg(load_is_held(all, &redis), "%s", load_failure(all));
    load_counts counts = load_count(all);
    printf("wire_upheaval: %lu times flushed or killed, %lu claims, %lu completes, %lu replays, "
           "%lu errors\n",
           times, counts.claims, counts.completes, counts.replays, counts.failures);
    ck_assert_uint_eq(counts.failures, 0);
    ck_assert_uint_gt(counts.completes, 100);
    load_free(all);
}
END_TEST

/* -------------------------------------------------------------------------------- records gone */

static atomic_uint flush_begun;
static atomic_uint flush_done;
static atomic_bool stopping;
static atomic_ulong kept;
static atomic_ulong gone;
static idem_store *flushed_store;

typedef struct {
    unsigned number;
    unsigned serial;
    uint64_t random;
    char failure[200];
} owner;

/* What an owner is told of a claim, given the flushes since the begin: that it is there if there
   was none, that it is gone if there was one from beginning to end. Never that it is lost: the key
   is nobody else's. */
static void judge(owner *self, const char *call, int rc, unsigned done_before,
                  unsigned begun_before, unsigned done_since, unsigned begun_since)
{
    bool certainly_kept = begun_since == done_before;
    bool certainly_gone = done_since > begun_before;
    bool right = rc == IDEM_OK || rc == IDEM_ERR_NOT_FOUND;
    right = right && !(certainly_kept && rc != IDEM_OK);
    right = right && !(certainly_gone && rc == IDEM_OK);
    (void)atomic_fetch_add(rc == IDEM_OK ? &kept : &gone, 1);
    if (!right && !self->failure[0])
        (void)snprintf(self->failure, sizeof self->failure, "%s gave %d; %u to %u flushes", call,
                       rc, begun_before, done_since);
}

static void own_once(owner *self)
{
    static int (*const ends[])(idem_store *, idem_claim *, idem_bytes,
                               idem_error *) = {idem_complete, idem_checkpoint};
    char key[48];
    idem_outcome out = {0};
    (void)snprintf(key, sizeof key, "own-%u-%u", self->number, self->serial++);
    unsigned done_before = atomic_load(&flush_done);
    int rc = idem_begin(flushed_store, IDEM_REQUEST(.key = idem_str(key)), &out, NULL);
    unsigned begun_before = atomic_load(&flush_begun);
    if ((rc != IDEM_OK || out.kind != IDEM_NEW || out.attempt != 1) && !self->failure[0])
        (void)snprintf(self->failure, sizeof self->failure, "begin gave %d, %d", rc, out.kind);
    if (!self->failure[0]) {
        self->random = self->random * 6364136223846793005u + 1442695040888963407u;
        if (self->random >> 63)
            wait_ms((long)(self->random >> 33) % 8);
        unsigned done_since = atomic_load(&flush_done);
        bool renews = self->serial % 3 == 2;
        rc = renews ? idem_renew(flushed_store, out.claim, 0, NULL)
                    : ends[self->serial % 3](flushed_store, out.claim, idem_str("[7]"), NULL);
        judge(self, renews ? "renew" : "complete or checkpoint", rc, done_before, begun_before,
              done_since, atomic_load(&flush_begun));
        if (rc != IDEM_OK && idem_release(flushed_store, out.claim, NULL) != IDEM_OK)
            (void)snprintf(self->failure, sizeof self->failure, "a release of nothing failed");
    }
    idem_outcome_clear(&out);
}

static void *own(void *user)
{
    owner *self = user;
    while (!atomic_load(&stopping) && !self->failure[0])
        own_once(self);
    return NULL;
}

START_TEST(owners_of_flushed_records_are_told_that_they_are_gone)
{
    pthread_t threads[FLUSHED_THREADS];
    static owner owners[FLUSHED_THREADS];
    idem_outcome out;
    idem_claim *claim;
    ck_assert_int_eq(idem_open(redis.url, &flushed_store, NULL), IDEM_OK);
    ck_assert_int_eq(idem_begin(flushed_store, IDEM_REQUEST(.key = idem_str("first")), &out, NULL),
                     IDEM_OK);
    claim = out.claim;
    for (unsigned i = 0; i < FLUSHED_THREADS; i++) {
        owners[i] = (owner){.number = i, .random = options.seed + i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, own, &owners[i]), 0);
    }
    for (uint64_t until_ms = end_of_test();
         goes_on(until_ms, atomic_load(&kept) > 50 && atomic_load(&gone) > 5);) {
        wait_ms(5);
        (void)atomic_fetch_add(&flush_begun, 1);
        server_do(&redis, "FLUSHALL");
        (void)atomic_fetch_add(&flush_done, 1);
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < FLUSHED_THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(!owners[i].failure[0], "%s", owners[i].failure);
    }
    ck_assert_int_eq(idem_complete(flushed_store, claim, idem_str("1"), NULL), IDEM_ERR_NOT_FOUND);
    idem_outcome_clear(&out);
    ck_assert_int_eq(idem_begin(flushed_store, IDEM_REQUEST(.key = idem_str("first")), &out, NULL),
                     IDEM_OK);
    ck_assert_int_eq(out.kind, IDEM_NEW);
    ck_assert_uint_eq(out.attempt, 1);
    idem_outcome_clear(&out);
    printf("wire_upheaval: %u times flushed, %lu claims kept, %lu gone\n", atomic_load(&flush_done),
           atomic_load(&kept), atomic_load(&gone));
    ck_assert_uint_gt(atomic_load(&kept), 50);
    ck_assert_uint_gt(atomic_load(&gone), 5);
    idem_close(flushed_store);
}
END_TEST

/* ------------------------------------------------------------------------------------- full */

/* Full, then with room again, in turns: FULL is what is said, and nothing that was acknowledged is
   dropped or doubled. */
START_TEST(a_server_that_is_full_for_a_while_keeps_what_it_acknowledged)
{
    server_do(&redis, "FLUSHALL");
    lateness_watch();
    load_plan plan = plan_of(redis.url, "full");
    plan.may_be_full = true;
    load *all = load_start(&plan);
    unsigned times = 0;
    for (uint64_t until_ms = end_of_test();
         !load_failure(all) && goes_on(until_ms, load_count(all).full > 10); times++) {
        wait_ms(60);
        server_do(&redis, "CONFIG SET maxmemory 100000");
        wait_ms(60);
        server_do(&redis, "CONFIG SET maxmemory 0");
    }
    unsigned long before = load_count(all).completes;
    for (int i = 0; i < 1000 && load_count(all).completes < before + 20; i++)
        wait_ms(10);
    load_stop(all);
    assert_sound(all);
    ck_assert_msg(load_is_held(all, &redis), "%s", load_failure(all));
    load_counts counts = load_count(all);
    printf("wire_upheaval: %u times full, %lu claims, %lu completes, %lu replays, %lu times FULL\n",
           times, counts.claims, counts.completes, counts.replays, counts.full);
    ck_assert_uint_gt(counts.completes, before);
    ck_assert_uint_gt(counts.full, 10);
    ck_assert_uint_eq(counts.full, counts.failures);
    load_free(all);
}
END_TEST

/* --------------------------------------------------------------------------------- password */

static void do_over(redisContext *context, const char *format, const char *word)
{
    redisReply *reply = redisCommand(context, format, word);
    ck_assert_msg(reply && reply->type != REDIS_REPLY_ERROR, "%s: %s", format,
                  reply ? reply->str : context->errstr);
    freeReplyObject(reply);
}

static void assert_wants_password(idem_store *store)
{
    idem_outcome out;
    idem_error error;
    int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &out, &error);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_msg(strstr(error.message, "password") != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, "tiger") == NULL, "%s", error.message);
}

/* Those who have the password in their URL go on; those who have none, or a wrong one, are told so
   without it being named, and go on when it is taken away. */
START_TEST(a_password_that_is_set_in_mid_work_stops_those_alone_who_lack_it)
{
    char right_url[120];
    char wrong_url[120];
    idem_store *without = NULL;
    idem_store *wrong = NULL;
    idem_outcome out;
    redisContext *administrator = redisConnect("127.0.0.1", redis.port);
    lateness_watch();
    server_do(&redis, "FLUSHALL");
    (void)snprintf(right_url, sizeof right_url, "redis://default:tiger-1@127.0.0.1:%d", redis.port);
    (void)snprintf(wrong_url, sizeof wrong_url, "redis://default:tiger-2@127.0.0.1:%d", redis.port);
    ck_assert_int_eq(idem_open(redis.url, &without, NULL), IDEM_OK);
    ck_assert_int_eq(idem_open(wrong_url, &wrong, NULL), IDEM_OK);
    const load_plan plan = plan_of(right_url, "secret");
    load *all = load_start(&plan);
    for (uint64_t until_ms = end_of_test(); idem_monotonic_ms() < until_ms;) {
        wait_ms(20);
        do_over(administrator, "CONFIG SET requirepass %s", "tiger-1");
        do_over(administrator, "CLIENT KILL TYPE normal SKIPME %s", "yes");
        assert_wants_password(without);
        assert_wants_password(wrong);
        wait_ms(20);
        do_over(administrator, "CONFIG SET requirepass %s", "");
        ck_assert_int_eq(idem_begin(without, IDEM_REQUEST(.key = idem_str("k")), &out, NULL),
                         IDEM_OK);
        idem_outcome_clear(&out);
    }
    load_stop(all);
    assert_sound(all);
    ck_assert_msg(load_is_held(all, &redis), "%s", load_failure(all));
    load_counts counts = load_count(all);
    printf("wire_upheaval: password set and taken away, %lu claims, %lu completes, %lu errors\n",
           counts.claims, counts.completes, counts.failures);
    ck_assert_uint_eq(counts.failures, 0);
    load_free(all);
    idem_close(without);
    idem_close(wrong);
    redisFree(administrator);
}
END_TEST

#define ADD_TIMED(suite, test)                               \
    do {                                                     \
        TCase *tcase_ = tcase_create(#test);                 \
        tcase_set_timeout(tcase_, options.seconds * 2 + 60); \
        tcase_add_test(tcase_, test);                        \
        suite_add_tcase(suite, tcase_);                      \
    } while (0)

int main(int count, char **words)
{
    Suite *suite = suite_create("wire upheaval");
    options = read_options(count, words, (test_options){.seconds = 2});
    server_require();
    server_start(&redis, NULL);
    ADD_TIMED(suite, forgotten_scripts_and_killed_clients_are_not_noticed);
    ADD_TIMED(suite, owners_of_flushed_records_are_told_that_they_are_gone);
    ADD_TIMED(suite, a_server_that_is_full_for_a_while_keeps_what_it_acknowledged);
    ADD_TIMED(suite, a_password_that_is_set_in_mid_work_stops_those_alone_who_lack_it);
    return run_suite(suite);
}
