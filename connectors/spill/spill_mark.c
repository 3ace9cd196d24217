/* spill_mark.c: what a log says of itself that is done. See spill.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "disk.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

/* Two, written in turn; a former form had neither high nor a list, and lay closer. */
struct mark_slot {
	char magic[8];
	uint64_t seq, generation;
	uint32_t zero, crc;
};
struct mark_slot2 {
	char magic[8];
	uint32_t crc, count; /* crc of what follows it, count included */
	uint64_t generation, low, high, undone[SPILL_UNDONE_MAX];
};
#define MARK_MAGIC_1 "SLMARK01"
#define MARK_MAGIC "SLMARK02"
#define MARK_SLOT_BYTES 2048

uint64_t spill_mark(const struct spill *s) {
	if (!sl_list_empty(&s->kept)) return SL_LIST_ENTRY(s->kept.next, struct spill_ref, link)->seq;
	return s->unread_records ? s->read_seq : s->next_seq;
}

bool spill_mark_due(const struct spill *s) {
	return s->mark_fd >= 0 && (spill_mark(s) != s->mark_written || s->done_since);
}

bool spill_marked_done(const struct spill_marked *m, uint64_t seq) {
	if (!m || seq >= m->high) return false;
	for (uint32_t from = 0, to = m->count; from < to;) {
		uint32_t middle = from + (to - from) / 2;
		if (m->undone[middle] == seq) return false;
		if (m->undone[middle] < seq)
			from = middle + 1;
		else
			to = middle;
	}
	return true;
}

/* A row that waits for another attempt keeps its record; the many behind it that are done need not repeat after a crash. */
static void marked_fill(const struct spill *s, struct mark_slot2 *slot) {
	slot->low = slot->high = spill_mark(s);
	slot->count = 0;
	SL_LIST_FOREACH(it, &s->kept) {
		if (slot->count == SPILL_UNDONE_MAX) {
			slot->count = 0;
			return;
		}
		slot->undone[slot->count++] = SL_LIST_ENTRY(it, struct spill_ref, link)->seq;
	}
	slot->high = s->unread_records ? s->read_seq : s->next_seq;
	/* What the former run had left, and is still to be read. */
	const struct spill_marked *was = s->was;
	if (!was || was->high <= slot->high || slot->count + was->count > SPILL_UNDONE_MAX) return;
	for (uint32_t i = 0; i < was->count; i++)
		if (was->undone[i] >= slot->high) slot->undone[slot->count++] = was->undone[i];
	slot->high = was->high;
}

static struct spill_marked *marked_copy(const struct spill_marked *m) {
	struct spill_marked *copy = SL_NEW(struct spill_marked);
	*copy = *m;
	return copy;
}

static void mark_slot_write(struct spill *s, uint64_t seq, bool whole) {
	struct mark_slot2 slot = {.generation = ++s->mark_generation, .low = seq, .high = seq};
	memcpy(slot.magic, MARK_MAGIC, sizeof slot.magic);
	if (!whole) marked_fill(s, &slot);
	size_t used = offsetof(struct mark_slot2, undone) + slot.count * sizeof slot.undone[0];
	slot.crc = crc32c(0, &slot.count, used - offsetof(struct mark_slot2, count));
	int r = sl_disk_write(s->mark_fd, (const char *)&slot, whole ? sizeof slot : used,
			      (slot.generation & 1) * MARK_SLOT_BYTES);
	if (r != SL_OK && !s->mark_failed)
		log_warn(LOG_ACTION, "mark cannot be written; rows will repeat after a crash", "path=%s err=%s", s->dir,
			 strerror(errno));
	s->mark_failed = r != SL_OK;
	s->done_since = false;
	if (r == SL_OK) s->mark_written = slot.low;
}

void spill_mark_write(struct spill *s) { mark_slot_write(s, 0, false); }

static int mark_read_1(int fd, struct spill_marked *out, uint64_t *generation) {
	struct mark_slot slot[2] = {0};
	int r = SL_ECORRUPT;
	if (pread(fd, slot, sizeof slot, 0) < 0) return sl_status_from_errno(errno);
	for (int i = 0; i < 2; i++) {
		if (memcmp(slot[i].magic, MARK_MAGIC_1, sizeof slot[i].magic) != 0) continue;
		if (slot[i].crc != crc32c(0, &slot[i], offsetof(struct mark_slot, crc))) continue;
		if (r == SL_OK && slot[i].generation <= *generation) continue;
		*out = (struct spill_marked){.low = slot[i].seq, .high = slot[i].seq};
		*generation = slot[i].generation;
		r = SL_OK;
	}
	return r;
}

int spill_mark_read(int fd, struct spill_marked *out, uint64_t *generation) {
	struct mark_slot2 slot;
	int r = SL_ECORRUPT;
	for (off_t i = 0; i < 2; i++) {
		memset(&slot, 0, sizeof slot);
		ssize_t got = pread(fd, &slot, sizeof slot, i * MARK_SLOT_BYTES);
		if (got < 0) return sl_status_from_errno(errno);
		size_t used = offsetof(struct mark_slot2, undone) + (size_t)slot.count * sizeof slot.undone[0];
		if (memcmp(slot.magic, MARK_MAGIC, sizeof slot.magic) != 0) continue;
		if (slot.count > SPILL_UNDONE_MAX || used > (size_t)got) continue;
		if (slot.crc != crc32c(0, &slot.count, used - offsetof(struct mark_slot2, count))) continue;
		if (r == SL_OK && slot.generation <= *generation) continue;
		*out = (struct spill_marked){.low = slot.low, .high = slot.high, .count = slot.count};
		memcpy(out->undone, slot.undone, slot.count * sizeof slot.undone[0]);
		*generation = slot.generation;
		r = SL_OK;
	}
	return r == SL_OK ? r : mark_read_1(fd, out, generation);
}

int spill_mark_open(struct spill *s, struct sl_err *err) {
	char *path = sl_asprintf("%s/mark", s->dir);
	s->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	struct spill_marked was = {0};
	int r = SL_OK;
	if (s->mark_fd < 0)
		r = sl_err_set(err, sl_status_from_errno(errno), "cannot open %s: %s; check the rights of the folder",
			       path, strerror(errno));
	else if (spill_mark_read(s->mark_fd, &was, &s->mark_generation) == SL_OK) {
		s->mark_written = was.low;
		if (was.high > was.low) s->was = marked_copy(&was);
		if (was.high > s->next_seq) s->next_seq = was.high;
	} else {
		struct stat st;
		if (fstat(s->mark_fd, &st) == 0 && st.st_size > 0)
			log_warn(LOG_ACTION, "mark is damaged; rows delivered before may repeat", "path=%s", path);
		/* Both slots now, so that later ones need no room on a full disk. */
		mark_slot_write(s, 1, true);
		mark_slot_write(s, 1, true);
	}
	if (s->mark_written > s->next_seq) s->next_seq = s->mark_written;
	sl_free(path);
	return r;
}
