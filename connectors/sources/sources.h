/* sources.h: the face of sources towards rules/ and the program. Kinds read source.h.
 *
 * Load, beside connectors.h's order of calls:
 *     connectors_prepare(cs, `connectors:`, ...)
 *     connectors_prepare_sources(set, `sources:`, ...)    checks and fills them; connectors_set_has_source() from now on
 *     ... rules are prepared ...
 *     connectors_commit()         sources that are gone take nothing more; equal ones go on
 *     connectors_commit_done()    the new rules are in force: new sources start, old ones close
 *
 * Messages come in batches, on a worker: connectors_on_source() says to whom. Each has a ticket: what must be safe before the
 * server may forget the message raises it, as for a PUBLISH of QoS 1, but rows in memory only keep it until they are decided
 * (ticket.decided). Who was called returns; the framework holds a share of every ticket meanwhile.
 *
 * Bounds: at most max_pending messages and bytes of a source are under way; a batch is one of BATCH_MESSAGES at most, and a worker
 * has one batch of a source at a time, so that its clients are not kept waiting.
 *
 * Threads: prepare, commit on the main thread; the rest on the loop; the callback on workers. Nothing blocks. */
#ifndef SOURCES_H
#define SOURCES_H

#include "connectors.h"
#include "source.h"

enum { SOURCE_BATCH_MESSAGES = 128, SOURCE_BATCH_BYTES = 256 * 1024, SOURCE_NAME_MAX = 200 };

struct sl_source_message {
	struct sl_ticket ticket;
	struct sl_source_item item; /* valid while the callback runs */
	/* The framework's. */
	struct sl_source_batch *batch;
	struct sl_source_message *next;
	struct sl_source_part *part;
	uint64_t mark, bytes;
};

struct sl_source_batch {
	const char *type, *name; /* "kafka", "orders" */
	uint32_t count;
	struct sl_source_message *at;
	/* The framework's. */
	struct sl_post post;
	struct sl_source_batch *next;
	struct sl_source *source;
	struct sl_arena arena; /* what the items point to, until it is evaluated */
	size_t worker, bytes;
	uint32_t left;  /* messages that are not through */
	bool evaluated; /* and that came back to the loop */
	bool full;      /* a row of it went to an action that has no more room */
	struct sl_list all;
};

/* Called on the worker. False: nobody is there (the program ends); the messages are not through then. */
typedef bool (*connectors_source_fn)(void *arg, size_t worker, const struct sl_source_batch *b);
/* Set once, before start. */
void connectors_on_source(struct connectors *cs, connectors_source_fn fn, void *arg);

/* Checks the tree below `sources:` (NULL: none); the set's connectors are there. SL_OK or the first mistake's status. */
int connectors_prepare_sources(struct connectors_set *set, const json_t *tree, struct conf_at at,
			       struct conf_report *report);

/* "kafka" for "kafka" and "kafka_consumer"; NULL: no kind of connector that can be read from is called so. */
const char *sl_source_type(struct sl_slice name);
/* The names that FROM may use, for messages: "kafka, redis". Appends. */
void sl_source_types(struct sl_buf *out);
/* What stands behind its name below `sources:`, for example; of another name: of the first type there is. */
const char *sl_source_example(struct sl_slice type);
/* Is there such a source? Empty type or name: any. True as well while connectors_prepare_sources() was not called, for nothing is
 * known then. near: the nearest name of that type, or NULL. */
bool connectors_set_has_source(const struct connectors_set *set, struct sl_slice type, struct sl_slice name,
			       const char **near);
/* The type of the source of this name, for messages; NULL: there is none. */
const char *connectors_set_source_type(const struct connectors_set *set, struct sl_slice name);

/* Member "sources" of a page, see connectors/README.md; the families sluice_source_*. Of a snapshot (connectors.h). */
void connectors_sources_status(const struct connectors_snapshot *s, json_t *out);
/* Part of connectors_trouble(): sources that are not up, as member "sources" of out. */
bool connectors_sources_trouble(const struct connectors_snapshot *s, json_t *out);
void connectors_sources_prometheus(const struct connectors_snapshot *s, struct sl_buf *out);
void connectors_sources_definitions(const struct connectors_set *set, json_t *out);
/* The reference of `sources:`, in Markdown. */
void connectors_sources_describe(struct sl_buf *out);

#endif
