/* load.c: see load.h. */
#include "load.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "acl.h"
#include "auth_conf.h"
#include "guard.h"
#include "mem.h"
#include "schema.h"
#include "sources.h"

/* The main thread waits here until every worker has changed over. */
struct changed_over {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void changed_over(void *arg) {
	struct changed_over *c = arg;
	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

static void rules_commit_wait(struct rules *rules, struct rules_prepared *prepared) {
	struct changed_over c = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	rules_commit(rules, prepared, changed_over, &c);
	pthread_mutex_lock(&c.lock);
	while (!c.done) pthread_cond_wait(&c.cond, &c.lock);
	pthread_mutex_unlock(&c.lock);
	pthread_mutex_destroy(&c.lock);
	pthread_cond_destroy(&c.cond);
}

int load_settings(const char *file, struct loaded *loaded, struct conf_report *report) {
	return broker_conf_load(file, &loaded->conf, report);
}

int load_tls(struct loaded *loaded, struct conf_report *report) {
	loaded->tls = SL_NEW_ARRAY(struct tls_server *, broker_conf_listener_count(loaded->conf));
	return broker_conf_tls(loaded->conf, loaded->tls, report);
}

/* The place of the same listener in force, if both speak TLS; NULL: there is none. */
static struct tls_server **tls_same(const struct loaded *fresh, size_t j, const struct loaded *in_force) {
	const char *name = broker_conf_listener(fresh->conf, j)->name;
	for (size_t i = 0; fresh->tls[j] && i < broker_conf_listener_count(in_force->conf); i++)
		if (in_force->tls[i] && strcmp(name, broker_conf_listener(in_force->conf, i)->name) == 0)
			return &in_force->tls[i];
	return NULL;
}

struct tls_server **load_tls_servers(const struct loaded *fresh, const struct loaded *in_force) {
	size_t n = broker_conf_listener_count(fresh->conf);
	struct tls_server **servers = SL_NEW_ARRAY(struct tls_server *, n);
	for (size_t j = 0; j < n; j++) {
		struct tls_server **same = tls_same(fresh, j, in_force);
		servers[j] = same ? *same : fresh->tls[j];
	}
	return servers;
}

void load_tls_adopt(struct loaded *fresh, struct loaded *in_force) {
	for (size_t j = 0; j < broker_conf_listener_count(fresh->conf); j++) {
		struct tls_server **same = tls_same(fresh, j, in_force);
		if (same) {
			tls_server_adopt(*same, fresh->tls[j]);
			fresh->tls[j] = *same;
			*same = NULL;
		}
		if (fresh->tls[j]) tls_server_warn(fresh->tls[j]);
	}
}

struct target_check {
	const struct sl_outbound *outbound;
	const struct broker_conf *conf;
	struct conf_report *report;
};

/* Names are looked up when they are connected to, and judged then. */
static void target_check(void *arg, const char *connector, const char *target) {
	const struct target_check *t = arg;
	struct sl_err err = SL_ERR_INIT;
	if (sl_outbound_judge_text(t->outbound, slice_from_str(target), &err) != SL_OK) {
		char *path = yaml_path_key("connectors", connector);
		conf_report_add(t->report, (struct conf_at){.doc = t->conf->doc, .path = path}, CONF_AT_VALUE,
				err.status, "%s", sl_err_text(&err));
		sl_free(path);
	}
	sl_err_fini(&err);
}

/* Addresses in the settings that the same file does not allow. */
static int check_targets(const struct loaded *loaded, struct conf_report *report) {
	struct sl_outbound *outbound = sl_outbound_new(&loaded->conf->node.outbound);
	struct target_check t = {.outbound = outbound, .conf = loaded->conf, .report = report};
	size_t before = report->len + report->dropped;
	connectors_targets(loaded->set, target_check, &t);
	sl_outbound_free(outbound);
	return report->len + report->dropped > before ? SL_EDENIED : SL_OK;
}

/* Who authenticates by a chain wants to know who is who: then nothing is allowed that no rule allows. A password file alone is what
 * people bring from brokers where it says who may connect, and no more. */
static bool access_is_ruled(const struct broker_conf *conf) {
	bool password = conf->auth.password_file && conf->auth.acl_default == ACL_DEFAULT_DENY;
	return conf->auth.acl_file || conf->auth.policy_files.len || password || auth_conf_len(conf->auth.links) > 0;
}

static struct guard_count count_of(const struct broker_count_conf *c, int64_t max) {
	return (struct guard_count){c->given ? max : CONF_UNLIMITED, c->window_ms, c->ban_ms};
}

static int load_guard(struct loaded *loaded, struct conf_report *report) {
	const struct broker_guard_conf *conf = &loaded->conf->auth.guard;
	struct guard_options opts = {.ban = conf->ban,
				     .ban_file = conf_expand_stands_in() ? NULL : conf->ban_file,
				     .exempt = &conf->exempt,
				     .flapping = count_of(&conf->flapping, conf->flapping.max),
				     .failures_address = count_of(&conf->auth_failures, conf->auth_failures.max),
				     .failures_user = count_of(&conf->auth_failures, conf->auth_failures.max_user),
				     .connects_per_s =
					 conf->connect_rate.given ? conf->connect_rate.per_second : CONF_UNLIMITED,
				     .connects_burst = conf->connect_rate.burst,
				     .about = loaded->conf->doc};
	return guard_rules_new(&opts, &loaded->guard, report);
}

int load_access(struct loaded *loaded, struct conf_report *report) {
	int rc = load_guard(loaded, report);
	const struct broker_conf *conf = loaded->conf;
	if (!access_is_ruled(conf) || conf_expand_stands_in()) return rc;
	struct acl_options opts = {.file = conf->auth.acl_file,
				   .policies = conf->auth.policy_files,
				   .default_allow = conf->auth.acl_default == ACL_DEFAULT_ALLOW,
				   .disconnects = conf->auth.acl_on_denied == ACL_DENIED_DISCONNECT,
				   .hides = conf->auth.acl_on_denied == ACL_DENIED_HIDE,
				   .about = conf->doc};
	int acl_rc = acl_new(&opts, &loaded->acl, report);
	return rc != SL_OK ? rc : acl_rc;
}

/* Links of the chain may bring rules with them. */
bool load_denies_all(const struct loaded *loaded) {
	return loaded->acl && acl_count(loaded->acl) == 0 && !acl_allows_by_default(loaded->acl) &&
	       auth_conf_len(loaded->conf->auth.links) == 0;
}

bool load_leaves_topics_open(const struct loaded *loaded) { return loaded->conf->auth.password_file && !loaded->acl; }

int load_rules(struct loaded *loaded, struct connectors *cs, struct rules *rules, struct conf_report *report) {
	const struct broker_conf *conf = loaded->conf;
	struct conf_at connectors_at = {.doc = conf->doc, .path = "connectors"};
	struct conf_at rules_at = {.doc = conf->doc, .path = "rules"};
	int rc = connectors_prepare(cs, conf->connectors, connectors_at, report, &loaded->set);
	if (rc == SL_OK) rc = check_targets(loaded, report);
	int sources_rc = connectors_prepare_sources(loaded->set, conf->sources,
						    (struct conf_at){.doc = conf->doc, .path = "sources"}, report);
	if (rc == SL_OK) rc = sources_rc;
	int rules_rc = rules_prepare(rules, conf->rules, rules_at, loaded->set, report, &loaded->rules);
	if (rc == SL_OK) rc = rules_rc;
	int access_rc = load_access(loaded, report);
	return rc != SL_OK ? rc : access_rc;
}

/* Rules hold actions of the connectors' set, so connectors go first; both were checked, so only files can fail here. */
int load_commit(struct loaded *loaded, struct connectors *cs, struct rules *rules, struct sl_err *err) {
	struct sl_outbound *before = sl_outbound_set(sl_outbound_new(&loaded->conf->node.outbound));
	int rc = connectors_commit(cs, loaded->set, err);
	if (rc != SL_OK) before = sl_outbound_set(before);
	sl_outbound_free(before);
	if (rc != SL_OK) return rc;
	struct rules_prepared *prepared = loaded->rules;
	loaded->rules = NULL;
	rules_commit_wait(rules, prepared);
	connectors_commit_done(cs);
	return SL_OK;
}

void load_fini(struct loaded *loaded) {
	rules_discard(loaded->rules);
	connectors_set_free(loaded->set);
	for (size_t i = 0; loaded->tls && i < broker_conf_listener_count(loaded->conf); i++)
		tls_server_unref(loaded->tls[i]);
	sl_free(loaded->tls);
	guard_rules_unref(loaded->guard);
	acl_unref(loaded->acl);
	broker_conf_free(loaded->conf);
	*loaded = (struct loaded){0};
}

void load_print(const struct conf_report *report) {
	char *text = conf_report_format(report);
	fputs(text, stderr);
	sl_free(text);
}
