/* SPDX-License-Identifier: MIT */
/*
 * The least that lets many callers share a few sockets: a queue, four sockets, and whoever finds
 * one free sends for all who wait. It yields a few times before it sleeps for the answer. There are
 * no deadlines, no checks and no records made; one caller alone is a socket that is polled. What
 * the machine allows a library that does the same for claims, this shows.
 */
#include "connection.h"
#include "texts.h"

#include "../harness.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SOCKETS     4u
#define YIELDS      50 /* before it sleeps for an answer */
#define COMMAND_MAX 512u
#define ANSWER      "$-1\r\n" /* there was no such key */
#define ANSWER_LEN  (sizeof ANSWER - 1)

typedef struct queue queue;

/* A caller: in the queue, or in one batch, while it has something to send. */
typedef struct caller {
    queue *shared;
    record_texts texts;
    char command[COMMAND_MAX];
    size_t len;
    bool answered; /* guarded by the queue's lock */
    sem_t woken;   /* answered, or first in the queue when a socket got free */
    struct caller *next;
} caller;

struct queue {
    const bench_options *options;
    pthread_mutex_t lock;
    caller *first;
    caller **last;
    redisContext *sockets[SOCKETS];
    bool busy[SOCKETS];
    caller *callers[BENCH_CALLERS_MAX]; /* a leader may wake one who has left */
    size_t count;
};

static void *open_queue(const bench_options *options)
{
    queue *self = bench_alloc(sizeof *self);
    memset(self, 0, sizeof *self);
    self->options = options;
    self->last = &self->first;
    (void)pthread_mutex_init(&self->lock, NULL);
    for (size_t i = 0; i < SOCKETS; i++)
        self->sockets[i] = connection_open(options->place);
    return self;
}

static void close_queue(void *shared)
{
    queue *self = shared;
    for (size_t i = 0; i < SOCKETS; i++)
        redisFree(self->sockets[i]);
    for (size_t i = 0; i < self->count; i++) {
        texts_clear(&self->callers[i]->texts);
        (void)sem_destroy(&self->callers[i]->woken);
        free(self->callers[i]);
    }
    (void)pthread_mutex_destroy(&self->lock);
    free(self);
}

static void *enter(void *shared)
{
    queue *all = shared;
    caller *self = bench_alloc(sizeof *self);
    memset(self, 0, sizeof *self);
    self->shared = all;
    texts_init(&self->texts, all->options->response);
    (void)sem_init(&self->woken, 0, 0);
    (void)pthread_mutex_lock(&all->lock);
    all->callers[all->count++] = self;
    (void)pthread_mutex_unlock(&all->lock);
    return self;
}

/* ------------------------------------------------------------------------------------ one batch */

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent < 0)
            bench_fail("redis: %s", strerror(errno)); // NOLINT(concurrency-mt-unsafe)
        data += sent;
        len -= (size_t)sent;
    }
}

static size_t receive_some(int fd, char *room, size_t size)
{
    for (int i = 0; i < YIELDS; i++) {
        ssize_t got = recv(fd, room, size, MSG_DONTWAIT);
        if (got > 0)
            return (size_t)got;
        (void)sched_yield();
    }
    ssize_t got = recv(fd, room, size, 0);
    if (got <= 0)
        bench_fail("redis: the connection has ended");
    return (size_t)got;
}

typedef struct {
    caller *callers[BENCH_CALLERS_MAX];
    size_t count;
} batch;

static void carry_out(int fd, const batch *all)
{
    char commands[BENCH_CALLERS_MAX * COMMAND_MAX];
    char answers[BENCH_CALLERS_MAX * ANSWER_LEN];
    size_t len = 0;
    size_t missing = all->count * ANSWER_LEN;
    for (size_t i = 0; i < all->count; i++) {
        memcpy(commands + len, all->callers[i]->command, all->callers[i]->len);
        len += all->callers[i]->len;
    }
    send_all(fd, commands, len);
    for (size_t had = 0; missing > 0;) {
        size_t got = receive_some(fd, answers + had, missing);
        missing -= got;
        had += got;
        for (size_t i = had - got; i < had; i++) {
            if (answers[i] != ANSWER[i % ANSWER_LEN])
                bench_fail("redis: another answer than to a fresh key");
        }
    }
}

/* ------------------------------------------------------------------------------------ the queue */

/* A socket for who is first in the queue, SOCKETS if there is none. The lock is held. */
static size_t take_socket(const caller *self)
{
    queue *shared = self->shared;
    size_t free_one = 0;
    if (shared->first != self)
        return SOCKETS;
    while (free_one < SOCKETS && shared->busy[free_one])
        free_one++;
    return free_one;
}

/* Sends for all who wait, by a socket that was found free. The lock is held before, and open
   afterwards. */
static void lead(queue *shared, size_t which)
{
    batch all;
    all.count = 0;
    for (caller *at = shared->first; at; at = at->next)
        all.callers[all.count++] = at;
    shared->busy[which] = true;
    shared->first = NULL;
    shared->last = &shared->first;
    (void)pthread_mutex_unlock(&shared->lock);
    carry_out(shared->sockets[which]->fd, &all);
    (void)pthread_mutex_lock(&shared->lock);
    shared->busy[which] = false;
    if (shared->first)
        (void)sem_post(&shared->first->woken);
    for (size_t i = 0; i < all.count; i++)
        all.callers[i]->answered = true;
    (void)pthread_mutex_unlock(&shared->lock);
    for (size_t i = 0; i < all.count; i++)
        (void)sem_post(&all.callers[i]->woken);
}

static void see_through(caller *self)
{
    queue *shared = self->shared;
    (void)pthread_mutex_lock(&shared->lock);
    self->answered = false;
    self->next = NULL;
    *shared->last = self;
    shared->last = &self->next;
    while (!self->answered) {
        size_t which = take_socket(self);
        if (which < SOCKETS)
            lead(shared, which); /* which wakes this caller too */
        else
            (void)pthread_mutex_unlock(&shared->lock);
        while (sem_wait(&self->woken)) {
        }
        (void)pthread_mutex_lock(&shared->lock);
    }
    (void)pthread_mutex_unlock(&shared->lock);
}

static void work_claim(void *mine, const bench_key *keys, size_t count)
{
    caller *self = mine;
    record_text *text = &self->texts.claimed;
    char version[16];
    for (size_t i = 0; i < count; i++) {
        char *command;
        texts_stamp(&self->texts, text, version);
        const char *words[] = {"SET", keys[i].text, text->bytes.data, "NX",
                               "GET", "PX",         TEXTS_LIFE};
        const size_t lens[] = {3, BENCH_KEY_LEN, text->bytes.len, 2, 3, 2, sizeof TEXTS_LIFE - 1};
        int len = redisFormatCommandArgv(&command, 7, words, lens);
        if (len < 0 || (size_t)len > COMMAND_MAX)
            bench_fail("a command of %d bytes", len);
        memcpy(self->command, command, (size_t)len);
        self->len = (size_t)len;
        redisFreeCommand(command);
        see_through(self);
    }
}

int main(int argc, char **argv)
{
    static const bench_subject shared = {
        .open = open_queue,
        .close = close_queue,
        .enter = enter,
        .work = {[BENCH_CLAIM] = work_claim},
    };
    return bench_main(argc, argv, &shared);
}
