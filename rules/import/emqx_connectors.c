/* emqx_connectors.c: where EMQX's actions go: servers, logins, TLS; see emqx_targets.h. */
#include <ctype.h>

#include "buf.h"
#include "emqx_targets.h"

enum { SECONDS = 1000, MINUTES = 60 * SECONDS, HOURS = 60 * MINUTES, DAYS = 24 * HOURS };

const char *emqx_base(struct import *imp, const struct emqx_reference *ref) {
	return import_printf(imp, "%s_%s", ref->type, ref->connector_name);
}

static void set(struct import_map *m, const json_t *tree, const char *path, json_t *into, const char *name) {
	import_set_plain(m, into, name, emqx_text(m->imp, tree, path));
}

static void set_secret(struct import_map *m, const struct emqx_reference *ref, const char *path, json_t *into,
		       const char *name) {
	const char *value = emqx_text(m->imp, ref->connector, path);
	if (value) import_set(into, name, import_secret(m, emqx_base(m->imp, ref), path, value, NULL));
}

/* `probe` is the connector's here, and one of EMQX's options that all its kinds have. */
static void set_probe(struct import_map *m, const struct emqx_reference *ref, json_t *into) {
	emqx_put_duration(m, ref->connector, "resource_opts.health_check_interval", "15s|15000", into, "probe", 10,
			  (int64_t)DAYS);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------ */

static void set_pem(struct import_map *m, const struct emqx_reference *ref, const char *path, json_t *tls,
		    const char *name) {
	const char *text = emqx_text(m->imp, ref->connector, path);
	if (!text) return;
	bool inlined = strstr(text, "-----BEGIN") != NULL;
	const char *file = inlined ? import_printf(m->imp, "%s_%s.pem", ref->connector_name, name) : text;
	bool environment = !inlined && strstr(text, "${");
	if (environment) file = import_printf(m->imp, "certs/%s", strrchr(text, '/') ? strrchr(text, '/') + 1 : text);
	import_set_plain(m, tls, name, file);
	import_map_note(m, IMPORT_MAPPING, "%s: %s `tls.%s` here: %s", path,
			inlined ? "the certificate or key stands in the text; write it to a file and name that in"
				: "copy the file, and name where it is in",
			name, file);
}

static bool has_version(const json_t *versions, const char *name) {
	for (size_t i = 0; i < json_array_size(versions); i++) {
		const char *text = json_string_value(json_array_get(versions, i));
		if (text && strcmp(text, name) == 0) return true;
	}
	return false;
}

/* librdkafka has no say in names and versions. */
static void set_names(struct import_map *m, const struct emqx_reference *ref, bool kafka, json_t *tls) {
	const json_t *versions = emqx_get(ref->connector, "ssl.versions");
	const char *name = emqx_text(m->imp, ref->connector, "ssl.server_name_indication");
	bool off = name && strcmp(name, "disable") == 0,
	     only_new = has_version(versions, "tlsv1.3") && json_array_size(versions) == 1;
	if (off)
		import_map_note(
		    m, IMPORT_MAPPING,
		    "ssl.server_name_indication: the name of the server is always asked for here, and checked "
		    "unless `tls.verify` is false");
	else if (name && kafka)
		import_map_note(
		    m, IMPORT_MAPPING,
		    "ssl.server_name_indication (%s) is left out: the names that the brokers tell are asked "
		    "for and checked",
		    name);
	else if (name)
		import_set_plain(m, tls, "server_name", name);
	if (only_new && kafka)
		import_map_note(m, IMPORT_MAPPING,
				"ssl.versions is left out: the highest version that both sides speak is taken");
	else if (only_new)
		import_set(tls, "min_version", "tls1.3");
	else if (has_version(versions, "tlsv1.1") || has_version(versions, "tlsv1"))
		import_map_note(m, IMPORT_MAPPING, "ssl.versions: nothing below TLS 1.2 is spoken here");
}

void emqx_ssl(struct import_map *m, const struct emqx_reference *ref, bool by_default, json_t *into) {
	const json_t *given = emqx_get(ref->connector, "ssl.enable");
	if (given ? !emqx_true(ref->connector, "ssl.enable") : !by_default) return;
	bool kafka = strcmp(json_string_value(json_object_get(into, "type")), "kafka") == 0;
	json_t *tls = json_object();
	set_pem(m, ref, "ssl.cacertfile", tls, "ca");
	set_pem(m, ref, "ssl.certfile", tls, "cert");
	set_pem(m, ref, "ssl.keyfile", tls, "key");
	set_secret(m, ref, "ssl.password", tls, "key_password");
	set_names(m, ref, kafka, tls);
	if (!emqx_is(m->imp, ref->connector, "ssl.verify", "verify_peer")) {
		json_object_set_new(tls, "verify", json_false());
		import_map_note(
		    m, IMPORT_MAPPING,
		    "ssl.verify: EMQX does not check the server's certificate, and neither does `tls.verify: "
		    "false`; take it out, unless this is an experiment");
	}
	json_object_set_new(into, "tls", tls);
}

/* ---- Kafka ----------------------------------------------------------------------------------------------------------- */

const struct emqx_option emqx_kafka_connector_options[] = {
    {"bootstrap_hosts", NULL, NULL},
    {"authentication.*", NULL, NULL},
    {"connect_timeout", NULL, NULL},
    {"request_timeout", NULL, NULL},
    {"metadata_request_timeout", "5s|5000", "see `request_timeout`"},
    {"min_metadata_refresh_interval", "3s|3000", "librdkafka asks for metadata when it needs them, and every 5 s"},
    {"allow_auto_topic_creation", NULL, NULL},
    {"health_check_topic", "", "what the brokers answer anyway shows the connection's health"},
    {"socket_opts.sndbuf", NULL, NULL},
    {"socket_opts.recbuf", NULL, NULL},
    {"socket_opts.nodelay", "true", "small packets are never held back"},
    {"socket_opts.tcp_keepalive", NULL, NULL},
    {NULL, NULL, NULL}};

static const char *kafka_mechanism(struct import_map *m, const char *theirs) {
	static const char *const known[] = {"plain", "scram_sha_256", "scram_sha_512"};
	static const char *const ours[] = {"plain", "scram-sha-256", "scram-sha-512"};
	for (size_t i = 0; i < SL_ARRAY_LEN(known); i++)
		if (theirs && strcmp(theirs, known[i]) == 0) return ours[i];
	if (theirs)
		import_map_note(m, IMPORT_MAPPING,
				"authentication.mechanism (%s) is not known to this import; see `sasl`", theirs);
	return "plain";
}

/* What the files call the members of other logins is not known here: a guess would be a login that fails, or a secret in a
 * place where it is shown. Names are told, values are not. */
static void kafka_login_unknown(struct import_map *m, const json_t *login, const char *word) {
	struct sl_buf names = SL_BUF_INIT;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)login, name, value)
	    sl_buf_printf(&names, "%s%s", names.n ? ", " : "", name);
	import_map_note(
	    m, IMPORT_MAPPING,
	    "authentication (%s) is left out: this import does not know it; write it as `sasl`, for OAuth "
	    "client credentials {mechanism: oauthbearer, token_url: ..., client_id: ..., client_secret: ...}",
	    names.n ? sl_buf_cstr(&names) : word);
	sl_buf_fini(&names);
}

/* Credentials of a machine of Amazon's come from the machine there, and from the configuration here. */
static void kafka_iam(struct import_map *m, const struct emqx_reference *ref, json_t *sasl) {
	static const char *const wanted[] = {"region", "access_key", "secret_key"};
	import_set(sasl, "mechanism", "aws-msk-iam");
	for (size_t i = 0; i < SL_ARRAY_LEN(wanted); i++)
		import_set(
		    sasl, wanted[i],
		    import_secret(m, emqx_base(m->imp, ref), wanted[i], "", "it comes from the machine's role there"));
}

static void kafka_login(struct import_map *m, const struct emqx_reference *ref, const char *user, json_t *sasl) {
	import_set(sasl, "mechanism",
		   kafka_mechanism(m, emqx_text(m->imp, ref->connector, "authentication.mechanism")));
	if (user)
		import_set(sasl, "username", user);
	else
		set(m, ref->connector, "authentication.username", sasl, "username");
	set_secret(m, ref, "authentication.password", sasl, "password");
}

static void kafka_authentication(struct import_map *m, const struct emqx_reference *ref, json_t *into) {
	const json_t *tree = ref->connector;
	bool event_hub = strncmp(ref->type, "azure", 5) == 0;
	const char *word = emqx_text(m->imp, tree, "authentication");
	json_t *sasl = json_object();
	if (word && strcmp(word, "msk_iam") == 0) {
		kafka_iam(m, ref, sasl);
	} else if (emqx_get(tree, "authentication.kerberos_principal")) {
		import_set(sasl, "mechanism", "gssapi");
		set(m, tree, "authentication.kerberos_principal", sasl, "principal");
		set(m, tree, "authentication.kerberos_keytab_file", sasl, "keytab");
		import_map_note(m, IMPORT_MAPPING,
				"authentication.kerberos_keytab_file: copy the file to `sasl.keytab`");
	} else if (emqx_get(tree, "authentication.password")) {
		kafka_login(m, ref, event_hub ? "$ConnectionString" : NULL, sasl);
	} else if (word ? strcmp(word, "none") != 0 : emqx_get(tree, "authentication") != NULL) {
		kafka_login_unknown(m, emqx_get(tree, "authentication"), word);
	}
	if (json_object_size(sasl)) json_object_set(into, "sasl", sasl);
	json_decref(sasl);
}

json_t *emqx_kafka_connector(struct import_map *m, const struct emqx_reference *ref) {
	const json_t *tree = ref->connector;
	bool cloud = strncmp(ref->type, "azure", 5) == 0 || strncmp(ref->type, "confluent", 9) == 0;
	json_t *o = json_pack("{s:s}", "type", "kafka");
	json_object_set_new(o, "brokers", import_servers(m->imp, emqx_text(m->imp, tree, "bootstrap_hosts"), 9092));
	kafka_authentication(m, ref, o);
	emqx_ssl(m, ref, cloud, o);
	emqx_put_duration(m, tree, "connect_timeout", "5s|5000", o, "connect_timeout", SECONDS, 5 * MINUTES);
	emqx_put_duration(m, tree, "request_timeout", "30s|30000", o, "request_timeout", SECONDS, 5 * MINUTES);
	if (emqx_true(tree, "allow_auto_topic_creation"))
		json_object_set_new(o, "allow_auto_topic_creation", json_true());
	emqx_put_bytes(m, tree, "socket_opts.sndbuf", "1024KB|1MB", o, "socket.send.buffer.bytes");
	emqx_put_bytes(m, tree, "socket_opts.recbuf", "1024KB|1MB", o, "socket.receive.buffer.bytes");
	if (emqx_get(tree, "socket_opts.tcp_keepalive") && !emqx_is(m->imp, tree, "socket_opts.tcp_keepalive", "none"))
		import_set(emqx_member(o, "properties"), "socket.keepalive.enable", "true");
	set_probe(m, ref, o);
	return o;
}

/* ---- PostgreSQL -------------------------------------------------------------------------------------------------------- */

const struct emqx_option emqx_postgres_connector_options[] = {
    {"server", NULL, NULL},
    {"database", NULL, NULL},
    {"username", NULL, NULL},
    {"password", NULL, NULL},
    {"pool_size", NULL, NULL},
    {"application_name", NULL, NULL},
    {"disable_prepared_statements", NULL, NULL},
    {"connect_timeout", NULL, NULL},
    {"auto_reconnect", "true|2s|2000", "a connector always connects again; see `reconnect`"},
    {NULL, NULL, NULL}};

json_t *emqx_postgres_connector(struct import_map *m, const struct emqx_reference *ref) {
	const json_t *tree = ref->connector;
	unsigned port = strncmp(ref->type, "cockroach", 9) == 0  ? 26257
			: strncmp(ref->type, "redshift", 8) == 0 ? 5439
								 : 0;
	json_t *o = json_pack("{s:s}", "type", "postgres");
	json_object_set_new(o, "hosts", import_servers(m->imp, emqx_text(m->imp, tree, "server"), port));
	set(m, tree, "database", o, "database");
	set(m, tree, "username", o, "user");
	set_secret(m, ref, "password", o, "password");
	emqx_put_number(m, tree, "pool_size", NULL, o, "pool", 1, 64);
	emqx_ssl(m, ref, false, o);
	if (!emqx_is(m->imp, tree, "application_name", "emqx")) set(m, tree, "application_name", o, "application_name");
	if (emqx_true(tree, "disable_prepared_statements")) import_set(o, "prepared", "off");
	emqx_put_duration(m, tree, "connect_timeout", "5s|10s|5000", o, "connect_timeout", 100, 10 * MINUTES);
	set_probe(m, ref, o);
	return o;
}

/* ---- Redis ------------------------------------------------------------------------------------------------------------- */

const struct emqx_option emqx_redis_connector_options[] = {
    {"redis_type", NULL, NULL},
    {"server", NULL, NULL},
    {"servers", NULL, NULL},
    {"sentinel", NULL, NULL},
    {"sentinel_username", NULL, NULL},
    {"sentinel_password", NULL, NULL},
    {"username", NULL, NULL},
    {"password", NULL, NULL},
    {"database", NULL, NULL},
    {"pool_size", NULL, NULL},
    {"auto_reconnect", "true|2s|2000", "a connector always connects again; see `reconnect`"},
    {NULL, NULL, NULL}};

static void redis_login(struct import_map *m, const struct emqx_reference *ref, const char *user, const char *password,
			json_t *into) {
	const char *name = emqx_text(m->imp, ref->connector, user);
	if (name && emqx_text(m->imp, ref->connector, password))
		import_set_plain(m, into, user, name);
	else if (name)
		import_map_note(m, IMPORT_MAPPING, "%s is left out: a user without a password cannot log in", user);
	set_secret(m, ref, password, into, password);
}

json_t *emqx_redis_connector(struct import_map *m, const struct emqx_reference *ref) {
	const json_t *tree = ref->connector;
	const char *type = emqx_text(m->imp, tree, "redis_type"), *servers = emqx_text(m->imp, tree, "servers");
	const char *suffix = strchr(ref->type, '_');
	if (!type) type = suffix ? suffix + 1 : servers ? "cluster" : "single";
	if (!servers) servers = emqx_text(m->imp, tree, "server");
	bool sentinel = strcmp(type, "sentinel") == 0, cluster = strcmp(type, "cluster") == 0;
	json_t *o = json_pack("{s:s}", "type", "redis");
	if (sentinel || cluster) import_set(o, "mode", type);
	json_object_set_new(o, "servers", import_servers(m->imp, servers, 6379));
	if (sentinel) {
		import_set(o, "master", emqx_text(m->imp, tree, "sentinel"));
		redis_login(m, ref, "sentinel_username", "sentinel_password", o);
	}
	redis_login(m, ref, "username", "password", o);
	if (!cluster) emqx_put_number(m, tree, "database", "0", o, "database", 0, INT32_MAX);
	if (!cluster) emqx_put_number(m, tree, "pool_size", NULL, o, "pool", 1, 16);
	emqx_ssl(m, ref, false, o);
	set_probe(m, ref, o);
	return o;
}

/* ---- MongoDB ------------------------------------------------------------------------------------------------------------ */

const struct emqx_option emqx_mongodb_connector_options[] = {
    {"mongo_type", NULL, NULL},
    {"server", NULL, NULL},
    {"servers", NULL, NULL},
    {"replica_set_name", NULL, NULL},
    {"r_mode", "master|slave_ok", ""}, /* nothing is read */
    {"w_mode", NULL, NULL},
    {"database", NULL, NULL},
    {"auth_source", NULL, NULL},
    {"username", NULL, NULL},
    {"password", NULL, NULL},
    {"srv_record", NULL, NULL},
    {"pool_size", NULL, NULL},
    {"use_legacy_protocol", "auto|false", "servers from 3.6 on are spoken to, by the protocol of today"},
    {"topology.connect_timeout_ms", NULL, NULL},
    {"topology.socket_timeout_ms", NULL, NULL},
    {"topology.server_selection_timeout_ms", NULL, NULL},
    {"topology.heartbeat_frequency_ms", NULL, NULL},
    {"topology.local_threshold_ms", NULL, NULL},
    {"topology.pool_size", "", ""},
    {"topology.max_overflow", "0", "there are never more than `pool` commands under way"},
    {"topology.overflow_ttl", "0", "there are never more than `pool` commands under way"},
    {"topology.overflow_check_period", "0", "there are never more than `pool` commands under way"},
    {"topology.wait_queue_timeout_ms", "1s|1000", "rows wait in the action's buffer for their turn"},
    {"topology.min_heartbeat_frequency_ms", "1s|1000", "libmongoc looks at most twice a second"},
    {NULL, NULL, NULL}};

/* What may stand in a URI as it is. */
static const char *percent(struct import *imp, const char *text) {
	struct sl_buf out = SL_BUF_INIT;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (isalnum(c) || strchr("-._~", c))
			sl_buf_put(&out, (char)c);
		else
			sl_buf_printf(&out, "%%%02X", c);
	}
	const char *made = import_text(imp, sl_buf_cstr(&out));
	sl_buf_fini(&out);
	return made;
}

static void uri_option(struct import *imp, struct sl_buf *uri, const char *name, const char *value) {
	if (!value) return;
	bool first = !strchr(sl_buf_cstr(uri), '?');
	sl_buf_printf(uri, "%c%s=%s", first ? '?' : '&', name, percent(imp, value));
}

static void uri_servers(struct import_map *m, const json_t *tree, bool srv, struct sl_buf *uri) {
	const char *text = emqx_text(m->imp, tree, "servers");
	json_t *servers = import_servers(m->imp, text ? text : emqx_text(m->imp, tree, "server"), 0);
	for (size_t i = 0; i < json_array_size(servers) && (i == 0 || !srv); i++) {
		const char *server = json_string_value(json_array_get(servers, i));
		int n = srv ? (int)strcspn(server, ":") : (int)strlen(server); /* the ports come from the DNS */
		sl_buf_printf(uri, "%s%.*s", i ? "," : "", n, server);
	}
	json_decref(servers);
}

static void uri_times(struct import_map *m, const json_t *tree, struct sl_buf *uri) {
	static const char *const times[][3] = {
	    {"topology.heartbeat_frequency_ms", "200s|200000", "heartbeatFrequencyMS"},
	    {"topology.local_threshold_ms", "1s|1000", "localThresholdMS"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(times); i++) {
		json_t *found = json_object();
		emqx_put_ms(m, tree, times[i][0], times[i][1], found, times[i][2]);
		uri_option(m->imp, uri, times[i][2],
			   json_string_value(json_object_get(json_object_get(found, "properties"), times[i][2])));
		json_decref(found);
	}
}

static const char *mongodb_uri(struct import_map *m, const struct emqx_reference *ref) {
	const json_t *tree = ref->connector;
	const char *user = emqx_text(m->imp, tree, "username"), *password = emqx_text(m->imp, tree, "password");
	const char *source = emqx_text(m->imp, tree, "auth_source");
	bool srv = emqx_true(tree, "srv_record");
	struct sl_buf uri = SL_BUF_INIT;
	sl_buf_printf(&uri, "mongodb%s://", srv ? "+srv" : "");
	if (user) sl_buf_append_str(&uri, percent(m->imp, user));
	if (user && password)
		sl_buf_printf(&uri, ":%s",
			      import_secret(m, emqx_base(m->imp, ref), "password", password,
					    "it stands in a URL here: write / as %2F, @ as %40, : as %3A, % as %25"));
	if (user) sl_buf_put(&uri, '@');
	uri_servers(m, tree, srv, &uri);
	sl_buf_put(&uri, '/');
	uri_option(m->imp, &uri, "replicaSet", emqx_text(m->imp, tree, "replica_set_name"));
	if (user) uri_option(m->imp, &uri, "authSource", source ? source : emqx_text(m->imp, tree, "database"));
	uri_times(m, tree, &uri);
	const char *made = import_text(m->imp, sl_buf_cstr(&uri));
	sl_buf_fini(&uri);
	return made;
}

json_t *emqx_mongodb_connector(struct import_map *m, const struct emqx_reference *ref) {
	const json_t *tree = ref->connector;
	json_t *o = json_pack("{s:s, s:s}", "type", "mongodb", "url", mongodb_uri(m, ref));
	set(m, tree, "database", o, "database");
	emqx_put_number(m, tree, "pool_size", NULL, o, "pool", 1, 64);
	json_object_set_new(o, "write_concern", json_pack("{s:i}", "w", 1));
	if (!emqx_is(m->imp, tree, "w_mode", "safe"))
		import_map_note(
		    m, IMPORT_UNCHANGED,
		    "w_mode: EMQX does not wait for the server's word; here rows count as stored when it has given "
		    "it (write_concern)");
	emqx_ssl(m, ref, false, o);
	emqx_put_duration(m, tree, "topology.connect_timeout_ms", "20s|20000", o, "connect_timeout", 100, 10 * MINUTES);
	emqx_put_duration(m, tree, "topology.socket_timeout_ms", "100ms|100", o, "timeout", 100, HOURS);
	emqx_put_duration(m, tree, "topology.server_selection_timeout_ms", "30s|30000", o, "server_selection_timeout",
			  100, 10 * MINUTES);
	set_probe(m, ref, o);
	return o;
}
