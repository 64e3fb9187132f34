/* SPDX-License-Identifier: MIT */
/*
 * The file behind a SQLite store: what is refused and left alone, what a new one looks like, and
 * what happens when it can't be written, is full, is damaged, or is taken away.
 */
#define _GNU_SOURCE /* unshare() */

#include "sqlite_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void assert_refused(const char *url, int code, const char *says)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_msg(idem_open(url, &store, &error) == code, "%s: %d %s", url, error.code,
                  error.message);
    ck_assert_ptr_null(store);
    ck_assert_says(error, says);
}

/* ---------------------------------------------------------------------------------- the URL */

static const char *const bad_urls[] = {
    "sqlite://host/a.db", "sqlite://user:secret@/a.db", "sqlite:",
    "sqlite://",          "sqlite:///var/lib/folder/",
};

START_TEST(a_url_that_names_no_file_is_refused)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(idem_open(bad_urls[_i], &store, &error), IDEM_ERR_ARGUMENT);
    ck_assert_msg(strstr(error.message, "secret") == NULL, "%s", error.message);
}
END_TEST

START_TEST(the_message_says_how_to_write_it)
{
    assert_refused("sqlite://host/a.db", IDEM_ERR_ARGUMENT, "sqlite:///absolute/path.db");
}
END_TEST

START_TEST(an_unknown_synchronous_level_is_refused)
{
    assert_refused(store_url("synchronous=off"), IDEM_ERR_ARGUMENT, "synchronous");
    ck_assert_int_ne(access(store_path, F_OK), 0);
}
END_TEST

START_TEST(names_with_a_meaning_to_sqlite_are_file_names)
{
    idem_error error;
    ck_assert_int_eq(chdir(folder), 0);
    idem_store *store = NULL;
    ck_assert_idem_ok(idem_open("sqlite:file:x", &store, &error), error);
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    ck_assert_int_eq(access("file:x", F_OK), 0);
    idem_close(store);
}
END_TEST

START_TEST(a_relative_path_means_the_same_file_after_chdir_and_fork)
{
    idem_error error;
    idem_store *store = NULL;
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_idem_ok(idem_open("sqlite:store.db", &store, &error), error);
    ck_assert_int_eq(chdir("/"), 0);
    pid_t child = fork(); /* both sides open the file anew */
    if (child == 0)
        _exit(book(store, "child", idem_str("1"), &error));
    join_child(child);
    ck_assert(is_booked(store, "child", idem_str("1")));
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 1);
}
END_TEST

/* ---------------------------------------------------------------------------- a new file */

START_TEST(a_new_file_says_what_it_is)
{
    idem_close(open_store(""));
    ck_assert_int_eq(file_number("PRAGMA application_id"), 0x6964656d);
    ck_assert_int_eq(file_number("SELECT version FROM idem_schema"), 1);
    ck_assert_int_eq(file_number("SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%STRICT'"), 2);
    ck_assert_int_eq(file_number("SELECT count(*) FROM pragma_table_list WHERE strict"), 2);
}
END_TEST

START_TEST(the_write_ahead_log_is_on)
{
    idem_store *store = open_store("");
    sqlite3 *db = raw_open(store_path);
    ck_assert_int_eq(raw_number(db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    (void)sqlite3_close(db);
    idem_close(store);
}
END_TEST

START_TEST(what_was_acknowledged_is_there_for_the_next_process)
{
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("{\"a\": 1e2}"), &error), error);
    idem_close(store);
    store = open_store("");
    ck_assert(is_booked(store, "k", idem_str("{\"a\": 1e2}")));
    idem_close(store);
}
END_TEST

#define CREATORS 8

static void create_and_book(int number, int start)
{
    char key[16];
    char go;
    idem_store *store = NULL;
    idem_error error;
    CHILD_CHECK(read(start, &go, 1) == 0); /* until the writing end is closed */
    (void)snprintf(key, sizeof key, "%d", number);
    int rc = idem_open(store_url("timeout=30s"), &store, &error);
    if (rc == IDEM_OK)
        rc = book(store, key, idem_str("1"), &error);
    if (rc)
        (void)fprintf(stderr, "creator: %d %s\n", rc, error.message);
    idem_close(store);
    _exit(rc);
}

START_TEST(many_processes_create_one_file_at_once)
{
    for (int round = 0; round < 20; round++) {
        pid_t children[CREATORS];
        int start[2];
        (void)snprintf(store_path, sizeof store_path, "%s/%d.db", folder, round);
        ck_assert_int_eq(pipe(start), 0);
        for (int i = 0; i < CREATORS; i++) {
            children[i] = fork();
            ck_assert_int_ge(children[i], 0);
            if (children[i] == 0) {
                (void)close(start[1]);
                create_and_book(i, start[0]);
            }
        }
        (void)close(start[0]);
        (void)close(start[1]);
        for (int i = 0; i < CREATORS; i++)
            join_child(children[i]);
        ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), CREATORS);
    }
}
END_TEST

/* ------------------------------------------------------------- what is there and is not ours */

START_TEST(a_path_that_cannot_be_created_is_unavailable)
{
    char url[160];
    (void)snprintf(url, sizeof url, "sqlite:%s/no/such/folder.db", folder);
    assert_refused(url, IDEM_ERR_UNAVAILABLE, "its folder has to be there");
    assert_refused(url, IDEM_ERR_UNAVAILABLE, "No such file or directory");
    (void)snprintf(url, sizeof url, "sqlite:%s", folder);
    assert_refused(url, IDEM_ERR_UNAVAILABLE, folder);
}
END_TEST

static void write_file(const char *path, off_t at, const void *bytes, size_t len)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
    (void)close(fd);
}

START_TEST(a_file_that_is_no_database_is_corrupt_and_left_alone)
{
    char text[8192];
    char after[sizeof text + 1];
    memset(text, 'x', sizeof text);
    write_file(store_path, 0, text, sizeof text);
    assert_refused(store_url(""), IDEM_ERR_CORRUPT, "is not a SQLite database");
    int fd = open(store_path, O_RDONLY);
    ck_assert_int_eq(read(fd, after, sizeof after), (ssize_t)sizeof text);
    ck_assert_mem_eq(after, text, sizeof text);
    (void)close(fd);
}
END_TEST

START_TEST(another_applications_database_is_refused_and_left_alone)
{
    file_exec("CREATE TABLE customers (id INTEGER PRIMARY KEY)");
    assert_refused(store_url(""), IDEM_ERR_ARGUMENT, "idem_sqlite_open_on()");
    ck_assert_int_eq(file_number("SELECT count(*) FROM sqlite_schema"), 1);
    ck_assert_int_eq(file_number("SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
    ck_assert_int_eq(file_number("PRAGMA application_id"), 0);
}
END_TEST

START_TEST(a_file_with_our_tables_is_ours_whatever_else_it_says)
{
    idem_error error;
    idem_close(open_store(""));
    file_exec("PRAGMA application_id = 77; CREATE TABLE customers (id INTEGER PRIMARY KEY)");
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
    ck_assert_int_eq(file_number("PRAGMA application_id"), 77);
}
END_TEST

static const struct {
    const char *sql;
    int code;
    const char *says;
} altered[] = {
    {"UPDATE idem_schema SET version = 1000", IDEM_ERR_UNSUPPORTED, "update this program"},
    {"DELETE FROM idem_schema", IDEM_ERR_CORRUPT, "holds no version"},
    {"UPDATE idem_schema SET version = 0", IDEM_ERR_CORRUPT, "holds no version"},
    {"DROP TABLE idem_record", IDEM_ERR_CORRUPT, "that this library did not make"},
    {"ALTER TABLE idem_record DROP COLUMN token", IDEM_ERR_CORRUPT,
     "that this library did not make"},
};

START_TEST(tables_that_are_not_as_they_should_be_are_refused)
{
    idem_close(open_store(""));
    file_exec(altered[_i].sql);
    assert_refused(store_url(""), altered[_i].code, altered[_i].says);
}
END_TEST

/* -------------------------------------------------------------------------------- read-only */

#define NOBODY 65534

/* Root may write everything, so it becomes somebody else. */
static void become_nobody(void)
{
    if (geteuid() == 0)
        CHILD_CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void use_read_only_file(void)
{
    idem_store *store = NULL;
    idem_error error;
    idem_outcome outcome;
    become_nobody();
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_OK);
    CHILD_CHECK(is_booked(store, "k", idem_str("1")));
    uint64_t before_ms = idem_monotonic_ms();
    CHILD_CHECK(idem_begin(store, IDEM_REQUEST(.key = idem_str("new")), &outcome, &error) ==
                IDEM_ERR_UNAVAILABLE);
    CHILD_CHECK(idem_monotonic_ms() - before_ms < 4500); /* repeating does not help */
    CHILD_CHECK(strstr(error.message, "let this user write the file and its folder"));
    CHILD_CHECK(strstr(error.message, store_path));
    CHILD_CHECK(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error) ==
                    IDEM_OK &&
                outcome.kind == IDEM_COMPLETED);
    idem_outcome_clear(&outcome);
    idem_close(store);
}

START_TEST(a_read_only_file_can_be_read_and_says_why_it_cannot_be_written)
{
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
    ck_assert_int_eq(chmod(store_path, 0444), 0);
    ck_assert_int_eq(chmod(folder, 0777), 0);
    run_in_child(use_read_only_file);
}
END_TEST

START_TEST(a_file_in_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written)
{
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    idem_close(store);
    ck_assert_int_eq(chmod(store_path, 0444), 0);
    ck_assert_int_eq(chmod(folder, 0555), 0);
    run_in_child(use_read_only_file);
    ck_assert_int_eq(chmod(folder, 0755), 0);
}
END_TEST

/* --------------------------------------------------------------------------------- disk full */

/* What SQLite writes with goes through these: after so many bytes more, it fails. */
static int64_t write_budget = INT64_MAX;
static int write_errno = ENOSPC;
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);

static bool may_write(size_t len)
{
    if (write_budget < (int64_t)len) {
        errno = write_errno;
        return false;
    }
    write_budget -= (int64_t)len;
    return true;
}

static ssize_t bounded_write(int fd, const void *bytes, size_t len)
{
    return may_write(len) ? real_write(fd, bytes, len) : -1;
}

static ssize_t bounded_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return may_write(len) ? real_pwrite(fd, bytes, len, at) : -1;
}

/* Puts them in place; which of the calls SQLite uses is its build's choice. */
static void bound_writes(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const char *positioned = vfs->xGetSystemCall(vfs, "pwrite64") ? "pwrite64" : "pwrite";
    real_write = (ssize_t(*)(int, const void *, size_t))vfs->xGetSystemCall(vfs, "write");
    real_pwrite =
        (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, positioned);
    (void)vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)bounded_write);
    if (real_pwrite)
        (void)vfs->xSetSystemCall(vfs, positioned, (sqlite3_syscall_ptr)bounded_pwrite);
}

static char ballast_path[96];

/* A disk of 1 MiB in place of the test's folder, which this process alone sees. */
static bool mount_small_disk(void)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return false;
    return mount("tmpfs", folder, "tmpfs", 0, "size=1m") == 0;
}

static void make_disk_small(void)
{
    static char ballast[256 * 1024];
    (void)snprintf(ballast_path, sizeof ballast_path, "%s/ballast", folder);
    if (!mount_small_disk()) {
        bound_writes();
        write_budget = 700 * 1024;
        return;
    }
    int fd = open(ballast_path, O_WRONLY | O_CREAT, 0600);
    CHILD_CHECK(fd >= 0 && write(fd, ballast, sizeof ballast) == (ssize_t)sizeof ballast);
    (void)close(fd);
}

static void give_room(void)
{
    (void)unlink(ballast_path);
    write_budget = INT64_MAX;
}

static void fill_the_disk(void)
{
    static char response[20 * 1024];
    idem_store *store = NULL;
    idem_error error;
    char key[16];
    int stored = 0;
    int rc = IDEM_OK;
    memset(response, '1', sizeof response);
    idem_bytes bytes = {response, sizeof response};
    make_disk_small();
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_OK);
    for (; rc == IDEM_OK && stored < 100; stored += rc == IDEM_OK) {
        (void)snprintf(key, sizeof key, "%d", stored);
        rc = book(store, key, bytes, &error);
    }
    CHILD_CHECK(rc == IDEM_ERR_FULL && stored > 5);
    CHILD_CHECK(strstr(error.message, "free space on its disk"));
    for (int i = 0; i < stored; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        CHILD_CHECK(is_booked(store, key, bytes));
    }
    give_room();
    CHILD_CHECK(book(store, "after", idem_str("1"), &error) == IDEM_OK);
    idem_close(store);
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_OK);
    for (int i = 0; i < stored; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        CHILD_CHECK(is_booked(store, key, bytes));
    }
    CHILD_CHECK(is_booked(store, "after", idem_str("1")));
    idem_close(store);
}

START_TEST(a_full_disk_loses_nothing_and_the_store_works_on_when_there_is_room)
{
    run_in_child(fill_the_disk);
}
END_TEST

static void open_on_a_full_disk(void)
{
    idem_store *store = NULL;
    idem_error error;
    bound_writes();
    write_budget = 0;
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_ERR_FULL);
    write_budget = INT64_MAX;
    CHILD_CHECK(idem_open(store_url(""), &store, &error) == IDEM_OK);
    CHILD_CHECK(book(store, "k", idem_str("1"), &error) == IDEM_OK);
    idem_close(store);
}

/* The signal that tells of the limit would end this process. */
static void fill_up_to_a_file_limit(void)
{
    static char large[64 * 1024];
    const struct rlimit limit = {512 * 1024, RLIM_INFINITY};
    idem_error error;
    idem_store *store = NULL;
    sigset_t pending;
    char key[32];
    int rc = IDEM_OK;
    int done = 0;
    memset(large, '1', sizeof large);
    CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHILD_CHECK(idem_open(store_url("timeout=1s"), &store, &error) == IDEM_OK);
    for (; rc == IDEM_OK && done < 100; done++) {
        (void)snprintf(key, sizeof key, "key-%d", done);
        rc = book(store, key, (idem_bytes){large, sizeof large}, &error);
    }
    CHILD_CHECK(rc == IDEM_ERR_FULL && strstr(error.message, "ulimit -f"));
    CHILD_CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 0);
    CHILD_CHECK(pthread_sigmask(SIG_BLOCK, NULL, &pending) == 0 &&
                sigismember(&pending, SIGXFSZ) == 0);
    CHILD_CHECK(is_booked(store, "key-0", (idem_bytes){large, sizeof large}));
    idem_close(store);
}

START_TEST(a_limit_of_file_sizes_is_full_and_no_end_of_the_process)
{
    run_in_child(fill_up_to_a_file_limit);
}
END_TEST

START_TEST(a_disk_that_is_full_from_the_start_is_full)
{
    run_in_child(open_on_a_full_disk);
}
END_TEST

/* --------------------------------------------------------------- a disk that fails or is
   damaged */

static void fail_a_commit(void)
{
    instance on;
    instance_open(&on, store_path, false);
    idem_record first = make_record("first", 1);
    idem_record second = make_record("second", 2);
    bound_writes();
    write_budget = 0;
    write_errno = EIO;
    idem_op ops[] = {op_insert(&first, 60000), op_insert(&second, 60000), op_get("first"),
                     op_insert(&second, 60000)};
    submit(&on, ops, 4);
    for (size_t i = 0; i < 4; i++) {
        CHILD_CHECK(ops[i].error.code == IDEM_ERR_UNCERTAIN && !ops[i].permanent);
        CHILD_CHECK(!ops[i].applied && !ops[i].has_found && !ops[i].found.memory);
    }
    write_budget = INT64_MAX;
    idem_op again[] = {op_get("first"), op_insert(&second, 60000)};
    submit(&on, again, 2);
    CHILD_CHECK(!again[0].has_found && again[1].applied);
    instance_close(&on);
}

START_TEST(a_commit_that_fails_is_in_doubt_and_no_answer_stands)
{
    run_in_child(fail_a_commit);
}
END_TEST

/* Cuts the link between two of the pages that a big checkpoint of '1's goes on in. */
static void damage_overflow(void)
{
    static const uint8_t nonsense[4] = {0xff, 0xff, 0xff, 0xff};
    char page[4096];
    int fd = open(store_path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    off_t at = 0;
    bool found = false;
    for (; !found && pread(fd, page, sizeof page, at) == (ssize_t)sizeof page; at += 4096)
        found = memchr(page, 0, 3) && page[3] != '\0' && page[4] == '1' &&
                memcmp(page + 4, page + 5, sizeof page - 5) == 0;
    (void)close(fd);
    ck_assert(found);
    write_file(store_path, at - 4096, nonsense, sizeof nonsense);
}

START_TEST(damage_fails_the_op_that_meets_it_and_no_other)
{
    static char big[20000];
    instance on;
    idem_record damaged = make_record("damaged", 1);
    damaged.checkpoint = (idem_bytes){big, sizeof big};
    memset(big, '1', sizeof big);
    idem_record good = make_record("good", 2);
    instance_open(&on, store_path, false);
    idem_op insert = op_insert(&damaged, 60000);
    submit_one(&on, &insert);
    instance_close(&on);
    damage_overflow();
    instance_open(&on, store_path, false);
    idem_op ops[] = {op_insert(&good, 60000), op_get("damaged"), op_get("good")};
    submit(&on, ops, 3);
    ck_assert_int_eq(ops[1].error.code, IDEM_ERR_CORRUPT);
    ck_assert_says(ops[1].error, "is damaged");
    ck_assert(ops[0].applied && ops[2].has_found);
    idem_record_clear(&ops[2].found);
    instance_close(&on);
}
END_TEST

/* ------------------------------------------------------------------- a file that is taken away */

/* Reads look at the path once in a millisecond. */
static void let_a_millisecond_pass(void)
{
    uint64_t now_ms = idem_monotonic_ms();
    while (idem_monotonic_ms() == now_ms)
        (void)sched_yield();
}

START_TEST(a_file_that_was_removed_is_no_empty_store)
{
    idem_error error;
    idem_outcome outcome;
    idem_store *store = open_store("timeout=1s");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    ck_assert_int_eq(unlink(store_path), 0);
    let_a_millisecond_pass();
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, store_path);
    ck_assert_int_ne(access(store_path, F_OK), 0);
    idem_close(store);
}
END_TEST

/* However many reads of the same millisecond found the file in its place. */
START_TEST(nothing_is_written_to_a_file_that_was_removed)
{
    idem_error error;
    idem_outcome outcome;
    idem_record record = {0};
    idem_store *store = open_store("timeout=1s");
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                      error);
    for (int i = 0; i < 10; i++) {
        ck_assert_idem_ok(idem_get(store, idem_str("k"), &record, &error), error);
        idem_record_clear(&record);
    }
    ck_assert_int_eq(unlink(store_path), 0);
    ck_assert_int_eq(idem_renew(store, outcome.claim, 0, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, store_path);
    idem_outcome_clear(&outcome);
    idem_close(store);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_file");
    ADD_ROWS(suite, a_url_that_names_no_file_is_refused, bad_urls);
    ADD(suite, the_message_says_how_to_write_it);
    ADD_IN_FOLDER(suite, an_unknown_synchronous_level_is_refused);
    ADD_IN_FOLDER(suite, names_with_a_meaning_to_sqlite_are_file_names);
    ADD_IN_FOLDER(suite, a_relative_path_means_the_same_file_after_chdir_and_fork);
    ADD_IN_FOLDER(suite, a_new_file_says_what_it_is);
    ADD_IN_FOLDER(suite, the_write_ahead_log_is_on);
    ADD_IN_FOLDER(suite, what_was_acknowledged_is_there_for_the_next_process);
    ADD_IN_FOLDER(suite, many_processes_create_one_file_at_once);
    ADD_IN_FOLDER(suite, a_path_that_cannot_be_created_is_unavailable);
    ADD_IN_FOLDER(suite, a_file_that_is_no_database_is_corrupt_and_left_alone);
    ADD_IN_FOLDER(suite, another_applications_database_is_refused_and_left_alone);
    ADD_IN_FOLDER(suite, a_file_with_our_tables_is_ours_whatever_else_it_says);
    ADD_ROWS_IN_FOLDER(suite, tables_that_are_not_as_they_should_be_are_refused, altered);
    ADD_IN_FOLDER(suite, a_read_only_file_can_be_read_and_says_why_it_cannot_be_written);
    ADD_IN_FOLDER(suite,
                  a_file_in_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written);
    ADD_IN_FOLDER(suite, a_full_disk_loses_nothing_and_the_store_works_on_when_there_is_room);
    ADD_IN_FOLDER(suite, a_limit_of_file_sizes_is_full_and_no_end_of_the_process);
    ADD_IN_FOLDER(suite, a_disk_that_is_full_from_the_start_is_full);
    ADD_IN_FOLDER(suite, a_commit_that_fails_is_in_doubt_and_no_answer_stands);
    ADD_IN_FOLDER(suite, damage_fails_the_op_that_meets_it_and_no_other);
    ADD_IN_FOLDER(suite, a_file_that_was_removed_is_no_empty_store);
    ADD_IN_FOLDER(suite, nothing_is_written_to_a_file_that_was_removed);
    return run_suite(suite);
}
