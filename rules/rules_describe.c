/* rules_describe.c: the reference of rules in Markdown, printed from the tables that check and run them. */
#include "event_describe.h"
#include "event_source.h"
#include "reject.h"
#include "rule_conf.h"
#include "schema_doc.h"

static void describe_columns(const struct sql_source *source, struct sl_buf *out) {
	sl_buf_append_str(out, "| column | kind | meaning |\n| --- | --- | --- |\n");
	for (uint16_t i = 0; i < source->column_count; i++) {
		const struct sql_column *c = &source->columns[i];
		if (c->hidden) continue;
		sl_buf_printf(out, "| `%s` | %s | %s |\n", c->name, sql_kind_name(c->kind), c->doc);
	}
	/* The language's own, the same for every kind of event. */
	sl_buf_append_str(out,
			  "| `metadata` | object | `rule_id`, `matched` (the FROM filter) and `trigger` (the event). "
			  "|\n");
}

void rules_describe(struct sl_buf *out) {
	sl_buf_append_str(out, "# Rules\n\nPrinted from the tables of this folder; don't edit.\n\n"
			       "## Options of a rule\n\nBelow `rules:`, each under its id.\n\n");
	schema_doc_markdown(rule_fields, out);
	sl_buf_append_str(out,
			  "\n## The action `republish`\n\nAlso below `on_error` of an action with a connector, where "
			  "the templates read other columns (below) and `qos` is 1 unless said.\n\n");
	schema_doc_markdown(republish_fields, out);
	sl_buf_append_str(
	    out,
	    "\nThe options that are MQTT 5 properties reach subscribers of that version, and rules, as `pub_props`. "
	    "One "
	    "whose value is NULL or empty\nis left out, so a property that came is passed on by naming it. One that "
	    "cannot be sent, an expiry that is no number or a\nresponse topic with a wildcard, fails the row for this "
	    "action; the reason stands among the rule's failures. Pairs of\n`user_properties` are `[name, value]`, "
	    "`{name: "
	    "value}` or `{key: name, value: value}`; in that order they are sent.\n");
	sl_buf_append_str(out,
			  "\n### Columns of `on_error`\n\nA row that was given up has the values of its action's "
			  "parameters, each under its name as in a dead letter (a column, an option), and\nthese "
			  "beside them. A parameter hides `message` if that is its name; `reason` and `rule` hide a "
			  "parameter. `${.}` is all of them.\n\n");
	reject_describe(out);
	sl_buf_append_str(
	    out,
	    "\nThe message goes to those who are subscribed at that moment, as any other, and from then on the row is "
	    "theirs: it is counted as `on_error`,\nand stands in no log and in no file. Where nobody is subscribed it "
	    "is "
	    "gone. A subscriber with QoS 1 or 2 gets it for certain while the\nbroker runs; what one has not "
	    "acknowledged "
	    "when the broker ends or is killed is gone with its session, also when the publisher of the\noriginal has "
	    "its "
	    "acknowledgement. Rows that are given up while the broker stops, when subscribers have been sent away, "
	    "stay in "
	    "the\naction's log (where it has one) and are tried again after the next start. For rows that may not be "
	    "lost "
	    "leave `on_error` out: the\ndead-letter file survives both.\n");
	sl_buf_append_str(out, "\n## The action `console`\n\nPrints the row to the log, at most one a second; takes no "
			       "options: `console: {}`.\n\n## Switching an action off\n\n`enabled: false` beside "
			       "`republish`, `console` or `connector`: the action is checked, keeps its place in the "
			       "list, and no rows are made for it.\nRows that wait for a connector already are still "
			       "sent. The status page shows it as not enabled.\n");
	sl_buf_append_str(out, "\n## Columns of a message\n\nWhat a rule reads beside the payload.\n\n");
	describe_columns(&event_message, out);
	event_describe(out);
}
