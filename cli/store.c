/* SPDX-License-Identifier: MIT */
/*
 * Opening the store. The default one is a SQLite file of the user's own: its folder and the file
 * are made here, before SQLite sees them, so that nobody else can read what commands have printed,
 * and nobody's symbolic link decides where that goes.
 */
#include "store.h"

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_A_STORE "name a store with --store URL or $IDEM_STORE"

/* Makes every folder of the path that is missing; only its owner may enter those. */
static int make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        int problem = errno;
        if (failed && access(path, F_OK) != 0) {
            char quoted[IDEM_QUOTE_SIZE];
            cli_say("the folder %s can't be made: %s; " NAME_A_STORE,
                    idem_quote(idem_str(path), quoted), strerror(problem));
            return CLI_UNAVAILABLE;
        }
        *slash = '/';
    }
    return CLI_OK;
}

/* Makes the file if it is missing; only its owner may read it. */
static int make_file(const char *path)
{
    char quoted[IDEM_QUOTE_SIZE];
    struct stat info;
    (void)idem_quote(idem_str(path), quoted);
    int fd = open(path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0 && errno == ELOOP) {
        cli_say("%s is a symbolic link, and the default store doesn't follow one; remove it, or "
                "name where it leads with --store sqlite:///…",
                quoted);
        return CLI_UNAVAILABLE;
    }
    if (fd < 0) {
        cli_say("%s can't be opened: %s; " NAME_A_STORE, quoted, strerror(errno));
        return CLI_UNAVAILABLE;
    }
    bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    (void)close(fd);
    if (is_file)
        return CLI_OK;
    cli_say("%s is no file; " NAME_A_STORE, quoted);
    return CLI_UNAVAILABLE;
}

static bool is_absolute(const char *path)
{
    return path && path[0] == '/';
}

/* A relative $XDG_STATE_HOME has to be ignored, says the specification it comes from. */
static int default_path(const char *command, cli_text *path)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (is_absolute(state)) {
        cli_text_add(path, state);
    } else if (is_absolute(home)) {
        cli_text_add(path, home);
        cli_text_add(path, "/.local/state");
    } else {
        return cli_usage(command, "there is no store: none of $IDEM_STORE, $XDG_STATE_HOME and "
                                  "$HOME is set to one; name one with --store URL");
    }
    cli_text_bytes(path, (idem_bytes){"/idem/idem.db", sizeof "/idem/idem.db"});
    return path->failed ? cli_report_no_memory() : CLI_OK;
}

static void add_encoded(cli_text *url, const char *path)
{
    for (const char *at = path; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("/._-~", *at);
        if (plain)
            cli_text_bytes(url, (idem_bytes){at, 1});
        else
            cli_text_addf(url, "%%%02X", (unsigned char)*at);
    }
}

static int open_url(const cli_call *call, const char *url, idem_store **store)
{
    idem_error error;
    return idem_open(url, store, &error) ? cli_report_open(call->command->name, &error) : CLI_OK;
}

static int open_default(const cli_call *call, idem_store **store)
{
    cli_text path = {0};
    cli_text url = {0};
    int code = default_path(call->command->name, &path);
    if (code == CLI_OK)
        code = make_folders(path.buffer.data);
    if (code == CLI_OK)
        code = make_file(path.buffer.data);
    if (code == CLI_OK) {
        cli_text_add(&url, "sqlite://");
        add_encoded(&url, path.buffer.data);
        cli_text_bytes(&url, (idem_bytes){"", 1});
        code = url.failed ? cli_report_no_memory() : open_url(call, url.buffer.data, store);
    }
    cli_text_clear(&path);
    cli_text_clear(&url);
    return code;
}

int cli_store_open(const cli_call *call, idem_store **store)
{
    const char *url = call->options.store_url;
    if (!url) {
        url = getenv("IDEM_STORE");
        url = url && *url ? url : NULL;
    }
    return url ? open_url(call, url, store) : open_default(call, store);
}
