/* api.c: see api.h. */
#include "api.h"

#include <string.h>

#include "clock.h"
#include "connectors.h"
#include "http_server.h"
#include "log.h"
#include "mem.h"

struct api {
	struct api_sources sources;
	char *node; /* a copy: settings are replaced at a reload */
	struct sl_loop *loop;
	struct http_server *server;
	uint64_t started_ms;
	bool started;
	struct sl_post stop;
};

/* All counters of one moment. */
struct snapshot {
	const struct api_sources *from;
	struct sl_metrics metrics;
	struct rules_snapshot *rules;
	struct connectors_snapshot *connectors;
	bool taken;
};

/* Every loop stands still: copy numbers, nothing else. */
static void snapshot_take(void *arg) {
	struct snapshot *s = arg;
	s->taken = rules_snapshot_take(s->rules);
	if (!s->taken) return; /* a reload came in between */
	connectors_snapshot_take(s->connectors);
	s->metrics = (struct sl_metrics){0};
	s->from->metrics(s->from->arg, &s->metrics);
}

static void snapshot_drop(struct snapshot *s) {
	rules_snapshot_free(s->rules);
	connectors_snapshot_free(s->connectors);
}

static void snapshot_init(struct snapshot *s, const struct api *a) {
	*s = (struct snapshot){.from = &a->sources};
	while (true) {
		s->rules = rules_snapshot_new(s->from->rules);
		s->connectors = connectors_snapshot_new(s->from->connectors);
		sl_loops_park(s->from->loops, s->from->loop_count, snapshot_take, s);
		if (s->taken) return;
		snapshot_drop(s);
	}
}

static void get_metrics(struct api *a, struct http_response *r) {
	struct snapshot s;
	snapshot_init(&s, a);
	r->content_type = "text/plain; version=0.0.4; charset=utf-8";
	sl_metrics_write(&r->body, &s.metrics);
	if (a->sources.series) a->sources.series(a->sources.arg, &r->body);
	rules_prometheus(s.rules, &r->body);
	connectors_prometheus(s.connectors, &r->body);
	snapshot_drop(&s);
}

static json_t *metrics_tree(const struct sl_metrics *m) {
	json_t *tree = json_object();
	for (enum sl_metric id = 0; id < METRIC_COUNT; id++) {
		const struct sl_metric_info *info = sl_metric_info(id);
		char *name =
		    info->labels[0] ? sl_asprintf("%s{%s}", info->family, info->labels) : sl_strdup(info->family);
		json_object_set_new(tree, name, json_integer(sl_metrics_gauge(m, id)));
		sl_free(name);
	}
	return tree;
}

static void dump_json(struct http_response *r, json_t *tree) {
	char *text = json_dumps(tree, JSON_INDENT(1));
	r->content_type = "application/json";
	if (text) sl_buf_append_str(&r->body, text);
	sl_buf_put(&r->body, '\n');
	sl_free(text);
	json_decref(tree);
}

static void get_status(struct api *a, struct http_response *r) {
	struct snapshot s;
	json_t *tree = json_object();
	json_object_set_new(tree, "node", json_string(a->node));
	json_object_set_new(tree, "version", json_string(a->sources.version));
	uint64_t up_s = (sl_clock_mono_ms() - a->started_ms) / 1000;
	json_object_set_new(tree, "uptime_s", json_integer((json_int_t)up_s));
	a->sources.about(a->sources.arg, tree);
	snapshot_init(&s, a);
	while (rules_snapshot_failures_next(s.rules))
		sl_loops_park(a->sources.loops, a->sources.loop_count, rules_snapshot_failures_take, s.rules);
	rules_status(s.rules, tree);
	connectors_status(s.connectors, tree);
	snapshot_drop(&s);
	json_object_set_new(tree, "broker", metrics_tree(&s.metrics));
	dump_json(r, tree);
}

/* What clients are promised of their sessions cannot be written. */
static bool persistence_trouble(const struct sl_metrics *m, json_t *tree) {
	bool store = sl_metrics_gauge(m, METRIC_STORE_FULL) > 0, log = sl_metrics_gauge(m, METRIC_QUEUE_LOG_FULL) > 0;
	if (!store && !log) return false;
	json_t *told =
	    json_pack("{s:s, s:s}", "problem", store ? "store" : "queue_log", "do",
		      "make room on the disk of node.data_dir, or raise persistence.max_store, persistence.max_disk");
	json_object_set_new(tree, "persistence", told);
	return true;
}

/* Alive while the loops turn: a loop that does not come to its quiet point makes this page hang, which is the truth. A
 * connector or a source that is down or stalled, or a disk that is full, is told, and is no reason to restart a broker that keeps its rows: the answer is 200. */
static void get_health(struct api *a, struct http_response *r) {
	struct snapshot s;
	json_t *tree = json_object();
	snapshot_init(&s, a);
	bool trouble = connectors_trouble(s.connectors, tree);
	trouble = persistence_trouble(&s.metrics, tree) || trouble;
	snapshot_drop(&s);
	json_object_set_new(tree, "status", json_string(trouble ? "degraded" : "ok"));
	char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
	r->content_type = "application/json";
	if (text) sl_buf_append_str(&r->body, text);
	sl_buf_put(&r->body, '\n');
	sl_free(text);
	json_decref(tree);
}

static void get_index(struct api *a, struct http_response *r);

static const struct route {
	const char *path;
	void (*get)(struct api *a, struct http_response *r);
	const char *summary;
} routes[] = {
    {.path = "/", .get = get_index, .summary = "this list"},
    {.path = "/health",
     .get = get_health,
     .summary = "200 while the loops turn; what is wrong with connectors, sources, queues, disks"},
    {.path = "/metrics", .get = get_metrics, .summary = "every counter, in Prometheus' text format"},
    {.path = "/api/v1/status", .get = get_status, .summary = "rules, actions, connectors and counters as JSON"},
};

static void get_index(struct api *a, struct http_response *r) {
	sl_buf_printf(&r->body, "sluice %s, node %s\n\n", a->sources.version, a->node);
	for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++)
		sl_buf_printf(&r->body, "GET %-16s %s\n", routes[i].path, routes[i].summary);
}

static void handle(void *arg, const struct http_request *request, struct http_response *r) {
	struct api *a = arg;
	if (!slice_equal_str(request->method, "GET") && !slice_equal_str(request->method, "HEAD")) {
		r->status = 405;
		sl_buf_append_str(&r->body, "only GET is served here\n");
		return;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(routes); i++) {
		if (!slice_equal_str(request->path, routes[i].path)) continue;
		routes[i].get(a, r);
		return;
	}
	r->status = 404;
	sl_buf_append_str(&r->body, "no such page; GET / lists what is here\n");
}

int api_bind(const char *bind, struct api **out, struct sl_err *err) {
	struct api *a = SL_NEW(struct api);
	int rc = sl_loop_new("admin", -1, &a->loop, err);
	if (rc == SL_OK) rc = http_server_bind(a->loop, bind, handle, a, &a->server, err);
	if (rc == SL_OK)
		*out = a;
	else
		api_stop(a);
	return rc;
}

int api_start(struct api *a, const struct api_sources *sources, struct sl_err *err) {
	a->sources = *sources;
	a->node = sl_strdup(sources->node);
	a->started_ms = sl_clock_mono_ms();
	int rc = http_server_listen(a->server, err);
	if (rc == SL_OK) rc = sl_loop_start(a->loop, err);
	a->started = rc == SL_OK;
	return rc;
}

int api_port(const struct api *a) { return http_server_port(a->server); }
struct sl_listen_at api_at(const struct api *a) {
	return http_server_at(a->server);
}

static void stop_on_loop(struct sl_post *post, struct sl_loop *l) {
	struct api *a = sl_container_of(post, struct api, stop);
	http_server_stop(a->server);
	sl_loop_stop(l);
}

void api_stop(struct api *a) {
	if (!a) return;
	if (a->started) {
		a->stop.run = stop_on_loop;
		sl_loop_post(a->loop, &a->stop);
		sl_loop_join(a->loop);
	} else if (a->server) {
		http_server_stop(a->server);
	}
	if (a->loop) sl_loop_free(a->loop);
	sl_free(a->node);
	sl_free(a);
}
