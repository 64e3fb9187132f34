/* SPDX-License-Identifier: MIT */
/* The virtual clock, as the kit's other parts use it. */
#ifndef IDEM_TESTKIT_CLOCK_H
#define IDEM_TESTKIT_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/** Sleeps until a point in idem_monotonic_ms(). The virtual clock, if it runs, is moved there
 *  instead. */
void idem__testkit_sleep_until(uint64_t point_ms);

/** True while the virtual clock runs. */
bool idem__testkit_clock_runs(void);

#endif
