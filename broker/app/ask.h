/* ask.h: the status page of the broker that runs with a configuration, for commands beside it.
 * Thread: any; blocks until the page is there, ten seconds at most. */
#ifndef SL_ASK_H
#define SL_ASK_H

#include <jansson.h>

#include "broker_conf.h"
#include "err.h"

/* Where it is asked: at admin.bind, and on this machine when it listens on all addresses. Borrows from conf. */
const char *ask_host(const struct broker_conf *conf);
/* The page, the caller's; NULL: why stands in err. */
json_t *ask_status(const struct broker_conf *conf, struct sl_err *err);

#endif
