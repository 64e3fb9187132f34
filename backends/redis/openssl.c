/* SPDX-License-Identifier: MIT */
/*
 * OpenSSL is megabytes: to load it, or to relocate it in a program that contains it, takes longer
 * than most uses of another backend. So nothing here is linked with it. The first connection over
 * TLS loads it by name, once for the process; in a process that has it already that is the same
 * library.
 */
#define IDEM__OPENSSL_NAMES
#include "openssl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>

/* Its interface is that of its major version. A build for another kind of file names it by
   -DIDEM_LIBSSL. */
#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)
#if !defined(IDEM_LIBSSL) && defined(OPENSSL_SHLIB_VERSION)
#define VERSION TEXT(OPENSSL_SHLIB_VERSION)
#elif !defined(IDEM_LIBSSL)
#define VERSION SHLIB_VERSION_NUMBER /* 1.1.1 */
#endif
#ifndef IDEM_LIBSSL
#if defined(__APPLE__)
#define IDEM_LIBSSL "libssl." VERSION ".dylib"
#else
#define IDEM_LIBSSL "libssl.so." VERSION
#endif
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool loaded;
idem__openssl idem__openssl_functions;

/* ISO C has no cast from an object's address to a function's. The library's own dependencies, of
   which libcrypto is one, are looked through too. */
static bool find(void *library, const char *name, void *place, size_t size)
{
    void *address = dlsym(library, name);
    if (address)
        memcpy(place, &address, size);
    return address != NULL;
}

static bool find_all(void *library, idem__openssl *found)
{
    bool all = true;
#define FIND(name) all = find(library, #name, &found->name, sizeof found->name) && all;
    IDEM__OPENSSL_FUNCTIONS(FIND)
#undef FIND
    return all;
}

static int load(idem__redis_fault *fault)
{
    idem__openssl found = {0};
    void *library = dlopen(IDEM_LIBSSL, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return idem__redis_fault_set(
            fault, true, IDEM_ERR_UNSUPPORTED,
            "OpenSSL's library %s, for TLS, can't be loaded: install it, or free memory and "
            "descriptors if it is there",
            IDEM_LIBSSL);
    if (!find_all(library, &found)) {
        (void)dlclose(library);
        return idem__redis_fault_set(fault, true, IDEM_ERR_UNSUPPORTED,
                                     "the library %s is another than that of OpenSSL %s: install "
                                     "that one",
                                     IDEM_LIBSSL, OPENSSL_VERSION_TEXT);
    }
    idem__openssl_functions = found; /* it stays loaded: threads may be in it at any time */
    atomic_store_explicit(&loaded, true, memory_order_release);
    return IDEM_OK;
}

int idem__openssl_load(idem__redis_fault *fault)
{
    int rc = IDEM_OK;
    if (atomic_load_explicit(&loaded, memory_order_acquire))
        return IDEM_OK;
    (void)pthread_mutex_lock(&lock);
    if (!atomic_load_explicit(&loaded, memory_order_relaxed))
        rc = load(fault);
    (void)pthread_mutex_unlock(&lock);
    return rc;
}
