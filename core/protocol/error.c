/* SPDX-License-Identifier: MIT */
/*
 * Errors: the caller's struct, one line, first message wins, nothing allocated. Bytes that come
 * from strangers go into a message only through idem_quote().
 */
#include <idem/backend.h>

#include "error.h"

#include <stdio.h>

#define TEXT(x)                      #x
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *idem_version(void)
{
    return VERSION(IDEM_VERSION_MAJOR, IDEM_VERSION_MINOR, IDEM_VERSION_PATCH);
}

const char *idem_strerror(int code)
{
    switch (code) {
    case IDEM_OK:
        return "success";
#define MEANING(name, number, text) \
    case number:                    \
        return text;
        IDEM_ERROR_MAP(MEANING)
#undef MEANING
    default:
        return "unknown error";
    }
}

void idem__error_clear(idem_error *error)
{
    if (error) {
        error->code = IDEM_OK;
        error->message[0] = '\0';
    }
}

int idem_error_set_v(idem_error *error, int code, const char *format, va_list args)
{
    if (error && error->code == IDEM_OK) {
        error->code = code;
        if (vsnprintf(error->message, sizeof error->message, format, args) < 0)
            error->message[0] = '\0';
    }
    return code;
}

int idem_error_set(idem_error *error, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)idem_error_set_v(error, code, format, args);
    va_end(args);
    return code;
}

void idem_op_fail(idem_op *op, bool permanent, int code, const char *format, ...)
{
    if (!op || op->error.code != IDEM_OK)
        return;
    va_list args;
    va_start(args, format);
    (void)idem_error_set_v(&op->error, code, format, args);
    va_end(args);
    op->permanent = permanent;
}

void idem_finding_emit(idem_finding_fn emit, void *emit_user, const char *fix, const char *format,
                       ...)
{
    char what[sizeof((idem_error *)NULL)->message];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(what, sizeof what, format, args);
    va_end(args);
    idem_finding finding = {.what = len < 0 ? format : what, .fix = fix};
    if (emit)
        emit(emit_user, &finding);
}

int idem__error_copy(idem_error *error, const idem_error *from)
{
    return idem_error_set(error, from->code, "%s", from->message);
}

int idem__error_known(int code)
{
    switch (code) {
#define KNOWN(name, number, text) case number:
        IDEM_ERROR_MAP(KNOWN)
#undef KNOWN
        return code;
    default:
        return IDEM_ERR_INTERNAL;
    }
}

int idem__error_no_memory(idem_error *error)
{
    return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
}

const char *idem_quote(idem_bytes bytes, char buf[IDEM_QUOTE_SIZE])
{
    static const char cut[] = "\xe2\x80\xa6";
    const unsigned char *data = bytes.data;
    size_t room = IDEM_QUOTE_SIZE - sizeof cut - 1; /* the ellipsis, its NUL, the closing quote */
    size_t at = 0;
    size_t i = 0;
    if (!buf)
        return NULL;
    if (!data)
        bytes.len = 0;
    buf[at++] = '"';
    for (; i < bytes.len; i++) {
        char one[5];
        bool plain = data[i] >= 0x20 && data[i] < 0x7f && data[i] != '"' && data[i] != '\\';
        int len = plain ? snprintf(one, sizeof one, "%c", data[i])
                        : snprintf(one, sizeof one, "\\x%02x", data[i]);
        if (len < 0 || at + (size_t)len > room)
            break;
        memcpy(buf + at, one, (size_t)len);
        at += (size_t)len;
    }
    if (i < bytes.len) {
        memcpy(buf + at, cut, sizeof cut - 1);
        at += sizeof cut - 1;
    }
    buf[at++] = '"';
    buf[at] = '\0';
    return buf;
}
