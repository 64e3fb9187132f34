/* SPDX-License-Identifier: MIT */
/* The rules behind the faulty backend: which one acts on an operation. */
#ifndef IDEM_TESTS_FAULTY_RULES_H
#define IDEM_TESTS_FAULTY_RULES_H

#include "faulty.h"

/** Counts an operation. @param[out] rule  a copy of the rule that acts on it, defaults filled in
 *  @return true if one acts */
bool faulty__rules_match(unsigned place, idem_role role, const idem_op *op, faulty_rule *rule);

/** Keeps the rules whole across fork(). @return IDEM_ERR_INTERNAL */
int faulty__rules_at_fork(idem_error *error);

#endif
