/* SPDX-License-Identifier: MIT */
/* Store URLs, taken apart. */
#ifndef IDEM_CORE_URL_H
#define IDEM_CORE_URL_H

#include <idem/backend.h>

/** A URL's parts. The strings are the URL's own memory; NULL where there is none. */
typedef struct {
    char *scheme; /**< in lower case */
    char *user;
    char *password;
    char *host;
    char *path;
    char *query; /**< still percent-encoded: idem__params_parse() takes it apart */
    uint32_t port;
    char *display; /**< without user, password and query */
    char *memory;
} idem__url;

/** Refuses white space and control characters that are not percent-encoded: a line break behind a
 *  URL that came from a file would lead to another store. @param what  what the text is, in the
 *  message
 *  @return IDEM_ERR_ARGUMENT */
int idem__url_check_bytes(const char *text, const char *what, idem_error *error);

/** Takes a URL apart. No message holds a piece of it that could be a secret.
 *  @return IDEM_ERR_ARGUMENT; IDEM_ERR_NO_MEMORY */
int idem__url_parse(const char *text, idem__url *url, idem_error *error);

/** Frees what a URL holds, secrets wiped, and zeroes it. */
void idem__url_clear(idem__url *url);

/** Decodes %XX in place. False if one is malformed, or stands for NUL. */
bool idem__url_decode(char *text);

#endif
