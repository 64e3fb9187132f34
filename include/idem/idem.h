/* SPDX-License-Identifier: MIT */
/**
 * @file idem/idem.h
 * @brief Make an operation happen once, however often it is asked for.
 *
 * A caller attaches a *key* to an operation and asks a store to *begin*. It does the work only
 * when told that the key is new, and stores the response with *complete*; every later begin of
 * that key is given the stored response, byte for byte. Stores are chosen at run time by URL.
 *
 * @code
 * idem_outcome out;
 * int rc = idem_begin(store, IDEM_REQUEST(.key = idem_str("charge-42")), &out, &error);
 * if (rc == IDEM_OK && out.kind == IDEM_NEW) {
 *     charge();
 *     rc = idem_complete(store, out.claim, idem_str("{\"charged\":true}"), &error);
 * }
 * idem_outcome_clear(&out); // whatever became of it
 * return rc;
 * @endcode
 *
 * @par Rules common to all calls
 * - *Arguments.* Lengths are explicit (::idem_bytes); nothing is read until a NUL. Inputs are
 *   copied if they are needed after the call, so the caller's memory is free again on return.
 * - *Errors.* A call that can fail returns IDEM_OK (0) or one of the IDEM_ERR codes, and takes an
 *   ::idem_error as its last argument, which may be NULL. The error is cleared at the start of
 *   each call, and on failure holds one line that names the thing and says what to do. It never
 *   holds a password, a token, or a response.
 * - *Outputs.* Out-parameters are written on success only, outcomes apart, which are zeroed first.
 *   What an out-parameter receives is the caller's to free or clear; a pointer that is returned is
 *   borrowed.
 * - *Claims belong to their store.* A call on a claim with another ::idem_store than the one that
 *   made it is IDEM_ERR_ARGUMENT and changes nothing, even if both are on the same records:
 *   idem_resume() takes a claim up on another one.
 * - *What happened to the key is no error.* That a key is in progress, or completed, or was used
 *   with other content, is an outcome of idem_begin().
 * - *Threads.* An ::idem_store may be used by any number of threads at once. An ::idem_claim, an
 *   ::idem_outcome and an ::idem_record belong to one thread at a time.
 * - *Blocking.* A call that goes to the store returns by its deadline: the store's `timeout` (5 s
 *   unless the URL says otherwise), plus the wait that idem_begin() was asked for.
 * - *Repeating.* Every call may be repeated when its reply was lost; the library does so itself
 *   until the deadline. A store that can't be reached is an error, never IDEM_NEW.
 * - *Cancellation.* No call is a cancellation point: a thread that is cancelled in one ends behind
 * it.
 * - *The process is left alone.* No signal handlers, no output, no exit, no SIGPIPE. A store that
 *   was opened before fork() works on in the parent and in the child. (Not so where a signal
 *   handler forks in the midst of a call of its own thread: that child may exec or end, and every
 *   call on a store is IDEM_ERR_UNAVAILABLE there; the parent goes on as before.)
 */
#ifndef IDEM_IDEM_H
#define IDEM_IDEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IDEM_VERSION_MAJOR 0
#define IDEM_VERSION_MINOR 2
#define IDEM_VERSION_PATCH 0
/** The version of this header: as one number that can be compared, 0.2.0 is 200; and as text. */
#define IDEM_VERSION_NUMBER \
    (IDEM_VERSION_MAJOR * 10000 + IDEM_VERSION_MINOR * 100 + IDEM_VERSION_PATCH)
#define IDEM_VERSION_TEXT          \
    IDEM__TEXT(IDEM_VERSION_MAJOR) \
    "." IDEM__TEXT(IDEM_VERSION_MINOR) "." IDEM__TEXT(IDEM_VERSION_PATCH)
#define IDEM__TEXT(number)  IDEM__TEXT_(number)
#define IDEM__TEXT_(number) #number

/* Marked "must check" is what leaves an output unset when it fails. */
#if defined(__GNUC__)
#define IDEM_API        __attribute__((visibility("default")))
#define IDEM_MUST_CHECK __attribute__((warn_unused_result))
#else
#define IDEM_API
#define IDEM_MUST_CHECK
#endif

/* What is defined here is exported by the library too, for bindings. */
#ifndef IDEM__INLINE
#define IDEM__INLINE static inline
#endif

/** The longest key, in bytes. */
#define IDEM_KEY_MAX 1024u
/** The longest fingerprint, in bytes. */
#define IDEM_FINGERPRINT_MAX 64u
/** The size of a token, in bytes. */
#define IDEM_TOKEN_SIZE 16u

/** A store: a handle on one place where records are kept. Any number of threads may use it. */
typedef struct idem_store idem_store;

/** A claim: the right to do the work of one key. One thread at a time. */
typedef struct idem_claim idem_claim;

/** A run of bytes that somebody else owns. `{NULL, 0}` means "none". */
typedef struct {
    const void *data;
    size_t len;
} idem_bytes;

/** The bytes of a NUL-terminated string, without the NUL. NULL gives `{NULL, 0}`. */
IDEM__INLINE idem_bytes idem_str(const char *text)
{
    idem_bytes bytes = {text, text ? strlen(text) : 0};
    return bytes;
}

/** Bytes by address and length. */
IDEM__INLINE idem_bytes idem_bytes_of(const void *data, size_t len)
{
    idem_bytes bytes = {data, len};
    return bytes;
}

/* ------------------------------------------------------------------------------------ errors */

/** Every error code: name, number, meaning. Numbers are never reused. */
#define IDEM_ERROR_MAP(X)                                                     \
    X(ARGUMENT, 1, "an argument, an option or the input is not valid")        \
    X(UNKNOWN_BACKEND, 2, "the scheme of the URL is unknown")                 \
    X(UNAVAILABLE, 3, "the store can't be used now; nothing was changed")     \
    X(UNCERTAIN, 4, "the reply was lost; the change may have been made")      \
    X(LOST, 5, "the claim is held by another caller, or has ended")           \
    X(NOT_FOUND, 6, "there is no record of this key")                         \
    X(CORRUPT, 7, "what is stored can't be understood; it was left as it is") \
    X(FULL, 8, "the store is full")                                           \
    X(TOO_LARGE, 9, "the value is larger than the store's limit")             \
    X(UNSUPPORTED, 10, "this store can't do this")                            \
    X(NO_MEMORY, 11, "out of memory")                                         \
    X(INTERNAL, 12, "internal error")

/** What a call returns: IDEM_OK, or IDEM_ERR_ARGUMENT and so on. */
typedef enum {
    IDEM_OK = 0,
#define IDEM__ERROR_CODE(name, number, text) IDEM_ERR_##name = number,
    IDEM_ERROR_MAP(IDEM__ERROR_CODE)
#undef IDEM__ERROR_CODE
} idem_error_code;

/** Why a call failed. The caller's own; needs no initialisation and no clearing. */
typedef struct {
    int code;          /**< the code that the call returned; IDEM_OK after a success */
    char message[256]; /**< one line, NUL-terminated; empty after a success */
} idem_error;

/**
 * The meaning of an error code, as one line. Static text; an unknown code gives "unknown error".
 */
IDEM_API const char *idem_strerror(int code);

/** The library's version, such as "0.2.0". Static text. */
IDEM_API const char *idem_version(void);

/* ------------------------------------------------------------------------------------ stores */

/** A source of time: milliseconds from any origin, never falling. May be called by any thread. */
typedef struct {
    uint64_t (*now_ms)(void *user); /**< NULL: the backend's own clock */
    void *user;
} idem_clock;

/** What an ::idem_event tells. */
typedef enum {
    IDEM_EVENT_RETRY = 1,        /**< an operation failed and is about to be repeated */
    IDEM_EVENT_RENEW_FAILED = 2, /**< a keepalive renewal failed and will be tried again */
    IDEM_EVENT_CLAIM_LOST = 3,   /**< a keepalive found that its claim is lost. The owner's own
                                      complete or release, in doubt or under way, is no loss */
    IDEM_EVENT_REINSTATED = 4,   /**< the store had lost the record of a claim that was begun with
                                      IDEM_REINSTATE, and a call or the keepalive put it back */
    IDEM_EVENT_CALL = 5          /**< a call has ended; told where IDEM_OBSERVE_CALLS was asked */
} idem_event_kind;

/** What idem_begin() found out about the key. */
typedef enum {
    IDEM_NEW = 1,     /**< do the work, then complete or release the claim */
    IDEM_IN_PROGRESS, /**< another caller is at it; its lease is live */
    IDEM_COMPLETED,   /**< done; here is the response */
    IDEM_MISMATCH,    /**< the key was used with another fingerprint */
    IDEM_IN_DOUBT     /**< a claim's lease ran out, and IDEM_NO_TAKEOVER was asked for */
} idem_outcome_kind;

/** Every kind of call that goes to the store: name, number, word. A call on many keys counts as one
 *  for each; all ways to forget are one kind; idem_keepalive() is a renew. */
#define IDEM_CALL_MAP(X)           \
    X(BEGIN, 1, "begin")           \
    X(COMPLETE, 2, "complete")     \
    X(RENEW, 3, "renew")           \
    X(CHECKPOINT, 4, "checkpoint") \
    X(RELEASE, 5, "release")       \
    X(RESUME, 6, "resume")         \
    X(GET, 7, "get")               \
    X(FORGET, 8, "forget")         \
    X(SETTLE, 9, "settle")         \
    X(SCAN, 10, "scan")            \
    X(PURGE, 11, "purge")          \
    X(CHECK, 12, "check")

/** Kinds of calls: IDEM_CALL_BEGIN and so on. */
typedef enum {
#define IDEM__CALL_KIND(name, number, word) IDEM_CALL_##name = number,
    IDEM_CALL_MAP(IDEM__CALL_KIND)
#undef IDEM__CALL_KIND
} idem_call_kind;

/** Something that no call returned, or a call that has ended. Valid during the call of the hook
 *  only. The members behind `message` are set with IDEM_EVENT_CALL, and with no other kind. */
typedef struct {
    idem_event_kind kind;
    int code;            /**< the IDEM_ERR code behind it */
    idem_bytes key;      /**< the key as the caller named it; empty for scan, purge and check */
    const char *message; /**< one line; empty after a call that succeeded */
    idem_call_kind call; /**< what was called */
    idem_outcome_kind outcome; /**< of a begin; zero if it failed */
    uint32_t attempt;          /**< of the claim or the record; 0: not known */
    uint32_t reserved_word;
    uint64_t duration_us; /**< from the call's beginning, waits included; 0 if nothing was sent */
} idem_event;

/** Opens for operators: nothing is created, no setting of what is there is changed, and the right
 *  to read is enough for what only reads. A store that does not exist is IDEM_ERR_UNAVAILABLE. A
 *  call that has to write, where that is not allowed, is an error of its own. */
#define IDEM_OPEN_EXISTING UINT64_C(1)
/** Has `on_event` told of each call that ends (IDEM_EVENT_CALL): what was called, outcome, attempt,
 *  duration and code, and never a token or a response. It is told before the call returns, or
 *  before the callback of a submitted one, so what the hook takes is added to the call. */
#define IDEM_OBSERVE_CALLS UINT64_C(2)

/** The longest user and password that idem_options.credentials can give. */
#define IDEM_CREDENTIALS_USER_MAX     255u
#define IDEM_CREDENTIALS_PASSWORD_MAX 8191u

/** User and password of a store at its server. The library's memory: blank before the callback,
 *  wiped after it. */
typedef struct {
    size_t size;                               /**< sizeof(idem_credentials), set by the library */
    char user[IDEM_CREDENTIALS_USER_MAX + 1u]; /**< NUL-terminated; empty: the URL's */
    char password[IDEM_CREDENTIALS_PASSWORD_MAX + 1u]; /**< NUL-terminated; not empty */
} idem_credentials;

/** What can be given to a store besides its URL. Zero means the default. */
typedef struct {
    size_t size;      /**< sizeof(idem_options) */
    idem_clock clock; /**< judges leases and retention, for tests: a backend whose traits lack
                           IDEM_TRAIT_CLOCK refuses it with IDEM_ERR_UNSUPPORTED */
    void (*on_event)(void *user, const idem_event *event); /**< observes; any thread may call it,
                           and it must not call back into the store */
    void *event_user;
    uint64_t flags; /**< IDEM_OPEN_EXISTING, IDEM_OBSERVE_CALLS */
    /**
     * Gives the user and the password of the next connection, for services whose tokens last an
     * hour. It is called for each connection, and once more if the server refuses what it gave, by
     * whichever thread connects, several at once too. It must return promptly: the call's deadline
     * does not hold in it. It must not call back into the store, nor fork(). NULL: the URL says it.
     * The URL has no password then. A backend that logs on nowhere refuses it with
     * IDEM_ERR_UNSUPPORTED.
     * @return 0; else there are none now, and it is called again until the call's deadline
     */
    int (*credentials)(void *user, idem_credentials *credentials);
    void *credentials_user;
} idem_options;

/**
 * Opens a store.
 *
 * @param url    `memory://`, `sqlite:///path/to.db`, …, with `?name=value&…` behind it. Every
 *               store takes `lease`, `ttl`, `prefix`, `max_response`, `timeout` and `open`.
 *               White space and control characters are percent-encoded (`%20`), or refused. A
 *               prefix is put in front of the key as it is: `app` and the key `2x` are `app2` and
 *               `x`, so end it with a separator (`app:`).
 * @param[out] store  receives the handle; end it with idem_close().
 * @return IDEM_ERR_ARGUMENT: the URL is malformed, or names an option that is not known (the
 *         message lists the known ones); IDEM_ERR_UNKNOWN_BACKEND: the scheme is unknown (the
 *         message lists the known ones); IDEM_ERR_UNAVAILABLE: the store can't be reached or
 *         created; IDEM_ERR_CORRUPT: what is there is no store; IDEM_ERR_UNSUPPORTED: it was
 *         written by a newer version; IDEM_ERR_UNCERTAIN: its tables may have been made: open it
 *         again; IDEM_ERR_NO_MEMORY.
 * A store that can't be reached is tried again until the `timeout`, unless that can't help (a wrong
 * password, a file that may not be read). With `open=lazy` the first call connects instead, and
 * what is wrong with the URL is told here all the same.
 *
 * @par Blocking   up to the store's `timeout`.
 */
IDEM_API IDEM_MUST_CHECK int idem_open(const char *url, idem_store **store, idem_error *error);

/**
 * Opens a store with options that a URL can't carry. See idem_open().
 *
 * @param options  may be NULL.
 */
IDEM_API IDEM_MUST_CHECK int idem_open_with(const char *url, const idem_options *options,
                                            idem_store **store, idem_error *error);

/**
 * Closes a store. Claims that are still held stay in the store until their lease runs out; their
 * ::idem_claim objects stay valid for idem_claim_free() and idem_outcome_clear(), and are of no
 * other use. NULL is fine.
 *
 * @par Blocking  where claims are kept alive, until a renewal that is under way has ended.
 * @par Threads   no other call on this store may be under way, or follow.
 */
IDEM_API void idem_close(idem_store *store);

/** What a store can do, as bits. */
#define IDEM_TRAIT_CONCURRENT UINT64_C(1)  /**< many threads at once inside the backend */
#define IDEM_TRAIT_DURABLE    UINT64_C(2)  /**< what was acknowledged survives the process */
#define IDEM_TRAIT_SHARED     UINT64_C(4)  /**< other processes can use the same records */
#define IDEM_TRAIT_CLOCK      UINT64_C(8)  /**< takes the clock of idem_options */
#define IDEM_TRAIT_KEEPALIVE  UINT64_C(16) /**< takes IDEM_KEEPALIVE */
#define IDEM_TRAIT_SCAN       UINT64_C(32) /**< takes idem_scan() */
#define IDEM_TRAIT_PURGE      UINT64_C(64) /**< takes idem_purge() */

/** The traits of this store: IDEM_TRAIT_ bits. */
IDEM_API uint64_t idem_traits(const idem_store *store);

/** The largest response that this store takes, in bytes. */
IDEM_API uint64_t idem_max_response(const idem_store *store);

/* ----------------------------------------------------------------------------------- begin */

/** The store renews the claim's lease until the claim ends, each time when a quarter to a third of
 *  it is over; one thread per store does it, with all signals blocked. After fork() that thread is
 *  the parent's: in a child idem_renew() starts one for the claim anew. */
#define IDEM_KEEPALIVE UINT64_C(1)
/** A claim whose lease ran out is reported (IDEM_IN_DOUBT), not taken over. */
#define IDEM_NO_TAKEOVER UINT64_C(2)
/** Should the store lose the record (a restart without persistence, a failover to a replica that
 *  lies behind), complete, renew, checkpoint and the keepalive put it back, where nobody else holds
 *  the key: an insert with the same token, attempt, checkpoint and created_at.
 *  IDEM_EVENT_REINSTATED tells. A record that an operator has forgotten, or that the owner has
 *  released in another process, is absent too and is put back likewise. It ends with the claim:
 *  what was completed or released, or found lost, is not put back. Both sides of a fork() have it;
 *  what idem_resume() gives has it not, nor has a claim that was begun within the caller's own
 *  transaction (idem_sqlite_open_on()): when that is rolled back, the record is to be gone. Where a
 *  network delivers such an insert late, after its owner has released the key, the claim is back,
 *  and is nobody's until its lease ends. */
#define IDEM_REINSTATE UINT64_C(4)

/** What idem_begin() is asked. Zero means the store's default. Make one with IDEM_REQUEST(). */
typedef struct {
    size_t size;            /**< sizeof(idem_request) */
    idem_bytes key;         /**< names the operation; 1 to IDEM_KEY_MAX bytes, any bytes */
    idem_bytes fingerprint; /**< stands for the request's content; up to IDEM_FINGERPRINT_MAX */
    uint64_t lease_ms;      /**< how long the claim is good for without renewal */
    uint64_t ttl_ms;        /**< how long the record lives after its last change */
    uint64_t timeout_ms;    /**< how long the call may take, `wait_ms` apart */
    uint64_t wait_ms;       /**< wait this long for a key that is in progress */
    const uint8_t *token;   /**< IDEM_TOKEN_SIZE bytes, not all zero: begin again as the same
                                 caller; NULL: a fresh token */
    uint64_t flags;         /**< IDEM_KEEPALIVE, IDEM_NO_TAKEOVER, IDEM_REINSTATE */
} idem_request;

/** Zeroes a request and sets its size. NULL is fine. */
IDEM__INLINE void idem_request_init(idem_request *request)
{
    if (!request)
        return;
    memset(request, 0, sizeof *request);
    request->size = sizeof *request;
}

/* IDEM_REQUEST(.key = …, .lease_ms = …) is what a call takes for a request with these fields set:
   in C a pointer that is valid to the end of the enclosing block, in C++ a value. It is at the end
   of this file. */

/** What the bytes of a response are. */
typedef enum {
    IDEM_ENCODING_JSON = 0, /**< a JSON text: stored by idem_complete() or idem_settle() */
    IDEM_ENCODING_BYTES = 1 /**< any bytes, none included: stored by idem_complete_bytes() */
} idem_encoding;

/** The answer of idem_begin(). Clear it with idem_outcome_clear(). */
typedef struct {
    idem_outcome_kind kind;
    uint32_t attempt;        /**< New: 1, or more after a crash; InDoubt: the one that stopped */
    idem_claim *claim;       /**< New: owned by the outcome. To keep it beyond
                                  idem_outcome_clear(), set this to NULL and call
                                  idem_claim_free() later */
    idem_bytes response;     /**< Completed; valid until idem_outcome_clear() */
    idem_bytes checkpoint;   /**< New after a takeover, InDoubt; valid as above; may be empty */
    uint64_t retry_after_ms; /**< InProgress: what is left of the lease */
    int64_t created_at_ms;   /**< when the key was first claimed, Unix time */
    void *memory;            /**< the library's */
    idem_encoding encoding;  /**< Completed: what the response is */
    uint32_t reserved_word;
    uint64_t reserved[2];
} idem_outcome;

/**
 * Asks whether the operation that `request->key` names is new, and claims it if so.
 *
 * | record of the key | outcome |
 * |---|---|
 * | none | IDEM_NEW, attempt 1 |
 * | in progress, my own token, lease live | IDEM_NEW, the same attempt: an earlier reply of mine
 *   was lost |
 * | in progress, my own token, lease expired | IDEM_NEW, the same attempt and checkpoint; the lease
 *   starts anew |
 * | in progress, lease live | IDEM_IN_PROGRESS with retry_after_ms |
 * | in progress, lease expired | IDEM_NEW, attempt + 1, with the last checkpoint; the work may
 *   have been done in part |
 * | the same, IDEM_NO_TAKEOVER | IDEM_IN_DOUBT with attempt and checkpoint |
 * | completed | IDEM_COMPLETED with the response |
 * | any, both fingerprints present and different | IDEM_MISMATCH |
 *
 * @param[out] outcome  zeroed before anything else, so that idem_outcome_clear() is right whatever
 *                      the call returned. What an outcome held before is to be cleared first.
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE: nothing was claimed; IDEM_ERR_UNCERTAIN: a
 *         claim may have been made: begin again with the same token, or wait for the lease to run
 *         out; IDEM_ERR_CORRUPT; IDEM_ERR_FULL; IDEM_ERR_UNSUPPORTED: IDEM_KEEPALIVE on a store
 *         that can't; IDEM_ERR_NO_MEMORY.
 * @par Ownership  the outcome owns its claim and its bytes.
 * @par Threads    any number at once.
 * @par Blocking   up to timeout_ms + wait_ms.
 */
IDEM_API IDEM_MUST_CHECK int idem_begin(idem_store *store, const idem_request *request,
                                        idem_outcome *outcome, idem_error *error);

/**
 * Begins many keys: as many idem_begin(), in one round trip or one transaction where the store can.
 *
 * Each has an answer of its own, by its own deadline; the call returns when all have theirs. So a
 * request that waits for its key holds up the others' answers, whose leases are running: make a
 * lease longer than the waits beside it, or use IDEM_KEEPALIVE. A key that stands in two requests
 * is begun twice, and one of the two finds the claim of the other.
 *
 * @param requests       `count` of them, each made with idem_request_init().
 * @param[out] outcomes  one for each, zeroed where its request has an error: all can be cleared,
 *                       whatever the call returned.
 * @param[out] errors    one for each, its code IDEM_OK where there is an outcome; may be NULL.
 * @return IDEM_OK: every request has its outcome. Else the code of the first that has none, as
 *         idem_begin() would return it, with its number in the message; the others have theirs.
 *         Where the whole call is not valid, or has no memory, each request has that error.
 * @par Blocking   up to the longest timeout_ms + wait_ms, for each 256 requests.
 */
IDEM_API IDEM_MUST_CHECK int idem_begin_many(idem_store *store, const idem_request *requests,
                                             size_t count, idem_outcome *outcomes,
                                             idem_error *errors, idem_error *error);

/** Frees what an outcome holds, its claim object included, and zeroes it. The claim's record
 *  stays as it is, and a keepalive ends: complete or release first. NULL and zeroed are fine. */
IDEM_API void idem_outcome_clear(idem_outcome *outcome);

/* ---------------------------------------------------------------------------------- claims */

/**
 * Stores the response and ends the claim: from now on every begin of the key returns it.
 *
 * A lease that ran out, but that nobody took over, still counts. Repeating is fine: if the key
 * is completed under this claim's token already, the answer is IDEM_OK, and the response that is
 * stored stays.
 *
 * @param response  a JSON text (RFC 8259, any value, nested at most 1,024 deep), kept byte for
 *                  byte; at most idem_max_response() bytes.
 * @return IDEM_ERR_LOST: another caller took the claim over, or completed it; IDEM_ERR_NOT_FOUND:
 *         the record is gone (released, forgotten, or its retention ended); IDEM_ERR_ARGUMENT: not
 *         a JSON text (the message says where), or a claim of another store; IDEM_ERR_TOO_LARGE;
 *         IDEM_ERR_UNAVAILABLE: not stored; IDEM_ERR_UNCERTAIN: may be stored; complete again;
 *         IDEM_ERR_CORRUPT; IDEM_ERR_FULL; IDEM_ERR_NO_MEMORY.
 * @par Ownership  the claim stays the caller's (or the outcome's) to free.
 * @par Threads    one at a time per claim.
 * @par Blocking   up to the store's timeout.
 */
IDEM_API int idem_complete(idem_store *store, idem_claim *claim, idem_bytes response,
                           idem_error *error);

/**
 * The same with a response of any bytes, which need not be JSON: an image, a serialised message,
 * nothing at all. The outcome of a later begin has IDEM_ENCODING_BYTES, even if the bytes happen to
 * be JSON.
 *
 * @param response  any bytes, kept byte for byte; at most idem_max_response(); may be empty.
 * @return as idem_complete()
 */
IDEM_API int idem_complete_bytes(idem_store *store, idem_claim *claim, idem_bytes response,
                                 idem_error *error);

/**
 * Completes many claims: as many idem_complete(), in one round trip or one transaction where the
 * store can. Each has an answer of its own.
 *
 * @param claims       `count` of them. One that stands there twice is completed once, as by a
 *                     repeated idem_complete(): with one of its responses.
 * @param responses    one for each.
 * @param[out] errors  one for each, its code IDEM_OK where the claim is completed; may be NULL.
 * @return IDEM_OK: all are completed. Else the code of the first that is not, as idem_complete()
 *         would return it, with its number in the message; the others are completed or have theirs.
 *         Where the whole call is not valid, or has no memory, each claim has that error.
 * @par Blocking   up to the store's timeout, for each 256 claims.
 */
IDEM_API int idem_complete_many(idem_store *store, idem_claim *const *claims,
                                const idem_bytes *responses, size_t count, idem_error *errors,
                                idem_error *error);

/**
 * Starts the claim's lease anew.
 *
 * @param lease_ms  the new lease; 0 keeps the length that the claim has.
 * @return as idem_complete(); a claim that is completed is IDEM_ERR_LOST.
 */
IDEM_API int idem_renew(idem_store *store, idem_claim *claim, uint64_t lease_ms, idem_error *error);

/**
 * Leaves a JSON text in the unfinished record, for the caller that continues after a crash, and
 * restarts the lease. It replaces the last one; an empty text removes it.
 *
 * @return as idem_complete(); a claim that is completed is IDEM_ERR_LOST.
 */
IDEM_API int idem_checkpoint(idem_store *store, idem_claim *claim, idem_bytes json,
                             idem_error *error);

/**
 * Gives the key back: the next begin is IDEM_NEW, attempt 1. If the claim is not held any more,
 * nothing is changed and the answer is IDEM_OK.
 */
IDEM_API int idem_release(idem_store *store, idem_claim *claim, idem_error *error);

/**
 * Takes up a claim that another process made, by its token.
 *
 * A key that was completed under this token can be resumed too, so that a repeated complete finds
 * out that it was done.
 *
 * It is not kept alive, whatever the claim was begun with: idem_keepalive() does that.
 *
 * @param[out] claim  the caller's; end it with idem_claim_free().
 * @return IDEM_ERR_LOST: the key is held under another token; IDEM_ERR_NOT_FOUND;
 *         IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE; IDEM_ERR_CORRUPT; IDEM_ERR_NO_MEMORY.
 */
IDEM_API IDEM_MUST_CHECK int idem_resume(idem_store *store, idem_bytes key, const uint8_t token[16],
                                         idem_claim **claim, idem_error *error);

/**
 * Has the store keep a claim alive from now on, as IDEM_KEEPALIVE does: for a claim of
 * idem_resume(), or one that was begun without. The lease starts anew, and is renewed until the
 * claim ends.
 *
 * @return as idem_renew(); IDEM_ERR_UNSUPPORTED: the store has no IDEM_TRAIT_KEEPALIVE. Where it
 *         fails, the claim is as before, and not kept alive unless it was.
 */
IDEM_API int idem_keepalive(idem_store *store, idem_claim *claim, idem_error *error);

/** Frees a claim object; the record stays as it is, and a keepalive ends. NULL is fine. */
IDEM_API void idem_claim_free(idem_claim *claim);

/** The claim's token, IDEM_TOKEN_SIZE bytes, borrowed from the claim. Its holder can act as
 *  this caller: treat it as a password. */
IDEM_API const uint8_t *idem_claim_token(const idem_claim *claim);

/** True once a call or the keepalive has found the claim lost, until a complete, renew or
 *  checkpoint returns ok. A claim that its own complete has ended is not lost. Any thread may
 *  ask. */
IDEM_API bool idem_claim_lost(const idem_claim *claim);

/** Sets how long the record lives after the next change made through this claim. 0 changes
 *  nothing. */
IDEM_API void idem_claim_set_ttl(idem_claim *claim, uint64_t ttl_ms);

/* --------------------------------------------------------------------------------- records */

/** The two stored states; a key without a record is absent. IDEM_STATUS_CORRUPT is given by
 *  idem_scan() alone: what is stored at this key can't be read as a record. */
typedef enum {
    IDEM_STATUS_IN_PROGRESS = 1,
    IDEM_STATUS_COMPLETED = 2,
    IDEM_STATUS_CORRUPT = 3
} idem_status;

/** What a store holds for a key. Clear the ones that calls give with idem_record_clear(). */
typedef struct {
    idem_bytes key;
    idem_bytes fingerprint; /**< empty if none was given */
    idem_bytes response;    /**< completed: the caller's own bytes; `encoding` says what they are */
    idem_bytes checkpoint;  /**< in progress: the last one; empty if none */
    idem_status status;
    uint32_t attempt;
    uint8_t token[IDEM_TOKEN_SIZE]; /**< the claimer's; zeroed in what idem_get() and idem_scan()
                                         give, since it is as good as a password */
    uint64_t version;               /**< stamped afresh by every write */
    int64_t created_at_ms;          /**< first claimed, Unix time; to be shown, never judged by */
    int64_t updated_at_ms;          /**< last written, likewise */
    uint64_t lease_ms;
    uint64_t ttl_ms;
    uint64_t age_ms;        /**< since the last write, by the backend's clock */
    void *memory;           /**< what the bytes live in if the record owns them */
    idem_encoding encoding; /**< completed: what the response is; else IDEM_ENCODING_JSON */
    uint32_t flags;         /**< IDEM_RECORD_UNDATED */
    uint64_t reserved[1];
} idem_record;

/** Of a record in progress: somebody has changed how long its key lives (Redis' PERSIST, EXPIRE),
 *  so nobody knows when its lease ends. It counts as just written, and is not taken over. Its
 *  owner's next change puts it right; without an owner, idem_settle() and idem_forget() end it. */
#define IDEM_RECORD_UNDATED UINT32_C(1)

/** What is left of an unfinished record's lease; 0 if it ran out, or if the record is completed or
 *  NULL. */
IDEM_API uint64_t idem_record_lease_left_ms(const idem_record *record);

/** What is left of the record's retention; 0 if it is NULL. */
IDEM_API uint64_t idem_record_retention_left_ms(const idem_record *record);

/** Frees what a record owns and zeroes it. NULL and zeroed are fine. */
IDEM_API void idem_record_clear(idem_record *record);

/**
 * Reads the record of a key and changes nothing.
 *
 * @param[out] record  the caller's; end it with idem_record_clear().
 * @return IDEM_ERR_NOT_FOUND; IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE; IDEM_ERR_CORRUPT;
 *         IDEM_ERR_NO_MEMORY.
 */
IDEM_API IDEM_MUST_CHECK int idem_get(idem_store *store, idem_bytes key, idem_record *record,
                                      idem_error *error);

/**
 * Removes the record of a key: for operators. An owner that is still at work will be told
 * IDEM_ERR_NOT_FOUND or IDEM_ERR_LOST, unless it asked for IDEM_REINSTATE. A key without a record
 * is IDEM_OK.
 *
 * @return IDEM_ERR_CORRUPT: what is stored there can't be read as a record, and may be another
 *         program's data; it is left as it is (idem_forget_any() removes it); IDEM_ERR_ARGUMENT;
 *         IDEM_ERR_UNAVAILABLE; IDEM_ERR_UNCERTAIN; IDEM_ERR_NO_MEMORY.
 */
IDEM_API int idem_forget(idem_store *store, idem_bytes key, idem_error *error);

/**
 * Removes whatever is stored at a key, even what can't be read as a record.
 *
 * @return as idem_forget(), IDEM_ERR_CORRUPT apart.
 */
IDEM_API int idem_forget_any(idem_store *store, idem_bytes key, idem_error *error);

/**
 * Removes the record of a key if it is unfinished and its lease has run out. A key without a record
 * is IDEM_OK.
 *
 * @return IDEM_ERR_LOST: it has a live owner, or is completed (the message says which); else as
 *         idem_forget().
 */
IDEM_API int idem_forget_expired(idem_store *store, idem_bytes key, idem_error *error);

/**
 * Completes a key whose owner crashed with an operator's answer: every later idem_begin() returns
 * it, and the late owner is told IDEM_ERR_LOST. The record's ttl_ms stays. A record that is
 * IDEM_RECORD_UNDATED can be settled too: make sure that its owner is gone.
 *
 * @param response  as for idem_complete().
 * @return IDEM_ERR_LOST: it has a live owner, or is completed (the message says which);
 *         IDEM_ERR_NOT_FOUND; IDEM_ERR_ARGUMENT; IDEM_ERR_TOO_LARGE; IDEM_ERR_CORRUPT;
 *         IDEM_ERR_UNAVAILABLE; IDEM_ERR_UNCERTAIN: may be settled; settle again: IDEM_ERR_LOST
 *         then says that it is completed; IDEM_ERR_FULL; IDEM_ERR_NO_MEMORY.
 */
IDEM_API int idem_settle(idem_store *store, idem_bytes key, idem_bytes response, idem_error *error);

/** Makes a token for idem_request.token: to begin again as the same caller when a begin ended
 *  IDEM_ERR_UNCERTAIN. @return IDEM_ERR_ARGUMENT; IDEM_ERR_INTERNAL: no random bits */
IDEM_API IDEM_MUST_CHECK int idem_token_make(uint8_t token[IDEM_TOKEN_SIZE], idem_error *error);

/** Which records idem_scan() gives. NULL, or zero in a field, means all. */
typedef struct {
    size_t size;       /**< sizeof(idem_filter) */
    idem_bytes prefix; /**< keys that begin with these bytes */
    uint64_t status;   /**< an ::idem_status */
    uint64_t limit;    /**< at most so many */
} idem_filter;

/** Is given one record; it is valid during the call only. Non-zero ends the scan, which then
 *  returns IDEM_OK: keep your own reason in `user`. It may call into the store. */
typedef int (*idem_scan_fn)(const idem_record *record, void *user);

/**
 * Gives the records of this store's prefix, in no order. A record that is there from beginning to
 * end is given at least once; one that comes or goes in the meantime may be given or not. What
 * idem_begin() would call corrupt is given with IDEM_STATUS_CORRUPT and its key, all else zero.
 *
 * @return IDEM_OK, also if `fn` ended the scan or the limit was reached; IDEM_ERR_UNSUPPORTED: the
 *         store has no IDEM_TRAIT_SCAN; IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE; IDEM_ERR_CORRUPT;
 *         IDEM_ERR_NO_MEMORY.
 * @par Blocking   up to the store's timeout for each page of records.
 */
IDEM_API int idem_scan(idem_store *store, const idem_filter *filter, idem_scan_fn fn, void *user,
                       idem_error *error);

/**
 * Drops records whose retention has ended. Never needed for a right answer, since expired records
 * are treated as absent; it gives their space back.
 *
 * It goes in short portions, so that other callers and processes get their turns.
 *
 * @param limit         at most so many; 0: all.
 * @param[out] removed  how many there were, without those of a try whose reply was lost; may be
 *                      NULL.
 * @return IDEM_ERR_UNSUPPORTED: the store has no IDEM_TRAIT_PURGE; IDEM_ERR_UNAVAILABLE;
 *         IDEM_ERR_UNCERTAIN; IDEM_ERR_NO_MEMORY.
 * @par Blocking  up to the store's timeout for each portion.
 */
IDEM_API int idem_purge(idem_store *store, uint64_t limit, uint64_t *removed, idem_error *error);

/** Something in a store's settings that could lose records or run work twice. */
typedef struct {
    const char *what; /**< one line: the setting and its value */
    union {
        const char *fix;  /**< one line: what to do */
        const char *mend; /**< the same, by its older name */
    };
} idem_finding;

/** Is given one finding; it is valid during the call only. */
typedef void (*idem_finding_fn)(void *user, const idem_finding *finding);

/**
 * Looks for settings of the store that could lose records or run work twice, and changes nothing.
 * `fn` is called once for each finding, and must not call into the store.
 *
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_UNAVAILABLE; IDEM_ERR_NO_MEMORY.
 */
IDEM_API int idem_check(idem_store *store, idem_finding_fn fn, void *user, idem_error *error);

/* ------------------------------------------------------------------------------------ stats */

/** Sizes of the tables in ::idem_call_stats and ::idem_store_stats, with room for more. */
#define IDEM_STATS_CALLS    16
#define IDEM_STATS_CODES    16
#define IDEM_STATS_OUTCOMES 8
/** Latencies are counted in nine buckets to a decade, from 1 us to 90 s, and one for the rest. */
#define IDEM_STATS_BUCKETS 73

/** What became of the calls of one kind. */
typedef struct {
    uint64_t by_code[IDEM_STATS_CODES];   /**< [IDEM_OK], [IDEM_ERR_ARGUMENT] and so on */
    uint64_t latency[IDEM_STATS_BUCKETS]; /**< how many took at most idem_stats_bound_us() of the
                                               bucket, and longer than that of the one before it */
    uint64_t latency_count;               /**< all buckets together */
    uint64_t latency_sum_us;
} idem_call_stats;

/** What a store has done since it was opened, or since the fork() that made this process. */
typedef struct {
    size_t size;                            /**< sizeof(idem_store_stats), set by the caller */
    uint64_t outcomes[IDEM_STATS_OUTCOMES]; /**< of begins, by ::idem_outcome_kind */
    uint64_t takeovers;                  /**< begins that were IDEM_NEW with an attempt above 1 */
    uint64_t reinstated;                 /**< records that were put back (IDEM_REINSTATE) */
    uint64_t repeats[IDEM_STATS_CODES];  /**< operations that failed and were repeated, by why */
    uint64_t renewals[IDEM_STATS_CODES]; /**< by the keepalive, by code */
    uint64_t connections;                /**< open at this moment, those that are busy included */
    uint64_t connections_busy;
    uint64_t connections_max;                /**< how many there may be */
    uint64_t waiters;                        /**< calls that wait for a connection at this moment */
    uint64_t kept_claims;                    /**< claims that the keepalive renews at this moment */
    idem_call_stats calls[IDEM_STATS_CALLS]; /**< by ::idem_call_kind */
} idem_store_stats;

/** The longest latency that a bucket counts, in microseconds; UINT64_MAX for the last one. */
IDEM_API uint64_t idem_stats_bound_us(size_t bucket);

/**
 * Reads a store's counters. They are read one after the other while calls go on, so a call may be
 * in one of them and not yet in another.
 *
 * Latencies are those of stores that do I/O. A `memory://` call is not timed, since to read a clock
 * would take as long as the call, unless IDEM_OBSERVE_CALLS has it timed. The latency of a begin
 * includes its waits, and that of a scan what its function takes.
 *
 * @param[in,out] stats  its size is set, by the caller; a smaller one, of an older version of the
 *                       header, is given what it has room for.
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_NO_MEMORY.
 * @par Blocking   not.
 */
IDEM_API IDEM_MUST_CHECK int idem_stats(idem_store *store, idem_store_stats *stats,
                                        idem_error *error);

/** Is given a text, without a NUL; it is valid during the call only. */
typedef void (*idem_text_fn)(const char *text, size_t len, void *user);

/**
 * Writes a store's counters as OpenMetrics text, for Prometheus and what reads its format: the
 * whole answer to `GET /metrics`, of the type `application/openmetrics-text; version=1.0.0;
 * charset=utf-8`. It has neither keys nor the store's URL in it. docs/observability.md lists the
 * metrics.
 *
 * @param name  the value of the label `store` on all samples, such as "payments"; UTF-8; NULL: no
 *              such label.
 * @param fn    is given all of the text, in one call.
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_NO_MEMORY; `fn` was not called then.
 * @par Blocking   not.
 */
IDEM_API int idem_stats_text(idem_store *store, const char *name, idem_text_fn fn, void *user,
                             idem_error *error);

/* -------------------------------------------------------------------- keys and fingerprints */

/**
 * Joins parts (tenant, method, path, the client's key) into one key, so that no two different
 * lists of parts give the same key: `%` and `:` inside a part are written `%25` and `%3A`, and
 * the parts are joined by `:`.
 *
 * @param[out] buf  receives the key, without a NUL; IDEM_KEY_MAX bytes are always enough.
 * @param[out] len  receives the key's length.
 * @return IDEM_ERR_ARGUMENT: no parts, or one empty part; IDEM_ERR_TOO_LARGE: the key is longer
 *         than `size` or IDEM_KEY_MAX: put a fingerprint of the parts in its place.
 */
IDEM_API IDEM_MUST_CHECK int idem_key_compose(const idem_bytes *parts, size_t count, char *buf,
                                              size_t size, size_t *len, idem_error *error);

/**
 * The SHA-256 of parts, each taken with its length, so that no two different lists of parts are
 * hashed as the same input.
 *
 * @param[out] out  receives 32 bytes.
 * @return IDEM_ERR_ARGUMENT; IDEM_ERR_INTERNAL: libcrypto has no SHA-256.
 */
IDEM_API IDEM_MUST_CHECK int idem_fingerprint(const idem_bytes *parts, size_t count,
                                              uint8_t out[32], idem_error *error);

#ifdef __cplusplus
} /* extern "C" */

/* C++ has no pointer to a compound literal: a lambda fills a request field by field (`.key = k`
   is pasted behind the object's name), in any order of the fields, from C++11 on. The result is a
   value, which the calls take by reference: a pointer kept beyond the expression would point to
   nothing, so there is none. */
struct idem__request_value : idem_request {
    explicit idem__request_value(const idem_request &request) : idem_request(request)
    {
    }
    idem_request operator*() const
    {
        return *this;
    }
};

IDEM_MUST_CHECK inline int idem_begin(idem_store *store, const idem_request &request,
                                      idem_outcome *outcome, idem_error *error)
{
    return idem_begin(store, &request, outcome, error);
}
/* clang-format off */
#define IDEM__SET_1(set) idem_request_ set;
#define IDEM__SET_2(set, ...) idem_request_ set; IDEM__SET_1(__VA_ARGS__)
#define IDEM__SET_3(set, ...) idem_request_ set; IDEM__SET_2(__VA_ARGS__)
#define IDEM__SET_4(set, ...) idem_request_ set; IDEM__SET_3(__VA_ARGS__)
#define IDEM__SET_5(set, ...) idem_request_ set; IDEM__SET_4(__VA_ARGS__)
#define IDEM__SET_6(set, ...) idem_request_ set; IDEM__SET_5(__VA_ARGS__)
#define IDEM__SET_7(set, ...) idem_request_ set; IDEM__SET_6(__VA_ARGS__)
#define IDEM__SET_8(set, ...) idem_request_ set; IDEM__SET_7(__VA_ARGS__)
#define IDEM__PICK(a, b, c, d, e, f, g, h, name, ...) name
#define IDEM__SET(...)                                                                             \
    IDEM__PICK(__VA_ARGS__, IDEM__SET_8, IDEM__SET_7, IDEM__SET_6, IDEM__SET_5, IDEM__SET_4,       \
               IDEM__SET_3, IDEM__SET_2, IDEM__SET_1, 0)(__VA_ARGS__)
#define IDEM_REQUEST(...)                                                                          \
    idem__request_value([&]() {                                                                  \
        idem_request idem_request_;                                                                \
        idem_request_init(&idem_request_);                                                         \
        IDEM__SET(__VA_ARGS__)                                                                     \
        return idem_request_;                                                                      \
    }())
/* clang-format on */
#else
#define IDEM_REQUEST(...) (&(idem_request){.size = sizeof(idem_request), __VA_ARGS__})
#endif

#endif
