#include "rig.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "log.h"

#define WAIT_MS 90000 /* how fast the machine is, no test asks */
#define VALUES_MAX 16

uint64_t rig_memory;

char *rig_tmpdir(void) {
	const char *base = getenv("TMPDIR");
	char *dir = sl_asprintf("%s/sluice-test-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
	return dir;
}

static int entry_remove(const char *path, const struct stat *st, int type, struct FTW *ftw) {
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void rig_rmdir(const char *dir) {
	if (access(dir, F_OK) == 0) assert_int_equal(nftw(dir, entry_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

size_t rig_lines(const char *text) {
	size_t n = 0;
	for (; text && *text; text++) n += *text == '\n';
	return n;
}

char *rig_read(const char *path) {
	FILE *f = fopen(path, "rb");
	if (!f) return NULL;
	struct sl_buf b = SL_BUF_INIT;
	for (;;) {
		char *to = sl_buf_add(&b, 4096);
		size_t n = fread(to, 1, 4096, f);
		b.n -= 4096 - n;
		if (n == 0) break;
	}
	fclose(f);
	return sl_buf_steal(&b);
}

/* ---- Calls on a worker. ---- */

struct call {
	struct sl_post post;
	struct rig *r;
	size_t worker, action, n;
	bool qos;
	rig_row_fn row;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done, until_full;
	size_t staged;
};

struct rig_ticket {
	struct sl_list link;
	struct sl_ticket ticket;
	struct rig *r;
};

static void ticket_done(struct sl_ticket *t) {
	struct rig_ticket *mine = sl_container_of(t, struct rig_ticket, ticket);
	pthread_mutex_lock(&mine->r->tickets_lock);
	mine->r->confirmed++;
	sl_list_remove(&mine->link);
	pthread_mutex_unlock(&mine->r->tickets_lock);
	sl_free(mine);
}

uint64_t rig_row(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	int n = snprintf(text, text_size, "d%u", (unsigned)(serial % 10));
	values[0] = sql_string(slice_make(text, (size_t)n));
	values[1] = sql_int((int64_t)serial);
	values[2] = sql_double((double)serial / 2);
	return sl_hash_stable(slice_make(text, (size_t)n));
}

static void stage_run(struct sl_post *post, struct sl_loop *l) {
	struct call *c = sl_container_of(post, struct call, post);
	struct sl_stage *st = sl_pipeline_stage(c->r->p[c->action], c->worker);
	for (size_t i = 0; i < c->n; i++) {
		struct sql_value values[VALUES_MAX] = {0};
		char text[64];
		uint64_t order = c->row(c->r->serial++, values, text, sizeof text);
		struct rig_ticket *t = NULL;
		if (c->qos) {
			t = SL_NEW(struct rig_ticket);
			t->r = c->r;
			pthread_mutex_lock(&c->r->tickets_lock);
			sl_list_push_back(&c->r->tickets, &t->link);
			pthread_mutex_unlock(&c->r->tickets_lock);
			t->ticket.done = ticket_done;
			t->ticket.patience_ms = c->r->patience_ms;
		}
		/* Three rows a message. */
		uint64_t message = (c->r->serial - 1) / 3;
		char client[24];
		(void)snprintf(client, sizeof client, "d%u", (unsigned)(message * 3 % 10));
		struct sl_origin from = {.serial = message + 1,
					 .topic = SL_SLICE_LIT("rig/topic"),
					 .clientid = slice_from_str(client),
					 .payload = c->r->payload,
					 .at_ms = sl_loop_wall_ms(l),
					 .qos = c->qos};
		bool room = sl_stage_row(st, values, 3, order, &from, t ? &t->ticket : NULL);
		c->staged++;
		if (t && t->ticket.pending == 0) {
			ticket_done(&t->ticket);
		}
		if (c->until_full && !room) break;
	}
	sl_stages_flush(c->r->cs, c->worker);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

static void call_do(struct call *c) {
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->cond, NULL);
	c->done = false;
	sl_loop_post(c->r->workers[c->worker], &c->post);
	pthread_mutex_lock(&c->lock);
	while (!c->done) pthread_cond_wait(&c->cond, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->cond);
}

void rig_stage_on(struct rig *r, size_t worker, size_t a, size_t n, size_t per_tick, bool qos, rig_row_fn row) {
	if (per_tick == 0) per_tick = n;
	for (size_t done = 0; done < n; done += per_tick) {
		struct call c = {.post = {.run = stage_run},
				 .r = r,
				 .worker = worker,
				 .action = a,
				 .n = n - done < per_tick ? n - done : per_tick,
				 .qos = qos,
				 .row = row};
		call_do(&c);
	}
}

size_t rig_stage_until_full(struct rig *r, size_t a, size_t most, bool qos) {
	struct call c = {
	    .post = {.run = stage_run}, .r = r, .action = a, .n = most, .qos = qos, .row = rig_row, .until_full = true};
	call_do(&c);
	return c.staged;
}

void rig_stage(struct rig *r, size_t a, size_t n, size_t per_tick, rig_row_fn row) {
	rig_stage_on(r, 0, a, n, per_tick, true, row);
}

/* ---- Make, load, free. ---- */

struct rig *rig_new_in(size_t workers, const char *dir) {
	struct rig *r = SL_NEW(struct rig);
	if (!getenv("RIG_LOG")) log_set_level(LOG_OFF);
	r->dir = sl_strdup(dir);
	sl_list_init(&r->tickets);
	pthread_mutex_init(&r->tickets_lock, NULL);
	r->worker_count = workers;
	for (size_t i = 0; i < workers; i++) {
		assert_int_equal(sl_loop_new("worker", (int)i, &r->workers[i], NULL), SL_OK);
		assert_int_equal(sl_loop_start(r->workers[i], NULL), SL_OK);
	}
	struct connectors_opts opts = {
	    .data_dir = dir, .workers = r->workers, .worker_count = workers, .memory = rig_memory};
	assert_int_equal(connectors_new(&opts, &r->cs, NULL), SL_OK);
	assert_int_equal(connectors_start(r->cs, NULL), SL_OK);
	return r;
}

struct rig *rig_new(size_t workers) {
	char *dir = rig_tmpdir();
	struct rig *r = rig_new_in(workers, dir);
	r->dir_mine = true;
	sl_free(dir);
	return r;
}

static size_t prepare(struct connectors *cs, struct yaml_doc *doc, struct conf_report *report,
		      struct connectors_set **set, struct sl_action_spec **specs) {
	json_t *root = yaml_doc_root(doc), *actions = json_object_get(root, "actions"), *action;
	(void)connectors_prepare(cs, json_object_get(root, "connectors"), (struct conf_at){doc, "connectors"}, report,
				 set);
	size_t i;
	json_array_foreach(actions, i, action) {
		char *path = yaml_path_index("actions", i);
		(void)connectors_prepare_action(*set, "r", (uint32_t)i, action, (struct conf_at){doc, path}, report,
						&specs[i]);
		sl_free(path);
	}
	return json_array_size(actions);
}

static struct yaml_doc *parse(const char *fmt, va_list ap) {
	char *text = sl_vasprintf(fmt, ap);
	struct yaml_doc *doc;
	struct sl_err err = SL_ERR_INIT;
	if (yaml_doc_load(slice_from_str(text), "test.yaml", &doc, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	sl_free(text);
	return doc;
}

static int load(struct rig *r, struct yaml_doc *doc, struct sl_err *err) {
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set;
	struct sl_action_spec *specs[RIG_ACTIONS_MAX] = {0};
	size_t n = prepare(r->cs, doc, &report, &set, specs);
	if (report.len) {
		char *text = conf_report_format(&report);
		fail_msg("%s", text);
	}
	for (size_t i = 0; i < n; i++) {
		sl_action_spec_rows_of(specs[i], r->rows_of);
		if (sl_action_spec_on_error(specs[i]))
			sl_action_spec_on_error_set(specs[i], r->on_error, r->on_error_release);
	}
	int rc = connectors_commit(r->cs, set, err);
	for (size_t i = 0; i < n && rc == SL_OK; i++) r->p[i] = sl_action_spec_pipeline(specs[i]);
	if (rc == SL_OK) {
		r->action_count = n;
		connectors_commit_done(r->cs);
	}
	connectors_set_free(set);
	struct yaml_doc *old = rc == SL_OK ? r->doc : doc;
	if (rc == SL_OK) r->doc = doc;
	if (old) yaml_doc_free(old);
	return rc;
}

void rig_load(struct rig *r, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	struct yaml_doc *doc = parse(fmt, ap);
	va_end(ap);
	struct sl_err err = SL_ERR_INIT;
	if (load(r, doc, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
}

char *rig_load_refused(struct rig *r, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	struct yaml_doc *doc = parse(fmt, ap);
	va_end(ap);
	struct sl_err err = SL_ERR_INIT;
	assert_int_not_equal(load(r, doc, &err), SL_OK);
	char *why = sl_strdup(sl_err_text(&err));
	sl_err_fini(&err);
	return why;
}

char *rig_check(const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	struct yaml_doc *doc = parse(fmt, ap);
	va_end(ap);
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set;
	struct sl_action_spec *specs[RIG_ACTIONS_MAX] = {0};
	prepare(NULL, doc, &report, &set, specs);
	char *text = conf_report_format(&report);
	connectors_set_free(set);
	conf_report_fini(&report);
	yaml_doc_free(doc);
	return text;
}

void rig_stop(struct rig *r, uint64_t deadline_ms) { connectors_stop(r->cs, deadline_ms); }

void rig_free(struct rig *r) {
	connectors_stop(r->cs, 1000);
	for (size_t i = 0; i < r->worker_count; i++) {
		sl_loop_stop(r->workers[i]);
		sl_loop_join(r->workers[i]);
		sl_loop_free(r->workers[i]);
	}
	connectors_free(r->cs);
	for (struct sl_list *it; (it = sl_list_pop_front(&r->tickets));)
		sl_free(SL_LIST_ENTRY(it, struct rig_ticket, link));
	if (r->doc) yaml_doc_free(r->doc);
	if (r->dir_mine && !getenv("RIG_KEEP")) rig_rmdir(r->dir);
	sl_free(r->dir);
	sl_free(r);
}

/* ---- Counts. ---- */

struct look {
	struct rig *r;
	size_t action;
	struct sl_action_counts n;
	uint64_t confirmed;
};

static void look_run(void *arg) {
	struct look *look = arg;
	if (look->action < RIG_ACTIONS_MAX) sl_pipeline_counts(look->r->p[look->action], &look->n);
	look->confirmed = look->r->confirmed;
}

static struct look look_at(struct rig *r, size_t a) {
	struct sl_loop *loops[RIG_WORKERS_MAX + 1];
	struct look look = {.r = r, .action = a};
	for (size_t i = 0; i < r->worker_count; i++) loops[i] = r->workers[i];
	loops[r->worker_count] = connectors_loop(r->cs);
	sl_loops_park(loops, r->worker_count + 1, look_run, &look);
	return look;
}

struct sl_action_counts rig_counts(struct rig *r, size_t a) {
	struct sl_action_counts n = look_at(r, a).n;
	assert_int_equal(n.received, n.delivered + n.rejected + n.dropped_overflow + n.dropped_expired +
					 n.dropped_shutdown + n.dropped_damaged + n.queued);
	return n;
}

uint64_t rig_confirmed(struct rig *r) { return look_at(r, RIG_ACTIONS_MAX).confirmed; }

bool rig_until(struct rig *r, size_t a, bool (*fn)(const struct sl_action_counts *n)) {
	for (int ms = 0; ms < WAIT_MS; ms += 2) {
		struct sl_action_counts n = rig_counts(r, a);
		if (fn(&n)) return true;
		usleep(2000);
	}
	return false;
}

bool rig_tries(struct rig *r, size_t a, uint64_t n) {
	uint64_t all = rig_counts(r, a).batches + n;
	for (int ms = 0; ms < WAIT_MS; ms += 2) {
		if (rig_counts(r, a).batches >= all) return true;
		usleep(2000);
	}
	return false;
}

bool rig_confirms(struct rig *r, uint64_t n) {
	for (int ms = 0; ms < WAIT_MS && rig_confirmed(r) < n; ms += 2) usleep(2000);
	return rig_confirmed(r) == n;
}

static bool settled(const struct sl_action_counts *n) { return n->queued == 0; }

struct sl_action_counts rig_settle(struct rig *r, size_t a) {
	assert_true(rig_until(r, a, settled));
	return rig_counts(r, a);
}

struct sl_action_counts rig_deliver(struct rig *r, size_t n, rig_row_fn row) {
	rig_stage(r, 0, n, 0, row);
	return rig_settle(r, 0);
}
