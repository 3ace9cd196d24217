/* jscan.h: reading JSON where it stands: no tree, no copy, no allocation.
 *
 * The publish path asks a payload for a few fields, so values stay slices of the document until somebody needs
 * them decoded. This header is the vocabulary (kind, hit), the walk over one object or array, the decoders, and
 * the check of a whole document. jpath.h finds many paths in one pass.
 *
 * What is checked when. Walking checks the structure: brackets match, quotes close, commas and colons stand where
 * they must, every token begins like one, no raw control character in a string, no more than JSCAN_DEPTH_MAX
 * containers inside each other. A value handed out is checked further: numbers and literals to the letter,
 * strings for well-formed UTF-8. What is stepped over is not: `{"a":1e+,"b":2}` gives b. jscan_valid() checks
 * everything, and so does jpath_extract(): what that has found can be walked without fear. Escapes are read by
 * jscan_string().
 *
 * Text that is not UTF-8 is not JSON. Devices send it all the same (a name in Latin-1, a cut-off message), and what is theirs
 * must not be lost: for payloads there are jscan_value_any_text() and jpath_extract_any_text(), which check all but that.
 * Their objects and arrays are marked JSCAN_ANY_TEXT, and the walk over one so marked lets any bytes through in strings
 * and names, too. Such a one is no JSON text: it must not be written as it stands.
 *
 * A name that occurs twice in an object: the walk gives both, in order; the last counts, in jpath.h and for whoever
 * builds on the walk. (RFC 8259 leaves it open; the last is what most readers of JSON take.)
 *
 * Lifetime: hits and iterators borrow the document. Thread: any. Never blocks, never reads past the slice.
 * Errors: SL_EMALFORMED for text that is not JSON, or is nested too deep. */
#ifndef SL_JSCAN_H
#define SL_JSCAN_H

#include "arena.h"
#include "err.h"
#include "slice.h"

enum { JSCAN_DEPTH_MAX = 64 };

/* JKIND, for JSON_OBJECT and its like belong to jansson, which many files include too. */
enum json_kind {
	JKIND_ABSENT, /* not there at all; so that zeroed memory is a hit that found nothing */
	JKIND_NULL,
	JKIND_TRUE,
	JKIND_FALSE,
	JKIND_INT,    /* no fraction, no exponent, fits int64_t */
	JKIND_DOUBLE, /* any other number */
	JKIND_STRING,
	JKIND_OBJECT,
	JKIND_ARRAY,
};
const char *json_kind_name(enum json_kind kind); /* "null", "number" ...: for messages */

enum {
	JSCAN_ESCAPED = 1,  /* a string that holds a backslash: jscan_string() must decode it */
	JSCAN_ANY_TEXT = 2, /* an object or array of a document that is not UTF-8: maybe some of its strings are not */
};

/* A value as it stands in the document. */
struct jpath_hit {
	struct sl_slice raw; /* its text; of a string what stands between the quotes */
	enum json_kind kind;
	uint8_t flags; /* JSCAN_ESCAPED, JSCAN_ANY_TEXT */
	uint8_t walk;  /* jpath's own, during the walk */
};

/* The one value that `text` consists of, white space around it allowed. Checks like a walk that steps over it. */
int jscan_value(struct sl_slice text, struct jpath_hit *out);
/* The same, with all of it checked as jscan_valid() does, but for the UTF-8 of strings. */
int jscan_value_any_text(struct sl_slice text, struct jpath_hit *out);

/* Walks an object or an array:
 *     struct jscan_iter it;
 *     for (r = jscan_begin(&it, &hit); r == SL_OK && (r = jscan_next(&it, &key, &value)) == 1;) ...
 *     r is 0 at the end, SL_EMALFORMED where the text broke off, SL_ETYPE when `hit` is neither. */
struct jscan_iter {
	const char *at, *end;
	bool object, first, any_text;
};
int jscan_begin(struct jscan_iter *it, const struct jpath_hit *container);
/* `key` is only set for objects (a JKIND_STRING hit, maybe escaped); NULL is fine for arrays. 1, 0 or SL_EMALFORMED. */
int jscan_next(struct jscan_iter *it, struct jpath_hit *key, struct jpath_hit *value);

/* The text of a string. Without escapes it is the raw slice itself; else it is decoded into the arena. Half of a
 * surrogate pair (\ud800 by itself), which JSON can spell and UTF-8 cannot, becomes the three bytes ED A0..BF 80..BF: text that
 * is not UTF-8, like any other that a payload may hold, and not the text of another payload. SL_ETYPE for another kind, SL_EMALFORMED for a wrong escape. */
int jscan_string(const struct jpath_hit *hit, struct sl_arena *arena, struct sl_slice *out);
/* Decodes into `out`, which must hold raw.n bytes (text never grows); gives the length, or SL_EMALFORMED. */
ptrdiff_t jscan_unescape(struct sl_slice raw, char *out);

/* Exact; SL_ETYPE for another kind than JKIND_INT. */
int jscan_i64(const struct jpath_hit *hit, int64_t *out);
/* Of both number kinds, correctly rounded; SL_ETYPE for another kind, SL_ELIMIT beyond the range of a double. */
int jscan_double(const struct jpath_hit *hit, double *out);

/* Is all of it one JSON text (RFC 8259): grammar, escapes, UTF-8, depth? Half surrogates in \u escapes pass, as
 * the grammar allows them. */
bool jscan_valid(struct sl_slice doc);
/* Of a text that is refused: are more than JSCAN_DEPTH_MAX brackets open at once? For a message that says so. */
bool jscan_too_deep(struct sl_slice text);

#endif
