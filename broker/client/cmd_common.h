/* cmd_common.h: the options that every client command has: where the broker is and who we are.
 * Same folder only. */
#ifndef SL_CMD_COMMON_H
#define SL_CMD_COMMON_H

#include "cli.h"
#include "err.h"
#include "mqtt.h"

struct cmd_common {
	const char *host;
	int64_t port;
	const char *client_id, *username, *password;
	int version; /* index into cmd_versions */
};

#define CMD_COMMON_DEFAULTS                                                                                            \
	{ .host = "127.0.0.1", .port = 1883 }

extern const char *const cmd_versions[];
enum mqtt_version cmd_version(const struct cmd_common *c);
/* The password given, or that of the environment's SLUICE_PASSWORD, or NULL. */
const char *cmd_password(const struct cmd_common *c);
/* Prints the sentence on stderr; returns the exit code for the status. */
int cmd_fail(const char *command, struct sl_err *err);

/* The rows for a struct that has `struct cmd_common common`. */
#define CMD_COMMON_OPTIONS(holder)                                                                                     \
	{.letter = 'h',                                                                                                \
	 .name = "host",                                                                                               \
	 .type = CLI_TEXT,                                                                                             \
	 .at = offsetof(holder, common.host),                                                                          \
	 .value = "HOST",                                                                                              \
	 .doc = "the broker's name or address"},                                                                       \
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
	{                                                                                                              \
		.letter = 'V', .name = "mqtt-version", .type = CLI_CHOICE, .at = offsetof(holder, common.version),     \
		.value = "VERSION", .choices = cmd_versions, .doc = "3.1.1 or 5"                                       \
	}

#endif
