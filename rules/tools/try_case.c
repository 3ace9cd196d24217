/* try_case.c: see sql_command_int.h. A rule and a message for it: checked, compiled, run. */
#include "basic_ingest.h"
#include "clock.h"
#include "event_kind.h"
#include "mem.h"
#include "sql_command_int.h"
#include "topic.h"
#include "utf8.h"

static int case_dialect(const struct try_case *c, enum sql_dialect *out, struct sl_err *err) {
	static const char *const names[] = {"standard", "aws"};
	*out = SQL_STANDARD;
	if (slice_equal_str(c->dialect, "standard")) return SL_OK;
	*out = SQL_AWS;
	if (slice_equal_str(c->dialect, "aws")) return SL_OK;
	const char *near = slice_nearest(c->dialect, names, SL_ARRAY_LEN(names));
	return sl_err_set(err, SL_EINVAL, "there is no dialect '%.*s'; %s%s", SL_SLICE_ARG(c->dialect),
			  near ? "did you mean " : "it is standard or aws", near ? near : "");
}

int try_case_compile(const struct try_case *c, struct rule **out, struct sl_err *err) {
	enum sql_dialect dialect;
	*out = NULL;
	int rc = case_dialect(c, &dialect, err);
	if (rc != SL_OK) return rc;
	struct sl_slice id = SL_SLICE_LIT("sql"), rest;
	if (c->rule.n)
		id = c->rule;
	else if (basic_ingest_split(c->topic, &rest, &rest))
		basic_ingest_split(c->topic, &id, &rest);
	char *version = c->sql_version.n ? slice_dup(c->sql_version) : NULL;
	struct rule_language language = {
	    .dialect = dialect, .sql_version = version, .decimal_division = c->decimal_division};
	rc = rule_new(id, c->sql, &language, out, err);
	sl_free(version);
	return rc;
}

int try_case_begin(struct try_case *c, struct try_event *e, struct sl_err *err) {
	*e = (struct try_event){.kind = 0};
	if (c->timestamp > RULE_TRY_TIME_MAX)
		return sl_err_set(err, SL_EINVAL, "the timestamp %lld is behind the year 9999; it is in ms since 1970",
				  (long long)c->timestamp);
	if (c->event.n == 0 && event_from(c->topic)) c->event = c->topic;
	if (c->event.n) {
		c->topic = c->event;
		int rc = try_event_make(e, c->event, c->columns, err);
		c->made = rc == SL_OK ? e : NULL;
		return rc;
	}
	if (c->columns.n) return sl_err_set(err, SL_EINVAL, "columns are of an event; name it");
	if (c->qos < 0 || c->qos > 2) return sl_err_set(err, SL_EINVAL, "qos must be 0, 1 or 2");
	if (!topic_name_valid(c->topic) || !utf8_valid_mqtt(c->topic))
		return sl_err_set(err, SL_EINVAL, "'%.*s' is not a topic that one can publish to",
				  SL_SLICE_ARG(c->topic));
	return SL_OK;
}

void try_case_event(const struct try_case *c, struct rules_event *ev) {
	*ev = (struct rules_event){
	    .topic = c->topic,
	    .payload = c->payload,
	    .clientid = c->clientid,
	    .username = c->username,
	    .peer = c->sourceip.n ? c->sourceip : SL_SLICE_LIT("127.0.0.1:1883"),
	    .topic_hash = topic_hash(c->topic),
	    .at_ms = c->timestamp >= 0 ? c->timestamp : sl_clock_wall_ms(),
	    .qos = (uint8_t)c->qos,
	    .user_properties = c->user_properties,
	    .version = c->not_mqtt ? 0 : 5,
	    .principal = c->principal,
	    .accountid = c->accountid,
	    .traceid = c->traceid,
	    .content_type = c->content_type,
	    .response_topic = c->response_topic,
	    .correlation_data = c->correlation_data,
	    .message_expiry_s = -1,
	    .payload_format = c->utf8_data ? 1 : -1,
	};
	if (c->made) try_event_apply(c->made, ev);
}

enum rule_try_outcome try_case_run(const struct try_case *c, struct rule *r, struct sl_buf *rows, struct sl_err *err) {
	struct rules_event ev;
	try_case_event(c, &ev);
	return rule_try(r, &ev, "sluice", rows, err);
}
