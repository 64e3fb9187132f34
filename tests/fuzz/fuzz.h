/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share. A target is one LLVMFuzzerTestOneInput(): under clang libFuzzer calls
 * it, with any compiler standalone.c replays files. A property that does not hold ends the process,
 * so that both notice.
 */
#ifndef IDEM_TESTS_FUZZ_H
#define IDEM_TESTS_FUZZ_H

#include <idem/backend.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, with the place, unless the condition holds. */
#define HOLDS(condition)                                                                         \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

/* An input as a source of choices: when it is used up, every choice is 0. */
typedef struct {
    const uint8_t *at;
    size_t left;
} fuzz_source;

static inline uint8_t fuzz_byte(fuzz_source *source)
{
    if (source->left == 0)
        return 0;
    source->left--;
    return *source->at++;
}

static inline uint8_t fuzz_below(fuzz_source *source, uint8_t count)
{
    return (uint8_t)(fuzz_byte(source) % count);
}

static inline uint64_t fuzz_number(fuzz_source *source, size_t bytes)
{
    uint64_t number = 0;
    while (bytes-- > 0)
        number = number << 8 | fuzz_byte(source);
    return number;
}

/* Up to `len` bytes of the input itself. */
static inline idem_bytes fuzz_bytes(fuzz_source *source, size_t len)
{
    idem_bytes taken = {source->at, len < source->left ? len : source->left};
    source->at += taken.len;
    source->left -= taken.len;
    return taken;
}

static inline bool fuzz_same(idem_bytes a, idem_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The input as a C string, up to its first NUL. The caller's to free. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
    size_t len = nul ? (size_t)(nul - data) : size;
    char *text = malloc(len + 1);
    HOLDS(text != NULL);
    if (len > 0)
        memcpy(text, data, len);
    text[len] = '\0';
    return text;
}

/* An error that a call has set: one line for people, without control characters. */
static inline void fuzz_check_message(const idem_error *error, int code)
{
    HOLDS(error->code == code && code != IDEM_OK);
    HOLDS(error->message[0] != '\0' && strlen(error->message) < sizeof error->message);
    for (const char *at = error->message; *at; at++)
        HOLDS((unsigned char)*at >= ' ' && *at != '\x7f');
}

#endif
