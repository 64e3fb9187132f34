/* SPDX-License-Identifier: MIT */
/*
 * Tokens and versions from the system's random source.
 *
 * If others share the records, each is drawn when it is needed. Bits that are drawn ahead are
 * copied with the memory: two machines from one snapshot would go on with the same tokens, and each
 * would take the other's claim for its own. A system call of 0.4 us is little beside a disk or a
 * network.
 *
 * Where the records are in the same memory, the call would cost as much as half a claim, so bits
 * are drawn in bulk into a few pools: 8 KiB in one call cost a quarter of what they cost in
 * portions of 256 bytes. The pools lie in memory that the kernel wipes in a child after fork():
 * there a pool is empty and unlocked, so that no two processes can ever use the same bits. Where
 * the kernel can't promise that, there are no pools. Bits are wiped as they are handed out. A pool
 * is locked by trying: a thread that finds its pool taken goes to the next, and in the end to the
 * system.
 *
 * Early after boot the source may have nothing to give yet. It is asked without waiting, again and
 * again until the caller's deadline.
 */
#include "random.h"

#include "cancel.h"
#include "clock.h"

#include <idem/backend.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define POOLS 8u
#define WORDS 1024u

#define PAUSE_MS    10u   /* before a source that is not ready is asked again */
#define PATIENCE_MS 5000u /* of a caller without a deadline */

typedef struct {
    _Alignas(64) atomic_bool taken;
    uint32_t left; /* words[0..left) are fresh */
    uint64_t words[WORDS];
} pool;

static _Atomic(pool *) pools; /* POOLS of them, or NULL */
static pthread_once_t pools_once = PTHREAD_ONCE_INIT;
static atomic_uint next_pool;
static _Thread_local unsigned my_pool; /* index + 1 */

static void make_pools(void)
{
#if defined(MADV_WIPEONFORK) && defined(MAP_ANONYMOUS)
    size_t size = POOLS * sizeof(pool);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    if (madvise(memory, size, MADV_WIPEONFORK)) {
        (void)munmap(memory, size);
        return;
    }
    atomic_store(&pools, memory);
#endif
}

static int fill(uint8_t *at, size_t len, uint64_t deadline_ms, idem_error *error)
{
    while (len > 0) {
        ssize_t got = getrandom(at, len, GRND_NONBLOCK);
        if (got < 0 && errno == EINTR) /* as may happen to more than 256 bytes */
            continue;
        if (got < 0 && errno != EAGAIN)
            return idem_error_set(error, IDEM_ERR_INTERNAL,
                                  "the system's random source failed; is the kernel's "
                                  "getrandom() blocked by a sandbox?");
        if (got > 0) {
            at += got;
            len -= (size_t)got;
            continue;
        }
        uint64_t now = idem_monotonic_ms();
        if (now >= deadline_ms)
            return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                                  "the system's random source was not ready by the deadline, as "
                                  "early after boot; call again later");
        idem__clock_sleep_until(now + PAUSE_MS < deadline_ms ? now + PAUSE_MS : deadline_ms);
    }
    return IDEM_OK;
}

int idem_random_until(void *buf, size_t len, uint64_t deadline_ms, idem_error *error)
{
    if (!buf && len > 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "the place for random bits is NULL");
    int cancel_state = idem__cancel_hold();
    int rc = fill(buf, len, deadline_ms, error);
    idem__cancel_restore(cancel_state);
    return rc;
}

int idem_random(void *buf, size_t len, idem_error *error)
{
    return idem_random_until(buf, len, idem__clock_deadline(PATIENCE_MS), error);
}

static pool *all_pools(void)
{
    pool *all = atomic_load_explicit(&pools, memory_order_acquire);
    if (all)
        return all;
    (void)pthread_once(&pools_once, make_pools);
    return atomic_load(&pools);
}

static pool *take_pool(pool *all)
{
    unsigned mine = my_pool;
    if (!mine)
        my_pool = mine = atomic_fetch_add(&next_pool, 1) % POOLS + 1;
    for (unsigned i = 0; i < POOLS; i++) {
        pool *candidate = &all[(mine - 1 + i) % POOLS];
        if (!atomic_exchange_explicit(&candidate->taken, true, memory_order_acquire))
            return candidate;
    }
    return NULL;
}

static int refill(pool *mine, uint64_t deadline_ms, idem_error *error)
{
    mine->left = 0;
    int rc = idem_random_until(mine->words, sizeof mine->words, deadline_ms, error);
    if (rc == IDEM_OK)
        mine->left = WORDS;
    return rc;
}

/* Hands out the last words of a pool and wipes them. */
static void hand_out(pool *mine, uint8_t *to, size_t len)
{
    uint64_t *word = &mine->words[mine->left];
    for (; len > 0; to += sizeof *word, len -= sizeof *word) {
        memcpy(to, --word, sizeof *word);
        *word = 0;
    }
    mine->left = (uint32_t)(word - mine->words);
}

int idem__random_draw(bool pooled, void *buf, size_t len, uint64_t deadline_ms, idem_error *error)
{
    bool fits = pooled && len <= IDEM__RANDOM_DRAW_MAX && len % sizeof(uint64_t) == 0;
    pool *all = fits ? all_pools() : NULL;
    pool *mine = all ? take_pool(all) : NULL;
    if (!mine)
        return idem_random_until(buf, len, deadline_ms, error);
    int rc = mine->left < len / sizeof(uint64_t) ? refill(mine, deadline_ms, error) : IDEM_OK;
    if (rc == IDEM_OK)
        hand_out(mine, buf, len);
    atomic_store_explicit(&mine->taken, false, memory_order_release);
    return rc;
}
