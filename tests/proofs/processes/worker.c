/* SPDX-License-Identifier: MIT */
/*
 * A worker: takes claims on a few hot keys, works, and ends them in every way there is, well or badly,
 * until it is killed. It is one of the processes of a run (see driver.c) and writes its history, which
 * the checker judges; it judges nothing itself.
 *
 * Its tokens are its own: its number and a counter are in them, so no two callers share one. A claim
 * that it knows to be lost it uses on now and then, as a careless owner does: the store has to refuse
 * it. Effects it books only under a claim that it does not know to be lost.
 */
#include "board.h"
#include "desk.h"
#include "dice.h"
#include "stamp.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

typedef struct {
    desk desk;
    dice dice;
    board *board;
    uint32_t serial;
} worker;

/* A claim at work. */
typedef struct {
    caller by;
    idem_outcome held;
    bool lost;
    bool booked;
} job;

/* ------------------------------------------------------------------------------------- callers */

static void make_token(worker *self, caller *by)
{
    uint32_t number = self->desk.process;
    uint32_t serial = ++self->serial;
    uint64_t chance = dice_throw(&self->dice);
    for (int i = 0; i < 4; i++) {
        by->token[i] = (uint8_t)(number >> (24 - 8 * i));
        by->token[4 + i] = (uint8_t)(serial >> (24 - 8 * i));
    }
    memcpy(by->token + 8, &chance, sizeof chance);
    for (size_t i = 0; i < IDEM_TOKEN_SIZE; i++)
        (void)snprintf(by->token_text + 2 * i, 3, "%02x", by->token[i]);
}

static void make_caller(worker *self, caller *by, unsigned slot, uint64_t generation)
{
    memset(by, 0, sizeof *by);
    (void)snprintf(by->key, sizeof by->key, "k%u.%" PRIu64, slot, generation);
    make_token(self, by);
    by->lease_ms = dice_between(&self->dice, 50, 300);
    if (dice_percent(&self->dice, 15))
        by->flags |= IDEM_NO_TAKEOVER;
    if (dice_percent(&self->dice, 20))
        by->flags |= IDEM_KEEPALIVE;
}

/* No two are the same, and none survives being read and written anew by a JSON library. */
static void make_text(worker *self, char text[DESK_TEXT_SIZE])
{
    static const char *const forms[] = {
        "{\"by\":\"%u.%u\",\"n\":18446744073709551617}",
        " [ %u , %u.0 , 1e0 , \"\\u00e9\" ]\n",
        "\"\xc3\xa9 100%% %u-%u \\/\"",
        "{\"a\":1,\"a\":2,\"who\":[%u,%u],\"what\":\"\\ud83d\\ude00 0123456789\"}",
    };
    uint64_t form = dice_between(&self->dice, 0, sizeof forms / sizeof forms[0] - 1);
    (void)snprintf(text, DESK_TEXT_SIZE, forms[form], self->desk.process, ++self->serial);
}

/* ---------------------------------------------------------------------------------------- work */

static void die_perhaps(worker *self, unsigned percent)
{
    if (dice_percent(&self->dice, percent))
        (void)kill(getpid(), SIGKILL);
}

static void take_time(worker *self, const job *at)
{
    uint64_t lease_us = at->by.lease_ms * 1000;
    if (dice_percent(&self->dice, 75))
        stamp_pause_us(dice_between(&self->dice, 0, 15000));
    else
        stamp_pause_us(dice_between(&self->dice, lease_us / 2, lease_us + lease_us / 2));
}

static void take_in(job *at, int rc)
{
    at->lost = at->lost || rc == IDEM_ERR_LOST || rc == IDEM_ERR_NOT_FOUND;
}

/* As after a lost reply: the same caller asks again. */
static void begin_again(worker *self, job *at)
{
    idem_outcome again;
    if (!desk_begin(&self->desk, &at->by, 0, &again))
        return;
    if (again.kind != IDEM_NEW) {
        at->lost = true;
        idem_outcome_clear(&again);
        return;
    }
    at->booked = at->booked && again.attempt == at->held.attempt;
    idem_outcome_clear(&at->held);
    at->held = again;
}

static void work(worker *self, job *at)
{
    char text[DESK_TEXT_SIZE];
    if (dice_percent(&self->dice, 15))
        begin_again(self, at);
    take_time(self, at);
    if (dice_percent(&self->dice, 50)) {
        make_text(self, text);
        take_in(at, desk_checkpoint(&self->desk, &at->by, at->held.claim, text));
    }
    die_perhaps(self, 3);
    if (dice_percent(&self->dice, 30))
        take_time(self, at);
    if (dice_percent(&self->dice, 30))
        take_in(at, desk_renew(&self->desk, &at->by, at->held.claim,
                               dice_between(&self->dice, 50, 300)));
    if (!at->lost && !at->booked) {
        desk_effect(&self->desk, &at->by, at->held.attempt);
        at->booked = true;
    }
    die_perhaps(self, 3);
    if (dice_percent(&self->dice, 20))
        take_time(self, at);
}

static void end_job(worker *self, job *at)
{
    char text[DESK_TEXT_SIZE];
    bool gives_up = at->lost && dice_percent(&self->dice, 50);
    make_text(self, text);
    if (gives_up || dice_percent(&self->dice, 12))
        return; /* it walks away, and the lease runs out */
    if (at->booked && dice_percent(&self->dice, 75)) {
        int rc = desk_complete(&self->desk, &at->by, at->held.claim, text);
        if (rc == IDEM_ERR_UNCERTAIN || dice_percent(&self->dice, 10))
            rc = desk_complete(&self->desk, &at->by, at->held.claim, text);
        if (rc == IDEM_ERR_LOST && dice_percent(&self->dice, 30))
            (void)desk_renew(&self->desk, &at->by, at->held.claim, at->by.lease_ms);
        return;
    }
    (void)desk_release(&self->desk, &at->by, at->held.claim);
    if (dice_percent(&self->dice, 10))
        (void)desk_renew(&self->desk, &at->by, at->held.claim, at->by.lease_ms);
}

/* --------------------------------------------------------------------------------------- a turn */

static void leave_behind(worker *self, unsigned slot, uint64_t generation)
{
    _Atomic uint64_t *at = &self->board->generation[slot];
    if (dice_percent(&self->dice, 30))
        (void)atomic_compare_exchange_strong(at, &generation, generation + 1);
}

static void turn(worker *self)
{
    job at = {.lost = false};
    unsigned slot = (unsigned)dice_between(&self->dice, 0, BOARD_SLOTS - 1);
    uint64_t newest = atomic_load(&self->board->generation[slot]);
    uint64_t back = dice_percent(&self->dice, 10) ? dice_between(&self->dice, 0, 20) : 0;
    uint64_t generation = newest > back ? newest - back : 0;
    uint64_t wait_ms = dice_percent(&self->dice, 20) ? dice_between(&self->dice, 1, 200) : 0;
    make_caller(self, &at.by, slot, generation);
    if (!desk_begin(&self->desk, &at.by, wait_ms, &at.held))
        return;
    if (at.held.kind == IDEM_NEW) {
        work(self, &at);
        end_job(self, &at);
    } else if (at.held.kind == IDEM_COMPLETED) {
        leave_behind(self, slot, generation);
    } else {
        if (self->desk.ways->unclaimed)
            desk_effect(&self->desk, &at.by, 1);
        stamp_pause_us(dice_between(&self->dice, 0, 20000));
    }
    idem_outcome_clear(&at.held);
}

/* After the run: every key once more. What is free is given back. */
static void look_at_all(worker *self)
{
    for (unsigned slot = 0; slot < BOARD_SLOTS; slot++) {
        uint64_t newest = atomic_load(&self->board->generation[slot]);
        for (uint64_t generation = 0; generation <= newest; generation++) {
            job at = {.lost = false};
            make_caller(self, &at.by, slot, generation);
            if (desk_begin(&self->desk, &at.by, 0, &at.held) && at.held.kind == IDEM_NEW)
                (void)desk_release(&self->desk, &at.by, at.held.claim);
            idem_outcome_clear(&at.held);
        }
    }
}

/* ---------------------------------------------------------------------------------------- start */

static board *map_board(const char *folder)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/board", folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *place =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place == MAP_FAILED) {
        (void)fprintf(stderr, "worker: %s can't be mapped\n", path);
        exit(3);
    }
    (void)close(fd);
    return place;
}

static int usage(void)
{
    (void)fputs("usage: worker FOLDER URL NUMBER SEED DRIVER work|look [BREAKAGE]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    char url[512];
    worker self = {.serial = 0};
    const ways *way = broken_find(argc > 7 ? argv[7] : "");
    if (argc < 7 || argc > 8 || !way)
        return usage();
#if defined(__linux__)
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != (pid_t)strtol(argv[5], NULL, 10))
        return 1; /* the driver is gone already */
    unsigned number = (unsigned)strtoul(argv[3], NULL, 10);
    self.dice.state = strtoull(argv[4], NULL, 10) + number * UINT64_C(0x5851f42d4c957f2d);
    self.board = map_board(argv[1]);
    (void)snprintf(url, sizeof url, "%s%s", argv[2],
                   way->two_stores && number % 2 ? "?prefix=another-" : "");
    desk_open(&self.desk, argv[1], url, way, number);
    if (strcmp(argv[6], "look") == 0) {
        look_at_all(&self);
        idem_close(self.desk.store);
        return 0;
    }
    for (;;)
        turn(&self);
}
