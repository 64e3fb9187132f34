/* SPDX-License-Identifier: MIT */
/*
 * Runs: inserts, or gets, of different keys that follow one another in the order of the keys are
 * one statement, which costs the server a fraction of what as many statements do. Its rows come
 * in the same order, each with its key.
 *
 * A refusal of such a statement does not say which key is to blame: then each is carried out
 * singly.
 */
#include "run.h"

#include "array.h"
#include "row.h"
#include "wire.h"

#define FEW       4u /* jobs are not worth it */
#define BYTES_MAX 262144u

static bool may_run(const idem__postgres_job *at)
{
    return !at->looks &&
           (at->which == IDEM__POSTGRES_INSERT || at->which == IDEM__POSTGRES_INSERT_NEW ||
            at->which == IDEM__POSTGRES_GET);
}

static size_t bytes_of(const idem_op *op)
{
    size_t bytes = op->key.len;
    if (op->kind == IDEM_OP_INSERT)
        bytes += op->record->response.len + op->record->checkpoint.len;
    return bytes;
}

static bool same_key(const idem_op *a, const idem_op *b)
{
    return a->key.len == b->key.len && memcmp(a->key.data, b->key.data, a->key.len) == 0;
}

size_t idem__postgres_run_length(const idem__postgres_jobs *all, size_t first)
{
    const idem__postgres_job *jobs = all->jobs;
    size_t count = 1;
    size_t bytes = bytes_of(jobs[first].op);
    if (all->singly || !may_run(&jobs[first]) ||
        (first > 0 && same_key(jobs[first - 1].op, jobs[first].op)))
        return 1;
    while (first + count < all->count) {
        const idem__postgres_job *next = &jobs[first + count];
        bytes += bytes_of(next->op);
        if (next->which != jobs[first].which || !may_run(next) || bytes > BYTES_MAX ||
            same_key(jobs[first + count - 1].op, next->op))
            break;
        count++;
    }
    return count < FEW ? 1 : count;
}

/* ------------------------------------------------------------------------------------ sending */

enum { KEYS, VERSIONS, LIVES, RECORDS, ARRAYS };

static int begin_all(idem_buffer arrays[ARRAYS], size_t count, idem_error *error)
{
    static const uint32_t types[ARRAYS] = {IDEM__POSTGRES_BYTEA, IDEM__POSTGRES_INT8,
                                           IDEM__POSTGRES_INT8, IDEM__POSTGRES_BYTEA};
    int rc = IDEM_OK;
    for (size_t i = 0; rc == IDEM_OK && i < ARRAYS; i++)
        rc = idem__postgres_array_begin(&arrays[i], types[i], count, error);
    return rc;
}

static int add(idem__postgres *self, idem_buffer arrays[ARRAYS], const idem_op *op, bool inserts,
               idem_error *error)
{
    int rc = idem__postgres_array_bytes(&arrays[KEYS], op->key, error);
    if (rc || !inserts)
        return rc;
    self->text.len = 0;
    rc = idem_record_encode(op->record, &self->text, error);
    if (rc == IDEM_OK)
        rc = idem__postgres_array_number(&arrays[VERSIONS], (int64_t)op->record->version, error);
    if (rc == IDEM_OK)
        rc = idem__postgres_array_number(&arrays[LIVES], (int64_t)op->live_ms, error);
    if (rc == IDEM_OK)
        rc = idem__postgres_array_bytes(&arrays[RECORDS],
                                        (idem_bytes){self->text.data, self->text.len}, error);
    return rc;
}

int idem__postgres_run_send(idem__postgres_jobs *all, size_t first, size_t count,
                            idem__postgres_fault *fault)
{
    idem_buffer arrays[ARRAYS] = {{NULL, 0, 0}};
    idem__postgres_params params = {0};
    idem__postgres_sql which = all->jobs[first].which;
    bool inserts = which != IDEM__POSTGRES_GET;
    int rc = begin_all(arrays, count, &fault->error);
    for (size_t i = 0; rc == IDEM_OK && i < count; i++)
        rc = add(all->self, arrays, all->jobs[first + i].op, inserts, &fault->error);
    fault->permanent = rc != IDEM_OK;
    for (size_t i = 0; i < (inserts ? ARRAYS : 1); i++)
        idem__postgres_param_bytes(&params, (idem_bytes){arrays[i].data, arrays[i].len});
    if (rc == IDEM_OK)
        rc = idem__postgres_wire_send(all->self,
                                      which == IDEM__POSTGRES_GET ? IDEM__POSTGRES_GET_MANY
                                      : which == IDEM__POSTGRES_INSERT_NEW
                                          ? IDEM__POSTGRES_INSERT_NEW_MANY
                                          : IDEM__POSTGRES_INSERT_MANY,
                                      &params, all->deadline_ms, fault);
    for (size_t i = 0; i < ARRAYS; i++)
        idem_buffer_clear(&arrays[i]);
    all->grouped = true;
    return rc;
}

/* ------------------------------------------------------------------------------ taking answers */

static void take_row(const idem__postgres *self, const PGresult *result, int row, idem_op *op)
{
    idem_error error = {0};
    if (self->pq->PQgetisnull(result, row, IDEM__POSTGRES_C_VERSION) &&
        self->pq->PQgetisnull(result, row, IDEM__POSTGRES_C_RECORD)) {
        op->applied = op->kind == IDEM_OP_INSERT;
        return;
    }
    int rc = idem__postgres_row_read(self, result, row, op->key, &op->found, &error);
    if (rc)
        idem_op_fail(op, true, rc, "%s", error.message);
    else
        op->has_found = true;
}

static bool is_of(const idem__postgres *self, const PGresult *result, int row, const idem_op *op)
{
    idem_bytes key = idem__postgres_row_bytes(self, result, row, IDEM__POSTGRES_C_KEY);
    return op && key.len == op->key.len && memcmp(key.data, op->key.data, key.len) == 0;
}

int idem__postgres_run_take(idem__postgres_jobs *all, size_t first, size_t count,
                            idem__postgres_fault *fault)
{
    const idem__postgres *self = all->self;
    PGresult *result;
    int rc = idem__postgres_wire_next(all->self, all->deadline_ms, &result, fault);
    int rows = rc ? 0 : self->pq->PQntuples(result);
    size_t next = first; /* the rows come in the order of the jobs, and some are of none */
    for (int row = 0; row < rows; row++) {
        size_t at = next;
        while (at < first + count && !is_of(self, result, row, all->jobs[at].op))
            at++;
        if (at == first + count)
            continue;
        take_row(self, result, row, all->jobs[at].op);
        next = at + 1;
    }
    self->pq->PQclear(result);
    return rc;
}
