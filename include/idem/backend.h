/* SPDX-License-Identifier: MIT */
/**
 * @file idem/backend.h
 * @brief For those who write backends. Stable within a minor version.
 *
 * A backend keeps records and can compare and swap them. It knows nothing of claims, leases or
 * callers: the protocol is written once, in the library. A backend is one `static const`
 * ::idem_backend_ops, made known with idem_backend_register(), and an instance that begins with
 * an ::idem_backend. `examples/custom_backend.c` is a complete one.
 *
 * @par What the store promises a backend
 * -# Keys have 1 to IDEM_KEY_MAX + IDEM_PREFIX_MAX bytes, of any value; the prefix is in them.
 * -# An instance is entered by one thread at a time, unless the backend has the trait
 *    IDEM_TRAIT_CONCURRENT. It needs no locks of its own. `close` is the last call.
 * -# `open` is given a configuration whose parameters are parsed, checked and filled with their
 *    defaults, and which lives until `close` has returned.
 * -# Every op of a batch is complete in its upper half and blank in its lower half.
 *    A batch has at least one op and at most IDEM_BATCH_MAX. Two ops of one batch may name the
 *    same key: they may be carried out in any order.
 * -# A record to be stored has a fresh version, a token that is not zero, a response only if it is
 *    completed (an insert may store a completed one), and `live_ms` at least 1. No duration is
 *    longer than IDEM_DURATION_MAX_MS.
 * -# An operation that failed with IDEM_ERR_UNAVAILABLE or IDEM_ERR_UNCERTAIN is repeated by the
 *    store until the caller's deadline, unless the backend said that this can't help: by
 *    idem_op_fail(), or by IDEM_PERMANENT where a slot fails as a whole.
 * -# `at_fork` (if there is one) is called while no open or close is under way, nor, unless the
 *    backend has the trait IDEM_TRAIT_CONCURRENT, any other call. Forks come one at a time.
 *
 * @par What a backend promises the store
 * -# *Atomic.* insert, replace and remove compare and change as one step, against every other
 *    instance and process that uses the same records. Of two inserts of an absent key one applies.
 * -# *Exact.* Every field of a record comes back as it was stored, byte for byte, `age_ms` and
 *    `memory` apart.
 * -# *Durable or said so.* When an op is reported as applied, it is in place for every other
 *    instance; with IDEM_TRAIT_DURABLE it survives the end of the process.
 * -# *Honest about doubt.* IDEM_ERR_UNAVAILABLE is reported only if nothing was and nothing will be
 *    changed; otherwise IDEM_ERR_UNCERTAIN. Never success without having done it.
 * -# *One clock.* `age_ms` and the end of `live_ms` are judged by one clock that all users of the
 *    records share, never by comparing two machines' clocks. A record whose `live_ms` is over is
 *    absent for every op, purged or not.
 * -# *On time.* submit returns by its deadline, and leaves no op half done in its own memory.
 * -# *Careful with what it can't read.* A record that can't be understood gives IDEM_ERR_CORRUPT
 *    for that op, with its key in the message (idem_quote()), and is left as it is; only a remove
 *    with `any_version` takes it away. One that can be read but whose version can't be compared (a
 *    text that was rewritten by hand) is found, not changed: the store tells its callers that it is
 *    corrupt.
 * -# *Believed only as far as it fits.* A record that is given is checked: its key is the one asked
 *    for, a completed one has a response that is JSON or has IDEM_ENCODING_BYTES, a checkpoint is
 *    JSON, lengths have bytes, a token is there.
 *    Else the store makes it IDEM_ERR_CORRUPT, with the key in the message.
 * -# *Quiet.* No output, no signals, no exit; no secret in a message.
 * -# *Apart.* Its descriptors are close-on-exec, and 3 or above (idem_descriptor_raise()).
 * -# *Forkable.* After fork(), parent and child share nothing that would disturb the other.
 */
#ifndef IDEM_BACKEND_H
#define IDEM_BACKEND_H

#include <idem/idem.h>

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest `prefix` of a store, in bytes. */
#define IDEM_PREFIX_MAX 256u
/** The most ops that one batch has. */
#define IDEM_BATCH_MAX 256u
/** The longest duration that is accepted anywhere: 100 years. */
#define IDEM_DURATION_MAX_MS UINT64_C(3155760000000)

/* ------------------------------------------------------------------------------ operations */

typedef enum {
    IDEM_OP_INSERT = 1, /**< store the record if the key is absent, else find what is there */
    IDEM_OP_REPLACE,    /**< store it if the one there has this version, else find what is there */
    IDEM_OP_REMOVE,     /**< delete the one there if it has this version, else find what is there */
    IDEM_OP_GET         /**< find what is there */
} idem_op_kind;

/**
 * One operation on one key: an upper half to read, a lower half to fill in.
 *
 * The lower half is blank when the op arrives (`error.code` is IDEM_OK, all else zero). A backend
 * sets `applied` if it made the change, fills `found` (with idem_record_copy() or
 * idem_record_decode()) and sets `has_found` if it did not make it because of what is there, and
 * leaves both alone if the key is absent. What went wrong goes in with idem_op_fail().
 */
typedef struct {
    /* for the backend to read */
    idem_op_kind kind;
    bool any_version;          /**< remove: delete whatever is there */
    uint8_t context;           /**< 0 in the first op of a call. What the backend leaves here comes
                                    back with the later ops of that call, its repeats included;
                                    see IDEM_CONTEXT_REVOCABLE */
    idem_bytes key;            /**< the same as record->key where there is a record */
    const idem_record *record; /**< insert, replace: what to store */
    uint64_t live_ms;          /**< insert, replace: how long from now until it counts as absent */
    uint64_t expected;         /**< replace, remove: the version that has to be there */
    uint64_t deadline_ms;      /**< with `send`: when the store gives it up. A backend may have its
                                    server wait no longer than that; 0: not set */
    void *owner;               /**< the store's; of no concern to a backend */

    /* for the backend to fill in */
    bool applied;
    bool has_found;
    bool permanent;    /**< repeating can't help against this error */
    idem_record found; /**< with its age_ms; the store clears it */
    idem_error error;  /**< use idem_op_fail() */
} idem_op;

/** A bit of idem_op.context: what the op writes is part of a transaction of the caller's, which may
 *  roll it back. A claim that is made so is never put back (IDEM_REINSTATE): where its record is
 *  gone, so are the rows that were to stand or fall with it. */
#define IDEM_CONTEXT_REVOCABLE 0x80u

/** Makes an op fail: sets its error unless it has one already. `permanent`: the store shall not
 *  repeat it (read-only, wrong password, …). */
IDEM_API void idem_op_fail(idem_op *op, bool permanent, int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/** Sets an error unless it holds one already (the first message wins). `error` may be NULL, else it
 *  has to be cleared (its code 0) before it is first used; that goes for all functions of this
 *  header.
 *  @return `code`, so that `return idem_error_set(…)` reads well. */
IDEM_API int idem_error_set(idem_error *error, int code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/** The same with the arguments of a function that takes some itself. */
IDEM_API int idem_error_set_v(idem_error *error, int code, const char *format, va_list args);

/** Room for what idem_quote() writes. */
#define IDEM_QUOTE_SIZE 100

/** Writes bytes from strangers so that they can stand in a message: in double quotes, control and
 *  non-ASCII bytes as `\xNN`, cut with `…` when long. @return `buf`. */
IDEM_API const char *idem_quote(idem_bytes bytes, char buf[IDEM_QUOTE_SIZE]);

/* --------------------------------------------------------------------------------- records */

/** How long a record lives from its last write: its ttl_ms, and while it is in progress its
 *  lease_ms before that, so that a crash leaves a trace for as long as a response would. At most
 *  IDEM_DURATION_MAX_MS. */
IDEM_API uint64_t idem_record_live_ms(const idem_record *record);

/** Makes `copy` (blank before) a copy of `record` that owns its bytes.
 *  @return IDEM_ERR_NO_MEMORY */
IDEM_API IDEM_MUST_CHECK int idem_record_copy(const idem_record *record, idem_record *copy,
                                              idem_error *error);

/** A growing run of bytes. All zero is an empty one; end it with idem_buffer_clear(). */
typedef struct {
    char *data;
    size_t len;
    size_t capacity;
} idem_buffer;

/** Appends bytes. @return IDEM_ERR_NO_MEMORY */
IDEM_API IDEM_MUST_CHECK int idem_buffer_append(idem_buffer *buffer, const void *data, size_t len,
                                                idem_error *error);
IDEM_API void idem_buffer_clear(idem_buffer *buffer);

/**
 * Appends a record's JSON form to a buffer: everything but its key, age and memory.
 *
 * The text begins with `{"version":"` and 16 hexadecimal digits, so that a script can compare the
 * version without parsing; response and checkpoint are embedded byte for byte. A response of
 * IDEM_ENCODING_BYTES becomes a string of base64, with `"encoding":"base64"` behind it.
 * @return IDEM_ERR_NO_MEMORY
 */
IDEM_API IDEM_MUST_CHECK int idem_record_encode(const idem_record *record, idem_buffer *buffer,
                                                idem_error *error);

/**
 * Reads a record's JSON form into `record` (blank before), which then owns its bytes.
 *
 * Unknown members are ignored. A text without `token` is a record of an older format that is
 * never taken over: its token stays zero, and so do its lease_ms and ttl_ms, which the backend may
 * fill in with what it knows of the key's remaining life.
 *
 * @param key  goes into the record, and into the message if the text can't be understood.
 * @return IDEM_ERR_CORRUPT; IDEM_ERR_NO_MEMORY
 */
IDEM_API IDEM_MUST_CHECK int idem_record_decode(idem_bytes key, const char *text, size_t len,
                                                idem_record *record, idem_error *error);

/* -------------------------------------------------------------------------- configuration */

/** What a URL parameter's value looks like. */
typedef enum {
    IDEM_PARAM_DURATION = 1, /**< `500ms`, `30s`, `5m`, `24h`; value.number in milliseconds */
    IDEM_PARAM_SIZE,         /**< `64KiB`, `8MiB`; value.number in bytes */
    IDEM_PARAM_COUNT,        /**< a whole number from 1 up */
    IDEM_PARAM_TEXT,         /**< any text; value.text, NUL-terminated */
    IDEM_PARAM_CHOICE        /**< one of `choices`; value.number is its index */
} idem_param_type;

/** One row of a backend's table of URL parameters. It drives the parser, the error messages,
 *  `idem backends` and the documents. */
typedef struct {
    const char *name;
    idem_param_type type;
    uint32_t reserved;
    const char *fallback; /**< the default, written as in a URL; NULL: not set */
    const char *help;     /**< one line */
    const char *choices;  /**< IDEM_PARAM_CHOICE: `full|normal` */
} idem_param;

/** A parameter's value. */
typedef struct {
    const char *text; /**< as written, percent-decoded; the default's text; NULL if not set */
    uint64_t number;
} idem_value;

/** What an instance is opened for. */
typedef enum {
    IDEM_ROLE_ANY = 1, /**< every op */
    IDEM_ROLE_READER   /**< get and scan only; other instances write */
} idem_role;

/** What a backend is opened with. It lives until `close` has returned. */
typedef struct {
    size_t size;
    const char *scheme;
    /* The URL's parts, percent-decoded and NUL-terminated; NULL where the URL has none. A part
       with a NUL inside is refused before the backend sees it. */
    const char *user;
    const char *password; /**< a secret: never in a message */
    const char *host;     /**< `memory://NAME`: NAME */
    const char *path;     /**< with its leading slash behind an authority; `sqlite:a/b`: a/b */
    uint32_t port;        /**< 0: none */
    idem_role role;
    const idem_value *values; /**< one for each row of the backend's params, in their order */
    const char *display;      /**< the URL without secrets, for messages */
    idem_clock clock;         /**< with IDEM_TRAIT_CLOCK: use it if now_ms is not NULL */
    void *context;            /**< what idem_open_backend() was given; else NULL */
    uint64_t deadline_ms;     /**< open returns by then (idem_monotonic_ms()) */
    uint64_t flags;           /**< IDEM_OPEN_EXISTING */
    void *prepared;           /**< what `prepare` left for all instances of the store; else NULL */
    idem_bytes prefix;        /**< of the store; it is in the ops' keys already */
    int (*credentials)(void *user, idem_credentials *credentials); /**< with
                                  IDEM_BACKEND_CREDENTIALS: of idem_options; NULL: none */
    void *credentials_user;
} idem_config;

/* --------------------------------------------------------------------------------- backends */

typedef struct idem_backend_ops idem_backend_ops;

/** May be added to the code that `open`, `submit`, `scan`, `purge` and `check` return, as in
 *  `return idem_error_set(error, IDEM_ERR_UNAVAILABLE, …) | IDEM_PERMANENT`: repeating does not
 *  help (wrong password, no such file, no right). Without it IDEM_ERR_UNAVAILABLE and
 *  IDEM_ERR_UNCERTAIN are repeated until the caller's deadline; no other code is, with or without
 *  it. `error` has the code alone. */
#define IDEM_PERMANENT 0x10000

/** What every instance begins with; `open` sets it. */
typedef struct idem_backend {
    const idem_backend_ops *ops;
} idem_backend;

/** The moments of a fork(), as told to `at_fork`. */
typedef enum {
    IDEM_FORK_PREPARE = 1, /**< in the parent, before: lock, or close what must not be shared */
    IDEM_FORK_PARENT,      /**< in the parent, after: undo it */
    IDEM_FORK_CHILD        /**< in the child, whose only thread is the one that forked */
} idem_fork_phase;

/** What an instance waits for. */
typedef struct {
    int fd;       /**< -1: it has no connection. It stays the same from `connect` to the `receive`
                       that tells of its end */
    bool read;    /**< `receive` is to be called when it is readable */
    bool write;   /**< when it is writable: something was left unsent */
    bool at_once; /**< something has come already that no poll would tell */
    size_t in_flight;  /**< ops that were taken and not given back, abandoned ones included */
    uint64_t progress; /**< grows with each byte that comes, and with each that is sent after it had
                            to wait for the other side to make room */
} idem_wants;

/** One page of a scan: an upper half to read, a lower half to fill in. */
typedef struct {
    /* for the backend to read */
    idem_bytes prefix; /**< give only keys that begin with it; may be empty */
    uint64_t limit;    /**< about so many records are enough for a page */
    uint64_t cursor;   /**< 0 at first, then what the last page left in `next` */
    int (*emit)(void *emit_user, const idem_record *record, idem_error *error); /**< call it
                             for each record, with its key and age_ms (for what can't be read as
                             a record: its key and IDEM_STATUS_CORRUPT, all else zero); stop if it
                             fails and return what it returned */
    void *emit_user;

    /* for the backend to fill in */
    uint64_t next; /**< where to go on; 0: this was the last page */
} idem_scan_page;

/** One portion of a purge: an upper half to read, a lower half to fill in. */
typedef struct {
    /* for the backend to read */
    uint64_t limit;  /**< remove at most so many; UINT64_MAX: all */
    uint64_t cursor; /**< 0 at first, then what the last portion left in `next` */

    /* for the backend to fill in */
    uint64_t removed; /**< by this portion */
    uint64_t next;    /**< where to go on; 0: the whole store was looked at */
} idem_purge_portion;

/**
 * A backend's operations. Fill it with designated initialisers; members are only ever appended.
 *
 * Times called `deadline_ms` are points in idem_monotonic_ms().
 */
struct idem_backend_ops {
    size_t size;         /**< sizeof(idem_backend_ops) */
    const char *scheme;  /**< what URLs begin with: lower-case letters, digits, `+`, `-`, `.` */
    const char *summary; /**< one line, for `idem backends` */
    const char *example; /**< a URL, likewise */
    uint64_t traits;     /**< CONCURRENT, DURABLE, SHARED, CLOCK and the IDEM_BACKEND_ bits */
    const idem_param *params; /**< may be NULL */
    size_t params_count;
    uint64_t instances; /**< how many instances a store may open for all ops; 0 means 1 */
    uint64_t readers;   /**< how many more it may open for gets and scans alone */

    /**
     * Opens an instance. Must be provided.
     * @param[out] backend  the instance, which begins with an ::idem_backend
     * @return as idem_open(); IDEM_ERR_UNAVAILABLE if there is nothing to connect to, which is
     *         repeated until `deadline_ms` unless IDEM_PERMANENT is added; IDEM_ERR_UNSUPPORTED for
     *         an IDEM_ROLE_READER where this store can have none, and the store then reads where
     *         it writes
     */
    int (*open)(const idem_config *config, idem_backend **backend, idem_error *error);

    /**
     * Carries out a batch. Must be provided.
     *
     * @return IDEM_OK if every op has its answer (which may be an error of its own); else the code
     *         with `error` set, which the store takes for the answer of every op that has none:
     *         IDEM_ERR_UNAVAILABLE only if none of these was carried out.
     */
    int (*submit)(idem_backend *backend, idem_op *const *ops, size_t count, uint64_t deadline_ms,
                  idem_error *error);

    /** Closes an instance and frees it. Must be provided. */
    void (*close)(idem_backend *backend);

    /**
     * Gives one page of records. May be provided; without it idem_scan() is unsupported.
     * Expired records are not given. What a get would call IDEM_ERR_CORRUPT is given as
     * IDEM_STATUS_CORRUPT.
     */
    int (*scan)(idem_backend *backend, idem_scan_page *page, uint64_t deadline_ms,
                idem_error *error);

    /**
     * Drops expired records, one portion of them. It returns after some 20 ms whatever is left,
     * since others wait for the instance and for its locks meanwhile; the store calls it again
     * until `next` is 0. May be provided; without it idem_purge() is unsupported, as for stores
     * that drop them by themselves.
     */
    int (*purge)(idem_backend *backend, idem_purge_portion *portion, uint64_t deadline_ms,
                 idem_error *error);

    /** Reports settings that could lose records or run work twice. May be provided; without it
     *  there is nothing to report. */
    int (*check)(idem_backend *backend, idem_finding_fn emit, void *emit_user, uint64_t deadline_ms,
                 idem_error *error);

    /**
     * Takes the instance across a fork(). May be provided; without it the instance goes on in
     * parent and child as it is, which is right for one that keeps no descriptor and no lock.
     */
    void (*at_fork)(idem_backend *backend, idem_fork_phase phase);

    /**
     * Looks at the configuration, once for a store and before its first `open`, without touching a
     * server or a file: with `open=lazy` in the URL the first `open` comes with the first call, and
     * what is wrong with the URL is to be known before. What holds for all instances, such as a
     * path made absolute, can be left in `prepared`. May be provided.
     * @param[in] config     its role, deadline_ms and prepared mean nothing yet
     * @param[out] prepared  goes into the configuration of each instance
     * @return IDEM_ERR_ARGUMENT, IDEM_ERR_UNSUPPORTED, IDEM_ERR_NO_MEMORY
     */
    int (*prepare)(const idem_config *config, void **prepared, idem_error *error);

    /** Ends what `prepare` left, if that is not NULL, behind the last `close`. May be provided. */
    void (*dispose)(void *prepared);

    /*
     * Sending and receiving apart, for a backend that speaks to a server: all six slots, or none.
     * With them the store sends what comes while answers are still out, and an event loop drives
     * the instance without a thread. `submit` has to be there all the same. An instance is entered
     * by one thread at a time here too, `wants` included; none of these but `connect` blocks.
     *
     * An op that was taken by `send` is in flight until `receive` has given it back. Until then its
     * memory stays, unless it is abandoned.
     */

    /**
     * Makes sure that there is a connection, as far as that can be known without waiting for an
     * answer where there is one already. Blocks until `deadline_ms`. Nothing is in flight but what
     * was abandoned, which need not keep it from being used again.
     * @param deadline_ms  0: only looks whether there is one, and makes none
     * @return as `open`
     */
    int (*connect)(idem_backend *backend, uint64_t deadline_ms, idem_error *error);

    /**
     * Takes ops, from the first one on, and sends what the system takes at once; the rest is sent
     * by the next `receive`. An op that can't be sent is taken, and given back with its error.
     * A failure of the connection is told by the next `receive`.
     * @param count  0: only sends what was left
     * @return how many were taken; at least one if nothing is in flight
     */
    size_t (*send)(idem_backend *backend, idem_op *const *ops, size_t count);

    /**
     * Takes in what has come, and sends what was left. Gives back each op that has its answer.
     * @param[out] done   the ops; fewer than `room` means that there are no more for now
     * @param[out] count  how many
     * @return IDEM_OK; else the connection is gone: every op that is in flight is given back, by
     *         further calls if there is no room, with IDEM_ERR_UNAVAILABLE if nothing of it was
     *         sent and IDEM_ERR_UNCERTAIN if it may have changed something. It is told again until
     *         `connect` comes.
     */
    int (*receive)(idem_backend *backend, idem_op **done, size_t room, size_t *count,
                   idem_error *error);

    /** Forgets an op that is in flight: its memory is about to go. Its answer is dropped when it
     *  comes. */
    void (*abandon)(idem_backend *backend, idem_op *op);

    /** Gives the connection up, because its answers do not come. A thread that polls its descriptor
     *  is woken: it is shut down here and closed by the next `receive` or `connect`; that `receive`
     *  gives back all that is in flight. */
    void (*drop)(idem_backend *backend);

    /** Says what to wait for before the next `receive`. */
    void (*wants)(const idem_backend *backend, idem_wants *wants);
};

/** A get costs much less than an insert that finds something: begin looks before it inserts, unless
 *  the last keys that it began were all new. */
#define IDEM_BACKEND_READ_FIRST (UINT64_C(1) << 32)
/** Ops may be submitted by the calling thread only: no keepalive. */
#define IDEM_BACKEND_NO_BACKGROUND (UINT64_C(1) << 33)
/** With IDEM_TRAIT_CONCURRENT: ops are answered from this process's memory, without a system call
 *  or a wait, and deadlines are ignored. begin looks for a response before it prepares to claim.
 *  What is found is what this process has stored: its response and its checkpoint are not checked
 *  to be JSON once more. */
#define IDEM_BACKEND_IN_PROCESS (UINT64_C(1) << 34)

/** A URL's host may be a list, `h1:p1,h2:p2`: it is then the configuration's `host` as a whole, and
 *  its `port` is 0. Without it such a URL is refused. */
#define IDEM_BACKEND_HOST_LIST (UINT64_C(1) << 35)

/** Takes the callback `credentials` of idem_options. Without it such options are refused. */
#define IDEM_BACKEND_CREDENTIALS (UINT64_C(1) << 36)

/** Reads a duration such as `500ms`, `30s`, `5m`, `24h`, from 1 ms to IDEM_DURATION_MAX_MS.
 *  @return IDEM_ERR_ARGUMENT, with a message that says what is accepted */
IDEM_API IDEM_MUST_CHECK int idem_duration_parse(const char *text, uint64_t *ms, idem_error *error);

/** Reads a size such as `64KiB`, `8MiB`, `512B` or a plain number of bytes, from 1 byte up.
 *  @return IDEM_ERR_ARGUMENT, with a message that says what is accepted */
IDEM_API IDEM_MUST_CHECK int idem_size_parse(const char *text, uint64_t *bytes, idem_error *error);

/**
 * Makes a backend known to idem_open() under its scheme, for the rest of the process.
 *
 * The table is copied; what it points to has to stay. One that is smaller than this header's
 * (an older backend) is filled up with zeros.
 * @return IDEM_ERR_ARGUMENT: a slot that must be provided is missing, or the scheme is malformed
 *         or taken.
 * @par Threads  any number at once.
 */
IDEM_API int idem_backend_register(const idem_backend_ops *ops, idem_error *error);

/** The backend at an index of the sorted list of all, from 0; NULL behind the last. The table
 *  stays for the rest of the process. */
IDEM_API const idem_backend_ops *idem_backend_at(size_t index);

/** The parameters that every store takes. @param[out] count  how many. Static. */
IDEM_API const idem_param *idem_common_params(size_t *count);

/**
 * Opens a store on a backend that need not be registered, such as one on a connection of the
 * caller's own.
 *
 * @param options  parameters as in a URL's query (`lease=30s&prefix=x`); may be NULL.
 * @param context  handed to `open` in the configuration.
 */
IDEM_API IDEM_MUST_CHECK int idem_open_backend(const idem_backend_ops *ops, void *context,
                                               const char *options, idem_store **store,
                                               idem_error *error);

/** Hands a finding on, from within `check`: what it is, and how to fix it. */
IDEM_API void idem_finding_emit(idem_finding_fn emit, void *emit_user, const char *fix,
                                const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;

/* ---------------------------------------------------------------------------------- helpers */

/** Milliseconds of the system's monotonic clock: deadlines are points in it. */
IDEM_API uint64_t idem_monotonic_ms(void);
/** The same by the coarse clock where there is one: never ahead of idem_monotonic_ms(), and behind
 *  it by about a tick of the timer. For what a moment does not decide. */
IDEM_API uint64_t idem_monotonic_coarse_ms(void);
/** Milliseconds of Unix time, by the coarse clock where there is one: a tick of the timer late at
 *  most. For people to read; it decides nothing: a lease that is judged by it runs out when
 *  somebody sets the clock forward, and the work is done twice. */
IDEM_API int64_t idem_wall_ms(void);

/**
 * What stands in for the system's clocks in this process: for test kits alone (idem/testkit.h has
 * one). While it is installed, idem_monotonic_ms(), idem_monotonic_coarse_ms() and idem_wall_ms()
 * read it, and the library's deadlines, pauses and timed waits are judged by it. Backends that wait
 * for a server or a lock do that in real time.
 */
typedef struct idem_time_source {
    size_t size; /**< sizeof(idem_time_source) */
    uint64_t (*monotonic_ms)(void);
    int64_t (*wall_ms)(void);
    /** The calling thread waits until a point of the source's clock (UINT64_MAX: until it is
     *  woken). Called when the wait begins and again several times in a millisecond of real time.
     *  It must not block; it may move the clock. */
    void (*waits)(uint64_t until_ms);
    /** The calling thread goes on.
     *  @param woken  somebody woke it; else it looks whether its time has come */
    void (*goes_on)(bool woken);
    /** The calling thread is about to start a thread of the library's own. */
    void (*thread_starts)(void);
} idem_time_source;

/** Installs a time source, or takes it away (NULL). It has to stay for the rest of the process.
 *  Install it before the first store is opened, and take it away behind the last close: a wait that
 *  has begun by one clock ends by it. */
IDEM_API void idem_time_source_set(const idem_time_source *source);

/**
 * Moves a descriptor that the backend has just made to 3 or above. Every one goes through it before
 * it is used: where the program has closed its own 0, 1 or 2, the system gives these numbers out
 * again, and what the program prints would go into the backend's socket or file. Make the
 * descriptor close-on-exec; what it is moved to is so too. Safe to be called with what the system
 * gave: -1 is given back as it is, errno too.
 * @return the descriptor; -1 with errno: none was left, and `fd` is closed
 */
IDEM_API IDEM_MUST_CHECK int idem_descriptor_raise(int fd);

/** Fills a buffer from the system's random source, never from bits that were drawn ahead.
 *  @return IDEM_ERR_UNAVAILABLE: it was not ready within 5 s, as early after boot;
 *  IDEM_ERR_INTERNAL */
IDEM_API IDEM_MUST_CHECK int idem_random(void *buf, size_t len, idem_error *error);

/** The same, by a deadline. */
IDEM_API IDEM_MUST_CHECK int idem_random_until(void *buf, size_t len, uint64_t deadline_ms,
                                               idem_error *error);

#ifdef __cplusplus
}
#endif

#endif
