/* SPDX-License-Identifier: MIT */
/*
 * One store is one store: whatever is opened later is the file that was opened first, with its own
 * log, or the call is an error.
 */
#include "sqlite_support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/xattr.h>
#endif

#define KEYS 300

/* Copies a file, over what is there. */
static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    ssize_t len;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(in, 0);
    ck_assert_int_ge(out, 0);
    while ((len = read(in, bytes, sizeof bytes)) > 0)
        ck_assert_int_eq(write(out, bytes, (size_t)len), len);
    (void)close(in);
    (void)close(out);
}

static void let_a_millisecond_pass(void)
{
    uint64_t now_ms = idem_monotonic_ms();
    while (idem_monotonic_ms() == now_ms)
        (void)sched_yield();
}

/* -------------------------------------------------------------------------------------- readers */

#define THREADS 6

static atomic_int answers_wrong;
static atomic_bool busy;

/* Enough callers that readers are opened too. */
static void *ask_on(void *user)
{
    idem_store *store = user;
    while (atomic_load(&busy)) {
        idem_record record;
        idem_outcome outcome;
        int rc = idem_get(store, idem_str("0"), &record, NULL);
        if (rc == IDEM_OK)
            idem_record_clear(&record);
        atomic_fetch_add(&answers_wrong, rc == IDEM_ERR_NOT_FOUND);
        if (idem_begin(store, IDEM_REQUEST(.key = idem_str("0")), &outcome, NULL) == IDEM_OK) {
            atomic_fetch_add(&answers_wrong, outcome.kind != IDEM_COMPLETED);
            idem_outcome_clear(&outcome);
        }
    }
    return NULL;
}

static void ask_in_threads(idem_store *store, unsigned ms)
{
    pthread_t threads[THREADS];
    atomic_store(&busy, true);
    atomic_store(&answers_wrong, 0);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_on, store), 0);
    sleep_ms(ms);
    atomic_store(&busy, false);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

START_TEST(no_reader_makes_a_new_file)
{
    char moved[96];
    (void)snprintf(moved, sizeof moved, "%s", in_folder("moved.db"));
    idem_store *store = open_store("timeout=1s");
    book_keys(store, 0, 1);
    ck_assert_int_eq(rename(store_path, moved), 0);
    ask_in_threads(store, 300);
    ck_assert_int_eq(atomic_load(&answers_wrong), 0);
    ck_assert_int_ne(access(store_path, F_OK), 0);
    ck_assert_int_eq(rename(moved, store_path), 0);
    let_a_millisecond_pass();
    ck_assert(is_booked(store, "0", idem_str("1")));
    idem_close(store);
}
END_TEST

START_TEST(a_relative_path_is_one_file_for_readers_too)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_idem_ok(idem_open("sqlite:store.db", &store, &error), error);
    book_keys(store, 0, 1);
    ck_assert_int_eq(mkdir("elsewhere", 0700), 0);
    ck_assert_int_eq(chdir("elsewhere"), 0);
    ask_in_threads(store, 300);
    ck_assert_int_eq(atomic_load(&answers_wrong), 0);
    ck_assert_int_ne(access("store.db", F_OK), 0);
    idem_close(store);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(in_folder("elsewhere")), 0);
}
END_TEST

START_TEST(a_lazy_store_means_the_folder_it_was_opened_in)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_idem_ok(idem_open("sqlite:store.db?open=lazy", &store, &error), error);
    ck_assert_int_eq(chdir("/"), 0);
    book_keys(store, 0, 1);
    idem_close(store);
    ck_assert_int_eq(access(store_path, F_OK), 0);
}
END_TEST

static void remove_database(const char *in)
{
    static const char *const names[] = {"x.db", "x.db-wal", "x.db-shm"};
    char path[112];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", in, names[i]);
        (void)unlink(path);
    }
}

/* A link to a folder is followed once. */
START_TEST(a_folder_link_that_is_switched_leads_nowhere_else)
{
    char link[96];
    char first[96];
    char second[96];
    char path[112];
    idem_store *store = NULL;
    idem_store *stranger = NULL;
    idem_error error;
    (void)snprintf(link, sizeof link, "%s", in_folder("current"));
    (void)snprintf(first, sizeof first, "%s", in_folder("1"));
    (void)snprintf(second, sizeof second, "%s", in_folder("2"));
    (void)snprintf(path, sizeof path, "%s/x.db", link);
    ck_assert_int_eq(mkdir(first, 0700) | mkdir(second, 0700) | symlink(second, link), 0);
    ck_assert_idem_ok(open_at(path, "", &stranger, &error), error);
    ck_assert_int_eq(unlink(link) | symlink(first, link), 0);
    ck_assert_idem_ok(open_at(path, "", &store, &error), error);
    book_keys(store, 0, 1);
    ck_assert_int_eq(unlink(link) | symlink(second, link), 0);
    ask_in_threads(store, 200);
    pid_t child = fork();
    if (child == 0)
        _exit(is_booked(store, "0", idem_str("1")) ? 0 : 1);
    join_child(child);
    ck_assert_int_eq(atomic_load(&answers_wrong), 0);
    ck_assert_int_eq(count_new(stranger, 1), 1);
    idem_close(store);
    idem_close(stranger);
    ck_assert_int_eq(unlink(link), 0);
    remove_database(first);
    remove_database(second);
    ck_assert_int_eq(rmdir(first) | rmdir(second), 0);
}
END_TEST

/* ------------------------------------------------------------------------ a file in its place */

/* Makes a backup as the documents say. */
static void back_up(const char *path)
{
    char sql[160];
    (void)snprintf(sql, sizeof sql, "VACUUM INTO '%s'", path);
    file_exec(sql);
}

static void assert_restored(void)
{
    idem_store *store = open_store("");
    ck_assert_int_eq(count_new(store, KEYS), 0);
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

static void assert_log_refused(void)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_int_eq(open_at(store_path, "", &store, &error), IDEM_ERR_CORRUPT);
    ck_assert_says(error, "remove the old -wal and -shm");
}

START_TEST(a_backup_put_under_an_open_store_is_an_error)
{
    idem_error error;
    idem_record record;
    idem_store *store = open_store("synchronous=normal");
    book_keys(store, 0, KEYS);
    const char *backup = in_folder("backup.db");
    back_up(backup);
    book_keys(store, KEYS, KEYS + 50);
    ck_assert_int_eq(rename(backup, store_path), 0);
    let_a_millisecond_pass();
    ck_assert_int_eq(count_new(store, KEYS), 0);
    ck_assert_int_eq(idem_get(store, idem_str("0"), &record, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "was replaced by another file");
    ck_assert_says(error, "-wal");
    pid_t child = fork(); /* which opens its own connection */
    if (child == 0)
        _exit(count_new(store, KEYS));
    join_child(child);
    ask_in_threads(store, 100); /* and so do readers */
    ck_assert_int_eq(atomic_load(&answers_wrong), 0);
    /* Another process, before the old log is gone, and afterwards. */
    assert_log_refused();
    idem_close(store);
    assert_log_refused();
    remove_log();
    assert_restored();
}
END_TEST

/* Fills a store and dies. */
static void crash(void)
{
    char key[16];
    idem_store *store = NULL;
    CHILD_CHECK(idem_open(store_url("synchronous=normal"), &store, NULL) == IDEM_OK);
    for (int i = 0; i < KEYS + 50; i++) {
        (void)snprintf(key, sizeof key, "%d", i);
        CHILD_CHECK(book(store, key, idem_str("1"), NULL) == IDEM_OK);
        if (i == KEYS - 1)
            back_up(in_folder("backup.db"));
    }
    (void)fflush(NULL);
    _exit(0);
}

START_TEST(a_log_that_a_crash_left_is_not_taken_for_the_backups)
{
    run_in_child(crash);
    ck_assert_int_eq(rename(in_folder("backup.db"), store_path), 0);
    assert_log_refused();
    remove_log();
    assert_restored();
}
END_TEST

#ifdef __linux__
/* That file and log belong together is written down before there is something in the log, and not
   by those who only read. */
START_TEST(a_connection_that_only_reads_writes_no_attributes)
{
    char log[112];
    char text[256];
    idem_error error = {0};
    idem_record record;
    idem_store *store = NULL;
    (void)snprintf(log, sizeof log, "%s-wal", store_path);
    ck_assert_idem_ok(idem_open(store_url(""), &store, &error), error);
    ck_assert_idem_ok(book(store, "0", idem_str("1"), &error), error);
    idem_close(store);
    bool has_attributes = setxattr(store_path, "user.test", "1", 1, 0) == 0;
    ck_assert_idem_ok(idem_open(store_url(""), &store, &error), error);
    ck_assert_idem_ok(idem_get(store, idem_str("0"), &record, &error), error);
    idem_record_clear(&record);
    ck_assert_int_eq(access(log, F_OK), 0);
    ck_assert(getxattr(log, "user.idem.origin", text, sizeof text) <= 0);
    ck_assert(getxattr(store_path, "user.idem.log", text, sizeof text) <= 0);
    ck_assert_idem_ok(book(store, "1", idem_str("1"), &error), error);
    ck_assert(getxattr(log, "user.idem.origin", text, sizeof text) > 0 || !has_attributes);
    ck_assert(getxattr(store_path, "user.idem.log", text, sizeof text) > 0 || !has_attributes);
    idem_close(store);
    ck_assert(getxattr(store_path, "user.idem.log", text, sizeof text) <= 0);
}
END_TEST
#endif

START_TEST(a_file_and_its_log_may_be_moved_and_copied_together)
{
    char log[112];
    char other[96];
    char other_log[112];
    run_in_child(crash);
    (void)snprintf(log, sizeof log, "%s-wal", store_path);
    (void)snprintf(other, sizeof other, "%s", in_folder("copy.db"));
    (void)snprintf(other_log, sizeof other_log, "%s-wal", other);
    copy_file(store_path, other);
    copy_file(log, other_log);
    (void)snprintf(store_path, sizeof store_path, "%s", other);
    idem_store *store = open_store("");
    ck_assert_int_eq(count_new(store, KEYS + 50), 0);
    idem_close(store);
    (void)snprintf(store_path, sizeof store_path, "%s/moved.db", folder);
    (void)snprintf(other_log, sizeof other_log, "%s-wal", store_path);
    ck_assert_int_eq(rename(in_folder("store.db"), store_path) | rename(log, other_log), 0);
    store = open_store("");
    ck_assert_int_eq(count_new(store, KEYS + 50), 0);
    idem_close(store);
}
END_TEST

START_TEST(a_backup_copied_over_an_open_file_is_an_error)
{
    char backup[96];
    idem_error error;
    idem_record record;
    (void)snprintf(backup, sizeof backup, "%s", in_folder("backup.db"));
    idem_store *store = open_store("synchronous=normal");
    book_keys(store, 0, KEYS);
    back_up(backup);
    book_keys(store, KEYS, KEYS + 50);
    sleep_ms(20); /* a tick of the file system's clock */
    copy_file(backup, store_path);
    let_a_millisecond_pass();
    ck_assert_int_eq(count_new(store, KEYS), 0);
    ck_assert_int_eq(idem_get(store, idem_str("0"), &record, &error), IDEM_ERR_CORRUPT);
    ck_assert_says(error, "was written over");
    idem_close(store);
    assert_log_refused();
    remove_log();
    copy_file(backup, store_path);
    assert_restored();
}
END_TEST

/* Checkpoints of others, and a change of the time alone, are no such thing. */
START_TEST(what_sqlite_writes_is_no_stranger)
{
    idem_store *store = open_store("synchronous=normal");
    for (int i = 0; i < 20; i++) {
        book_keys(store, i * 20, i * 20 + 20);
        file_exec(i % 2 ? "PRAGMA wal_checkpoint(TRUNCATE)" : "PRAGMA wal_checkpoint(PASSIVE)");
        sleep_ms(5);
        if (i % 5 == 0)
            file_exec("VACUUM");
        ck_assert_int_eq(utimensat(AT_FDCWD, store_path, NULL, 0), 0);
    }
    ck_assert_int_eq(count_new(store, 400), 0);
    ck_assert(is_booked(store, "399", idem_str("1")));
    idem_close(store);
}
END_TEST

/* The store that is closed last must not take the new file's log along. */
START_TEST(what_replaced_the_file_keeps_its_own_log)
{
    idem_error error;
    idem_store *old = open_store("");
    book_keys(old, 0, 1);
    back_up(in_folder("backup.db"));
    remove_log();
    ck_assert_int_eq(rename(in_folder("backup.db"), store_path), 0);
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "new", idem_str("2"), &error), error);
    idem_close(old);
    sqlite3 *second = raw_open(store_path);
    ck_assert_int_eq(raw_number(second, "SELECT count(*) FROM idem_record"), 2);
    (void)sqlite3_close(second);
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 2);
}
END_TEST

#define FILES_MAX 500

/* Makes files until one has the number of an inode that is free again. @return false: none got
   it */
static bool make_with_inode(ino_t inode)
{
    struct stat made = {0};
    char path[128];
    for (int i = 0; i < FILES_MAX && made.st_ino != inode; i++) {
        (void)snprintf(path, sizeof path, "%s/file-%d", folder, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_eq(fstat(fd, &made), 0);
        (void)close(fd);
    }
    return made.st_ino == inode && rename(path, store_path) == 0;
}

/* Behind a fork() no connection is open, and nothing keeps the inode. */
START_TEST(a_new_file_with_the_old_ones_inode_is_another)
{
    idem_error error;
    idem_record record;
    idem_outcome outcome;
    struct stat old;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "0", idem_str("1"), &error), error);
    ck_assert_int_eq(stat(store_path, &old), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    join_child(child);
    remove_log();
    ck_assert_int_eq(unlink(store_path), 0);
    bool made = make_with_inode(old.st_ino);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("0")), &outcome, &error),
                     IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, made ? "was replaced by another file" : "is gone");
    ck_assert_int_eq(idem_get(store, idem_str("0"), &record, &error), IDEM_ERR_UNAVAILABLE);
    idem_close(store);
}
END_TEST

/* As a restore does it that deletes the file first, and forgets the log. */
START_TEST(a_log_is_not_taken_for_that_of_a_new_file_with_the_old_ones_inode)
{
    struct stat old;
    run_in_child(crash);
    ck_assert_int_eq(stat(store_path, &old), 0);
    ck_assert_int_eq(unlink(store_path), 0);
    if (make_with_inode(old.st_ino))
        copy_file(in_folder("backup.db"), store_path);
    else
        ck_assert_int_eq(rename(in_folder("backup.db"), store_path), 0);
    assert_log_refused();
    remove_log();
    assert_restored();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_place");
    ADD_IN_FOLDER(suite, no_reader_makes_a_new_file);
    ADD_IN_FOLDER(suite, a_relative_path_is_one_file_for_readers_too);
    ADD_IN_FOLDER(suite, a_lazy_store_means_the_folder_it_was_opened_in);
    ADD_IN_FOLDER(suite, a_folder_link_that_is_switched_leads_nowhere_else);
    ADD_IN_FOLDER(suite, a_backup_put_under_an_open_store_is_an_error);
    ADD_IN_FOLDER(suite, a_log_that_a_crash_left_is_not_taken_for_the_backups);
#ifdef __linux__
    ADD_IN_FOLDER(suite, a_connection_that_only_reads_writes_no_attributes);
#endif
    ADD_IN_FOLDER(suite, a_file_and_its_log_may_be_moved_and_copied_together);
    ADD_IN_FOLDER(suite, a_backup_copied_over_an_open_file_is_an_error);
    ADD_IN_FOLDER(suite, what_sqlite_writes_is_no_stranger);
    ADD_IN_FOLDER(suite, what_replaced_the_file_keeps_its_own_log);
    ADD_IN_FOLDER(suite, a_new_file_with_the_old_ones_inode_is_another);
    ADD_IN_FOLDER(suite, a_log_is_not_taken_for_that_of_a_new_file_with_the_old_ones_inode);
    return run_suite(suite);
}
