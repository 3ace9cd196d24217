/* mem.h: heap memory that does not fail.
 *
 * Small allocations end the process when the system has none left; sizes that come from outside are checked
 * against a limit before these are called, so they cannot be driven there. No call returns NULL.
 * Thread: any. Never blocks. */
#ifndef SL_MEM_H
#define SL_MEM_H

#include <stdarg.h>

#include "common.h"

void *sl_alloc(size_t size) sl_warn_unused __attribute__((malloc, alloc_size(1)));
void *sl_zalloc(size_t size) sl_warn_unused __attribute__((malloc, alloc_size(1)));
void *sl_realloc(void *ptr, size_t size) sl_warn_unused __attribute__((alloc_size(2)));
/* count * size, zeroed; a product that overflows ends the process. */
void *sl_calloc(size_t count, size_t size) sl_warn_unused __attribute__((malloc, alloc_size(1, 2)));
/* Grows (or shrinks) an array; the product is checked. */
void *sl_realloc_array(void *ptr, size_t count, size_t size) sl_warn_unused;
void sl_free(void *ptr); /* NULL is fine */

/* Blocks of SL_MEM_OWN bytes and more go back to the system as soon as they are freed, for the whole process: a budget that is free again
 * is memory that the machine has again. glibc's own way is to raise that bound with every such block that is freed, up to 32 MB,
 * and to keep what lies below it. Once, at start. */
#define SL_MEM_OWN (128 * SL_KB)
void sl_mem_give_back(void);
/* What is free of smaller blocks, too. Threads that want memory meanwhile wait some milliseconds. */
void sl_mem_trim(void);

char *sl_strdup(const char *s) sl_warn_unused;
char *sl_memdup0(const void *bytes, size_t len) sl_warn_unused; /* copy plus a final NUL */
char *sl_asprintf(const char *fmt, ...) sl_warn_unused sl_printf(1, 2);
char *sl_vasprintf(const char *fmt, va_list ap) sl_warn_unused sl_printf(1, 0);

#define SL_NEW(type) ((type *)sl_zalloc(sizeof(type)))
#define SL_NEW_ARRAY(type, n) ((type *)sl_calloc((n), sizeof(type)))

/* Makes room for one more element in (ptr, len, cap), doubling from 8. */
#define SL_GROW(ptr, len, cap)                                                                                         \
	do {                                                                                                           \
		if ((len) == (cap)) {                                                                                  \
			(cap) = (cap) ? (cap)*2 : 8;                                                                   \
			(ptr) = sl_realloc_array((ptr), (cap), sizeof *(ptr));                                         \
		}                                                                                                      \
	} while (0)

#endif
