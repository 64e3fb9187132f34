/* SPDX-License-Identifier: MIT */
/*
 * What a disk may hold after the power has failed. The record is played up to the moment: each file
 * has the contents that its last sync has made lasting, and a list of changes since, of which the
 * kind of loss lets some through, in their order. Names are kept apart from files: who created or
 * deleted a name knows nothing until the folder was synced, so that an old log may come back.
 *
 * After a sync that failed, the changes before it are beyond the reach of later ones: the system
 * has taken the pages for clean. Some of them may have been written; most losses let none through.
 */
#include "platter.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INODES_MAX 1024u
#define NAMES_MAX  256u
#define GRANULE    512u

const char *const loss_names[LOSS_KINDS] = {"all", "none", "tail", "some", "torn"};

typedef struct {
    unsigned char *bytes;
    size_t size;
    size_t room;
    const event **pending;
    size_t count;
    size_t room_pending;
} disk_file;

typedef struct {
    uint32_t lasting;
    uint32_t pending[NAMES_MAX];
    size_t count;
} disk_name;

typedef struct {
    disk_file files[INODES_MAX];
    disk_name names[FILE_ROLES];
    loss kind;
    uint64_t random;
    loss_counts *counts;
} disk;

uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void give_up(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void *grown(void *memory, size_t *room, size_t wanted, size_t unit)
{
    if (wanted <= *room)
        return memory;
    size_t larger = wanted * 2;
    void *moved = realloc(memory, larger * unit);
    if (!moved)
        give_up("realloc");
    *room = larger;
    return moved;
}

/* ------------------------------------------------------------------------ changes of one file */

static void resize(disk_file *file, size_t size)
{
    file->bytes = grown(file->bytes, &file->room, size, 1);
    if (size > file->size)
        memset(file->bytes + file->size, 0, size - file->size);
    file->size = size;
}

static void put(disk_file *file, const event *write, size_t from, size_t to)
{
    size_t offset = (size_t)write->offset;
    if (offset + to > file->size)
        resize(file, offset + to);
    memcpy(file->bytes + offset + from, record_bytes(write) + from, to - from);
}

static void apply(disk_file *file, const event *change)
{
    if (change->kind == EVENT_TRUNCATE)
        resize(file, (size_t)change->len);
    else
        put(file, change, 0, (size_t)change->len);
}

/* Some granules of a write reach the disk. */
static void tear(disk *d, disk_file *file, const event *write)
{
    size_t len = (size_t)write->len;
    size_t kept = 0;
    for (size_t from = 0; from < len;) {
        size_t to = from + GRANULE - ((size_t)write->offset + from) % GRANULE;
        to = to < len ? to : len;
        if (draw(&d->random) & 1) {
            put(file, write, from, to);
            kept += to - from;
        }
        from = to;
    }
    d->counts->dropped += kept == 0;
    d->counts->torn += kept > 0 && kept < len;
}

static void let_through(disk *d, disk_file *file, const event *change)
{
    if (d->kind == LOSS_TORN && change->kind == EVENT_WRITE && draw(&d->random) % 2)
        tear(d, file, change);
    else if (draw(&d->random) % 2)
        apply(file, change);
    else
        d->counts->dropped++;
}

/* Lets the kind of loss decide about what is pending. */
static void settle(disk *d, disk_file *file)
{
    size_t cut = d->kind == LOSS_TAIL ? (size_t)(draw(&d->random) % (file->count + 1)) : 0;
    for (size_t i = 0; i < file->count; i++) {
        const event *change = file->pending[i];
        if (d->kind == LOSS_NONE || (d->kind == LOSS_TAIL && i < cut))
            apply(file, change);
        else if (d->kind == LOSS_TAIL && i == cut && change->kind == EVENT_WRITE)
            tear(d, file, change);
        else if (d->kind == LOSS_SOME || d->kind == LOSS_TORN)
            let_through(d, file, change);
        else
            d->counts->dropped++;
    }
    if (d->kind == LOSS_TORN && file->count > 0 && draw(&d->random) % 2) {
        const event *last = file->pending[file->count - 1];
        size_t end = (size_t)(last->offset + last->len);
        if (end > file->size)
            resize(file, end);
    }
    file->count = 0;
}

/* ---------------------------------------------------------------------------- playing the record */

static void names_last(disk *d)
{
    for (size_t i = 0; i < FILE_ROLES; i++) {
        disk_name *name = &d->names[i];
        if (name->count > 0)
            name->lasting = name->pending[name->count - 1];
        name->count = 0;
    }
}

static void rename_to(disk_name *name, uint32_t inode)
{
    if (name->count == NAMES_MAX)
        give_up("a file was created too often");
    name->pending[name->count++] = inode;
}

static void keep_pending(disk_file *file, const event *change)
{
    file->pending = (const event **)grown((void *)file->pending, &file->room_pending,
                                          file->count + 1, sizeof file->pending[0]);
    file->pending[file->count++] = change;
}

static void forget_pending(disk *d, disk_file *file)
{
    if (d->kind == LOSS_SOME || d->kind == LOSS_TORN)
        settle(d, file);
    file->count = 0;
}

static void sync_file(disk_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        apply(file, file->pending[i]);
    file->count = 0;
}

static void play(disk *d, const event *at)
{
    if (at->inode >= INODES_MAX)
        give_up("too many files were created");
    disk_file *file = &d->files[at->inode];
    switch (at->kind) {
    case EVENT_WRITE:
    case EVENT_TRUNCATE:
        keep_pending(file, at);
        break;
    case EVENT_SYNC:
        sync_file(file);
        break;
    case EVENT_SYNC_FAILED:
        forget_pending(d, file);
        break;
    case EVENT_CREATE:
        rename_to(&d->names[at->role], at->inode);
        break;
    case EVENT_DELETE:
        rename_to(&d->names[at->role], 0);
        break;
    }
    if (at->directory)
        names_last(d);
}

/* The inode that a name leads to when the power is back. */
static uint32_t settle_name(disk *d, const disk_name *name)
{
    size_t kept = d->kind == LOSS_ALL    ? 0
                  : d->kind == LOSS_NONE ? name->count
                                         : (size_t)(draw(&d->random) % (name->count + 1));
    d->counts->names += name->count - kept;
    return kept > 0 ? name->pending[kept - 1] : name->lasting;
}

/* --------------------------------------------------------------------------------------- files */

const char *platter_path(const char *folder, file_role role)
{
    static const char *const suffixes[FILE_ROLES] = {"", "-wal", "-journal", "-shm"};
    static char ring[4][200];
    static unsigned at;
    char *path = ring[at++ % 4];
    (void)snprintf(path, sizeof ring[0], "%s/store.db%s", folder, suffixes[role]);
    return path;
}

static void write_file(const char *path, const unsigned char *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        give_up(path);
    for (size_t done = 0; done < size;) {
        ssize_t count = write(fd, bytes + done, size - done);
        if (count <= 0)
            give_up(path);
        done += (size_t)count;
    }
    (void)close(fd);
}

/* The file's contents, to be freed; NULL: there is no such file. */
static unsigned char *read_file(const char *path, size_t *size)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &about))
        give_up(path);
    *size = (size_t)about.st_size;
    unsigned char *bytes = malloc(*size + 1);
    if (!bytes || read(fd, bytes, *size) != about.st_size)
        give_up(path);
    (void)close(fd);
    return bytes;
}

void platter_clear(const char *folder)
{
    for (int role = 0; role < FILE_ROLES; role++)
        (void)unlink(platter_path(folder, (file_role)role));
}

void platter_copy(const char *from, const char *to)
{
    platter_clear(to);
    for (int role = 0; role < FILE_ROLES; role++) {
        size_t size = 0;
        unsigned char *bytes = read_file(platter_path(from, (file_role)role), &size);
        if (bytes)
            write_file(platter_path(to, (file_role)role), bytes, size);
        free(bytes);
    }
}

void platter_adopt(const char *folder)
{
    record_reset();
    for (int role = 0; role < FILE_SHM; role++) {
        size_t size = 0;
        unsigned char *bytes = read_file(platter_path(folder, (file_role)role), &size);
        if (!bytes)
            continue;
        uint32_t inode = record_create((file_role)role);
        if (size > 0)
            record_add(EVENT_WRITE, (file_role)role, inode, 0, size, bytes, false);
        record_add(EVENT_SYNC, (file_role)role, inode, 0, 0, NULL, true);
        free(bytes);
    }
}

/* The index of the log is of no account after a boot; what is left of one may be anything. */
static void leave_index(disk *d, const char *folder)
{
    uint64_t junk[4096];
    if ((d->kind != LOSS_SOME && d->kind != LOSS_TORN) || draw(&d->random) % 2)
        return;
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        junk[i] = draw(&d->random);
    write_file(platter_path(folder, FILE_SHM), (const unsigned char *)junk, sizeof junk);
}

void platter_make(size_t moment, loss kind, uint64_t seed, const char *folder, loss_counts *counts)
{
    static disk d;
    loss_counts unused = {0};
    d.kind = kind;
    d.random = seed;
    d.counts = counts ? counts : &unused;
    for (size_t i = 0; i < INODES_MAX; i++)
        d.files[i].size = d.files[i].count = 0;
    memset(d.names, 0, sizeof d.names);
    for (size_t at = record_begin(); at < moment; at = record_at(at)->next)
        play(&d, record_at(at));
    platter_clear(folder);
    for (int role = 0; role < FILE_SHM; role++) {
        uint32_t inode = settle_name(&d, &d.names[role]);
        if (!inode)
            continue;
        settle(&d, &d.files[inode]);
        write_file(platter_path(folder, (file_role)role), d.files[inode].bytes,
                   d.files[inode].size);
    }
    leave_index(&d, folder);
}
