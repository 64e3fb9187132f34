/* SPDX-License-Identifier: MIT */
/* What the public header defines inline, as functions: bindings of other languages can't inline. */
#define IDEM__INLINE __attribute__((visibility("default")))
#include <idem/idem.h>
