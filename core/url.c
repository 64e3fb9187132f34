/* SPDX-License-Identifier: MIT */
/*
 * Store URLs: `scheme:path?query` and `scheme://user:password@host:port/path?query`.
 *
 * A password with a `/`, `?` or `@` in it that was not percent-encoded ends up in some other part.
 * So no message here repeats any part but the scheme, and `display` is only made of parts that
 * have passed checks which such a password can't pass.
 */
#include "url.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_scheme_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

static char *split_scheme(char *text)
{
    char *colon = strchr(text, ':');
    if (!colon || colon == text)
        return NULL;
    for (char *at = text; at < colon; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
        if (!is_scheme_char(*at))
            return NULL;
    }
    if (text[0] < 'a' || text[0] > 'z')
        return NULL;
    *colon = '\0';
    return colon + 1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool idem__url_decode(char *text)
{
    char *to = text;
    for (char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_value(from[1]);
        int low = high < 0 ? -1 : hex_value(from[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static int parse_port(const char *text, uint32_t *port, idem_error *error)
{
    size_t len = strlen(text);
    long number = len > 0 && len <= 5 && strspn(text, "0123456789") == len ? atol(text) : 0;
    if (number < 1 || number > 65535)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the URL's port is not a number from 1 to 65535 (in a password write "
                              "/ as %%2F, ? as %%3F, @ as %%40, %% as %%25)");
    *port = (uint32_t)number;
    return IDEM_OK;
}

/* Takes `user:password@host:port` apart, in place. */
static int parse_authority(char *authority, idem__url *url, idem_error *error)
{
    char *host = authority;
    char *at = strrchr(authority, '@');
    if (at) {
        *at = '\0';
        host = at + 1;
        url->user = authority;
        url->password = strchr(authority, ':');
        if (url->password)
            *url->password++ = '\0';
    }
    if (strchr(host, ',')) { /* for the backend to take apart */
        url->host = host;
        return IDEM_OK;
    }
    char *bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    char *colon = strchr(bracket ? bracket : host, ':');
    if (host[0] == '[' && (!bracket || (bracket[1] != '\0' && bracket[1] != ':')))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the URL's IPv6 address is not closed; write it as [::1]");
    if (colon) {
        *colon = '\0';
        int rc = parse_port(colon + 1, &url->port, error);
        if (rc)
            return rc;
    }
    if (bracket) {
        *bracket = '\0';
        host++;
    }
    url->host = *host ? host : NULL;
    return IDEM_OK;
}

/* Behind `scheme:` with `//`: the authority ends at the path, which has to keep its slash, so the
   authority is moved one to the left over one of the two slashes in front of it. */
static int parse_hierarchical(char *rest, idem__url *url, idem_error *error)
{
    char *path = strchr(rest + 2, '/');
    size_t len = path ? (size_t)(path - rest) - 2 : strlen(rest + 2);
    if (path && len > 0 && strchr(path, '@'))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the URL has an @ behind its first single slash; write / in a "
                              "password as %%2F, @ in a path as %%40");
    if (url->query && len > 0 && strchr(url->query, '@'))
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "the URL has an @ behind its first question mark; write ? in a "
                              "password as %%3F, @ in an option as %%40");
    memmove(rest, rest + 2, len);
    rest[len] = '\0';
    url->path = path;
    return len > 0 ? parse_authority(rest, url, error) : IDEM_OK;
}

static int decode_parts(idem__url *url, idem_error *error)
{
    char *parts[] = {url->user, url->password, url->host, url->path};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i] && !idem__url_decode(parts[i]))
            return idem_error_set(error, IDEM_ERR_ARGUMENT,
                                  "the URL has a %% without two hexadecimal digits behind it, or "
                                  "%%00; write %% as %%25");
    }
    return IDEM_OK;
}

static int make_display(idem__url *url, idem_error *error)
{
    bool authority = url->host || url->port;
    size_t size = strlen(url->scheme) + (url->host ? strlen(url->host) : 0) +
                  (url->path ? strlen(url->path) : 0) + 16;
    char port[16] = "";
    url->display = malloc(size);
    if (!url->display)
        return idem__error_no_memory(error);
    if (url->port)
        (void)snprintf(port, sizeof port, ":%u", (unsigned)url->port);
    (void)snprintf(url->display, size, "%s:%s%s%s%s", url->scheme, authority ? "//" : "",
                   url->host ? url->host : "", port, url->path ? url->path : "");
    return IDEM_OK;
}

static int parse(char *text, idem__url *url, idem_error *error)
{
    char *rest = split_scheme(text);
    if (!rest)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "a store URL begins with its scheme and a colon, such as memory:// "
                              "or sqlite:///var/lib/app/idem.db");
    url->scheme = text;
    if (strchr(rest, '#'))
        return idem_error_set(error, IDEM_ERR_ARGUMENT, "write # in a store URL as %%23");
    url->query = strchr(rest, '?');
    if (url->query)
        *url->query++ = '\0';
    int rc = IDEM_OK;
    if (strncmp(rest, "//", 2) == 0)
        rc = parse_hierarchical(rest, url, error);
    else if (*rest)
        url->path = rest;
    if (rc == IDEM_OK)
        rc = decode_parts(url, error);
    return rc ? rc : make_display(url, error);
}

int idem__url_parse(const char *text, idem__url *url, idem_error *error)
{
    idem__url parsed = {.memory = strdup(text)};
    if (!parsed.memory)
        return idem__error_no_memory(error);
    int rc = parse(parsed.memory, &parsed, error);
    if (rc)
        idem__url_clear(&parsed);
    else
        *url = parsed;
    return rc;
}

void idem__url_clear(idem__url *url)
{
    if (url->password) {
        volatile char *at = url->password;
        while (*at)
            *at++ = '\0';
    }
    free(url->memory);
    free(url->display);
    memset(url, 0, sizeof *url);
}
