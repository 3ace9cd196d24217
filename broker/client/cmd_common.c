/* cmd_common.c: see cmd_common.h. */
#include "cmd_common.h"

#include <stdio.h>
#include <stdlib.h>

const char *const cmd_versions[] = {"5", "3.1.1", NULL};

enum mqtt_version cmd_version(const struct cmd_common *c) { return c->version == 0 ? MQTT_V5 : MQTT_V311; }

const char *cmd_password(const struct cmd_common *c) { return c->password ? c->password : getenv("SLUICE_PASSWORD"); }

int cmd_fail(const char *command, struct sl_err *err) {
	int exit_code = err->status == SL_EDENIED || err->status == SL_EINVAL ? CLI_INPUT : CLI_SYSTEM;
	fprintf(stderr, "%s: %s\n", command, sl_err_text(err));
	sl_err_fini(err);
	return exit_code;
}
