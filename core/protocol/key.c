/* SPDX-License-Identifier: MIT */
/*
 * One key, or one fingerprint, out of several parts, such that no two lists of parts give the
 * same: the key escapes its separator, the hash takes every part with its length in front.
 */

/* OpenSSL 3 recommends EVP. But EVP looks for engines first, in a separate context too. So it loads
   the host's openssl.cnf, and the modules named there, into a program that asked for a fingerprint.
   SHA256_*() only compute: no context, no memory, nothing to fail. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <idem/backend.h>

#include "error.h"

#include <openssl/sha.h>

static const char *escape_of(char c)
{
    if (c == '%')
        return "%25";
    return c == ':' ? "%3A" : NULL;
}

static bool parts_are_valid(const idem_bytes *parts, size_t count)
{
    for (size_t i = 0; parts && i < count; i++) {
        if (!parts[i].data && parts[i].len > 0)
            return false;
    }
    return parts && count > 0;
}

/* Appends up to three bytes. False if they don't fit. */
static bool put(char *buf, size_t room, size_t *at, const char *text, size_t len)
{
    if (len > room - *at)
        return false;
    memcpy(buf + *at, text, len);
    *at += len;
    return true;
}

static bool join(const idem_bytes *parts, size_t count, char *buf, size_t room, size_t *at)
{
    for (size_t i = 0; i < count; i++) {
        const char *data = parts[i].data;
        if (i > 0 && !put(buf, room, at, ":", 1))
            return false;
        for (size_t k = 0; k < parts[i].len; k++) {
            const char *escaped = escape_of(data[k]);
            if (!put(buf, room, at, escaped ? escaped : &data[k], escaped ? 3 : 1))
                return false;
        }
    }
    return true;
}

int idem_key_compose(const idem_bytes *parts, size_t count, char *buf, size_t size, size_t *len,
                     idem_error *error)
{
    char key[IDEM_KEY_MAX];
    size_t at = 0;
    idem__error_clear(error);
    if (!parts_are_valid(parts, count) || !buf || !len)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a key is composed of one part or more, into a buffer; no pointer "
                              "may be NULL");
    if (!join(parts, count, key, size < sizeof key ? size : sizeof key, &at))
        return idem_error_set(error, IDEM_ERR_TOO_LARGE,
                              "the composed key is longer than %zu bytes; use a fingerprint of "
                              "the long parts in their place",
                              size < sizeof key ? size : sizeof key);
    if (at == 0)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the only part is empty; a key needs bytes");
    memcpy(buf, key, at);
    *len = at;
    return IDEM_OK;
}

/* Hashes a number as 8 bytes, most significant first. */
static bool hash_number(SHA256_CTX *hash, uint64_t number)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    return SHA256_Update(hash, bytes, sizeof bytes) == 1;
}

static bool hash_parts(SHA256_CTX *hash, const idem_bytes *parts, size_t count, uint8_t out[32])
{
    bool ok = SHA256_Init(hash) == 1 && hash_number(hash, count);
    for (size_t i = 0; ok && i < count; i++)
        ok = hash_number(hash, parts[i].len) &&
             (parts[i].len == 0 || SHA256_Update(hash, parts[i].data, parts[i].len) == 1);
    return ok && SHA256_Final(out, hash) == 1;
}

int idem_fingerprint(const idem_bytes *parts, size_t count, uint8_t out[32], idem_error *error)
{
    SHA256_CTX hash;
    uint8_t digest[32];
    idem__error_clear(error);
    if (!parts_are_valid(parts, count) || !out)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a fingerprint is made of one part or more; no pointer may be NULL");
    if (!hash_parts(&hash, parts, count, digest))
        return idem_error_set(error, IDEM_ERR_INTERNAL, "libcrypto can't compute SHA-256");
    memcpy(out, digest, sizeof digest);
    return IDEM_OK;
}
