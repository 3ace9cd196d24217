/* ask.c: see ask.h. */
#include "ask.h"

#include <string.h>

#include "http_get.h"

enum { ASK_TIMEOUT_MS = 10000 };

const char *ask_host(const struct broker_conf *conf) {
	const char *host = conf->admin.host;
	bool any = !host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "*") == 0;
	return any ? "127.0.0.1" : host;
}

json_t *ask_status(const struct broker_conf *conf, struct sl_err *err) {
	struct sl_buf body = SL_BUF_INIT;
	json_t *status = NULL;
	if (!conf->admin.enabled)
		sl_err_set(err, SL_EINVAL, "admin.enabled is false in this configuration; the broker cannot be asked");
	else if (http_get(ask_host(conf), conf->admin.port, "/api/v1/status", ASK_TIMEOUT_MS, &body, err) == SL_OK)
		status = json_loadb(body.p, body.n, 0, NULL);
	if (!status && err->status == SL_OK)
		sl_err_set(err, SL_EMALFORMED, "what answers at %s is no status page of a broker", conf->admin.bind);
	else if (!status && conf->admin.enabled)
		sl_err_prefix(err, "the running broker does not answer at admin.bind");
	sl_buf_fini(&body);
	return status;
}
