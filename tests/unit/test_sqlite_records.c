/* SPDX-License-Identifier: MIT */
/*
 * SQLite as a record store: compare and swap, exact bytes, the clock, expiry, what cannot be
 * understood, walks over the rows, and the steps between versions of the tables.
 */
#include "sqlite_support.h"

#include "sqlite/schema.h"

static void assert_same(const idem_record *found, const idem_record *stored)
{
    ck_assert_mem_eq(found->key.data, stored->key.data, stored->key.len);
    ck_assert_uint_eq(found->key.len, stored->key.len);
    ck_assert_uint_eq(found->fingerprint.len, stored->fingerprint.len);
    if (stored->fingerprint.len)
        ck_assert_mem_eq(found->fingerprint.data, stored->fingerprint.data,
                         stored->fingerprint.len);
    ck_assert_uint_eq(found->response.len, stored->response.len);
    if (stored->response.len)
        ck_assert_mem_eq(found->response.data, stored->response.data, stored->response.len);
    ck_assert_uint_eq(found->checkpoint.len, stored->checkpoint.len);
    if (stored->checkpoint.len)
        ck_assert_mem_eq(found->checkpoint.data, stored->checkpoint.data, stored->checkpoint.len);
    ck_assert_int_eq(found->status, stored->status);
    ck_assert_int_eq(found->encoding, stored->encoding);
    ck_assert_uint_eq(found->attempt, stored->attempt);
    ck_assert_mem_eq(found->token, stored->token, sizeof stored->token);
    ck_assert_uint_eq(found->version, stored->version);
    ck_assert_int_eq(found->created_at_ms, stored->created_at_ms);
    ck_assert_int_eq(found->updated_at_ms, stored->updated_at_ms);
    ck_assert_uint_eq(found->lease_ms, stored->lease_ms);
    ck_assert_uint_eq(found->ttl_ms, stored->ttl_ms);
}

static uint64_t purge_all(const instance *on)
{
    idem_error error = {0};
    idem_purge_portion portion = {.limit = UINT64_MAX};
    uint64_t removed = 0;
    do {
        ck_assert_idem_ok(on->ops->purge(on->backend, &portion, UINT64_MAX, &error), error);
        removed += portion.removed;
        portion.cursor = portion.next;
    } while (portion.next != 0);
    return removed;
}

START_TEST(every_field_comes_back_exactly)
{
    static const char key[] = "a\0b\n'\"\xff";
    static const uint8_t print[64] = {0, 1, 2, 0xff};
    const size_t big_len = 8u * 1024 * 1024;
    char *big = malloc(big_len);
    ck_assert_ptr_nonnull(big);
    memset(big, 'x', big_len);
    idem_record full = {.key = {key, sizeof key - 1},
                        .fingerprint = {print, sizeof print},
                        .response = {big, big_len},
                        .status = IDEM_STATUS_COMPLETED,
                        .attempt = UINT32_MAX,
                        .version = UINT64_MAX - 1,
                        .created_at_ms = INT64_MIN,
                        .updated_at_ms = INT64_MAX,
                        .lease_ms = IDEM_DURATION_MAX_MS,
                        .ttl_ms = IDEM_DURATION_MAX_MS};
    memset(full.token, 0xfe, sizeof full.token);
    idem_record open_one = make_record("open", 0);
    open_one.checkpoint = idem_str("{\"at\":1.0}");
    instance on;
    instance_open(&on, store_path, false);
    idem_op ops[] = {op_insert(&full, IDEM_DURATION_MAX_MS),
                     op_insert(&open_one, 60000),
                     {.kind = IDEM_OP_GET, .key = full.key},
                     op_get("open")};
    submit(&on, ops, 4);
    ck_assert(ops[0].applied && ops[1].applied && ops[2].has_found && ops[3].has_found);
    assert_same(&ops[2].found, &full);
    assert_same(&ops[3].found, &open_one);
    idem_record_clear(&ops[2].found);
    idem_record_clear(&ops[3].found);
    instance_close(&on);
    free(big);
}
END_TEST

/* In a status of its own: an older version, which knows 1 and 2, calls the row corrupt and leaves
   it. */
START_TEST(any_bytes_have_a_status_of_their_own)
{
    instance on;
    instance_open(&on, store_path, false);
    idem_record record = make_record("k", 1);
    record.status = IDEM_STATUS_COMPLETED;
    record.encoding = IDEM_ENCODING_BYTES;
    for (size_t len = 0; len < 3; len++) {
        record.response = (idem_bytes){"\0\xff", len};
        idem_op insert = op_insert(&record, 60000);
        idem_op get = op_get("k");
        submit_one(&on, &insert);
        submit_one(&on, &get);
        ck_assert(insert.applied && get.has_found);
        assert_same(&get.found, &record);
        idem_record_clear(&get.found);
        ck_assert_int_eq(file_number("SELECT status FROM idem_record"), 3);
        idem_op removal = op_remove("k", false, 1);
        submit_one(&on, &removal);
        ck_assert(removal.applied);
    }
    instance_close(&on);
}
END_TEST

START_TEST(compares_and_swaps_in_the_order_of_the_batch)
{
    instance on;
    instance_open(&on, store_path, false);
    idem_record first = make_record("k", 1);
    idem_record second = make_record("k", 2);
    idem_record third = make_record("k", 3);
    idem_op ops[] = {
        op_replace(&first, 60000, 9),
        op_insert(&first, 60000),
        op_insert(&second, 60000),
        op_replace(&third, 60000, 2),
        op_replace(&second, 60000, 1),
        op_remove("k", false, 1),
        op_get("k"),
        op_remove("k", false, 2),
        op_get("k"),
        op_remove("k", true, 0),
        op_insert(&third, 60000),
        op_remove("k", true, 0),
    };
    static const struct {
        bool applied;
        uint64_t found; /* its version; 0: nothing */
    } expected[] = {{false, 0}, {true, 0}, {false, 1}, {false, 1}, {true, 0}, {false, 2},
                    {false, 2}, {true, 0}, {false, 0}, {false, 0}, {true, 0}, {true, 0}};
    submit(&on, ops, 12);
    for (size_t i = 0; i < 12; i++) {
        ck_assert_int_eq(ops[i].error.code, IDEM_OK);
        ck_assert_msg(ops[i].applied == expected[i].applied, "op %zu: applied", i);
        ck_assert_msg(ops[i].has_found == (expected[i].found != 0), "op %zu: has_found", i);
        ck_assert_msg(ops[i].found.version == expected[i].found, "op %zu: found", i);
        idem_record_clear(&ops[i].found);
    }
    instance_close(&on);
}
END_TEST

/* ----------------------------------------------------------------------------------- the clock */

START_TEST(an_expired_row_is_absent_for_every_op)
{
    instance on;
    instance_open(&on, store_path, true);
    idem_record record = make_record("k", 1);
    idem_op insert = op_insert(&record, 500);
    submit_one(&on, &insert);
    test_clock_ms += 499;
    ck_assert_uint_eq(age_of(&on, "k"), 499);
    test_clock_ms += 1;
    idem_record other = make_record("k", 2);
    idem_op ops[] = {op_get("k"), op_replace(&other, 60000, 1), op_remove("k", false, 1)};
    submit(&on, ops, 2);
    for (size_t i = 0; i < 2; i++)
        ck_assert(!ops[i].applied && !ops[i].has_found && ops[i].error.code == IDEM_OK);
    idem_op again = op_insert(&other, 500);
    submit_one(&on, &again);
    ck_assert(again.applied);
    ck_assert_uint_eq(age_of(&on, "k"), 0);
    instance_close(&on);
}
END_TEST

/* In one batch: no write has passed by since it expired. */
START_TEST(an_insert_takes_the_place_of_an_expired_row)
{
    instance on;
    instance_open(&on, store_path, true);
    idem_record first = make_record("k", 1);
    idem_record second = make_record("k", 2);
    idem_op insert = op_insert(&first, 500);
    submit_one(&on, &insert);
    test_clock_ms += 500;
    idem_op ops[] = {op_insert(&second, 500), op_get("k")};
    submit(&on, ops, 2);
    ck_assert(ops[0].applied && ops[1].has_found);
    ck_assert_uint_eq(ops[1].found.version, 2);
    idem_record_clear(&ops[1].found);
    instance_close(&on);
}
END_TEST

START_TEST(an_expired_row_that_no_purge_has_reached_is_new)
{
    idem_options options = {.size = sizeof options, .clock = {read_test_clock, NULL}};
    idem_store *store = NULL;
    idem_error error;
    idem_outcome outcome;
    ck_assert_idem_ok(idem_open_with(store_url("ttl=1s"), &options, &store, &error), error);
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    test_clock_ms += 1000;
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 1);
    ck_assert_idem_ok(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                      error);
    ck_assert_int_eq(outcome.kind, IDEM_NEW);
    ck_assert_uint_eq(outcome.attempt, 1);
    idem_outcome_clear(&outcome);
    idem_close(store);
}
END_TEST

START_TEST(a_clock_that_falls_gives_no_age_below_zero)
{
    instance on;
    instance_open(&on, store_path, true);
    idem_record record = make_record("k", 1);
    idem_op insert = op_insert(&record, 500);
    submit_one(&on, &insert);
    test_clock_ms -= 1000;
    ck_assert_uint_eq(age_of(&on, "k"), 0);
    instance_close(&on);
}
END_TEST

/* Rows of this boot, with the wall clock set anew since, and of another. */
static const struct {
    const char *sql;
    bool live;
    uint64_t least_ms, most_ms;
} clocks[] = {
    {"SET at_wall_ms = at_wall_ms - 31536000000", true, 0, 2000}, /* set forward by a year */
    {"SET at_wall_ms = at_wall_ms + 31536000000", true, 0, 2000}, /* set back by a year */
    {"SET at_boot_ms = at_boot_ms - 5000", true, 5000, 7000},
    {"SET at_boot_ms = at_boot_ms - 60000", false, 0, 0},
    {"SET at_boot_id = 1, at_boot_ms = 0, at_wall_ms = at_wall_ms - 5000", true, 5000, 7000},
    {"SET at_boot_id = 1, at_boot_ms = 0, at_wall_ms = at_wall_ms - 60000", false, 0, 0},
    {"SET at_boot_id = 1, at_boot_ms = 0, at_wall_ms = at_wall_ms + 60000", true, 0, 2000},
    {"SET at_boot_id = 0, at_boot_ms = 0, at_wall_ms = at_wall_ms - 5000", true, 5000, 7000},
};

START_TEST(only_the_boot_clock_counts_within_a_boot)
{
    char sql[160];
    instance on;
    instance_open(&on, store_path, false);
    idem_record record = make_record("k", 1);
    idem_op insert = op_insert(&record, 60000);
    submit_one(&on, &insert);
    (void)snprintf(sql, sizeof sql, "UPDATE idem_record %s", clocks[_i].sql);
    file_exec(sql);
    ck_assert_msg(is_live(&on, "k") == clocks[_i].live, "%s", sql);
    if (clocks[_i].live) {
        uint64_t age_ms = age_of(&on, "k");
        ck_assert_msg(age_ms >= clocks[_i].least_ms && age_ms <= clocks[_i].most_ms, "%s: %llu",
                      sql, (unsigned long long)age_ms);
    }
    instance_close(&on);
}
END_TEST

/* ------------------------------------------------------------------ what can't be understood */

static const struct {
    const char *set;
    const char *column;
} corruptions[] = {
    {"status = 9", "column status"},
    {"status = 4", "column status"},
    {"status = 0", "column status"},
    {"attempt = 0", "column attempt"},
    {"attempt = 4294967296", "column attempt"},
    {"token = x'00'", "column token"},
    {"lease_ms = -1", "column lease_ms"},
    {"ttl_ms = 3155760000001", "column ttl_ms"},
    {"live_ms = 0", "column live_ms"},
    {"live_ms = 9223372036854775807", "column live_ms"},
    {"fingerprint = zeroblob(65)", "column fingerprint"},
    {"response = x'31'", "column response"},
};

START_TEST(a_row_that_cannot_be_understood_is_left_as_it_is)
{
    char sql[200];
    instance on;
    instance_open(&on, store_path, false);
    idem_record record = make_record("k\n1", 1);
    idem_record other = make_record("k\n1", 2);
    idem_record good = make_record("good", 3);
    idem_op insert = op_insert(&record, 60000);
    submit_one(&on, &insert);
    (void)snprintf(sql, sizeof sql, "UPDATE idem_record SET %s WHERE key = CAST('k\n1' AS BLOB)",
                   corruptions[_i].set);
    file_exec(sql);
    idem_op ops[] = {op_get("k\n1"), op_insert(&other, 60000), op_replace(&other, 60000, 7),
                     op_remove("k\n1", false, 7), op_insert(&good, 60000)};
    submit(&on, ops, 5);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(ops[i].error.code, IDEM_ERR_CORRUPT);
        ck_assert(!ops[i].applied && !ops[i].has_found && ops[i].permanent);
        ck_assert_says(ops[i].error, "\"k\\x0a1\"");
        ck_assert_says(ops[i].error, corruptions[_i].column);
    }
    ck_assert(ops[4].applied);
    ck_assert_int_eq(file_number("SELECT version FROM idem_record WHERE key <> x'676f6f64'"), 1);
    idem_op removal = op_remove("k\n1", true, 0);
    submit_one(&on, &removal);
    ck_assert(removal.applied);
    ck_assert(!is_live(&on, "k\n1"));
    instance_close(&on);
}
END_TEST

/* The tables are STRICT, but whoever can write the file can change that and change it back. */
static const struct {
    const char *set;
    const char *column;
} kinds[] = {
    {"checkpoint = '{}'", "column checkpoint"},
    {"token = '0123456789abcdef'", "column token"},
    {"fingerprint = 7", "column fingerprint"},
    {"response = 1.5, status = 2", "column response"},
    {"attempt = 'one'", "column attempt"},
    {"version = 'one'", "column version"},
    {"created_at_ms = x'00'", "column created_at_ms"},
    {"live_ms = 0.5", "column live_ms"},
    {"live_ms = 'long'", "column live_ms"},
    {"at_boot_id = 'this one'", "column at_boot_id"},
    {"at_boot_ms = 'then', at_wall_ms = 'then'", "column at_boot_ms"},
    {"at_boot_id = 1, at_wall_ms = 'then'", "column at_wall_ms"},
};

START_TEST(a_value_of_the_wrong_kind_is_corrupt_and_never_expired)
{
    char sql[700];
    instance on;
    instance_open(&on, store_path, false);
    idem_record record = make_record("k", 1);
    idem_record other = make_record("k", 2);
    idem_op insert = op_insert(&record, 60000);
    submit_one(&on, &insert);
    instance_close(&on);
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA writable_schema = ON;"
                   "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '');"
                   "PRAGMA writable_schema = RESET; UPDATE idem_record SET %s;"
                   "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = sql || ' STRICT' "
                   "WHERE type = 'table'; PRAGMA writable_schema = RESET",
                   kinds[_i].set);
    file_exec(sql);
    instance_open(&on, store_path, false);
    idem_op ops[] = {op_get("k"), op_insert(&other, 60000), op_replace(&other, 60000, 7),
                     op_remove("k", false, 7)};
    submit(&on, ops, 4);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(ops[i].error.code, IDEM_ERR_CORRUPT);
        ck_assert_says(ops[i].error, "\"k\"");
        ck_assert_says(ops[i].error, kinds[_i].column);
    }
    ck_assert_uint_eq(purge_all(&on), 0);
    instance_close(&on);
}
END_TEST

START_TEST(a_corrupt_record_can_be_forgotten_by_force)
{
    idem_error error;
    idem_outcome outcome;
    idem_store *store = open_store("");
    ck_assert_idem_ok(book(store, "k", idem_str("1"), &error), error);
    file_exec("UPDATE idem_record SET token = x'0102'");
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_CORRUPT);
    ck_assert_says(error, "\"k\"");
    ck_assert_int_eq(idem_forget(store, idem_str("k"), &error), IDEM_ERR_CORRUPT);
    ck_assert_int_eq(idem_begin(store, IDEM_REQUEST(.key = idem_str("k")), &outcome, &error),
                     IDEM_ERR_CORRUPT);
    ck_assert_idem_ok(idem_forget_any(store, idem_str("k"), &error), error);
    ck_assert_idem_ok(book(store, "k", idem_str("2"), &error), error);
    idem_close(store);
}
END_TEST

/* --------------------------------------------------------------------------------------- walks */

START_TEST(writes_drop_what_has_expired_as_they_pass)
{
    char key[32];
    instance on;
    instance_open(&on, ":memory:", true);
    uint64_t live_at_most = 100;
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        idem_record record = make_record(key, (uint64_t)i);
        idem_op insert = op_insert(&record, live_at_most);
        submit_one(&on, &insert);
        ck_assert(insert.applied);
        test_clock_ms++;
    }
    uint64_t removed = purge_all(&on);
    ck_assert_uint_le(removed, 2 * live_at_most);
    instance_close(&on);
}
END_TEST

static void insert_many(instance *on, const char *name, int count, uint64_t live_ms)
{
    idem_record records[IDEM_BATCH_MAX];
    idem_op ops[IDEM_BATCH_MAX];
    char keys[IDEM_BATCH_MAX][32];
    for (int done = 0; done < count;) {
        size_t batch = 0;
        for (; batch < IDEM_BATCH_MAX && done < count; batch++, done++) {
            (void)snprintf(keys[batch], sizeof keys[batch], "%s-%d", name, done);
            records[batch] = make_record(keys[batch], 1);
            ops[batch] = op_insert(&records[batch], live_ms);
        }
        submit(on, ops, batch);
        for (size_t i = 0; i < batch; i++)
            ck_assert(ops[i].applied);
    }
}

/* A command that is started for each call writes once. */
START_TEST(an_instance_that_writes_once_sweeps_too)
{
    char key[32];
    instance on;
    instance_open(&on, store_path, true);
    insert_many(&on, "dead", 100, 1);
    instance_close(&on);
    test_clock_ms += 1;
    for (int i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        idem_record record = make_record(key, 1);
        idem_op insert = op_insert(&record, 60000);
        instance_open(&on, store_path, true);
        submit_one(&on, &insert);
        instance_close(&on);
        ck_assert(insert.applied);
    }
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 10);
}
END_TEST

START_TEST(purge_drops_what_has_expired_and_nothing_else)
{
    instance on;
    idem_error error = {0};
    uint64_t removed = 0;
    instance_open(&on, store_path, true);
    insert_many(&on, "short", 1300, 1000);
    insert_many(&on, "long", 10, 60000);
    test_clock_ms += 1000;
    idem_purge_portion portion = {.limit = 5};
    ck_assert_idem_ok(on.ops->purge(on.backend, &portion, UINT64_MAX, &error), error);
    removed = portion.removed;
    ck_assert_uint_eq(removed, 5);
    removed = purge_all(&on);
    ck_assert_uint_eq(removed, 1295);
    removed = purge_all(&on);
    ck_assert_uint_eq(removed, 0);
    ck_assert_int_eq(file_number("SELECT count(*) FROM idem_record"), 10);
    instance_close(&on);
}
END_TEST

START_TEST(a_portion_of_a_purge_goes_on_at_its_cursor)
{
    instance on;
    idem_error error = {0};
    instance_open(&on, store_path, true);
    insert_many(&on, "first", 20, 5000);
    insert_many(&on, "second", 20, 1000);
    test_clock_ms += 1000;
    /* Stops behind the living and ten of the dead. */
    idem_purge_portion portion = {.limit = 10};
    ck_assert_idem_ok(on.ops->purge(on.backend, &portion, UINT64_MAX, &error), error);
    ck_assert_uint_eq(portion.removed, 10);
    ck_assert_uint_eq(portion.next, 30);
    test_clock_ms += 4000;
    portion.limit = UINT64_MAX;
    portion.cursor = portion.next;
    ck_assert_idem_ok(on.ops->purge(on.backend, &portion, UINT64_MAX, &error), error);
    ck_assert_uint_eq(portion.removed, 10);
    ck_assert_uint_eq(portion.next, 0);
    ck_assert_int_eq(file_number("SELECT min(id) FROM idem_record"), 1);
    ck_assert_uint_eq(purge_all(&on), 20);
    instance_close(&on);
}
END_TEST

typedef struct {
    size_t count;
    size_t bytes;
    int stop_with;
} seen;

static int see(void *user, const idem_record *record, idem_error *error)
{
    seen *by = user;
    by->count++;
    by->bytes += record->response.len;
    ck_assert_uint_ge(record->key.len, 1);
    return by->stop_with ? idem_error_set(error, by->stop_with, "enough") : IDEM_OK;
}

/* Reads pages to the end. @return how many there were */
static size_t scan_all(instance *on, const char *prefix, uint64_t limit, seen *by)
{
    idem_scan_page page = {
        .prefix = idem_str(prefix), .limit = limit, .emit = see, .emit_user = by};
    idem_error error = {0};
    size_t pages = 0;
    do {
        size_t before = by->count;
        page.next = 0;
        ck_assert_idem_ok(on->ops->scan(on->backend, &page, UINT64_MAX, &error), error);
        ck_assert_uint_le(by->count - before, limit);
        page.cursor = page.next;
        pages++;
    } while (page.next);
    return pages;
}

/* SQLite gives no such ids; who fills the file by hand may. */
START_TEST(rows_with_ids_below_one_are_not_passed_over)
{
    instance on;
    seen all = {0};
    instance_open(&on, store_path, true);
    insert_many(&on, "a", 20, 1000);
    file_exec("UPDATE idem_record SET id = id - 100; UPDATE idem_record SET id = id + 90");
    ck_assert_uint_eq(scan_all(&on, "", 4, &all), 6);
    ck_assert_uint_eq(all.count, 20);
    test_clock_ms += 1000;
    ck_assert_uint_eq(purge_all(&on), 20);
    instance_close(&on);
}
END_TEST

START_TEST(scan_gives_every_live_record_once_in_pages)
{
    instance on;
    instance_open(&on, store_path, true);
    insert_many(&on, "gone", 50, 1000);
    insert_many(&on, "a", 300, 60000);
    insert_many(&on, "b", 30, 60000);
    test_clock_ms += 1000;
    seen all = {0};
    seen some = {0};
    seen none = {0};
    ck_assert_uint_ge(scan_all(&on, "", 128, &all), 3);
    ck_assert_uint_eq(all.count, 330);
    (void)scan_all(&on, "b-", 128, &some);
    ck_assert_uint_eq(some.count, 30);
    (void)scan_all(&on, "b-1-and-longer", 128, &none);
    ck_assert_uint_eq(none.count, 0);
    instance_close(&on);
}
END_TEST

START_TEST(a_page_of_a_scan_is_bounded_in_bytes)
{
    static char big[400 * 1024];
    char key[32];
    instance on;
    memset(big, '1', sizeof big);
    instance_open(&on, store_path, true);
    for (int i = 0; i < 12; i++) {
        (void)snprintf(key, sizeof key, "key-%d", i);
        idem_record record = make_record(key, 1);
        record.status = IDEM_STATUS_COMPLETED;
        record.response = (idem_bytes){big, sizeof big};
        idem_op insert = op_insert(&record, 60000);
        submit_one(&on, &insert);
    }
    seen all = {0};
    ck_assert_uint_ge(scan_all(&on, "", 128, &all), 4);
    ck_assert_uint_eq(all.bytes, 12 * sizeof big);
    instance_close(&on);
}
END_TEST

START_TEST(a_scan_ends_with_what_its_reader_says)
{
    instance on;
    instance_open(&on, store_path, false);
    insert_many(&on, "a", 3, 60000);
    seen by = {.stop_with = IDEM_ERR_NO_MEMORY};
    idem_scan_page page = {.limit = 128, .emit = see, .emit_user = &by};
    idem_error error = {0};
    ck_assert_int_eq(on.ops->scan(on.backend, &page, UINT64_MAX, &error), IDEM_ERR_NO_MEMORY);
    ck_assert_says(error, "enough");
    ck_assert_uint_eq(by.count, 1);
    instance_close(&on);
}
END_TEST

/* Keys, and behind each of an unreadable record a question mark. */
static int list(void *user, const idem_record *record, idem_error *error)
{
    char *names = user;
    size_t len = strlen(names);
    (void)error;
    (void)snprintf(names + len, 200 - len, "%.*s%s ", (int)record->key.len,
                   (const char *)record->key.data,
                   record->status == IDEM_STATUS_CORRUPT ? "?" : "");
    if (record->status == IDEM_STATUS_CORRUPT)
        ck_assert(record->attempt == 0 && record->response.len == 0 && record->version == 0);
    return IDEM_OK;
}

START_TEST(a_scan_gives_the_keys_of_what_cannot_be_understood)
{
    char names[200] = "";
    char sql[200];
    instance on;
    instance_open(&on, store_path, false);
    insert_many(&on, "a", 4, 60000);
    (void)snprintf(sql, sizeof sql, "UPDATE idem_record SET %s WHERE id = 2", corruptions[_i].set);
    file_exec(sql);
    idem_scan_page page = {.limit = 128, .emit = list, .emit_user = names};
    idem_error error = {0};
    ck_assert_idem_ok(on.ops->scan(on.backend, &page, UINT64_MAX, &error), error);
    ck_assert_str_eq(names, "a-0 a-1? a-2 a-3 ");
    ck_assert_uint_eq(page.next, 0);
    instance_close(&on);
}
END_TEST

/* Keys that no call can name belong to no record. */
START_TEST(a_scan_passes_over_keys_that_are_none)
{
    char names[200] = "";
    instance on;
    instance_open(&on, store_path, false);
    insert_many(&on, "a", 4, 60000);
    file_exec("UPDATE idem_record SET attempt = 0, key = zeroblob(5000) WHERE id = 2;"
              "UPDATE idem_record SET key = x'' WHERE id = 3");
    idem_scan_page page = {.limit = 128, .emit = list, .emit_user = names};
    idem_error error = {0};
    ck_assert_idem_ok(on.ops->scan(on.backend, &page, UINT64_MAX, &error), error);
    ck_assert_str_eq(names, "a-0 a-3 ");
    instance_close(&on);
}
END_TEST

/* ------------------------------------------------------------------------- versions of the
   tables */

/* A connection as schema.h wants one. */
static idem__sqlite made_up_instance(sqlite3 *db)
{
    idem__sqlite self = {.db = db,
                         .busy_timeout_ms = UINT64_MAX,
                         .deadline_ms = idem_monotonic_ms() + 1000,
                         .give_up_ms = idem_monotonic_ms() + 1000,
                         .name = "the test's file"};
    return self;
}

static const char *const steps[] = {
    ("CREATE TABLE idem_schema (id INTEGER PRIMARY KEY, version INTEGER NOT NULL) STRICT;"
     "INSERT INTO idem_schema VALUES (1, 0); CREATE TABLE idem_record (a INTEGER) STRICT;"),
    "ALTER TABLE idem_record ADD COLUMN b INTEGER NOT NULL DEFAULT 5;",
    "UPDATE idem_record SET b = b + a;",
    "INSERT INTO no_such_table VALUES (1);",
};

START_TEST(tables_are_brought_up_step_by_step)
{
    sqlite3 *db = raw_open(store_path);
    idem__sqlite self = made_up_instance(db);
    idem__sqlite_fault fault = {0};
    ck_assert_int_eq(idem__sqlite_schema_upgrade(&self, steps, 1, &fault), IDEM_OK);
    raw_exec(db, "INSERT INTO idem_record VALUES (7)");
    /* From 1 to 3, and no step twice. */
    ck_assert_int_eq(idem__sqlite_schema_upgrade(&self, steps, 3, &fault), IDEM_OK);
    ck_assert_int_eq(idem__sqlite_schema_upgrade(&self, steps, 3, &fault), IDEM_OK);
    ck_assert_int_eq(raw_number(db, "SELECT version FROM idem_schema"), 3);
    ck_assert_int_eq(raw_number(db, "SELECT b FROM idem_record"), 12);
    idem__sqlite_statements_close(&self);
    (void)sqlite3_close(db);
}
END_TEST

START_TEST(a_step_that_fails_leaves_the_old_version)
{
    sqlite3 *db = raw_open(store_path);
    idem__sqlite self = made_up_instance(db);
    idem__sqlite_fault fault = {0};
    ck_assert_int_eq(idem__sqlite_schema_upgrade(&self, steps, 1, &fault), IDEM_OK);
    raw_exec(db, "INSERT INTO idem_record VALUES (7)");
    ck_assert_int_eq(idem__sqlite_schema_upgrade(&self, steps, 4, &fault), IDEM_ERR_CORRUPT);
    ck_assert_int_eq(raw_number(db, "SELECT version FROM idem_schema"), 1);
    ck_assert_int_eq(raw_number(db, "SELECT count(*) FROM pragma_table_info('idem_record')"), 1);
    ck_assert_int_ne(sqlite3_get_autocommit(db), 0);
    idem__sqlite_statements_close(&self);
    (void)sqlite3_close(db);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sqlite_records");
    ADD_IN_FOLDER(suite, every_field_comes_back_exactly);
    ADD_IN_FOLDER(suite, any_bytes_have_a_status_of_their_own);
    ADD_IN_FOLDER(suite, compares_and_swaps_in_the_order_of_the_batch);
    ADD_IN_FOLDER(suite, an_expired_row_is_absent_for_every_op);
    ADD_IN_FOLDER(suite, an_insert_takes_the_place_of_an_expired_row);
    ADD_IN_FOLDER(suite, an_expired_row_that_no_purge_has_reached_is_new);
    ADD_IN_FOLDER(suite, a_clock_that_falls_gives_no_age_below_zero);
    ADD_ROWS_IN_FOLDER(suite, only_the_boot_clock_counts_within_a_boot, clocks);
    ADD_ROWS_IN_FOLDER(suite, a_row_that_cannot_be_understood_is_left_as_it_is, corruptions);
    ADD_ROWS_IN_FOLDER(suite, a_value_of_the_wrong_kind_is_corrupt_and_never_expired, kinds);
    ADD_IN_FOLDER(suite, a_corrupt_record_can_be_forgotten_by_force);
    ADD_IN_FOLDER(suite, writes_drop_what_has_expired_as_they_pass);
    ADD_IN_FOLDER(suite, an_instance_that_writes_once_sweeps_too);
    ADD_IN_FOLDER(suite, purge_drops_what_has_expired_and_nothing_else);
    ADD_IN_FOLDER(suite, a_portion_of_a_purge_goes_on_at_its_cursor);
    ADD_IN_FOLDER(suite, scan_gives_every_live_record_once_in_pages);
    ADD_IN_FOLDER(suite, rows_with_ids_below_one_are_not_passed_over);
    ADD_IN_FOLDER(suite, a_page_of_a_scan_is_bounded_in_bytes);
    ADD_IN_FOLDER(suite, a_scan_ends_with_what_its_reader_says);
    ADD_ROWS_IN_FOLDER(suite, a_scan_gives_the_keys_of_what_cannot_be_understood, corruptions);
    ADD_IN_FOLDER(suite, a_scan_passes_over_keys_that_are_none);
    ADD_IN_FOLDER(suite, tables_are_brought_up_step_by_step);
    ADD_IN_FOLDER(suite, a_step_that_fails_leaves_the_old_version);
    return run_suite(suite);
}
