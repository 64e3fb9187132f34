/* SPDX-License-Identifier: MIT */
/* A VFS of SQLite that stands in front of the system's: it counts calls, makes chosen ones fail,
   fills the disk, and keeps a record of all that changes a file. As the default VFS of the process
   it is under every connection that names no other. */
#ifndef IDEM_TESTS_DISK_SHIM_H
#define IDEM_TESTS_DISK_SHIM_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_TRUNCATE,
    CALL_SYNC,
    CALL_SIZE,
    CALL_LOCK,
    CALL_UNLOCK,
    CALL_SHM_MAP,
    CALL_SHM_LOCK,
    CALL_DELETE,
    CALL_ACCESS,
    CALL_KINDS
} call_kind;

typedef enum { FILE_DB, FILE_WAL, FILE_JOURNAL, FILE_SHM, FILE_ROLES } file_role;

extern const char *const call_names[CALL_KINDS];
extern const char *const role_names[FILE_ROLES];

/** Which calls fail, and how. */
typedef struct {
    call_kind kind;
    file_role role;
    uint64_t nth;   /**< the first call of this kind and file that fails, from 1; 0: none */
    uint64_t times; /**< how many from there on */
    int code;       /**< what SQLite is told */
    int number;     /**< errno */
    bool torn;      /**< a write: half of it is written all the same */
} fault_plan;

#define FAULT_ALWAYS UINT64_MAX

/** Makes the shim the process's default VFS, once. Nothing fails and nothing is kept at first. */
void shim_install(void);

/** Has calls fail from now on; counts start anew. */
void shim_plan(const fault_plan *wanted);
/** Nothing fails any more. */
void shim_mend(void);
/** How many calls have failed by plan, or for want of space. */
uint64_t shim_fired(void);
/** How many calls of a kind there were since the plan. */
uint64_t shim_calls(call_kind kind, file_role role);

/** The files may grow by so many bytes in all; a write beyond is cut off there, and SQLite is told
 *  `code`. INT64_MAX: no limit. */
void shim_space(int64_t bytes, int code, int number);

/** Keeps what changes files in the record (record.h); syncs then reach the record only. */
void shim_record(bool on);

/** The process ends without a word before its n-th recorded change. 0: never. */
void shim_die_at(uint64_t nth);

#endif
