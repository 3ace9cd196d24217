/* cmd_common.c: see cmd_common.h. */
#include "cmd_common.h"

#include <stdio.h>
#include <stdlib.h>

const char *const cmd_versions[] = {"5", "3.1.1", NULL};

enum mqtt_version cmd_version(const struct cmd_common *c) { return c->version == 0 ? MQTT_V5 : MQTT_V311; }

const char *cmd_password(const struct cmd_common *c) { return c->password ? c->password : getenv("SLUICE_PASSWORD"); }

struct mqtt_client_conf cmd_client_conf(const struct cmd_common *c) {
	return (struct mqtt_client_conf){.host = c->host,
					 .port = (uint16_t)c->port,
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
