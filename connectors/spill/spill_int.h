/* spill_int.h: what the writer, the reader and recovery share. See spill.h. */
#ifndef SL_SPILL_INT_H
#define SL_SPILL_INT_H

#include "spill.h"

#define SPILL_MAGIC "SLSEG002"
#define SPILL_MAGIC_1 "SLSEG001"       /* without origins */
#define SPILL_RECORD_MAX (256 * SL_MB) /* no record is longer: what claims to be is damage */
#define SPILL_HEADER_MAX (1 * SL_MB)
#define SPILL_ROLL_BYTES (1 * SL_MB) /* files that are used again become so large */
#define SPILL_SPARE_END ".spare"

struct spill_file_head {
	char magic[8];
	uint32_t crc, bytes; /* crc of all behind it, to the end of the header */
	uint64_t first_seq;
	uint32_t columns, zero;
};

struct spill_segment {
	struct sl_list link;
	uint64_t first_seq, end_seq; /* end: of the last good record, exclusive */
	uint64_t start, end;         /* bytes: first record, behind the last good one */
	uint64_t size;               /* of the file; what is behind `end` is of a former segment (spill_spare.c) */
	uint64_t live, unread;       /* records not done; of these, not in memory */
	uint64_t unread_rows, unread_bytes;
	int fd; /* open while read or written, else -1 */
	struct spill_names names;
	char *name_bytes;
	bool same_columns; /* as the log's present ones */
};

/* What a mark says: all records below `low` are done, and all below `high` but the listed ones, in order. */
#define SPILL_UNDONE_MAX 250
struct spill_marked {
	uint64_t low, high;
	uint32_t count;
	uint64_t undone[SPILL_UNDONE_MAX];
};

/* A file of spill_decided.c as it was read. */
struct spill_told {
	struct sl_buf file;
	size_t
	    at; /* of the entry that was found last, for they are asked for in their order, or nearly so; 0: none was */
};

/* A window onto a file. */
struct spill_window {
	struct sl_buf buf;
	uint64_t at; /* file offset of buf's first byte */
};

struct spill {
	char *dir;
	uint64_t segment_bytes, next_seq, room_made, disk_bytes;
	struct spill_names names;
	char *name_bytes;
	struct sl_buf owner;
	bool sync;
	struct sl_list segments; /* in order of sequence */
	struct spill_segment *active;
	struct sl_list spares; /* spill_segment of files to be used again */
	uint64_t spare_bytes;
	uint32_t spare_count, spare_least; /* least: since the last spill_rest() */
	struct sl_list kept;               /* spill_ref of records in memory, in order of sequence */

	struct spill_segment *read_segment; /* where the next unread record stands; valid when unread_records > 0 */
	uint64_t read_at, read_seq;
	uint64_t unread_records, unread_rows, unread_bytes;
	struct spill_window window;
	struct spill_ref back; /* the record that is unread again; not in a list, seq 0: none is. And */
	uint32_t back_done;    /* so many of its rows are decided */

	int mark_fd;
	uint64_t mark_written, mark_generation;
	bool mark_failed, done_since; /* done_since: a record, since the mark was written */
	struct spill_marked *was;     /* by a former run; NULL: nothing but its low end */
	struct spill_told decided;    /* by a former run */
};

char *spill_path(const char *dir, uint64_t first_seq);
struct sl_slice *spill_names_copy(const struct sl_slice *from, size_t count, char **bytes);
bool spill_names_equal(const struct spill_names *a, const struct spill_names *b);
void spill_segment_free(struct spill_segment *g); /* closes, unlinks nothing */
void spill_segment_delete(struct spill *s, struct spill_segment *g);
void spill_segment_size(struct spill *s, struct spill_segment *g, uint64_t size); /* counts it */
uint64_t spill_mark(const struct spill *s);

/* Bytes [at, at + n) of the file, of which the first `limit` count; NULL when it has not that many (or cannot be read). */
const char *spill_window_get(struct spill_window *w, int fd, uint64_t limit, uint64_t at, size_t n);
/* Checks the record at `at`: frame, CRC, sequence, and each row. SL_OK: head and rows (borrowed from the window). */
int spill_record_check(struct spill_window *w, int fd, uint64_t limit, uint64_t at, uint64_t seq,
		       struct spill_head *head, const char **rows);

/* spill_spare.c */
uint64_t spill_file_most(const struct spill *s); /* above it a new file begins */
struct spill_head spill_end_mark(uint64_t seq);
bool spill_end_here(struct spill_window *w, int fd, uint64_t limit, uint64_t at, uint64_t seq); /* an end mark */
bool spill_spare_keep(struct spill *s, struct spill_segment *g); /* false: nobody needs it */
bool spill_spares_drop(struct spill *s);                         /* true: there were some */
/* A spare becomes the file `path`: header and end mark are written. -1: there is none. */
int spill_spare_take(struct spill *s, const char *path, struct sl_slice header, uint64_t *size);
int spill_spares_remove(const char *dir); /* of a former run, too */

/* spill_owner.c */
void spill_owner_write(const struct spill *s); /* the folder is there; does nothing when the file says the same */
/* Small files: appends all of it, or nothing when it is not there or longer than `max`; written beside it, then renamed; that, too,
 * removed. */
int spill_small_read(const char *path, size_t max, struct sl_buf *out);
int spill_small_replace(const char *path, struct sl_slice bytes, bool sync);
int spill_small_remove(const char *dir, const char *name);

/* spill_decided.c */
void spill_decided_read(const char *dir, struct spill_told *out); /* empty when there is nothing, or it is damaged */
void spill_decided_write(struct spill *s);                        /* and forgets what spill_decided() was told */
uint32_t spill_decided_rows(struct spill_told *decided, uint64_t seq, uint32_t crc, uint32_t rows);
/* Appends the others; some are decided. */
void spill_decided_cut(struct spill_told *decided, const struct spill_head *head, const char *rows, struct sl_buf *out);

int spill_mark_open(struct spill *s, struct sl_err *err); /* reads it into mark_written, makes it if missing */
int spill_mark_read(int fd, struct spill_marked *out, uint64_t *generation);
bool spill_marked_done(const struct spill_marked *m, uint64_t seq); /* m may be NULL */
int spill_recover(struct spill *s, struct sl_err *err);

#endif
