/* broker_conf_mqtt_flow.c: options of `mqtt` about where messages go: queues, shared subscriptions, topics written anew and subscribed
 * to for clients. */
#include "broker_conf_int.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "mem.h"
#include "topic.h"
#include "topic_template.h"

static const char *const rewrite_actions[] = {"all", "publish", "subscribe", NULL};

const char *const broker_conf_queue_words[] = {"drop_new", "drop_oldest", NULL};
const char *const broker_conf_shared_words[] = {"round_robin", "random",      "sticky",         "hash_clientid",
						"hash_topic",  "local_first", "least_inflight", NULL};

int broker_conf_shared_strategy(struct sl_slice word) {
	for (int i = 0; broker_conf_shared_words[i]; i++)
		if (slice_equal_str(word, broker_conf_shared_words[i])) return i;
	return -1;
}

int broker_conf_check_shared(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (broker_conf_shared_strategy(text) >= 0) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "'%.*s' is no strategy; write round_robin, random, sticky, hash_clientid, hash_topic, "
			  "local_first or least_inflight",
			  SL_SLICE_ARG(text));
}

/* ---- rewrite ---- */

static int check_filter(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	struct sl_slice group, filter;
	if (topic_filter_valid(text) && !topic_share_split(text, &group, &filter)) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "'%.*s' is no topic filter here; write for example x/# or x/+/y, without $share/group/",
			  SL_SLICE_ARG(text));
}

#define AT(member) offsetof(struct broker_rewrite_conf, member)
const struct conf_field broker_conf_rewrite_fields[] = {
    {.name = "action",
     .type = CONF_ENUM,
     .at = AT(action),
     .names = rewrite_actions,
     .def = "all",
     .doc = "Which topics: those published to, the filters of subscriptions, or both."},
    {.name = "filter",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     .at = AT(filter),
     .max = TOPIC_BYTES_MAX,
     .validate = check_filter,
     .doc = "Only topics that this filter matches; a filter of a subscription is taken as it stands.",
     .example = "x/#"},
    {.name = "regex",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED,
     .at = AT(regex),
     .max = 4096,
     .doc = "And only what this regular expression (PCRE2) fits.",
     .example = "^x/y/(.+)$"},
    {.name = "to",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = AT(to),
     .max = TOPIC_BYTES_MAX,
     .doc =
	 "What the topic becomes: `$1` to `$9` are the regex's groups, `${clientid}` and `${username}` the client's. A "
	 "topic that would not be valid then is refused.",
     .example = "z/y/$1"},
    CONF_END};
#undef AT

static int check_rewrite(const struct broker_rewrite_conf *r, struct sl_err *err, const char **option) {
	int number;
	PCRE2_SIZE offset;
	*option = "regex";
	pcre2_code *code =
	    pcre2_compile((PCRE2_SPTR)r->regex, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &number, &offset, NULL);
	if (!code) {
		PCRE2_UCHAR text[256]; /* the library's own messages */
		pcre2_get_error_message(number, text, sizeof text);
		return sl_err_set(err, SL_EINVAL, "no regular expression: %s, at byte %zu", (const char *)text,
				  (size_t)offset);
	}
	uint32_t groups;
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
	pcre2_code_free(code);
	*option = "to";
	return topic_template_check(slice_from_str(r->to), groups > 9 ? 9 : groups, err);
}

/* ---- auto_subscribe ---- */

#define AT(member) offsetof(struct broker_auto_subscribe_conf, member)
const struct conf_field broker_conf_auto_subscribe_fields[] = {
    {.name = "topic",
     .type = CONF_STRING,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = AT(topic),
     .max = TOPIC_BYTES_MAX,
     .doc = "The filter, with `${clientid}` and `${username}`. A client whose name is empty, or holds `/`, `+` or `#`, "
	    "is not "
	    "subscribed to a topic with it. Access rules are asked as if it had subscribed itself.",
     .example = "cmd/${clientid}"},
    {.name = "qos", .type = CONF_INT, .at = AT(qos), .def = "0", .max = 2, .doc = "The QoS of the subscription."},
    {.name = "no_local",
     .type = CONF_BOOL,
     .at = AT(no_local),
     .def = "false",
     .doc = "Whether the client's own messages are left out."},
    {.name = "retain_as_published",
     .type = CONF_BOOL,
     .at = AT(retain_as_published),
     .def = "false",
     .doc = "Whether messages keep their retain flag."},
    {.name = "retain_handling",
     .type = CONF_INT,
     .at = AT(retain_handling),
     .def = "0",
     .max = 2,
     .doc = "Whether retained messages are sent: 0 and 1 yes, 2 no."},
    CONF_END};
#undef AT

/* Any name will do: what it does to the filter's shape is known without it. */
static int check_auto(const struct broker_auto_subscribe_conf *a, struct sl_err *err, const char **option) {
	*option = "topic";
	int rc = topic_template_check(slice_from_str(a->topic), 0, err);
	if (rc != SL_OK) return rc;
	struct topic_values any = {.clientid = SL_SLICE_LIT("x"), .username = SL_SLICE_LIT("x")};
	struct sl_buf made = SL_BUF_INIT;
	struct sl_slice group, filter;
	bool good =
	    topic_template_fill(slice_from_str(a->topic), &any, &made) && topic_filter_valid(sl_buf_slice(&made));
	if (!good) {
		rc = sl_err_set(err, SL_EINVAL, "'%s' is no topic filter", a->topic);
	} else if (a->no_local && topic_share_split(sl_buf_slice(&made), &group, &filter)) {
		*option = "no_local";
		rc = sl_err_set(err, SL_EINVAL, "MQTT has no no_local for shared subscriptions; remove it");
	}
	sl_buf_fini(&made);
	return rc;
}

static int tell(const struct broker_conf *conf, struct conf_report *report, const char *list, size_t i,
		const char *option, struct sl_err *err) {
	char *item = yaml_path_index(list, i), *path = yaml_path_key(item, option);
	int rc = conf_report_text(report, (struct conf_at){conf->doc, path}, err);
	sl_free(item);
	sl_free(path);
	return rc;
}

int broker_conf_check_flow(const struct broker_conf *conf, struct conf_report *report) {
	int first = SL_OK, rc;
	const char *option;
	const struct broker_rewrite_conf *rewrite = conf->mqtt.rewrite.items;
	const struct broker_auto_subscribe_conf *subs = conf->mqtt.auto_subscribe.items;
	for (size_t i = 0; i < conf->mqtt.rewrite.len; i++) {
		struct sl_err err = SL_ERR_INIT;
		if (!rewrite[i].regex || !rewrite[i].to || check_rewrite(&rewrite[i], &err, &option) == SL_OK) continue;
		rc = tell(conf, report, "mqtt.rewrite", i, option, &err);
		if (first == SL_OK) first = rc;
	}
	for (size_t i = 0; i < conf->mqtt.auto_subscribe.len; i++) {
		struct sl_err err = SL_ERR_INIT;
		if (!subs[i].topic || check_auto(&subs[i], &err, &option) == SL_OK) continue;
		rc = tell(conf, report, "mqtt.auto_subscribe", i, option, &err);
		if (first == SL_OK) first = rc;
	}
	return first;
}
