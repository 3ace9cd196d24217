/* service.c: see service.h. The one place that knows all layers. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"
#include "auth_env.h"
#include "broker.h"
#include "clock.h"
#include "app_commands.h"
#include "binds.h"
#include "flow_settings.h"
#include "hash.h"
#include "load.h"
#include "log.h"
#include "mem.h"
#include "stop_watch.h"

enum { DRAIN_CLIENTS_MS = 2000, DRAIN_ROWS_MS = 10000, DRAIN_NEVER_STARTED_MS = 1000 };

struct service {
	char *file;
	struct loaded loaded; /* what is in force */
	int lock_fd;          /* data_dir/lock: one process to a data directory */
	struct broker *broker;
	struct connectors *connectors;
	struct auth_env *auth_env;
	struct rules *rules;
	struct rules_worker **rules_workers;
	struct sl_loop **loops; /* the workers' and the connectors', for status pages */
	struct api *api;
	bool connectors_started, broker_started;
	struct {
		pthread_mutex_t lock; /* the status page reads it */
		uint64_t taken, refused;
		int64_t at_ms;     /* when the configuration in force was read */
		char *reason;      /* of the last that was refused */
		json_t *settings;  /* in force: those of the start, but for what a reload takes */
		struct auth *auth; /* in force: for its counters */
	} reloads;
};

static uint32_t clamp_u32(int64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }
static uint16_t clamp_u16(int64_t v) { return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v; }

static void settings_from(const struct broker_conf *conf, const struct broker_bind *binds,
			  struct broker_settings *out) {
	broker_settings_default(out);
	out->workers = conf->node.workers == CONF_AUTO ? 0 : clamp_u32(conf->node.workers);
	out->binds = binds;
	out->binds_len = broker_conf_listener_count(conf);
	out->max_packet_size = clamp_u32(conf->mqtt.max_packet_size);
	out->max_inflight = clamp_u16(conf->mqtt.max_inflight);
	out->receive_maximum = clamp_u16(conf->mqtt.receive_maximum);
	out->max_queued = clamp_u32(conf->mqtt.max_queued);
	out->max_queued_bytes = (uint64_t)conf->mqtt.max_queued_bytes;
	int64_t expiry = conf->mqtt.session_expiry_max_ms;
	out->session_expiry_max_s = expiry == CONF_UNLIMITED ? UINT32_MAX : clamp_u32(expiry / 1000);
	int64_t keepalive = conf->mqtt.keepalive_max_ms;
	out->keepalive_max_s = keepalive == CONF_UNLIMITED ? 0 : clamp_u16(keepalive / 1000);
	out->connect_timeout_ms = clamp_u32(conf->mqtt.connect_timeout_ms);
	out->connect_packet_max = clamp_u32(conf->mqtt.max_connect_size);
	out->stall_timeout_ms = clamp_u32(conf->mqtt.stall_timeout_ms);
	out->topic_alias_max = clamp_u16(conf->mqtt.topic_alias_max);
	out->response_info = conf->mqtt.response_topic_prefix;
	out->topic_levels_max = clamp_u16(conf->mqtt.max_topic_levels);
	out->client_id_max = clamp_u16(conf->mqtt.max_clientid_length);
	out->max_subscriptions = clamp_u32(conf->mqtt.max_subscriptions);
	out->max_qos = (uint8_t)conf->mqtt.max_qos;
	out->retain = conf->mqtt.retain;
	out->max_retained = (uint64_t)conf->mqtt.max_retained;
	out->persistence = (struct broker_persistence){.enabled = conf->persistence.enabled,
						       .sync = conf->persistence.sync == SYNC_TICK,
						       .segment_bytes = (uint64_t)conf->persistence.segment_size,
						       .disk_max = conf->persistence.max_disk == CONF_UNLIMITED
								       ? UINT64_MAX
								       : (uint64_t)conf->persistence.max_disk,
						       .store_max = (uint64_t)conf->persistence.max_store};
}

static int make_auth(const struct service *s, const struct broker_conf *conf, struct auth **out, struct sl_err *err) {
	struct auth_options opts = {.anonymous = conf->auth.anonymous,
				    .password_file = conf->auth.password_file,
				    .conf = conf->auth.links,
				    .env = s->auth_env};
	return auth_new(&opts, out, err);
}

/* Gives the one before. */
static struct auth *auth_note(struct service *s, struct auth *auth) {
	pthread_mutex_lock(&s->reloads.lock);
	struct auth *old = s->reloads.auth;
	s->reloads.auth = auth;
	pthread_mutex_unlock(&s->reloads.lock);
	return old;
}

static void add_series(void *arg, struct sl_buf *out) {
	struct service *s = arg;
	broker_prometheus(s->broker, out);
	pthread_mutex_lock(&s->reloads.lock);
	auth_prometheus(s->reloads.auth, out);
	pthread_mutex_unlock(&s->reloads.lock);
}

/* Puts connectors, rules and auth in force: all or nothing. */
static int commit(struct service *s, struct loaded *loaded, struct sl_err *err) {
	struct auth *auth = NULL;
	int rc = make_auth(s, loaded->conf, &auth, err);
	if (rc == SL_OK) rc = load_commit(loaded, s->connectors, s->rules, err);
	if (rc == SL_OK) {
		broker_set_auth(s->broker, auth);
		broker_set_guard(s->broker, loaded->guard);
		broker_set_acl(s->broker, loaded->acl);
		auth = auth_note(s, auth);
	}
	auth_unref(auth);
	return rc;
}

/* Takes data_dir for this process alone: two brokers on one log would eat each other's rows. */
static int take_data_dir(struct service *s, const char *dir, struct sl_err *err) {
	if (mkdir(dir, 0750) != 0 && errno != EEXIST)
		return sl_err_set(err, SL_ESYSTEM,
				  "node.data_dir: cannot make %s: %s; make it yourself, or name another", dir,
				  strerror(errno));
	char *path = sl_asprintf("%s/lock", dir);
	s->lock_fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0640);
	int rc = SL_OK;
	if (s->lock_fd < 0)
		rc = sl_err_set(err, SL_ESYSTEM,
				"node.data_dir: cannot write %s: %s; name a folder that this user may write to", path,
				strerror(errno));
	else if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		rc = sl_err_set(err, SL_ESYSTEM,
				"node.data_dir: %s is in use by another sluice; stop it, or give this one a folder of "
				"its own",
				dir);
	sl_free(path);
	return rc;
}

static void add_metrics(void *arg, struct sl_metrics *total) {
	struct service *s = arg;
	broker_metrics_add(s->broker, total);
	for (uint32_t i = 0; i < broker_workers(s->broker); i++) {
		sl_metrics_sum(total, broker_metrics(s->broker, i));
		sl_metric_add(total, METRIC_PUBLISHERS_WAITING, broker_publishers_stuck(s->broker, i));
	}
}

static void reload_note(struct service *s, bool taken, const char *reason) {
	pthread_mutex_lock(&s->reloads.lock);
	if (taken) s->reloads.at_ms = sl_clock_wall_ms();
	s->reloads.taken += taken;
	s->reloads.refused += !taken;
	sl_free(s->reloads.reason);
	s->reloads.reason = reason ? sl_strdup(reason) : NULL;
	pthread_mutex_unlock(&s->reloads.lock);
}

/* The trees are ours alone: jansson's counts order nothing between threads. */
static void settings_note(struct service *s, const struct broker_conf *conf) {
	json_t *fresh = broker_conf_show(conf);
	pthread_mutex_lock(&s->reloads.lock);
	if (s->reloads.settings) {
		broker_conf_reloaded(s->reloads.settings, fresh);
		json_decref(fresh);
	} else
		s->reloads.settings = fresh;
	pthread_mutex_unlock(&s->reloads.lock);
}

static void about(void *arg, json_t *out) {
	struct service *s = arg;
	json_t *config = json_object();
	char *file = realpath(s->file, NULL);
	json_object_set_new(out, "pid", json_integer(getpid()));
	json_object_set_new(config, "file", json_string(file ? file : s->file));
	pthread_mutex_lock(&s->reloads.lock);
	json_object_set_new(config, "at_ms", json_integer(s->reloads.at_ms));
	json_object_set_new(config, "reloads", json_integer((json_int_t)s->reloads.taken));
	json_object_set_new(config, "refused", json_integer((json_int_t)s->reloads.refused));
	if (s->reloads.reason) json_object_set_new(config, "reason", json_string(s->reloads.reason));
	json_object_set_new(config, "settings", json_deep_copy(s->reloads.settings));
	json_object_set_new(out, "auth", auth_status(s->reloads.auth));
	pthread_mutex_unlock(&s->reloads.lock);
	json_object_set_new(out, "config", config);
	free(file);
}

static int make_services(struct service *s, struct sl_err *err) {
	const struct broker_conf *conf = s->loaded.conf;
	struct broker_bind *binds = binds_new(conf, s->loaded.tls);
	struct broker_settings settings;
	settings_from(conf, binds, &settings);
	char *store = sl_asprintf("%s/store", conf->node.data_dir);
	settings.persistence.dir = store;
	struct flow_settings flow;
	flow_settings_from(conf, &flow, &settings);
	int rc = broker_new(&settings, &s->broker, err);
	flow_settings_fini(&flow);
	sl_free(store);
	binds_free(binds, broker_conf_listener_count(conf));
	if (rc != SL_OK) return rc;
	uint32_t n = broker_workers(s->broker);
	struct connectors_opts copts = {.data_dir = conf->node.data_dir,
					.workers = broker_loops(s->broker),
					.worker_count = n,
					.memory = (uint64_t)conf->node.buffer_memory};
	rc = connectors_new(&copts, &s->connectors, err);
	if (rc != SL_OK) return rc;
	s->auth_env = auth_env_new(s->connectors);
	struct rules_opts ropts = {.host = broker_rules_host(s->broker),
				   .connectors = s->connectors,
				   .node = conf->node.name,
				   .account = conf->node.account_id,
				   .worker_count = n,
				   .state_bytes_max = (size_t)conf->state.max_bytes};
	s->rules = rules_new(&ropts);
	return SL_OK;
}

/* Before connectors begin: they would take over what the process works with that has the address. */
static int take_addresses(struct service *s, struct sl_err *err) {
	int rc = broker_bind(s->broker, err);
	if (rc != SL_OK || !s->loaded.conf->admin.enabled) return rc;
	rc = api_bind(s->loaded.conf->admin.bind, &s->api, err);
	return rc == SL_OK ? SL_OK : sl_err_prefix(err, "admin.bind");
}

/* With names looked up: two of them may have become one address. */
static int addresses_apart(const struct service *s, struct conf_report *report) {
	const struct broker_conf *conf = s->loaded.conf;
	size_t listeners = broker_conf_listener_count(conf);
	struct sl_listen_at *bound = SL_NEW_ARRAY(struct sl_listen_at, broker_conf_bind_count(conf));
	for (size_t i = 0; i < listeners; i++) bound[i] = broker_at(s->broker, i);
	if (s->api) bound[listeners] = api_at(s->api);
	int rc = broker_conf_binds_apart(conf, bound, report);
	sl_free(bound);
	return rc;
}

static int start_services(struct service *s, struct sl_err *err) {
	int rc = connectors_start(s->connectors, err);
	if (rc != SL_OK) return rc;
	s->connectors_started = true;
	rc = commit(s, &s->loaded, err);
	if (rc != SL_OK) return rc;
	uint32_t n = broker_workers(s->broker);
	s->rules_workers = SL_NEW_ARRAY(struct rules_worker *, n);
	s->loops = SL_NEW_ARRAY(struct sl_loop *, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		s->loops[i] = broker_loop(s->broker, i);
		s->rules_workers[i] = rules_worker_new(s->rules, i, s->loops[i], broker_metrics(s->broker, i));
		broker_set_rules(s->broker, i, s->rules_workers[i]);
	}
	s->loops[n] = connectors_loop(s->connectors);
	rc = broker_restore(s->broker, err);
	if (rc != SL_OK) return rc;
	rc = broker_start(s->broker, err);
	s->broker_started = rc == SL_OK;
	if (rc != SL_OK || !s->api) return rc;
	struct api_sources sources = {.loops = s->loops,
				      .loop_count = n + 1,
				      .rules = s->rules,
				      .connectors = s->connectors,
				      .metrics = add_metrics,
				      .about = about,
				      .series = add_series,
				      .arg = s,
				      .node = s->loaded.conf->node.name,
				      .version = SLUICE_VERSION};
	rc = api_start(s->api, &sources, err);
	return rc == SL_OK ? SL_OK : sl_err_prefix(err, "admin.bind");
}

/* Workers that never ran have letters of connectors and rules, which must be read while those are there. */
static void run_letters(struct broker *b) {
	for (uint32_t i = 0; i < broker_workers(b);) i = sl_loop_run_rest(broker_loop(b, i)) ? 0 : i + 1;
}

static void log_stopped(void) { log_always(LOG_INFO, LOG_MAIN, "stopped", "%s", ""); }

/* In this order: nobody looks any more; clients are told while the loops turn; open windows give their rows; rows are delivered while the workers can
 * still take confirmations; then the threads end, and memory goes from the top floor down.
 * code: of the process, when it must end here. */
static void service_free(struct service *s, int code) {
	struct stop_watch watch = {.running = false};
	bool all_back = true;
	if (s->broker_started) stop_watch_begin(&watch, s->broker, s->connectors);
	api_stop(s->api);
	if (s->broker && !s->broker_started) run_letters(s->broker);
	if (s->connectors_started) connectors_keep_rejects(s->connectors);
	if (s->broker_started) broker_drain(s->broker, DRAIN_CLIENTS_MS);
	if (s->broker_started) rules_let_out(s->rules);
	uint64_t rows_ms = s->broker_started ? DRAIN_ROWS_MS : DRAIN_NEVER_STARTED_MS;
	if (s->connectors_started) all_back = connectors_stop(s->connectors, rows_ms);
	auth_env_stop(s->auth_env); /* nobody answers workers any more */
	if (s->broker_started) broker_stop(s->broker);
	if (!all_back) {
		connectors_abandon(s->connectors);
		log_stopped();
		_exit(code);
	}
	stop_watch_end(&watch);
	for (uint32_t i = 0; s->rules_workers && i < broker_workers(s->broker); i++)
		rules_worker_free(s->rules_workers[i]);
	sl_free(s->rules_workers);
	/* What the connectors said at their end has come to loops that never turned: for nobody now, but in rules' memory. */
	if (s->broker && !s->broker_started) run_letters(s->broker);
	load_fini(&s->loaded);
	rules_free(s->rules);
	connectors_free(s->connectors);
	broker_free(s->broker);
	auth_unref(s->reloads.auth);
	auth_env_free(s->auth_env);
	if (s->lock_fd >= 0) close(s->lock_fd);
	sl_free(s->loops);
	sl_free(s->file);
	sl_free(s->reloads.reason);
	json_decref(s->reloads.settings);
	pthread_mutex_destroy(&s->reloads.lock);
	sl_free(s);
}

/* All that clients can do then is to connect: said, for it is rarely what is meant. */
static void log_access(const struct service *s) {
	if (load_denies_all(&s->loaded))
		log_always(LOG_WARN, LOG_CONF, "no access rules: no topic is allowed to anybody",
			   "do=\"set auth.acl_file, or auth.acl_default: allow\"");
	if (load_leaves_topics_open(&s->loaded))
		log_always(LOG_INFO, LOG_CONF, "no access rules: every topic is open to whoever may connect",
			   "do=\"set auth.acl_file, or auth.acl_default: deny\"");
}

static void log_listening(const struct broker_listener *l, uint16_t port) {
	log_always(LOG_INFO, LOG_MAIN, "listening", "listener=%s type=%s bind=%s port=%u", l->name,
		   broker_listener_types[l->type], l->bind, port);
}

static void log_started(const struct service *s) {
	const struct broker_conf *conf = s->loaded.conf;
	for (size_t i = 0; i < broker_conf_listener_count(conf); i++)
		log_listening(broker_conf_listener(conf, i), broker_port(s->broker, i));
	for (size_t i = 0; i < broker_conf_listener_count(conf); i++)
		if (s->loaded.tls[i]) tls_server_warn(s->loaded.tls[i]);
	if (s->api)
		log_always(LOG_INFO, LOG_MAIN, "status pages", "url=http://%s/ port=%d", conf->admin.bind,
			   api_port(s->api));
	log_always(LOG_INFO, LOG_MAIN, "started", "version=%s workers=%u connectors=%zu rules=%zu", SLUICE_VERSION,
		   broker_workers(s->broker), json_object_size(conf->connectors), json_object_size(conf->rules));
}

int service_start(const char *file, struct service **out) {
	*out = NULL;
	sl_mem_give_back();
	sl_hash_init();
	struct service *s = SL_NEW(struct service);
	s->lock_fd = -1;
	s->file = sl_strdup(file);
	pthread_mutex_init(&s->reloads.lock, NULL);
	s->reloads.at_ms = sl_clock_wall_ms();
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	int code = EXIT_FINE;
	if (load_settings(file, &s->loaded, &report) != SL_OK || load_tls(&s->loaded, &report) != SL_OK) {
		code = EXIT_INPUT;
	} else {
		settings_note(s, s->loaded.conf);
		log_set_level((enum log_level)s->loaded.conf->log.level);
		log_set_json(s->loaded.conf->log.format == LOG_FORMAT_JSON);
		int rc = make_services(s, &err);
		if (rc == SL_OK && load_rules(&s->loaded, s->connectors, s->rules, &report) != SL_OK) code = EXIT_INPUT;
		if (rc == SL_OK && code == EXIT_FINE) rc = take_data_dir(s, s->loaded.conf->node.data_dir, &err);
		if (rc == SL_OK && code == EXIT_FINE) rc = take_addresses(s, &err);
		if (rc == SL_OK && code == EXIT_FINE && addresses_apart(s, &report) != SL_OK) code = EXIT_INPUT;
		if (rc == SL_OK && code == EXIT_FINE) rc = start_services(s, &err);
		if (rc != SL_OK) code = EXIT_SYSTEM;
	}
	load_print(&report);
	conf_report_fini(&report);
	if (code == EXIT_SYSTEM) {
		char *text = sl_err_format(&err); /* with the file that is meant, if there is one */
		fprintf(stderr, "sluice run: %s\n", text);
		sl_free(text);
	}
	sl_err_fini(&err);
	if (code != EXIT_FINE) {
		service_free(s, code);
		return code;
	}
	log_started(s);
	log_access(s);
	*out = s;
	return EXIT_FINE;
}

static void refused(struct service *s, const struct conf_report *report, const struct sl_err *err) {
	struct sl_buf all = SL_BUF_INIT;
	size_t count = report->len + (err->status != SL_OK);
	for (size_t i = 0; i < count; i++) {
		char *line = sl_err_format(i < report->len ? &report->errs[i] : err);
		log_always(LOG_ERROR, LOG_CONF, "reload refused, the running state is unchanged", "reason=%s", line);
		sl_buf_printf(&all, "%s%s", i ? "\n" : "", line);
		sl_free(line);
	}
	reload_note(s, false, sl_buf_cstr(&all));
	sl_buf_fini(&all);
}

static void log_reloaded(const struct loaded *old, const struct loaded *now) {
	struct sl_buf sections = SL_BUF_INIT;
	if (broker_conf_needs_restart(old->conf, now->conf, &sections))
		log_always(LOG_WARN, LOG_CONF, "some changed settings wait for a restart", "sections=%s",
			   sl_buf_cstr(&sections));
	sl_buf_fini(&sections);
	log_always(LOG_INFO, LOG_CONF, "reloaded", "connectors=%zu rules=%zu", json_object_size(now->conf->connectors),
		   json_object_size(now->conf->rules));
}

/* Editors and `>` empty a file before they fill it: read at that moment it would end every rule. */
static int refuse_empty(const struct loaded *fresh, struct sl_err *err) {
	if (json_object_size(yaml_doc_root(fresh->conf->doc)) > 0) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "the file is empty; to run without rules, write `rules: {}`");
}

/* ---- listeners ---- */

/* The status pages stay where they are until a restart; the system tells when a listener wants that address. */
static int listeners_apart(const struct service *s, const struct broker_conf *conf, const struct broker_binds *next,
			   struct conf_report *report) {
	size_t n = broker_conf_listener_count(conf);
	if (conf->admin.enabled && !s->api) return SL_OK;
	struct sl_listen_at *bound = SL_NEW_ARRAY(struct sl_listen_at, broker_conf_bind_count(conf));
	for (size_t i = 0; i < n; i++) bound[i] = broker_binds_at(next, i);
	if (conf->admin.enabled) bound[n] = api_at(s->api);
	int rc = broker_conf_binds_apart(conf, bound, report);
	sl_free(bound);
	return rc;
}

static int prepare_listeners(struct service *s, const struct loaded *fresh, struct broker_binds **next,
			     struct conf_report *report) {
	struct sl_err err = SL_ERR_INIT;
	struct tls_server **tls = load_tls_servers(fresh, &s->loaded);
	struct broker_bind *binds = binds_new(fresh->conf, tls);
	size_t n = broker_conf_listener_count(fresh->conf), at = 0;
	int rc = broker_binds_prepare(s->broker, binds, n, next, &at, &err);
	if (rc != SL_OK) {
		char *list = yaml_path_index("listeners", at), *path = yaml_path_key(list, "bind");
		conf_report_add(report, (struct conf_at){fresh->conf->doc, path}, CONF_AT_VALUE, rc, "%s",
				sl_err_text(&err));
		sl_free(path);
		sl_free(list);
	}
	binds_free(binds, n);
	sl_free(tls);
	sl_err_fini(&err);
	return rc == SL_OK ? listeners_apart(s, fresh->conf, *next, report) : rc;
}

static bool has_listener(const struct broker_conf *conf, const char *name) {
	for (size_t i = 0; i < broker_conf_listener_count(conf); i++)
		if (strcmp(broker_conf_listener(conf, i)->name, name) == 0) return true;
	return false;
}

static void change_listeners(struct service *s, const struct loaded *fresh, struct broker_binds *next) {
	const struct broker_conf *old = s->loaded.conf, *conf = fresh->conf;
	size_t n = broker_conf_listener_count(conf);
	bool *opens = SL_NEW_ARRAY(bool, n);
	for (size_t i = 0; i < n; i++) opens[i] = broker_binds_opens(next, i);
	broker_binds_commit(next);
	for (size_t i = 0; i < n; i++)
		if (opens[i]) log_listening(broker_conf_listener(conf, i), broker_port(s->broker, i));
	for (size_t i = 0; i < broker_conf_listener_count(old); i++) {
		const struct broker_listener *l = broker_conf_listener(old, i);
		if (!has_listener(conf, l->name))
			log_always(LOG_INFO, LOG_MAIN, "listener closed, its clients stay", "listener=%s bind=%s",
				   l->name, l->bind);
	}
	sl_free(opens);
}

void service_reload(struct service *s) {
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct loaded fresh = {0};
	struct broker_binds *binds = NULL;
	int rc = load_settings(s->file, &fresh, &report);
	if (rc == SL_OK) rc = refuse_empty(&fresh, &err);
	if (fresh.conf && rc == SL_OK) rc = load_tls(&fresh, &report);
	if (fresh.conf && rc == SL_OK) rc = load_rules(&fresh, s->connectors, s->rules, &report);
	if (rc == SL_OK) rc = prepare_listeners(s, &fresh, &binds, &report);
	if (rc == SL_OK) rc = commit(s, &fresh, &err);
	if (rc == SL_OK) {
		load_tls_adopt(&fresh, &s->loaded);
		change_listeners(s, &fresh, binds);
		log_reloaded(&s->loaded, &fresh);
		load_fini(&s->loaded);
		s->loaded = fresh;
		log_access(s);
		settings_note(s, fresh.conf);
		reload_note(s, true, NULL);
	} else {
		refused(s, &report, &err);
		broker_binds_discard(binds);
		load_fini(&fresh);
	}
	sl_err_fini(&err);
	conf_report_fini(&report);
}

void service_stop(struct service *s) {
	log_always(LOG_INFO, LOG_MAIN, "stopping", "%s", "");
	service_free(s, EXIT_FINE);
	log_stopped();
}
