/* SPDX-License-Identifier: MIT */
/*
 * The memory backend: its URLs, names, operations and clock. What every backend has to do is in the
 * conformance suite; the hash table, and what threads may meet, have programs of their own.
 */
#include "memory_fixture.h"

#include <sys/resource.h>

extern const idem_backend_ops idem__memory_backend;

/* ------------------------------------------------------------------------------ URLs and names */

static const struct {
    const char *url;
    const char *says;
} refused[] = {
    {"memory:///path", "path"},
    {"memory://name/path", "path"},
    {"memory://name:80", "port"},
    {"memory://somebody@name", "user"},
    {"memory://u:secret@name", "user"},
    {"memory://?capacity=0", "capacity"},
    {"memory://?capacity=many", "capacity"},
};

START_TEST(a_url_with_too_much_says_what_to_write)
{
    idem_error error;
    idem_store *store = NULL;
    ck_assert_int_eq(idem_open(refused[_i].url, &store, &error), IDEM_ERR_ARGUMENT);
    ck_assert_ptr_null(store);
    ck_assert_ptr_nonnull(strstr(error.message, refused[_i].says));
    ck_assert_ptr_null(strstr(error.message, "secret"));
}
END_TEST

START_TEST(stores_are_shared_by_name_alone)
{
    idem_store *first = open_plain("memory://orders");
    idem_store *second = open_plain("memory://orders");
    idem_store *other = open_plain("memory://others");
    idem_store *own = open_plain("memory://");
    idem_store *own_too = open_plain("memory://");
    ck_assert_int_eq(begin(first, idem_str("k"), 60000), IDEM_NEW);
    ck_assert_int_eq(begin(second, idem_str("k"), 60000), IDEM_IN_PROGRESS);
    ck_assert_int_eq(begin(other, idem_str("k"), 60000), IDEM_NEW);
    ck_assert_int_eq(begin(own, idem_str("k"), 60000), IDEM_NEW);
    ck_assert_int_eq(begin(own_too, idem_str("k"), 60000), IDEM_NEW);
    idem_close(first);
    ck_assert_int_eq(begin(second, idem_str("k"), 60000), IDEM_IN_PROGRESS);
    idem_close(second);
    second = open_plain("memory://orders");
    ck_assert_int_eq(begin(second, idem_str("k"), 60000), IDEM_NEW);
    idem_close(second);
    idem_close(other);
    idem_close(own);
    idem_close(own_too);
}
END_TEST

static void assert_refused(const char *url, bool with_clock, const char *says)
{
    idem_error error;
    idem_store *store = NULL;
    idem_options options = {.size = sizeof options};
    options.clock.now_ms = with_clock ? told_time : NULL;
    ck_assert_int_eq(idem_open_with(url, &options, &store, &error), IDEM_ERR_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(error.message, says));
    ck_assert_ptr_nonnull(strstr(error.message, "\"orders\""));
}

START_TEST(handles_of_a_name_agree_about_it)
{
    idem_store *store = open_plain("memory://orders?capacity=10");
    assert_refused("memory://orders?capacity=11", false, "capacity=10");
    assert_refused("memory://orders", false, "capacity=10");
    assert_refused("memory://orders?capacity=10", true, "clock");
    idem_store *second = open_plain("memory://orders?capacity=10&ttl=5s");
    idem_close(store);
    idem_close(second);
    store = open_told("memory://orders");
    assert_refused("memory://orders?capacity=11", true, "capacity");
    assert_refused("memory://orders", false, "clock");
    idem_close(store);
}
END_TEST

/* --------------------------------------------------------------------------------- operations */

static idem_backend *open_instance(void)
{
    idem_backend *backend = NULL;
    static const idem_value unset;
    static const idem_config config = {.size = sizeof config,
                                       .scheme = "memory",
                                       .values = &unset,
                                       .role = IDEM_ROLE_ANY,
                                       .clock = {.now_ms = told_time}};
    ck_assert_int_eq(idem__memory_backend.open(&config, &backend, NULL), IDEM_OK);
    return backend;
}

static idem_op submit(idem_backend *backend, idem_op op)
{
    idem_op *ops[] = {&op};
    ck_assert_int_eq(idem__memory_backend.submit(backend, ops, 1, UINT64_MAX, NULL), IDEM_OK);
    return op;
}

static idem_op get(idem_backend *backend, idem_bytes key)
{
    return submit(backend, (idem_op){.kind = IDEM_OP_GET, .key = key});
}

static idem_record claim_of(idem_bytes key, uint64_t version)
{
    return (idem_record){.key = key,
                         .status = IDEM_STATUS_IN_PROGRESS,
                         .attempt = 7,
                         .token = {1, 2, 3},
                         .version = version,
                         .created_at_ms = 1795449600000,
                         .updated_at_ms = 1795449600001,
                         .lease_ms = 60000,
                         .ttl_ms = 86400000};
}

static idem_op store_op(idem_op_kind kind, const idem_record *record, uint64_t expected)
{
    return (idem_op){.kind = kind,
                     .key = record->key,
                     .record = record,
                     .live_ms = idem_record_live_ms(record),
                     .expected = expected};
}

START_TEST(a_change_needs_the_version_that_is_there)
{
    idem_backend *backend = open_instance();
    idem_record record = claim_of(idem_str("k"), 1);
    idem_record next = claim_of(idem_str("k"), 2);
    next.status = IDEM_STATUS_COMPLETED;
    next.response = idem_str("{\"charged\":true}");
    next.fingerprint = idem_str("f");
    ck_assert(!submit(backend, store_op(IDEM_OP_REPLACE, &next, 1)).applied);
    ck_assert(submit(backend, store_op(IDEM_OP_INSERT, &record, 0)).applied);
    atomic_fetch_add(&time_ms, 5);
    idem_op op = submit(backend, store_op(IDEM_OP_INSERT, &next, 0));
    ck_assert(!op.applied && op.has_found && op.found.version == 1 && op.found.age_ms == 5);
    idem_record_clear(&op.found);
    op = submit(backend, store_op(IDEM_OP_REPLACE, &next, 9));
    ck_assert(!op.applied && op.has_found && op.found.version == 1);
    idem_record_clear(&op.found);
    ck_assert(submit(backend, store_op(IDEM_OP_REPLACE, &next, 1)).applied);
    op = submit(backend, (idem_op){.kind = IDEM_OP_REMOVE, .key = next.key, .expected = 1});
    ck_assert(!op.applied && op.has_found && op.found.version == 2 && op.found.age_ms == 0);
    ck_assert(op.found.response.len == next.response.len &&
              memcmp(op.found.response.data, next.response.data, next.response.len) == 0);
    idem_record_clear(&op.found);
    op = submit(backend, (idem_op){.kind = IDEM_OP_REMOVE, .key = next.key, .expected = 2});
    ck_assert(op.applied && !op.has_found);
    op = get(backend, next.key);
    ck_assert(!op.applied && !op.has_found && op.error.code == IDEM_OK);
    idem__memory_backend.close(backend);
}
END_TEST

/* Two ops of one batch on one key are carried out in their order. */
START_TEST(a_batch_keeps_its_order)
{
    idem_backend *backend = open_instance();
    idem_record record = claim_of(idem_str("k"), 1);
    idem_op first = store_op(IDEM_OP_INSERT, &record, 0);
    idem_op second = {.kind = IDEM_OP_REMOVE, .key = record.key, .expected = 1};
    idem_op third = {.kind = IDEM_OP_GET, .key = record.key};
    idem_op *ops[] = {&first, &second, &third};
    ck_assert_int_eq(idem__memory_backend.submit(backend, ops, 3, UINT64_MAX, NULL), IDEM_OK);
    ck_assert(first.applied && second.applied && !third.has_found);
    idem__memory_backend.close(backend);
}
END_TEST

#if !ADDRESS_SANITIZED && \
    !THREAD_SANITIZED /* they have allocators of their own, which end the program */
START_TEST(without_memory_nothing_is_changed)
{
    const size_t size = (size_t)512 << 20;
    idem_backend *backend = open_instance();
    idem_record record = claim_of(idem_str("k"), 1);
    idem_record large = claim_of(idem_str("k"), 2);
    large.checkpoint = (idem_bytes){calloc(1, size), size};
    ck_assert_ptr_nonnull(large.checkpoint.data);
    ck_assert(submit(backend, store_op(IDEM_OP_INSERT, &record, 0)).applied);
    struct rlimit was;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &was), 0);
    struct rlimit tight = {.rlim_cur = size + size / 2, .rlim_max = was.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &tight), 0);
    idem_op op = submit(backend, store_op(IDEM_OP_REPLACE, &large, 1));
    large.key = idem_str("another");
    idem_op inserted = submit(backend, store_op(IDEM_OP_INSERT, &large, 0));
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &was), 0);
    ck_assert(!op.applied && op.error.code == IDEM_ERR_NO_MEMORY);
    ck_assert(!inserted.applied && inserted.error.code == IDEM_ERR_NO_MEMORY);
    op = get(backend, record.key);
    ck_assert(op.has_found && op.found.version == 1 && op.found.checkpoint.len == 0);
    idem_record_clear(&op.found);
    ck_assert(!get(backend, large.key).has_found);
    free((void *)(uintptr_t)large.checkpoint.data);
    idem__memory_backend.close(backend);
}
END_TEST
#endif

/* -------------------------------------------------------------------------------------- clock */

static const uint64_t origins[] = {0, 1, 1000000, UINT64_MAX - 100000, UINT64_MAX - 50};

START_TEST(time_goes_by_the_clock_that_was_given)
{
    idem_record record;
    atomic_store(&time_ms, origins[_i]);
    idem_store *store = open_told("memory://");
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_NEW);
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_IN_PROGRESS);
    atomic_fetch_add(&time_ms, 19);
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_IN_PROGRESS);
    atomic_fetch_add(&time_ms, 1);
    ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_NEW);
    ck_assert_int_eq(begin(store, idem_str("long"), IDEM_DURATION_MAX_MS), IDEM_NEW);
    atomic_fetch_add(&time_ms, 10);
    ck_assert_int_eq(begin(store, idem_str("long"), IDEM_DURATION_MAX_MS), IDEM_IN_PROGRESS);
    idem_close(store);
}
END_TEST

START_TEST(the_clock_may_jump_to_the_end_of_time)
{
    idem_record record;
    atomic_store(&time_ms, 0);
    idem_store *store = open_told("memory://");
    ck_assert_int_eq(begin(store, idem_str("k"), IDEM_DURATION_MAX_MS), IDEM_NEW);
    atomic_store(&time_ms, UINT64_MAX);
    ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_ERR_NOT_FOUND);
    ck_assert_int_eq(begin(store, idem_str("k"), 1), IDEM_NEW);
    ck_assert_int_eq(begin(store, idem_str("k"), 1), IDEM_IN_PROGRESS);
    idem_close(store);
}
END_TEST

START_TEST(a_clock_that_falls_makes_nobody_older)
{
    idem_record record;
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://");
    atomic_store(&time_ms, 5000);
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_NEW);
    atomic_store(&time_ms, 10);
    ck_assert_int_eq(idem_get(store, idem_str("k"), &record, NULL), IDEM_OK);
    ck_assert_uint_eq(record.age_ms, 0);
    idem_record_clear(&record);
    ck_assert_int_eq(begin(store, idem_str("k"), 20), IDEM_IN_PROGRESS);
    idem_close(store);
}
END_TEST

/* -------------------------------------------------------------------------------- scan, purge */

START_TEST(a_scan_gives_what_lives_and_a_purge_takes_the_rest)
{
    uint64_t removed = 0;
    atomic_store(&time_ms, 1000);
    idem_store *store = open_told("memory://");
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(begin_number(store, i < 600 ? "short" : "long", i, i < 600 ? 10 : 1000),
                         IDEM_NEW);
    ck_assert_uint_eq(count_records(store, ""), 1000);
    atomic_fetch_add(&time_ms, 10);
    ck_assert_uint_eq(count_records(store, ""), 400);
    ck_assert_uint_eq(count_records(store, "long-9"), 100);
    ck_assert_uint_eq(count_records(store, "short"), 0);
    ck_assert_int_eq(idem_purge(store, 250, &removed, NULL), IDEM_OK);
    ck_assert_uint_eq(removed, 250);
    ck_assert_int_eq(idem_purge(store, 0, &removed, NULL), IDEM_OK);
    ck_assert_uint_eq(removed, 350);
    ck_assert_uint_eq(count_records(store, "long"), 400);
    idem_close(store);
}
END_TEST

static int fail_third(void *user, const idem_record *record, idem_error *error)
{
    (void)record;
    if (++*(unsigned *)user == 3)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "no third one");
    return IDEM_OK;
}

START_TEST(a_scan_stops_where_its_caller_fails)
{
    unsigned given = 0;
    idem_error error = {0};
    idem_scan_page page = {.limit = 100, .emit = fail_third, .emit_user = &given};
    idem_backend *backend = open_instance();
    for (uint64_t i = 0; i < 50; i++) {
        char buf[64];
        idem_record record = claim_of(number_key(buf, sizeof buf, "k", (unsigned)i), i + 1);
        ck_assert(submit(backend, store_op(IDEM_OP_INSERT, &record, 0)).applied);
    }
    ck_assert_int_eq(idem__memory_backend.scan(backend, &page, UINT64_MAX, &error),
                     IDEM_ERR_NO_MEMORY);
    ck_assert_uint_eq(given, 3);
    ck_assert_str_eq(error.message, "no third one");
    ck_assert(get(backend, idem_str("nobody")).error.code == IDEM_OK);
    idem__memory_backend.close(backend);
}
END_TEST

typedef struct {
    unsigned count;
    size_t bytes;
} page_size;

static int measure(void *user, const idem_record *record, idem_error *error)
{
    page_size *size = user;
    (void)error;
    size->count++;
    size->bytes += record->checkpoint.len;
    return IDEM_OK;
}

static void insert_numbered(idem_backend *backend, unsigned count, size_t len)
{
    static char zeros[1024 * 1024];
    char buf[64];
    for (unsigned i = 0; i < count; i++) {
        idem_record record = claim_of(number_key(buf, sizeof buf, "k", i), i + 1);
        record.checkpoint = (idem_bytes){zeros, len};
        ck_assert(submit(backend, store_op(IDEM_OP_INSERT, &record, 0)).applied);
    }
}

/* @return how many records there were */
static unsigned scan_pages(idem_backend *backend, unsigned count_max, size_t bytes_max)
{
    unsigned total = 0;
    page_size size;
    idem_scan_page page = {.limit = 100, .emit = measure, .emit_user = &size};
    do {
        size = (page_size){0};
        ck_assert_int_eq(idem__memory_backend.scan(backend, &page, UINT64_MAX, NULL), IDEM_OK);
        ck_assert_uint_le(size.count, count_max);
        ck_assert_uint_le(size.bytes, bytes_max);
        total += size.count;
        page.cursor = page.next;
    } while (page.next);
    return total;
}

/* Pages are copied under a shard's lock. */
START_TEST(a_page_of_a_scan_is_bounded)
{
    idem_backend *small = open_instance();
    insert_numbered(small, 50000, 0);
    ck_assert_uint_eq(scan_pages(small, 300, 0), 50000);
    idem__memory_backend.close(small);
    idem_backend *large = open_instance();
    insert_numbered(large, 300, 1024 * 1024);
    ck_assert_uint_eq(scan_pages(large, 12, 12 * 1024 * 1024), 300);
    idem__memory_backend.close(large);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    ADD_ROWS(suite, a_url_with_too_much_says_what_to_write, refused);
    ADD(suite, stores_are_shared_by_name_alone);
    ADD(suite, handles_of_a_name_agree_about_it);
    ADD(suite, a_change_needs_the_version_that_is_there);
    ADD(suite, a_batch_keeps_its_order);
#if !ADDRESS_SANITIZED && !THREAD_SANITIZED
    ADD(suite, without_memory_nothing_is_changed);
#endif
    ADD_ROWS(suite, time_goes_by_the_clock_that_was_given, origins);
    ADD(suite, the_clock_may_jump_to_the_end_of_time);
    ADD(suite, a_clock_that_falls_makes_nobody_older);
    ADD(suite, a_scan_gives_what_lives_and_a_purge_takes_the_rest);
    ADD(suite, a_scan_stops_where_its_caller_fails);
    ADD(suite, a_page_of_a_scan_is_bounded);
    return run_suite(suite);
}
