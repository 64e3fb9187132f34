/* SPDX-License-Identifier: MIT */
/*
 * The default store, a SQLite file of the user's own. Its folder and the file are created here,
 * before SQLite opens them: so other users can't read what commands have printed, and no symbolic
 * link of theirs decides where it is written. The folder is checked by a descriptor of it; once no
 * other user can write in it, its content can't change under the checks. Files that others can read
 * are made private. Commands that only read create and change nothing of that.
 */
#include "default_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME    "idem.db"
#define NAME_A_STORE "name a store with --store URL or $IDEM_STORE"
#define FOREIGN      "belongs to another user; check $HOME and $XDG_STATE_HOME, or " NAME_A_STORE
#define OPEN_FLAGS   (O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

static int refuse(const char *path, const char *why)
{
    char quoted[IDEM_QUOTE_SIZE];
    cli_say("%s %s", idem_quote(idem_str(path), quoted), why);
    return CLI_UNAVAILABLE;
}

static int report(const char *path, const char *what, int problem)
{
    char quoted[IDEM_QUOTE_SIZE];
    cli_say("%s can't be %s: %s; " NAME_A_STORE, idem_quote(idem_str(path), quoted), what,
            cli_problem(problem));
    return CLI_UNAVAILABLE;
}

static int refuse_link(const char *path)
{
    return refuse(path, "is a symbolic link, and the default store doesn't follow one; remove it, "
                        "or name where it leads with --store sqlite:///…");
}

/* What was found (the file itself, not its name) must be writable by this user alone: another user
   with that right decides what is replayed, and where SQLite writes. */
static int judge(const char *path, const struct stat *info, mode_t type)
{
    if (S_ISLNK(info->st_mode))
        return refuse_link(path);
    if ((info->st_mode & S_IFMT) != type)
        return refuse(path, type == S_IFDIR ? "is no folder; " NAME_A_STORE
                                            : "is no file; " NAME_A_STORE);
    if (info->st_uid != geteuid())
        return refuse(path, FOREIGN);
    if (info->st_mode & (S_IWGRP | S_IWOTH))
        return refuse(path, "can be written by other users; look at what is in it, then take that "
                            "away with chmod go-w, or " NAME_A_STORE);
    return CLI_OK;
}

/* With another user's $HOME, as under sudo, no folder is left there that this user can't use.
   @param path  the folder that something is to be made in */
static int judge_place(const char *path)
{
    struct stat info;
    if (stat(path, &info) == 0 && info.st_uid != geteuid() && info.st_uid != 0)
        return refuse(path, FOREIGN);
    return CLI_OK;
}

/* Makes a folder if it is missing. @param slash  in front of its name, in the path */
static int make_folder(char *path, char *slash)
{
    struct stat info;
    if (stat(path, &info) == 0)
        return S_ISDIR(info.st_mode) ? CLI_OK : report(path, "used as a folder", ENOTDIR);
    *slash = '\0';
    int code = judge_place(*path ? path : "/");
    *slash = '/';
    if (code == CLI_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
        return report(path, "made", errno);
    return code;
}

/* Makes every folder of the path that is missing, the last name apart; only its owner may enter
   those. Symbolic links on the way are the user's own business: a home may be on another disk. */
static int make_folders(char *path)
{
    int code = CLI_OK;
    char *before = path;
    for (char *slash = strchr(path + 1, '/'); slash && code == CLI_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        code = make_folder(path, before);
        *slash = '/';
        before = slash;
    }
    return code;
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
        return report(path, "opened", problem);
    }
    int code = fstat(fd, &info) == 0 ? judge(path, &info, S_IFDIR) : report(path, "read", errno);
    if (code == CLI_OK)
        *folder = fd;
    else
        (void)close(fd);
    return code;
}

/* Judges an open file, and takes other users' right to read away: live tokens are in it, and what
   commands have printed. */
static int make_private(int fd, const char *path, bool *said)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return report(path, "read", errno);
    int code = judge(path, &info, S_IFREG);
    if (code || (info.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return code;
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0)
        return report(path, "made private", errno);
    if (!*said) {
        char quoted[IDEM_QUOTE_SIZE];
        cli_say("%s could be read by other users; it has mode 0600 now",
                idem_quote(idem_str(path), quoted));
    }
    *said = true;
    return CLI_OK;
}

/* The file, and what SQLite keeps beside it, which it makes with the file's own mode. */
static const char *const file_ends[] = {"", "-wal", "-shm", "-journal"};

/* @param full  the file's path
   @param make  it is made if it is missing, for its owner alone */
static int check_file(int folder, const char *full, bool make, bool *said)
{
    const char *name = strrchr(full, '/') + 1;
    int fd = openat(folder, name, OPEN_FLAGS | (make ? O_CREAT : 0), 0600);
    int problem = errno;
    if (fd < 0 && problem == ENOENT && !make)
        return CLI_OK;
    if (fd < 0 && problem == ELOOP)
        return refuse_link(full);
    if (fd < 0)
        return report(full, "opened", problem);
    int code = make_private(fd, full, said);
    (void)close(fd);
    return code;
}

static int check_files(int folder, const char *path)
{
    int code = CLI_OK;
    bool said = false;
    for (size_t i = 0; i < sizeof file_ends / sizeof file_ends[0] && code == CLI_OK; i++) {
        cli_text full = {0};
        cli_text_add(&full, path);
        cli_text_bytes(&full, (idem_bytes){file_ends[i], strlen(file_ends[i]) + 1});
        code = full.failed ? cli_report_no_memory()
                           : check_file(folder, full.buffer.data, i == 0, &said);
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
        code = check_files(folder, path);
    if (folder >= 0)
        (void)close(folder);
    (void)umask(before);
    return code;
}

/* The same for commands that only look: what is there is judged, and left as it is. */
static int look_at(const char *path)
{
    int code = CLI_OK;
    for (size_t i = 0; i < sizeof file_ends / sizeof file_ends[0] && code == CLI_OK; i++) {
        struct stat info;
        cli_text full = {0};
        cli_text_add(&full, path);
        cli_text_bytes(&full, (idem_bytes){file_ends[i], strlen(file_ends[i]) + 1});
        if (full.failed)
            code = cli_report_no_memory();
        else if (lstat(full.buffer.data, &info) == 0)
            code = judge(full.buffer.data, &info, S_IFREG);
        else if (i == 0 && (errno == ENOENT || errno == ENOTDIR))
            code = refuse(path, "is not there: no command has made a store yet; " NAME_A_STORE);
        else if (i == 0)
            code = report(path, "looked at", errno);
        cli_text_clear(&full);
    }
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

int cli_default_store(const cli_call *call, cli_store_need need, cli_text *url)
{
    cli_text path = {0};
    int code = default_path(call->command->name, &path);
    if (code == CLI_OK)
        code = need == CLI_STORE_EXISTING ? look_at(path.buffer.data) : prepare(path.buffer.data);
    if (code == CLI_OK) {
        cli_text_add(url, "sqlite://");
        add_encoded(url, path.buffer.data);
        cli_text_bytes(url, (idem_bytes){"", 1});
        code = url->failed ? cli_report_no_memory() : CLI_OK;
    }
    cli_text_clear(&path);
    return code;
}
