/* SPDX-License-Identifier: MIT */
/*
 * Base64 for text records, read in the one form that is written. libcrypto's decoder passes over
 * white space, and takes lengths as int.
 */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
#define PADDING 64 /* where the alphabet has its sign */

size_t idem__base64_length(size_t len)
{
    return (len + 2) / 3 * 4;
}

void idem__base64_encode(const void *data, size_t len, char *to)
{
    const unsigned char *from = data;
    for (size_t i = 0; i < len; i += 3, to += 4) {
        size_t left = len - i;
        uint32_t group = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                         (left > 2 ? from[i + 2] : 0u);
        to[0] = alphabet[group >> 18];
        to[1] = alphabet[group >> 12 & 63];
        to[2] = alphabet[left > 1 ? group >> 6 & 63 : PADDING];
        to[3] = alphabet[left > 2 ? group & 63 : PADDING];
    }
}

/* What a character stands for; 64: nothing. */
static uint32_t value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* Four characters, of which the last `padding` are not looked at. */
static bool decode_group(const char *text, size_t padding, unsigned char *to)
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < 4 - padding ? value_of(text[i]) : 0;
        if (value > 63)
            return false;
        group = group << 6 | value;
    }
    for (size_t i = 0; i < 3; i++, group <<= 8) {
        if (i < 3 - padding)
            to[i] = (unsigned char)(group >> 16);
        else if (group & 0xFF0000u) /* bits that belong to no byte */
            return false;
    }
    return true;
}

bool idem__base64_decode(const char *text, size_t len, void *to, size_t *decoded)
{
    unsigned char *bytes = to;
    size_t padding = 0;
    if (len % 4 != 0)
        return false;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < len; i += 4) {
        if (!decode_group(text + i, i + 4 == len ? padding : 0, bytes + i / 4 * 3))
            return false;
    }
    *decoded = len / 4 * 3 - padding;
    return true;
}
