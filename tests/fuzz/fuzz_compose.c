/* SPDX-License-Identifier: MIT */
/*
 * Keys and fingerprints out of parts: no two different lists of parts give the same. The input is
 * read as two lists; and each key is taken apart again by a decoder that knows only what the header
 * says about the form, which shows it for all other lists as well.
 */
#include "fuzz.h"

#define PARTS_MAX 12

typedef struct {
    idem_bytes parts[PARTS_MAX];
    size_t count;
} list;

/* A list: its count, and the length of each part in front of it. Short parts are the rule. */
static list read_list(fuzz_source *source)
{
    list made = {.count = fuzz_below(source, PARTS_MAX + 1)};
    for (size_t i = 0; i < made.count; i++) {
        size_t len = fuzz_byte(source);
        made.parts[i] = fuzz_bytes(source, len < 250 ? len % 8 : (len - 249) * 100);
    }
    return made;
}

static bool same_lists(const list *a, const list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = fuzz_same(a->parts[i], b->parts[i]);
    return same;
}

static size_t composed_length(const list *of)
{
    size_t len = of->count > 0 ? of->count - 1 : 0;
    for (size_t i = 0; i < of->count; i++) {
        const char *data = of->parts[i].data;
        for (size_t k = 0; k < of->parts[i].len; k++)
            len += data[k] == '%' || data[k] == ':' ? 3 : 1;
    }
    return len;
}

/* Reads one part of a key, up to its colon or the key's end. @return where it ends */
static size_t decode_part(const char *key, size_t len, size_t at, char *part, size_t *part_len)
{
    *part_len = 0;
    for (; at < len && key[at] != ':'; at++) {
        char c = key[at];
        if (c == '%') {
            HOLDS(len - at >= 3);
            bool percent = memcmp(key + at, "%25", 3) == 0;
            HOLDS(percent || memcmp(key + at, "%3A", 3) == 0);
            c = percent ? '%' : ':';
            at += 2;
        }
        part[(*part_len)++] = c;
    }
    return at;
}

static void check_decodes(const char *key, size_t len, const list *to)
{
    char part[IDEM_KEY_MAX];
    size_t at = 0;
    for (size_t i = 0; i < to->count; i++) {
        size_t part_len;
        at = decode_part(key, len, at, part, &part_len);
        HOLDS(fuzz_same(to->parts[i], (idem_bytes){part, part_len}));
        HOLDS(i + 1 == to->count ? at == len : key[at] == ':');
        at++;
    }
}

/* Composes into a buffer of its exact size, so that a byte too much is noticed. @return its length,
   0 if there is no key */
static size_t compose(const list *of, size_t room, char *key)
{
    idem_error error = {0};
    size_t wanted = composed_length(of);
    size_t limit = room < IDEM_KEY_MAX ? room : IDEM_KEY_MAX;
    size_t len = SIZE_MAX;
    char *buf = malloc(room ? room : 1);
    HOLDS(buf != NULL);
    int rc = idem_key_compose(of->parts, of->count, buf, room, &len, &error);
    if (of->count == 0 || wanted == 0 || wanted > limit) {
        HOLDS(rc == (of->count > 0 && wanted > limit ? IDEM_ERR_TOO_LARGE : IDEM_ERR_ARGUMENT));
        HOLDS(len == SIZE_MAX);
        fuzz_check_message(&error, rc);
        len = 0;
    } else {
        HOLDS(rc == IDEM_OK && error.code == IDEM_OK && len == wanted);
        check_decodes(buf, len, of);
        memcpy(key, buf, len);
    }
    free(buf);
    return len;
}

static bool fingerprint(const list *of, uint8_t out[32])
{
    idem_error error = {0};
    int rc = idem_fingerprint(of->parts, of->count, out, &error);
    HOLDS(rc == (of->count > 0 ? IDEM_OK : IDEM_ERR_ARGUMENT));
    if (rc)
        fuzz_check_message(&error, rc);
    return rc == IDEM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_source source = {data, size};
    char keys[2][IDEM_KEY_MAX];
    uint8_t prints[2][32];
    size_t room = fuzz_byte(&source) < 32 ? fuzz_byte(&source) : 2 * IDEM_KEY_MAX;
    list a = read_list(&source);
    list b = read_list(&source);
    bool same = same_lists(&a, &b);
    size_t a_len = compose(&a, room, keys[0]);
    size_t b_len = compose(&b, room, keys[1]);
    if (a_len > 0 && b_len > 0)
        HOLDS(fuzz_same((idem_bytes){keys[0], a_len}, (idem_bytes){keys[1], b_len}) == same);
    if (fingerprint(&a, prints[0]) && fingerprint(&b, prints[1]))
        HOLDS((memcmp(prints[0], prints[1], sizeof prints[0]) == 0) == same);
    return 0;
}
