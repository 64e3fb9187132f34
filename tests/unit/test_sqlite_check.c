/* SPDX-License-Identifier: MIT */
/* What `idem doctor` finds in a SQLite store: each finding is made true here, and reported. */
#define _GNU_SOURCE /* unshare() */
#include "sqlite_support.h"

#include "sqlite/check.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* All findings, one a line: what, a bar, how to fix it. */
static char found[4096];

static void take(void *user, const idem_finding *finding)
{
    size_t len = strlen(found);
    (void)user;
    (void)snprintf(found + len, sizeof found - len, "%s | %s\n", finding->what, finding->fix);
}

static int examine(idem_store *store)
{
    found[0] = '\0';
    return idem_check(store, take, NULL, NULL);
}

static void examine_url(const char *options)
{
    idem_store *store = open_store(options);
    ck_assert_int_eq(examine(store), IDEM_OK);
    idem_close(store);
}

#define ck_assert_found(part)     ck_assert_msg(strstr(found, part) != NULL, "found only: %s", found)
#define ck_assert_not_found(part) ck_assert_msg(strstr(found, part) == NULL, "found: %s", found)

START_TEST(the_defaults_are_sound)
{
    examine_url("");
    ck_assert_not_found("synchronous");
    ck_assert_not_found("journal");
    ck_assert_not_found("mode ");
    ck_assert_not_found("can't be written");
}
END_TEST

START_TEST(synchronous_normal_is_found)
{
    examine_url("synchronous=normal");
    ck_assert_found("synchronous=normal");
    ck_assert_found("synchronous=full, which is the default");
}
END_TEST

/* ------------------------------------------------------------------------------------ access */

#define SOMEBODY 12345

static const struct {
    mode_t mode;
    const char *says;
    const char *fix;
} modes[] = {
    {0666, "may be written by every user of the machine (mode 666)", "chmod o-w"},
    {0660, "may be written by its group", "chmod g-w"},
    {0644, "may be read by every user of the machine (mode 644)", "chmod o-r"},
};

START_TEST(who_else_may_use_the_file_is_found)
{
    examine_url("");
    ck_assert_not_found("may be");
    ck_assert_int_eq(chmod(store_path, modes[_i].mode), 0);
    examine_url("");
    ck_assert_found(modes[_i].says);
    ck_assert_found(modes[_i].fix);
    ck_assert_int_eq(chmod(store_path, 0600), 0);
    examine_url("");
    ck_assert_not_found("may be");
}
END_TEST

START_TEST(a_folder_that_others_may_write_is_found)
{
    static const struct {
        mode_t mode;
        const char *says;
    } folders[] = {
        {0777, "a folder that every user of the machine may write"},
        {0770, "a folder that its group may write"},
        {01777, "a folder of all"},
    };
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        ck_assert_int_eq(chmod(folder, folders[i].mode), 0);
        examine_url("");
        ck_assert_found(folders[i].says);
    }
    ck_assert_int_eq(chmod(folder, 0755), 0);
    examine_url("");
    ck_assert_not_found("lies in a folder");
}
END_TEST

START_TEST(another_users_file_is_found)
{
    if (geteuid() != 0) { /* no file can be given away */
        ck_assert_ptr_null(getenv("IDEM_SKIPS_FAIL"));
        return;
    }
    examine_url("");
    ck_assert_int_eq(chown(store_path, SOMEBODY, SOMEBODY), 0);
    examine_url("");
    ck_assert_found("belongs to another user (uid 12345)");
    ck_assert_not_found("lies in a folder of another user");
    ck_assert_int_eq(chown(folder, SOMEBODY, SOMEBODY), 0);
    examine_url("");
    ck_assert_found("lies in a folder of another user");
}
END_TEST

/* A member of the group, where one can become another user. */
static void use_as_a_member(void)
{
    idem_error error;
    if (geteuid() == 0)
        CHILD_CHECK(setgroups(1, (gid_t[]){SOMEBODY}) == 0 && setgid(SOMEBODY + 1) == 0 &&
                    setuid(SOMEBODY + 1) == 0);
    (void)umask(077);
    for (int i = 0; i < 2; i++) { /* the second time the log is its own */
        idem_store *store = NULL;
        char key[32];
        (void)snprintf(key, sizeof key, "%d of %ld", i, (long)getpid());
        CHILD_CHECK(idem_open(store_url("mode=0660"), &store, &error) == IDEM_OK);
        CHILD_CHECK(book(store, key, idem_str("1"), &error) == IDEM_OK);
        CHILD_CHECK(examine(store) == IDEM_OK);
        CHILD_CHECK(strstr(found, "group") == NULL && strstr(found, "user") == NULL &&
                    strstr(found, "folder") == NULL);
        idem_close(store);
    }
}

START_TEST(what_is_meant_for_a_group_is_no_finding)
{
    gid_t group = geteuid() == 0 ? SOMEBODY : getegid();
    ck_assert_int_eq(chown(folder, (uid_t)-1, group), 0);
    ck_assert_int_eq(chmod(folder, 02770), 0);
    idem_store *store = open_store("mode=0660");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_not_found("group");
    ck_assert_not_found("lies in a folder that");
    run_in_child(use_as_a_member); /* beside a log of this user */
    idem_close(store);
    run_in_child(use_as_a_member); /* and alone */
    examine_url("mode=0660");
    ck_assert_not_found("group");
    examine_url("");
    ck_assert_found("may be written by its group");
    ck_assert_found("a folder that its group may write");
}
END_TEST

START_TEST(what_keeps_a_group_from_its_store_is_found)
{
    examine_url("");
    examine_url("mode=0660");
    ck_assert_found("may not be read and written by its group (mode 600)");
    ck_assert_found("chmod g+rw");
    ck_assert_found("can't make and remove its log in the folder");
    ck_assert_found("chmod 2770");
    ck_assert_int_eq(chmod(store_path, 0662), 0);
    examine_url("mode=0660");
    ck_assert_not_found("by its group");
    ck_assert_found("by every user of the machine");
}
END_TEST

/* ------------------------------------------------------------------------------------- trial */

START_TEST(a_trial_leaves_nothing_behind)
{
    idem_error error;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_not_found("can't be");
    idem_close(store);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 1);
}
END_TEST

START_TEST(tables_that_were_changed_meanwhile_are_found)
{
    idem_store *store = open_store("");
    file_exec("CREATE TRIGGER t AFTER INSERT ON idem_record BEGIN SELECT 1; END");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("trigger \"t\" that this library did not make");
    idem_close(store);
}
END_TEST

START_TEST(a_lock_that_stays_is_found)
{
    idem_store *store = open_store("timeout=200ms");
    sqlite3 *other = raw_open(store_path);
    raw_exec(other, "BEGIN IMMEDIATE");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("a record can't be inserted, so every claim is refused");
    ck_assert_found("stayed locked by another writer");
    (void)sqlite3_close(other);
    idem_close(store);
}
END_TEST

/* An index that no row can be put into. */
START_TEST(a_write_that_fails_is_found)
{
    idem_store *store = open_store("");
    file_exec("CREATE UNIQUE INDEX i ON idem_record(1); "
              "INSERT INTO idem_record (key, version, status, attempt, token, lease_ms, ttl_ms,"
              " live_ms, at_boot_id, at_boot_ms, at_wall_ms, created_at_ms, updated_at_ms)"
              " VALUES (x'6b', 1, 1, 1, zeroblob(16), 1, 1, 1000000, 0, 0, 0, 0, 0)");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("a record can't be inserted");
    idem_close(store);
}
END_TEST

static void examine_with_a_file_limit(void)
{
    const struct rlimit limit = {1024 * 1024, RLIM_INFINITY};
    CHILD_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    idem_store *store = NULL;
    CHILD_CHECK(idem_open(store_url(""), &store, NULL) == IDEM_OK);
    CHILD_CHECK(examine(store) == IDEM_OK);
    CHILD_CHECK(strstr(found, "may not grow beyond 1024 KiB") && strstr(found, "ulimit -f"));
    idem_close(store);
}

START_TEST(a_limit_of_file_sizes_is_found)
{
    examine_url("");
    ck_assert_not_found("may not grow");
    run_in_child(examine_with_a_file_limit);
}
END_TEST

START_TEST(a_log_that_is_not_emptied_is_found)
{
    char path[120];
    idem_store *store = open_store("");
    (void)snprintf(path, sizeof path, "%s-wal", store_path);
    ck_assert_int_eq(truncate(path, 100 << 20), 0);
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("write-ahead log of 100 MiB");
    idem_close(store);
}
END_TEST

/* In a caller's transaction the trial would be the caller's. */
START_TEST(nothing_is_tried_in_a_callers_transaction)
{
    idem_store *store = NULL;
    sqlite3 *db = raw_open(store_path);
    ck_assert_int_eq(idem_sqlite_open_on(db, NULL, &store, NULL), IDEM_OK);
    ck_assert_int_eq(examine(store), IDEM_OK);
    raw_exec(db, "BEGIN");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_int_eq(sqlite3_txn_state(db, "main"), SQLITE_TXN_READ);
    raw_exec(db, "COMMIT");
    idem_close(store);
    (void)sqlite3_close(db);
}
END_TEST

START_TEST(a_callers_careless_connection_is_found)
{
    idem_store *store = NULL;
    sqlite3 *db = raw_open(store_path);
    ck_assert_int_eq(idem_sqlite_open_on(db, NULL, &store, NULL), IDEM_OK);
    raw_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY");
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("synchronous=off");
    ck_assert_found("journal_mode=memory");
    ck_assert_found("set PRAGMA journal_mode = WAL");
    idem_close(store);
    (void)sqlite3_close(db);
}
END_TEST

START_TEST(a_database_in_memory_is_found)
{
    idem_store *store = NULL;
    ck_assert_int_eq(idem_open("sqlite::memory:", &store, NULL), IDEM_OK);
    ck_assert_int_eq(examine(store), IDEM_OK);
    ck_assert_found("gone when the handle is closed");
    idem_close(store);
}
END_TEST

static bool mount_memory_disk(void)
{
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", folder, "tmpfs", 0, "size=2m") == 0;
}

static bool says(const char *part)
{
    return strstr(found, part) != NULL;
}

/* A file system of 2 MiB in memory, which is then made read-only. */
static void examine_memory_disk(void)
{
    idem_store *store = NULL;
    if (!mount_memory_disk()) {
        (void)fprintf(stderr, "not run: no file system can be mounted here\n");
        CHILD_CHECK(getenv("IDEM_SKIPS_FAIL") == NULL);
        return;
    }
    CHILD_CHECK(idem_open(store_url(""), &store, NULL) == IDEM_OK);
    CHILD_CHECK(examine(store) == IDEM_OK);
    CHILD_CHECK(says("lies on tmpfs") && says("keep it on a disk"));
    CHILD_CHECK(says("KiB of free space") && says("claims are refused"));
    CHILD_CHECK(!says("can't be written"));
    idem_close(store);
    /* Who can't write needs log files that are there already. */
    sqlite3 *last = NULL;
    CHILD_CHECK(sqlite3_open(store_path, &last) == SQLITE_OK);
    CHILD_CHECK(sqlite3_exec(last, "SELECT count(*) FROM idem_record", NULL, NULL, NULL) == 0);
    CHILD_CHECK(sqlite3_db_config(last, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK);
    CHILD_CHECK(sqlite3_close(last) == SQLITE_OK);
    CHILD_CHECK(mount("tmpfs", folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
    CHILD_CHECK(idem_open(store_url(""), &store, NULL) == IDEM_OK);
    CHILD_CHECK(examine(store) == IDEM_OK);
    CHILD_CHECK(says("can't be written by this user") && says("mounted read-only") &&
                says("let this user write"));
    idem_close(store);
}

START_TEST(memory_disks_and_little_room_and_read_only_files_are_found)
{
    run_in_child(examine_memory_disk);
}
END_TEST

START_TEST(network_file_systems_are_named)
{
    static const struct {
        unsigned long type;
        const char *name;
    } network[] = {{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0x517b, "SMB"}, {0x65735546, "FUSE"}};
    for (size_t i = 0; i < sizeof network / sizeof network[0]; i++) {
        bool volatile_memory = true;
        ck_assert_str_eq(idem__sqlite_check_file_system(network[i].type, &volatile_memory),
                         network[i].name);
        ck_assert(!volatile_memory);
    }
    bool volatile_memory = false;
    ck_assert_ptr_null(idem__sqlite_check_file_system(0xef53, &volatile_memory)); /* ext4 */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite check");
    (void)umask(077);
    ADD_IN_FOLDER(suite, the_defaults_are_sound);
    ADD_IN_FOLDER(suite, synchronous_normal_is_found);
    ADD_ROWS_IN_FOLDER(suite, who_else_may_use_the_file_is_found, modes);
    ADD_IN_FOLDER(suite, a_folder_that_others_may_write_is_found);
    ADD_IN_FOLDER(suite, another_users_file_is_found);
    ADD_IN_FOLDER(suite, what_is_meant_for_a_group_is_no_finding);
    ADD_IN_FOLDER(suite, what_keeps_a_group_from_its_store_is_found);
    ADD_IN_FOLDER(suite, a_trial_leaves_nothing_behind);
    ADD_IN_FOLDER(suite, tables_that_were_changed_meanwhile_are_found);
    ADD_IN_FOLDER(suite, a_lock_that_stays_is_found);
    ADD_IN_FOLDER(suite, a_write_that_fails_is_found);
    ADD_IN_FOLDER(suite, a_limit_of_file_sizes_is_found);
    ADD_IN_FOLDER(suite, a_log_that_is_not_emptied_is_found);
    ADD_IN_FOLDER(suite, nothing_is_tried_in_a_callers_transaction);
    ADD_IN_FOLDER(suite, a_callers_careless_connection_is_found);
    ADD_IN_FOLDER(suite, a_database_in_memory_is_found);
    ADD_IN_FOLDER(suite, memory_disks_and_little_room_and_read_only_files_are_found);
    ADD_IN_FOLDER(suite, network_file_systems_are_named);
    return run_suite(suite);
}
