/* SPDX-License-Identifier: MIT */
/*
 * The parts of the memory backend: the keyed hash, the packing of records, and the table of one
 * shard against a model that is too simple to be wrong.
 */
#include "memory/siphash.h"
#include "memory/table.h"

#include "runner.h"

#include <stdio.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* ---------------------------------------------------------------------------------- siphash */

/* Hashes of the bytes 0, 1, 2, … They were computed by other implementations: those of the second
   key, and 1,280 bytes, by CPython 3.11, whose hash() is SipHash-1-3; the rest by the authors'. */
static const struct {
    idem__siphash_key key;
    size_t len;
    uint64_t hash;
} vectors[] = {
    {{0, 0}, 0, UINT64_C(0xd1fba762150c532c)},
    {{0, 0}, 1, UINT64_C(0x68a914128e01e473)},
    {{0, 0}, 7, UINT64_C(0x2f098ab0c751325a)},
    {{0, 0}, 8, UINT64_C(0xead411e67ebe2eea)},
    {{0, 0}, 15, UINT64_C(0xf30eb725bb91c9ea)},
    {{0, 0}, 36, UINT64_C(0xac77921fcc642bd3)},
    {{0, 0}, 63, UINT64_C(0x385d3e39e5f37359)},
    {{0, 0}, 1280, UINT64_C(0x8ac180bf4cfe4d83)},
    {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}, 0, UINT64_C(0xabac0158050fc4dc)},
    {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)}, 1, UINT64_C(0xecd3e5afcecda4b9)},
    {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)}, 7, UINT64_C(0xfd15e78052a69ddf)},
    {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)}, 8, UINT64_C(0xc0b5739e7e28dd01)},
    {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
     36,
     UINT64_C(0x93fbdf55374406c1)},
    {{UINT64_C(0xaed66ce184be2329), UINT64_C(0xebe9bbf1f1499052)},
     64,
     UINT64_C(0x7e644b6edc375dc8)},
};

START_TEST(the_hash_is_siphash_1_3)
{
    uint8_t data[1280];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    ck_assert_uint_eq(idem__siphash_13(&vectors[_i].key, data, vectors[_i].len), vectors[_i].hash);
}
END_TEST

/* ------------------------------------------------------------------------------------ entries */

#define NOW   UINT64_C(5000)
#define EPOCH INT64_C(1795449600000)

static idem_record claim_of(idem_bytes key)
{
    return (idem_record){.key = key,
                         .status = IDEM_STATUS_IN_PROGRESS,
                         .attempt = 1,
                         .token = {1, 2, 3, 0xff},
                         .version = UINT64_C(0xfedcba9876543210),
                         .created_at_ms = EPOCH + (int64_t)NOW + 3,
                         .updated_at_ms = EPOCH + (int64_t)NOW + 3,
                         .lease_ms = 60000,
                         .ttl_ms = 86400000};
}

static idem__entry *pack(const idem_record *record, uint64_t now_ms, uint64_t live_ms,
                         idem__entry *old)
{
    idem__entry *made = NULL;
    idem__entry_times times = {.now_ms = now_ms, .live_ms = live_ms, .epoch_ms = EPOCH};
    if (idem__entry_pack(record, &times, old, &made, NULL))
        ck_abort_msg("a record can't be packed");
    return made;
}

static bool same(idem_bytes a, idem_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void assert_comes_back(const idem_record *record, uint64_t live_ms)
{
    idem_record view;
    idem__entry *entry = pack(record, NOW, live_ms, NULL);
    idem__entry_view(entry, NOW + 7, EPOCH, &view);
    ck_assert(same(view.key, record->key) && same(view.fingerprint, record->fingerprint));
    ck_assert(same(view.response, record->response) && same(view.checkpoint, record->checkpoint));
    ck_assert_mem_eq(view.token, record->token, IDEM_TOKEN_SIZE);
    ck_assert(view.status == record->status);
    ck_assert_uint_eq(view.attempt, record->attempt);
    ck_assert_uint_eq(view.version, record->version);
    ck_assert_int_eq(view.created_at_ms, record->created_at_ms);
    ck_assert_int_eq(view.updated_at_ms, record->updated_at_ms);
    ck_assert_uint_eq(view.lease_ms, record->lease_ms);
    ck_assert_uint_eq(view.ttl_ms, record->ttl_ms);
    ck_assert_uint_eq(view.age_ms, 7);
    ck_assert_uint_eq(entry->expires_ms, NOW + live_ms);
    free(entry);
}

START_TEST(every_field_comes_back)
{
    static const int64_t walls[] = {0, 1, -1, INT64_MAX, INT64_MIN, EPOCH};
    static const uint64_t spans[] = {0, 1, 127, 128, 16384, IDEM_DURATION_MAX_MS};
    static char key[IDEM_KEY_MAX + IDEM_PREFIX_MAX];
    for (size_t i = 0; i < 6 * 6 * 6; i++) {
        idem_record record = claim_of((idem_bytes){key, i % 5 ? 36 : sizeof key});
        record.created_at_ms = walls[i % 6];
        record.updated_at_ms = walls[i / 6 % 6];
        record.lease_ms = spans[i / 36];
        record.ttl_ms = spans[i % 6];
        record.attempt = i % 2 ? UINT32_MAX : 1;
        record.fingerprint = idem_str(i % 3 ? "" : "fingerprint");
        record.checkpoint = idem_str(i % 4 ? "" : "{\"page\":3}");
        assert_comes_back(&record, idem_record_live_ms(&record));
        record.status = IDEM_STATUS_COMPLETED;
        record.response = (idem_bytes){key, sizeof key};
        assert_comes_back(&record, idem_record_live_ms(&record));
        assert_comes_back(&record, spans[i / 6 % 6] + 1);
    }
}
END_TEST

START_TEST(a_time_older_than_the_entry_gives_age_0)
{
    idem_record view;
    idem_record record = claim_of(idem_str("k"));
    idem__entry *entry = pack(&record, NOW, 1000, NULL);
    idem__entry_view(entry, NOW - 1, EPOCH, &view);
    ck_assert_uint_eq(view.age_ms, 0);
    free(entry);
}
END_TEST

START_TEST(an_entry_is_written_anew_in_place_if_it_fits)
{
    idem_record view;
    idem_record record = claim_of(idem_str("3f2b8a52-5c8e-4f0e-9a59-0a6a5f6c7d11"));
    idem__entry *entry = pack(&record, NOW, 1000, NULL);
    record.version = 2;
    record.updated_at_ms += 500;
    ck_assert_ptr_eq(pack(&record, NOW + 500, 1000, entry), entry);
    idem__entry_view(entry, NOW + 500, EPOCH, &view);
    ck_assert_uint_eq(view.version, 2);
    ck_assert_int_eq(view.updated_at_ms, record.updated_at_ms);
    record.checkpoint = idem_str("\"a checkpoint that does not fit in what is left over\"");
    idem__entry *larger = pack(&record, NOW + 500, 1000, entry);
    ck_assert_ptr_ne(larger, entry);
    ck_assert_uint_eq(entry->version, 2);
    record.checkpoint = idem_str("");
    idem__entry *smaller = pack(&record, NOW + 500, 1000, larger);
    ck_assert_ptr_ne(smaller, larger);
    free(entry);
    free(larger);
    free(smaller);
}
END_TEST

START_TEST(a_record_that_is_too_large_is_refused)
{
    idem_error error = {0};
    idem__entry *made = NULL;
    idem__entry_times times = {.now_ms = NOW, .live_ms = 1000, .epoch_ms = EPOCH};
    idem_record record = claim_of(idem_str("k"));
    record.checkpoint = (idem_bytes){"x", (size_t)1 << 30};
    ck_assert_int_eq(idem__entry_pack(&record, &times, NULL, &made, &error), IDEM_ERR_TOO_LARGE);
    ck_assert(error.message[0] && !made);
}
END_TEST

#ifdef __GLIBC__
START_TEST(records_are_small)
{
    static const char response[256];
    idem_record record = claim_of(idem_str("3f2b8a52-5c8e-4f0e-9a59-0a6a5f6c7d11"));
    idem__entry *entry = pack(&record, NOW, 86400000, NULL);
    ck_assert_uint_le(malloc_usable_size(entry), 88);
    record.status = IDEM_STATUS_COMPLETED;
    record.response = (idem_bytes){response, sizeof response};
    record.updated_at_ms += 90000;
    idem__entry *completed = pack(&record, NOW + 90000, 86400000, entry);
    ck_assert_uint_le(malloc_usable_size(completed), 344);
    free(entry);
    free(completed);
}
END_TEST
#endif

/* -------------------------------------------------------------------------------------- table */

#define SECRET ((const idem__siphash_key *)&vectors[9].key)

static uint32_t tag_of(idem_bytes key)
{
    return idem__table_tag(idem__siphash_13(SECRET, key.data, key.len));
}

static idem_bytes number_key(char *buf, size_t size, uint64_t number)
{
    int len = snprintf(buf, size, "key-%llu", (unsigned long long)number);
    return (idem_bytes){buf, (size_t)len};
}

static uint64_t insert_tagged(idem__table *table, uint32_t tag, idem_bytes key, uint64_t now_ms,
                              uint64_t live_ms)
{
    uint64_t dropped = UINT64_MAX;
    idem_record record = claim_of(key);
    idem__entry *entry = pack(&record, now_ms, live_ms, NULL);
    if (idem__table_insert(table, tag, entry, now_ms, &dropped, NULL))
        ck_abort_msg("an entry can't be inserted");
    return dropped;
}

static uint64_t insert(idem__table *table, idem_bytes key, uint64_t now_ms, uint64_t live_ms)
{
    return insert_tagged(table, tag_of(key), key, now_ms, live_ms);
}

static bool is_sound_at(const idem__table *table, uint32_t slot)
{
    const idem__entry *entry = table->entries[slot];
    return entry->expires_ms >= table->next_expiry_ms &&
           (slot >= table->cursor || entry->expires_ms >= table->pass_expiry_ms) &&
           idem__table_find(table, table->tags[slot], idem__entry_key(entry)) == slot;
}

/* All that has to hold between any two calls. */
static bool is_sound(const idem__table *table)
{
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < table->capacity; slot++) {
        bool taken = table->tags[slot] != 0;
        count += taken;
        if (taken != (table->entries[slot] != NULL) || (taken && !is_sound_at(table, slot)))
            return false;
    }
    return count == table->count && count <= table->capacity / 5 * 4;
}

START_TEST(a_removal_closes_its_gap_across_the_end)
{
    /* Homes in the last two slots, and one that was pushed aside: nine entries around the end. */
    static const uint32_t tags[] = {UINT32_MAX,     UINT32_MAX, UINT32_MAX - 1, UINT32_MAX,
                                    0xee000000,     1,          0xee000001,     UINT32_MAX - 2,
                                    0x11111112 + 7, 0x22222223};
    const uint64_t count = sizeof tags / sizeof tags[0];
    char buf[32];
    for (uint64_t first = 0; first < count * count; first++) {
        idem__table table;
        idem__table_init(&table);
        for (uint64_t i = 0; i < count; i++)
            (void)insert_tagged(&table, tags[i], number_key(buf, sizeof buf, i), 0, 1000 + i);
        ck_assert_uint_eq(table.capacity, 15);
        for (uint64_t n = 0; n < count; n++) {
            uint64_t i = (first % count + n * (first / count + 1)) % count;
            uint32_t slot = idem__table_find(&table, tags[i], number_key(buf, sizeof buf, i));
            if (slot != IDEM__TABLE_NONE)
                idem__table_remove(&table, slot);
            ck_assert_uint_eq(idem__table_find(&table, tags[i], number_key(buf, sizeof buf, i)),
                              IDEM__TABLE_NONE);
            ck_assert(is_sound(&table));
        }
        idem__table_clear(&table);
    }
}
END_TEST

/* A model: what the table should hold, by the key's number. */
#define MODEL_KEYS 512u

typedef struct {
    idem__table table;
    uint64_t expires_ms[MODEL_KEYS]; /* 0: never put in, or removed */
    uint64_t version[MODEL_KEYS];
    uint64_t now_ms;
    uint64_t seed;
    uint64_t stored; /* by the model's own count, with the drops that the table told of */
} model;

static uint64_t draw(model *m, uint64_t below)
{
    m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (m->seed >> 33) % below;
}

static void model_step(model *m)
{
    char buf[32];
    uint64_t number = draw(m, MODEL_KEYS);
    uint64_t action = draw(m, 100);
    uint64_t live_ms = 1 + draw(m, action % 2 ? 40 : 4000);
    idem_bytes key = number_key(buf, sizeof buf, number);
    uint32_t slot = idem__table_find(&m->table, tag_of(key), key);
    bool live = m->expires_ms[number] > m->now_ms;
    const idem__entry *entry = slot != IDEM__TABLE_NONE ? m->table.entries[slot] : NULL;
    if (entry ? entry->expires_ms != m->expires_ms[number] || entry->version != m->version[number]
              : live)
        ck_abort_msg("the table has another record than the model");
    if (slot == IDEM__TABLE_NONE) {
        if (action < 80) {
            m->stored += 1 - insert(&m->table, key, m->now_ms, live_ms);
            m->expires_ms[number] = m->now_ms + live_ms;
            m->version[number] = UINT64_C(0xfedcba9876543210);
        }
    } else if (action < 50) {
        idem_record record = claim_of(key);
        record.version = m->version[number] = draw(m, UINT32_MAX);
        record.checkpoint = (idem_bytes){buf, (size_t)draw(m, sizeof buf)};
        m->expires_ms[number] = m->now_ms + live_ms;
        idem__table_replace(&m->table, slot,
                            pack(&record, m->now_ms, live_ms, m->table.entries[slot]));
    } else if (action < 95 || !live) {
        idem__table_remove(&m->table, slot);
        m->expires_ms[number] = 0;
        m->stored--;
    } else if (action < 97) {
        m->stored -= idem__table_purge(&m->table, m->now_ms, draw(m, 20));
    }
    m->now_ms += draw(m, 3);
    if (m->table.count != m->stored)
        ck_abort_msg("the table has %u entries, the model %u", (unsigned)m->table.count,
                     (unsigned)m->stored);
}

START_TEST(the_table_does_what_a_model_does)
{
    for (uint64_t round = 1; round <= 20; round++) {
        model m = {.now_ms = 1, .seed = round};
        idem__table_init(&m.table);
        for (int i = 0; i < 5000; i++) {
            model_step(&m);
            if (i % 16 == 0)
                ck_assert(is_sound(&m.table));
        }
        m.stored -= idem__table_purge(&m.table, m.now_ms, UINT64_MAX);
        uint64_t live = 0;
        for (size_t i = 0; i < MODEL_KEYS; i++)
            live += m.expires_ms[i] > m.now_ms;
        ck_assert_uint_eq(m.table.count, live);
        ck_assert_uint_eq(m.stored, live);
        ck_assert(is_sound(&m.table));
        idem__table_clear(&m.table);
    }
}
END_TEST

START_TEST(a_hundred_thousand_keys_in_one_table)
{
    idem__table table;
    char buf[32];
    idem__table_init(&table);
    for (uint64_t i = 0; i < 100000; i++)
        (void)insert(&table, number_key(buf, sizeof buf, i), 0, 1000);
    ck_assert(is_sound(&table));
    ck_assert_uint_eq(table.count, 100000);
    ck_assert_uint_le(table.capacity, 100000 / 3 * 5 + 100);
    uint32_t found = 0;
    uint32_t odd_found = 0;
    for (uint64_t i = 0; i < 100000; i += 2) {
        idem_bytes key = number_key(buf, sizeof buf, i);
        idem__table_remove(&table, idem__table_find(&table, tag_of(key), key));
    }
    ck_assert(is_sound(&table));
    for (uint64_t i = 0; i < 100000; i++) {
        idem_bytes key = number_key(buf, sizeof buf, i);
        found += idem__table_find(&table, tag_of(key), key) != IDEM__TABLE_NONE;
        odd_found += i % 2 && idem__table_find(&table, tag_of(key), key) != IDEM__TABLE_NONE;
    }
    ck_assert(found == 50000 && odd_found == 50000);
    ck_assert_uint_eq(idem__table_purge(&table, 1000, UINT64_MAX), 50000);
    ck_assert_uint_lt(table.capacity, 100);
    idem__table_clear(&table);
}
END_TEST

/* `Ez` and `FY` have the same sum under h * 33 + c: any sequence of them collides. */
START_TEST(crafted_keys_spread_evenly)
{
    enum { PAIRS = 14, KEYS = 1 << PAIRS, SHARDS = 64 };
    static uint32_t per_shard[SHARDS];
    idem__table table;
    uint32_t unkeyed = 0;
    idem__table_init(&table);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[2 * PAIRS];
        uint32_t sum = 5381;
        for (uint32_t pair = 0; pair < PAIRS; pair++)
            memcpy(key + 2 * pair, i >> pair & 1 ? "FY" : "Ez", 2);
        for (size_t c = 0; c < sizeof key; c++)
            sum = sum * 33 + (uint8_t)key[c];
        if (i > 0 && sum != unkeyed)
            ck_abort_msg("the keys do not collide for the unkeyed hash");
        unkeyed = sum;
        per_shard[idem__siphash_13(SECRET, key, sizeof key) % SHARDS]++;
        (void)insert(&table, (idem_bytes){key, sizeof key}, 0, 1000);
    }
    for (size_t i = 0; i < SHARDS; i++)
        ck_assert(per_shard[i] > KEYS / SHARDS / 2 && per_shard[i] < KEYS / SHARDS * 2);
    uint32_t run = 0;
    uint32_t longest = 0;
    for (uint32_t slot = 0; slot < table.capacity; slot++) {
        run = table.tags[slot] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    ck_assert_uint_lt(longest, 200);
    idem__table_clear(&table);
}
END_TEST

/* ------------------------------------------------------------------------------------- expiry */

START_TEST(keys_that_are_never_asked_again_do_not_pile_up)
{
    idem__table table;
    char buf[32];
    uint64_t dropped = 0;
    uint32_t most = 0;
    idem__table_init(&table);
    for (uint64_t i = 0; i < 1000000; i++) {
        dropped += insert(&table, number_key(buf, sizeof buf, i), i / 10, 10);
        most = table.count > most ? table.count : most;
    }
    ck_assert_uint_le(most, 300); /* 100 of them are live at a time */
    ck_assert_uint_le(table.capacity, 400);
    ck_assert_uint_eq(dropped + table.count, 1000000);
    idem__table_clear(&table);
}
END_TEST

/* After a rush the table is large, and would not be full again for long. */
START_TEST(expired_entries_are_dropped_in_passing)
{
    idem__table table;
    char buf[32];
    uint64_t number = 0;
    idem__table_init(&table);
    while (table.capacity < 10000)
        (void)insert(&table, number_key(buf, sizeof buf, number++), 0, 10);
    uint32_t capacity = table.capacity;
    uint32_t most = 0;
    for (uint32_t i = 0; i < capacity / 4 + 1; i++) {
        (void)insert(&table, number_key(buf, sizeof buf, number + i), 10, 100);
        most = table.count > most ? table.count : most;
    }
    ck_assert_uint_le(most, number + 1);
    ck_assert_uint_eq(table.count, capacity / 4 + 1);
    ck_assert_uint_eq(table.capacity, capacity);
    ck_assert_uint_eq(table.next_expiry_ms, 110);
    ck_assert(is_sound(&table));
    idem__table_clear(&table);
}
END_TEST

START_TEST(a_table_drops_what_has_expired_before_it_grows)
{
    idem__table table;
    char buf[32];
    uint64_t number = 0;
    idem__table_init(&table);
    while (table.capacity < 1000 || table.count < table.capacity / 5 * 4)
        (void)insert(&table, number_key(buf, sizeof buf, number++), 0, 10);
    uint32_t capacity = table.capacity;
    uint32_t count = table.count;
    ck_assert_uint_eq(insert(&table, idem_str("after"), 10, 10), count);
    ck_assert_uint_eq(table.count, 1);
    ck_assert_uint_eq(table.capacity, capacity);
    idem__table_clear(&table);
}
END_TEST

static void insert_large(idem__table *table, idem_bytes key, size_t len)
{
    static char zeros[1024 * 1024];
    uint64_t dropped;
    idem_record record = claim_of(key);
    record.checkpoint = (idem_bytes){zeros, len};
    ck_assert_int_eq(
        idem__table_insert(table, tag_of(key), pack(&record, 0, 10, NULL), 0, &dropped, NULL), 0);
}

/* Others wait for the table's lock meanwhile. */
START_TEST(an_insert_frees_few_bytes)
{
    idem__table table;
    char buf[32];
    idem__table_init(&table);
    for (uint64_t i = 0; i < 40; i++)
        insert_large(&table, number_key(buf, sizeof buf, i), 1024 * 1024);
    uint64_t dropped = 0;
    for (uint64_t i = 0; i < 80; i++) {
        uint64_t now = insert(&table, number_key(buf, sizeof buf, 100 + i), 10, 1000);
        ck_assert_uint_le(now, 2); /* in passing, and before it grows */
        dropped += now;
    }
    ck_assert_uint_eq(dropped, 40);
    ck_assert(is_sound(&table));
    idem__table_clear(&table);
}
END_TEST

START_TEST(a_large_table_is_looked_at_in_part_before_it_grows)
{
    idem__table table;
    char buf[32];
    uint64_t number = 0;
    idem__table_init(&table);
    while (table.capacity < 100000 || table.count < table.capacity / 5 * 4)
        (void)insert(&table, number_key(buf, sizeof buf, number++), 0, 10);
    uint32_t count = table.count;
    ck_assert_uint_lt(insert(&table, idem_str("after"), 10, 100), count / 2);
    ck_assert(is_sound(&table));
    for (uint64_t i = 0; table.next_expiry_ms <= 10 && i < count; i++)
        (void)insert(&table, number_key(buf, sizeof buf, number++), 10, 100);
    ck_assert_uint_lt(table.count, count / 2);
    idem__table_clear(&table);
}
END_TEST

/* -------------------------------------------------------------------------------------- walk */

#define WALK_KEYS 3000u

typedef struct {
    unsigned visits[WALK_KEYS];
    unsigned part; /* visits of this part of the walk */
} walker;

static int visit(void *user, const idem__entry *entry)
{
    walker *w = user;
    unsigned number = 0;
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", (int)entry->key_len, (const char *)entry->bytes);
    ck_assert_int_eq(sscanf(text, "key-%u", &number), 1);
    if (number < WALK_KEYS)
        w->visits[number]++;
    w->part++;
    return 0;
}

static bool had_enough(void *user)
{
    const walker *w = user;
    return w->part >= 50;
}

/* What is there all the time is visited once, whatever comes and goes, and though the table grows and
   shrinks meanwhile. */
START_TEST(a_walk_in_parts_visits_what_stays_once)
{
    static walker w;
    const idem__table_visitor visitor = {visit, had_enough, &w};
    idem__table table;
    char buf[32];
    uint64_t from = 0;
    uint64_t extra = WALK_KEYS;
    uint64_t parts = 0;
    idem__table_init(&table);
    memset(&w, 0, sizeof w);
    for (uint64_t i = 0; i < WALK_KEYS; i++)
        (void)insert(&table, number_key(buf, sizeof buf, i), 0, 1000);
    do {
        w.part = 0;
        ck_assert_int_eq(idem__table_walk(&table, &from, &visitor), 0);
        ck_assert_uint_le(w.part, 500);
        for (uint64_t i = 0; parts % 20 < 10 && i < 500; i++)
            (void)insert(&table, number_key(buf, sizeof buf, extra++), 0, 1);
        if (parts % 20 == 19)
            (void)idem__table_purge(&table, 1, UINT64_MAX);
        parts++;
    } while (from != 0);
    for (uint64_t i = 0; i < WALK_KEYS; i++)
        ck_assert_msg(w.visits[i] == 1, "key %u: %u visits", (unsigned)i, w.visits[i]);
    ck_assert_uint_gt(parts, 20);
    idem__table_clear(&table);
}
END_TEST

/* Entries that probed over the end stand in front. */
START_TEST(a_walk_takes_what_went_over_the_end_last)
{
    static walker w;
    const idem__table_visitor visitor = {visit, had_enough, &w};
    idem__table table;
    char buf[32];
    uint64_t from = 0;
    idem__table_init(&table);
    memset(&w, 0, sizeof w);
    for (uint32_t i = 0; i < 8; i++)
        (void)insert_tagged(&table, UINT32_MAX - i, number_key(buf, sizeof buf, i), 0, 1000);
    w.part = 50; /* stops at the first empty slot, before any of them */
    ck_assert_int_eq(idem__table_walk(&table, &from, &visitor), 0);
    ck_assert_uint_eq(w.part, 50);
    ck_assert_uint_ne(from, 0);
    for (uint32_t i = 0; i < 40; i++)
        (void)insert_tagged(&table, i * 0x5000000u + 1, number_key(buf, sizeof buf, 5000 + i), 0,
                            1000);
    w.part = 0;
    ck_assert_int_eq(idem__table_walk(&table, &from, &visitor), 0);
    ck_assert_uint_eq(from, 0);
    for (uint64_t i = 0; i < 8; i++)
        ck_assert_uint_eq(w.visits[i], 1);
    idem__table_clear(&table);
}
END_TEST

START_TEST(a_purge_keeps_to_its_limit)
{
    idem__table table;
    char buf[32];
    idem__table_init(&table);
    for (uint64_t i = 0; i < 100; i++)
        (void)insert(&table, number_key(buf, sizeof buf, i), 0, i % 5 < 3 ? 10 : 20);
    ck_assert_uint_eq(idem__table_purge(&table, 9, UINT64_MAX), 0);
    ck_assert_uint_eq(idem__table_purge(&table, 10, 25), 25);
    ck_assert_uint_eq(idem__table_purge(&table, 10, 25), 25);
    ck_assert_uint_eq(idem__table_purge(&table, 10, 25), 10);
    ck_assert_uint_eq(table.count, 40);
    ck_assert_uint_eq(table.next_expiry_ms, 20);
    ck_assert(is_sound(&table));
    ck_assert_uint_eq(idem__table_purge(&table, UINT64_MAX, UINT64_MAX), 40);
    ck_assert_uint_eq(table.next_expiry_ms, UINT64_MAX);
    idem__table_clear(&table);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory_table");
    ADD_ROWS(suite, the_hash_is_siphash_1_3, vectors);
    ADD(suite, every_field_comes_back);
    ADD(suite, a_time_older_than_the_entry_gives_age_0);
    ADD(suite, an_entry_is_written_anew_in_place_if_it_fits);
    ADD(suite, a_record_that_is_too_large_is_refused);
#ifdef __GLIBC__
    ADD(suite, records_are_small);
#endif
    ADD(suite, a_removal_closes_its_gap_across_the_end);
    ADD(suite, the_table_does_what_a_model_does);
    ADD(suite, a_hundred_thousand_keys_in_one_table);
    ADD(suite, crafted_keys_spread_evenly);
    ADD(suite, keys_that_are_never_asked_again_do_not_pile_up);
    ADD(suite, expired_entries_are_dropped_in_passing);
    ADD(suite, a_table_drops_what_has_expired_before_it_grows);
    ADD(suite, an_insert_frees_few_bytes);
    ADD(suite, a_large_table_is_looked_at_in_part_before_it_grows);
    ADD(suite, a_walk_in_parts_visits_what_stays_once);
    ADD(suite, a_walk_takes_what_went_over_the_end_last);
    ADD(suite, a_purge_keeps_to_its_limit);
    return run_suite(suite);
}
