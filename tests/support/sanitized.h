/* SPDX-License-Identifier: MIT */
/* What a build is instrumented with. The sanitizers' own allocators are left locked in the child of a
   fork() that happens while another thread allocates, so what forks beside threads can't run there. */
#ifndef IDEM_TESTS_SANITIZED_H
#define IDEM_TESTS_SANITIZED_H

#ifdef __has_feature
#define BUILT_WITH(feature) __has_feature(feature)
#else
#define BUILT_WITH(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || BUILT_WITH(address_sanitizer)
#define ADDRESS_SANITIZED 1
#else
#define ADDRESS_SANITIZED 0
#endif
#if defined(__SANITIZE_THREAD__) || BUILT_WITH(thread_sanitizer)
#define THREAD_SANITIZED 1
#else
#define THREAD_SANITIZED 0
#endif

#endif
