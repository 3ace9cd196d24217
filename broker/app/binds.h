/* binds.h: the listeners of the configuration as the broker wants them. */
#ifndef BINDS_H
#define BINDS_H

#include "broker.h"
#include "broker_conf.h"

/* One for each listener, in the file's order; tls: of those that have it, in the same order. Borrows from both; free with
 * binds_free(). */
struct broker_bind *binds_new(const struct broker_conf *conf, struct tls_server *const *tls) sl_warn_unused;
void binds_free(struct broker_bind *binds, size_t n);

#endif
