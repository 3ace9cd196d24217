#include "store_check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"

enum {
	PAGE_BRANCH = 0x01,
	PAGE_LEAF = 0x02,
	PAGE_OVERFLOW = 0x04,
	PAGE_META = 0x08,
	NODE_BIG = 0x01,
	NODE_TABLE = 0x02,
	FREE_FLAGS = 0x3f, /* of tables; the head of the list of free pages has the environment's, too */
	FREE_NUMBERS = 0x08,
	DEPTH_MAX = 31,
	KEY_MAX = 511,
	TABLE_NAME_MAX = 31
};
#define LMDB_MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX

struct page {
	uint64_t number;
	uint16_t pad, flags;
	uint16_t lower, upper; /* of an overflow page both together are the count of pages */
};

struct node {
	uint16_t lo, hi, flags, key_len;
};

struct table {
	uint32_t pad;
	uint16_t flags, depth;
	uint64_t branches, leaves, overflows, entries, root;
};

struct meta {
	uint32_t magic, version;
	uint64_t address, map_bytes;
	struct table free, main;
	uint64_t last, txn;
};

/* Keys rise through a table. A branch's key stands between what is left and right of it, and may be the one to its right. */
struct order {
	char key[KEY_MAX]; /* that came last */
	size_t n;
	bool any, of_branch;
};

struct walk {
	struct sl_slice file;
	size_t page_size;
	uint64_t last; /* page */
	uint8_t *seen; /* a bit a page */
	const char *table;
	bool free_list, named;
	struct order *order; /* of the table at hand */
	store_check_cb each;
	void *arg;
	struct store_check *out;
};

static void wrong(struct walk *w, const char *what) {
	if (w->out->what[0] == '\0') w->out->what = what;
	w->out->lost++;
}

static bool is_seen(const struct walk *w, uint64_t page) { return (w->seen[page / 8] >> (page % 8) & 1) != 0; }

/* Takes the pages for the one who asks; false: they are not there, or somebody has them. */
static bool claim(struct walk *w, uint64_t page, uint64_t count) {
	if (page < 2 || page > w->last || count > w->last - page + 1 || (page + count) * w->page_size > w->file.n)
		return false;
	for (uint64_t i = page; i < page + count; i++) {
		if (is_seen(w, i)) return false;
		w->seen[i / 8] |= (uint8_t)(1u << (i % 8));
	}
	return true;
}

static const char *page_at(const struct walk *w, uint64_t page) { return w->file.p + page * w->page_size; }

/* NULL: no page of that kind. */
static const char *page_get(struct walk *w, uint64_t number, struct page *p) {
	if (!claim(w, number, 1)) {
		wrong(w, "a page is named that is not there, or twice");
		return NULL;
	}
	memcpy(p, page_at(w, number), sizeof *p);
	if (p->number != number || (p->flags != PAGE_BRANCH && p->flags != PAGE_LEAF)) {
		wrong(w, "a page is not what it is named as");
		return NULL;
	}
	if (p->lower < sizeof *p || p->lower % 2 || p->lower > p->upper || p->upper > w->page_size ||
	    p->lower == sizeof *p) {
		wrong(w, "a page's places do not fit");
		return NULL;
	}
	return page_at(w, number);
}

/* Node i of the page, with its key; false: it does not lie in the page. */
static bool node_get(const struct walk *w, const char *at, const struct page *p, size_t i, struct node *n,
		     const char **data) {
	uint16_t offset;
	memcpy(&offset, at + sizeof *p + i * 2, sizeof offset);
	if (offset < p->upper || offset % 2 || offset + sizeof *n > w->page_size) return false;
	memcpy(n, at + offset, sizeof *n);
	*data = at + offset + sizeof *n;
	return offset + sizeof *n + n->key_len <= w->page_size;
}

static size_t node_room(const struct walk *w, const char *at, const char *data) {
	return w->page_size - (size_t)(data - at);
}

static void walk_table(struct walk *w, const struct table *t, const char *name);

static int compare(const struct walk *w, struct sl_slice a, struct sl_slice b) {
	uint64_t x, y;
	if (!w->free_list) return slice_compare(a, b);
	memcpy(&x, a.p, sizeof x);
	memcpy(&y, b.p, sizeof y);
	return x < y ? -1 : x > y;
}

static bool key_fits(struct walk *w, struct sl_slice key, bool of_branch) {
	struct order *o = w->order;
	if (key.n == 0 || key.n > KEY_MAX || (w->free_list && key.n != sizeof(uint64_t))) return false;
	int rises = o->any ? compare(w, slice_make(o->key, o->n), key) : -1;
	if (rises > 0 || (rises == 0 && (of_branch || !o->of_branch))) return false;
	memcpy(o->key, key.p, key.n);
	o->n = key.n;
	o->any = true;
	o->of_branch = of_branch;
	return true;
}

/* A record of the list of free pages: a count, and so many of them, falling. */
static bool free_pages_fit(struct walk *w, struct sl_slice list) {
	uint64_t count, page, before = NO_PAGE;
	if (list.n < sizeof count) return false;
	memcpy(&count, list.p, sizeof count);
	if (count > (list.n - sizeof count) / sizeof page) return false;
	for (uint64_t i = 0; i < count; i++, before = page) {
		memcpy(&page, list.p + sizeof count + i * sizeof page, sizeof page);
		if (page < 2 || page > w->last || page >= before || is_seen(w, page)) return false;
		w->seen[page / 8] |= (uint8_t)(1u << (page % 8));
	}
	return true;
}

static bool big_value(struct walk *w, const char *data, size_t size, struct sl_slice *value) {
	uint64_t number, pages = (sizeof(struct page) + size - 1) / w->page_size + 1;
	struct page p;
	uint32_t count;
	memcpy(&number, data, sizeof number);
	if (number < 2 || number > w->last || (number + 1) * w->page_size > w->file.n) return false;
	memcpy(&p, page_at(w, number), sizeof p);
	memcpy(&count, page_at(w, number) + offsetof(struct page, lower), sizeof count);
	if (p.number != number || p.flags != PAGE_OVERFLOW || count < pages || !claim(w, number, count)) return false;
	*value = slice_make(page_at(w, number) + sizeof p, size);
	return true;
}

static void leaf_node(struct walk *w, const char *at, const struct node *n, const char *data) {
	struct sl_slice key = slice_make(data, n->key_len), value;
	size_t size = (size_t)n->lo | (size_t)n->hi << 16, room = node_room(w, at, data) - key.n;
	data += key.n;
	bool good = key_fits(w, key, false);
	if (n->flags & NODE_BIG) {
		good = good && n->flags == NODE_BIG && room >= sizeof(uint64_t) && big_value(w, data, size, &value);
	} else {
		good = good && size <= room && (n->flags == 0 || n->flags == NODE_TABLE);
		value = slice_make(data, size);
	}
	if (good && n->flags == NODE_TABLE && !w->named && !w->free_list && size == sizeof(struct table) &&
	    key.n <= TABLE_NAME_MAX) {
		struct table t;
		char name[TABLE_NAME_MAX + 1] = "";
		memcpy(&t, value.p, sizeof t);
		memcpy(name, key.p, key.n);
		walk_table(w, &t, name);
		return;
	}
	if (good && w->free_list)
		good = n->flags != NODE_TABLE && key.n == sizeof(uint64_t) && free_pages_fit(w, value);
	if (!good || (!w->free_list && !w->named)) {
		wrong(w, "a record does not fit its page");
		return;
	}
	if (w->free_list) return;
	if (n->flags == NODE_TABLE) { /* a table in a table */
		wrong(w, "a record does not fit its page");
		return;
	}
	w->out->records++;
	if (w->each) w->each(w->arg, w->table, key, value);
}

static void walk_page(struct walk *w, uint64_t number, unsigned depth) {
	struct page p;
	const char *at = page_get(w, number, &p), *data;
	if (!at) return;
	size_t count = (p.lower - sizeof p) / 2;
	bool leaf = p.flags == PAGE_LEAF;
	if (leaf != (depth == 1) || (!leaf && count < 2)) {
		wrong(w, "a page stands at the wrong depth");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct node n;
		if (!node_get(w, at, &p, i, &n, &data))
			wrong(w, "a page's places do not fit");
		else if (leaf)
			leaf_node(w, at, &n, data);
		else if (i > 0 && !key_fits(w, slice_make(data, n.key_len), true))
			wrong(w, "a page's keys are out of order");
		else
			walk_page(w, (uint64_t)n.lo | (uint64_t)n.hi << 16 | (uint64_t)n.flags << 32, depth - 1);
	}
}

static void walk_table(struct walk *w, const struct table *t, const char *name) {
	if (t->root == NO_PAGE) return;
	if (t->depth == 0 || t->depth > DEPTH_MAX || (name && t->flags != 0)) {
		wrong(w, "a table's head is not sound");
		return;
	}
	struct order order = {.any = false}, *outer = w->order;
	w->table = name;
	w->named = name != NULL;
	w->order = &order;
	walk_page(w, t->root, t->depth);
	w->order = outer;
	w->named = false;
	w->table = NULL;
}

/* Both of the first pages have one: LMDB goes by the newer. */
static bool meta_get(struct sl_slice file, size_t at, struct meta *m) {
	struct page p;
	if (file.n < at + sizeof p + sizeof *m) return false;
	memcpy(&p, file.p + at, sizeof p);
	memcpy(m, file.p + at + sizeof p, sizeof *m);
	return (p.flags & PAGE_META) && m->magic == LMDB_MAGIC && m->version == 1;
}

static bool page_size_fits(uint32_t size) { return size >= 512 && size <= 65536 && (size & (size - 1)) == 0; }

int store_check_bytes(struct sl_slice file, store_check_cb each, void *arg, struct store_check *out) {
	struct store_check ignored;
	struct walk w = {.file = file, .each = each, .arg = arg, .out = out ? out : &ignored};
	*w.out = (struct store_check){.what = ""};
	struct meta a, b;
	bool first = meta_get(file, 0, &a) && page_size_fits(a.free.pad);
	bool second = first && meta_get(file, a.free.pad, &b) && b.free.pad == a.free.pad;
	if (!first) {
		wrong(&w, "its first page is none of LMDB's");
		return SL_ECORRUPT;
	}
	if (!second) wrong(&w, "its second page is none of LMDB's");
	const struct meta *m = second && b.txn > a.txn ? &b : &a;
	w.page_size = m->free.pad;
	w.last = m->last;
	/* Pages behind the end of the file were taken and never written; more of them than there are others is nonsense. */
	if (m->last / 2 > file.n / w.page_size + 1024) {
		wrong(&w, "it has more pages than can be");
		return SL_ECORRUPT;
	}
	w.seen = sl_calloc(w.last / 8 + 1, 1);
	if (m->main.flags != 0 || (m->free.flags & FREE_FLAGS) != FREE_NUMBERS)
		wrong(&w, "a table's head is not sound");
	walk_table(&w, &m->main, NULL);
	w.free_list = true;
	walk_table(&w, &m->free, NULL);
	sl_free(w.seen);
	return w.out->lost ? SL_ECORRUPT : SL_OK;
}

int store_check_read(const char *path, store_check_cb each, void *arg, struct store_check *out) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat info;
	if (fd < 0) return sl_status_from_errno(errno);
	int rc = SL_EIO;
	void *map = MAP_FAILED;
	if (fstat(fd, &info) == 0 && info.st_size > 0)
		map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map != MAP_FAILED) {
		rc = store_check_bytes(slice_make(map, (size_t)info.st_size), each, arg, out);
		munmap(map, (size_t)info.st_size);
	}
	close(fd);
	return rc;
}
