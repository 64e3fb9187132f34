/* SPDX-License-Identifier: MIT */
/* The suite on a backend of a user's own, examples/custom_backend.c, and what can be shown only
   where a test can reach the records: guarantees 6 and 8. */
#include "main.h"

#include <custom_backend.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512];
static char url[600];

static void fresh(void)
{
    static unsigned number;
    char name[64];
    (void)snprintf(name, sizeof name, "custom-%ld-%u", (long)getpid(), number++);
    conformance_path(folder, sizeof folder, name);
    (void)snprintf(url, sizeof url, "dir://%s", folder);
}

static int open_store(const char *params, const idem_options *options, idem_store **store,
                      idem_error *error)
{
    return conformance_open_url(url, params, options, store, error);
}

static int open_unreachable(idem_store **store, idem_error *error)
{
    return idem_open("dir:///dev/null/no-such-folder/records", store, error);
}

static void cleanup(void)
{
    conformance_remove(folder);
}

/* The path of the only record's file. */
static void find_record(char *path, size_t size)
{
    path[0] = '\0';
    DIR *list = opendir(folder);
    ck_assert_ptr_nonnull(list);
    for (const struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        if (strlen(entry->d_name) == 64)
            (void)snprintf(path, size, "%s/%s", folder, entry->d_name);
    }
    (void)closedir(list);
    ck_assert(path[0] != '\0');
}

static size_t read_file(const char *path, char *buf, size_t size)
{
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(buf, 1, size, file);
    (void)fclose(file);
    return len;
}

static void write_file(const char *path, const char *buf, size_t len)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(buf, 1, len, file), len);
    ck_assert_int_eq(fclose(file), 0);
}

static void assert_corrupt_calls(void)
{
    idem_outcome out;
    idem_record record;
    assert_error(IDEM_ERR_CORRUPT, idem_begin(one, IDEM_REQUEST(.key = KEY), &out, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "charge-42"));
    assert_error(IDEM_ERR_CORRUPT, idem_get(one, KEY, &record, &err));
}

static int never_given(const idem_record *record, void *user)
{
    (void)record;
    (void)user;
    return 0;
}

START_TEST(guarantee_8_a_record_that_is_cut_anywhere_is_an_error_and_is_left_as_it_is)
{
    char path[600];
    char sound[4096];
    char now[4096];
    complete_key(one, "{\"charged\":true}");
    find_record(path, sizeof path);
    size_t len = read_file(path, sound, sizeof sound);
    for (size_t cut = 0; cut < len; cut += 1 + len / 40) {
        write_file(path, sound, cut);
        assert_corrupt_calls();
        ck_assert_uint_eq(read_file(path, now, sizeof now), cut);
        ck_assert_mem_eq(now, sound, cut);
    }
    assert_error(IDEM_ERR_CORRUPT, idem_scan(one, NULL, never_given, NULL, &err));
    assert_ok(idem_purge(one, 0, NULL, &err));
    assert_corrupt_calls();
    assert_error(IDEM_ERR_CORRUPT, idem_forget(one, KEY, &err));
    assert_error(IDEM_ERR_CORRUPT, idem_forget_expired(one, KEY, &err));
    assert_error(IDEM_ERR_CORRUPT, idem_settle(one, KEY, idem_str("1"), &err));
    assert_corrupt_calls();
    assert_ok(idem_forget_any(one, KEY, &err));
    assert_absent();
}
END_TEST

START_TEST(guarantee_8_a_record_of_another_key_is_an_error)
{
    char path[600];
    char text[4096];
    complete_key(one, "1");
    find_record(path, sizeof path);
    size_t len = read_file(path, text, sizeof text);
    char *key = memchr(text, '\n', len);
    ck_assert_ptr_nonnull(key);
    key[1] = 'C';
    write_file(path, text, len);
    assert_corrupt_calls();
}
END_TEST

START_TEST(guarantee_6_a_directory_that_went_away_is_an_error_and_never_new)
{
    idem_outcome out;
    complete_key(one, "1");
    conformance_remove(folder);
    assert_error(IDEM_ERR_UNAVAILABLE,
                 idem_begin(one, IDEM_REQUEST(.key = KEY, .timeout_ms = 200), &out, &err));
}
END_TEST

START_TEST(guarantee_7_a_lock_held_by_another_is_waited_for_up_to_the_deadline)
{
    char path[600];
    idem_outcome out;
    (void)snprintf(path, sizeof path, "%s/lock", folder);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(lock, 0);
    ck_assert_int_eq(flock(lock, LOCK_EX), 0);
    uint64_t start = now_ms();
    assert_error(IDEM_ERR_UNAVAILABLE,
                 idem_begin(one, IDEM_REQUEST(.key = KEY, .timeout_ms = 300), &out, &err));
    uint64_t took_ms = now_ms() - start;
    ck_assert_uint_ge(took_ms, 250);
    ck_assert_uint_lt(took_ms, 3000);
    (void)close(lock);
    assert_absent();
}
END_TEST

START_TEST(a_url_without_a_directory_is_refused)
{
    idem_store *store = NULL;
    assert_error(IDEM_ERR_ARGUMENT, idem_open("dir:", &store, &err));
    assert_error(IDEM_ERR_ARGUMENT, idem_open("dir://host/path", &store, &err));
    assert_error(IDEM_ERR_UNAVAILABLE, idem_open("dir:///dev/null", &store, &err));
    ck_assert_ptr_null(store);
}
END_TEST

START_TEST(a_scheme_that_is_taken_is_refused)
{
    assert_error(IDEM_ERR_ARGUMENT, custom_backend_register(&err));
}
END_TEST

static void add_own(Suite *suite)
{
    ADD(suite, "custom", 0, ANY_TIME,
        guarantee_8_a_record_that_is_cut_anywhere_is_an_error_and_is_left_as_it_is,
        guarantee_8_a_record_of_another_key_is_an_error,
        guarantee_6_a_directory_that_went_away_is_an_error_and_never_new,
        guarantee_7_a_lock_held_by_another_is_waited_for_up_to_the_deadline,
        a_url_without_a_directory_is_refused, a_scheme_that_is_taken_is_refused);
}

int main(void)
{
    static const conformance_backend custom = {
        .name = "custom",
        .lacks = CONFORMANCE_BULK,
        .fresh = fresh,
        .open = open_store,
        .open_unreachable = open_unreachable,
        .cleanup = cleanup,
        .add_own = add_own,
    };
    if (custom_backend_register(&err)) {
        (void)fprintf(stderr, "custom: %s\n", err.message);
        return EXIT_FAILURE;
    }
    return conformance_main(&custom);
}
