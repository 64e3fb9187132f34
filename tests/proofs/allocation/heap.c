/* SPDX-License-Identifier: MIT */
/*
 * malloc() and its kin, in front of the C library's. A definition in the program comes before that
 * in any shared library, so all of the process's allocations pass here. They are counted, refused
 * if it is their turn, and handed on to the next definition: the C library's, or that of a memory
 * checker which has put its own in the place.
 *
 * To look the next definition up may itself allocate; what is asked for meanwhile comes from a
 * little arena that is never given back.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define ARENA_SIZE 8192u
#define INTERPOSES __attribute__((visibility("default")))

static struct {
    void *(*malloc)(size_t size);
    void *(*calloc)(size_t count, size_t size);
    void *(*realloc)(void *block, size_t size);
    int (*posix_memalign)(void **block, size_t alignment, size_t size);
    void *(*aligned_alloc)(size_t alignment, size_t size);
    void (*free)(void *block);
} next;

static alignas(max_align_t) unsigned char arena[ARENA_SIZE];
static size_t arena_used;
static bool looking_up; /* by the one thread that there is when a process begins */

static _Thread_local bool armed;
static atomic_bool armed_all;
static atomic_uint_fast64_t seen;
static atomic_uint_fast64_t refused;
static atomic_uint_fast64_t first;
static atomic_bool only_once;
static atomic_int_fast64_t live;

/* ------------------------------------------------------------------------- the next definition */

static void find(const char *name, void *function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found); /* an object pointer is no function pointer in C */
}

/* False while the next definitions are being looked up. */
static bool ready(void)
{
    if (next.free)
        return true;
    if (looking_up)
        return false;
    looking_up = true;
    find("malloc", &next.malloc);
    find("calloc", &next.calloc);
    find("realloc", &next.realloc);
    find("posix_memalign", &next.posix_memalign);
    find("aligned_alloc", &next.aligned_alloc);
    find("free", &next.free);
    looking_up = false;
    return true;
}

static void *from_arena(size_t size)
{
    size_t step = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    if (step > ARENA_SIZE - arena_used)
        return NULL;
    arena_used += step;
    return arena + arena_used - step;
}

static bool is_from_arena(const void *block)
{
    uintptr_t at = (uintptr_t)block;
    return at >= (uintptr_t)arena && at < (uintptr_t)arena + ARENA_SIZE;
}

/* ------------------------------------------------------------------------------------- failing */

static bool refuse(void)
{
    if (!armed && !atomic_load(&armed_all))
        return false;
    uint64_t number = atomic_fetch_add(&seen, 1) + 1;
    uint64_t nth = atomic_load(&first);
    if (number < nth || (number > nth && atomic_load(&only_once)))
        return false;
    (void)atomic_fetch_add(&refused, 1);
    errno = ENOMEM;
    return true;
}

static void begin(uint64_t nth, heap_mode mode)
{
    atomic_store(&seen, 0);
    atomic_store(&refused, 0);
    atomic_store(&first, nth);
    atomic_store(&only_once, mode == HEAP_ONCE);
}

void heap_arm(uint64_t nth, heap_mode mode)
{
    begin(nth, mode);
    armed = true;
}

void heap_arm_all(uint64_t nth, heap_mode mode)
{
    begin(nth, mode);
    atomic_store(&armed_all, true);
}

uint64_t heap_disarm(void)
{
    armed = false;
    atomic_store(&armed_all, false);
    return atomic_load(&refused);
}

uint64_t heap_refused(void)
{
    return atomic_load(&refused);
}

int64_t heap_live(void)
{
    return atomic_load(&live);
}

static void *count(void *block)
{
    if (block)
        (void)atomic_fetch_add(&live, 1);
    return block;
}

/* ------------------------------------------------------------------- what programs call */

INTERPOSES void *malloc(size_t size)
{
    if (!ready())
        return from_arena(size);
    return refuse() ? NULL : count(next.malloc(size));
}

INTERPOSES void *calloc(size_t number, size_t size)
{
    if (!ready())
        return from_arena(number * size); /* zero, since it is handed out once */
    return refuse() ? NULL : count(next.calloc(number, size));
}

INTERPOSES void *realloc(void *block, size_t size)
{
    if (!block)
        return malloc(size);
    if (is_from_arena(block) || refuse())
        return NULL;
    void *moved = next.realloc(block, size);
    if (!moved && size == 0)
        (void)atomic_fetch_sub(&live, 1);
    return moved;
}

INTERPOSES void *reallocarray(void *block, size_t number, size_t size)
{
    if (size > 0 && number > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, number * size > 0 ? number * size : 1);
}

INTERPOSES int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (!ready() || refuse())
        return ENOMEM;
    int number = next.posix_memalign(block, alignment, size);
    if (number == 0)
        (void)count(*block);
    return number;
}

INTERPOSES void *aligned_alloc(size_t alignment, size_t size)
{
    if (!ready() || refuse())
        return NULL;
    return count(next.aligned_alloc(alignment, size));
}

INTERPOSES void *memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

INTERPOSES void free(void *block)
{
    if (!block || is_from_arena(block))
        return;
    (void)atomic_fetch_sub(&live, 1);
    next.free(block);
}
