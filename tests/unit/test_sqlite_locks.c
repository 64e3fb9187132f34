/* SPDX-License-Identifier: MIT */
/*
 * Several processes on one SQLite store: waiting for locks, racing for a key, and fork().
 */
#include "lateness.h"
#include "sanitized.h"
#include "sqlite_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* --------------------------------------------------------------------------- waiting for locks */

/* A child that holds the write lock. */
typedef struct {
    pid_t pid;
    int let_go;   /* closed: it lets go */
    int released; /* from which comes when it has */
} holder;

/* In the child: holds the lock for so long, or until it is told. */
static void hold(unsigned hold_ms, const int go[2], const int said[2])
{
    sqlite3 *db = NULL;
    char end;
    CHILD_CHECK(sqlite3_open(store_path, &db) == SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 20000);
    CHILD_CHECK(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    CHILD_CHECK(write(said[1], "x", 1) == 1);
    (void)close(go[1]);
    if (hold_ms > 0)
        sleep_ms(hold_ms);
    else
        CHILD_CHECK(read(go[0], &end, 1) == 0);
    CHILD_CHECK(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    uint64_t released_ms = idem_monotonic_ms();
    CHILD_CHECK(write(said[1], &released_ms, sizeof released_ms) == (ssize_t)sizeof released_ms);
    (void)sqlite3_close(db);
    _exit(0);
}

static holder hold_lock_for(unsigned hold_ms)
{
    int go[2];
    int said[2];
    char held;
    ck_assert_int_eq(pipe(go) + pipe(said), 0);
    holder self = {.pid = fork(), .let_go = go[1], .released = said[0]};
    ck_assert_int_ge(self.pid, 0);
    if (self.pid == 0)
        hold(hold_ms, go, said);
    (void)close(go[0]);
    (void)close(said[1]);
    ck_assert_int_eq(read(self.released, &held, 1), 1);
    return self;
}

static holder hold_lock(void)
{
    return hold_lock_for(0);
}

/* @return when the lock was free */
static uint64_t release_lock(holder *self)
{
    uint64_t released_ms = 0;
    (void)close(self->let_go);
    ck_assert_int_eq(read(self->released, &released_ms, sizeof released_ms), sizeof released_ms);
    (void)close(self->released);
    join_child(self->pid);
    return released_ms;
}

/* How long this thread waits for a processor is the machine's affair. */
#define BEGIN_TIMING                                 \
    const uint64_t queued_ms = lateness_queued_ms(); \
    const uint64_t before_ms = idem_monotonic_ms()
#define ASSERT_TOOK_AT_MOST(limit_ms)                  \
    ck_assert_uint_le(idem_monotonic_ms() - before_ms, \
                      (limit_ms) + lateness_queued_ms() - queued_ms)

START_TEST(a_lock_beyond_the_deadline_is_unavailable_at_the_deadline)
{
    idem_error error = {0};
    idem_store *store = open_store("timeout=300ms");
    holder other = hold_lock();
    for (int i = 0; i < 20 && !strstr(error.message, store_path); i++) { /* it got to the lock */
        BEGIN_TIMING;
        int rc = book(store, "k", idem_str("1"), &error);
        ASSERT_TOOK_AT_MOST(600);
        ck_assert_uint_ge(idem_monotonic_ms() - before_ms, 295);
        ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    }
    ck_assert_says(error, store_path);
    ck_assert_says(error, "set a longer timeout");
    (void)release_lock(&other);
    idem_close(store);
    store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
}
END_TEST

/* If it was not, the lock ended later than it should, or this thread had no processor in time: then
   that is no answer, and the test is made again. */
START_TEST(a_lock_that_ends_just_before_the_deadline_is_waited_for)
{
    idem_error error;
    int rc = IDEM_ERR_UNAVAILABLE;
    idem_store *store = open_store("timeout=1s");
    for (int i = 0; i < 20 && rc; i++) {
        holder other = hold_lock_for(900);
        BEGIN_TIMING;
        rc = book(store, "k", idem_str("1"), &error);
        uint64_t took_ms = idem_monotonic_ms() - before_ms;
        uint64_t late_ms = lateness_queued_ms() - queued_ms;
        uint64_t released_ms = release_lock(&other);
        if (rc)
            ck_assert_uint_gt(released_ms + late_ms, before_ms + 950);
        else
            ck_assert_uint_ge(took_ms, 500);
    }
    ck_assert_idem_ok(rc, error);
    idem_close(store);
}
END_TEST

START_TEST(busy_timeout_gives_up_before_the_deadline)
{
    idem_error error;
    idem_store *store = open_store("timeout=20s&busy_timeout=100ms");
    holder other = hold_lock();
    BEGIN_TIMING;
    int rc = book(store, "k", idem_str("1"), &error);
    ASSERT_TOOK_AT_MOST(1000);
    ck_assert_uint_ge(idem_monotonic_ms() - before_ms, 95);
    ck_assert_int_eq(rc, IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "set a longer busy_timeout");
    (void)release_lock(&other);
    idem_close(store);
}
END_TEST

/* The lock is not given back before they have ended: they can't have waited for it. */
START_TEST(reading_does_not_wait_for_a_writer)
{
    idem_error error;
    idem_store *store = open_store("timeout=5s");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    holder other = hold_lock();
    ck_assert(is_booked(store, "k", idem_str("1")));
    idem_outcome outcome;
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                      error);
    ck_assert_int_eq(outcome.kind, IDEM_COMPLETED);
    idem_outcome_clear(&outcome);
    (void)release_lock(&other);
    idem_close(store);
}
END_TEST

/* How many operations arrive at once: one takes another way than several. */
static const size_t one_or_two[] = {1, 2};

/* After so many new keys a begin inserts without having looked. Likewise here: the lock can't have been
   waited for. */
START_TEST(a_replay_among_new_keys_does_not_wait_for_a_writer)
{
    char key[16];
    idem_error error;
    idem_outcome outcomes[2];
    idem_request requests[2];
    idem_store *store = open_store("timeout=5s&synchronous=normal");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        ck_assert_idem_ok(book(store, key, idem_str("1"), &error), error);
    }
    holder other = hold_lock();
    const size_t count = one_or_two[_i];
    for (size_t i = 0; i < count; i++) {
        static const char *const keys[] = {"k1", "k2"};
        idem_request_init(&requests[i]);
        requests[i].key = idem_str(keys[i]);
    }
    ck_assert_idem_ok(idem_begin_many(store, requests, count, outcomes, NULL, &error), error);
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(outcomes[i].kind, IDEM_COMPLETED);
        idem_outcome_clear(&outcomes[i]);
    }
    (void)release_lock(&other);
    idem_close(store);
}
END_TEST

START_TEST(ops_on_one_key_keep_their_order_while_they_wait)
{
    instance on;
    instance_open(&on, store_path, false);
    idem_record first = make_record("k", 1);
    idem_record second = make_record("k", 2);
    idem_op there = op_insert(&first, 60000);
    submit_one(&on, &there);
    holder other = hold_lock_for(100);
    idem_op ops[] = {op_remove("k", true, 0), op_insert(&second, 60000), op_insert(&first, 60000)};
    submit(&on, ops, 3);
    ck_assert_int_eq(ops[0].error.code + ops[1].error.code + ops[2].error.code, IDEM_OK);
    ck_assert(ops[0].applied && ops[1].applied && !ops[2].applied);
    ck_assert(ops[2].has_found && ops[2].found.version == 2);
    idem_record_clear(&ops[2].found);
    (void)release_lock(&other);
    instance_close(&on);
}
END_TEST

/* Else a lease would have begun before its claim was there. */
START_TEST(a_row_is_dated_when_the_lock_is_had)
{
    instance on;
    idem_record records[] = {make_record("a", 1), make_record("b", 2), make_record("c", 3)};
    instance_open(&on, store_path, false);
    idem_op first = op_insert(&records[0], 60000); /* sweeps, so that the next one is alone */
    submit_one(&on, &first);
    struct timespec boot;
    ck_assert_int_eq(clock_gettime(CLOCK_BOOTTIME, &boot), 0);
    int64_t before_ms = (int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000;
    holder other = hold_lock_for(200);
    idem_op ops[] = {op_insert(&records[1], 60000), op_insert(&records[2], 60000)};
    submit(&on, ops, one_or_two[_i]);
    ck_assert(ops[0].applied);
    (void)release_lock(&other);
    ck_assert_int_ge(file_number("SELECT at_boot_ms FROM idem_record WHERE key = x'62'"),
                     before_ms + 199);
    instance_close(&on);
}
END_TEST

START_TEST(a_batch_that_only_reads_takes_no_lock)
{
    instance on;
    instance_open(&on, store_path, false);
    holder other = hold_lock();
    idem_op ops[] = {op_get("a"), op_get("b")};
    submit(&on, ops, 2);
    ck_assert_int_eq(ops[0].error.code + ops[1].error.code, IDEM_OK);
    (void)release_lock(&other);
    instance_close(&on);
}
END_TEST

START_TEST(opening_a_locked_new_file_waits_for_it)
{
    idem_error error;
    idem_store *store = NULL;
    holder other = hold_lock_for(300);
    ck_assert_idem_ok(idem_open(store_url(""), &store, &error), error);
    (void)release_lock(&other);
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
}
END_TEST

/* ---------------------------------------------------------------------------------------- races */

#define ROUNDS 1000

/* What the racing processes share. */
typedef struct {
    atomic_int arrived[ROUNDS];
    atomic_int won[ROUNDS];
} race;

static void run_race(idem_store *store, race *shared)
{
    char key[16];
    idem_error error;
    idem_outcome outcome;
    for (int i = 0; i < ROUNDS; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        atomic_fetch_add(&shared->arrived[i], 1);
        while (atomic_load(&shared->arrived[i]) < 2)
            (void)sched_yield();
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &outcome, &error);
        if (rc) {
            (void)fprintf(stderr, "round %d: %s\n", i, error.message);
            return;
        }
        if (outcome.kind == IDEM_NEW)
            atomic_fetch_add(&shared->won[i], 1);
        idem_outcome_clear(&outcome);
    }
}

START_TEST(of_two_processes_one_wins_each_key)
{
    race *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    idem_store *store = open_store("synchronous=normal");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    run_race(store, shared);
    if (child == 0) {
        idem_close(store);
        _exit(0);
    }
    join_child(child);
    for (int i = 0; i < ROUNDS; i++)
        ck_assert_msg(atomic_load(&shared->won[i]) == 1, "round %d: %d times New", i,
                      atomic_load(&shared->won[i]));
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), ROUNDS);
    idem_close(store);
    (void)munmap(shared, sizeof *shared);
}
END_TEST

/* ----------------------------------------------------------------------------------------- fork */

static int book_many(idem_store *store, const char *name, int from, int to)
{
    char key[32];
    idem_error error;
    for (int i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "%s-%d", name, i);
        int rc = book(store, key, idem_str("1"), &error);
        if (rc) {
            (void)fprintf(stderr, "%s: %s\n", key, error.message);
            return rc;
        }
    }
    return IDEM_OK;
}

START_TEST(parent_and_child_work_on_after_a_fork)
{
    idem_store *store = open_store("");
    ck_assert_int_eq(book_many(store, "before", 0, 5), IDEM_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        CHILD_CHECK(is_booked(store, "before-4", idem_str("1")));
        CHILD_CHECK(book_many(store, "child", 0, 50) == IDEM_OK);
        idem_close(store);
        _exit(0);
    }
    ck_assert_int_eq(book_many(store, "parent", 0, 50), IDEM_OK);
    join_child(child);
    ck_assert(is_booked(store, "child-49", idem_str("1")));
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record WHERE status = 2"), 105);
}
END_TEST

/* The parent's close must neither take the child's locks away nor throw its log away. */
START_TEST(the_parents_close_loses_nothing_of_the_childs)
{
    int closed[2];
    char go;
    idem_store *store = open_store("");
    ck_assert_int_eq(book_many(store, "before", 0, 5), IDEM_OK);
    ck_assert_int_eq(pipe(closed), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        (void)close(closed[1]);
        CHILD_CHECK(book_many(store, "child", 0, 20) == IDEM_OK);
        CHILD_CHECK(read(closed[0], &go, 1) == 0);
        CHILD_CHECK(book_many(store, "child", 20, 40) == IDEM_OK);
        _exit(0); /* without closing: as if it was killed */
    }
    (void)close(closed[0]);
    ck_assert_int_eq(book_many(store, "parent", 0, 20), IDEM_OK);
    idem_close(store);
    (void)close(closed[1]);
    join_child(child);
    store = open_store("");
    ck_assert(is_booked(store, "child-39", idem_str("1")));
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record WHERE status = 2"), 65);
    ck_assert_int_eq(file_number("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}
END_TEST

START_TEST(no_descriptor_of_the_file_crosses_a_fork)
{
    char link[64];
    char target[256];
    idem_store *store = open_store("");
    ck_assert_int_eq(book_many(store, "before", 0, 5), IDEM_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        for (int fd = 0; fd < 256; fd++) {
            (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
            ssize_t len = readlink(link, target, sizeof target - 1);
            target[len > 0 ? len : 0] = '\0';
            CHILD_CHECK(!strstr(target, folder));
        }
        _exit(0);
    }
    join_child(child);
    idem_close(store);
}
END_TEST

START_TEST(a_database_in_memory_is_copied_by_a_fork)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_idem_ok(idem_open("sqlite::memory:", &store, &error), error);
    ck_assert_int_eq(book_many(store, "before", 0, 5), IDEM_OK);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        CHILD_CHECK(is_booked(store, "before-4", idem_str("1")));
        CHILD_CHECK(book_many(store, "both", 0, 5) == IDEM_OK);
        idem_close(store);
        _exit(0);
    }
    join_child(child);
    ck_assert_int_eq(book_many(store, "both", 0, 5), IDEM_OK);
    idem_close(store);
}
END_TEST

static void *book_until_told(void *user)
{
    static atomic_int number;
    static atomic_bool failed;
    void **arguments = user;
    idem_store *store = arguments[0];
    atomic_bool *stop = arguments[1];
    char name[16];
    (void)snprintf(name, sizeof name, "t%d", atomic_fetch_add(&number, 1));
    for (int i = 0; !atomic_load(stop); i++) {
        if (book_many(store, name, i, i + 1))
            atomic_store(&failed, true);
    }
    return atomic_load(&failed) ? user : NULL;
}

START_TEST(a_fork_while_threads_are_at_work)
{
    atomic_bool stop = false;
    idem_store *store = open_store("synchronous=normal");
    void *arguments[] = {store, &stop};
    pthread_t threads[3];
    const int at_work = ADDRESS_SANITIZED || THREAD_SANITIZED ? 0 : 3;
    for (int i = 0; i < at_work; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, book_until_told, arguments), 0);
    for (int round = 0; round < 20; round++) {
        char name[16];
        (void)snprintf(name, sizeof name, "c%d", round);
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0)
            _exit(book_many(store, name, 0, 3));
        join_child(child);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < at_work; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    idem_close(store);
    ck_assert_int_eq(
        file_number("SELECT count(*) FROM idem_record WHERE substr(key, 1, 1) = x'63'"), 60);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_locks");
    ADD_IN_FOLDER(suite, a_lock_beyond_the_deadline_is_unavailable_at_the_deadline);
    ADD_IN_FOLDER(suite, a_lock_that_ends_just_before_the_deadline_is_waited_for);
    ADD_IN_FOLDER(suite, busy_timeout_gives_up_before_the_deadline);
    ADD_IN_FOLDER(suite, reading_does_not_wait_for_a_writer);
    ADD_ROWS_IN_FOLDER(suite, a_replay_among_new_keys_does_not_wait_for_a_writer, one_or_two);
    ADD_IN_FOLDER(suite, ops_on_one_key_keep_their_order_while_they_wait);
    ADD_ROWS_IN_FOLDER(suite, a_row_is_dated_when_the_lock_is_had, one_or_two);
    ADD_IN_FOLDER(suite, a_batch_that_only_reads_takes_no_lock);
    ADD_IN_FOLDER(suite, opening_a_locked_new_file_waits_for_it);
    ADD_IN_FOLDER(suite, of_two_processes_one_wins_each_key);
    ADD_IN_FOLDER(suite, parent_and_child_work_on_after_a_fork);
    ADD_IN_FOLDER(suite, the_parents_close_loses_nothing_of_the_childs);
    ADD_IN_FOLDER(suite, no_descriptor_of_the_file_crosses_a_fork);
    ADD_IN_FOLDER(suite, a_database_in_memory_is_copied_by_a_fork);
    ADD_IN_FOLDER(suite, a_fork_while_threads_are_at_work);
    return run_suite(suite);
}
