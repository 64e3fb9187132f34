/* SPDX-License-Identifier: MIT */
/* Waiting for replies by a deadline, where nothing else is in flight: greetings, scans, checks. */
#include "wire.h"

#include <poll.h>

bool idem__redis_wire_wait(int fd, short events, uint64_t deadline_ms, short *happened)
{
    struct pollfd entry = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ms = idem_monotonic_ms();
        uint64_t left_ms = now_ms < deadline_ms ? deadline_ms - now_ms : 0;
        int count = poll(&entry, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (count > 0) {
            *happened = entry.revents;
            return true;
        }
        if (left_ms == 0)
            return false;
    }
}

int idem__redis_wire_tell_late(const idem__redis_wire *wire, idem__redis_fault *fault)
{
    return idem__redis_fault_set(fault, false, IDEM_ERR_UNAVAILABLE,
                                 "%s did not answer by the deadline: look at its load, or set "
                                 "a longer timeout",
                                 wire->name);
}

static int exchange(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault)
{
    short happened = 0;
    bool got = false;
    idem__redis_wire_flush(wire);
    if (wire->tls) { /* it may have what the descriptor has not any more */
        int rc = idem__redis_wire_read(wire, &got, fault);
        if (rc || got)
            return rc;
    }
    short events = idem__redis_wire_wants_write(wire) ? POLLIN | POLLOUT : POLLIN;
    if (!idem__redis_wire_wait(wire->fd, events, deadline_ms, &happened))
        return idem__redis_wire_tell_late(wire, fault);
    return (happened & ~POLLOUT) != 0 ? idem__redis_wire_read(wire, &got, fault) : IDEM_OK;
}

int idem__redis_wire_reply(idem__redis_wire *wire, uint64_t deadline_ms, redisReply **reply,
                           idem__redis_fault *fault)
{
    redisReply *got = NULL;
    bool late = false;
    int rc = idem__redis_wire_take(wire, &got, fault);
    while (rc == IDEM_OK && !got) {
        /* What is there at the deadline still counts; a server that sends on and on is not listened
           to. */
        rc = late ? idem__redis_wire_tell_late(wire, fault) : exchange(wire, deadline_ms, fault);
        late = idem_monotonic_ms() >= deadline_ms;
        if (rc == IDEM_OK)
            rc = idem__redis_wire_take(wire, &got, fault);
    }
    if (rc == IDEM_OK)
        *reply = got;
    return rc;
}

int idem__redis_wire_agree(idem__redis_wire *wire, uint64_t deadline_ms, idem__redis_fault *fault)
{
    int rc = IDEM_OK;
    unsigned refused = 0;
    while (rc == IDEM_OK && wire->seals != refused && idem__redis_wire_seals(wire) &&
           !wire->sealed) {
        redisReply *reply = NULL;
        refused = wire->seals; /* if it is still that one then, the server is held up */
        if (wire->confirmed == wire->seal) { /* the one before was refused */
            idem__redis_wire_begin(wire, false);
            rc = idem__redis_wire_seal(wire, fault);
        }
        if (rc == IDEM_OK)
            rc = idem__redis_wire_reply(wire, deadline_ms, &reply, fault);
        if (rc == IDEM_OK) {
            rc = idem__redis_wire_confirm(wire, reply, fault);
            freeReplyObject(reply);
        }
    }
    return rc;
}
