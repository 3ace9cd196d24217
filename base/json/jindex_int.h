/* jindex_int.h: where the brackets, commas and colons of a document stand. Not for other folders.
 *
 * A walk that goes from token to token must finish one before it knows where the next begins: what it costs is that
 * chain, not the work. The index finds the places for 64 bytes at once, with no chain but one word's carry, and the walk
 * then takes bit after bit. They are `{ } [ ] , :` outside of strings.
 *
 *     {"a":"x,y","b":[1,2]}
 *     ^   ^     ^   ^^ ^ ^^
 *
 * On the way it checks what belongs to strings: no raw control character, only escapes that JSON has, no backslash outside;
 * and that each begins behind a place, so that two places have one string between them at most: whoever finds a quote
 * behind the first and one before the second has found a whole string. It notes that there are bytes beyond ASCII, so that
 * UTF-8 is checked once and only where needed.
 *
 * Lifetime: of the document, which it borrows; on the stack. Thread: the caller's. Never blocks, never allocates,
 * never reads outside the document. */
#ifndef SL_JINDEX_INT_H
#define SL_JINDEX_INT_H

#include "jscan_int.h"

enum { JINDEX_BLOCK = 64, JINDEX_BLOCKS = 16 /* indexed at a time */ };

struct jindex {
	const char *start, *end, *next; /* the document, and what of it is not indexed yet */
	const char *base;               /* the bytes of blocks[0] begin here */
	const uint64_t *last;           /* behind the last block that is filled */
	uint64_t in_string;             /* all ones: the block before ended inside a string */
	uint64_t place_before;          /* 1: the block before ended with a place */
	bool escaped;                   /* the block before ended with a backslash that takes the next byte */
	bool escapes;                   /* there is a backslash somewhere up to here */
	bool not_ascii;                 /* the same, of a byte beyond ASCII */
	bool broken;                    /* a string holds what it must not */
	uint64_t blocks[JINDEX_BLOCKS]; /* bit i: byte i of the block is a place */
};

/* How far the walk is; the walk's own local variable, so that it can stay in registers. */
struct jindex_cursor {
	uint64_t bits; /* places of the block that are still to come */
	const char *base;
	const uint64_t *block; /* the next one */
};

JSCAN_INLINE struct jindex_cursor jindex_init(struct jindex *ix, struct sl_slice doc) {
	ix->start = ix->next = doc.p;
	ix->end = doc.p + doc.n;
	ix->last = ix->blocks;
	ix->in_string = ix->place_before = 0;
	ix->escaped = ix->escapes = ix->not_ascii = ix->broken = false;
	return (struct jindex_cursor){.base = doc.p, .block = ix->blocks};
}

/* Indexes the next blocks; false when the document has no more. */
bool jindex_fill(struct jindex *ix);
bool jindex_fill_plain(struct jindex *ix); /* as every machine can; for tests */

/* The next place; false behind the last. */
JSCAN_INLINE bool jindex_next(struct jindex *ix, struct jindex_cursor *c, const char **place) {
	while (sl_unlikely(c->bits == 0)) {
		if (c->block == ix->last) {
			c->block = ix->blocks;
			if (!jindex_fill(ix)) return false;
		}
		c->base = ix->base + (c->block - ix->blocks) * JINDEX_BLOCK;
		c->bits = *c->block++;
	}
	*place = c->base + (unsigned)__builtin_ctzll(c->bits);
	c->bits &= c->bits - 1;
	return true;
}

#endif
