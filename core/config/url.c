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

/* What no keyboard gives on purpose: white space of Unicode, the invisible, and the upper control
   characters, in UTF-8. */
static const char *const unseen[] = {
    "\xc2\xa0",     "\xc2\xad",     "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9",
    "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe2\x81\xa0", "\xe3\x80\x80", "\xef\xbb\xbf",
};

/* The bytes at `at` that may not stand in a URL as they are; 0: they may. */
static size_t unseen_len(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;
    if (byte[0] <= ' ' || byte[0] == 0x7f)
        return 1;
    if (byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] <= 0x9f)
        return 2;
    /* from U+2000 to U+200F, and U+202A to U+202E, which turn the direction of what is shown */
    if (byte[0] == 0xe2 && byte[1] == 0x80 &&
        ((byte[2] >= 0x80 && byte[2] <= 0x8f) || (byte[2] >= 0xaa && byte[2] <= 0xae)))
        return 3;
    for (size_t i = 0; i < sizeof unseen / sizeof unseen[0]; i++) {
        if (strncmp(at, unseen[i], strlen(unseen[i])) == 0)
            return strlen(unseen[i]);
    }
    return 0;
}

int idem__url_check_bytes(const char *text, const char *what, idem_error *error)
{
    const char *at = text;
    while (*at && unseen_len(at) == 0)
        at++;
    if (!*at)
        return IDEM_OK;
    const char *kind = *at == '\n' || *at == '\r'                       ? "a line break"
                       : *at == ' ' || *at == '\t' || (*at & 0x80) != 0 ? "white space"
                                                                        : "a control character";
    const char *where = at == text ? "begins with" : at[unseen_len(at)] ? "holds" : "ends with";
    return idem_error_set(
        error, IDEM_ERR_ARGUMENT,
        "%s %s %s, as what was read from a file often does; take it away, or write "
        "what is meant in percent (a blank as %%20)",
        what, where, kind);
}

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

/* One of a list of hosts: `host`, `host:port`, `[IPv6]`, `[IPv6]:port`. What does not look like it
   may be a password. */
static bool is_listed_host(const char *at, size_t len)
{
    const char *close = at[0] == '[' ? memchr(at, ']', len) : NULL;
    size_t host_len = close ? (size_t)(close - at) + 1 : strcspn(at, ":,");
    if (host_len == 0 || (at[0] == '[' && !close))
        return false;
    if (host_len == len)
        return true;
    char text[8] = "";
    uint32_t port;
    size_t port_len = len - host_len - 1;
    if (at[host_len] != ':' || port_len >= sizeof text)
        return false;
    memcpy(text, at + host_len + 1, port_len);
    return parse_port(text, &port, NULL) == IDEM_OK;
}

/* A list is for the backend to take apart. */
static int check_hosts(const char *hosts, idem_error *error)
{
    for (const char *at = hosts;; at++) {
        size_t len = strcspn(at, ",");
        if (!is_listed_host(at, len))
            return idem_error_set(error, IDEM_ERR_ARGUMENT,
                                  "the URL's list of hosts is malformed; write host1:port1,"
                                  "host2:port2, and in a password , as %%2C, / as %%2F, @ as %%40");
        at += len;
        if (!*at)
            return IDEM_OK;
    }
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
    if (strchr(host, ',')) {
        url->host = host;
        return check_hosts(host, error);
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

/* Behind `scheme:` with `//`. The path keeps its slash, so there is no room for a NUL after the
   authority: it is moved to the left, over the two slashes in front of it. */
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
    for (char *at = url->display; *at; at++) { /* a message is one line, whatever was decoded */
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    }
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
    int rc = idem__url_check_bytes(text, "the store URL", error);
    if (rc)
        return rc;
    idem__url parsed = {.memory = strdup(text)};
    if (!parsed.memory)
        return idem__error_no_memory(error);
    rc = parse(parsed.memory, &parsed, error);
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
