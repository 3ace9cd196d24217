#include "filter_cover.h"

#include "mem.h"

static bool is(struct sl_slice level, char c) { return level.n == 1 && level.p[0] == c; }

static bool begins_wild(struct sl_slice filter) { return filter.n && (filter.p[0] == '+' || filter.p[0] == '#'); }

/* [MQTT-4.7.2-1] */
static bool dollar_apart(struct sl_slice a, struct sl_slice b) {
	return (begins_wild(a) && b.n && b.p[0] == '$') || (begins_wild(b) && a.n && a.p[0] == '$');
}

static void put_level(struct sl_buf *out, bool first, struct sl_slice text) {
	if (!first) sl_buf_put(out, '/');
	sl_buf_append_slice(out, text);
}

/* What is left of each is what stands behind the levels that are done; p NULL: it has ended. */
static bool intersect(struct sl_slice a, struct sl_slice b, struct sl_buf *out) {
	for (bool first = true; a.p || b.p; first = false) {
		/* "#" matches the level above, too. */
		if (!a.p) return is(b, '#');
		if (!b.p) return is(a, '#');
		if (is(a, '#') || is(b, '#')) {
			put_level(out, first, is(a, '#') ? b : a);
			return true;
		}
		struct sl_slice x = slice_next_part(&a, '/'), y = slice_next_part(&b, '/');
		if (!is(x, '+') && !is(y, '+') && !slice_equal(x, y)) return false;
		put_level(out, first, is(x, '+') ? y : x);
	}
	return true;
}

bool filter_intersect(struct sl_slice a, struct sl_slice b, struct sl_buf *out) {
	size_t before = out->n;
	/* "/#" and "+" have the empty text in common, which is no topic. */
	if (!dollar_apart(a, b) && intersect(a, b, out) && out->n > before) return true;
	out->n = before;
	return false;
}

/* ---- covered ---- */

struct walk {
	struct sl_slice *alive; /* what is left of the filters that match the path until here */
	size_t len;
	struct sl_buf path;
	bool first;
};

static bool holds_all(const struct walk *w) {
	for (size_t i = 0; i < w->len; i++)
		if (is(w->alive[i], '#')) return true;
	return false;
}

static bool holds_end(const struct walk *w) {
	for (size_t i = 0; i < w->len; i++)
		if (!w->alive[i].p || is(w->alive[i], '#')) return true;
	return false;
}

/* A level that none of the filters names. */
static void unnamed(const struct walk *w, struct sl_buf *level) {
	sl_buf_append_str(level, "any");
	for (size_t i = 0; i < w->len; i++) {
		struct sl_slice rest = w->alive[i];
		if (!rest.p || !slice_equal(slice_next_part(&rest, '/'), sl_buf_slice(level))) continue;
		sl_buf_put(level, 'x');
		i = (size_t)-1;
	}
}

static void step(struct walk *w, struct sl_slice level) {
	size_t kept = 0;
	for (size_t i = 0; i < w->len; i++) {
		struct sl_slice rest = w->alive[i];
		if (!rest.p) continue;
		struct sl_slice next = slice_next_part(&rest, '/');
		if (is(next, '+') || slice_equal(next, level)) w->alive[kept++] = rest;
	}
	w->len = kept;
	if (!w->first) sl_buf_put(&w->path, '/');
	sl_buf_append_slice(&w->path, level);
	w->first = false;
}

static void step_unnamed(struct walk *w) {
	struct sl_buf level = SL_BUF_INIT;
	unnamed(w, &level);
	step(w, sl_buf_slice(&level));
	sl_buf_fini(&level);
}

/* All that may follow: the end here, or one more level, and again. Each step makes what is left of the filters shorter. */
static bool all_that_follows(struct walk *w) {
	while (!holds_all(w)) {
		if (w->path.n && !holds_end(w)) return false; /* a topic has one character at the least */
		step_unnamed(w);
	}
	return true;
}

static bool covered(struct walk *w, struct sl_slice filter) {
	while (filter.p) {
		if (holds_all(w)) return true;
		struct sl_slice level = slice_next_part(&filter, '/');
		if (is(level, '#')) return all_that_follows(w);
		if (is(level, '+'))
			step_unnamed(w);
		else
			step(w, level);
	}
	return holds_end(w);
}

bool filter_covered(struct sl_slice filter, const struct sl_slice *by, size_t count, struct sl_buf *example) {
	struct walk w = {.alive = SL_NEW_ARRAY(struct sl_slice, count + 1), .first = true};
	for (size_t i = 0; i < count; i++)
		if (!dollar_apart(filter, by[i])) w.alive[w.len++] = by[i];
	bool yes = covered(&w, filter);
	if (!yes && example) sl_buf_append_slice(example, sl_buf_slice(&w.path));
	sl_buf_fini(&w.path);
	sl_free(w.alive);
	return yes;
}
