/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong with a server, told in the library's words: one table from the beginning of an
 * error reply to an error code, to whether repeating helps, and to what a person can do.
 *
 * An error reply means that nothing was changed. The server's own words may repeat what it was
 * sent, so they are shown only by rows that say so.
 */
#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

#define QUOTED_MAX 90u /* of the server's words */

/* What else a row says, beside its code and its words. */
enum {
    PERMANENT = 1, /* repeating does not help */
    DROP = 2,      /* the connection is of no more use */
    QUOTED = 4,    /* the server's own words can be shown */
    LOOK = 8,      /* of a refused change: the record may be there all the same */
    STALE = 16,    /* and may be an old one */
    RIGHTS = 32,   /* the user lacks a right */
    MUTE = 64,     /* nothing more is answered */
    LOGON = 128    /* the next greeting says whether it is permanent */
};

typedef struct {
    const char *beginning;
    int code;
    unsigned flags;
    const char *says; /* behind the server's name */
} translation;

#define CLUSTER "is a node of a cluster: write redis+cluster:// (or rediss+cluster://)"
#define NO_RIGHT \
    "does not let this user work: allow set, get, pttl, del, eval, evalsha and scan on the keys"
#define NO_COMMAND                                                                              \
    "does not know a command that is needed: it has to be Redis 6.2 or later, or Valkey, with " \
    "set, get, pttl, del, eval, evalsha and scan"

/* The first row that fits; the last fits all. */
static const translation translations[] = {
    {"LOADING", IDEM_ERR_UNAVAILABLE, 0,
     "is still loading its data from disk: wait for it, or set a longer timeout"},
    {"BUSY", IDEM_ERR_UNAVAILABLE, 0, "is busy with somebody's script: SCRIPT KILL ends it"},
    {"MASTERDOWN", IDEM_ERR_UNAVAILABLE, DROP | LOOK | STALE,
     "is a replica that has lost its primary: name the primary in the URL"},
    {"READONLY", IDEM_ERR_UNAVAILABLE, DROP | LOOK | STALE,
     "is a read-only replica: name the primary in the URL; if there was a failover, the name has "
     "to lead to the new one"},
    {"NOREPLICAS", IDEM_ERR_UNAVAILABLE, LOOK,
     "takes no writes: it has fewer replicas than min-replicas-to-write asks for; repair them"},
    {"TRYAGAIN", IDEM_ERR_UNAVAILABLE, 0, "is moving this key to another node"},
    {"CLUSTERDOWN", IDEM_ERR_UNAVAILABLE, LOOK,
     "belongs to a cluster that is down: look at redis-cli --cluster check"},
    {"MOVED", IDEM_ERR_UNSUPPORTED, PERMANENT, CLUSTER},
    {"ASK ", IDEM_ERR_UNSUPPORTED, PERMANENT, CLUSTER},
    {"CROSSSLOT", IDEM_ERR_UNSUPPORTED, PERMANENT, CLUSTER},
    {"NOAUTH", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP | LOGON,
     "wants a password: write it in the URL, as in redis://:password@host"},
    {"WRONGPASS", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP | LOGON,
     "refused the user or the password: correct them in the URL"},
    {"NOPERM", IDEM_ERR_UNAVAILABLE, PERMANENT | QUOTED | LOOK | RIGHTS, NO_RIGHT},
    /* The same within a script: Redis 7.0, 6, and 7.2. */
    {"ERR The user executing the script", IDEM_ERR_UNAVAILABLE, PERMANENT | QUOTED | LOOK | RIGHTS,
     NO_RIGHT},
    {"The user executing the script", IDEM_ERR_UNAVAILABLE, PERMANENT | QUOTED | LOOK | RIGHTS,
     NO_RIGHT},
    {"ERR ACL failure in script", IDEM_ERR_UNAVAILABLE, PERMANENT | QUOTED | LOOK | RIGHTS,
     NO_RIGHT},
    {"DENIED", IDEM_ERR_UNAVAILABLE, PERMANENT | DROP | MUTE,
     "is in protected mode, and answers to its own host alone: give it a password"},
    {"ERR max number of clients", IDEM_ERR_UNAVAILABLE, DROP | MUTE,
     "has as many clients as it may: raise its maxclients"},
    {"OOM", IDEM_ERR_FULL, PERMANENT | LOOK,
     "is full: raise its maxmemory; keep maxmemory-policy at noeviction, or it would drop records"},
    {"MISCONF", IDEM_ERR_UNAVAILABLE, PERMANENT | LOOK,
     "refuses writes since it could not write its own files: look at its disk and its log"},
    {"ERR Protocol error: invalid bulk length", IDEM_ERR_TOO_LARGE, PERMANENT | DROP | MUTE,
     "takes no value of this size: raise its proto-max-bulk-len, or store less"},
    {"ERR string exceeds maximum", IDEM_ERR_TOO_LARGE, PERMANENT,
     "takes no value of this size: raise its proto-max-bulk-len, or store less"},
    {"ERR unknown command", IDEM_ERR_UNSUPPORTED, PERMANENT | LOOK, NO_COMMAND},
    {"ERR Unknown Redis command called", IDEM_ERR_UNSUPPORTED, PERMANENT | LOOK, NO_COMMAND},
    {"ERR Protocol error", IDEM_ERR_INTERNAL, PERMANENT | DROP | MUTE | QUOTED,
     "did not understand a command"},
    {"", IDEM_ERR_INTERNAL, PERMANENT | QUOTED | LOOK,
     "answered with an error that is not known here"},
};

int idem__redis_fault_set(idem__redis_fault *fault, bool permanent, int code, const char *format,
                          ...)
{
    va_list arguments;
    if (fault->error.code)
        return fault->error.code;
    va_start(arguments, format);
    (void)vsnprintf(fault->error.message, sizeof fault->error.message, format, arguments);
    va_end(arguments);
    fault->error.code = code;
    fault->permanent = permanent;
    return code;
}

static bool begins_with(idem_bytes text, const char *beginning)
{
    size_t len = strlen(beginning);
    return text.len >= len && memcmp(text.data, beginning, len) == 0;
}

static void skip(idem_bytes *text, size_t len)
{
    text->data = (const char *)text->data + len;
    text->len -= len;
}

/* Redis before 7.0 puts `@user_script: 3: -` in front of what it tells a script. */
static idem_bytes without_script(idem_bytes text)
{
    static const char place[] = "@user_script";
    if (begins_with(text, place)) {
        const char *sign = memchr(text.data, '-', text.len);
        if (sign)
            skip(&text, (size_t)(sign - (const char *)text.data));
    }
    if (begins_with(text, "-"))
        skip(&text, 1);
    return text;
}

bool idem__redis_fault_is(idem_bytes text, const char *beginning)
{
    return begins_with(without_script(text), beginning);
}

static int take(idem__redis_fault *fault, const char *name, idem_bytes key, idem_bytes text,
                bool may_quote)
{
    char quoted[IDEM_QUOTE_SIZE];
    if (key.len > 0 && idem__redis_fault_is(text, "WRONGTYPE"))
        return idem__redis_fault_set(fault, true, IDEM_ERR_CORRUPT,
                                     "%s holds something else than a record at the key %s: look at "
                                     "whose it is, or use another prefix",
                                     name, idem_quote(key, quoted));
    const translation *row = translations;
    while (!idem__redis_fault_is(text, row->beginning))
        row++;
    /* A connection that was greeted has lost its rights: the next one logs on anew, with what is
       the password then. */
    bool greeting = !may_quote;
    bool permanent = (row->flags & PERMANENT) != 0 && (greeting || !(row->flags & LOGON));
    fault->drop = fault->drop || (row->flags & DROP);
    fault->mute = fault->mute || (row->flags & MUTE);
    fault->look = (row->flags & LOOK) != 0;
    fault->stale = (row->flags & STALE) != 0;
    fault->rights = (row->flags & RIGHTS) != 0;
    idem_bytes shown = without_script(text);
    if (shown.len > QUOTED_MAX)
        shown.len = QUOTED_MAX;
    if (!(row->flags & QUOTED) || !may_quote)
        return idem__redis_fault_set(fault, permanent, row->code, "%s %s", name, row->says);
    return idem__redis_fault_set(fault, permanent, row->code, "%s %s: %s", name, row->says,
                                 idem_quote(shown, quoted));
}

int idem__redis_fault_take(idem__redis_fault *fault, const char *name, idem_bytes key,
                           idem_bytes text)
{
    return take(fault, name, key, text, true);
}

int idem__redis_fault_take_unquoted(idem__redis_fault *fault, const char *name, idem_bytes text)
{
    return take(fault, name, (idem_bytes){NULL, 0}, text, false);
}
