/* SPDX-License-Identifier: MIT */
/*
 * Opening the store. The default one is a SQLite file of the user's own: its folder and the file
 * are made here, before SQLite sees them, so that nobody else can read what commands have printed,
 * and nobody's symbolic link decides where that goes. The folder is judged by a descriptor of it;
 * once nobody else can write in it, what is found inside stays as it was found. A store that is
 * named by a URL is opened as any file: its links are followed.
 */
#include "store.h"

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME    "idem.db"
#define NAME_A_STORE "name a store with --store URL or $IDEM_STORE"

/* Makes every folder of the path that is missing, the last name apart; only its owner may enter
   those. Symbolic links on the way are the user's own business: a home may be on another disk. */
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

/* ----------------------------------------------------------------- the default store's own names */

static int refuse(const char *path, const char *why)
{
    char quoted[IDEM_QUOTE_SIZE];
    cli_say("%s %s", idem_quote(idem_str(path), quoted), why);
    return CLI_UNAVAILABLE;
}

static int refuse_link(const char *path)
{
    return refuse(path, "is a symbolic link, and the default store doesn't follow one; remove it, "
                        "or name where it leads with --store sqlite:///…");
}

/* What was found, as the thing itself and not its name, has to be this user's alone to change:
   whoever else can write there decides what is replayed, and where SQLite writes. */
static int judge(const char *path, const struct stat *info, mode_t type)
{
    if (S_ISLNK(info->st_mode))
        return refuse_link(path);
    if ((info->st_mode & S_IFMT) != type)
        return refuse(path, type == S_IFDIR ? "is no folder; " NAME_A_STORE
                                            : "is no file; " NAME_A_STORE);
    if (info->st_uid != geteuid())
        return refuse(path, "belongs to another user; check $HOME and $XDG_STATE_HOME, "
                            "or " NAME_A_STORE);
    if (info->st_mode & (S_IWGRP | S_IWOTH))
        return refuse(path, "can be written by other users; look at what is in it, then take that "
                            "away with chmod go-w, or " NAME_A_STORE);
    return CLI_OK;
}

/* Opens the folder itself. Everything below is then reached through it, not by its path. */
static int open_folder(const char *path, int *folder)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        /* A link and a file are not told apart by errno on every system. */
        int problem = errno;
        if (lstat(path, &info) == 0 && !S_ISDIR(info.st_mode))
            return judge(path, &info, S_IFDIR);
        char quoted[IDEM_QUOTE_SIZE];
        cli_say("%s can't be opened: %s; " NAME_A_STORE, idem_quote(idem_str(path), quoted),
                strerror(problem));
        return CLI_UNAVAILABLE;
    }
    int code = fstat(fd, &info) == 0 ? judge(path, &info, S_IFDIR) : CLI_UNAVAILABLE;
    if (code == CLI_OK)
        *folder = fd;
    else
        (void)close(fd);
    return code;
}

/* Makes the file if it is missing; only its owner may read it. */
static int make_file(int folder, const char *path)
{
    struct stat info;
    int fd =
        openat(folder, FILE_NAME, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0 && errno == ELOOP)
        return refuse_link(path);
    if (fd < 0) {
        char quoted[IDEM_QUOTE_SIZE];
        cli_say("%s can't be opened: %s; " NAME_A_STORE, idem_quote(idem_str(path), quoted),
                strerror(errno));
        return CLI_UNAVAILABLE;
    }
    int code = fstat(fd, &info) == 0 ? judge(path, &info, S_IFREG) : CLI_UNAVAILABLE;
    (void)close(fd);
    return code;
}

/* What SQLite keeps beside the file: it makes these with the file's own mode. */
static int check_beside(int folder, const char *path)
{
    static const char *const ends[] = {"-wal", "-shm", "-journal"};
    int code = CLI_OK;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && code == CLI_OK; i++) {
        struct stat info;
        char name[sizeof FILE_NAME + sizeof "-journal"];
        cli_text full = {0};
        (void)snprintf(name, sizeof name, "%s%s", FILE_NAME, ends[i]);
        if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        cli_text_add(&full, path);
        cli_text_bytes(&full, (idem_bytes){ends[i], strlen(ends[i]) + 1});
        code = full.failed ? cli_report_no_memory() : judge(full.buffer.data, &info, S_IFREG);
        cli_text_clear(&full);
    }
    return code;
}

/* Makes what is missing of the folder and the file, whatever the umask, and refuses what somebody
   else could have put there. */
static int prepare(char *path)
{
    int folder = -1;
    char *slash = strrchr(path, '/');
    mode_t before = umask(077);
    int code = make_folders(path);
    *slash = '\0';
    if (code == CLI_OK)
        code = open_folder(path, &folder);
    *slash = '/';
    if (code == CLI_OK)
        code = make_file(folder, path);
    if (code == CLI_OK)
        code = check_beside(folder, path);
    if (folder >= 0)
        (void)close(folder);
    (void)umask(before);
    return code;
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
    cli_text_bytes(path, (idem_bytes){"/idem/" FILE_NAME, sizeof "/idem/" FILE_NAME});
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
        code = prepare(path.buffer.data);
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
