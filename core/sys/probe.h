/* SPDX-License-Identifier: MIT */
/*
 * Static probes (USDT) of the provider `idem`, for bpftrace, perf and SystemTap: one instruction
 * that does nothing where nobody traces. A build without sys/sdt.h has none.
 */
#ifndef IDEM_CORE_PROBE_H
#define IDEM_CORE_PROBE_H

#ifdef __GNUC__
#define IDEM__INLINED __attribute__((always_inline))
#else
#define IDEM__INLINED
#endif

#ifdef IDEM_USDT
#include <sys/sdt.h>
#ifdef __clang__ /* its macros are expanded here, and so warned of here */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define IDEM__PROBE2(name, a, b)          DTRACE_PROBE2(idem, name, a, b)
#define IDEM__PROBE3(name, a, b, c)       DTRACE_PROBE3(idem, name, a, b, c)
#define IDEM__PROBE4(name, a, b, c, d)    DTRACE_PROBE4(idem, name, a, b, c, d)
#define IDEM__PROBE5(name, a, b, c, d, e) DTRACE_PROBE5(idem, name, a, b, c, d, e)
#else
#define IDEM__PROBE2(name, a, b)          ((void)0)
#define IDEM__PROBE3(name, a, b, c)       ((void)0)
#define IDEM__PROBE4(name, a, b, c, d)    ((void)0)
#define IDEM__PROBE5(name, a, b, c, d, e) ((void)0)
#endif

#endif
