/* SPDX-License-Identifier: MIT */
/*
 * A thread that accepts one connection after the other, sends the bytes that it was told to send,
 * ends its side and waits for the other's end. It lives until the process ends; its socket is in a
 * folder that is removed then.
 *
 * `lock` guards what is to be said.
 */
#include "redis_peer.h"

#include "fuzz.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t said[REDIS_PEER_MAX];
static size_t said_len;
static int listener = -1;
static char folder[] = "/tmp/idem-fuzz-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void speak(int fd)
{
    char heard[4096];
    (void)pthread_mutex_lock(&lock);
    (void)send(fd, said, said_len, MSG_NOSIGNAL);
    (void)pthread_mutex_unlock(&lock);
    (void)shutdown(fd, SHUT_WR);
    while (recv(fd, heard, sizeof heard, 0) > 0)
        ;
    (void)close(fd);
}

static void *serve(void *unused)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            speak(fd);
    }
    return unused;
}

static void remove_folder(void)
{
    (void)unlink(address.sun_path);
    (void)rmdir(folder);
}

static void start(void)
{
    pthread_t thread;
    HOLDS(mkdtemp(folder) != NULL && atexit(remove_folder) == 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(listener >= 0);
    HOLDS(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0);
    HOLDS(listen(listener, 16) == 0);
    HOLDS(pthread_create(&thread, NULL, serve, NULL) == 0 && pthread_detach(thread) == 0);
}

const char *redis_peer_url(const void *bytes, size_t len)
{
    static char url[192];
    if (listener < 0) {
        start();
        (void)snprintf(url, sizeof url, "redis+unix://u:%s@%s?db=3&timeout=2s", REDIS_PEER_PASSWORD,
                       address.sun_path);
    }
    (void)pthread_mutex_lock(&lock);
    said_len = len < sizeof said ? len : sizeof said;
    if (said_len > 0)
        memcpy(said, bytes, said_len);
    (void)pthread_mutex_unlock(&lock);
    return url;
}
