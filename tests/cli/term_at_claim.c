/* SPDX-License-Identifier: MIT */
/*
 * term_at_claim FILE PROGRAM…: runs the program, and sends it TERM as soon as there is a record in
 * the SQLite database that was not there before. Ends as the program did.
 */
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int count(sqlite3_stmt *counting)
{
    int records = sqlite3_step(counting) == SQLITE_ROW ? sqlite3_column_int(counting, 0) : -1;
    (void)sqlite3_reset(counting);
    return records;
}

static int fail(const char *what)
{
    (void)fprintf(stderr, "term_at_claim: %s\n", what);
    return 1;
}

/* Lets the program run for a moment, so that it is looked at in the middle of what it does.
   @return false: it has ended */
static bool run_a_moment(pid_t pid, int *status)
{
    const struct timespec moment = {0, 20000};
    (void)kill(pid, SIGCONT);
    (void)nanosleep(&moment, NULL);
    (void)kill(pid, SIGSTOP);
    return waitpid(pid, status, WUNTRACED) == pid && WIFSTOPPED(*status);
}

/* @return the program's status */
static int run(sqlite3_stmt *counting, char **program)
{
    int status = 0;
    int before = count(counting);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execvp(program[0], program);
        _exit(127);
    }
    while (run_a_moment(pid, &status)) {
        if (count(counting) <= before)
            continue;
        (void)kill(pid, SIGTERM);
        (void)kill(pid, SIGCONT);
        (void)waitpid(pid, &status, 0);
        break;
    }
    return status;
}

int main(int argc, char **argv)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *counting = NULL;
    if (argc < 3 || sqlite3_open(argv[1], &db) != SQLITE_OK ||
        sqlite3_busy_timeout(db, 60000) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT count(*) FROM idem_record", -1, &counting, NULL) !=
            SQLITE_OK)
        return fail(db ? sqlite3_errmsg(db) : "usage");
    int status = run(counting, argv + 2);
    (void)sqlite3_finalize(counting);
    (void)sqlite3_close(db);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
