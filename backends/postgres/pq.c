/* SPDX-License-Identifier: MIT */
/*
 * libpq brings Kerberos, LDAP and TLS along: to load them takes longer than most uses of another
 * backend. So nothing here is linked with it. The first store of this backend loads it by name,
 * once for the process; in a process that has it already, on whose connection a store may be
 * opened, that is the same library.
 */
#include "pq.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

#define OLDEST 140000 /* pipeline mode */

#if defined(__APPLE__)
#define LIBRARY "libpq.5.dylib"
#else
#define LIBRARY "libpq.so.5"
#endif

/* No lock: the child of a fork() in another thread would find it held for good. Two threads that
   load it at once find the same library. */
static idem__pq *_Atomic functions;

/* ISO C has no cast from an object's address to a function's. */
static bool find(void *library, const char *name, void *place, size_t size)
{
    void *address = dlsym(library, name);
    if (address)
        memcpy(place, &address, size);
    return address != NULL;
}

static bool find_all(void *library, idem__pq *found)
{
    bool all = true;
#define FIND(name) all = find(library, #name, &found->name, sizeof found->name) && all;
    IDEM__PQ_FUNCTIONS(FIND)
#undef FIND
    return all;
}

static void *open_library(idem__pq *found, idem_error *error)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        (void)idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                             "the library %s of PostgreSQL can't be loaded: install it (Debian's "
                             "libpq5), or free memory and descriptors if it is there",
                             LIBRARY);
        return NULL;
    }
    if (find_all(library, found) && found->PQlibVersion() >= OLDEST) {
        (void)find(library, "SSL_pending", &found->ssl_pending, sizeof found->ssl_pending);
        return library;
    }
    (void)dlclose(library);
    (void)idem_error_set(error, IDEM_ERR_UNSUPPORTED,
                         "the library %s is older than PostgreSQL 14's: install a newer one",
                         LIBRARY);
    return NULL;
}

int idem__pq_load(const idem__pq **pq, idem_error *error)
{
    idem__pq *loaded = atomic_load_explicit(&functions, memory_order_acquire);
    *pq = loaded;
    if (loaded)
        return IDEM_OK;
    idem__pq *found = calloc(1, sizeof *found);
    if (!found)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    void *library = open_library(found, error);
    if (!library) {
        free(found);
        return IDEM_ERR_UNSUPPORTED;
    }
    *pq = found; /* it stays loaded: threads may be in it at any time */
    if (!atomic_compare_exchange_strong(&functions, &loaded, found)) {
        *pq = loaded;
        free(found);
        (void)dlclose(library); /* another thread's hold is enough */
    }
    return IDEM_OK;
}
