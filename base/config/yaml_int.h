/* yaml_int.h: what a loaded document is made of (yaml.c fills it, yaml_pos.c reads it). */
#ifndef SL_YAML_INT_H
#define SL_YAML_INT_H

#include "arena.h"
#include "yaml.h"

#define YAML_NODE_NONE UINT32_MAX

enum yaml_text_style { YAML_TEXT_PLAIN, YAML_TEXT_SINGLE, YAML_TEXT_DOUBLE, YAML_TEXT_LITERAL, YAML_TEXT_FOLDED };

/* One value. Its path is not stored but walked over the parents, so that deep documents with long keys cost no more
 * memory than their text. */
struct yaml_node {
	uint32_t parent;            /* index into nodes; YAML_NODE_NONE for the root */
	uint32_t index;             /* in a list; YAML_NODE_NONE in a map */
	struct sl_slice key;        /* in a map; lives in the arena */
	uint32_t key_line, key_col; /* 1-based */
	uint32_t line, col;         /* of the value */
	size_t offset;              /* of the value in the source, behind its tag */
	enum yaml_text_style style; /* of a scalar */
	json_t *text;               /* own reference; strings only */
};

struct yaml_slot {
	uint64_t hash;
	bool used;
	uint32_t node;
};
struct yaml_name {
	const struct yaml_node *nodes;
	uint32_t parent, index;
	struct sl_slice key;
};
static inline bool yaml_name_equal(const struct yaml_slot *slot, struct yaml_name name) {
	const struct yaml_node *n = &name.nodes[slot->node];
	return n->parent == name.parent && n->index == name.index && slice_equal(n->key, name.key);
}
static inline uint64_t yaml_name_hash(uint32_t parent, uint32_t index, struct sl_slice key);

#define HMAP_NAME yaml_node_map
#define HMAP_SLOT struct yaml_slot
#define HMAP_KEY struct yaml_name
#define HMAP_EQUAL(slot, key) yaml_name_equal(slot, key)
#include "hmap.h"

static inline uint64_t yaml_name_hash(uint32_t parent, uint32_t index, struct sl_slice key) {
	uint64_t place = ((uint64_t)parent << 32 | index) * 0x9E3779B97F4A7C15u;
	return (place ^ place >> 29) + sl_hash(key);
}

struct yaml_doc {
	json_t *root;
	char *file;
	struct sl_slice source; /* owned; a NUL follows */
	struct sl_arena arena;  /* keys */
	size_t *line_starts;    /* offset of each line; line_starts[0] is 0 */
	size_t lines_len, lines_cap;
	struct yaml_node *nodes;
	size_t nodes_len, nodes_cap;
	struct yaml_node_map by_name;
};

/* The value of a scalar, or NULL with err's text set: not a number of the tag's type, out of range, not UTF-8.
 * `tag` is NULL or a core tag's last part ("str", "int" ...); `plain` scalars without a tag are typed by their
 * text. */
json_t *yaml_scalar_value(struct sl_slice text, const char *tag, bool plain, struct sl_err *err);

/* Bytes of the line break at s.p[0]: CR LF, CR, LF and Unicode's three, as libyaml counts lines; 0 for none. */
size_t yaml_break_len(struct sl_slice s);
/* The place of a source offset, 1-based. */
void yaml_offset_place(const struct yaml_doc *doc, size_t offset, uint32_t *line, uint32_t *column);

#endif
