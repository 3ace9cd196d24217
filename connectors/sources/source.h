/* source.h: the way back, from a server into rules. Read this file to write a source; connector.h is the way out.
 *
 * A kind of connector that can be read from has a struct sl_source_kind (sl_connector_kind.source). A source is configured
 * under `sources:` with the connector that it reads from, and rules name it in FROM as "$sources/<kind>:<name>".
 *
 *     kind, on the loop                        framework                              a worker
 *     -----------------                        ---------                              --------
 *     sl_source_take(part, item, mark) ──────> batch of the part's worker ──letter──> rules, message by message
 *     done(part, mark), settled(s)     <────── messages that are through  <──letter── tickets: rows durable or delivered
 *     pause(s), resume(s)              <────── too many are not through
 *
 * A *part* is whatever keeps an order: a partition, a stream, a list. All messages of a part go to one worker, one behind the
 * other. A message is *through* when every row that it caused is in its action's log, or decided (delivered, dead letter,
 * dropped by the action's policy); when no rule wanted it, or the rule failed, that is at once. What messages mean on the server
 * (offsets to store, entries to acknowledge) the kind does in done() and settled(). Messages of one part may get through in
 * any order; source_tracker.h finds the mark below which all are.
 *
 * Life: check -> start -> [take, done ...] -> close -> (sl_source_closed) -> fini. Messages that get through after close() or
 * sl_source_part_end() are forgotten: the server gives them again.
 *
 * Threads: every call is made on the connections' loop, and none may block; check and fini also before it runs. The
 * settings of the connector (sl_source_conn_impl) outlive its sources.
 * Errors: check says what is wrong in err; later failures are states (sl_source_state). */
#ifndef SOURCE_H
#define SOURCE_H

#include "connector.h"
#include "ticket.h"

/* SL_SOURCE_STATE(id, name, meaning) */
#define SL_SOURCE_STATE_TBL(X)                                                                                         \
	X(STOPPED, "stopped", "not started yet, or ended")                                                             \
	X(CONNECTING, "connecting", "waits for the server")                                                            \
	X(UP, "up", "receives what there is")                                                                          \
	X(DEGRADED, "degraded", "receives, but not everything that is configured is there")                            \
	X(DOWN, "down", "the server is away or refuses; the reason says which")
enum sl_source_state {
#define X(id, name, meaning) SL_SOURCE_##id,
	SL_SOURCE_STATE_TBL(X)
#undef X
};

struct sl_source;
struct sl_source_part;

struct sl_source_header {
	struct sl_slice name, value; /* value.p NULL: the header has none */
};

/* What only MQTT says of a message. Slices as in the item. */
struct sl_source_publish {
	uint8_t qos;
	bool retain, dup;
	struct sl_slice user_properties; /* the property block as in the packet; others in it are skipped */
	struct sl_slice content_type, response_topic, correlation_data;
	int64_t message_expiry_s; /* -1: none */
	int32_t payload_format;   /* -1: none */
};

/* One message as rules read it (rules/event_source.c). Borrowed for the call that it is given to. */
struct sl_source_item {
	struct sl_slice key, value; /* p NULL: there is none, which is not an empty one */
	const struct sl_source_header *headers;
	uint32_t header_count;
	int32_t partition;                       /* -1: there is none */
	int64_t offset;                          /* -1: there is none */
	int64_t ts_ms;                           /* -1: there is none */
	const char *ts_type;                     /* static text, or NULL */
	struct sl_slice topic;                   /* topic, stream, list or channel */
	struct sl_slice id;                      /* the same whenever the server sends it again; empty: it has none */
	const struct sl_source_publish *publish; /* NULL: it is no message of MQTT */
};

struct sl_source_kind {
	const char *alias;   /* another name that FROM may use for the kind, or NULL */
	const char *summary; /* for the reference */
	const char *example; /* one in YAML, for who names a source that is not there */
	size_t source_size, part_size;
	const struct conf_field *fields; /* settings at the head of the source's own part; ends with CONF_END */
	/* Cross-field checks, and what must be there for fini(); no network, no files. May be NULL */
	int (*check)(struct sl_source *s, struct sl_err *err);
	void (*start)(struct sl_source *s); /* connects, and goes on doing so by itself */
	void (*pause)(struct sl_source *s); /* takes nothing more; stays what it is to the server */
	void (*resume)(struct sl_source *s);
	void (*done)(struct sl_source_part *part, uint64_t mark); /* a message is through */
	void (*settled)(struct sl_source *s);                     /* those were all for now */
	void (*close)(struct sl_source *s); /* also of one that never started; ends in sl_source_closed() */
	void (*fini)(struct sl_source *s);  /* frees what check made; also when that never was. May be NULL */
	/* Of the messages that are through, those that the server was not told of, or has not confirmed yet. Called while the loop
	 * stands still. May be NULL: none, or it is not known */
	uint64_t (*untold)(const struct sl_source *s);
	int64_t (*lag)(
	    const struct sl_source *s); /* messages on the server behind what was taken; -1: not known. May be NULL */
};

void *sl_source_impl(const struct sl_source *s);
const char *sl_source_name(const struct sl_source *s);
void *sl_source_conn_impl(const struct sl_source *s); /* of the connector: its kind's own part */
const char *sl_source_conn_name(const struct sl_source *s);
struct sl_loop *sl_source_loop(const struct sl_source *s);
const char *sl_source_data_dir(const struct sl_source *s); /* node.data_dir; from start() on */
bool sl_source_paused(const struct sl_source *s);
/* The most bytes that may be under way (`max_pending`), to bound what a client library fetches ahead. */
int64_t sl_source_bytes_max(const struct sl_source *s);

/* A new part, with its own zeroed bytes; the caller's until sl_source_part_end(). */
struct sl_source_part *sl_source_part_new(struct sl_source *s) sl_warn_unused;
void *sl_source_part_impl(const struct sl_source_part *part);
struct sl_source *sl_source_part_source(const struct sl_source_part *part);
size_t sl_source_part_pending(const struct sl_source_part *part); /* messages that are not through */
/* Its messages that are not through are forgotten. The part lives until the last of them is back. NULL is fine. */
void sl_source_part_end(struct sl_source_part *part);

/* Copies the message; done(part, mark) follows, never from inside this call. */
void sl_source_take(struct sl_source_part *part, const struct sl_source_item *item, uint64_t mark);
/* Hands on what was taken since the last time: at the end of a burst. */
void sl_source_flush(struct sl_source *s);

/* So many messages that are through are not told to the server any more, which gives them again: the connection has gone. They
 * count as forgotten. */
void sl_source_forgotten(struct sl_source *s, uint64_t n);

/* text NULL: nothing to add. A change is one log line, if that was not said yet (told.h). */
void sl_source_state(struct sl_source *s, enum sl_source_state state, const char *fmt, ...) sl_printf(3, 4);
void sl_source_closed(struct sl_source *s);

#endif
