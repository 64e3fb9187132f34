/* SPDX-License-Identifier: MIT */
/*
 * Which file a store is. The path is made absolute, and free of links, when the store is opened;
 * the file that is opened first is known by device and inode from then on. All that is opened
 * later (readers, both sides of a fork) has to be that file: SQLite finds the log by the path,
 * and a log beside another file would be taken for that one's. So a file that was replaced is not
 * even opened.
 *
 * While no connection is open, as behind a fork(), a file may be deleted, and a new one have its
 * inode's number. That one was made at another time, which nearly all file systems keep.
 *
 * A file is created here, not by SQLite, since its mode is to be right from the start; SQLite
 * gives the log the same.
 */
#include "place.h"

#include "cause.h"
#include "content.h"
#include "guard.h"
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MODE 0600

struct idem__sqlite_place {
    pthread_mutex_t lock; /* guards what follows `mode` */
    char *path;
    bool in_memory;
    bool create;
    mode_t mode;
    bool known;
    dev_t device;
    ino_t inode;
    uint64_t born_ns; /* 0: not known */
};

/* ---------------------------------------------------------------------------------- the path */

static char *join(const char *folder, const char *name)
{
    size_t folder_len = strlen(folder);
    size_t size = folder_len + strlen(name) + 2;
    char *path = malloc(size);
    if (!path)
        return NULL;
    memcpy(path, folder, folder_len);
    path[folder_len] = '/';
    memcpy(path + folder_len + 1, name, size - folder_len - 1);
    return path;
}

/* Frees the path. What is not there yet can't be resolved, and stays as it is. */
static char *resolve(char *path)
{
    char *real = path ? realpath(path, NULL) : NULL;
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!real && slash) {
        *slash = '\0';
        char *folder = realpath(*path ? path : "/", NULL);
        *slash = '/';
        real = folder ? join(strcmp(folder, "/") == 0 ? "" : folder, slash + 1) : NULL;
        free(folder);
    }
    if (!real)
        return path;
    free(path);
    return real;
}

static int make_path(const char *name, bool in_memory, char **path, idem_error *error)
{
    char folder[PATH_MAX];
    if (in_memory) {
        *path = strdup(name);
    } else if (name[0] == '/') {
        *path = resolve(strdup(name));
    } else {
        if (!getcwd(folder, sizeof folder))
            return idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                                  "sqlite: the working directory is gone or can't be told: name "
                                  "the file by an absolute path");
        *path = resolve(join(folder, name));
    }
    return *path ? IDEM_OK : idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
}

static int read_mode(const char *text, mode_t *mode, idem_error *error)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 8);
    if (text[0] < '0' || text[0] > '7' || *end || value > 0777 || (value & 0600) != 0600)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "sqlite: mode is no file mode that lets its owner read and write: "
                              "write it in octal, such as 0600 or 0660");
    *mode = (mode_t)value;
    return IDEM_OK;
}

int idem__sqlite_place_make(const idem_config *config, bool defaults, idem__sqlite_place **place,
                            idem_error *error)
{
    const idem_value *mode = &config->values[IDEM__SQLITE_MODE];
    const idem_value *create = &config->values[IDEM__SQLITE_CREATE];
    idem__sqlite_place *made = calloc(1, sizeof *made);
    if (!made)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "out of memory");
    made->in_memory = strcmp(config->path, ":memory:") == 0;
    made->mode = DEFAULT_MODE;
    made->create = (defaults || create->number == 0) && !(config->flags & IDEM_OPEN_EXISTING);
    int rc = defaults ? IDEM_OK : read_mode(mode->text, &made->mode, error);
    if (rc == IDEM_OK)
        rc = make_path(config->path, made->in_memory, &made->path, error);
    if (rc == IDEM_OK && pthread_mutex_init(&made->lock, NULL))
        rc = idem_error_set(error, IDEM_ERR_INTERNAL, "a mutex can't be made");
    if (rc) {
        free(made->path);
        free(made);
        return rc;
    }
    *place = made;
    return IDEM_OK;
}

void idem__sqlite_place_free(void *place)
{
    idem__sqlite_place *made = place;
    if (!made)
        return;
    (void)pthread_mutex_destroy(&made->lock);
    free(made->path);
    free(made);
}

const char *idem__sqlite_place_path(const idem__sqlite_place *place)
{
    return place->path;
}

mode_t idem__sqlite_place_mode(const idem__sqlite_place *place)
{
    return place->mode;
}

char *idem__sqlite_place_uri(const idem__sqlite_place *place, const char *query)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 3 * strlen(place->path) + strlen(query) + sizeof "file:?";
    char *uri = malloc(size);
    char *to = uri;
    if (!uri)
        return NULL;
    to += snprintf(to, size, "file:");
    for (const char *from = place->path; *from; from++) {
        unsigned char c = (unsigned char)*from;
        if (c == '?' || c == '#' || c == '%') {
            *to++ = '%';
            *to++ = hex[c >> 4];
            *to++ = hex[c & 15];
        } else {
            *to++ = *from;
        }
    }
    (void)snprintf(to, size - (size_t)(to - uri), "?%s", query);
    return uri;
}

bool idem__sqlite_place_is_quiet(const idem__sqlite_place *place)
{
    struct stat log;
    const char *slash = strrchr(place->path, '/');
    char *folder = slash ? strndup(place->path, (size_t)(slash - place->path) + 1) : NULL;
    char *name = malloc(strlen(place->path) + sizeof "-wal");
    bool quiet = false;
    if (folder && name) {
        (void)sprintf(name, "%s-wal", place->path);
        quiet = access(folder, W_OK) != 0 && access(place->path, R_OK) == 0 &&
                (stat(name, &log) ? errno == ENOENT : log.st_size == 0);
    }
    free(folder);
    free(name);
    return quiet;
}

/* ---------------------------------------------------------------------------------- the file */

static int gone(const idem__sqlite *self, idem__sqlite_fault *fault)
{
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                  "%s is gone: it was moved away or deleted while the store was "
                                  "open; put it back, or open the store anew",
                                  self->name);
}

static int replaced(const idem__sqlite *self, idem__sqlite_fault *fault)
{
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                  "%s was replaced by another file while the store was open: close "
                                  "it everywhere, remove the -wal and -shm beside it, and open it "
                                  "again",
                                  self->name);
}

static int overwritten(const idem__sqlite *self, idem__sqlite_fault *fault)
{
    return idem__sqlite_fault_set(
        fault, true, IDEM_ERR_CORRUPT,
        "%s was written over in place while the store was open, as by cp: "
        "close it everywhere, restore it anew, and remove the -wal and "
        "-shm beside it",
        self->name);
}

static int absent(const idem__sqlite *self, idem__sqlite_fault *fault)
{
    return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                  "%s: there is no such file, and it is not to be created: check "
                                  "the path",
                                  self->name);
}

static int unreachable(const idem__sqlite *self, int number, idem__sqlite_fault *fault)
{
    char buf[80];
    bool full = number == ENOSPC || number == EDQUOT;
    const char *cause = idem__sqlite_cause_text(number);
    if (strerror_r(number, buf, sizeof buf))
        buf[0] = '\0';
    return idem__sqlite_fault_set(
        fault, true, full ? IDEM_ERR_FULL : IDEM_ERR_UNAVAILABLE, "%s %s (%.60s)", self->name,
        full ? "can't be created: free space on its disk"
        : cause
            ? cause
            : "can't be opened: its folder has to be there, and this user has to be able to write "
              "in it",
        buf);
}

/* To close a descriptor of a file takes away all locks that the process has on it: so only of a
   file that was made here, and while no other store of the process opens one. */
static int create_file(const idem__sqlite *self, idem__sqlite_fault *fault)
{
    const idem__sqlite_place *place = self->place;
    struct stat file;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY;
    idem__sqlite_lock_opening();
    int fd = idem_descriptor_raise(open(place->path, flags | O_EXCL, place->mode));
    /* A link that leads to nothing is in the way, or somebody else was faster. */
    if (fd < 0 && errno == EEXIST && stat(place->path, &file) && errno == ENOENT)
        fd = idem_descriptor_raise(open(place->path, flags, place->mode));
    else if (fd < 0 && errno == EEXIST)
        fd = 0;
    int number = errno;
    if (fd > 0) {
        (void)fchmod(fd, place->mode); /* whatever the umask is */
        (void)close(fd);
    }
    idem__sqlite_unlock_opening();
    return fd >= 0 ? IDEM_OK : unreachable(self, number, fault);
}

int idem__sqlite_place_look(idem__sqlite *self, idem__sqlite_fault *fault)
{
    idem__sqlite_place *place = self->place;
    idem__sqlite_content seen = {0};
    struct stat file;
    if (place->in_memory)
        return IDEM_OK;
    bool readable = idem__sqlite_content_read(self, &seen);
    int number = stat(place->path, &file) ? errno : 0;
    (void)pthread_mutex_lock(&place->lock);
    bool known = place->known;
    bool same = known && file.st_dev == place->device && file.st_ino == place->inode;
    (void)pthread_mutex_unlock(&place->lock);
    if (number == ENOENT || number == ENOTDIR) {
        if (known)
            return gone(self, fault);
        return place->create ? create_file(self, fault) : absent(self, fault);
    }
    if (number)
        return unreachable(self, number, fault);
    if (S_ISDIR(file.st_mode))
        return unreachable(self, EISDIR, fault);
    if (!S_ISREG(file.st_mode))
        return idem__sqlite_fault_set(fault, true, IDEM_ERR_UNAVAILABLE,
                                      "%s is a device, a pipe or a socket: name a file",
                                      self->name);
    if (known && !same)
        return replaced(self, fault);
    if (readable && idem__sqlite_content_is_foreign(self, &seen, &file))
        self->overwritten = true;
    return self->overwritten ? overwritten(self, fault) : IDEM_OK;
}

bool idem__sqlite_place_identity(idem__sqlite_place *place, uint64_t *inode, uint64_t *born_ns)
{
    (void)pthread_mutex_lock(&place->lock);
    bool known = place->known;
    *inode = (uint64_t)place->inode;
    *born_ns = place->born_ns;
    (void)pthread_mutex_unlock(&place->lock);
    return known;
}

int idem__sqlite_place_settle(idem__sqlite *self, idem__sqlite_fault *fault)
{
    idem__sqlite_place *place = self->place;
    struct stat file;
    if (place->in_memory)
        return IDEM_OK;
    int fd = idem__sqlite_guard_descriptor(self->db);
    if (fd >= 0 ? fstat(fd, &file) : stat(place->path, &file))
        return gone(self, fault);
    uint64_t born_ns = idem__sqlite_guard_birth(fd >= 0 ? "" : place->path, fd);
    (void)pthread_mutex_lock(&place->lock);
    if (!place->known) {
        place->device = file.st_dev;
        place->inode = file.st_ino;
        place->born_ns = born_ns;
        place->known = true;
    }
    bool same = file.st_dev == place->device && file.st_ino == place->inode &&
                (born_ns == place->born_ns || born_ns == 0 || place->born_ns == 0);
    (void)pthread_mutex_unlock(&place->lock);
    return same ? IDEM_OK : replaced(self, fault);
}
