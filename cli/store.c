/* SPDX-License-Identifier: MIT */
/*
 * Opening the store: where its URL comes from, and what is done so that a password in it reaches
 * nobody else. A store that is named by a URL is opened as any file: its links are followed.
 */
#include "store.h"

#include "default_store.h"
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------------------------- passwords */

/* A parameter's name, as a percent-encoded one could be anything. */
static bool is_secret_name(const char *name, size_t len)
{
    static const char *const parts[] = {"pass", "secret", "token", "%"};
    for (size_t i = 0; i < len; i++) {
        for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
            size_t part = strlen(parts[k]);
            if (part <= len - i && strncasecmp(name + i, parts[k], part) == 0)
                return true;
        }
    }
    return false;
}

static bool has_secret_parameter(const char *url)
{
    const char *at = strchr(url, '?');
    while (at) {
        at++;
        if (is_secret_name(at, strcspn(at, "=&")))
            return true;
        at = strchr(at, '&');
    }
    return false;
}

/* `user:password@` stands between `//` and the last `@`: a password with a slash in it, which is
   not written as it should be, is one all the same. */
bool cli_store_has_password(const char *url)
{
    const char *authority = strstr(url, "://");
    const char *at = strrchr(url, '@');
    if (has_secret_parameter(url))
        return true;
    if (!authority || !at || authority[3] == '/' || at < authority + 3)
        return false;
    return memchr(authority + 3, ':', (size_t)(at - authority - 3)) != NULL;
}

/* -------------------------------------------------------------------------------- --store-file */

#define URL_MAX 16384u

/* `/dev/fd/N` is the descriptor N itself, with or without a /dev. It is closed behind it: what
   holds the URL is for this process alone, and not for CMD. */
static int open_store_file(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        size_t len = strlen(folders[i]);
        size_t digits = strspn(path, folders[i]) >= len ? strspn(path + len, "0123456789") : 0;
        if (strncmp(path, folders[i], len) == 0 && digits > 0 && digits < 8 &&
            path[len + digits] == '\0')
            return atoi(path + len);
    }
    if (strcmp(path, "/dev/stdin") == 0)
        return STDIN_FILENO;
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

static void close_store_file(int fd)
{
    if (fd > STDERR_FILENO)
        (void)close(fd);
}

/* @return 0 or an errno */
static int read_whole(int fd, char *to, size_t size, size_t *len)
{
    *len = 0;
    while (*len < size) {
        ssize_t got = read(fd, to + *len, size - *len);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EAGAIN) /* somebody else has made it non-blocking */
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
        else if (got < 0 && errno != EINTR)
            return errno;
        *len += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static void warn_if_readable(int fd, const char *quoted_path, const char *url)
{
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & (S_IRGRP | S_IROTH)) &&
        cli_store_has_password(url))
        cli_say("the file %s holds a password and can be read by other users; take that away with "
                "chmod go-r",
                quoted_path);
}

/* What the file holds is one line, whose end an editor may have put there. */
static int check_content(const char *quoted_path, char *url, size_t len)
{
    if (len > 0 && url[len - 1] == '\n')
        len--;
    url[len] = '\0';
    if (len == 0 || len >= URL_MAX) {
        cli_say("the file %s is %s; it should hold one line, the store's URL", quoted_path,
                len == 0 ? "empty" : "too long");
        return CLI_USAGE;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)url[i] > 0x20 && url[i] != 0x7F)
            continue;
        cli_say("the file %s has white space or a control character within the URL, at byte %zu; "
                "it should hold one line, the store's URL",
                quoted_path, i + 1);
        return CLI_USAGE;
    }
    return CLI_OK;
}

/* @param[out] url  has room for URL_MAX + 2 bytes */
static int read_store_file(const char *path, char *url)
{
    char quoted[IDEM_QUOTE_SIZE];
    size_t len = 0;
    int fd = open_store_file(path);
    int problem = fd < 0 ? errno : read_whole(fd, url, URL_MAX + 1, &len);
    (void)idem_quote(idem_str(path), quoted);
    if (problem) {
        close_store_file(fd);
        cli_say("the file %s, which should hold the store's URL, can't be read: %s", quoted,
                cli_problem(problem));
        return CLI_UNAVAILABLE;
    }
    int code = check_content(quoted, url, len);
    if (code == CLI_OK)
        warn_if_readable(fd, quoted, url);
    close_store_file(fd);
    return code;
}

/* ------------------------------------------------------------------------------------- opening */

static int open_url(const cli_call *call, const char *url, idem_store **store)
{
    idem_error error;
    idem_options options = {
        .size = sizeof options,
        .flags = call->command->needs_store == CLI_STORE_EXISTING ? IDEM_OPEN_EXISTING : 0};
    return idem_open_with(url, &options, store, &error)
               ? cli_report_open(call->command->name, &error)
               : CLI_OK;
}

static int open_from_file(const cli_call *call, idem_store **store)
{
    char url[URL_MAX + 2];
    int code = read_store_file(call->options.store_file, url);
    return code ? code : open_url(call, url, store);
}

static int open_default(const cli_call *call, idem_store **store)
{
    cli_text url = {0};
    if (getenv(CLI_STORE_WITHHELD))
        return cli_usage(call->command->name,
                         "this runs inside 'idem run', which keeps the password in its $IDEM_STORE "
                         "to itself; name the store with --store-file or --store");
    int code = cli_default_store(call, call->command->needs_store, &url);
    if (code == CLI_OK)
        code = open_url(call, url.buffer.data, store);
    cli_text_clear(&url);
    return code;
}

int cli_store_open(const cli_call *call, idem_store **store)
{
    const char *inherited = getenv("IDEM_STORE");
    if (call->options.store_url && call->options.store_file)
        return cli_usage(call->command->name, "--store and --store-file exclude each other");
    if (call->options.store_url)
        return open_url(call, call->options.store_url, store);
    if (call->options.store_file)
        return open_from_file(call, store);
    if (inherited && *inherited)
        return open_url(call, inherited, store);
    return open_default(call, store);
}
