/* spill.h: the segment log of one action: rows that must outlive a crash, and rows for which memory has no room.
 *
 *     data_dir/actions/rule.0/
 *         mark                         two slots; the newer valid one says: all below this sequence is done, and all below
 *                                      another, higher one but a list of records (rows that are tried again and again)
 *         decided                      rows that are done of records that are not, when it was closed (spill_decided.c)
 *         owner                        what the owner of the log wants to know of itself at the next start (likeness.h)
 *         00000000000000000001.log     segment: header, then records; named by its first sequence
 *         00000000000000065217.log     the active one, the only one written to
 *         00000000000000000871.spare   was a segment whose records are all done, and becomes the next one; 16 at most
 *
 *     segment header   "SLSEG002" | u32 crc | u32 header bytes | u64 first sequence | u32 column count | u32 0
 *                      | count x { u16 length, name } | padding to 8
 *     record           u32 crc (of all that follows) | u32 bytes of rows | u64 sequence of the first row | u32 rows | u32 0
 *                      | rows (sql_row.h), one behind the other, each message's origin (origin.h) before its rows
 *     end mark         a record of no rows and no bytes, with the sequence that comes next: what is behind it in the file is of
 *                      a former segment, whose file is used again
 *
 * Files become as large as segment_bytes says only where much is unread, or with `sync`. Else the log goes round through files of
 * 1 MB, for new ones cost several times what is written to them (spill_spare.c). A spare gets its header and an end mark before it gets
 * the name of a segment; each write puts the end mark further back, until it meets the end of the file. After a power cut a segment
 * may have the header that its file had before; if all in it is done nobody hears of it. Versions of Sluice that do not know of end marks
 * cut there, with a WARN, and lose nothing.
 *
 * Segments of the former form, "SLSEG001", have no origins, and are read like others. A version of Sluice that knows only those
 * refuses to start on ours, in words, rather than lose rows.
 *
 * A record is what a worker staged in one tick; each of its rows has a sequence number. One writer, one reader, one owner.
 * The reader follows the writer as long as rows stay in memory too; once a record is written without being kept, all
 * later ones must be, until the reader has caught up: that is how order survives.
 *
 * What is done is told with spill_done(); a segment whose records are all done is deleted whole. The mark is written when the
 * owner says so: a crash in between repeats rows and never loses any.
 *
 * Recovery walks every segment from the mark on. A record that is torn or damaged ends its segment: one WARN names file, place
 * and bytes. Nothing is ever appended to a segment of a former run, so a cut stays where it was.
 *
 * Errors: SL_ENOSPACE and SL_EIO from append leave the log as it was before the record that failed.
 * Thread: one at a time. Every call does file input or output (to the page cache, unless `sync`). */
#ifndef SL_SPILL_H
#define SL_SPILL_H

#include "buf.h"
#include "err.h"
#include "list.h"
#include "slice.h"

struct spill;
struct spill_segment;

/* Room that a record's owner leaves before its rows; filled in by spill_append(). */
struct spill_head {
	uint32_t crc, bytes;
	uint64_t seq;
	uint32_t rows, zero;
};

/* A record that is kept in memory: its place in the log. Zeroed = not in the log. */
struct spill_ref {
	struct sl_list link; /* in order of sequence */
	struct spill_segment *segment;
	uint64_t seq;
	uint64_t at; /* of one that was read: where it stands in its file, */
	uint32_t bytes, rows, crc;
	void *decided; /* of spill_decided() */
};
static inline bool spill_ref_logged(const struct spill_ref *ref) { return ref->segment != NULL; }

struct spill_opts {
	const char *dir;                /* made with its parents when the first record is written */
	uint64_t segment_bytes;         /* a new segment begins above this, at the latest */
	const struct sl_slice *columns; /* names of a row's values, written into each segment; copied */
	size_t column_count;
	struct sl_slice
	    owner; /* bytes of the caller's that stand in the folder's file `owner`; copied; empty: no such file is written */
	bool sync; /* segments and folder are synced when they change hands; the owner syncs the active one */
};

struct spill_stat {
	uint64_t disk_bytes, spare_bytes;   /* of all files; of these, what only waits to be used again */
	uint64_t unread_rows, unread_bytes; /* in the log and not in memory */
};

int spill_open(const struct spill_opts *opts, struct spill **out, struct sl_err *err);
/* Writes the mark and deletes segments without undone records, and the folder when nothing is left in it. The rest stays for the
 * next open. NULL is fine. */
void spill_close(struct spill *s);

/* Appends records, each `record[i]` = spill_head + rows of size[i] bytes in all. With keep[i] the caller holds the rows in
 * memory and ends them with spill_done(); only allowed while nothing is unread. keep[i] == NULL: to be read back.
 * Returns how many were written; when less than n, *status says why (the rest is as if never tried). */
size_t spill_append(struct spill *s, void *const record[], const size_t size[], struct spill_ref *const keep[],
		    size_t n, int *status);

/* The next unread record: its rows (without head) are appended to *out, whose end must be 8-aligned. *columns (may be NULL) are
 * the names its segment was written with, or NULL when they are the present ones. SL_ENOTFOUND: nothing unread.
 * SL_ECORRUPT: a damaged record, and what follows it in its segment, is lost; *rows says how many, reading goes on behind it. */
struct spill_names {
	const struct sl_slice *at;
	size_t count;
};
int spill_read(struct spill *s, struct sl_buf *out, struct spill_ref *ref, uint32_t *rows,
	       const struct spill_names **columns);

/* How many bytes of rows the next unread record has; 0: there is none, or it is damaged. Only looks at its head. */
uint64_t spill_next_bytes(struct spill *s);
/* The record that was read last is unread again: the next to be read; of the `rows` that were got `done` are decided and not counted
 * as unread. It gives all of them again; of those that spill_unread_decided() names the next run gets none. Zeroes *ref. False: others were
 * read since, it gave another number of rows, or the columns of its segment are former ones; nothing has changed. */
bool spill_unread(struct spill *s, struct spill_ref *ref, uint32_t rows, uint32_t done);
void spill_unread_decided(struct spill *s, const uint64_t *bits,
			  uint32_t n); /* as spill_decided(); directly behind it */

/* Of the n rows that were got of a record these are decided, a bit each, and some are not: after a spill_close() the next run gets the
 * others only. Told again of the same record, n are those others. What is said of another number of rows is passed over, and what was
 * not told repeats. */
void spill_decided(struct spill *s, struct spill_ref *ref, const uint64_t *bits, uint32_t n);
void spill_done(struct spill *s, struct spill_ref *ref); /* the record's rows are all decided; zeroes *ref */
/* From the next record on rows have these columns (names are copied), segments this size, and are synced or not: the active
 * segment ends. */
void spill_change(struct spill *s, const struct spill_opts *opts);
void spill_owner_change(struct spill *s, struct sl_slice owner); /* copied */
/* Gives back what done records still occupy: spares, what is behind the end of the active segment, and that itself, if all of its
 * records are done. True when something was freed. */
bool spill_trim(struct spill *s);
void spill_rest(struct spill *s);           /* now and then: spares go that were not needed since the last call */
bool spill_mark_due(const struct spill *s); /* has the mark moved since it was written? */
void spill_mark_write(struct spill *s);
void spill_stat(const struct spill *s, struct spill_stat *out);
/* A descriptor of the active segment for fdatasync() elsewhere, to be closed by the caller; -1 when there is none. */
int spill_sync_fd(const struct spill *s);
uint64_t spill_unread_rows(const struct spill *s);
uint64_t spill_room_made(const struct spill *s); /* grows whenever an append may succeed that had no room before */

/* Appends what stands in the folder's file `owner`; nothing when there is none, or it is longer than `max`. */
void spill_owner(const char *dir, size_t max, struct sl_buf *out);
void spill_owner_put(const char *dir, struct sl_slice owner); /* of a log that nobody has open */
/* Undone rows in a folder of this form, reading only: for logs that nobody owns any more. -SL_E when it, or any of its
 * segments, can't be read: then nobody knows how many. */
int spill_count(const char *dir, uint64_t *rows);
int spill_remove(
    const char *dir); /* a folder whose rows are all done, with all of the log's files; SL_OK when not there */

#endif
