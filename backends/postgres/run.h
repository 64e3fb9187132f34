/* SPDX-License-Identifier: MIT */
/* Several jobs of one kind as one statement. */
#ifndef IDEM_POSTGRES_RUN_H
#define IDEM_POSTGRES_RUN_H

#include "jobs.h"

/** How many jobs from `first` on are carried out by one statement; 1: it goes alone. */
size_t idem__postgres_run_length(const idem__postgres_jobs *all, size_t first);

/** Sends such a run. */
int idem__postgres_run_send(idem__postgres_jobs *all, size_t first, size_t count,
                            idem__postgres_fault *fault);

/** Takes its result. */
int idem__postgres_run_take(idem__postgres_jobs *all, size_t first, size_t count,
                            idem__postgres_fault *fault);

#endif
