/* store.h: what changes rarely, on disk: sessions, subscriptions, wills, retained and delayed messages.
 *
 * Records by space and key. All workers append their changes to one open batch; the store's thread takes it whole, and
 *
 *     batch --> journal (one write, with `sync` one fdatasync) --> durable: the workers that wait are told
 *     once a second, or for some megabytes: the other journal takes its turn, and a second thread brings what is in
 *     the first to state.mdb (LMDB) in one transaction
 *
 * So a batch is what came in while the one before was written: a storm of fifty thousand clients makes few of them, and a
 * single change waits for one write(2). LMDB commits in its safe way (synced, data before the page that names them), so neither
 * a kill nor a power cut makes it unreadable; what a power cut may cost without `sync` is the journal's last second.
 *
 *     dir/state.mdb    the records; each value has a checksum in front
 *     dir/journal-a,-b "SLJRN001" 8 bytes of zero, then frames, then an end mark of 24 bytes of zero:
 *                      u32 crc (CRC-32C of all that follows) | u32 0 | u64 number | u64 bytes | operations (store_op.h)
 *
 * Changes to a key are kept in the order in which they were appended.
 *
 * When the disk is full, or the store has reached nine tenths of bytes_max, store_full() says so: then new things should be
 * refused. What was appended is not lost; the thread tries again until it works.
 *
 * Damage: a journal is read up to the first frame that is not whole; a record with a wrong checksum is left out; a state.mdb that
 * is not sound is moved aside (state.mdb.damaged-TIME) and what can be read of it is kept. Each is said in the log.
 *
 * Thread: any, but for what stands before store_start(). Appending never blocks for the disk. */
#ifndef STORE_H
#define STORE_H

#include "err.h"
#include "slice.h"

struct store;

enum store_space { STORE_META, STORE_SESSION, STORE_SUB, STORE_WILL, STORE_RETAINED, STORE_DELAYED, STORE_SPACES };

enum { STORE_KEY_MAX = 511, STORE_PARTS_MAX = 4 };

struct store_opts {
	const char *dir;    /* made with its parents */
	uint64_t bytes_max; /* see store_full() */
	bool sync;
	uint32_t waiters; /* numbers of those who wait are below this */
	/* What the waiter has asked for with store_push() is durable. On the store's thread: post a letter. */
	void (*durable)(void *arg, uint32_t waiter);
	void *arg;
};

int store_open(const struct store_opts *opts, struct store **out, struct sl_err *err) sl_warn_unused;
/* Writes what is there, ends the thread: nobody is told of anything any more. Blocks. */
void store_stop(struct store *st);
void store_close(struct store *st); /* stops it, if that is still to be done. NULL is fine */

/* All records of a space, in the order of their keys. Before store_start() only. A callback's status that is not SL_OK ends
 * the walk and is returned. Slices are valid during the call. */
typedef int (*store_scan_cb)(void *arg, struct sl_slice key, struct sl_slice value);
int store_scan(struct store *st, enum store_space space, store_scan_cb each, void *arg);
int store_start(struct store *st, struct sl_err *err) sl_warn_unused;

/* Appends a change; gives the number of the batch it is in. The value is its parts, one behind the other (at most
 * STORE_PARTS_MAX). Keys have at most STORE_KEY_MAX bytes and at least one. */
uint64_t store_put(struct store *st, enum store_space space, struct sl_slice key, const struct sl_slice *parts,
		   size_t n);
uint64_t store_delete(struct store *st, enum store_space space, struct sl_slice key);
uint64_t store_delete_all(struct store *st, enum store_space space, struct sl_slice prefix); /* not empty */

/* Once a tick: what was appended should be written. The waiter is told when batch `seq` is durable; 0: it need not be. */
void store_push(struct store *st, uint32_t waiter, uint64_t seq);
uint64_t store_durable(const struct store *st); /* all batches up to this one are */
bool store_full(const struct store *st);        /* new things should be refused: the disk or the bound */
bool store_busy(const struct store *st);        /* so much waits to be written that publishers should, too */

/* A key of any text: `prefix` (at most 16 bytes) and the text itself; of a long one its beginning and its SHA-256, so that two
 * texts never share one. The text has no byte 0, as MQTT has it. */
struct store_key {
	size_t n;
	char bytes[STORE_KEY_MAX];
};
void store_key_of(struct store_key *key, struct sl_slice prefix, struct sl_slice text);
static inline struct sl_slice store_key_slice(const struct store_key *key) { return slice_make(key->bytes, key->n); }
static inline struct sl_slice store_key_u64(struct store_key *key, uint64_t number) {
	for (int i = 0; i < 8; i++) key->bytes[i] = (char)(number >> (56 - 8 * i));
	key->n = 8;
	return store_key_slice(key);
}

struct store_stat {
	uint64_t commits;     /* batches made durable */
	uint64_t checkpoints; /* times that they were brought to state.mdb */
	uint64_t errors;      /* writes that failed; each is tried again */
	uint64_t bytes;       /* of state.mdb that are in use, and of the journal */
	uint64_t last_us;     /* how long the last commit took */
	uint64_t damaged;     /* records that a start could not read */
	bool full;
};
void store_stat(const struct store *st, struct store_stat *out);

#endif
