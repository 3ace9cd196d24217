/* kafka_conf.c: options to librdkafka's properties; see kafka_conf.h. */
#include "kafka_conf.h"

#include <string.h>

#include "buf.h"
#include "conv.h"
#include "kafka_wire.h"
#include "log.h"
#include "mem.h"
#include "stream_dial.h"
#include "tls_error.h"

#define BROKER_PORT 9092    /* of an address without one */
#define CLIENT_TEXT_MAX 512 /* librdkafka's messages about its configuration */

/* ---- What librdkafka says goes to our log. ------------------------------------------------------------------------- */

/* Failures of a connection are reported as events as well, and told once in the connector's own line. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
	const struct kafka_client *client = rd_kafka_opaque(rk);
	const char *name = client ? client->name : "";
	static const char *const told_elsewhere[] = {"FAIL", "ERROR", "COMMITFAIL", "REQTMOUT", "FATAL", "LIBSASL"};
	/* librdkafka calls it experimental, at every start. */
	bool told = level > 4 || (strcmp(facility, "CONFWARN") == 0 && strstr(text, "enable.gapless.guarantee"));
	for (size_t i = 0; i < SL_ARRAY_LEN(told_elsewhere); i++)
		told = told || strcmp(facility, told_elsewhere[i]) == 0;
	if (told)
		log_debug(LOG_CONN, "librdkafka", "name=%s facility=%s text=%s", name, facility, text);
	else
		log_warn(LOG_CONN, "librdkafka", "name=%s facility=%s text=%s", name, facility, text);
}

bool kafka_library_before(int major, int minor, int patch) {
	int v = rd_kafka_version(); /* 0xMMmmrrxx */
	int wanted = major << 24 | minor << 16 | patch << 8;
	return (v & ~0xff) < wanted;
}

/* ---- Properties by name. --------------------------------------------------------------------------------------------- */

/* What an option of ours stands for, or what Sluice depends on. */
static const struct {
	const char *property, *option; /* option NULL: nobody may set it */
} owned[] = {
    {"bootstrap.servers", "brokers"},
    {"metadata.broker.list", "brokers"},
    {"client.id", "client_id"},
    {"security.protocol", "sasl` and `tls"},
    {"sasl.mechanism", "sasl.mechanism"},
    {"sasl.mechanisms", "sasl.mechanism"},
    {"sasl.username", "sasl.username"},
    {"sasl.password", "sasl.password"},
    {"sasl.oauthbearer.method", "sasl.token_url"},
    {"sasl.oauthbearer.token.endpoint.url", "sasl.token_url"},
    {"sasl.oauthbearer.client.id", "sasl.client_id"},
    {"sasl.oauthbearer.client.secret", "sasl.client_secret"},
    {"sasl.oauthbearer.scope", "sasl.scope"},
    {"sasl.oauthbearer.extensions", "sasl.extensions"},
    {"sasl.kerberos.service.name", "sasl.service"},
    {"sasl.kerberos.principal", "sasl.principal"},
    {"sasl.kerberos.keytab", "sasl.keytab"},
    {"sasl.kerberos.kinit.cmd", "sasl.keytab"}, /* it would run any command */
    {"ssl.ca.location", "tls.ca"},
    {"ssl.ca.pem", "tls.ca"},
    {"ssl.certificate.location", "tls.cert"},
    {"ssl.certificate.pem", "tls.cert"},
    {"ssl.key.location", "tls.key"},
    {"ssl.key.pem", "tls.key"},
    {"ssl.key.password", "tls.key_password"},
    {"enable.ssl.certificate.verification", "tls.verify"},
    {"ssl.endpoint.identification.algorithm", "tls.verify"},
    {"acks", "acks"},
    {"request.required.acks", "acks"},
    {"enable.idempotence", "idempotence"},
    {"compression.codec", "compression"},
    {"compression.type", "compression"},
    {"compression.level", "compression_level"},
    {"partitioner", "partitioner"},
    {"linger.ms", "linger"},
    {"queue.buffering.max.ms", "linger"},
    {"message.max.bytes", "max_message"},
    {"batch.size", "batch_bytes"},
    {"queue.buffering.max.messages", "queue.rows"},
    {"queue.buffering.max.kbytes", "queue.bytes"},
    {"socket.connection.setup.timeout.ms", "connect_timeout"},
    {"request.timeout.ms", "request_timeout"},
    {"socket.timeout.ms", "request_timeout"},
    {"allow.auto.create.topics", "allow_auto_topic_creation"},
    {"message.timeout.ms", "timeout` and `retry` of an action"},
    {"delivery.timeout.ms", "timeout` and `retry` of an action"},
    {"message.send.max.retries", "retry` of an action"},
    {"retries", "retry` of an action"},
    {"transactional.id", NULL},
    {"enable.gapless.guarantee", NULL},
    {"sticky.partitioning.linger.ms", NULL},
    {"delivery.report.only.error", NULL},
    {"produce.offset.report", NULL},
    {"enabled_events", NULL},
    {"log.queue", NULL},
    {"log_level", NULL},
    {"enable.random.seed", NULL},
};

static int property_owned(const char *name, const char *prefix, struct sl_err *err) {
	for (size_t i = 0; i < SL_ARRAY_LEN(owned); i++) {
		if (strcmp(owned[i].property, name) != 0) continue;
		/* "retry` of an action" has its quote within */
		if (owned[i].option)
			return sl_err_set(err, SL_EINVAL, "%s.%s: use the option `%s%s for that", prefix, name,
					  owned[i].option, strchr(owned[i].option, '`') ? "" : "`");
		return sl_err_set(err, SL_EINVAL, "%s.%s: Sluice sets this itself, for its deliveries depend on it",
				  prefix, name);
	}
	return SL_OK;
}

static int property_unknown(const rd_kafka_conf_t *conf, const char *name, const char *prefix, struct sl_err *err) {
	size_t count, n = 0;
	const char **pairs = rd_kafka_conf_dump((rd_kafka_conf_t *)(uintptr_t)conf, &count);
	/* Topics' properties and other names of the same are not in that list; the ones that people know are ours. */
	const char **names = SL_NEW_ARRAY(const char *, count / 2 + SL_ARRAY_LEN(owned));
	for (size_t i = 0; i + 1 < count; i += 2) names[n++] = pairs[i];
	for (size_t i = 0; i < SL_ARRAY_LEN(owned); i++) names[n++] = owned[i].property;
	const char *near = slice_nearest(slice_from_str(name), names, n);
	int r = sl_err_set(err, SL_EINVAL, "%s.%s: librdkafka %s has no such property%s%s%s", prefix, name,
			   rd_kafka_version_str(), near ? ", did you mean `" : "", near ? near : "", near ? "`?" : "");
	sl_free(names);
	rd_kafka_conf_dump_free(pairs, count);
	return r;
}

static bool property_secret(const char *name) {
	return strstr(name, "password") || strstr(name, "secret") || strstr(name, ".pem") || strstr(name, "config");
}

int kafka_properties_set(rd_kafka_conf_t *conf, const struct conf_map *properties, const char *prefix,
			 struct sl_err *err) {
	for (size_t i = 0; i < properties->len; i++) {
		const char *name = properties->items[i].key, *value = properties->items[i].value;
		char text[CLIENT_TEXT_MAX];
		int r = property_owned(name, prefix, err);
		if (r != SL_OK) return r;
		/* Libraries; of the first librdkafka loads as soon as it is told of them. */
		if (strcmp(name, "plugin.library.paths") == 0 || strcmp(name, "ssl.engine.location") == 0)
			return sl_err_set(err, SL_EDENIED,
					  "%s.%s: would load foreign code into the broker, which no configuration may; "
					  "leave it out",
					  prefix, name);
		switch (rd_kafka_conf_set(conf, name, value, text, sizeof text)) {
		case RD_KAFKA_CONF_OK: break;
		case RD_KAFKA_CONF_UNKNOWN: return property_unknown(conf, name, prefix, err);
		case RD_KAFKA_CONF_INVALID:
			return sl_err_set(err, SL_EINVAL, "%s.%s: %s", prefix, name,
					  property_secret(name) ? "librdkafka does not take this value" : text);
		}
	}
	return SL_OK;
}

/* ---- Options to properties. ------------------------------------------------------------------------------------------ */

struct maker {
	rd_kafka_conf_t *conf;
	struct sl_err *err;
	int status; /* of the first failure */
};

/* option: where the value comes from; a message names it and not the value, which may be secret. */
static void put(struct maker *m, const char *property, const char *value, const char *option) {
	char text[CLIENT_TEXT_MAX];
	if (m->status != SL_OK || !value) return;
	if (rd_kafka_conf_set(m->conf, property, value, text, sizeof text) == RD_KAFKA_CONF_OK) return;
	m->status = sl_err_set(m->err, SL_EINVAL, "%s: librdkafka %s says: %s", option, rd_kafka_version_str(),
			       property_secret(property) ? "the value is not usable" : text);
}

static void put_int(struct maker *m, const char *property, int64_t value, const char *option) {
	char text[SL_FORMAT_I64_MAX];
	sl_format_i64(value, text);
	put(m, property, text, option);
}

static void put_bool(struct maker *m, const char *property, bool value, const char *option) {
	put(m, property, value ? "true" : "false", option);
}

char *kafka_brokers_text(const struct kafka_conf *conf) {
	struct sl_buf b = SL_BUF_INIT;
	for (size_t i = 0; i < conf->brokers.len; i++) sl_buf_printf(&b, "%s%s", i ? "," : "", conf->brokers.items[i]);
	(void)sl_buf_cstr(&b);
	return sl_buf_steal(&b);
}

static void put_tls(struct maker *m, const struct tls_client_conf *tls) {
	if (!tls->given) return;
	const char *ca = tls->ca;
	if (!ca && tls->verify) {
		ca = tls_client_system_ca(m->err);
		if (!ca) m->status = SL_ENOTFOUND;
	}
	put(m, "ssl.ca.location", ca, "tls.ca");
	put(m, "ssl.certificate.location", tls->cert, "tls.cert");
	put(m, "ssl.key.location", tls->key, "tls.key");
	put(m, "ssl.key.password", tls->key_password, "tls.key_password");
	put_bool(m, "enable.ssl.certificate.verification", tls->verify, "tls.verify");
	put(m, "ssl.endpoint.identification.algorithm", tls->verify ? "https" : "none", "tls.verify");
}

static void put_sasl(struct maker *m, const struct kafka_sasl_conf *sasl) {
	static const char *const words[] = {"PLAIN",       "SCRAM-SHA-256", "SCRAM-SHA-512",
					    "OAUTHBEARER", "GSSAPI",        "OAUTHBEARER"};
	if (!sasl->given) return;
	put(m, "sasl.mechanism", words[sasl->mechanism], "sasl.mechanism");
	switch ((enum kafka_mechanism)sasl->mechanism) {
	case KAFKA_PLAIN:
	case KAFKA_SCRAM_256:
	case KAFKA_SCRAM_512:
		put(m, "sasl.username", sasl->username, "sasl.username");
		put(m, "sasl.password", sasl->password, "sasl.password");
		break;
	case KAFKA_OAUTHBEARER:
		if (!sasl->token_url) break;
		put(m, "sasl.oauthbearer.method", "oidc", "sasl.token_url");
		put(m, "sasl.oauthbearer.token.endpoint.url", sasl->token_url, "sasl.token_url");
		put(m, "sasl.oauthbearer.client.id", sasl->client_id, "sasl.client_id");
		put(m, "sasl.oauthbearer.client.secret", sasl->client_secret, "sasl.client_secret");
		put(m, "sasl.oauthbearer.scope", sasl->scope, "sasl.scope");
		put(m, "sasl.oauthbearer.extensions", sasl->extensions, "sasl.extensions");
		break;
	case KAFKA_GSSAPI:
		put(m, "sasl.kerberos.service.name", sasl->service, "sasl.service");
		/* Without one there is a ticket, which somebody else renews: by default librdkafka wants to run kinit. */
		if (!sasl->keytab) put(m, "sasl.kerberos.min.time.before.relogin", "0", "sasl.keytab");
		put(m, "sasl.kerberos.principal", sasl->principal, "sasl.principal");
		put(m, "sasl.kerberos.keytab", sasl->keytab, "sasl.keytab");
		break;
	case KAFKA_AWS_MSK_IAM: break; /* tokens come by callback */
	}
}

static void put_producer(struct maker *m, const struct kafka_conf *conf, bool scout) {
	static const char *const acks[] = {"all", "1", "0"};
	static const char *const partitioners[] = {
	    "murmur2_random", "murmur2", "consistent_random", "consistent", "fnv1a_random", "fnv1a", "random"};
	put_bool(m, "enable.idempotence", conf->idempotence, "idempotence");
	/* Order: see kafka_gate.h. */
	put_bool(m, "enable.gapless.guarantee", conf->idempotence && !scout, "idempotence");
	put_int(m, "sticky.partitioning.linger.ms", 0, "partitioner");
	put(m, "acks", acks[conf->acks], "acks");
	put(m, "compression.codec", kafka_compressions[conf->compression], "compression");
	if (conf->compression_level != CONF_AUTO)
		put_int(m, "compression.level", conf->compression_level, "compression_level");
	put(m, "partitioner", partitioners[conf->partitioner], "partitioner");
	put_int(m, "linger.ms", scout ? 0 : conf->linger_ms, "linger");
	put_int(m, "message.max.bytes", conf->max_message, "max_message");
	put_int(m, "batch.size", conf->batch_bytes, "batch_bytes");
	/* The bound is ours (kafka_batch.c): a row that librdkafka has no room for would be overtaken. */
	put_int(m, "queue.buffering.max.messages", 10000000, "queue.rows");
	put_int(m, "queue.buffering.max.kbytes", 2147483647, "queue.bytes");
	/* A row is given up by us or not at all: librdkafka tries for ever, and our cancel() takes rows back. */
	put_int(m, "message.timeout.ms", 0, "timeout");
	put_int(m, "message.send.max.retries", INT32_MAX, "retry");
	put_int(m, "request.timeout.ms", conf->request_timeout_ms, "request_timeout");
	put_bool(m, "allow.auto.create.topics", conf->auto_create, "allow_auto_topic_creation");
	/* A topic that is missing is told soon, and found soon once it is made. */
	put_int(m, "topic.metadata.propagation.max.ms", 2000, "brokers");
	put_int(m, "topic.metadata.refresh.interval.ms", 5000, "brokers");
}

static const char *protocol_of(const struct kafka_conf *conf) {
	if (conf->sasl.given) return conf->tls.given ? "SASL_SSL" : "SASL_PLAINTEXT";
	return conf->tls.given ? "SSL" : "PLAINTEXT";
}

#define SOCKET_TIMEOUT_MAX 300000 /* librdkafka's */

int kafka_conf_make(const struct kafka_conf *conf, enum kafka_role role, struct kafka_client *client,
		    rd_kafka_conf_t **out, struct sl_err *err) {
	struct maker m = {.conf = rd_kafka_conf_new(), .err = err};
	char *brokers = kafka_brokers_text(conf);
	put(&m, "bootstrap.servers", brokers, "brokers");
	sl_free(brokers);
	put(&m, "client.id", conf->client_id, "client_id");
	put(&m, "security.protocol", protocol_of(conf), "tls");
	put_int(&m, "socket.connection.setup.timeout.ms", conf->connect_timeout_ms, "connect_timeout");
	/* Not shorter than what a produce request may wait for its replicas, plus the way there and back; nor longer than may be. */
	int64_t socket_ms = conf->request_timeout_ms + 1000;
	put_int(&m, "socket.timeout.ms", socket_ms < SOCKET_TIMEOUT_MAX ? socket_ms : SOCKET_TIMEOUT_MAX,
		"request_timeout");
	put_bool(&m, "log.connection.close", false, "brokers");
	put_bool(&m, "socket.nagle.disable", true, "brokers");
	put_int(&m, "reconnect.backoff.max.ms", 2000, "brokers");
	put_tls(&m, &conf->tls);
	put_sasl(&m, &conf->sasl);
	if (role != KAFKA_CONSUMER) put_producer(&m, conf, role == KAFKA_SCOUT);
	if (m.status == SL_OK) m.status = kafka_properties_set(m.conf, &conf->properties, "properties", err);
	if (m.status != SL_OK) {
		rd_kafka_conf_destroy(m.conf);
		return m.status;
	}
	rd_kafka_conf_set_opaque(m.conf, client);
	rd_kafka_conf_set_log_cb(m.conf, on_log);
	kafka_wire_watch(m.conf);
	*out = m.conf;
	return SL_OK;
}

/* ---- Checks. ----------------------------------------------------------------------------------------------------------- */

/* librdkafka puts both into a command for a shell, as they are. */
static int kerberos_check(const struct kafka_sasl_conf *s, struct sl_err *err) {
	static const char special[] = " \t\r\n\"'`$\\;&|<>()*?[]{}#~!";
	if (!s->keytab != !s->principal)
		return sl_err_set(
		    err, SL_EINVAL,
		    "sasl: gssapi needs both `principal` and `keytab`; without both there must be a ticket "
		    "in the credentials cache of the user that Sluice runs as");
	if (s->principal && s->principal[strcspn(s->principal, special)])
		return sl_err_set(err, SL_EINVAL, "sasl.principal: write it as name@REALM or name/host@REALM");
	if (s->keytab && s->keytab[strcspn(s->keytab, "\r\n\"`$\\")])
		return sl_err_set(
		    err, SL_EINVAL,
		    "sasl.keytab: quotes, `$` and backslashes are not possible in its path; rename the file");
	return SL_OK;
}

static int sasl_check(const struct kafka_sasl_conf *s, bool tls, struct sl_err *err) {
	if (!s->given) return SL_OK;
	switch ((enum kafka_mechanism)s->mechanism) {
	case KAFKA_PLAIN:
	case KAFKA_SCRAM_256:
	case KAFKA_SCRAM_512:
		if (!s->username || !s->password)
			return sl_err_set(err, SL_EINVAL, "sasl: this mechanism needs `username` and `password`");
		return SL_OK;
	case KAFKA_OAUTHBEARER:
		if (!s->token_file == !s->token_url)
			return sl_err_set(err, SL_EINVAL,
					  "sasl: oauthbearer needs `token_file`, or `token_url` with `client_id` and "
					  "`client_secret`");
		if (s->token_url && (!s->client_id || !s->client_secret))
			return sl_err_set(err, SL_EINVAL, "sasl: `token_url` needs `client_id` and `client_secret`");
		return SL_OK;
	case KAFKA_GSSAPI: return kerberos_check(s, err);
	case KAFKA_AWS_MSK_IAM:
		if (!s->region || !s->access_key || !s->secret_key)
			return sl_err_set(err, SL_EINVAL,
					  "sasl: aws-msk-iam needs `region`, `access_key` and `secret_key`");
		if (!tls) return sl_err_set(err, SL_EINVAL, "sasl: aws-msk-iam works over TLS only; add `tls: {}`");
		return SL_OK;
	}
	return SL_OK;
}

static int tls_check(const struct tls_client_conf *tls, struct sl_err *err) {
	if (!tls->given) return SL_OK;
	if (tls->server_name)
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "tls.server_name: librdkafka checks the names that the brokers tell; leave it out");
	if (tls->min_version != TLS_VERSION_1_2)
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "tls.min_version: librdkafka takes the highest version that both sides speak, and "
				  "no option changes that; leave it out");
	int r = tls_client_check(tls, err);
	return r == SL_OK ? SL_OK : sl_err_prefix(err, "tls");
}

static bool scram(const struct kafka_conf *conf) {
	return conf->sasl.given && (conf->sasl.mechanism == KAFKA_SCRAM_256 || conf->sasl.mechanism == KAFKA_SCRAM_512);
}

/* "SASL_SSL://k:9092", as librdkafka and Java have it, is k:9092. */
static struct sl_slice without_protocol(struct sl_slice text) {
	static const char *const protocols[] = {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"};
	ptrdiff_t at = slice_find(text, SL_SLICE_LIT("://"));
	for (size_t i = 0; at > 0 && i < SL_ARRAY_LEN(protocols); i++)
		if (slice_equal_nocase(slice_sub(text, 0, (size_t)at), slice_from_str(protocols[i])))
			return slice_from(text, (size_t)at + 3);
	return text;
}

/* No text of it is shown that may hold a password. */
static int broker_check(struct sl_slice text, struct sl_err *err) {
	struct sl_slice host;
	uint16_t port;
	if (slice_find_byte(text, '@') >= 0)
		return sl_err_set(err, SL_EINVAL, "write host:port alone; user and password belong under `sasl`");
	text = without_protocol(text);
	if (text.n > 0 && text.p[0] == '/')
		return sl_err_set(err, SL_EINVAL, "Kafka is not reached by a unix socket; write host:port");
	return sl_dial_parse(text, BROKER_PORT, &host, &port, err);
}

/* librdkafka leaves out what it cannot read, and would look for the brokers that are left for ever. */
static int brokers_check(const struct kafka_conf *conf, struct sl_err *err) {
	size_t found = 0;
	for (size_t i = 0; i < conf->brokers.len; i++)
		for (struct sl_slice rest = slice_from_str(conf->brokers.items[i]); rest.p;) {
			struct sl_slice text = slice_trim(slice_next_part(&rest, ','));
			if (text.n == 0) continue; /* a comma at the end */
			found++;
			if (broker_check(text, err) == SL_OK) continue;
			return sl_err_prefix(err, "brokers[%zu]", i);
		}
	return found ? SL_OK : sl_err_set(err, SL_EINVAL, "brokers: no broker is named; write host:port");
}

int kafka_conf_check(const struct kafka_conf *conf, const char *name, struct sl_err *err) {
	if (conf->idempotence && conf->acks != KAFKA_ACKS_ALL)
		return sl_err_set(err, SL_EINVAL,
				  "acks: idempotence needs `acks: all`; set `idempotence: false` if rows that the "
				  "leader loses may be lost");
	int r = brokers_check(conf, err);
	if (r == SL_OK) r = sasl_check(&conf->sasl, conf->tls.given, err);
	if (r == SL_OK) r = tls_check(&conf->tls, err);
	struct kafka_client client = {.name = name, .conf = conf};
	rd_kafka_conf_t *made = NULL;
	if (r == SL_OK) r = kafka_conf_make(conf, KAFKA_PRODUCER, &client, &made, err);
	if (r != SL_OK) return r;
	rd_kafka_conf_destroy(made);
	if (scram(conf) && kafka_library_before(2, 6, 1))
		log_warn(LOG_CONF, "SCRAM works with Kafka up to 3.9 only: this librdkafka is older than 2.6.1",
			 "name=%s librdkafka=%s do=%s", name, rd_kafka_version_str(),
			 "for Kafka 4 use sasl.mechanism plain over TLS, or a newer librdkafka");
	return SL_OK;
}

/* What is wrong with a broker's certificate librdkafka does not say; what is wrong with ours the broker says. */
static const char *tls_advice(const char *text) {
	const char *ours = tls_error_of_our_certificate(text);
	if (ours) return ours;
	if (strstr(text, "unexpected eof") || strstr(text, "wrong version") || strstr(text, "packet length"))
		return "does this port speak TLS? if not, take `tls` out";
	return "is its certificate of an authority in `tls.ca`, for the host name that is used, and not out of date?";
}

static const char *sasl_advice(const struct kafka_conf *conf, const char *text) {
	bool kerberos = conf->sasl.mechanism == KAFKA_GSSAPI;
	if (!conf->sasl.given) return "; the brokers may want a login: see `sasl`";
	if (strstr(text, "not valid in current SASL state"))
		return "; if this port takes no login, take `sasl` out; else check sasl.mechanism";
	if (strstr(text, "Unsupported SASL mechanism")) return "; set sasl.mechanism to one of these";
	if (kerberos && strstr(text, "No worthy mechs"))
		return "; install the library's module for Kerberos: Debian's package libsasl2-modules-gssapi-mit";
	if (kerberos && conf->sasl.keytab)
		return "; check sasl.principal, sasl.keytab and sasl.service, and that kinit (Debian's package "
		       "krb5-user) gets a ticket with them: its complaints are in the log";
	if (kerberos)
		return "; check sasl.service, and that there is a ticket in the credentials cache of the user that "
		       "Sluice runs as; or give `principal` and `keytab`";
	if (conf->sasl.username) return "; check sasl.username, sasl.password and sasl.mechanism";
	return "; check the options of `sasl`";
}

/* Without the time that it took and how often it came before: the same trouble would seem to be another one each time. */
static struct sl_slice bare(const char *text) {
	size_t n = strlen(text);
	const char *at = NULL;
	for (const char *next = strstr(text, " (after "); next; next = strstr(next + 1, " (after ")) at = next;
	return slice_make(text, at && text[n - 1] == ')' && !strchr(at, '\n') ? (size_t)(at - text) : n);
}

void kafka_client_fini(struct kafka_client *client) { sl_free(atomic_exchange(&client->nonsense, NULL)); }

void kafka_advice(struct kafka_client *client, rd_kafka_resp_err_t code, const char *text, struct sl_buf *out) {
	const struct kafka_conf *conf = client->conf;
	/* We broke the connection off, or gave the partition its error, and know better than librdkafka why. */
	bool ours = code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR_INVALID_MSG;
	char *nonsense = ours ? atomic_exchange(&client->nonsense, NULL) : NULL;
	sl_buf_append_slice(out, nonsense ? slice_from_str(nonsense) : bare(text));
	bool told = nonsense;
	sl_free(nonsense);
	/* A listener with TLS hangs up at the first bytes of plain text. */
	if (code == RD_KAFKA_RESP_ERR__TRANSPORT && !conf->tls.given && !told && strstr(text, "SSL listener"))
		sl_buf_append_str(out,
				  conf->sasl.given
				      ? "; if this port speaks TLS, add `tls: {}`"
				      : "; if this port speaks TLS, add `tls: {}`; if it wants a login, add `sasl`");
	if (code == RD_KAFKA_RESP_ERR__SSL || strstr(text, "SSL routines"))
		sl_buf_printf(out, "; %s", tls_advice(text));
	if (code == RD_KAFKA_RESP_ERR__RESOLVE)
		sl_buf_append_str(out, "; check the names in `brokers`, and this machine's name servers");
	if (code == RD_KAFKA_RESP_ERR__TRANSPORT && strstr(text, "Connection refused"))
		sl_buf_append_str(out, "; is the broker running, and listening there? check `brokers`");
	if (code != RD_KAFKA_RESP_ERR__AUTHENTICATION) return;
	sl_buf_append_str(out, sasl_advice(conf, text));
	if (scram(conf) && kafka_library_before(2, 6, 1))
		sl_buf_printf(
		    out,
		    ". With Kafka 4 the login fails even with the right password: librdkafka %s is older than "
		    "2.6.1, which fixed SCRAM; use mechanism plain over TLS, or a newer librdkafka",
		    rd_kafka_version_str());
}
