/* SPDX-License-Identifier: MIT */
/*
 * A file under two names, in use or not; and who may use a file that the library creates, or that
 * it only looks at.
 */
#define _GNU_SOURCE /* unshare() */

#include "sqlite_support.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* ------------------------------------------------------------------------------------ two names */

static void assert_second_name_refused(const char *path)
{
    idem_store *store = NULL;
    idem_error error;
    ck_assert_msg(open_at(path, "", &store, &error) == IDEM_ERR_UNAVAILABLE, "%d %s", error.code,
                  error.message);
    ck_assert_says(error, "under another name");
    ck_assert_says(error, "mount the folder");
}

START_TEST(a_second_name_is_refused_while_the_first_is_in_use)
{
    char second[96];
    idem_error error;
    idem_store *store = open_store("");
    (void)snprintf(second, sizeof second, "%s", in_folder("second.db"));
    book_keys(store, 0, 1);
    ck_assert_int_eq(link(store_path, second), 0);
    assert_second_name_refused(second);
    pid_t child = fork();
    if (child == 0) {
        idem_store *other = NULL;
        _exit(open_at(second, "", &other, NULL) == IDEM_ERR_UNAVAILABLE ? 0 : 1);
    }
    join_child(child);
    ck_assert(is_booked(store, "0", idem_str("1")));
    book_keys(store, 1, 2);
    idem_close(store);
    /* Nobody uses the first one any more. */
    ck_assert_idem_ok(open_at(second, "", &store, &error), error);
    ck_assert_int_eq(count_new(store, 2), 0);
    assert_second_name_refused(store_path);
    idem_close(store);
}
END_TEST

START_TEST(a_backups_hard_link_does_no_harm)
{
    idem_store *store = open_store("");
    ck_assert_int_eq(link(store_path, in_folder("backup.db")), 0);
    book_keys(store, 0, 5);
    idem_store *second = open_store("");
    ck_assert_int_eq(count_new(second, 5), 0);
    idem_close(second);
    idem_close(store);
}
END_TEST

START_TEST(a_connection_of_the_callers_has_a_name_too)
{
    idem_store *store = open_store("");
    idem_store *joined = NULL;
    idem_error error;
    ck_assert_int_eq(link(store_path, in_folder("second.db")), 0);
    sqlite3 *db = raw_open(in_folder("second.db"));
    ck_assert_int_eq(idem_sqlite_open_on(db, NULL, &joined, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "in use under another name");
    idem_close(store);
    ck_assert_idem_ok(idem_sqlite_open_on(db, NULL, &joined, &error), error);
    assert_second_name_refused(store_path);
    idem_close(joined);
    (void)sqlite3_close(db);
    idem_close(open_store(""));
}
END_TEST

/* A file that is renamed while it is in use has a second name, and its log has not. */
START_TEST(a_file_that_was_renamed_is_refused_while_it_is_in_use)
{
    char moved[96];
    idem_error error;
    (void)snprintf(moved, sizeof moved, "%s", in_folder("moved.db"));
    idem_store *store = open_store("");
    idem_store *second = NULL;
    book_keys(store, 0, 5);
    ck_assert_int_eq(rename(store_path, moved), 0);
    assert_second_name_refused(moved);
    idem_close(store);
    assert_second_name_refused(moved); /* the log is still beside where it was */
    char log[112];
    char moved_log[112];
    (void)snprintf(log, sizeof log, "%s-wal", store_path);
    (void)snprintf(moved_log, sizeof moved_log, "%s-wal", moved);
    ck_assert_int_eq(rename(log, moved_log), 0);
    ck_assert_idem_ok(open_at(moved, "", &second, &error), error);
    ck_assert_int_eq(count_new(second, 5), 0);
    idem_close(second);
}
END_TEST

START_TEST(a_process_that_was_killed_holds_no_name)
{
    char second[96];
    int ready[2];
    char byte;
    idem_store *store = NULL;
    idem_error error;
    (void)snprintf(second, sizeof second, "%s", in_folder("second.db"));
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        CHILD_CHECK(idem_open(store_url(""), &store, NULL) == IDEM_OK);
        CHILD_CHECK(book(store, "0", idem_str("1"), NULL) == IDEM_OK);
        CHILD_CHECK(write(ready[1], "x", 1) == 1);
        for (;;)
            (void)pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(link(store_path, second), 0);
    assert_second_name_refused(second);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    assert_second_name_refused(second); /* what it had written is in the log of the first */
    idem_close(open_store(""));
    ck_assert_idem_ok(open_at(second, "", &store, &error), error);
    ck_assert_int_eq(count_new(store, 1), 0);
    idem_close(store);
}
END_TEST

/* Of two that come at once under two names never both come in. */
START_TEST(two_names_at_once_are_never_both_accepted)
{
    char names[2][96];
    idem_close(open_store(""));
    (void)snprintf(names[0], sizeof names[0], "%s", store_path);
    (void)snprintf(names[1], sizeof names[1], "%s", in_folder("second.db"));
    ck_assert_int_eq(link(names[0], names[1]), 0);
    for (int round = 0; round < 50; round++) {
        int start[2];
        int told[2];
        char answer;
        int opened = 0;
        pid_t children[2];
        ck_assert_int_eq(pipe(start) | pipe(told), 0);
        for (int i = 0; i < 2; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                idem_store *store = NULL;
                (void)close(start[1]);
                CHILD_CHECK(read(start[0], &answer, 1) == 0);
                answer = open_at(names[i], "", &store, NULL) == IDEM_OK;
                CHILD_CHECK(write(told[1], &answer, 1) == 1);
                for (;;)
                    (void)pause();
            }
        }
        (void)close(start[0]);
        (void)close(start[1]);
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(read(told[0], &answer, 1), 1);
            opened += answer;
        }
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(kill(children[i], SIGKILL), 0);
            ck_assert_int_eq(waitpid(children[i], NULL, 0), children[i]);
        }
        (void)close(told[0]);
        (void)close(told[1]);
        ck_assert_int_le(opened, 1);
        remove_log();
    }
}
END_TEST

/* The file alone, mounted into another folder, as `docker -v x.db:/data/x.db` does. */
static void open_mounted_file(void)
{
    idem_store *store = NULL;
    idem_error error;
    const char *target = in_folder("mounted.db");
    if (unshare(CLONE_NEWNS))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHILD_CHECK(close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
    CHILD_CHECK(mount(store_path, target, NULL, MS_BIND, NULL) == 0);
    CHILD_CHECK(open_at(target, "", &store, &error) == IDEM_ERR_UNAVAILABLE);
    CHILD_CHECK(strstr(error.message, "mount the folder"));
}

/* And where it was opened first can't be seen. */
static void open_mounted_folder(void)
{
    char target[] = "/tmp/idem-mount-XXXXXX";
    char path[112];
    idem_store *store = NULL;
    idem_error error;
    CHILD_CHECK(mkdtemp(target));
    (void)snprintf(path, sizeof path, "%s/store.db", target);
    if (unshare(CLONE_NEWNS))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHILD_CHECK(mount(folder, target, NULL, MS_BIND, NULL) == 0);
    CHILD_CHECK(mount("none", folder, "tmpfs", 0, NULL) == 0);
    CHILD_CHECK(open_at(path, "", &store, &error) == IDEM_OK);
    CHILD_CHECK(count_new(store, 1) == 0);
    idem_close(store);
    CHILD_CHECK(umount(target) == 0 && rmdir(target) == 0);
}

START_TEST(a_mounted_file_is_refused_and_a_mounted_folder_is_not)
{
    idem_store *store = open_store("");
    book_keys(store, 0, 1);
    run_in_child(open_mounted_file);
    run_in_child(open_mounted_folder);
    idem_close(store);
    store = open_store(""); /* its log is empty, and stays so across the fork */
    run_in_child(open_mounted_folder);
    idem_close(store);
}
END_TEST

static char found[4096];

static void take_finding(void *user, const idem_finding *finding)
{
    size_t len = strlen(found);
    (void)user;
    (void)snprintf(found + len, sizeof found - len, "%s | %s\n", finding->what, finding->fix);
}

START_TEST(a_second_name_that_nobody_uses_is_found)
{
    idem_store *store = open_store("");
    ck_assert_int_eq(idem_check(store, take_finding, NULL, NULL), IDEM_OK);
    ck_assert_ptr_null(strstr(found, "hard links"));
    ck_assert_ptr_null(strstr(found, "mounted by itself"));
    ck_assert_int_eq(link(store_path, in_folder("backup.db")), 0);
    ck_assert_int_eq(idem_check(store, take_finding, NULL, NULL), IDEM_OK);
    ck_assert_msg(strstr(found, "has 2 names (hard links)") != NULL, "%s", found);
    idem_close(store);
}
END_TEST

static void examine_mounted_file(void)
{
    idem_store *store = NULL;
    const char *target = in_folder("mounted.db");
    if (unshare(CLONE_NEWNS))
        CHILD_CHECK(unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0);
    CHILD_CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    CHILD_CHECK(close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
    CHILD_CHECK(mount(store_path, target, NULL, MS_BIND, NULL) == 0);
    CHILD_CHECK(open_at(target, "", &store, NULL) == IDEM_OK);
    CHILD_CHECK(idem_check(store, take_finding, NULL, NULL) == IDEM_OK);
    CHILD_CHECK(strstr(found, "mounted by itself") && strstr(found, "mount the folder"));
    idem_close(store);
}

START_TEST(a_file_that_is_mounted_by_itself_is_found)
{
    idem_close(open_store(""));
    run_in_child(examine_mounted_file);
}
END_TEST

/* ------------------------------------------------------------------------------- who may use it */

static unsigned mode_of(const char *path)
{
    struct stat file;
    ck_assert_int_eq(stat(path, &file), 0);
    return file.st_mode & 07777;
}

static const struct {
    const char *options;
    unsigned mode;
} modes[] = {{"", 0600}, {"mode=0660", 0660}, {"mode=640", 0640}};

START_TEST(a_new_file_is_for_its_owner_unless_the_url_says_else)
{
    char log[112];
    mode_t mask = umask(_i == 1 ? 077 : 0);
    idem_store *store = open_store(modes[_i].options);
    (void)umask(mask);
    ck_assert_uint_eq(mode_of(store_path), modes[_i].mode);
    (void)snprintf(log, sizeof log, "%s-wal", store_path);
    ck_assert_uint_eq(mode_of(log), modes[_i].mode);
    (void)snprintf(log, sizeof log, "%s-shm", store_path);
    ck_assert_uint_eq(mode_of(log), modes[_i].mode);
    idem_close(store);
}
END_TEST

START_TEST(a_mode_that_is_none_is_refused)
{
    static const char *const wrong[] = {"mode=rw",    "mode=0888", "mode=0400",
                                        "mode=01777", "mode=-1",   "mode=%200600"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        idem_store *store = NULL;
        idem_error error;
        ck_assert_msg(idem_open(store_url(wrong[i]), &store, &error) == IDEM_ERR_ARGUMENT, "%s",
                      wrong[i]);
        ck_assert_int_ne(access(store_path, F_OK), 0);
    }
}
END_TEST

START_TEST(a_link_that_leads_to_nothing_is_followed)
{
    ck_assert_int_eq(symlink(in_folder("target.db"), store_path), 0);
    idem_store *store = open_store("");
    book_keys(store, 0, 1);
    ck_assert_uint_eq(mode_of(in_folder("target.db")), 0600);
    idem_store *second = open_store("");
    ck_assert_int_eq(count_new(second, 1), 0);
    idem_close(second);
    idem_close(store);
}
END_TEST

static int open_existing(const char *options, idem_store **store, idem_error *error)
{
    idem_options with = {.size = sizeof with, .flags = IDEM_OPEN_EXISTING};
    return idem_open_with(store_url(options), &with, store, error);
}

START_TEST(a_file_that_is_not_there_is_not_created_where_it_must_not_be)
{
    idem_store *store = NULL;
    idem_error error;
    uint64_t before_ms = idem_monotonic_ms();
    ck_assert_int_eq(idem_open(store_url("create=no"), &store, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "there is no such file");
    ck_assert_int_eq(open_existing("", &store, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "there is no such file");
    ck_assert_uint_lt(idem_monotonic_ms() - before_ms, 3000); /* not repeated */
    ck_assert_int_ne(access(store_path, F_OK), 0);
    idem_close(open_store(""));
    ck_assert_idem_ok(idem_open(store_url("create=no"), &store, &error), error);
    idem_close(store);
}
END_TEST

START_TEST(who_only_looks_changes_no_settings)
{
    idem_store *store = NULL;
    idem_error error;
    store = open_store("");
    book_keys(store, 0, 1);
    idem_close(store);
    file_exec("PRAGMA journal_mode = delete");
    ck_assert_idem_ok(open_existing("", &store, &error), error);
    ck_assert(is_booked(store, "0", idem_str("1")));
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT journal_mode = 'delete' FROM pragma_journal_mode"), 1);
    ck_assert_int_eq(truncate(store_path, 0), 0); /* a database without tables */
    ck_assert_int_eq(open_existing("", &store, &error), IDEM_ERR_UNAVAILABLE);
    ck_assert_says(error, "holds no records yet");
    struct stat file;
    ck_assert_int_eq(stat(store_path, &file), 0);
    ck_assert_int_eq(file.st_size, 0);
}
END_TEST

#define NOBODY 65534

static void look_as_nobody(void)
{
    idem_store *store = NULL;
    idem_error error;
    if (geteuid() == 0)
        CHILD_CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHILD_CHECK(open_existing("", &store, &error) == IDEM_OK);
    CHILD_CHECK(is_booked(store, "0", idem_str("1")) && count_new(store, 1) == 0);
    idem_close(store);
}

START_TEST(the_right_to_read_is_enough_to_look)
{
    idem_store *store = open_store("mode=0644");
    book_keys(store, 0, 1);
    ck_assert_int_eq(chmod(folder, 0555), 0);
    run_in_child(look_as_nobody); /* in use */
    book_keys(store, 1, 2);
    idem_close(store);
    run_in_child(look_as_nobody); /* at rest: without a log */
    char log[112];
    (void)snprintf(log, sizeof log, "%s-wal", store_path);
    ck_assert_int_ne(access(log, F_OK), 0);
    ck_assert_int_eq(chmod(folder, 0755), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_names");
    ADD_IN_FOLDER(suite, a_second_name_is_refused_while_the_first_is_in_use);
    ADD_IN_FOLDER(suite, a_backups_hard_link_does_no_harm);
    ADD_IN_FOLDER(suite, a_connection_of_the_callers_has_a_name_too);
    ADD_IN_FOLDER(suite, a_file_that_was_renamed_is_refused_while_it_is_in_use);
    ADD_IN_FOLDER(suite, a_process_that_was_killed_holds_no_name);
    ADD_IN_FOLDER(suite, two_names_at_once_are_never_both_accepted);
    ADD_IN_FOLDER(suite, a_mounted_file_is_refused_and_a_mounted_folder_is_not);
    ADD_IN_FOLDER(suite, a_second_name_that_nobody_uses_is_found);
    ADD_IN_FOLDER(suite, a_file_that_is_mounted_by_itself_is_found);
    ADD_ROWS_IN_FOLDER(suite, a_new_file_is_for_its_owner_unless_the_url_says_else, modes);
    ADD_IN_FOLDER(suite, a_mode_that_is_none_is_refused);
    ADD_IN_FOLDER(suite, a_link_that_leads_to_nothing_is_followed);
    ADD_IN_FOLDER(suite, a_file_that_is_not_there_is_not_created_where_it_must_not_be);
    ADD_IN_FOLDER(suite, who_only_looks_changes_no_settings);
    ADD_IN_FOLDER(suite, the_right_to_read_is_enough_to_look);
    return run_suite(suite);
}
