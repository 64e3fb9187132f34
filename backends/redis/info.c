/* SPDX-License-Identifier: MIT */
/* The text that INFO gives, `name:value` in lines that end in CR LF. Nothing is kept. */
#include "info.h"

#include <stdlib.h>

void idem__redis_info_plain(char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

bool idem__redis_info_text(idem_bytes info, const char *name, char *buf, size_t size)
{
    const char *at = info.data;
    size_t left = info.len;
    size_t name_len = strlen(name);
    while (left > 0) {
        const char *newline = memchr(at, '\n', left);
        size_t len = newline ? (size_t)(newline - at) + 1 : left;
        if (len > name_len && memcmp(at, name, name_len) == 0 && at[name_len] == ':') {
            const char *value = at + name_len + 1;
            size_t value_len = 0;
            while (value_len < len - name_len - 1 && value_len < size - 1 &&
                   (unsigned char)value[value_len] >= ' ')
                value_len++;
            memcpy(buf, value, value_len);
            buf[value_len] = '\0';
            idem__redis_info_plain(buf);
            return true;
        }
        at += len;
        left -= len;
    }
    return false;
}

uint64_t idem__redis_info_number(idem_bytes info, const char *name)
{
    char text[32];
    return idem__redis_info_text(info, name, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

uint64_t idem__redis_info_part(const char *value, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = value; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            return strtoull(at + len + 1, NULL, 10);
    }
    return UINT64_MAX;
}
