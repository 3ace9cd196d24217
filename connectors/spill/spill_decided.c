/* spill_decided.c: which rows of a record are decided while others of it are not. See spill.h.
 *
 *     decided   "SLROWS01" | u32 crc (of all that follows) | u32 bytes
 *               | entries, by sequence: struct entry, and a bit for each row of the record, in words of 64
 *
 * An entry belongs to the record with its checksum, and stays true as long as that is there: so it does not matter when the file is
 * older than the mark, or was left by a version of Sluice that knows of it to one that does not. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"
#include "sql_row.h"

#define MAGIC "SLROWS01"
#define BYTES_MAX (4 * SL_MB)

struct file_head {
	char magic[8];
	uint32_t crc, bytes;
};

struct entry {
	uint64_t seq;
	uint32_t crc, rows; /* of the record */
	uint32_t done, zero;
	uint64_t bits[];
};

static size_t words(uint32_t rows) { return ((size_t)rows + 63) / 64; }
static size_t entry_bytes(uint32_t rows) { return sizeof(struct entry) + words(rows) * sizeof(uint64_t); }
static bool bit_at(const uint64_t *bits, uint32_t i) { return bits[i / 64] >> (i % 64) & 1; }

static bool entry_sound(const struct entry *e, uint64_t seq_before, size_t room) {
	if (room < sizeof *e || e->rows == 0 || e->rows > SPILL_RECORD_MAX || entry_bytes(e->rows) > room) return false;
	uint32_t done = 0;
	for (uint32_t i = 0; i < e->rows; i++) done += bit_at(e->bits, i);
	return e->seq > seq_before && done == e->done && done > 0 && done < e->rows;
}

static bool entries_sound(struct sl_slice file) {
	const struct file_head *head = (const void *)file.p;
	if (file.n < sizeof *head || memcmp(head->magic, MAGIC, sizeof head->magic) != 0) return false;
	if (head->bytes != file.n - sizeof *head) return false;
	if (crc32c(0, &head->bytes, file.n - offsetof(struct file_head, bytes)) != head->crc) return false;
	uint64_t before = 0;
	for (size_t at = sizeof *head; at < file.n;) {
		const struct entry *e = (const void *)(file.p + at);
		if (!entry_sound(e, before, file.n - at)) return false;
		before = e->seq;
		at += entry_bytes(e->rows);
	}
	return true;
}

void spill_decided_read(const char *dir, struct spill_told *out) {
	char *path = sl_asprintf("%s/decided", dir);
	struct sl_buf *file = &out->file;
	sl_buf_clear(file);
	out->at = 0;
	int r = spill_small_read(path, BYTES_MAX, file);
	bool sound = file->n == 0 || entries_sound(sl_buf_slice(file));
	if (r != SL_OK || !sound)
		log_warn(LOG_ACTION, "which rows were delivered cannot be read; some may repeat", "path=%s err=%s",
			 path, sound ? sl_status_text(r) : "damaged");
	if (!sound) sl_buf_clear(file);
	sl_free(path);
}

/* Entries of `from`, one after the other: NULL at first, NULL behind the last. */
static const struct entry *entry_next(const struct sl_buf *from, const struct entry *e) {
	size_t at = e ? (size_t)((const char *)e - from->p) + entry_bytes(e->rows) : sizeof(struct file_head);
	return at < from->n ? (const void *)(from->p + at) : NULL;
}

static const struct entry *entry_of(struct spill_told *from, uint64_t seq, uint32_t crc, uint32_t rows) {
	const struct entry *found = from->at ? (const void *)(from->file.p + from->at) : NULL;
	if (found && found->seq > seq) found = NULL;
	for (const struct entry *e; (e = entry_next(&from->file, found)) && e->seq <= seq;) found = e;
	from->at = found ? (size_t)((const char *)found - from->file.p) : 0;
	return found && found->seq == seq && found->crc == crc && found->rows == rows ? found : NULL;
}

uint32_t spill_decided_rows(struct spill_told *decided, uint64_t seq, uint32_t crc, uint32_t rows) {
	const struct entry *e = entry_of(decided, seq, crc, rows);
	return e ? e->done : 0;
}

void spill_decided_cut(struct spill_told *decided, const struct spill_head *head, const char *rows,
		       struct sl_buf *out) {
	const struct entry *e = entry_of(decided, head->seq, head->crc, head->rows);
	const char *origin = NULL; /* of the next rows, when it is not there yet */
	for (uint32_t i = 0; i < head->rows;) {
		const struct sql_row_head *row = sql_row_head(rows);
		bool is_row = !(row->flags & SQL_ROW_FRAME);
		if (!is_row) origin = rows;
		if (is_row && !bit_at(e->bits, i)) {
			if (origin) sl_buf_append(out, origin, sql_row_head(origin)->size);
			origin = NULL;
			sl_buf_append(out, rows, row->size);
		}
		i += is_row;
		rows += row->size;
	}
}

static void head_add(struct sl_buf *to) {
	static const struct file_head none;
	if (to->n == 0) sl_buf_append(to, &none, sizeof none);
}

void spill_decided(struct spill *s, struct spill_ref *ref, const uint64_t *bits, uint32_t n) {
	const struct entry *was = ref->decided ? ref->decided : entry_of(&s->decided, ref->seq, ref->crc, ref->rows);
	if (n != ref->rows - (was ? was->done : 0)) return;
	struct entry *e = sl_zalloc(entry_bytes(ref->rows));
	*e = (struct entry){.seq = ref->seq, .crc = ref->crc, .rows = ref->rows};
	for (uint32_t i = 0, given = 0; i < ref->rows; i++) {
		bool done =
		    (was && bit_at(was->bits, i)) || bit_at(bits, given++); /* the caller has only seen the others */
		e->bits[i / 64] |= (uint64_t)done << (i % 64);
		e->done += done;
	}
	sl_free(ref->decided);
	ref->decided = e;
}

void spill_unread_decided(struct spill *s, const uint64_t *bits, uint32_t n) { spill_decided(s, &s->back, bits, n); }

static void entry_add(struct sl_buf *to, const struct entry *e) {
	if (!e || to->n + entry_bytes(e->rows) > BYTES_MAX) return;
	head_add(to);
	sl_buf_append(to, e, entry_bytes(e->rows));
}

/* What is known of records that stay: those that the owner holds, and those that it has not read. */
static void entries_join(struct spill *s, struct sl_buf *out) {
	uint64_t unread = s->unread_records ? s->read_seq : s->next_seq;
	SL_LIST_FOREACH(it, &s->kept) {
		struct spill_ref *ref = SL_LIST_ENTRY(it, struct spill_ref, link);
		entry_add(out, ref->decided ? ref->decided : entry_of(&s->decided, ref->seq, ref->crc, ref->rows));
		sl_free(ref->decided);
		ref->decided = NULL;
	}
	const struct entry *back = s->back.decided;
	entry_add(out, back);
	for (const struct entry *e = NULL; (e = entry_next(&s->decided.file, e));)
		if (e->seq >= unread && !(back && e->seq == back->seq)) entry_add(out, e);
}

void spill_decided_write(struct spill *s) {
	struct sl_buf out = SL_BUF_INIT;
	entries_join(s, &out);
	if (out.n) {
		struct file_head head = {.bytes = (uint32_t)(out.n - sizeof head)};
		memcpy(head.magic, MAGIC, sizeof head.magic);
		memcpy(out.p, &head, sizeof head);
		head.crc =
		    crc32c(0, out.p + offsetof(struct file_head, bytes), out.n - offsetof(struct file_head, bytes));
		memcpy(out.p, &head, sizeof head);
		char *path = sl_asprintf("%s/decided", s->dir);
		int r = spill_small_replace(path, sl_buf_slice(&out), s->sync);
		if (r != SL_OK)
			log_warn(LOG_ACTION, "which rows are delivered cannot be written; some will repeat",
				 "path=%s err=%s", path, sl_status_text(r));
		sl_free(path);
	}
	sl_buf_fini(&out);
}
