/* SPDX-License-Identifier: MIT */
/*
 * A password that is in a file, or comes from the program. It is read for each connection and kept
 * nowhere. A file that is not there, or is empty, may be about to be written anew: that is no
 * lasting fault. What is no plain file could make the caller wait.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char *path, const char *server, bool permanent, const char *why,
                  idem__redis_fault *fault)
{
    char quoted[IDEM_QUOTE_SIZE];
    return idem__redis_fault_set(fault, permanent, IDEM_ERR_UNAVAILABLE, "%s: password_file %s %s",
                                 server, idem_quote(idem_str(path), quoted), why);
}

/* @return 0 or an errno */
static int read_all(int fd, idem__redis_secret *secret)
{
    while (secret->len < sizeof secret->text) {
        ssize_t count = read(fd, secret->text + secret->len, sizeof secret->text - secret->len);
        if (count == 0)
            return 0;
        if (count > 0)
            secret->len += (size_t)count;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

static void strip_line_break(idem__redis_secret *secret)
{
    if (secret->len > 0 && secret->text[secret->len - 1] == '\n')
        secret->len--;
    if (secret->len > 0 && secret->text[secret->len - 1] == '\r')
        secret->len--;
}

int idem__redis_secret_read(idem__redis_secret *secret, const char *path, const char *server,
                            idem__redis_fault *fault)
{
    struct stat status;
    secret->len = 0;
    secret->user[0] = '\0';
    int fd = idem_descriptor_raise(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (fd < 0 && errno == ENOENT)
        return refuse(path, server, false, "is not there: write the password into it", fault);
    if (fd < 0)
        return refuse(path, server, errno == EACCES,
                      "can't be opened: let this user read it, and look at ulimit -n", fault);
    bool plain = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    int number = plain ? read_all(fd, secret) : 0;
    (void)close(fd);
    if (!plain)
        return refuse(path, server, true, "is no plain file: name one", fault);
    if (number)
        return refuse(path, server, false, "can't be read: look at its disk", fault);
    strip_line_break(secret);
    if (secret->len == 0)
        return refuse(path, server, false, "is empty: write the password into it", fault);
    if (secret->len > IDEM__REDIS_SECRET_MAX)
        return refuse(path, server, true, "is longer than any password: name another", fault);
    return IDEM_OK;
}

static void wipe(void *memory, size_t size)
{
    volatile char *at = memory;
    for (size_t i = 0; i < size; i++)
        at[i] = '\0';
}

int idem__redis_secret_ask(idem__redis_secret *secret, const idem_config *config,
                           const char *server, idem__redis_fault *fault)
{
    idem_credentials given;
    memset(&given, 0, sizeof given);
    given.size = sizeof given;
    int rc = config->credentials(config->credentials_user, &given);
    given.user[sizeof given.user - 1] = '\0';
    given.password[sizeof given.password - 1] = '\0';
    memcpy(secret->user, given.user, sizeof secret->user);
    secret->len = strlen(given.password);
    memcpy(secret->text, given.password, secret->len);
    wipe(&given, sizeof given);
    if (rc == 0 && secret->len > 0)
        return IDEM_OK;
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s: the program's callback `credentials` gave no password: look "
                                 "at where it takes it from",
                                 server);
}

void idem__redis_secret_wipe(idem__redis_secret *secret)
{
    wipe(secret->text, sizeof secret->text);
    wipe(secret->user, sizeof secret->user);
    secret->len = 0;
}
