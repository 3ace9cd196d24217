/* field.h: one row of an option table.
 *
 * Every option of Sluice is a row: the loader checks files with it, the reference and the sample are printed from
 * it, forms are drawn from it. A table is a static const array that ends with CONF_END; rows use designated
 * initialisers and read as sentences:
 *
 *     static const struct conf_field batch_fields[] = {
 *         {.name = "rows", .type = CONF_INT, .at = offsetof(struct batch_conf, rows), .def = "1000", .min = 1,
 *          .max = 100000, .doc = "Rows in a batch at the most."},
 *         {.name = "linger", .type = CONF_DURATION, .at = offsetof(struct batch_conf, linger_ms), .def = "5ms",
 *          .max = 60000, .doc = "How long the first row of a batch waits for others."},
 *         CONF_END};
 *
 * What each type puts at `at` in the settings struct (strings and lists live on the heap, see schema.h):
 *
 *     type                C type              in the file
 *     CONF_STRING         char *              text (a number must be quoted); NULL when absent and no default
 *     CONF_TEMPLATE       char *              text whose "${...}" belongs to the rule, kept as it stands; also a
 *                                             whole number or a boolean, taken as text
 *     CONF_BOOL           bool                true, false
 *     CONF_INT            int64_t             whole number
 *     CONF_INT_AUTO       int64_t             whole number, or `auto` = CONF_AUTO
 *     CONF_DOUBLE         double              number
 *     CONF_DURATION       int64_t, ms         5ms 10s 2m 1h 7d, 1h30m, 1.5s; a bare 0; CONF_UNLIMITED if allowed
 *     CONF_SIZE           int64_t, bytes      512B 64KB 1MB 2GB 1TB, binary multiples; a bare number is bytes;
 *                                             CONF_UNLIMITED if allowed
 *     CONF_PERCENT        double, 0..100      80%
 *     CONF_ENUM           int                 one of `names`: its index (keep `names` in the order of your enum)
 *     CONF_STRING_LIST    struct conf_list    list of text; a single text is a list of one
 *     CONF_TEMPLATE_LIST  struct conf_list    list of templates
 *     CONF_STRING_MAP     struct conf_map     {key: text}, in the file's order
 *     CONF_TEMPLATE_MAP   struct conf_map     {key: template}; see CONF_TEMPLATE_OK
 *     CONF_TREE           json_t *            anything; a new reference, NULL when absent
 *     CONF_OBJECT         a nested struct     {...} checked by `fields`, whose offsets count from that struct;
 *                                             absent means: all its defaults; with CONF_GIVEN the struct
 *                                             says whether it was there
 *     CONF_OBJECT_LIST    struct conf_objects list of {...} checked by `fields`; items of `item_size` bytes
 *
 * Thread: tables are constant. */
#ifndef SL_FIELD_H
#define SL_FIELD_H

#include <jansson.h>

#include "common.h"
#include "err.h"
#include "slice.h"

enum conf_type {
	CONF_STRING,
	CONF_TEMPLATE,
	CONF_BOOL,
	CONF_INT,
	CONF_INT_AUTO,
	CONF_DOUBLE,
	CONF_DURATION,
	CONF_SIZE,
	CONF_PERCENT,
	CONF_ENUM,
	CONF_STRING_LIST,
	CONF_TEMPLATE_LIST,
	CONF_STRING_MAP,
	CONF_TEMPLATE_MAP,
	CONF_TREE,
	CONF_OBJECT,
	CONF_OBJECT_LIST,
};

enum conf_flag {
	CONF_REQUIRED = 1 << 0,     /* must be given; has no default */
	CONF_SECRET = 1 << 1,       /* shown as *** everywhere */
	CONF_SECRET_URL = 1 << 2,   /* a URL or connection string: only its password is shown as *** */
	CONF_EXPAND = 1 << 3,       /* ${ENV_NAME}, ${file:path}, ${exec:program} are replaced; STRING, STRING_LIST,
				     STRING_MAP only. $${ stands for a plain ${ */
	CONF_UNLIMITED_OK = 1 << 4, /* INT, DURATION, SIZE: the word `unlimited` is a value: CONF_UNLIMITED */
	CONF_NONEMPTY = 1 << 5,     /* text, list or map must not be empty */
	CONF_ADVANCED = 1 << 6,     /* left out of the commented sample */
	CONF_NULL_OK = 1 << 7,      /* OBJECT, TREE: `name:` without a value is the same as {} (null in a TREE) */
	CONF_TEMPLATE_OK =
	    1 << 8, /* TEMPLATE_MAP: also one template, which gives the whole map: one pair without a key */
	CONF_PLAIN_OK =
	    1
	    << 10, /* STRING_MAP: a number or boolean without quotes is its text, but a number like 0.10, whose text is another than its value's */
	CONF_GIVEN =
	    1 << 9, /* OBJECT whose presence means something: the first member of its struct is a bool that says
		     whether the key is there (`name:` alone and {} count). Shown only when it is */
};

#define CONF_UNLIMITED INT64_MAX
#define CONF_AUTO ((int64_t)-1)

struct conf_list {
	char **items; /* owned, as are the strings */
	size_t len;
};
struct conf_pair {
	char *key, *value; /* owned */
};
struct conf_map {
	struct conf_pair *items; /* owned */
	size_t len;
};
struct conf_objects {
	void *items; /* owned array of len * item_size bytes */
	size_t len;
};

/* An option that people look for here under another name, and what to write. */
struct conf_hint {
	const char *name, *text;
};

struct conf_field {
	const char *name;
	enum conf_type type;
	unsigned flags;  /* enum conf_flag */
	size_t at;       /* offsetof() in the settings struct */
	const char *def; /* as one would write it in the file; goes through the same checks. Lists and maps have none */
	int64_t min, max; /* of the number (ms, bytes); for lists and maps of the count; for text of the bytes. min
			       is 0 unless said, so nothing is negative by accident; max 0 means no bound of its own */
	const char *const *names;        /* ENUM: NULL-terminated */
	const struct conf_field *fields; /* OBJECT, OBJECT_LIST */
	size_t item_size;                /* OBJECT_LIST */
	const char *doc;                 /* one or two sentences, no markup but `code` */
	const char *example;             /* a value worth showing, when the default says too little */

	/* Optional: checks a text (STRING, TEMPLATE, or each value of their lists and maps). On failure returns a
	 * negative code with err's text set; err's line and column, when set, are a place inside the text and
	 * are mapped to the file. Must not put a secret into the text. */
	int (*validate)(const struct conf_field *field, struct sl_slice text, struct sl_err *err);

	const struct conf_hint *hints; /* of the last row, which has no name; ends with a NULL name */
};
#define CONF_END                                                                                                       \
	{ .name = NULL }

#endif
