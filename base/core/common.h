/* common.h: the attributes and tiny macros that every file may use.
 *
 * Not for types or functions with state: those have a header of their own. */
#ifndef SL_COMMON_H
#define SL_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define sl_printf(fmt, first) __attribute__((format(printf, fmt, first)))
#define sl_warn_unused __attribute__((warn_unused_result))
#define sl_noreturn __attribute__((noreturn))
#define sl_unused __attribute__((unused))
#define sl_noinline __attribute__((noinline))
#define sl_likely(x) __builtin_expect(!!(x), 1)
#define sl_unlikely(x) __builtin_expect(!!(x), 0)

#define SL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at address `ptr`. */
#define sl_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define SL_KB ((uint64_t)1024)
#define SL_MB (1024 * SL_KB)
#define SL_GB (1024 * SL_MB)

static inline size_t sl_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t sl_max_size(size_t a, size_t b) { return a > b ? a : b; }

/* sl_assert states what only a bug of ours can break; it stays in release builds, for a broker that
 * runs on after a broken invariant loses data quietly. Data from outside never reaches one.
 * sl_debug_assert is for checks too dear for the publish path; release builds drop it. */
sl_noreturn void sl_assert_failed(const char *expr, const char *file, int line);
#define sl_assert(e) (sl_likely(e) ? (void)0 : sl_assert_failed(#e, __FILE__, __LINE__))
#ifdef NDEBUG
#define sl_debug_assert(e) ((void)sizeof(e))
#else
#define sl_debug_assert(e) sl_assert(e)
#endif

#endif
