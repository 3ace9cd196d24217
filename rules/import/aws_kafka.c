/* aws_kafka.c: see aws_kafka.h. Members are read as the API writes them ("bootstrap.servers") and as CloudFormation does
 * ("Topic"). */
#include "aws_kafka.h"

#include "emqx_options.h"
#include "mem.h"

struct kafka {
	struct import_map m;
	struct cfn *cfn;
	const json_t *options, *properties;
	json_t *action, *connector;
};

/* Templates stay as they are; what the stack would fill in is done. */
static const char *text(struct kafka *k, const json_t *tree, const char *name, bool is_template) {
	const json_t *value = cfn_member(tree, name);
	if (json_is_integer(value)) return import_printf(k->m.imp, "%lld", (long long)json_integer_value(value));
	return cfn_text(k->cfn, value, is_template);
}

static const char *property(struct kafka *k, const char *name) { return text(k, k->properties, name, false); }

/* ---- the connector --------------------------------------------------------------------------------------------------- */

/* get_secret(...) is a secret, and so is what stands there by itself. */
static void secret(struct kafka *k, const char *name, json_t *into, const char *ours, const char *hint) {
	const char *value = property(k, name);
	if (!value || !*value) return;
	const char *how = strstr(value, "get_secret(") ? "AWS takes it from its Secrets Manager" : NULL;
	import_set(into, ours, import_secret(&k->m, "kafka", name, value, hint ? hint : how));
}

static void login(struct kafka *k) {
	static const char *const theirs[] = {"PLAIN", "SCRAM-SHA-512", "SCRAM-SHA-256"};
	static const char *const ours[] = {"plain", "scram-sha-512", "scram-sha-256"};
	const char *mechanism = property(k, "sasl.mechanism");
	json_t *sasl = json_object();
	for (size_t i = 0; i < SL_ARRAY_LEN(theirs) && mechanism; i++)
		if (strcmp(mechanism, theirs[i]) == 0) import_set(sasl, "mechanism", ours[i]);
	if (mechanism && strcmp(mechanism, "GSSAPI") == 0) {
		import_set(sasl, "mechanism", "gssapi");
		import_set_plain(&k->m, sasl, "service", property(k, "sasl.kerberos.service.name"));
		import_set_plain(&k->m, sasl, "principal", property(k, "sasl.kerberos.principal"));
		import_set(sasl, "keytab", "kafka.keytab");
		import_map_note(
		    &k->m, IMPORT_MAPPING,
		    "sasl.kerberos.keytab: write it to a file and name that in `sasl.keytab`; the realm and its "
		    "servers stand in the system's krb5.conf");
	} else if (json_object_size(sasl)) {
		bool plain = strcmp(mechanism, "PLAIN") == 0;
		const char *user = plain ? "sasl.plain.username" : "sasl.scram.username";
		const char *name = property(k, user);
		if (name && strstr(name, "get_secret("))
			secret(k, user, sasl, "username", NULL);
		else
			import_set_plain(&k->m, sasl, "username", name);
		secret(k, plain ? "sasl.plain.password" : "sasl.scram.password", sasl, "password", NULL);
	} else {
		import_map_note(&k->m, IMPORT_MAPPING, "sasl.mechanism (%s) is not known to this import; see `sasl`",
				mechanism ? mechanism : "none");
	}
	if (json_object_size(sasl)) json_object_set(k->connector, "sasl", sasl);
	json_decref(sasl);
}

static void tls(struct kafka *k) {
	json_t *o = json_object();
	if (property(k, "ssl.truststore")) {
		import_set(o, "ca", "kafka_ca.pem");
		import_map_note(&k->m, IMPORT_MAPPING,
				"ssl.truststore: write its authorities as PEM to a file and name that in `tls.ca`");
	}
	if (property(k, "ssl.keystore")) {
		import_set(o, "cert", "kafka.pem");
		import_set(o, "key", "kafka.key");
		import_map_note(
		    &k->m, IMPORT_MAPPING,
		    "ssl.keystore: write its certificate and key as PEM to files (`openssl pkcs12 -in ...`) and name "
		    "these in `tls.cert` and `tls.key`");
		secret(k, "ssl.key.password", o, "key_password",
		       "only if the key in the PEM file is encrypted; else take "
		       "`key_password` out");
	}
	json_object_set_new(k->connector, "tls", o);
}

/* What is the mapping's, and what has no like. */
static const struct emqx_option known[] = {
    {"bootstrap.servers", NULL, NULL},
    {"security.protocol", NULL, NULL},
    {"sasl.mechanism", NULL, NULL},
    {"sasl.plain.username", NULL, NULL},
    {"sasl.plain.password", NULL, NULL},
    {"sasl.scram.username", NULL, NULL},
    {"sasl.scram.password", NULL, NULL},
    {"sasl.kerberos.*", NULL, NULL},
    {"ssl.truststore", NULL, NULL},
    {"ssl.truststore.password", NULL, NULL},
    {"ssl.keystore", NULL, NULL},
    {"ssl.keystore.password", NULL, NULL},
    {"ssl.key.password", NULL, NULL},
    {"acks", NULL, NULL},
    {"compression.type", NULL, NULL},
    {"linger.ms", NULL, NULL},
    {"batch.size", NULL, NULL},
    {"request.timeout.ms", NULL, NULL},
    {"max.request.size", NULL, NULL},
    {"buffer.memory", NULL, NULL},
    {"delivery.timeout.ms", "120000", "rows are tried until they are delivered; see `retry` of the action"},
    {"max.block.ms", "1000|60000", "rows wait in the action's buffer"},
    {"key.serializer",
     "org.apache.kafka.common.serialization.StringSerializer|org.apache.kafka.common.serialization."
     "ByteBufferSerializer",
     "keys are the text or the bytes that the template gives"},
    {"value.serializer",
     "org.apache.kafka.common.serialization.StringSerializer|org.apache.kafka.common.serialization."
     "ByteBufferSerializer",
     "values are the text or the bytes that the template gives"},
    {NULL, NULL, NULL}};

/* librdkafka's numbers are ours, but for the names. */
static void numbers(struct kafka *k) {
	json_t *flat = json_object();
	static const char *const names[][2] = {{"linger.ms", "linger"},
					       {"request.timeout.ms", "request"},
					       {"batch.size", "batch"},
					       {"max.request.size", "message"},
					       {"buffer.memory", "buffer"}};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		const char *value = property(k, names[i][0]);
		int64_t n;
		if (value && slice_to_i64(slice_from_str(value), &n) == SL_OK)
			json_object_set_new(flat, names[i][1], json_integer(n));
	}
	emqx_put_duration(&k->m, flat, "linger", NULL, k->connector, "linger", 0, 60000);
	emqx_put_duration(&k->m, flat, "request", "30000", k->connector, "request_timeout", 1000, 300000);
	emqx_put_size(&k->m, flat, "batch", "16384", k->connector, "batch_bytes", 1, INT32_MAX);
	emqx_put_size(&k->m, flat, "message", "1048576", k->connector, "max_message", 1000, 1000000000);
	json_t *queue = json_object();
	emqx_put_size(&k->m, flat, "buffer", "33554432", queue, "bytes", SL_MB, 2 * SL_GB);
	if (json_object_size(queue)) json_object_set(k->connector, "queue", queue);
	json_decref(queue);
	json_decref(flat);
}

static void connector(struct kafka *k) {
	const char *protocol = property(k, "security.protocol"), *acks = property(k, "acks");
	const char *servers = property(k, "bootstrap.servers"), *compression = property(k, "compression.type");
	if (!protocol) protocol = "SSL"; /* AWS' default */
	json_object_set_new(k->connector, "brokers", import_servers(k->m.imp, servers, 0));
	if (strncmp(protocol, "SASL", 4) == 0) login(k);
	if (strstr(protocol, "SSL")) tls(k);
	if (acks && (strcmp(acks, "0") == 0 || strcmp(acks, "1") == 0)) {
		import_set(k->connector, "acks", acks[0] == '0' ? "none" : "leader");
		json_object_set_new(k->connector, "idempotence", json_false());
	}
	if (compression && strcmp(compression, "none") != 0) import_set(k->connector, "compression", compression);
	numbers(k);
	/* Names have dots in them, which are no paths. */
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)k->properties, name, value)
	    emqx_option_note(&k->m, name, value, known);
}

/* ---- the action ------------------------------------------------------------------------------------------------------- */

static void headers(struct kafka *k) {
	const json_t *list = cfn_member(k->options, "headers");
	json_t *map = json_object();
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *key = text(k, json_array_get(list, i), "key", true);
		const char *value = text(k, json_array_get(list, i), "value", true);
		if (key && *key && !strstr(key, "${") && !json_object_get(map, key))
			json_object_set_new(map, key, json_string(value ? value : ""));
		else
			import_map_note(
			    &k->m, IMPORT_MAPPING,
			    "headers[%zu] is left out: here names of headers are fixed and stand once; a `headers` "
			    "template can give an object, or a list of {key, value}",
			    i);
	}
	if (json_object_size(map)) json_object_set(k->action, "headers", map);
	json_decref(map);
}

json_t *aws_kafka(struct import *imp, struct import_rule *rule, struct cfn *cfn, const json_t *options) {
	struct kafka k = {.m = {.imp = imp, .rule = rule, .what = "action kafka"},
			  .cfn = cfn,
			  .options = options,
			  .properties = cfn_member(options, "clientProperties"),
			  .action = json_pack("{s:s}", "connector", ""),
			  .connector = json_pack("{s:s}", "type", "kafka")};
	import_set(k.action, "topic", text(&k, options, "topic", true));
	import_set(k.action, "key", text(&k, options, "key", true));
	import_set(k.action, "value", "${.}");
	import_set(k.action, "partition", text(&k, options, "partition", true));
	headers(&k);
	connector(&k);
	if (cfn_member(options, "destinationArn"))
		import_map_note(
		    &k.m, IMPORT_UNCHANGED,
		    "destinationArn: no VPC destination is needed; the brokers must be reachable from here");
	json_object_set_new(k.action, "connector", json_string(import_connector_put(imp, "kafka", k.connector)));
	return k.action;
}
