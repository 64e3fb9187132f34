/* SPDX-License-Identifier: MIT */
/*
 * Tokens and versions from the system's random source. A system call for each would cost as much
 * as half a claim, so bits are drawn in bulk into a few pools. The pools lie in memory that the
 * kernel wipes in a child after fork(): there a pool is empty and unlocked, so that no two
 * processes can ever use the same bits. Where the kernel can't promise that, there are no pools.
 * Bits are wiped as they are handed out. A pool is locked by trying: a thread that finds its pool
 * taken goes to the next, and in the end to the system.
 */
#include "random.h"

#include <idem/backend.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOLS      8u
#define POOL_BYTES 1024u
#define CHUNK      256u /* what getentropy() gives at a time */

typedef struct {
    atomic_bool taken;
    uint32_t left; /* bytes[0..left) are fresh */
    uint8_t bytes[POOL_BYTES];
} pool;

static pool *pools; /* POOLS of them, or NULL */
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
    pools = memory;
#endif
}

int idem_random(void *buf, size_t len, idem_error *error)
{
    uint8_t *at = buf;
    while (len > 0) {
        size_t portion = len < CHUNK ? len : CHUNK;
        if (getentropy(at, portion))
            return idem_error_set(error, IDEM_ERR_INTERNAL,
                                  "the system's random source failed; is the kernel's "
                                  "getrandom() blocked by a sandbox?");
        at += portion;
        len -= portion;
    }
    return IDEM_OK;
}

static pool *take_pool(void)
{
    if (!my_pool)
        my_pool = atomic_fetch_add(&next_pool, 1) % POOLS + 1;
    for (unsigned i = 0; i < POOLS; i++) {
        pool *candidate = &pools[(my_pool - 1 + i) % POOLS];
        if (!atomic_exchange_explicit(&candidate->taken, true, memory_order_acquire))
            return candidate;
    }
    return NULL;
}

int idem__random_draw(void *buf, size_t len, idem_error *error)
{
    int rc = IDEM_OK;
    (void)pthread_once(&pools_once, make_pools);
    pool *mine = pools && len <= IDEM__RANDOM_DRAW_MAX ? take_pool() : NULL;
    if (!mine)
        return idem_random(buf, len, error);
    if (mine->left < len) {
        rc = idem_random(mine->bytes, POOL_BYTES, error);
        mine->left = rc == IDEM_OK ? POOL_BYTES : 0;
    }
    if (rc == IDEM_OK) {
        mine->left -= (uint32_t)len;
        memcpy(buf, mine->bytes + mine->left, len);
        memset(mine->bytes + mine->left, 0, len);
    }
    atomic_store_explicit(&mine->taken, false, memory_order_release);
    return rc;
}
