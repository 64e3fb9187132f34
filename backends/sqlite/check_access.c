/* SPDX-License-Identifier: MIT */
/*
 * Which users may read and write a file. A user with the right to write it can make any operation
 * look done, and leave a checkpoint for the next owner of a claim. The owner of a folder above it,
 * and a user with the right to write that folder, can do the same with another file in its place. A
 * user with the right to read it has the tokens of live claims, and the responses. The log has
 * both.
 */
#include "check_access.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const char *name;
    idem_finding_fn emit;
    void *emit_user;
    bool shared;     /* the URL asks for a file that its group may write */
    gid_t group;     /* of the file */
    bool is_members; /* and this user is one of them */
} examination;

static bool is_ours(const struct stat *file)
{
    return file->st_uid == geteuid();
}

/* What its users have said is for all of the group is no secret from a member, nor is what a member
   has made. */
static bool is_the_groups(const examination *at, const struct stat *file)
{
    return at->shared && file->st_gid == at->group;
}

static void check_owner(const examination *at, const struct stat *file, const char *which)
{
    if (!is_ours(file) && !(is_the_groups(at, file) && at->is_members))
        idem_finding_emit(at->emit, at->emit_user,
                          "use a file of this user's own, or run as its owner",
                          "%s%s belongs to another user (uid %lu), who can make any operation look "
                          "done",
                          at->name, which, (unsigned long)file->st_uid);
}

static void check_mode(const examination *at, const struct stat *file, const char *which)
{
    unsigned mode = (unsigned)file->st_mode & 0777;
    if (mode & S_IWOTH)
        idem_finding_emit(at->emit, at->emit_user, "take the right away: chmod o-w",
                          "%s%s may be written by every user of the machine (mode %03o): they can "
                          "make any operation look done",
                          at->name, which, mode);
    if ((mode & S_IWGRP) && !is_the_groups(at, file))
        idem_finding_emit(
            at->emit, at->emit_user,
            "take the right away, unless all of the group are trusted: chmod g-w",
            "%s%s may be written by its group (gid %lu, mode %03o): they can make any "
            "operation look done",
            at->name, which, (unsigned long)file->st_gid, mode);
    if (mode & S_IROTH)
        idem_finding_emit(
            at->emit, at->emit_user, "take the right away: chmod o-r",
            "%s%s may be read by every user of the machine (mode %03o): responses and "
            "the tokens of live claims are in it",
            at->name, which, mode);
}

/* SQLite gives a log the mode of the file, and the system gives it the group of its folder or of
   the process that creates it. */
static void check_sharing(const examination *at, const struct stat *file, const char *which)
{
    if (at->shared && file->st_gid != at->group)
        idem_finding_emit(at->emit, at->emit_user,
                          "give the folder the file's group, which then passes it on: chgrp, "
                          "chmod g+ws; and close the store everywhere once",
                          "%s%s belongs to another group (gid %lu) than the file (gid %lu): those "
                          "who share the store can't use it",
                          at->name, which, (unsigned long)file->st_gid, (unsigned long)at->group);
    else if (at->shared && (file->st_mode & 0060) != 0060)
        idem_finding_emit(at->emit, at->emit_user, "give it the mode of the URL: chmod g+rw",
                          "%s%s may not be read and written by its group (mode %03o), though the "
                          "URL's mode= says so",
                          at->name, which, (unsigned)file->st_mode & 0777);
}

/* A file that is not there has no finding. */
static void check_one(const examination *at, const char *path, const char *which)
{
    struct stat file;
    if (lstat(path, &file))
        return;
    check_owner(at, &file, which);
    check_mode(at, &file, which);
    check_sharing(at, &file, which);
}

/* The log comes and goes: the last connection that closes removes it. */
static void check_shared_folder(const examination *at, const struct stat *found, const char *quoted)
{
    bool may_write = (found->st_mode & (S_IWGRP | S_IXGRP)) == (S_IWGRP | S_IXGRP);
    if (found->st_gid == at->group && may_write && !(found->st_mode & S_ISVTX))
        return;
    idem_finding_emit(
        at->emit, at->emit_user,
        "give the file a folder of its own, with its group: chgrp, chmod 2770",
        "%s is for a group, whose members can't make and remove its log in the folder "
        "(%.100s, gid %lu, mode %04o)",
        at->name, quoted, (unsigned long)found->st_gid, (unsigned)found->st_mode & 07777);
}

/* In a sticky folder nobody can replace another's file, but anyone can put a log beside it
   first. */
static void check_folder(const examination *at, const char *folder, bool directly)
{
    char quoted[IDEM_QUOTE_SIZE];
    struct stat found;
    if (stat(folder, &found))
        return;
    unsigned mode = (unsigned)found.st_mode & 01777;
    bool others = (mode & S_IWOTH) != 0;
    bool groups = is_the_groups(at, &found);
    (void)idem_quote(idem_str(folder), quoted);
    if (at->shared && directly)
        check_shared_folder(at, &found, quoted);
    if (found.st_uid != 0 && !is_ours(&found) && !(groups && at->is_members))
        idem_finding_emit(
            at->emit, at->emit_user, "keep the file in a folder of this user's own",
            "%s lies in a folder of another user (%.100s, uid %lu), who can put another "
            "file in its place",
            at->name, quoted, (unsigned long)found.st_uid);
    if ((others || ((mode & S_IWGRP) && !groups)) && !(mode & S_ISVTX))
        idem_finding_emit(at->emit, at->emit_user,
                          others ? "take the right away: chmod o-w"
                                 : "take the right away, unless all of the group are trusted: "
                                   "chmod g-w",
                          "%s lies in a folder that %s may write (%.100s, mode %03o): they can put "
                          "another file in its place",
                          at->name, others ? "every user of the machine" : "its group", quoted,
                          mode & 0777);
    else if (others && directly)
        idem_finding_emit(
            at->emit, at->emit_user, "keep the file in a folder of this user's own",
            "%s lies in a folder of all (%.100s): others can put files there under the "
            "names of its log",
            at->name, quoted);
}

static bool is_member(gid_t group)
{
    gid_t groups[1024];
    int count = getgroups(sizeof groups / sizeof groups[0], groups);
    for (int i = 0; i < count; i++) {
        if (groups[i] == group)
            return true;
    }
    return group == getegid();
}

void idem__sqlite_check_access(const char *name, const char *path, mode_t asked,
                               idem_finding_fn emit, void *emit_user)
{
    examination at = {.name = name, .emit = emit, .emit_user = emit_user};
    struct stat file;
    char work[PATH_MAX];
    if (snprintf(work, sizeof work, "%s-wal", path) >= (int)sizeof work)
        return;
    if ((asked & 0060) == 0060 && lstat(path, &file) == 0) {
        at.shared = true;
        at.group = file.st_gid;
        at.is_members = is_member(file.st_gid);
    }
    check_one(&at, path, "");
    check_one(&at, work, "'s log");
    for (bool directly = true; strcmp(work, "/") != 0; directly = false) {
        char *slash = strrchr(work, '/');
        if (!slash)
            return;
        slash[slash == work] = '\0'; /* the root keeps its slash */
        check_folder(&at, work, directly);
    }
}
