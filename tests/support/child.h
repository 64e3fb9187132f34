/* SPDX-License-Identifier: MIT */
/*
 * A server of the test's own, whatever it serves: a process in a folder of its own, at a port of
 * its own, known by its id alone. It ends with the process that started it: by child_remove(), at
 * exit, and on Linux by the kernel if that process is killed. No other server is ever touched.
 *
 * A kind of server says how it is launched and when it answers. Its struct begins with CHILD, so
 * that tests find a server's port and its folder there, and the kind finds the struct by the child
 * in it.
 */
#ifndef IDEM_TESTS_CHILD_H
#define IDEM_TESTS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct child_process child_process;

typedef struct {
    const char *name; /* in messages, and in the name of the folder */
    /** Whether it takes requests; NULL: it is never waited for. */
    bool (*answers)(const child_process *self);
    /** Starts it on the port that was chosen, by child_launch(). @return whether it answers */
    bool (*launch)(child_process *self, const char *const *options);
    int end;   /* the signal that ends it for good */
    int death; /* the one by which it ends with its parent */
    /** Programs that refuse to be run by root: there they run as `postgres`, or else `nobody`. */
    bool never_root;
} child_kind;

#define CHILD_MEMBERS                                                             \
    const child_kind *kind;                                                       \
    child_process *next; /* in the list of those that have to be removed */       \
    pid_t pid;           /* of the leader of its process group; 0: not running */ \
    pid_t owner;         /* the process that made it; 0: never made */            \
    int port;                                                                     \
    char folder[128] /* of all its files; `log` is what it has printed */
struct child_process {
    CHILD_MEMBERS;
};

/** The first member of a kind's struct: `process`, and what is in it under its own names. */
#define CHILD                  \
    union {                    \
        child_process process; \
        struct {               \
            CHILD_MEMBERS;     \
        };                     \
    }

/** Leaves the program unless there is one to test with: as a failure where IDEM_SKIPS_FAIL=1, else
 *  as one that ctest calls skipped. @param what  what there is not, and what to do */
void child_require(bool there, const char *what);

/** Whether a program is in PATH, or at a path. */
bool child_in_path(const char *program);

/** Ends the program with a line that names the kind, and with the end of what it has printed. */
_Noreturn void child_fail(const child_process *self, const char *what);

/** Makes its folder, and has it removed at exit. */
void child_make(child_process *self, const child_kind *kind);

/** Launches it on one free port after the other, until it answers. For a process's main thread: a
 *  child ends with the thread that started it. */
void child_start(child_process *self, const char *const *options);

/** Runs a program in its folder, with its rights. @param words  NULL at the end. @return its id */
pid_t child_run(const child_process *self, const char *const *words);

/** The same, and waits for its end; ends the test if it fails. */
void child_run_to_end(const child_process *self, const char *const *words);

/** Runs it, and waits until it answers. @return false: it has ended, or does not answer in time */
bool child_launch(child_process *self, const char *const *words);

/** Stops it and keeps folder and port. SIGKILL is for all its processes at once; another signal is
 *  sent again and again, and after half a minute in vain comes SIGKILL. */
void child_stop(child_process *self, int signal);

/** Stops it if need be, and removes its folder. */
void child_remove(child_process *self);

/** Removes a folder with all that is in it; what is still being written there, too. */
void child_remove_folder(const char *path);

void child_pause_ms(long ms);

#endif
