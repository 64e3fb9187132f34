/* SPDX-License-Identifier: MIT */
/* The ops of a batch, and the pipeline that carries them out. */
#ifndef IDEM_POSTGRES_JOBS_H
#define IDEM_POSTGRES_JOBS_H

#include "frame.h"

#define IDEM__POSTGRES_NO_JOB SIZE_MAX

typedef struct {
    idem_op *op;
    size_t place; /**< in the batch */
    idem__postgres_sql which;
    bool looks; /**< a look stands behind it in the same pipeline */
} idem__postgres_job;

typedef struct {
    idem__postgres *self;
    uint64_t deadline_ms;
    idem__postgres_frame frame;
    idem__postgres_job jobs[IDEM_BATCH_MAX];
    size_t count;
    size_t bad;      /**< the job that was refused first, or IDEM__POSTGRES_NO_JOB */
    size_t in_front; /**< results of the frame */
    bool singly;     /**< no statement carries out several of them */
    bool grouped;    /**< one did */
    bool sweeps;
    bool sweep_bad; /**< it was the sweep that was refused */
} idem__postgres_jobs;

/** Makes jobs of ops; `self` and `deadline_ms` are set. */
void idem__postgres_jobs_make(idem__postgres_jobs *all, idem_op *const *ops, size_t count);

/** True if one of them may change something. */
bool idem__postgres_jobs_change(const idem__postgres_jobs *all);

/** Carries out all of them, or none. */
int idem__postgres_jobs_run(idem__postgres_jobs *all, idem__postgres_fault *fault);

/** Makes an op blank again. */
void idem__postgres_jobs_take_back(idem_op *op);

#endif
