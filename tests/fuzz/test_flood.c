/* SPDX-License-Identifier: MIT */
/*
 * Keys that were chosen so that they collide must not slow the memory backend. They are made
 * against an unkeyed hash (FNV-1a of 32 bits, in which 2^17 keys can be made to collide in no time)
 * and are shown to fall into one bucket of a table that uses it. In the backend they are spread as
 * any keys are: that is counted in probes of the table, and measured.
 *
 * The linker leads the backend's calls of idem_random_until() to this file, which notes the key of
 * each store's hash, or fixes it: with a key that is known the backend can be flooded, too, and
 * this test sees it.
 */
#include "memory/shards.h"
#include "memory/siphash.h"
#include "memory/table.h"

#include "runner.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEYS       100000u
#define FEW_KEYS   3000u
#define BLOCK_SIZE 8u
#define BLOCKS     17u /* 2^17 keys */
#define KEY_SIZE   (BLOCKS * BLOCK_SIZE)
#define FNV_BEGIN  UINT32_C(2166136261)
#define FNV_PRIME  UINT32_C(16777619)

/* -------------------------------------------------------------------------- the hash's own key */

int __real_idem_random_until(void *buf, size_t len, uint64_t deadline_ms, idem_error *error);
int __wrap_idem_random_until(void *buf, size_t len, uint64_t deadline_ms, idem_error *error);

static idem__siphash_key noted;
static unsigned drawn; /* keys of hashes, so far */
static bool fixed;

int __wrap_idem_random_until(void *buf, size_t len, uint64_t deadline_ms, idem_error *error)
{
    int rc = IDEM_OK;
    if (fixed)
        memset(buf, 0, len);
    else
        rc = __real_idem_random_until(buf, len, deadline_ms, error);
    if (rc == IDEM_OK && len == sizeof noted) {
        memcpy(&noted, buf, len);
        drawn++;
    }
    return rc;
}

static idem_store *open_store(void)
{
    idem_store *store = NULL;
    unsigned before = drawn;
    ck_assert_int_eq(idem_open("memory://", &store, NULL), IDEM_OK);
    ck_assert_uint_eq(drawn, before + 1);
    return store;
}

/* --------------------------------------------------------------------------------- many keys */

typedef struct {
    uint8_t (*all)[KEY_SIZE];
    size_t count;
} key_set;

static key_set make_set(size_t count)
{
    key_set set = {calloc(count, KEY_SIZE), count};
    ck_assert_ptr_nonnull(set.all);
    return set;
}

static idem_bytes key_at(const key_set *set, size_t i)
{
    return (idem_bytes){set->all[i], KEY_SIZE};
}

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33 ^ *seed;
}

static uint32_t fnv(uint32_t hash, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * FNV_PRIME;
    return hash;
}

/* Finds two blocks that lead from `*hash` to the same hash, and goes there: by the birthday paradox
   after some 2^16 tries. */
static void find_pair(uint32_t *hash, uint8_t pair[2][BLOCK_SIZE])
{
    const size_t slots = (size_t)1 << 20;
    uint64_t *tried = calloc(slots, sizeof *tried);
    ck_assert_ptr_nonnull(tried);
    for (uint64_t seed = *hash;;) {
        uint64_t earlier;
        uint64_t number = draw(&seed) | 1; /* 0 is an empty slot */
        memcpy(pair[0], &number, BLOCK_SIZE);
        uint32_t to = fnv(*hash, pair[0], BLOCK_SIZE);
        size_t slot = to % slots;
        for (; (earlier = tried[slot]) != 0; slot = (slot + 1) % slots) {
            memcpy(pair[1], &earlier, BLOCK_SIZE);
            if (earlier != number && fnv(*hash, pair[1], BLOCK_SIZE) == to)
                break;
        }
        if (earlier) {
            *hash = to;
            break;
        }
        tried[slot] = number;
    }
    free(tried);
}

/* Each bit of a key's number chooses a block of a pair. */
static key_set make_colliding(size_t count)
{
    key_set set = make_set(count);
    uint32_t hash = FNV_BEGIN;
    for (size_t block = 0; block < BLOCKS; block++) {
        uint8_t pair[2][BLOCK_SIZE];
        find_pair(&hash, pair);
        for (size_t i = 0; i < count; i++)
            memcpy(set.all[i] + block * BLOCK_SIZE, pair[i >> block & 1], BLOCK_SIZE);
    }
    return set;
}

static key_set make_random(size_t count)
{
    key_set set = make_set(count);
    uint64_t seed = 42;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < KEY_SIZE; k++)
            set.all[i][k] = (uint8_t)draw(&seed);
    }
    return set;
}

/* ------------------------------------------------------------------------------------ probes */

typedef uint64_t (*hash_function)(idem_bytes key);

/* As the table takes a hash: its upper half is the tag, its lower bits are the shard. */
static uint64_t unkeyed(idem_bytes key)
{
    uint64_t hash = fnv(FNV_BEGIN, key.data, key.len);
    return hash << 32 | hash;
}

static uint64_t keyed(idem_bytes key)
{
    return idem__siphash_13(&noted, key.data, key.len);
}

static void insert_into(idem__table *table, uint64_t hash, idem_bytes key)
{
    idem__entry *entry = NULL;
    uint64_t dropped;
    idem__entry_times times = {.live_ms = 1};
    idem_record record = {.key = key,
                          .status = IDEM_STATUS_IN_PROGRESS,
                          .attempt = 1,
                          .token = {1},
                          .lease_ms = 1,
                          .ttl_ms = 1};
    ck_assert_int_eq(idem__entry_pack(&record, &times, NULL, &entry, NULL), IDEM_OK);
    ck_assert_int_eq(idem__table_insert(table, idem__table_tag(hash), entry, 0, &dropped, NULL),
                     IDEM_OK);
}

/* Slots that are looked at to find the key. */
static uint64_t probes_for(const idem__table *table, uint64_t hash, idem_bytes key)
{
    uint32_t tag = idem__table_tag(hash);
    uint32_t home = (uint32_t)(((uint64_t)tag * table->capacity) >> 32);
    uint32_t slot = idem__table_find(table, tag, key);
    ck_assert_uint_ne(slot, IDEM__TABLE_NONE);
    return (slot + table->capacity - home) % table->capacity + 1;
}

/* How many slots are looked at to find a key, on the average, if the backend's tables are filled
   with these by this hash. */
static double average_probes(const key_set *set, hash_function hash)
{
    idem__table tables[IDEM__SHARDS_COUNT];
    uint64_t sum = 0;
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++)
        idem__table_init(&tables[i]);
    for (size_t i = 0; i < set->count; i++) {
        uint64_t of_key = hash(key_at(set, i));
        insert_into(&tables[of_key % IDEM__SHARDS_COUNT], of_key, key_at(set, i));
    }
    for (size_t i = 0; i < set->count; i++) {
        uint64_t of_key = hash(key_at(set, i));
        sum += probes_for(&tables[of_key % IDEM__SHARDS_COUNT], of_key, key_at(set, i));
    }
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++)
        idem__table_clear(&tables[i]);
    return (double)sum / (double)set->count;
}

/* ------------------------------------------------------------------------------------ a store */

static void claim_all(idem_store *store, const key_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        idem_outcome out;
        if (idem_begin(store, IDEM_REQUEST(.key = key_at(set, i)), &out, NULL) != IDEM_OK ||
            out.kind != IDEM_NEW)
            ck_abort_msg("key %zu is another's", i);
        idem_outcome_clear(&out);
    }
}

static void find_all(idem_store *store, const key_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        idem_record record;
        if (idem_get(store, key_at(set, i), &record, NULL) != IDEM_OK)
            ck_abort_msg("key %zu is not there", i);
        idem_record_clear(&record);
    }
}

typedef struct {
    uint64_t shard; /* of the last key */
    size_t shards;  /* so far */
    size_t most;    /* in one of them */
    size_t in_this;
} layout;

/* A scan goes from shard to shard: so the noted key is the one that the store hashes with. */
static int note_shard(const idem_record *record, void *user)
{
    layout *at = user;
    uint64_t shard = keyed(record->key) % IDEM__SHARDS_COUNT;
    if (at->shards > 0 && shard < at->shard)
        ck_abort_msg("the store has another order than its key says");
    if (at->shards == 0 || shard > at->shard) {
        at->shards++;
        at->in_this = 0;
    }
    at->shard = shard;
    at->in_this++;
    if (at->in_this > at->most)
        at->most = at->in_this;
    return 0;
}

static layout layout_of(idem_store *store)
{
    layout found = {.shards = 0};
    ck_assert_int_eq(idem_scan(store, NULL, note_shard, &found, NULL), IDEM_OK);
    return found;
}

START_TEST(keys_that_collide_by_design_fill_one_bucket_of_an_unkeyed_table)
{
    key_set colliding = make_colliding(KEYS);
    key_set few = {colliding.all, FEW_KEYS};
    key_set random = make_random(FEW_KEYS);
    for (size_t i = 0; i < KEYS; i++)
        ck_assert_uint_eq(unkeyed(key_at(&colliding, i)), unkeyed(key_at(&colliding, 0)));
    double flooded = average_probes(&few, unkeyed);
    double usual = average_probes(&random, unkeyed);
    (void)printf("unkeyed, %u keys: %.1f probes by design, %.1f at random\n", FEW_KEYS, flooded,
                 usual);
    ck_assert(flooded >= FEW_KEYS / 2.0 && usual < 5);
    free(colliding.all);
    free(random.all);
}
END_TEST

START_TEST(the_same_keys_are_spread_in_the_memory_backend)
{
    key_set colliding = make_colliding(KEYS);
    key_set random = make_random(KEYS);
    idem_store *store = open_store();
    claim_all(store, &colliding);
    layout found = layout_of(store);
    double by_design = average_probes(&colliding, keyed);
    double at_random = average_probes(&random, keyed);
    (void)printf("keyed, %u keys: %.2f probes by design, %.2f at random; at most %zu in a shard\n",
                 KEYS, by_design, at_random, found.most);
    ck_assert_uint_eq(found.shards, IDEM__SHARDS_COUNT);
    ck_assert_uint_lt(found.most, KEYS / IDEM__SHARDS_COUNT * 5 / 4);
    ck_assert(by_design < 1.5 * at_random);
    idem_close(store);
    free(colliding.all);
    free(random.all);
}
END_TEST

/* --------------------------------------------------------------------------------------- time */

static double seconds_for(const key_set *set)
{
    struct timespec began;
    struct timespec ended;
    idem_store *store = open_store();
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
    claim_all(store, set);
    find_all(store, set);
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ended);
    idem_close(store);
    return (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
}

/* One good try is enough: if the keys collided each would take a hundred times as long. */
START_TEST(claiming_and_finding_them_costs_what_any_keys_cost)
{
    key_set colliding = make_colliding(KEYS);
    key_set random = make_random(KEYS);
    double ratio = 0;
    for (int tries = 0; tries == 0 || (ratio > 3 && tries < 5); tries++)
        ratio = seconds_for(&colliding) / seconds_for(&random);
    (void)printf("time by design against time at random: %.2f\n", ratio);
    ck_assert(ratio <= 3);
    free(colliding.all);
    free(random.all);
}
END_TEST

/* ------------------------------------------------------------------------------------- the key */

/* With a known key the hash is as good as none: keys that meet in one shard, and in a 32nd of its
   table, are found by trying. */
static key_set make_colliding_by_zero_key(size_t count)
{
    static const idem__siphash_key zero;
    key_set set = make_set(count);
    uint64_t number = 0;
    for (size_t i = 0; i < count; number++) {
        memcpy(set.all[i], &number, sizeof number);
        uint64_t hash = idem__siphash_13(&zero, set.all[i], KEY_SIZE);
        i += hash % IDEM__SHARDS_COUNT == 0 && hash >> 59 == 0;
    }
    return set;
}

START_TEST(with_a_fixed_key_the_backend_can_be_flooded)
{
    key_set crafted = make_colliding_by_zero_key(FEW_KEYS);
    idem_store *store = open_store();
    claim_all(store, &crafted);
    layout usual = layout_of(store);
    double spread = average_probes(&crafted, keyed);
    idem_close(store);
    fixed = true;
    store = open_store();
    claim_all(store, &crafted);
    layout flooded = layout_of(store);
    double heaped = average_probes(&crafted, keyed);
    idem_close(store);
    fixed = false;
    (void)printf("%u keys against a zero key: %.1f probes and %zu shards; else %.1f and %zu\n",
                 FEW_KEYS, heaped, flooded.shards, spread, usual.shards);
    ck_assert_uint_eq(flooded.shards, 1);
    ck_assert_uint_eq(usual.shards, IDEM__SHARDS_COUNT);
    ck_assert(heaped > 100 * spread);
    free(crafted.all);
}
END_TEST

static idem__siphash_key key_of_a_new_store(void)
{
    idem_close(open_store());
    return noted;
}

/* A process of its own, by fork(), tells the key of its store. */
static idem__siphash_key key_of_a_child(void)
{
    int ends[2];
    idem__siphash_key key = {0, 0};
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        key = key_of_a_new_store();
        _exit(write(ends[1], &key, sizeof key) == (ssize_t)sizeof key ? 0 : 1);
    }
    int status = -1;
    ck_assert(read(ends[0], &key, sizeof key) == (ssize_t)sizeof key);
    ck_assert(waitpid(child, &status, 0) == child && status == 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return key;
}

START_TEST(every_store_in_every_process_has_a_key_of_its_own)
{
    static const idem__siphash_key zero;
    idem__siphash_key keys[16] = {{0, 0}};
    for (size_t i = 0; i < 16; i++) {
        keys[i] = i % 2 ? key_of_a_child() : key_of_a_new_store();
        ck_assert_mem_ne(&keys[i], &zero, sizeof zero);
        for (size_t k = 0; k < i; k++)
            ck_assert(keys[i].k0 != keys[k].k0 && keys[i].k1 != keys[k].k1);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash flooding");
    ADD(suite, keys_that_collide_by_design_fill_one_bucket_of_an_unkeyed_table);
    ADD(suite, the_same_keys_are_spread_in_the_memory_backend);
    ADD(suite, claiming_and_finding_them_costs_what_any_keys_cost);
    ADD(suite, with_a_fixed_key_the_backend_can_be_flooded);
    ADD(suite, every_store_in_every_process_has_a_key_of_its_own);
    return run_suite(suite);
}
