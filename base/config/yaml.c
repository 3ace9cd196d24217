/* yaml.c: libyaml's events become a JSON tree and a table of places.
 *
 * A stack of open containers takes the values as they come. Positions come from libyaml in characters; people and
 * editors get bytes (err.h), so every mark goes through mark_offset(). */
#include "yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libyaml, not our own yaml.h: angle brackets do not look at our folders. */
#include <yaml.h>

#include "buf.h"
#include "mem.h"
#include "yaml_int.h"

struct frame {
	json_t *container; /* borrowed: its parent, or the document, owns it */
	uint32_t node;
	bool is_map, has_key;
	struct sl_slice key;
	uint32_t key_line, key_col;
};

struct load {
	yaml_parser_t parser;
	struct yaml_doc *doc;
	struct sl_err *err;
	bool ascii; /* characters are bytes */
	bool in_document, done;
	int documents;
	/* The last mark turned into an offset: marks only grow, so a long line is walked once. */
	size_t seen_line, seen_column, seen_offset;
	struct frame stack[YAML_DOC_DEPTH_MAX];
	size_t depth;
};

static void find_lines(struct load *l) {
	struct yaml_doc *doc = l->doc;
	l->ascii = true;
	SL_GROW(doc->line_starts, doc->lines_len, doc->lines_cap);
	doc->line_starts[doc->lines_len++] = 0;
	for (size_t i = 0; i < doc->source.n;) {
		unsigned char c = (unsigned char)doc->source.p[i];
		if (c >= 0x80) l->ascii = false;
		size_t len = c == '\n' || c == '\r' || c >= 0x80 ? yaml_break_len(slice_from(doc->source, i)) : 0;
		i += len ? len : 1;
		if (!len) continue;
		SL_GROW(doc->line_starts, doc->lines_len, doc->lines_cap);
		doc->line_starts[doc->lines_len++] = i;
	}
}

static size_t mark_offset(struct load *l, yaml_mark_t mark) {
	struct yaml_doc *doc = l->doc;
	if (mark.line >= doc->lines_len) return doc->source.n;
	size_t start = doc->line_starts[mark.line];
	if (l->ascii) return sl_min_size(start + mark.column, doc->source.n);
	size_t column = 0, offset = start;
	if (l->seen_line == mark.line && l->seen_column <= mark.column) {
		column = l->seen_column;
		offset = sl_max_size(l->seen_offset, start);
	}
	for (; column < mark.column && offset < doc->source.n; column++) {
		offset++;
		while (offset < doc->source.n && ((unsigned char)doc->source.p[offset] & 0xC0) == 0x80) offset++;
	}
	l->seen_line = mark.line;
	l->seen_column = column;
	l->seen_offset = offset;
	return offset;
}

static void place(struct load *l, yaml_mark_t mark, uint32_t *line, uint32_t *column) {
	yaml_offset_place(l->doc, mark_offset(l, mark), line, column);
}

static int fail_at(struct load *l, yaml_mark_t mark, int status, const char *fmt, ...) sl_printf(4, 5);
static int fail_at(struct load *l, yaml_mark_t mark, int status, const char *fmt, ...) {
	uint32_t line, column;
	place(l, mark, &line, &column);
	va_list ap;
	va_start(ap, fmt);
	sl_err_setv(l->err, status, fmt, ap);
	va_end(ap);
	sl_err_at(l->err, l->doc->file, line, column);
	return status;
}

/* libyaml's words are for those who know the grammar; the commonest slips get a plain hint. */
static const char *syntax_hint(struct load *l, size_t offset) {
	const char *problem = l->parser.problem;
	char c = offset < l->doc->source.n ? l->doc->source.p[offset] : '\0';
	if (strstr(problem, "cannot start any token"))
		return c == '\t' ? "; indent with spaces, not tabs" : "; a text that begins like this needs quotes";
	if (strstr(problem, "mapping values are not allowed"))
		return "; a text that holds \": \" needs quotes, or the indentation is wrong";
	if (strstr(problem, "could not find expected ':'")) return "; is a colon missing, or the indentation wrong?";
	return "";
}

static int fail_syntax(struct load *l) {
	yaml_parser_t *p = &l->parser;
	if (p->error == YAML_MEMORY_ERROR) return sl_err_set(l->err, SL_ESYSTEM, "out of memory");
	if (p->error == YAML_READER_ERROR) {
		uint32_t line, column;
		yaml_offset_place(l->doc, sl_min_size(p->problem_offset, l->doc->source.n), &line, &column);
		sl_err_set(l->err, SL_ESYNTAX, "this is not a text in UTF-8: %s", p->problem);
		sl_err_at(l->err, l->doc->file, line, column);
		return SL_ESYNTAX;
	}
	const char *hint = syntax_hint(l, mark_offset(l, p->problem_mark));
	return fail_at(l, p->problem_mark, SL_ESYNTAX, "not valid YAML: %s%s%s%s", p->context ? p->context : "",
		       p->context ? ", " : "", p->problem, hint);
}

static int refuse_anchor(struct load *l, yaml_mark_t mark) {
	return fail_at(l, mark, SL_EUNSUPPORTED,
		       "anchors (&name) and aliases (*name) are not supported; "
		       "write the value out, or put it in quotes if it is text");
}

/* The last part of a core tag ("str"), NULL for no tag; false for any other tag. */
static bool core_tag(const yaml_char_t *tag, const char **out) {
	static const char prefix[] = "tag:yaml.org,2002:";
	static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq"};
	*out = NULL;
	if (!tag) return true;
	const char *text = (const char *)tag;
	if (strcmp(text, "!") == 0) { /* "! x" is the text x */
		*out = "str";
		return true;
	}
	if (strncmp(text, prefix, sizeof prefix - 1) != 0) return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(known); i++)
		if (strcmp(text + sizeof prefix - 1, known[i]) == 0) *out = known[i];
	return *out != NULL;
}

static int check_tag(struct load *l, yaml_mark_t mark, const yaml_char_t *tag, const char *container,
		     const char **core) {
	if (core_tag(tag, core)) {
		bool fits = container ? !*core || strcmp(*core, container) == 0
				      : !*core || (strcmp(*core, "map") != 0 && strcmp(*core, "seq") != 0);
		if (fits) return SL_OK;
		return fail_at(l, mark, SL_ESYNTAX, "the value is not of the type that its tag !!%s says", *core);
	}
	return fail_at(l, mark, SL_EUNSUPPORTED,
		       "the tag %s is not supported; only !!str !!int !!float !!bool !!null !!map "
		       "!!seq are",
		       (const char *)tag);
}

/* White space between tokens; libyaml takes a byte order mark at the start of any line for such, elsewhere it is text. */
static size_t blank_len(struct sl_slice s, bool starts_line) {
	if (starts_line && slice_starts_with(s, SL_SLICE_LIT("\xEF\xBB\xBF"))) return 3;
	return s.n && (s.p[0] == ' ' || s.p[0] == '\t') ? 1 : yaml_break_len(s);
}

/* The source offset of a scalar's first character, quote or block sign: behind a tag, white space and comments. */
static size_t behind_tag(struct load *l, const yaml_event_t *e) {
	size_t at = mark_offset(l, e->start_mark);
	struct sl_slice s = l->doc->source;
	if (!e->data.scalar.tag) return at;
	while (at < s.n && blank_len(slice_from(s, at), false) == 0) at++;
	for (bool comment = false, starts_line = false; at < s.n;) {
		struct sl_slice rest = slice_from(s, at);
		size_t line_break = yaml_break_len(rest), blank = blank_len(rest, starts_line);
		comment = line_break ? false : comment || s.p[at] == '#';
		if (!comment && blank == 0) break;
		at += sl_max_size(1, blank);
		starts_line = line_break > 0;
	}
	return at;
}

static uint32_t add_node(struct load *l, yaml_mark_t mark) {
	struct yaml_doc *doc = l->doc;
	SL_GROW(doc->nodes, doc->nodes_len, doc->nodes_cap);
	uint32_t id = (uint32_t)doc->nodes_len++;
	struct yaml_node *n = &doc->nodes[id];
	*n = (struct yaml_node){.parent = YAML_NODE_NONE, .index = YAML_NODE_NONE};
	n->offset = mark_offset(l, mark);
	place(l, mark, &n->line, &n->col);
	n->key_line = n->line;
	n->key_col = n->col;
	if (l->depth == 0) return id;
	struct frame *top = &l->stack[l->depth - 1];
	n->parent = top->node;
	if (top->is_map) {
		n->key = top->key;
		n->key_line = top->key_line;
		n->key_col = top->key_col;
	} else {
		n->index = (uint32_t)json_array_size(top->container);
	}
	bool was_there;
	struct yaml_name name = {doc->nodes, n->parent, n->index, n->key};
	yaml_node_map_put(&doc->by_name, yaml_name_hash(name.parent, name.index, name.key), name, &was_there)->node =
	    id;
	return id;
}

/* Hangs a value where it belongs; takes the reference. */
static int add_value(struct load *l, yaml_mark_t mark, json_t *value, uint32_t *node) {
	if (l->doc->nodes_len >= YAML_DOC_NODES_MAX) {
		json_decref(value);
		return fail_at(l, mark, SL_ELIMIT, "more than %d values; split the configuration", YAML_DOC_NODES_MAX);
	}
	*node = add_node(l, mark);
	if (l->depth == 0) {
		json_decref(l->doc->root);
		l->doc->root = value;
		return SL_OK;
	}
	struct frame *top = &l->stack[l->depth - 1];
	int failed = top->is_map ? json_object_setn_new(top->container, top->key.p, top->key.n, value)
				 : json_array_append_new(top->container, value);
	top->has_key = false;
	return failed ? fail_at(l, mark, SL_ESYNTAX, "a key is not valid UTF-8") : SL_OK;
}

static int on_key(struct load *l, const yaml_event_t *e) {
	struct frame *top = &l->stack[l->depth - 1];
	struct sl_slice key = slice_make(e->data.scalar.value, e->data.scalar.length);
	if (key.n == 0)
		return fail_at(l, e->start_mark, SL_ESYNTAX,
			       e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? "a key is missing before the colon"
									       : "a key must not be empty");
	if (key.n > YAML_DOC_KEY_MAX)
		return fail_at(l, e->start_mark, SL_ELIMIT, "a key has more than %d bytes", YAML_DOC_KEY_MAX);
	if (memchr(key.p, '\0', key.n))
		return fail_at(l, e->start_mark, SL_ESYNTAX, "a key may not hold the NUL character");
	if (json_object_getn(top->container, key.p, key.n)) {
		struct yaml_name name = {l->doc->nodes, top->node, YAML_NODE_NONE, key};
		struct yaml_slot *first =
		    yaml_node_map_find(&l->doc->by_name, yaml_name_hash(top->node, YAML_NODE_NONE, key), name);
		return fail_at(l, e->start_mark, SL_EEXISTS, "the key %.*s stands twice; the first is on line %u",
			       SL_SLICE_ARG(key), first ? l->doc->nodes[first->node].key_line : 0);
	}
	top->key = sl_arena_dup(&l->doc->arena, key);
	top->has_key = true;
	place(l, e->start_mark, &top->key_line, &top->key_col);
	return SL_OK;
}

static enum yaml_text_style text_style(yaml_scalar_style_t style) {
	if (style == YAML_SINGLE_QUOTED_SCALAR_STYLE) return YAML_TEXT_SINGLE;
	if (style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) return YAML_TEXT_DOUBLE;
	if (style == YAML_LITERAL_SCALAR_STYLE) return YAML_TEXT_LITERAL;
	if (style == YAML_FOLDED_SCALAR_STYLE) return YAML_TEXT_FOLDED;
	return YAML_TEXT_PLAIN;
}

static int on_scalar(struct load *l, const yaml_event_t *e) {
	const char *core;
	if (e->data.scalar.anchor) return refuse_anchor(l, e->start_mark);
	int rc = check_tag(l, e->start_mark, e->data.scalar.tag, NULL, &core);
	if (rc != SL_OK) return rc;
	if (l->depth > 0 && l->stack[l->depth - 1].is_map && !l->stack[l->depth - 1].has_key) return on_key(l, e);
	enum yaml_text_style style = text_style(e->data.scalar.style);
	struct sl_err why = SL_ERR_INIT;
	json_t *value = yaml_scalar_value(slice_make(e->data.scalar.value, e->data.scalar.length), core,
					  style == YAML_TEXT_PLAIN, &why);
	if (!value) {
		rc = fail_at(l, e->start_mark, why.status, "%s", sl_err_text(&why));
		sl_err_fini(&why);
		return rc;
	}
	uint32_t id;
	json_t *text = json_is_string(value) ? json_incref(value) : NULL;
	rc = add_value(l, e->start_mark, value, &id);
	if (rc != SL_OK) {
		json_decref(text);
		return rc;
	}
	l->doc->nodes[id].style = style;
	l->doc->nodes[id].text = text;
	l->doc->nodes[id].offset = behind_tag(l, e);
	return SL_OK;
}

static int on_container(struct load *l, yaml_mark_t mark, bool is_map, const yaml_char_t *anchor,
			const yaml_char_t *tag) {
	const char *core;
	if (anchor) return refuse_anchor(l, mark);
	int rc = check_tag(l, mark, tag, is_map ? "map" : "seq", &core);
	if (rc != SL_OK) return rc;
	if (l->depth > 0 && l->stack[l->depth - 1].is_map && !l->stack[l->depth - 1].has_key)
		return fail_at(l, mark, SL_EUNSUPPORTED,
			       "a key must be text, not a list or a map; a template like {{x}} or ${x} needs quotes");
	if (l->depth == YAML_DOC_DEPTH_MAX)
		return fail_at(l, mark, SL_ELIMIT, "nested deeper than %d levels", YAML_DOC_DEPTH_MAX);
	json_t *container = is_map ? json_object() : json_array();
	uint32_t id;
	rc = add_value(l, mark, container, &id);
	if (rc != SL_OK) return rc;
	l->stack[l->depth++] = (struct frame){.container = container, .node = id, .is_map = is_map};
	return SL_OK;
}

static int on_event(struct load *l, const yaml_event_t *e) {
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (l->documents++ == 0) return SL_OK;
		return fail_at(l, e->start_mark, SL_EUNSUPPORTED, "a second document (---) is not supported");
	case YAML_ALIAS_EVENT: return refuse_anchor(l, e->start_mark);
	case YAML_SCALAR_EVENT: return on_scalar(l, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_container(l, e->start_mark, false, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_container(l, e->start_mark, true, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: l->depth--; return SL_OK;
	case YAML_STREAM_END_EVENT: l->done = true; return SL_OK;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT: return SL_OK;
	}
	return SL_OK;
}

static int parse(struct load *l) {
	if (!yaml_parser_initialize(&l->parser)) return sl_err_set(l->err, SL_ESYSTEM, "out of memory");
	yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->doc->source.p, l->doc->source.n);
	int rc = SL_OK;
	while (rc == SL_OK && !l->done) {
		yaml_event_t event;
		if (!yaml_parser_parse(&l->parser, &event)) {
			rc = fail_syntax(l);
			break;
		}
		rc = on_event(l, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&l->parser);
	return rc;
}

/* An empty file, or one of comments only, says nothing: the empty object. */
static void fill_empty(struct yaml_doc *doc) {
	if (doc->nodes_len == 0) {
		SL_GROW(doc->nodes, doc->nodes_len, doc->nodes_cap);
		doc->nodes[doc->nodes_len++] = (struct yaml_node){.parent = YAML_NODE_NONE,
								  .index = YAML_NODE_NONE,
								  .key_line = 1,
								  .key_col = 1,
								  .line = 1,
								  .col = 1};
	}
	if (doc->root && !json_is_null(doc->root)) return;
	json_decref(doc->root);
	doc->root = json_object();
}

int yaml_doc_load(struct sl_slice text, const char *name, struct yaml_doc **out, struct sl_err *err) {
	*out = NULL;
	if (text.n > YAML_DOC_SIZE_MAX) {
		sl_err_at(err, name, 0, 0);
		return sl_err_set(err, SL_ELIMIT, "larger than %d MB; split the configuration",
				  (int)(YAML_DOC_SIZE_MAX / SL_MB));
	}
	if (slice_starts_with(text, SL_SLICE_LIT("\xEF\xBB\xBF"))) text = slice_from(text, 3);
	struct yaml_doc *doc = SL_NEW(struct yaml_doc);
	doc->file = sl_strdup(name);
	doc->source = slice_make(sl_memdup0(text.p, text.n), text.n);
	sl_arena_init(&doc->arena, 4096);
	struct load *l = SL_NEW(struct load);
	l->doc = doc;
	l->err = err;
	find_lines(l);
	int rc = parse(l);
	sl_free(l);
	fill_empty(doc);
	if (rc == SL_OK)
		*out = doc;
	else
		yaml_doc_free(doc);
	return rc;
}

static int read_file(int fd, struct sl_buf *out) {
	struct stat st;
	if (fstat(fd, &st) != 0) return sl_status_from_errno(errno);
	if (S_ISDIR(st.st_mode)) return SL_EINVAL;
	while (out->n <= YAML_DOC_SIZE_MAX) {
		enum { PIECE = 64 * 1024 };
		sl_buf_grow(out, PIECE);
		ssize_t n = read(fd, out->p + out->n, PIECE);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return sl_status_from_errno(errno);
		if (n == 0) break;
		out->n += (size_t)n;
	}
	return SL_OK;
}

int yaml_doc_load_file(const char *path, struct yaml_doc **out, struct sl_err *err) {
	struct sl_buf text = SL_BUF_INIT;
	*out = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? sl_status_from_errno(errno) : read_file(fd, &text);
	if (rc != SL_OK) {
		sl_err_at(err, path, 0, 0);
		sl_err_set(err, rc, "the file cannot be read: %s",
			   rc == SL_EINVAL ? "it is a directory" : strerror(errno));
	} else {
		rc = yaml_doc_load(sl_buf_slice(&text), path, out, err);
	}
	if (fd >= 0) close(fd);
	sl_buf_fini(&text);
	return rc;
}

void yaml_doc_free(struct yaml_doc *doc) {
	if (!doc) return;
	for (size_t i = 0; i < doc->nodes_len; i++) json_decref(doc->nodes[i].text);
	json_decref(doc->root);
	yaml_node_map_fini(&doc->by_name);
	sl_arena_fini(&doc->arena);
	sl_free(doc->nodes);
	sl_free(doc->line_starts);
	sl_free((char *)(uintptr_t)doc->source.p);
	sl_free(doc->file);
	sl_free(doc);
}

json_t *yaml_doc_root(const struct yaml_doc *doc) { return doc->root; }
const char *yaml_doc_file(const struct yaml_doc *doc) { return doc->file; }
struct sl_slice yaml_doc_text(const struct yaml_doc *doc) {
	return doc->source;
}
