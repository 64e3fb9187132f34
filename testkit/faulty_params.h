/* SPDX-License-Identifier: MIT */
/* The URL parameters that make a fault. */
#ifndef IDEM_TESTKIT_FAULTY_PARAMS_H
#define IDEM_TESTKIT_FAULTY_PARAMS_H

#include <idem/testkit.h>

/** The rows that stand behind the inner backend's. @param[out] count  how many. Static. */
const idem_param *idem__testkit_faulty_params(size_t *count);

/** Makes a fault of their values; its kind is IDEM_FAULT_NONE if there are none. @return
 *  IDEM_ERR_ARGUMENT */
int idem__testkit_faulty_read(const idem_value *values, idem_fault *fault, idem_error *error);

#endif
