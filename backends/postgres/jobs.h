/* SPDX-License-Identifier: MIT */
/* The ops of a batch, and the pipeline that carries them out. */
#ifndef IDEM_POSTGRES_JOBS_H
#define IDEM_POSTGRES_JOBS_H

#include "frame.h"

#define IDEM__POSTGRES_NO_JOB SIZE_MAX

typedef struct {
    idem_op *op;    /**< NULL: it was abandoned while it was under way */
    uint32_t place; /**< in the batch */
    uint32_t run;   /**< so many jobs, from this one on, were sent as one statement */
    idem__postgres_sql which;
    bool again; /**< AGAIN: the key was there, so it is inserted anew if nothing that lives is */
    bool looks; /**< a look stands behind it in the same pipeline */
} idem__postgres_job;

typedef struct {
    idem__postgres *self;
    uint64_t deadline_ms;
    idem__postgres_frame frame;
    size_t count;
    size_t bad;      /**< the job that was refused first, or IDEM__POSTGRES_NO_JOB */
    size_t in_front; /**< results of the frame */
    bool singly;     /**< no statement carries out several of them */
    bool grouped;    /**< one did */
    bool sweeps;
    bool sweep_bad;                          /**< it was the sweep that was refused */
    idem__postgres_job jobs[IDEM_BATCH_MAX]; /**< the last member: blank only up to `count` */
} idem__postgres_jobs;

/** Makes jobs of ops; `self` and `deadline_ms` are set. */
void idem__postgres_jobs_make(idem__postgres_jobs *all, idem_op *const *ops, size_t count);

/** True if one of them may change something. */
bool idem__postgres_jobs_change(const idem__postgres_jobs *all);

/** Sends all of them as one pipeline. Where that fails, none is carried out; what was sent of them
 *  is to be taken back, unless the connection is broken. */
int idem__postgres_jobs_send(idem__postgres_jobs *all, idem__postgres_fault *fault);

/** Takes their answers. Where that fails, all are blank again. */
int idem__postgres_jobs_take(idem__postgres_jobs *all, idem__postgres_fault *fault);

/** Takes out the jobs whose ops were abandoned. */
void idem__postgres_jobs_forget(idem__postgres_jobs *all);

/** Makes an op blank again. */
void idem__postgres_jobs_take_back(idem_op *op);

#endif
