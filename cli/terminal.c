/* SPDX-License-Identifier: MIT */
/*
 * The pseudo-terminal of `idem run --tty`. CMD leads a session of its own, whose terminal it is: so
 * ^C, ^Z and ^\ are made into signals there, for CMD's foreground group, and idem passes on bytes.
 *
 * idem's own terminal is raw meanwhile. It has its modes back when CMD has ended, while idem is
 * stopped, and when idem dies: if it is killed, by the keeper. Handlers do what can't wait for the
 * loop; tcsetattr() is async-signal-safe.
 */
#define _XOPEN_SOURCE 700

#include "terminal.h"

#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const int handled[] = {SIGWINCH, SIGTSTP, SIGCONT};

#define HANDLED_COUNT (sizeof handled / sizeof handled[0])

static cli_terminal_modes own; /* while it is raw; for the handlers */
static volatile sig_atomic_t is_raw;
static volatile sig_atomic_t master_fd = -1;

void cli_terminal_init(cli_terminal *terminal)
{
    memset(terminal, 0, sizeof *terminal);
    terminal->master = terminal->slave = -1;
}

bool cli_terminal_is_there(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* The kernel tells CMD's foreground group if the size is another one. */
static void pass_size_on(int master)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        (void)ioctl(master, TIOCSWINSZ, &size);
}

/* Above stderr, as all that is idem's. */
static int raise_fd(int fd)
{
    int raised = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
    int saved = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = saved;
    return raised;
}

static bool open_pair(cli_terminal *terminal)
{
    terminal->master = raise_fd(posix_openpt(O_RDWR | O_NOCTTY));
    if (terminal->master < 0 || grantpt(terminal->master) != 0 || unlockpt(terminal->master) != 0)
        return false;
    const char *path = ptsname(terminal->master);
    if (path)
        terminal->slave = raise_fd(open(path, O_RDWR | O_NOCTTY));
    return terminal->slave >= 0;
}

bool cli_terminal_open(cli_terminal *terminal, int *output)
{
    if (tcgetattr(STDIN_FILENO, &terminal->modes.original) != 0)
        return false;
    terminal->modes.raw = terminal->modes.original;
    cfmakeraw(&terminal->modes.raw);
    if (open_pair(terminal)) {
        (void)tcsetattr(terminal->slave, TCSANOW, &terminal->modes.original);
        pass_size_on(terminal->master);
        *output = fcntl(terminal->master, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (*output >= 0)
            return true;
    }
    int saved = errno;
    close_fd(&terminal->slave);
    close_fd(&terminal->master);
    errno = saved;
    return false;
}

/* ------------------------------------------------------------------------------------- signals */

static void handle(int number);

static void catch_signal(int number)
{
    struct sigaction before;
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
    (void)sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        (void)sigaction(number, &action, NULL);
}

static void let_go(int number)
{
    const struct sigaction as_usual = {.sa_handler = SIG_DFL};
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == handle)
        (void)sigaction(number, &as_usual, NULL);
}

static void set_modes(const struct termios *modes)
{
    while (tcsetattr(STDIN_FILENO, TCSANOW, modes) != 0 && errno == EINTR) {
    }
}

/* Stops here, by the default action, and goes on at SIGCONT. */
static void stop(void)
{
    sigset_t only;
    sigset_t before;
    if (is_raw)
        set_modes(&own.original);
    let_go(SIGTSTP);
    (void)sigemptyset(&only);
    (void)sigaddset(&only, SIGTSTP);
    (void)kill(getpid(), SIGTSTP);
    (void)sigprocmask(SIG_UNBLOCK, &only, &before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    catch_signal(SIGTSTP);
}

/* What comes behind SIGCONT may have been changed by a shell in between. */
static void handle(int number)
{
    int saved = errno;
    if (number == SIGTSTP)
        stop();
    if (is_raw && number != SIGWINCH)
        set_modes(&own.raw);
    if (master_fd >= 0)
        pass_size_on(master_fd);
    errno = saved;
}

void cli_terminal_begin(cli_terminal *terminal)
{
    close_fd(&terminal->slave);
    if (terminal->master < 0)
        return;
    own = terminal->modes;
    master_fd = terminal->master;
    for (size_t i = 0; i < HANDLED_COUNT; i++)
        catch_signal(handled[i]);
    is_raw = 1;
    cli_say_raw(true);
    set_modes(&own.raw);
    pass_size_on(terminal->master); /* it may have changed before it was caught */
}

void cli_terminal_end(cli_terminal *terminal)
{
    master_fd = -1;
    if (is_raw) {
        is_raw = 0;
        cli_say_raw(false);
        set_modes(&own.original);
        for (size_t i = 0; i < HANDLED_COUNT; i++)
            let_go(handled[i]);
    }
    close_fd(&terminal->slave);
    close_fd(&terminal->master);
}

/* --------------------------------------------------------------------------------------- input */

static bool has_typed(const cli_terminal *terminal)
{
    return terminal->typed_at < terminal->typed_len;
}

void cli_terminal_wants(const cli_terminal *terminal, struct pollfd wants[2])
{
    bool open = terminal->master >= 0 && !terminal->ended;
    wants[0] =
        (struct pollfd){.fd = open && !has_typed(terminal) ? STDIN_FILENO : -1, .events = POLLIN};
    wants[1] = (struct pollfd){.fd = open && has_typed(terminal) ? terminal->master : -1,
                               .events = POLLOUT};
}

static bool may_pass(void)
{
    return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
}

/* No more than poll() has seen is read, so that it does not wait. The end of the input is that of
   the terminal itself: what is typed to mean it is a byte here. */
static void read_typed(cli_terminal *terminal)
{
    ssize_t got = read(STDIN_FILENO, terminal->typed, sizeof terminal->typed);
    if (got > 0) {
        terminal->typed_at = 0;
        terminal->typed_len = (size_t)got;
    } else if (got == 0 || !may_pass()) {
        terminal->ended = true;
    }
}

static void write_typed(cli_terminal *terminal)
{
    ssize_t written = write(terminal->master, terminal->typed + terminal->typed_at,
                            terminal->typed_len - terminal->typed_at);
    if (written >= 0)
        terminal->typed_at += (size_t)written;
    else if (!may_pass())
        terminal->ended = true;
}

void cli_terminal_step(cli_terminal *terminal, const struct pollfd ready[2])
{
    if (terminal->master >= 0 && ready[0].fd >= 0 && ready[0].revents)
        read_typed(terminal);
    if (terminal->master >= 0 && ready[1].fd >= 0 && ready[1].revents)
        write_typed(terminal);
}

/* ------------------------------------------------------------------------------ other processes */

bool cli_terminal_own(int slave)
{
    return setsid() >= 0 && ioctl(slave, TIOCSCTTY, 0) == 0 && dup2(slave, STDIN_FILENO) >= 0;
}

static bool are_same(const struct termios *a, const struct termios *b)
{
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag &&
           a->c_cflag == b->c_cflag && memcmp(a->c_cc, b->c_cc, sizeof a->c_cc) == 0;
}

/* The keeper has its signals blocked, so it may set the modes from the background. */
void cli_terminal_rescue(const cli_terminal_modes *modes)
{
    struct termios now;
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (tcgetattr(fd, &now) == 0 && are_same(&now, &modes->raw))
        (void)tcsetattr(fd, TCSANOW, &modes->original);
    (void)close(fd);
}
