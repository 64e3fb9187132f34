/* SPDX-License-Identifier: MIT */
/*
 * on_terminal PROGRAM ARGUMENTS…: runs a program on a terminal of its own and passes on what it
 * prints. Each line `press ^C` in that makes it press the interrupt key, and likewise for other
 * letters. Ends with the program's exit code.
 *
 * on_terminal ends-by NUMBER PROGRAM ARGUMENTS…: ends with 0 if the program dies of that signal and
 * leaves no core.
 *
 * on_terminal without-blocking PROGRAM ARGUMENTS…: makes stdin non-blocking, then becomes it.
 *
 * on_terminal note-signals: prints the name of each signal that comes, as soon as it comes, until
 * there is a file `enough`. There is a file `ready` when it has begun.
 *
 * on_terminal count-interrupts: asks for that 8 times, and ends with the number of interrupts that
 * came.
 */
#define _XOPEN_SOURCE 700

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 99;
}

/* In the child: a session of its own, whose terminal is the one at `path`, without output
   processing, so that a line break stays one. */
static int become(const char *path, char **program)
{
    struct termios modes;
    if (setsid() < 0)
        return fail("setsid");
    int fd = open(path, O_RDWR);
    if (fd < 0)
        return fail("open");
    (void)ioctl(fd, TIOCSCTTY, 0);
    if (tcgetattr(fd, &modes) != 0)
        return fail("tcgetattr");
    modes.c_oflag &= (tcflag_t)~OPOST;
    modes.c_lflag &= (tcflag_t) ~(ECHO | ECHOCTL);
    if (tcsetattr(fd, TCSANOW, &modes) != 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
        return fail("the terminal");
    if (fd > 2)
        (void)close(fd);
    (void)execvp(program[0], program);
    return fail("execvp");
}

/* @param pressed  how far the text has been looked at */
static void press_keys(int terminal, const char *text, size_t *pressed)
{
    static const char ask[] = "press ^";
    const size_t len = sizeof ask - 1;
    const char *at;
    while ((at = strstr(text + *pressed, ask)) != NULL && at[len] && at[len + 1] == '\n') {
        char key = (char)(at[len] - '@');
        if (write(terminal, &key, 1) != 1)
            perror("the terminal");
        *pressed = (size_t)(at - text) + len;
    }
}

/* Keeps all of it, to see which keys it asks for; so it must not be long. */
static void pass_on(int terminal)
{
    char text[65536];
    size_t len = 0;
    size_t pressed = 0;
    while (len < sizeof text - 1) {
        ssize_t got = read(terminal, text + len, sizeof text - 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* EIO: the last process has closed it */
            return;
        (void)fwrite(text + len, 1, (size_t)got, stdout);
        len += (size_t)got;
        text[len] = '\0';
        press_keys(terminal, text, &pressed);
    }
}

static volatile sig_atomic_t interrupts;

static void count(int number)
{
    (void)number;
    interrupts++;
}

static uint64_t now_ms(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Several times, and without sleeping: two signals that meet a sleeper could be taken for one. */
static int count_interrupts(void)
{
    struct sigaction action = {.sa_handler = count};
    (void)sigaction(SIGINT, &action, NULL);
    for (int i = 0; i < 8; i++) {
        int before = interrupts;
        uint64_t start = now_ms();
        (void)puts("press ^C");
        (void)fflush(stdout);
        while (interrupts == before && now_ms() < start + 20000) {
        }
        for (start = now_ms(); now_ms() < start + 20;) {
        }
    }
    return interrupts;
}

static void note(int number)
{
    const char *name = number == SIGTERM ? "TERM\n" : number == SIGHUP ? "HUP\n" : "USR1\n";
    if (write(STDOUT_FILENO, name, strlen(name)) < 0)
        _exit(99);
}

/* Awake, so that two signals are rarely taken for one. */
static int note_signals(void)
{
    struct sigaction action = {.sa_handler = note};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    int fd = open("ready", O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        return fail("ready");
    while (access("enough", F_OK) != 0) {
    }
    return close(fd);
}

static int ends_by(int number, char **program)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)execvp(program[0], program);
        _exit(fail("execvp"));
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return fail("fork");
    return WIFSIGNALED(status) && WTERMSIG(status) == number && !WCOREDUMP(status) ? 0 : 1;
}

static int without_blocking(char **program)
{
    if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) == 0)
        (void)execvp(program[0], program);
    return fail("fcntl");
}

int main(int argc, char **argv)
{
    int status = 0;
    if (argc > 2 && strcmp(argv[1], "without-blocking") == 0)
        return without_blocking(argv + 2);
    if (argc > 3 && strcmp(argv[1], "ends-by") == 0)
        return ends_by((int)strtol(argv[2], NULL, 10), argv + 3);
    if (argc == 2 && strcmp(argv[1], "count-interrupts") == 0)
        return count_interrupts();
    if (argc == 2 && strcmp(argv[1], "note-signals") == 0)
        return note_signals();
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (argc < 2 || terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
        return fail("posix_openpt");
    const char *path = ptsname(terminal);
    pid_t child = fork();
    if (child == 0)
        _exit(become(path, argv + 1));
    if (child < 0)
        return fail("fork");
    pass_on(terminal);
    if (waitpid(child, &status, 0) < 0)
        return fail("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
