/* SPDX-License-Identifier: MIT */
/*
 * 64 shards: a keyed hash of the key picks the shard by its lower bits and the slot by its upper
 * half. An op is carried out under the lock of its shard and touches no other.
 *
 * Time is that of one clock, counted from when the store was made, so that neither its origin nor
 * its end matters. It is read once for a batch, before any lock is taken. An op may thus judge by a
 * time that is older than a write it meets; the age is 0 then. A get makes do with the coarse
 * clock, which is behind by a tick, for a response that lasts long enough; leases, records near
 * their end and whatever is written are judged and stamped by the exact one alone.
 *
 * `used` counts the records of a store with a capacity. A place is taken before a record goes in
 * and given back after one went out, so there are never more. A full store drops what has expired,
 * of which each shard keeps a lower bound, before it refuses anything.
 *
 * fork() finds all shards frozen: their locks are free but for moments in which nothing is changed,
 * so that the child may make them anew. (To hold them all across the fork would be simpler, but
 * thread checkers give up on a thread with so many locks.)
 *
 * Lock order: one shard at a time. A thread that has a shard waits for nothing, and what it does
 * there is bounded: a purge, a scan and a full store's search for places go through a shard in
 * small parts. The one exception is a table that grows, which takes 0.3 ms for each million records
 * of the store.
 */
#include "shards.h"

#include "siphash.h"
#include "table.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define CACHE_LINE 64

/* A record that ends later than that by the coarse clock is there by the exact one too. */
#define COARSE_MARGIN_MS 1000u

/* What a purge does with the lock of a shard, and how long a portion of it goes on. */
#define PURGE_SLOTS 2048u
#define PURGE_BYTES ((size_t)1024 * 1024)
#define PURGE_MS    20u
/* A page of a scan has so many bytes at most, but for the last record; the lock is given back
   after so many empty slots. */
#define SCAN_BYTES ((size_t)1024 * 1024)
#define SCAN_LOOKS 256u
/* What goes through a shard in parts yields so often at most between two of them. */
#define YIELDS_MAX 500u
/* So many records are dropped at once from a store that is full. */
#define RECLAIM_PLACES 64u

typedef struct {
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    atomic_uint waiting; /* threads that wait for the lock */
    bool frozen;
    idem__table table;
} shard;

struct idem__shards {
    idem__siphash_key hash_key;
    idem_clock clock;
    uint64_t origin_ms; /* what the clock said at the start */
    int64_t epoch_ms;   /* Unix time then */
    uint64_t capacity;
    unsigned freezes;                           /* forks come one at a time, so nothing guards it */
    _Alignas(CACHE_LINE) _Atomic uint64_t used; /* if there is a capacity */
    shard all[IDEM__SHARDS_COUNT];
};

/* A key and where it belongs. */
typedef struct {
    idem_bytes key;
    shard *home;
    uint32_t tag;
} location;

/* The time by which a batch judges. */
typedef struct {
    uint64_t now_ms;
    bool exact;
} moment;

static uint64_t read_clock(const idem_clock *clock)
{
    return clock->now_ms ? clock->now_ms(clock->user) : idem_monotonic_ms();
}

/* Never so large that a time to live can't be added. */
static uint64_t since_origin(const idem__shards *shards, uint64_t clock_ms)
{
    const uint64_t last_ms = UINT64_MAX - IDEM_DURATION_MAX_MS;
    uint64_t now_ms = clock_ms > shards->origin_ms ? clock_ms - shards->origin_ms : 0;
    return now_ms < last_ms ? now_ms : last_ms;
}

static uint64_t now_of(const idem__shards *shards)
{
    return since_origin(shards, read_clock(&shards->clock));
}

static moment coarse_moment(const idem__shards *shards)
{
    if (shards->clock.now_ms)
        return (moment){now_of(shards), true};
    return (moment){since_origin(shards, idem_monotonic_coarse_ms()), false};
}

static uint64_t exact_time(const idem__shards *shards, moment *at)
{
    if (!at->exact)
        *at = (moment){now_of(shards), true};
    return at->now_ms;
}

/* ------------------------------------------------------------------------------ open, close */

static void destroy(idem__shards *shards, size_t locks)
{
    while (locks > 0)
        (void)pthread_mutex_destroy(&shards->all[--locks].lock);
    free(shards);
}

static int init(idem__shards *shards, uint64_t deadline_ms, idem_error *error)
{
    int rc = idem_random_until(&shards->hash_key, sizeof shards->hash_key, deadline_ms, error);
    if (rc) {
        free(shards);
        return rc;
    }
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++) {
        idem__table_init(&shards->all[i].table);
        if (pthread_mutex_init(&shards->all[i].lock, NULL)) {
            destroy(shards, i);
            return idem_error_set(error, IDEM_ERR_INTERNAL, "a mutex can't be made");
        }
    }
    return IDEM_OK;
}

int idem__shards_open(const idem_clock *clock, uint64_t capacity, uint64_t deadline_ms,
                      idem__shards **shards, idem_error *error)
{
    void *memory = NULL;
    if (posix_memalign(&memory, CACHE_LINE, sizeof **shards))
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory for a store");
    idem__shards *made = memory;
    memset(made, 0, sizeof *made);
    made->clock = *clock;
    made->capacity = capacity;
    made->origin_ms = read_clock(clock);
    made->epoch_ms = idem_wall_ms();
    atomic_init(&made->used, 0);
    int rc = init(made, deadline_ms, error);
    if (rc == IDEM_OK)
        *shards = made;
    return rc;
}

void idem__shards_close(idem__shards *shards)
{
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++)
        idem__table_clear(&shards->all[i].table);
    destroy(shards, IDEM__SHARDS_COUNT);
}

uint64_t idem__shards_capacity(const idem__shards *shards)
{
    return shards->capacity;
}

const idem_clock *idem__shards_clock(const idem__shards *shards)
{
    return &shards->clock;
}

/* ------------------------------------------------------------------------- locks and places */

/* Forks are rare and soon over, so that a thread that meets one takes naps. To be woken would need
   one more lock and signal that the child has to make anew. The thread has an operation half done,
   so it can't be cancelled in its nap. */
static void await_thaw(shard *home)
{
    const struct timespec nap = {.tv_nsec = 100000};
    int before = PTHREAD_CANCEL_ENABLE;
    int held;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    while (home->frozen) {
        (void)pthread_mutex_unlock(&home->lock);
        (void)nanosleep(&nap, NULL);
        (void)pthread_mutex_lock(&home->lock);
    }
    (void)pthread_setcancelstate(before, &held);
}

static void enter(shard *home)
{
    if (pthread_mutex_trylock(&home->lock)) {
        (void)atomic_fetch_add_explicit(&home->waiting, 1, memory_order_relaxed);
        (void)pthread_mutex_lock(&home->lock);
        (void)atomic_fetch_sub_explicit(&home->waiting, 1, memory_order_relaxed);
    }
    if (home->frozen)
        await_thaw(home);
}

static void leave(shard *home)
{
    (void)pthread_mutex_unlock(&home->lock);
}

/* Between two parts, for a thread that is about to come back. A mutex is not fair: to wake a thread
   takes longer than to lock it anew, so without this the others would wait for all the parts. */
static void let_in(const shard *home)
{
    unsigned yields = 0;
    while (atomic_load_explicit(&home->waiting, memory_order_relaxed) > 0 && yields++ < YIELDS_MAX)
        (void)sched_yield();
}

static bool take_place(idem__shards *shards)
{
    if (shards->capacity == 0)
        return true;
    uint64_t used = atomic_load(&shards->used);
    while (used < shards->capacity) {
        if (atomic_compare_exchange_weak(&shards->used, &used, used + 1))
            return true;
    }
    return false;
}

static void give_back(idem__shards *shards, uint64_t places)
{
    if (shards->capacity != 0 && places > 0)
        (void)atomic_fetch_sub(&shards->used, places);
}

/* Drops some of what has expired in a shard, in as little time as others may wait for its lock.
   @param[in,out] since  0 at first: how often the shard's sweep had come to its end, and one
   @param[out] over      all of it was looked at since */
static uint64_t purge_some(idem__shards *shards, shard *home, uint64_t now_ms, uint64_t limit,
                           uint64_t *since, bool *over)
{
    const idem__table_bounds some = {PURGE_SLOTS, limit, PURGE_BYTES};
    idem__table *table = &home->table;
    uint64_t dropped = 0;
    enter(home);
    if (*since == 0)
        *since = table->passes + 1;
    if (table->next_expiry_ms <= now_ms)
        dropped = idem__table_sweep(table, now_ms, &some);
    /* The sweep goes on from where it stood: the second time that it comes to the end, it has been
       around. */
    *over = table->next_expiry_ms > now_ms || table->passes >= *since + 1;
    if (*over)
        idem__table_shrink(table);
    leave(home);
    let_in(home);
    give_back(shards, dropped);
    return dropped;
}

/* Finds places for a few inserts. @return 0: nothing has expired */
static uint64_t reclaim(idem__shards *shards, uint64_t now_ms)
{
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++) {
        uint64_t since = 0;
        bool over = false;
        while (!over) {
            uint64_t dropped =
                purge_some(shards, &shards->all[i], now_ms, RECLAIM_PLACES, &since, &over);
            if (dropped > 0)
                return dropped;
        }
    }
    return 0;
}

/* The cursor is a shard's index, and above it what purge_some() wants to know again. */
void idem__shards_purge(idem__shards *shards, idem_purge_portion *portion)
{
    uint64_t end_ms = idem_monotonic_ms() + PURGE_MS;
    uint64_t now_ms = now_of(shards);
    uint64_t which = portion->cursor % IDEM__SHARDS_COUNT;
    uint64_t since = portion->cursor / IDEM__SHARDS_COUNT;
    portion->removed = 0;
    do {
        bool over = false;
        portion->removed += purge_some(shards, &shards->all[which], now_ms,
                                       portion->limit - portion->removed, &since, &over);
        which += over;
        since = over ? 0 : since;
    } while (which < IDEM__SHARDS_COUNT && portion->removed < portion->limit &&
             idem_monotonic_ms() < end_ms);
    portion->next = which < IDEM__SHARDS_COUNT ? since * IDEM__SHARDS_COUNT + which : 0;
}

/* --------------------------------------------------------------------------------------- ops */

static location locate(idem__shards *shards, idem_bytes key)
{
    uint64_t hash = idem__siphash_13(&shards->hash_key, key.data, key.len);
    return (location){
        .key = key, .home = &shards->all[hash % IDEM__SHARDS_COUNT], .tag = idem__table_tag(hash)};
}

/* The slot of the key's record; one that has expired is dropped first. */
static uint32_t find_live(idem__shards *shards, const location *at, uint64_t now_ms)
{
    idem__table *table = &at->home->table;
    uint32_t slot = idem__table_find(table, at->tag, at->key);
    if (slot != IDEM__TABLE_NONE && table->entries[slot]->expires_ms <= now_ms) {
        idem__table_remove(table, slot);
        give_back(shards, 1);
        slot = IDEM__TABLE_NONE;
    }
    return slot;
}

static void report_found(const idem__shards *shards, const idem__entry *entry, uint64_t now_ms,
                         idem_op *op)
{
    op->has_found =
        idem__entry_copy(entry, now_ms, shards->epoch_ms, &op->found, &op->error) == IDEM_OK;
}

static idem__entry_times times_of(const idem__shards *shards, const idem_op *op, uint64_t now_ms)
{
    uint64_t live_ms = op->live_ms < IDEM_DURATION_MAX_MS ? op->live_ms : IDEM_DURATION_MAX_MS;
    return (idem__entry_times){.now_ms = now_ms, .live_ms = live_ms, .epoch_ms = shards->epoch_ms};
}

/* Puts a record in whose key is absent and whose place is taken. */
static bool put_in(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    idem__entry *entry;
    uint64_t dropped;
    idem__entry_times times = times_of(shards, op, now_ms);
    if (idem__entry_pack(op->record, &times, NULL, &entry, &op->error))
        return false;
    int rc = idem__table_insert(&at->home->table, at->tag, entry, now_ms, &dropped, &op->error);
    give_back(shards, dropped);
    if (rc)
        free(entry);
    return rc == IDEM_OK;
}

/* Carries an insert out, or says false: the store is full. */
static bool try_insert(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    uint32_t slot = find_live(shards, at, now_ms);
    if (slot != IDEM__TABLE_NONE) {
        report_found(shards, at->home->table.entries[slot], now_ms, op);
        return true;
    }
    if (!take_place(shards))
        return false;
    op->applied = put_in(shards, at, now_ms, op);
    if (!op->applied)
        give_back(shards, 1);
    return true;
}

static void insert(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    bool done;
    bool all_live = false;
    for (;;) {
        enter(at->home);
        done = try_insert(shards, at, now_ms, op);
        leave(at->home);
        if (done || all_live)
            break;
        /* Others may have taken, or freed, places in the meantime: so once more in any case. */
        all_live = reclaim(shards, now_ms) == 0;
    }
    if (!done)
        idem_op_fail(op, false, IDEM_ERR_FULL,
                     "memory: the store is full: it holds capacity=%llu records and none has "
                     "expired; raise capacity, or lower ttl",
                     (unsigned long long)shards->capacity);
}

static void replace(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    idem__table *table = &at->home->table;
    idem__entry *made;
    uint32_t slot = find_live(shards, at, now_ms);
    if (slot == IDEM__TABLE_NONE)
        return;
    idem__entry *there = table->entries[slot];
    if (there->version != op->expected) {
        report_found(shards, there, now_ms, op);
        return;
    }
    idem__entry_times times = times_of(shards, op, now_ms);
    if (idem__entry_pack(op->record, &times, there, &made, &op->error))
        return;
    idem__table_replace(table, slot, made);
    op->applied = true;
}

static void remove_one(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    idem__table *table = &at->home->table;
    uint32_t slot = find_live(shards, at, now_ms);
    if (slot == IDEM__TABLE_NONE)
        return;
    const idem__entry *there = table->entries[slot];
    if (op->any_version || there->version == op->expected) {
        idem__table_remove(table, slot);
        give_back(shards, 1);
        op->applied = true;
    } else {
        report_found(shards, there, now_ms, op);
    }
}

/* The age of a claim is what others take it over by. */
static bool needs_exact_time(const idem__entry *entry, const moment *at)
{
    return !idem__entry_is_completed(entry) || entry->expires_ms <= at->now_ms + COARSE_MARGIN_MS;
}

static void get(const idem__shards *shards, const location *at, moment *by, idem_op *op)
{
    const idem__table *table = &at->home->table;
    uint32_t slot = idem__table_find(table, at->tag, at->key);
    if (slot == IDEM__TABLE_NONE)
        return;
    const idem__entry *there = table->entries[slot];
    if (needs_exact_time(there, by))
        (void)exact_time(shards, by);
    if (there->expires_ms > by->now_ms)
        report_found(shards, there, by->now_ms, op);
}

static void change(idem__shards *shards, const location *at, uint64_t now_ms, idem_op *op)
{
    if (op->kind == IDEM_OP_INSERT) {
        insert(shards, at, now_ms, op);
        return;
    }
    enter(at->home);
    if (op->kind == IDEM_OP_REPLACE)
        replace(shards, at, now_ms, op);
    else
        remove_one(shards, at, now_ms, op);
    leave(at->home);
}

void idem__shards_submit(idem__shards *shards, idem_op *const *ops, size_t count)
{
    moment by = {.exact = false};
    if (ops[0]->kind == IDEM_OP_GET)
        by = coarse_moment(shards);
    for (size_t i = 0; i < count; i++) {
        location at = locate(shards, ops[i]->key);
        if (ops[i]->kind == IDEM_OP_GET) {
            enter(at.home);
            get(shards, &at, &by, ops[i]);
            leave(at.home);
        } else {
            change(shards, &at, exact_time(shards, &by), ops[i]);
        }
    }
}

/* -------------------------------------------------------------------------------------- scan */

static bool begins_with(idem_bytes key, idem_bytes prefix)
{
    return key.len >= prefix.len &&
           (prefix.len == 0 || memcmp(key.data, prefix.data, prefix.len) == 0);
}

/* A page that is being filled. */
typedef struct {
    const idem__shards *shards;
    const idem_scan_page *page;
    idem_error *error;
    uint64_t now_ms;
    uint64_t given;
    size_t bytes;
    size_t looks; /* since the lock was taken */
} filling;

static int give(void *user, const idem__entry *entry)
{
    filling *to = user;
    idem_record view;
    if (entry->expires_ms <= to->now_ms || !begins_with(idem__entry_key(entry), to->page->prefix))
        return IDEM_OK;
    idem__entry_view(entry, to->now_ms, to->shards->epoch_ms, &view);
    to->given++;
    to->bytes += idem__entry_size(entry);
    return to->page->emit(to->page->emit_user, &view, to->error);
}

static bool is_full(const filling *to)
{
    return to->given >= to->page->limit || to->bytes >= SCAN_BYTES;
}

static bool is_enough(void *user)
{
    filling *to = user;
    return is_full(to) || ++to->looks >= SCAN_LOOKS;
}

/* The cursor is a shard's index, and above it where the walk over that shard is. */
int idem__shards_scan(idem__shards *shards, idem_scan_page *page, idem_error *error)
{
    filling to = {.shards = shards, .page = page, .error = error, .now_ms = now_of(shards)};
    const idem__table_visitor visitor = {.visit = give, .enough = is_enough, .user = &to};
    uint64_t index = page->cursor % IDEM__SHARDS_COUNT;
    uint64_t from = page->cursor / IDEM__SHARDS_COUNT;
    int rc = IDEM_OK;
    while (index < IDEM__SHARDS_COUNT && !is_full(&to) && rc == IDEM_OK) {
        shard *home = &shards->all[index];
        to.looks = 0;
        enter(home);
        rc = idem__table_walk(&home->table, &from, &visitor);
        leave(home);
        let_in(home);
        index += from == 0;
    }
    page->next = index < IDEM__SHARDS_COUNT ? from * IDEM__SHARDS_COUNT + index : 0;
    return rc;
}

/* -------------------------------------------------------------------------------------- fork */

void idem__shards_freeze(idem__shards *shards)
{
    if (shards->freezes++ > 0)
        return;
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++) {
        (void)pthread_mutex_lock(&shards->all[i].lock);
        shards->all[i].frozen = true;
        (void)pthread_mutex_unlock(&shards->all[i].lock);
    }
}

void idem__shards_thaw(idem__shards *shards, bool in_child)
{
    if (--shards->freezes > 0)
        return;
    for (size_t i = 0; i < IDEM__SHARDS_COUNT; i++) {
        shard *home = &shards->all[i];
        if (in_child) {
            (void)pthread_mutex_init(&home->lock, NULL);
            atomic_store(&home->waiting, 0); /* those are the parent's */
        }
        (void)pthread_mutex_lock(&home->lock);
        home->frozen = false;
        (void)pthread_mutex_unlock(&home->lock);
    }
}
