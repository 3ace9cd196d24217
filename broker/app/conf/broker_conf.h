/* broker_conf.h: the configuration file as the program sees it.
 *
 * Checks node, log, listeners, mqtt, auth and admin and holds them as plain structs; `connectors` and `rules` are
 * handed on as trees with their places to the layers that know them:
 *
 *     struct conf_report report = CONF_REPORT_INIT;
 *     struct broker_conf *conf;
 *     broker_conf_load("sluice.yaml", &conf, &report);
 *     if (conf && conf->rules) rules_prepare(..., conf->rules, (struct conf_at){conf->doc, "rules"}, &report);
 *     if (report.len) ... print conf_report_format(&report), exit 1 ...
 *     broker_conf_free(conf);
 *
 * After a mistake *out is still given when the file was YAML, so that the other layers can add their findings to the
 * same report; such a conf is only for checking, never for running.
 * Relative paths are taken from the working directory.
 * Lifetime: the conf owns all it points to, the document included. Thread: one at a time; immutable once loaded.
 * Loading blocks on the file. */
#ifndef BROKER_CONF_H
#define BROKER_CONF_H

#include <jansson.h>

#include "buf.h"
#include "common.h"
#include "conf_report.h"
#include "field.h"
#include "listen_at.h"
#include "outbound.h"
#include "tls_server.h"
#include "yaml.h"

enum broker_listener_type { LISTENER_TCP, LISTENER_TLS, LISTENER_WS, LISTENER_WSS, LISTENER_UNIX };
enum broker_shared_strategy {
	SHARED_ROUND_ROBIN,
	SHARED_RANDOM,
	SHARED_STICKY,
	SHARED_HASH_CLIENTID,
	SHARED_HASH_TOPIC,
	SHARED_LOCAL_FIRST,
	SHARED_LEAST_INFLIGHT,
};
enum broker_sync { SYNC_NONE, SYNC_TICK };
enum broker_queue_policy { QUEUE_DROP_NEW, QUEUE_DROP_OLDEST };
enum broker_acl_default { ACL_DEFAULT_AUTO, ACL_DEFAULT_DENY, ACL_DEFAULT_ALLOW };
enum broker_acl_on_denied { ACL_DENIED_IGNORE, ACL_DENIED_DISCONNECT, ACL_DENIED_HIDE };
enum broker_log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct broker_listener {
	char *name;
	int type;   /* enum broker_listener_type */
	char *bind; /* unix: the path */
	char *path; /* ws, wss */
	char *mode; /* unix; octal */
	struct conf_list origins;
	bool proxy_protocol;
	struct conf_list proxy_from;
	struct tls_server_conf tls;
	json_t *anonymous;                            /* a boolean; NULL: as auth has it */
	int64_t max_connections;                      /* CONF_UNLIMITED for none, as all rates */
	int64_t max_connect_rate, connect_burst;      /* of all clients; a burst of 0: as the rate */
	int64_t max_message_rate, message_burst;      /* of one */
	int64_t max_byte_rate, byte_burst;            /* of one */
	struct conf_list versions;                    /* of broker_listener_versions; empty: all */
	int64_t max_packet_size, max_clientid_length; /* 0: as mqtt has it */
	char *host;                                   /* from bind, without brackets; NULL: unix */
	uint16_t port;
};

enum broker_rewrite_for { REWRITE_FOR_ALL, REWRITE_FOR_PUBLISH, REWRITE_FOR_SUBSCRIBE };
struct broker_rewrite_conf {
	int action; /* enum broker_rewrite_for */
	char *filter, *regex, *to;
};

struct broker_auto_subscribe_conf {
	char *topic;
	int64_t qos, retain_handling;
	bool no_local, retain_as_published;
};

/* auth.flapping, and its like: so many within a window, and so long a ban. */
struct broker_count_conf {
	bool given;
	int64_t max, max_user, window_ms, ban_ms;
};

struct broker_guard_conf {
	json_t *ban; /* NULL: none */
	char *ban_file;
	struct conf_list exempt;
	struct broker_count_conf flapping, auth_failures;
	struct {
		bool given;
		int64_t per_second, burst;
	} connect_rate;
};

struct broker_conf {
	struct yaml_doc *doc;
	struct {
		char *name, *data_dir, *account_id;
		int64_t workers; /* CONF_AUTO: one per core */
		int64_t buffer_memory;
		struct sl_outbound_conf outbound;
	} node;
	struct {
		int level;  /* enum log_level */
		int format; /* enum broker_log_format */
	} log;
	struct conf_objects listener_list; /* of struct broker_listener */
	struct {
		int64_t max_packet_size;
		int64_t max_inflight;          /* QoS 1 and 2 messages under way to a client */
		int64_t receive_maximum;       /* and from a client */
		int64_t max_queued;            /* messages waiting for a session */
		int64_t max_queued_bytes;      /* and their bytes */
		int64_t session_expiry_max_ms; /* CONF_UNLIMITED for none */
		int64_t keepalive_max_ms;      /* CONF_UNLIMITED: as the client asks, 0 included */
		int64_t connect_timeout_ms;
		int64_t max_connect_size; /* beside the client id */
		int64_t stall_timeout_ms; /* how long a client that takes nothing may hold publishers back */
		int64_t topic_alias_max;
		char *response_topic_prefix;
		int64_t max_topic_levels, max_clientid_length, max_subscriptions;
		int64_t max_qos;
		bool retain;
		int64_t max_retained;
		int64_t sys_interval_ms;
		int64_t max_delayed, max_delayed_bytes;
		struct conf_objects rewrite;        /* of struct broker_rewrite_conf */
		struct conf_objects auto_subscribe; /* of struct broker_auto_subscribe_conf */
		int queue_full;                     /* enum broker_queue_policy */
		bool queue_qos0;
		int shared_strategy;           /* enum broker_shared_strategy */
		struct conf_map shared_groups; /* pattern: one of their words (broker_conf_shared_strategy) */
	} mqtt;
	struct {
		bool enabled;
		int sync; /* enum broker_sync */
		int64_t segment_size;
		int64_t max_disk; /* CONF_UNLIMITED for none */
		int64_t max_store;
	} persistence;
	struct {
		bool anonymous;
		char *password_file, *acl_file;
		struct conf_list policy_files;
		int acl_default; /* enum broker_acl_default */
		struct broker_guard_conf guard;
		int acl_on_denied;       /* enum broker_acl_on_denied */
		json_t *chain;           /* NULL: none */
		struct auth_conf *links; /* of it, checked */
	} auth;
	struct {
		int64_t max_bytes; /* what rules may remember */
	} state;
	struct {
		bool enabled;
		char *bind, *host;
		uint16_t port;
	} admin;
	json_t *connectors, *sources, *rules; /* objects by name; NULL when absent */
	json_t *tests;                        /* not the broker's: `sluice test` */
};

extern const char *const broker_listener_types[];    /* by enum broker_listener_type */
extern const char *const broker_listener_versions[]; /* in the order of the versions, NULL at the end */

static inline size_t broker_conf_listener_count(const struct broker_conf *conf) { return conf->listener_list.len; }
static inline struct broker_listener *broker_conf_listener(const struct broker_conf *conf, size_t i) {
	return &((struct broker_listener *)conf->listener_list.items)[i];
}

/* SL_OK, or the status of the first mistake; all are in the report. *out is NULL when the file is no YAML. */
int broker_conf_load(const char *path, struct broker_conf **out, struct conf_report *report);
void broker_conf_free(struct broker_conf *conf); /* NULL is fine */

/* enum broker_shared_strategy, or -1. */
int broker_conf_shared_strategy(struct sl_slice word);

/* Reads the files of all listeners that speak TLS into servers[i], for listener i; the caller frees what is there, also after a
 * failure. SL_OK, or the status of the first mistake. */
int broker_conf_tls(const struct broker_conf *conf, struct tls_server **servers, struct conf_report *report);
/* Tells each whose certificate has expired: a broker starts with it, and a check should not be content. */
int broker_conf_tls_current(const struct broker_conf *conf, struct tls_server *const *servers,
			    struct conf_report *report);

/* What the broker listens on: its listeners, and behind them the status pages' address, if they are on. */
size_t broker_conf_bind_count(const struct broker_conf *conf);
/* Tells each that clashes with one before it, with the places of both. Loading has done so with what the file says; a start does
 * it again with what names have turned out to be, when all are bound: `bound` has broker_conf_bind_count(). SL_OK, or
 * the status of the first mistake. */
int broker_conf_binds_apart(const struct broker_conf *conf, const struct sl_listen_at *bound,
			    struct conf_report *report);

/* The settings in force, units written out, secrets masked; without connectors and rules. A new reference. */
json_t *broker_conf_show(const struct broker_conf *conf) sl_warn_unused;

/* What broker_conf_show() said at the start becomes what is in force after a reload: auth, node.outbound and the listeners' tls are taken over. */
void broker_conf_reloaded(json_t *shown, const json_t *fresh);

/* Appends the names of the sections that differ and that a reload does not change ("listeners, mqtt"); false when
 * there is none. */
bool broker_conf_needs_restart(const struct broker_conf *old, const struct broker_conf *new, struct sl_buf *sections);

/* The reference of all options of this file, in Markdown. */
void broker_conf_reference(struct sl_buf *out);

#endif
