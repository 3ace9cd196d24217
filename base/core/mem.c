#include "mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sl_noreturn void out_of_memory(size_t size) {
	fprintf(stderr,
		"out of memory: the system refused %zu bytes; give the process more memory or lower its limits\n",
		size);
	abort();
}

void *sl_alloc(size_t size) {
	void *p = malloc(size ? size : 1);
	if (sl_unlikely(!p)) out_of_memory(size);
	return p;
}

void *sl_zalloc(size_t size) { return sl_calloc(1, size); }

void *sl_calloc(size_t count, size_t size) {
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (sl_unlikely(!p)) out_of_memory(size);
	return p;
}

void *sl_realloc(void *ptr, size_t size) {
	void *p = realloc(ptr, size ? size : 1);
	if (sl_unlikely(!p)) out_of_memory(size);
	return p;
}

void *sl_realloc_array(void *ptr, size_t count, size_t size) {
	size_t total;
	if (sl_unlikely(__builtin_mul_overflow(count, size, &total))) out_of_memory(SIZE_MAX);
	return sl_realloc(ptr, total);
}

void sl_free(void *ptr) { free(ptr); }

void sl_mem_trim(void) { (void)malloc_trim(0); }

void sl_mem_give_back(void) {
	(void)mallopt(M_MMAP_THRESHOLD, (int)SL_MEM_OWN);
	(void)mallopt(M_TRIM_THRESHOLD, (int)(2 * SL_MB));
}

char *sl_memdup0(const void *bytes, size_t len) {
	char *p = sl_alloc(len + 1);
	if (len) memcpy(p, bytes, len);
	p[len] = '\0';
	return p;
}

char *sl_strdup(const char *s) { return sl_memdup0(s, strlen(s)); }

char *sl_vasprintf(const char *fmt, va_list ap) {
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) return sl_strdup("(text could not be formatted)");
	char *p = sl_alloc((size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return p;
}

char *sl_asprintf(const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *p = sl_vasprintf(fmt, ap);
	va_end(ap);
	return p;
}
