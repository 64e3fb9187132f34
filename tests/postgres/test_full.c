/* SPDX-License-Identifier: MIT */
/*
 * A disk that is full, for real: the table is in a tablespace on a file system of some megabytes,
 * in a mount namespace of the test's own. The server's log of writes is elsewhere, as it should be.
 */
#define _GNU_SOURCE /* unshare() */
#include "pg_test.h"

#include <pwd.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKIPPED 77
#define KEYS    200

static pg_server server;
static idem_store *store;
static char disk[] = "/tmp/idem-pg-disk-XXXXXX";

static void nothing(void)
{
}

#define set_up    nothing
#define tear_down nothing

/* What can't be compressed much. */
static const char *response(int number)
{
    static char text[60000];
    uint64_t state = (uint64_t)number + 1;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        text[i] = (char)('a' + (state >> 40) % 26);
    }
    text[0] = text[sizeof text - 2] = '"';
    text[sizeof text - 1] = '\0';
    return text;
}

/* @return how many keys were completed; the next one was refused */
static int fill(void)
{
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        idem_outcome out;
        (void)snprintf(key, sizeof key, "full-%d", i);
        int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str(key)), &out, &err);
        if (rc == IDEM_OK) {
            rc = idem_complete(store, out.claim, idem_str(response(i)), &err);
            idem_outcome_clear(&out);
        }
        if (rc == IDEM_OK)
            continue;
        ck_assert_msg(rc == IDEM_ERR_FULL, "%d: %s", rc, err.message);
        assert_says("no space left");
        return i;
    }
    ck_abort_msg("the disk is never full");
}

START_TEST(a_full_disk_is_told_and_loses_nothing)
{
    store = open_url(server.url, "");
    int completed = fill();
    ck_assert_int_gt(completed, 5);
    for (int i = 0; i < completed; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "full-%d", i);
        assert_replays(store, key, response(i));
    }
    ck_assert_int_eq(mount("none", disk, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    complete(store, "afterwards", response(KEYS));
    assert_replays(store, "afterwards", response(KEYS));
    idem_close(store);
}
END_TEST

static bool make_disk(void)
{
    const struct passwd *user = getpwnam("postgres");
    user = user ? user : getpwnam("nobody");
    return mkdtemp(disk) && unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", disk, "tmpfs", 0, "size=4m") == 0 && user &&
           chown(disk, user->pw_uid, user->pw_gid) == 0 && chmod(disk, 0700) == 0;
}

int main(void)
{
    const char *must = getenv("IDEM_SKIPS_FAIL");
    pg_require();
    if (!make_disk()) {
        (void)fprintf(stderr, "A file system can't be mounted here: it takes root\n");
        (void)rmdir(disk);
        return must && strcmp(must, "1") == 0 ? EXIT_FAILURE : SKIPPED;
    }
    pg_start(&server, NULL);
    pg_do(&server, "CREATE TABLESPACE small LOCATION '%s'", disk);
    pg_do(&server, "ALTER DATABASE postgres SET default_tablespace = 'small'");
    Suite *suite = suite_create("postgres on a full disk");
    ADD_HERE(suite, a_full_disk_is_told_and_loses_nothing, 1);
    int code = run_suite(suite);
    pg_remove(&server);
    (void)umount2(disk, MNT_DETACH);
    (void)rmdir(disk);
    return code;
}
