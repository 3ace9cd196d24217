/* kafka_conf.h: the options of a `type: kafka` connection, and the librdkafka configuration that is made of them.
 *
 * Producers and consumers of one connection share everything here: where the brokers are, who we are, TLS, and `properties:`,
 * by which any property of librdkafka can be set that no option of ours stands for. Properties are checked when the
 * configuration is: a name that librdkafka does not know gets the nearest one that it does, a value gets its own
 * words, and what an option of ours stands for is refused with that option's name.
 *
 *     rd_kafka_conf_t *conf;
 *     if (kafka_conf_make(&settings, KAFKA_CONSUMER, &client, &conf, err) != SL_OK) ...
 *     rd_kafka_conf_set(conf, "group.id", ...);          // what is the caller's own
 *     rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);   // takes conf over when it succeeds
 *
 * librdkafka's log lines go to our log, under the name in struct kafka_client; nothing reaches standard error.
 *
 * Lifetime: settings and the kafka_client outlive every client that was made of them.
 * Thread: any; making a configuration reads no network, but the files of `tls:`. Errors: SL_EINVAL with a text that names the
 * option. No text and no log line holds a secret. */
#ifndef KAFKA_CONF_H
#define KAFKA_CONF_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "buf.h"
#include "err.h"
#include "field.h"
#include "tls_client.h"

enum kafka_role { KAFKA_PRODUCER, KAFKA_SCOUT, KAFKA_CONSUMER }; /* a scout: see kafka_producer.h */
enum kafka_mechanism {
	KAFKA_PLAIN,
	KAFKA_SCRAM_256,
	KAFKA_SCRAM_512,
	KAFKA_OAUTHBEARER,
	KAFKA_GSSAPI,
	KAFKA_AWS_MSK_IAM,
};
enum kafka_acks { KAFKA_ACKS_ALL, KAFKA_ACKS_LEADER, KAFKA_ACKS_NONE };

struct kafka_sasl_conf {
	bool given; /* `sasl:` is there */
	int mechanism;
	char *username, *password;
	char *token_file, *token_url, *client_id, *client_secret, *scope, *extensions; /* oauthbearer */
	char *service, *principal, *keytab;                                            /* gssapi */
	char *region, *access_key, *secret_key, *session_token;                        /* aws-msk-iam */
};
struct kafka_queue_conf {
	int64_t rows, bytes;
};
struct kafka_conf {
	struct conf_list brokers;
	char *client_id;
	struct kafka_sasl_conf sasl;
	struct tls_client_conf tls;
	struct conf_map properties;
	int64_t connect_timeout_ms, request_timeout_ms;
	/* Producers. */
	int acks, compression, partitioner;
	bool idempotence, auto_create;
	int64_t linger_ms, max_message, batch_bytes, compression_level;
	struct kafka_queue_conf queue;
};
extern const struct conf_field kafka_conf_fields[];
/* Names of `compression`, in librdkafka's words; the last is NULL. */
extern const char *const kafka_compressions[];

/* Everything that can be found out without a network. Warns in the log of what will work here and not everywhere. */
int kafka_conf_check(const struct kafka_conf *conf, const char *name, struct sl_err *err);

/* What a client of librdkafka hands to its callbacks (rd_kafka_opaque()). */
struct kafka_client {
	const char *name; /* the connector's, for log lines */
	const struct kafka_conf *conf;
	void *owner;              /* whoever made the client */
	_Atomic(char *) nonsense; /* the last answer that was refused (kafka_wire.h), until it is told; owned */
};
void kafka_client_fini(struct kafka_client *client);

/* The configuration for one client, the caller's until rd_kafka_new() succeeds. */
int kafka_conf_make(const struct kafka_conf *conf, enum kafka_role role, struct kafka_client *client,
		    rd_kafka_conf_t **out, struct sl_err *err);

/* Sets each pair on conf with the checks above. prefix stands before the option in messages ("properties"). */
int kafka_properties_set(rd_kafka_conf_t *conf, const struct conf_map *properties, const char *prefix,
			 struct sl_err *err);

/* "localhost:9092,other:9092", as librdkafka wants it; heap. */
char *kafka_brokers_text(const struct kafka_conf *conf);

/* Is the library older than what fixed `what`? True for versions before major.minor.patch. */
bool kafka_library_before(int major, int minor, int patch);
/* librdkafka's message of an error of its connections, with what to look at here. Appends. */
void kafka_advice(struct kafka_client *client, rd_kafka_resp_err_t code, const char *text, struct sl_buf *out);

#endif
