/* store_test.c: records come back: after a close, after a death, from damaged files as far as they can. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "rng.h"
#include "store_check.h"
#include "store_int.h"

#define FOLDER P_tmpdir "/sluice-store-XXXXXX"

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t told;
	int times;
};

struct fix {
	char dir[64];
	struct store *st;
	struct waiting waiting;
};

static void durable(void *arg, uint32_t waiter) {
	struct waiting *w = arg;
	assert_int_equal(waiter, 1);
	pthread_mutex_lock(&w->lock);
	w->times++;
	pthread_cond_signal(&w->told);
	pthread_mutex_unlock(&w->lock);
}

static int setup(void **state) {
	struct fix *f = SL_NEW(struct fix);
	pthread_mutex_init(&f->waiting.lock, NULL);
	pthread_cond_init(&f->waiting.told, NULL);
	memcpy(f->dir, FOLDER, sizeof FOLDER);
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *ftw) {
	(void)info, (void)flag, (void)ftw;
	return remove(path);
}

static int teardown(void **state) {
	struct fix *f = *state;
	store_close(f->st);
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	pthread_cond_destroy(&f->waiting.told);
	pthread_mutex_destroy(&f->waiting.lock);
	sl_free(f);
	return 0;
}

static int open_at(struct fix *f, const char *dir, uint64_t bytes_max, struct sl_err *err) {
	struct store_opts opts = {
	    .dir = dir, .bytes_max = bytes_max, .waiters = 2, .durable = durable, .arg = &f->waiting};
	return store_open(&opts, &f->st, err);
}

static void start(struct fix *f) {
	assert_int_equal(open_at(f, f->dir, 1 << 30, NULL), SL_OK);
	assert_int_equal(store_start(f->st, NULL), SL_OK);
}

static void stop(struct fix *f) {
	store_close(f->st);
	f->st = NULL;
}

static void wait_durable(struct fix *f, uint64_t seq) {
	pthread_mutex_lock(&f->waiting.lock);
	int before = f->waiting.times;
	store_push(f->st, 1, seq);
	while (f->waiting.times == before) pthread_cond_wait(&f->waiting.told, &f->waiting.lock);
	pthread_mutex_unlock(&f->waiting.lock);
	assert_true(store_durable(f->st) >= seq);
}

static uint64_t put(struct fix *f, enum store_space space, const char *key, const char *value) {
	struct sl_slice v = slice_from_str(value);
	return store_put(f->st, space, slice_from_str(key), &v, 1);
}

static int collect_one(void *arg, struct sl_slice key, struct sl_slice value) {
	sl_buf_printf(arg, "%.*s=%.*s ", SL_SLICE_ARG(key), SL_SLICE_ARG(value));
	return SL_OK;
}

static void assert_space(struct fix *f, enum store_space space, const char *wanted) {
	struct sl_buf all = SL_BUF_INIT;
	assert_int_equal(store_scan(f->st, space, collect_one, &all), SL_OK);
	assert_string_equal(sl_buf_cstr(&all), wanted);
	sl_buf_fini(&all);
}

static char *file_of(const struct fix *f, const char *name) { return sl_asprintf("%s/%s", f->dir, name); }

static struct sl_buf slurp(const char *path) {
	struct sl_buf b = SL_BUF_INIT;
	FILE *in = fopen(path, "rb");
	assert_non_null(in);
	for (int c; (c = fgetc(in)) != EOF;) sl_buf_put(&b, (char)c);
	fclose(in);
	return b;
}

static void spew(const char *path, const struct sl_buf *b) {
	FILE *out = fopen(path, "wb");
	assert_non_null(out);
	if (b->n) assert_int_equal(fwrite(b->p, 1, b->n, out), b->n);
	fclose(out);
}

/* What a kill leaves: the files as they are while the store is open. */
static void copy_store(const struct fix *f, const char *to) {
	static const char *const names[] = {"state.mdb", "journal-a", "journal-b"};
	assert_int_equal(mkdir(to, 0700), 0);
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		char *from = file_of(f, names[i]), *path = sl_asprintf("%s/%s", to, names[i]);
		struct sl_buf b = slurp(from);
		spew(path, &b);
		sl_buf_fini(&b);
		sl_free(from);
		sl_free(path);
	}
}

static void test_store__keeps_what_it_was_given(void **state) {
	struct fix *f = *state;
	start(f);
	put(f, STORE_SESSION, "b", "2");
	put(f, STORE_SESSION, "a", "1");
	put(f, STORE_WILL, "a", "will");
	put(f, STORE_SESSION, "a", "one");
	store_delete(f->st, STORE_SESSION, slice_from_str("b"));
	stop(f);
	start(f);
	stop(f);
	assert_int_equal(open_at(f, f->dir, 1 << 30, NULL), SL_OK);
	assert_space(f, STORE_SESSION, "a=one ");
	assert_space(f, STORE_WILL, "a=will ");
	assert_space(f, STORE_SUB, "");
}

static void test_store__deletes_all_of_a_prefix(void **state) {
	struct fix *f = *state;
	start(f);
	for (int i = 0; i < 3000; i++) {
		char *key = sl_asprintf("%c/%d", "abc"[i % 3], i);
		put(f, STORE_SUB, key, "some value that fills pages, and some more of it");
		sl_free(key);
	}
	stop(f);
	start(f);
	store_delete_all(f->st, STORE_SUB, slice_from_str("b/"));
	put(f, STORE_SUB, "b/new", "1");
	stop(f);
	assert_int_equal(open_at(f, f->dir, 1 << 30, NULL), SL_OK);
	struct sl_buf all = SL_BUF_INIT;
	assert_int_equal(store_scan(f->st, STORE_SUB, collect_one, &all), SL_OK);
	size_t b = 0;
	for (const char *p = sl_buf_cstr(&all); (p = strstr(p, "b/")) != NULL; p++) b++;
	assert_int_equal(b, 1);
	assert_non_null(strstr(all.p, "a/0="));
	assert_non_null(strstr(all.p, "c/2999="));
	sl_buf_fini(&all);
}

static void test_store__what_is_durable_survives_a_kill(void **state) {
	struct fix *f = *state;
	start(f);
	for (int i = 0; i < 200; i++) {
		char key[16];
		snprintf(key, sizeof key, "k%03d", i);
		wait_durable(f, put(f, STORE_RETAINED, key, "v"));
	}
	char *to = file_of(f, "copy");
	copy_store(f, to);
	stop(f);
	assert_int_equal(open_at(f, to, 1 << 30, NULL), SL_OK);
	struct sl_buf all = SL_BUF_INIT;
	assert_int_equal(store_scan(f->st, STORE_RETAINED, collect_one, &all), SL_OK);
	assert_int_equal(all.n, 200 * strlen("k000=v "));
	sl_buf_fini(&all);
	sl_free(to);
}

/* Cut anywhere: what stands before the cut is there, and the store works on. */
static void test_journal__is_cut_at_its_last_good_batch(void **state) {
	struct fix *f = *state;
	start(f);
	for (int i = 0; i < 4; i++) wait_durable(f, put(f, STORE_META, (const char *[]){"a", "b", "c", "d"}[i], "v"));
	char *to = file_of(f, "copy"), *journal = sl_asprintf("%s/journal-a", to),
	     *table = sl_asprintf("%s/state.mdb", to);
	copy_store(f, to);
	stop(f);
	struct sl_buf whole = slurp(journal);
	size_t before = 0;
	for (size_t n = 16; n <= whole.n; n += 3) {
		struct sl_buf cut = {.p = whole.p, .n = n};
		spew(journal, &cut);
		unlink(table);
		assert_int_equal(open_at(f, to, 1 << 30, NULL), SL_OK);
		struct sl_buf all = SL_BUF_INIT;
		assert_int_equal(store_scan(f->st, STORE_META, collect_one, &all), SL_OK);
		size_t there = 0;
		for (const char *p = sl_buf_cstr(&all); (p = strstr(p, "=v ")) != NULL; p++) there++;
		assert_true(there >= before);
		before = there;
		sl_buf_fini(&all);
		stop(f);
	}
	assert_int_equal(before, 4);
	sl_buf_fini(&whole);
	sl_free(to);
	sl_free(journal);
	sl_free(table);
}

static void test_store__of_a_newer_format_is_refused(void **state) {
	struct fix *f = *state;
	struct sl_err err = SL_ERR_INIT;
	start(f);
	uint64_t format = 2;
	struct sl_slice value = slice_make(&format, sizeof format);
	store_put(f->st, STORE_META, slice_from_str("format"), &value, 1);
	stop(f);
	assert_int_equal(open_at(f, f->dir, 1 << 30, &err), SL_EUNSUPPORTED);
	assert_non_null(strstr(sl_err_text(&err), "newer version"));
	sl_err_fini(&err);
}

static void test_journal__of_a_newer_format_is_refused(void **state) {
	struct fix *f = *state;
	struct sl_err err = SL_ERR_INIT;
	start(f);
	wait_durable(f, put(f, STORE_META, "a", "1"));
	stop(f);
	char *journal = file_of(f, "journal-a");
	struct sl_buf b = slurp(journal);
	b.p[7] = '2';
	spew(journal, &b);
	assert_int_equal(open_at(f, f->dir, 1 << 30, &err), SL_EUNSUPPORTED);
	struct sl_buf after = slurp(journal);
	assert_int_equal(after.n, b.n);
	assert_memory_equal(after.p, b.p, b.n);
	sl_err_fini(&err);
	sl_buf_fini(&after);
	sl_buf_fini(&b);
	sl_free(journal);
}

static void fill(struct fix *f, int records) {
	char *large = sl_alloc(9001);
	memset(large, 'x', 9000);
	large[9000] = '\0';
	for (int i = 0; i < records; i++) {
		char key[32];
		snprintf(key, sizeof key, "key-%05d", i);
		put(f, STORE_RETAINED, key, i % 50 == 7 ? large : "a value of some bytes, for a page to fill");
	}
	sl_free(large);
}

static size_t records_of(struct fix *f) {
	struct sl_buf all = SL_BUF_INIT;
	assert_int_equal(store_scan(f->st, STORE_RETAINED, collect_one, &all), SL_OK);
	size_t there = 0;
	for (const char *p = sl_buf_cstr(&all); (p = strstr(p, "key-")) != NULL; p++) there++;
	sl_buf_fini(&all);
	return there;
}

/* Whatever becomes of the file: the store opens, keeps what is sound, and takes changes. */
static void test_table__damaged_anywhere_opens(void **state) {
	struct fix *f = *state;
	enum { RECORDS = 2000, ROUNDS = 60 };
	start(f);
	fill(f, RECORDS);
	stop(f);
	char *table = file_of(f, "state.mdb");
	struct sl_buf whole = slurp(table);
	size_t most = 0;
	for (int round = 0; round < ROUNDS; round++) {
		char *to = sl_asprintf("%s/r%d", f->dir, round), *path = sl_asprintf("%s/state.mdb", to);
		assert_int_equal(mkdir(to, 0700), 0);
		struct sl_buf bad = SL_BUF_INIT;
		sl_buf_append_slice(&bad, sl_buf_slice(&whole));
		if (round % 4 == 0)
			bad.n = 1 + sl_rng_below(bad.n);
		else
			memset(bad.p + sl_rng_below(bad.n - 4096), round % 4 == 1 ? 0xff : (int)sl_rng_below(256),
			       1 + sl_rng_below(round % 4 == 2 ? 4096 : 8));
		spew(path, &bad);
		assert_int_equal(open_at(f, to, 1 << 30, NULL), SL_OK);
		assert_int_equal(store_start(f->st, NULL), SL_OK);
		wait_durable(f, put(f, STORE_SESSION, "new", "1"));
		stop(f);
		assert_int_equal(open_at(f, to, 1 << 30, NULL), SL_OK);
		assert_space(f, STORE_SESSION, "new=1 ");
		size_t there = records_of(f);
		assert_true(there <= RECORDS);
		if (there > most) most = there;
		stop(f);
		sl_buf_fini(&bad);
		sl_free(path);
		sl_free(to);
	}
	assert_true(most > RECORDS / 2);
	sl_buf_fini(&whole);
	sl_free(table);
}

static void test_table__that_is_sound_passes_the_check(void **state) {
	struct fix *f = *state;
	start(f);
	for (int i = 0; i < 5; i++) {
		fill(f, 1000 * (i + 1));
		store_delete_all(f->st, STORE_RETAINED, slice_from_str("key-00"));
		wait_durable(f, put(f, STORE_META, "a", "1"));
		stop(f);
		start(f);
	}
	stop(f);
	char *table = file_of(f, "state.mdb");
	struct store_check found;
	assert_int_equal(store_check_read(table, NULL, NULL, &found), SL_OK);
	assert_string_equal(found.what, "");
	assert_true(found.records > 3000);
	sl_free(table);
}

/* Changes `byte` at this distance from each place where the text stands; what the check says then. */
static int changed_at(const struct sl_buf *whole, const char *text, int distance, char byte) {
	struct store_check found;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_slice(&b, sl_buf_slice(whole));
	size_t n = strlen(text);
	for (size_t at = 8; at + n <= b.n; at++)
		if (memcmp(whole->p + at, text, n) == 0) b.p[(ptrdiff_t)at + distance] = byte;
	int rc = store_check_bytes(sl_buf_slice(&b), NULL, NULL, &found);
	sl_buf_fini(&b);
	return rc;
}

/* LMDB follows a flag of records that it does not have here, and does not find again a table whose name is out of order: both end
 * the process. In front of a key stand its size (2 bytes) and the record's flags (2). */
static void test_table__with_strange_flags_or_names_out_of_order_is_not_sound(void **state) {
	struct fix *f = *state;
	start(f);
	fill(f, 100);
	stop(f);
	char *table = file_of(f, "state.mdb");
	struct sl_buf whole = slurp(table);
	assert_int_equal(changed_at(&whole, "key-00003", 0, 'k'), SL_OK);
	assert_int_equal(changed_at(&whole, "key-00003", -4, 4), SL_ECORRUPT);
	assert_int_equal(changed_at(&whole, "key-00003", -4, 2), SL_ECORRUPT);
	assert_int_equal(changed_at(&whole, "key-00003", 0, 'z'), SL_ECORRUPT);
	assert_int_equal(changed_at(&whole, "retained", 0, 'z'), SL_ECORRUPT);
	sl_buf_fini(&whole);
	sl_free(table);
}

static void test_store__at_its_bound_is_full_until_there_is_room(void **state) {
	struct fix *f = *state;
	assert_int_equal(open_at(f, f->dir, 1 << 20, NULL), SL_OK);
	assert_int_equal(store_start(f->st, NULL), SL_OK);
	char value[1001];
	memset(value, 'v', 1000);
	value[1000] = '\0';
	int i = 0;
	for (; !store_full(f->st); i++) {
		char key[16];
		snprintf(key, sizeof key, "key-%d", i);
		wait_durable(f, put(f, STORE_RETAINED, key, value));
		assert_true(i < 2000);
	}
	assert_true(i > 300);
	uint64_t seq = store_delete_all(f->st, STORE_RETAINED, slice_from_str("key-"));
	while (store_full(f->st)) {
		wait_durable(f, seq);
		seq = put(f, STORE_META, "again", "1");
		usleep(1000);
	}
	stop(f);
}

static void test_key__of_a_long_text_is_its_own(void **state) {
	(void)state;
	struct store_key a, b;
	struct sl_buf text = SL_BUF_INIT;
	memset(sl_buf_add(&text, 60000), 'a', 60000);
	store_key_of(&a, slice_from_str("12345678"), sl_buf_slice(&text));
	text.p[59999] = 'b';
	store_key_of(&b, slice_from_str("12345678"), sl_buf_slice(&text));
	assert_true(a.n <= STORE_KEY_MAX && a.n == b.n);
	assert_memory_not_equal(a.bytes, b.bytes, a.n);
	store_key_of(&a, slice_from_str("p"), slice_from_str("short/topic"));
	assert_int_equal(a.n, 12);
	assert_memory_equal(a.bytes, "pshort/topic", 12);
	sl_buf_fini(&text);
}

/* Against a naive twin: an array of values by key. */
static void test_store__random_changes_are_those_of_a_twin(void **state) {
	struct fix *f = *state;
	enum { KEYS = 64 };
	int twin[KEYS];
	for (int k = 0; k < KEYS; k++) twin[k] = -1;
	for (int run = 0; run < 6; run++) {
		start(f);
		for (int i = 0; i < 500; i++) {
			int k = (int)sl_rng_below(KEYS);
			char key[16], value[16];
			snprintf(key, sizeof key, "%c%02d", 'a' + k % 4, k);
			snprintf(value, sizeof value, "%d", i);
			uint64_t seq = 0;
			switch (sl_rng_below(8)) {
			case 0:
				store_delete(f->st, STORE_WILL, slice_from_str(key));
				twin[k] = -1;
				break;
			case 1:
				key[1] = '\0';
				if (sl_rng_below(8) != 0) break;
				store_delete_all(f->st, STORE_WILL, slice_from_str(key));
				for (int j = k % 4; j < KEYS; j += 4) twin[j] = -1;
				break;
			default: seq = put(f, STORE_WILL, key, value); twin[k] = i;
			}
			if (seq && sl_rng_below(50) == 0) wait_durable(f, seq);
		}
		stop(f);
		assert_int_equal(open_at(f, f->dir, 1 << 30, NULL), SL_OK);
		struct sl_buf wanted = SL_BUF_INIT;
		for (int group = 0; group < 4; group++)
			for (int k = group; k < KEYS; k += 4)
				if (twin[k] >= 0) sl_buf_printf(&wanted, "%c%02d=%d ", 'a' + group, k, twin[k]);
		struct sl_buf all = SL_BUF_INIT;
		assert_int_equal(store_scan(f->st, STORE_WILL, collect_one, &all), SL_OK);
		assert_string_equal(sl_buf_cstr(&all), sl_buf_cstr(&wanted));
		sl_buf_fini(&all);
		sl_buf_fini(&wanted);
		stop(f);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    T(test_store__keeps_what_it_was_given),
	    T(test_store__deletes_all_of_a_prefix),
	    T(test_store__what_is_durable_survives_a_kill),
	    T(test_journal__is_cut_at_its_last_good_batch),
	    T(test_store__of_a_newer_format_is_refused),
	    T(test_journal__of_a_newer_format_is_refused),
	    T(test_table__damaged_anywhere_opens),
	    T(test_table__that_is_sound_passes_the_check),
	    T(test_table__with_strange_flags_or_names_out_of_order_is_not_sound),
	    T(test_store__at_its_bound_is_full_until_there_is_room),
	    T(test_key__of_a_long_text_is_its_own),
	    T(test_store__random_changes_are_those_of_a_twin),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
