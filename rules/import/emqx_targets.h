/* emqx_targets.h: connectors and actions of EMQX that have a like here: kafka, postgres, redis, mongodb.
 *
 * Lifetime: see import_connect.h. Thread: the program's main one. Never blocks. Errors: none; what can't be said here is
 * noted. */
#ifndef EMQX_TARGETS_H
#define EMQX_TARGETS_H

#include "emqx_options.h"

/* An action that a rule or a source names. */
struct emqx_reference {
	const char *text, *type, *name; /* "pgsql:store" */
	json_t *action;                 /* borrowed; NULL: not in these files */
	json_t *connector;              /* likewise; of files before 5.4 the same as `action` */
	const char *connector_name;
};

struct emqx_target {
	const char *type; /* how theirs begins */
	const char *ours;
	/* A connector of ours; NULL: it was noted why there is none. New reference. */
	json_t *(*connector)(struct import_map *m, const struct emqx_reference *ref);
	/* Puts the action's members into `into`, and what is the producer's here into the connector. */
	void (*action)(struct import_map *m, const struct emqx_reference *ref, json_t *connector, json_t *into);
	const struct emqx_option *connector_options, *action_options;
};

/* NULL: there is no like here. */
const struct emqx_target *emqx_target_find(const char *type);

/* The connector and the action. NULL: it was noted why not; else a new reference, and the connector is the import's. `told` says that
 * the connector has been told of. */
json_t *emqx_target_map(struct import *imp, struct import_rule *rule, const struct emqx_target *target,
			const struct emqx_reference *ref, bool told);

/* emqx_connectors.c. `base` of the environment variables is made of type and name. */
const char *emqx_base(struct import *imp, const struct emqx_reference *ref);
void emqx_ssl(struct import_map *m, const struct emqx_reference *ref, bool by_default, json_t *into);
json_t *emqx_kafka_connector(struct import_map *m, const struct emqx_reference *ref);
json_t *emqx_postgres_connector(struct import_map *m, const struct emqx_reference *ref);
json_t *emqx_redis_connector(struct import_map *m, const struct emqx_reference *ref);
json_t *emqx_mongodb_connector(struct import_map *m, const struct emqx_reference *ref);
extern const struct emqx_option emqx_kafka_connector_options[], emqx_postgres_connector_options[],
    emqx_redis_connector_options[], emqx_mongodb_connector_options[];

#endif
