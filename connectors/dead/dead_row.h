/* dead_row.h: a line of a dead-letter file, written and read back: all that is needed to give its row to its action again.
 *
 *     {"at":"2026-01-31T12:00:00.123Z","given_up":"2026-01-31T12:00:07.001Z","rule":"hot_rooms","action":0,
 *      "connector":"archive","type":"sqlite","destination":"table readings","attempts":1,"reason":"CHECK constraint failed",
 *      "order":"00c0ffee00c0ffee",
 *      "message":{"topic":"rooms/a7","clientid":"a7","qos":1,"timestamp":1769860800123,"payload":"{...}"},
 *      "row":{"device":"a7","t":31.5,"image":"/9j/4A=="},"kinds":{"image":"binary base64"}}
 *
 * `kinds` names the parameters whose JSON text alone does not say what they are; it is left out when it is empty:
 *
 *     binary           bytes, which happen to be text             string base64    text that is not UTF-8
 *     binary base64    bytes                                      float            a float that is written like an integer
 *     number           a number kept as its text (large ones)     json             JSON text of a scalar
 *     json null        null that stood in the payload; without it null is "absent"
 *     json text        a document with half of a surrogate pair in it (\ud800 by itself): its text, for jq would not read on there
 *
 * `order` is the hash of the order key, of actions that keep an order. `message` is what is known of the message that the row
 * comes from (origin.h); it is not there for rows of windows. `destination` is what the action wrote to, in its kind's words
 * (connector.h); with it a replay finds the action at whatever place it is now (replay_target.c). Lines of earlier versions
 * (without given_up, connector, type, destination, attempts, order, message and kinds) are read, too.
 *
 * Lifetime: what is read borrows from the line and the arena. Thread: any. Never blocks.
 * Errors: a sentence in err, and SL_EMALFORMED for a line that is none, SL_ETYPE for a row of other parameters. */
#ifndef SL_DEAD_ROW_H
#define SL_DEAD_ROW_H

#include "connectors.h"
#include "jscan.h"

struct dead_line {
	struct sl_slice at, given_up, rule, connector, type, destination, reason, order;
	int64_t at_ms;
	uint32_t action, attempts;
	struct jpath_hit row, kinds, message;
};

/* Appends the line with its newline. keyed: the action keeps an order. */
void dead_line_write(const struct sl_reject *r, bool keyed, struct sl_buf *out);
int dead_line_read(struct sl_slice text, struct sl_arena *arena, struct dead_line *out, struct sl_err *err);

/* Appends the row (sql_row.h) for an action with these parameters, which must have the names that the line has. */
int dead_line_row(const struct dead_line *l, const struct sl_param *params, size_t count, struct sl_arena *arena,
		  struct sl_buf *out, struct sl_err *err);

/* What the line says of the message; empty where it says nothing. */
void dead_line_origin(const struct dead_line *l, struct sl_arena *arena, struct sl_origin *out);

/* The row as a JSON object, named by the parameters; bytes that are no text as base64. */
void dead_row_json(const struct sl_param *params, size_t count, const void *row, struct sl_buf *out);

#endif
