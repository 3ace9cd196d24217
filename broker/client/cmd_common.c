/* cmd_common.c: see cmd_common.h. */
#include "cmd_common.h"

#include <stdio.h>
#include <stdlib.h>

const char *const cmd_versions[] = {"5", "3.1.1", NULL};

enum mqtt_version cmd_version(const struct cmd_common *c) { return c->version == 0 ? MQTT_V5 : MQTT_V311; }

const char *cmd_password(const struct cmd_common *c) { return c->password ? c->password : getenv("SLUICE_PASSWORD"); }

bool cmd_common_ready(struct cmd_common *c, const char *command) {
	struct sl_err err = SL_ERR_INIT;
	if (!c->url_text) return true;
	if (client_url_parse(c->url_text, &c->url, &err) != SL_OK) {
		fprintf(stderr, "%s: %s\n", command, sl_err_text(&err));
		sl_err_fini(&err);
		return false;
	}
	if (c->url.host) c->host = c->url.host;
	if (c->url.port) c->port = c->url.port;
	if (c->url.username) c->username = c->url.username;
	if (c->url.password) c->password = c->url.password;
	if (c->url.tls) c->tls.on = true;
	return true;
}

void cmd_common_fini(struct cmd_common *c) { client_url_fini(&c->url); }

struct client_target cmd_target(const struct cmd_common *c) {
	return (struct client_target){
	    .host = c->host, .port = (uint16_t)c->port, .ws_path = c->url.ws_path, .unix_path = c->url.unix_path};
}

struct mqtt_client_conf cmd_client_conf(const struct cmd_common *c) {
	return (struct mqtt_client_conf){.target = cmd_target(c),
					 .version = cmd_version(c),
					 .client_id = c->client_id,
					 .username = c->username,
					 .password = cmd_password(c),
					 .tls = c->tls,
					 .keep_alive_s = 60,
					 .clean_start = true,
					 .timeout_ms = 10000,
					 .window = 1};
}

volatile sig_atomic_t cmd_stopped;
static void on_signal(int number) {
	(void)number;
	cmd_stopped = 1;
}

void cmd_stop_on_signals(void) {
	struct sigaction act = {.sa_handler = on_signal};
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

int cmd_fail(const char *command, struct sl_err *err) {
	int exit_code = err->status == SL_EDENIED || err->status == SL_EINVAL ? CLI_INPUT : CLI_SYSTEM;
	fprintf(stderr, "%s: %s\n", command, sl_err_text(err));
	sl_err_fini(err);
	return exit_code;
}
