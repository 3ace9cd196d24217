/* cmd_common.h: what client commands have in common: where the broker is and who we are, the rows of options that several of
 * them have, the way to stop early.
 * Same folder only. */
#ifndef SL_CMD_COMMON_H
#define SL_CMD_COMMON_H

#include <signal.h>

#include "cli.h"
#include "client_url.h"
#include "client_wire.h"
#include "err.h"
#include "mqtt.h"
#include "mqtt_client.h"

struct cmd_common {
	const char *host;
	int64_t port;
	const char *client_id, *username, *password;
	int version; /* index into cmd_versions */
	struct client_tls_options tls;
	const char *url_text;
	struct client_url url; /* of that; cmd_common_ready() */
};

#define CMD_COMMON_DEFAULTS                                                                                            \
	{ .host = "127.0.0.1", .port = 1883 }

extern const char *const cmd_versions[];
enum mqtt_version cmd_version(const struct cmd_common *c);
/* The password given, or that of the environment's SLUICE_PASSWORD, or NULL. */
const char *cmd_password(const struct cmd_common *c);
/* What --url says takes the place of the options that say the same. False: told on stderr what is wrong with it. */
bool cmd_common_ready(struct cmd_common *c, const char *command);
void cmd_common_fini(struct cmd_common *c);
struct client_target cmd_target(const struct cmd_common *c); /* borrows from c */
/* Where to connect and as whom, with a clean start; the rest is the caller's. Borrows from c. */
struct mqtt_client_conf cmd_client_conf(const struct cmd_common *c);

/* From the call on, SIGINT and SIGTERM only set cmd_stopped, and SIGPIPE does nothing. */
extern volatile sig_atomic_t cmd_stopped;
void cmd_stop_on_signals(void);

/* Prints the sentence on stderr; returns the exit code for the status. */
int cmd_fail(const char *command, struct sl_err *err);

/* Named as mosquitto's clients have them. */
#define CMD_TLS_OPTIONS(holder)                                                                                        \
	{.name = "tls",                                                                                                \
	 .type = CLI_FLAG,                                                                                             \
	 .at = offsetof(holder, common.tls.on),                                                                        \
	 .doc = "speak TLS; the following options do so, too"},                                                        \
	    {.name = "cafile",                                                                                         \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.tls.cafile),                                                                \
	     .value = "FILE",                                                                                          \
	     .doc = "authorities that the broker's certificate is checked against; without it the system's"},          \
	    {.name = "cert",                                                                                           \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.tls.cert),                                                                  \
	     .value = "FILE",                                                                                          \
	     .doc = "our own certificate"},                                                                            \
	    {.name = "key",                                                                                            \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.tls.key),                                                                   \
	     .value = "FILE",                                                                                          \
	     .doc = "and its private key"},                                                                            \
	    {.name = "insecure",                                                                                       \
	     .type = CLI_FLAG,                                                                                         \
	     .at = offsetof(holder, common.tls.insecure),                                                              \
	     .doc = "do not check the broker's certificate: for experiments"},                                         \
	    {.name = "tls-version",                                                                                    \
	     .type = CLI_CHOICE,                                                                                       \
	     .at = offsetof(holder, common.tls.version),                                                               \
	     .value = "VERSION",                                                                                       \
	     .choices = client_tls_versions,                                                                           \
	     .doc = "this one alone"},                                                                                 \
	    {.name = "alpn",                                                                                           \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.tls.alpn),                                                                  \
	     .value = "NAME",                                                                                          \
	     .doc = "the protocol to ask for"},                                                                        \
	    {.name = "psk",                                                                                            \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.tls.psk),                                                                   \
	     .value = "HEX",                                                                                           \
	     .doc = "pre-shared key, instead of certificates"},                                                        \
	{                                                                                                              \
		.name = "psk-identity", .type = CLI_TEXT, .at = offsetof(holder, common.tls.psk_identity),             \
		.value = "NAME", .doc = "and its name"                                                                 \
	}

/* The rows for a struct that has `struct cmd_common common`. */
#define CMD_COMMON_OPTIONS(holder)                                                                                     \
	{.letter = 'L',                                                                                                \
	 .name = "url",                                                                                                \
	 .type = CLI_TEXT,                                                                                             \
	 .at = offsetof(holder, common.url_text),                                                                      \
	 .value = "URL",                                                                                               \
	 .doc = "mqtt://user:password@host:port, mqtts://, ws://host:port/path, wss:// or unix:PATH"},                 \
	    {.letter = 'h',                                                                                            \
	     .name = "host",                                                                                           \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.host),                                                                      \
	     .value = "HOST",                                                                                          \
	     .doc = "the broker's name or address"},                                                                   \
	    {.letter = 'p',                                                                                            \
	     .name = "port",                                                                                           \
	     .type = CLI_NUMBER,                                                                                       \
	     .at = offsetof(holder, common.port),                                                                      \
	     .value = "PORT",                                                                                          \
	     .min = 1,                                                                                                 \
	     .max = 65535,                                                                                             \
	     .doc = "its port"},                                                                                       \
	    {.letter = 'i',                                                                                            \
	     .name = "id",                                                                                             \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.client_id),                                                                 \
	     .value = "ID",                                                                                            \
	     .doc = "client identifier; one is made up when none is given"},                                           \
	    {.letter = 'u',                                                                                            \
	     .name = "username",                                                                                       \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.username),                                                                  \
	     .value = "NAME",                                                                                          \
	     .doc = "user name"},                                                                                      \
	    {.letter = 'P',                                                                                            \
	     .name = "password",                                                                                       \
	     .type = CLI_TEXT,                                                                                         \
	     .at = offsetof(holder, common.password),                                                                  \
	     .value = "TEXT",                                                                                          \
	     .doc = "password; better in the environment as SLUICE_PASSWORD"},                                         \
	    CMD_TLS_OPTIONS(holder), {                                                                                 \
		.letter = 'V', .name = "mqtt-version", .type = CLI_CHOICE, .at = offsetof(holder, common.version),     \
		.value = "VERSION", .choices = cmd_versions, .doc = "3.1.1 or 5"                                       \
	}

/* Rows that some commands have; at_: the offset in their own struct. */
#define CMD_FILTERS_OPTION(at_, doc_)                                                                                  \
	{                                                                                                              \
		.letter = 't', .name = "topic", .type = CLI_LIST, .at = (at_), .value = "FILTER",                      \
		.doc = "topic filter; may be given again" doc_                                                         \
	}
#define CMD_QOS_OPTION(at_, doc_)                                                                                      \
	{ .letter = 'q', .name = "qos", .type = CLI_NUMBER, .at = (at_), .value = "N", .max = 2, .doc = (doc_) }
#define CMD_COUNT_OPTION(letter_, at_, min_, max_)                                                                     \
	{                                                                                                              \
		.letter = (letter_), .name = "count", .type = CLI_NUMBER, .at = (at_), .value = "N", .min = (min_),    \
		.max = (max_), .doc = "leave after N messages"                                                         \
	}
#define CMD_WAIT_OPTION(at_, min_, max_, doc_)                                                                         \
	{                                                                                                              \
		.letter = 'W', .name = "wait", .type = CLI_NUMBER, .at = (at_), .value = "SECONDS", .min = (min_),     \
		.max = (max_), .doc = "leave after that time" doc_                                                     \
	}
#define CMD_TIMEOUT_OPTION(at_)                                                                                        \
	{                                                                                                              \
		.name = "timeout", .type = CLI_NUMBER, .at = (at_), .value = "SECONDS", .min = 1, .max = 3600,         \
		.doc = "how long to wait for the broker's answers"                                                     \
	}
#define CMD_KEEP_ALIVE_OPTION(at_)                                                                                     \
	{                                                                                                              \
		.letter = 'k', .name = "keep-alive", .type = CLI_NUMBER, .at = (at_), .value = "SECONDS",              \
		.max = 65535, .doc = "keep alive"                                                                      \
	}

#endif
