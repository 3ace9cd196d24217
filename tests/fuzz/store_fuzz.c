/* Any bytes as a journal (the first byte is even; frames get the checksums that they should have) or as LMDB's file (odd): what the
 * check calls sound LMDB must be able to read and change; of what is not sound, whatever can be read is. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "store_check.h"
#include "store_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir, *table;

static void scratch_remove(void) {
	unlink(table);
	rmdir(dir);
	sl_free(dir);
	sl_free(table);
	dir = table = NULL;
}

static void scratch_dir(void) {
	if (dir) return;
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir;
	atexit(scratch_remove);
	dir = sl_asprintf("%s/sluice-store-fuzz-XXXXXX", base);
	if (!mkdtemp(dir)) abort();
	table = sl_asprintf("%s/state.mdb", dir);
	log_set_level(LOG_OFF);
}

static int each_batch(void *arg, uint64_t seq, struct sl_slice ops) {
	struct store_op op;
	uint64_t *before = arg;
	if (seq <= *before) abort();
	*before = seq;
	while (store_op_next(&ops, &op) == SL_OK)
		if (op.key.n == 0 || op.key.n > STORE_KEY_MAX) abort();
	return SL_OK;
}

static void as_journal(const uint8_t *data, size_t size) {
	enum { HEAD = 16 };
	char *bytes = sl_alloc(size + 1);
	struct store_frame f;
	memcpy(bytes, data, size);
	for (size_t at = HEAD; at + sizeof f <= size;) {
		memcpy(&f, bytes + at, sizeof f);
		if (f.bytes > size - at - sizeof f) break;
		f.crc = crc32c(crc32c(0, &f.zero, sizeof f - sizeof f.crc), bytes + at + sizeof f, f.bytes);
		memcpy(bytes + at, &f, sizeof f);
		at += sizeof f + f.bytes;
	}
	uint64_t last, before = 3;
	bool clean;
	if (store_journal_walk(slice_make(bytes, size), 3, each_batch, &before, &last, &clean) > size) abort();
	sl_free(bytes);
}

static int each_record(void *arg, struct sl_slice key, struct sl_slice value) {
	uint64_t *sum = arg;
	for (size_t i = 0; i < value.n; i += 512) *sum += (uint8_t)value.p[i];
	*sum += key.n;
	return SL_OK;
}

static void each_salvaged(void *arg, const char *name, struct sl_slice key, struct sl_slice value) {
	(void)name;
	each_record(arg, key, value);
}

/* The file was found sound. */
static void use_it(void) {
	struct store_table *t;
	uint64_t applied = 0, damaged = 0, sum = 0;
	struct sl_buf ops = SL_BUF_INIT;
	struct sl_slice value = SL_SLICE_LIT("value");
	for (int i = 0; i < STORE_SPACES; i++) {
		store_op_put(&ops, STORE_OP_PUT, (enum store_space)i, SL_SLICE_LIT("key-15"), &value, 1);
		store_op_put(&ops, STORE_OP_DELETE, (enum store_space)i, SL_SLICE_LIT("key-20"), NULL, 0);
		store_op_put(&ops, STORE_OP_DELETE_ALL, (enum store_space)i, SL_SLICE_LIT("key-3"), NULL, 0);
	}
	if (store_table_open(dir, &t, &applied, &damaged, NULL) == SL_OK) {
		for (int i = 0; i < STORE_SPACES; i++)
			(void)store_table_scan(t, (enum store_space)i, each_record, &sum, &damaged);
		if (store_table_begin(t) == SL_OK && store_table_apply(t, sl_buf_slice(&ops)) == SL_OK)
			(void)store_table_commit(t, 7);
		store_table_abort(t);
		(void)store_table_bytes(t);
	}
	store_table_close(t);
	sl_buf_fini(&ops);
}

static void as_table(const uint8_t *data, size_t size) {
	struct store_check found;
	uint64_t sum = 0;
	if (size == 0 || store_check_bytes(slice_make(data, size), each_salvaged, &sum, &found) != SL_OK) return;
	scratch_dir();
	FILE *out = fopen(table, "wb");
	if (!out || fwrite(data, 1, size, out) != size || fclose(out) != 0) abort();
	use_it();
	unlink(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	if (data[0] % 2)
		as_table(data + 1, size - 1);
	else
		as_journal(data + 1, size - 1);
	return 0;
}
