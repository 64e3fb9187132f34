/* SPDX-License-Identifier: MIT */
/*
 * A backend of one's own, complete and meant to be copied: a directory with a file for each record.
 *
 * A file is named by the SHA-256 of its key. Its first line says when it was written, how long it
 * lives and how long its key is; the key and the record's JSON follow. A lock file is held during
 * each batch, so that compare-and-swap is one step against every thread and process; it is opened
 * anew each time, because a lock belongs to the open file, which parent and child would share after
 * a fork(). A file is replaced by rename(), so that a crash leaves the old record or the new one.
 * Between two calls nothing is kept but the directory's descriptor, so a fork() needs no care.
 */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* flock() */
#endif
#include "custom_backend.h"

#include <idem/backend.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE  "lock"
#define DRAFT_FILE "draft" /* one is enough: its writer holds the lock */
#define NAME_LEN   64
#define HEADER     "dir1 %016" PRIx64 " %016" PRIx64 " %08zx\n"
#define HEADER_IN  "dir1 %16" SCNx64 " %16" SCNx64 " %8zx%n"

typedef struct {
    idem_backend base; /* first: this is how the store knows the instance */
    int fd;            /* the directory; openat() finds it again after any chdir() */
    idem_clock clock;  /* of a test; else the time of day, which outlives processes and reboots */
} dir_backend;

static int io_error(idem_error *error, int code, const char *doing, const char *what)
{
    char reason[128] = "unknown error";
    int number = errno;
    (void)strerror_r(number, reason, sizeof reason);
    return idem_error_set(error, number == ENOSPC || number == EDQUOT ? IDEM_ERR_FULL : code,
                          "dir: cannot %s %s: %s; check the directory and its disk", doing, what,
                          reason);
}

static int lock_enter(const dir_backend *dir, uint64_t deadline_ms, int *lock, idem_error *error)
{
    int rc = IDEM_OK;
    int fd = idem_descriptor_raise(openat(dir->fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (fd < 0)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "open", LOCK_FILE);
    while (rc == IDEM_OK && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            rc = io_error(error, IDEM_ERR_UNAVAILABLE, "lock", LOCK_FILE);
        else if (idem_monotonic_ms() >= deadline_ms)
            rc = idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                                "dir: another process held the lock up to the deadline; try again");
        else
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    if (rc)
        (void)close(fd);
    else
        *lock = fd;
    return rc;
}

static void lock_leave(int lock)
{
    (void)flock(lock, LOCK_UN); /* close() alone would not do if a child has a copy of it */
    (void)close(lock);
}

/* ------------------------------------------------------------------------------------ one file */

/* Do not copy this for real use: setting the time of day forward ends leases early, and another
   caller takes the key over. The example uses it because files outlive a reboot and it is one line.
   A real backend uses its server's clock, or CLOCK_BOOTTIME with the boot's id
   (backends/sqlite/clock.c). */
static uint64_t now_ms(const dir_backend *dir)
{
    return dir->clock.now_ms ? dir->clock.now_ms(dir->clock.user) : (uint64_t)idem_wall_ms();
}

static int name_of(idem_bytes key, char name[NAME_LEN + 1], idem_error *error)
{
    uint8_t hash[NAME_LEN / 2];
    int rc = idem_fingerprint(&key, 1, hash, error);
    for (size_t i = 0; rc == IDEM_OK && i < sizeof hash; i++)
        (void)snprintf(name + 2 * i, 3, "%02x", hash[i]);
    return rc;
}

static int read_all(int fd, const char *name, idem_buffer *text, idem_error *error)
{
    char chunk[16384];
    int rc = IDEM_OK;
    ssize_t got = 1;
    while (rc == IDEM_OK && got != 0) {
        got = read(fd, chunk, sizeof chunk);
        if (got > 0)
            rc = idem_buffer_append(text, chunk, (size_t)got, error);
        else if (got < 0 && errno != EINTR)
            rc = io_error(error, IDEM_ERR_UNAVAILABLE, "read", name);
    }
    return rc ? rc : idem_buffer_append(text, "", 1, error); /* a NUL for sscanf() */
}

/* `key` is the one that the file has to hold; empty: any. */
static int parse(const dir_backend *dir, idem_bytes key, const char *name, const idem_buffer *text,
                 idem_record *record, idem_error *error)
{
    char quoted[IDEM_QUOTE_SIZE];
    uint64_t written_ms = 0, live_ms = 0;
    idem_bytes held = {NULL, 0};
    int header_len = 0;
    int fields = sscanf(text->data, HEADER_IN, &written_ms, &live_ms, &held.len, &header_len);
    size_t rest = text->len - 1 - (size_t)header_len; /* newline, key, newline, JSON */
    held.data = text->data + header_len + 1;
    if (fields != 3 || held.len == 0 || rest < 2 || held.len > rest - 2 ||
        (key.len > 0 && (key.len != held.len || memcmp(key.data, held.data, key.len) != 0)))
        return idem_error_set(error, IDEM_ERR_CORRUPT,
                              "dir: the record of key %s can't be understood; look at file %s",
                              idem_quote(key, quoted), name);
    uint64_t now = now_ms(dir);
    uint64_t age_ms = now > written_ms ? now - written_ms : 0; /* the time of day may fall */
    if (age_ms >= live_ms)
        return IDEM_ERR_NOT_FOUND;
    const char *json = (const char *)held.data + held.len + 1;
    int rc = idem_record_decode(held, json, rest - 2 - held.len, record, error);
    if (rc == IDEM_OK)
        record->age_ms = age_ms;
    return rc;
}

/* Reads a record. IDEM_ERR_NOT_FOUND, without a message: there is none, or its life is over. */
static int load(const dir_backend *dir, idem_bytes key, const char *name, idem_record *record,
                idem_error *error)
{
    idem_buffer text = {0};
    int fd = idem_descriptor_raise(openat(dir->fd, name, O_RDONLY | O_CLOEXEC));
    if (fd < 0 && errno == ENOENT)
        return IDEM_ERR_NOT_FOUND;
    if (fd < 0)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "open", name);
    int rc = read_all(fd, name, &text, error);
    if (rc == IDEM_OK)
        rc = parse(dir, key, name, &text, record, error);
    idem_buffer_clear(&text);
    (void)close(fd);
    return rc;
}

static int write_draft(const dir_backend *dir, const idem_buffer *text, idem_error *error)
{
    size_t done = 0;
    ssize_t put = 0;
    int rc = IDEM_OK;
    int fd = idem_descriptor_raise(
        openat(dir->fd, DRAFT_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (fd < 0)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "create", DRAFT_FILE);
    while (done < text->len && (put >= 0 || errno == EINTR)) {
        put = write(fd, text->data + done, text->len - done);
        done += put > 0 ? (size_t)put : 0;
    }
    if (done < text->len || fsync(fd) != 0)
        rc = io_error(error, IDEM_ERR_UNAVAILABLE, "write", DRAFT_FILE);
    (void)close(fd);
    return rc;
}

static int save(const dir_backend *dir, const idem_op *op, const char *name, idem_error *error)
{
    char header[64];
    idem_buffer text = {0};
    int len = snprintf(header, sizeof header, HEADER, now_ms(dir), op->live_ms, op->key.len);
    int rc = idem_buffer_append(&text, header, (size_t)len, error);
    if (rc == IDEM_OK)
        rc = idem_buffer_append(&text, op->key.data, op->key.len, error);
    if (rc == IDEM_OK)
        rc = idem_buffer_append(&text, "\n", 1, error);
    if (rc == IDEM_OK)
        rc = idem_record_encode(op->record, &text, error);
    if (rc == IDEM_OK)
        rc = write_draft(dir, &text, error);
    if (rc == IDEM_OK && renameat(dir->fd, DRAFT_FILE, dir->fd, name) != 0)
        rc = io_error(error, IDEM_ERR_UNAVAILABLE, "rename a draft to", name);
    idem_buffer_clear(&text);
    return rc;
}

/* ------------------------------------------------------------------------------ the operations */

/* Makes an op's change and sees that it reaches the disk. From the change on, a failure leaves
   doubt, and has to say so. */
static int change(const dir_backend *dir, const idem_op *op, const char *name, idem_error *error)
{
    if (op->kind != IDEM_OP_REMOVE) {
        int rc = save(dir, op, name, error);
        if (rc)
            return rc;
    } else if (unlinkat(dir->fd, name, 0) != 0) {
        return errno == ENOENT ? IDEM_ERR_NOT_FOUND
                               : io_error(error, IDEM_ERR_UNAVAILABLE, "remove", name);
    }
    if (fsync(dir->fd) != 0)
        return io_error(error, IDEM_ERR_UNCERTAIN, "sync", "the directory");
    return IDEM_OK;
}

/* Gives the op its answer: `applied`, `found`, or an error. */
static void carry_out(const dir_backend *dir, idem_op *op)
{
    char name[NAME_LEN + 1];
    bool blind = op->kind == IDEM_OP_REMOVE && op->any_version; /* whatever it is, read or not */
    int rc = name_of(op->key, name, &op->error);
    if (rc == IDEM_OK && !blind)
        rc = load(dir, op->key, name, &op->found, &op->error);
    op->has_found = rc == IDEM_OK && !blind;
    bool fits = op->kind == IDEM_OP_INSERT ? rc == IDEM_ERR_NOT_FOUND
                                           : op->has_found && op->found.version == op->expected;
    if (op->kind == IDEM_OP_GET || !(fits || blind) || op->error.code)
        return;
    idem_record_clear(&op->found);
    op->has_found = false;
    op->applied = change(dir, op, name, &op->error) == IDEM_OK;
}

static int submit_batch(idem_backend *backend, idem_op *const *ops, size_t count,
                        uint64_t deadline_ms, idem_error *error)
{
    const dir_backend *dir = (const dir_backend *)backend;
    int lock = -1;
    int rc = lock_enter(dir, deadline_ms, &lock, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || idem_monotonic_ms() < deadline_ms)
            carry_out(dir, ops[i]);
        else
            idem_op_fail(ops[i], false, IDEM_ERR_UNAVAILABLE,
                         "dir: the deadline came before its turn; try again");
    }
    lock_leave(lock);
    return IDEM_OK;
}

/* Both walks over all records, told apart by `page`. */
typedef struct {
    idem_scan_page *page; /* NULL: purge */
    uint64_t limit;
    uint64_t removed;
} walk_state;

static bool begins_with(const idem_bytes *key, const idem_bytes *prefix)
{
    return prefix->len == 0 ||
           (key->len >= prefix->len && memcmp(key->data, prefix->data, prefix->len) == 0);
}

static int visit(const dir_backend *dir, const char *name, walk_state *walk, idem_error *error)
{
    idem_record record = {0};
    int rc = load(dir, (idem_bytes){NULL, 0}, name, &record, walk->page ? error : NULL);
    if (walk->page && rc == IDEM_OK && begins_with(&record.key, &walk->page->prefix))
        rc = walk->page->emit(walk->page->emit_user, &record, error);
    idem_record_clear(&record);
    if (walk->page)
        return rc == IDEM_ERR_NOT_FOUND ? IDEM_OK : rc;
    if (rc != IDEM_ERR_NOT_FOUND || walk->removed == walk->limit)
        return IDEM_OK; /* live, or not to be understood: it is left as it is */
    if (unlinkat(dir->fd, name, 0) != 0)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "remove", name);
    walk->removed++;
    return IDEM_OK;
}

static int visit_all(const dir_backend *dir, walk_state *walk, uint64_t deadline_ms,
                     idem_error *error)
{
    int rc = IDEM_OK;
    const struct dirent *entry;
    int fd = idem_descriptor_raise(/* a position of its own */
                                   openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list) {
        rc = io_error(error, IDEM_ERR_UNAVAILABLE, "list", "the directory");
        if (fd >= 0)
            (void)close(fd);
        return rc;
    }
    while (rc == IDEM_OK && (errno = 0, entry = readdir(list)) != NULL) {
        if (idem_monotonic_ms() >= deadline_ms)
            rc = idem_error_set(error, IDEM_ERR_UNAVAILABLE,
                                "dir: listing took too long; open the store with a longer timeout");
        else if (strspn(entry->d_name, "0123456789abcdef") == NAME_LEN)
            rc = visit(dir, entry->d_name, walk, error);
    }
    if (rc == IDEM_OK && errno != 0)
        rc = io_error(error, IDEM_ERR_UNAVAILABLE, "list", "the directory");
    (void)closedir(list);
    return rc;
}

static int walk_locked(idem_backend *backend, walk_state *walk, uint64_t deadline_ms,
                       idem_error *error)
{
    const dir_backend *dir = (const dir_backend *)backend;
    int lock = -1;
    int rc = lock_enter(dir, deadline_ms, &lock, error); /* a rename may hide a file from readdir */
    if (rc)
        return rc;
    rc = visit_all(dir, walk, deadline_ms, error);
    lock_leave(lock);
    return rc;
}

/* One page has all: `limit` is a wish, and nothing in a directory can serve as a cursor. */
static int scan_records(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                        idem_error *error)
{
    walk_state walk = {.page = page};
    page->next = 0;
    return walk_locked(backend, &walk, deadline_ms, error);
}

/* One portion has all, for the same reason. */
static int purge_expired(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                         idem_error *error)
{
    walk_state walk = {.limit = portion->limit};
    int rc = walk_locked(backend, &walk, deadline_ms, error);
    portion->removed = walk.removed;
    portion->next = 0;
    return rc;
}

/* -------------------------------------------------------------------------------- the instance */

static const idem_backend_ops dir_ops;

static void close_backend(idem_backend *backend)
{
    dir_backend *dir = (dir_backend *)backend;
    if (dir->fd >= 0)
        (void)close(dir->fd);
    free(dir);
}

/* The path is made absolute here, once: an instance may be opened long after, and from
   elsewhere. */
static int prepare(const idem_config *config, void **prepared, idem_error *error)
{
    char here[4096] = "";
    if (config->host || config->port || config->user || !config->path || !*config->path)
        return idem_error_set(error, IDEM_ERR_ARGUMENT,
                              "dir: %s names no directory; write dir:///abs/path or dir:rel/path",
                              config->display);
    if (config->path[0] != '/' && !getcwd(here, sizeof here))
        return io_error(error, IDEM_ERR_UNAVAILABLE, "find", "the working directory");
    size_t size = strlen(here) + strlen(config->path) + 2;
    char *path = malloc(size);
    if (!path)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "dir: out of memory");
    (void)snprintf(path, size, "%s%s%s", here, *here ? "/" : "", config->path);
    *prepared = path;
    return IDEM_OK;
}

/* A directory that can't be had now will not be had in a second: the store need not try again. */
static int open_directory(const idem_config *config, dir_backend *dir, idem_error *error)
{
    int lock = -1;
    const char *path = config->prepared;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "create", path) | IDEM_PERMANENT;
    dir->fd = idem_descriptor_raise(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (dir->fd < 0)
        return io_error(error, IDEM_ERR_UNAVAILABLE, "open", path) | IDEM_PERMANENT;
    int rc = lock_enter(dir, config->deadline_ms, &lock, error); /* shows that we may write */
    if (rc == IDEM_OK)
        lock_leave(lock);
    return rc;
}

static int open_backend(const idem_config *config, idem_backend **backend, idem_error *error)
{
    dir_backend *dir = malloc(sizeof *dir);
    if (!dir)
        return idem_error_set(error, IDEM_ERR_NO_MEMORY, "dir: out of memory");
    *dir = (dir_backend){.base = {&dir_ops}, .fd = -1, .clock = config->clock};
    int rc = open_directory(config, dir, error);
    if (rc)
        close_backend(&dir->base);
    else
        *backend = &dir->base;
    return rc;
}

static const idem_backend_ops dir_ops = {
    .size = sizeof dir_ops,
    .scheme = "dir",
    .summary = "a directory with a file for each record",
    .example = "dir:///var/lib/app/idem",
    .traits = IDEM_TRAIT_DURABLE | IDEM_TRAIT_SHARED | IDEM_TRAIT_CLOCK,
    .open = open_backend,
    .submit = submit_batch,
    .close = close_backend,
    .scan = scan_records,
    .purge = purge_expired,
    .prepare = prepare,
    .dispose = free,
};

int custom_backend_register(idem_error *error)
{
    return idem_backend_register(&dir_ops, error);
}
