/* SPDX-License-Identifier: MIT */
/* What a store tells of itself. It is made and ended in open.c. */
#include "store.h"

uint64_t idem__store_id(void)
{
    static _Atomic uint64_t last;
    return atomic_fetch_add(&last, 1) + 1;
}

uint64_t idem_traits(const idem_store *store)
{
    if (!store)
        return 0;
    uint64_t traits = store->ops.traits & (IDEM_TRAIT_CONCURRENT | IDEM_TRAIT_DURABLE |
                                           IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK);
    if (!(store->ops.traits & IDEM_BACKEND_NO_BACKGROUND))
        traits |= IDEM_TRAIT_KEEPALIVE;
    if (store->ops.scan)
        traits |= IDEM_TRAIT_SCAN;
    if (store->ops.purge)
        traits |= IDEM_TRAIT_PURGE;
    return traits;
}

uint64_t idem_max_response(const idem_store *store)
{
    return store ? store->max_response : 0;
}
