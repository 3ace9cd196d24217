/* acl_fuzz.c: access rules out of any text, as a file, as rules of an identity, as a policy, and a client whose names come out of the input, too.
 *
 * The input: five lines (client id, user name, certificate, topic, filter), then the rules. What was judged is said again from
 * memory and with its reason, and an example of what is not allowed is a topic of the filter. */
#include "acl.h"
#include "mem.h"
#include "topic.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct acl *a, const struct acl_subject *who, struct sl_slice topic, struct sl_slice filter) {
	struct acl_client *c = acl_client_new(a, who);
	(void)acl_may_connect(c);
	if (topic_name_valid(topic) && utf8_valid_mqtt(topic)) {
		for (uint8_t qos = 0; qos <= 2; qos++) {
			bool first = acl_may_publish(c, topic, qos, false);
			sl_assert(acl_may_publish(c, topic, qos, false) == first); /* from memory */
			(void)acl_may_publish(c, topic, qos, true);
		}
		(void)acl_may_receive(c, topic);
	}
	if (topic_filter_valid(filter) && utf8_valid_mqtt(filter)) {
		struct acl_reason why;
		struct sl_slice group, plain;
		bool may = acl_may_subscribe(c, filter, 1);
		acl_explain(c, &(struct acl_question){.action = ACL_SUBSCRIBE, .topic = filter, .qos = 1}, &why);
		sl_assert(why.allowed == may);
		topic_share_split(filter, &group, &plain);
		if (why.example) sl_assert(!may && topic_matches(plain, slice_from_str(why.example)));
		acl_reason_fini(&why);
	}
	acl_client_free(c);
}

static void as_file(struct sl_slice text, const struct acl_subject *who, struct sl_slice topic,
		    struct sl_slice filter) {
	struct conf_report report = CONF_REPORT_INIT;
	struct acl *a;
	if (acl_new_text(text, "acl.yaml", &a, &report) == SL_OK) {
		ask(a, who, topic, filter);
		acl_unref(a);
	} else {
		sl_assert(report.len > 0); /* nothing is refused without a word */
		sl_free(conf_report_format(&report));
	}
	conf_report_fini(&report);
}

static void as_own(struct sl_slice text, const struct acl_subject *who, struct sl_slice topic, struct sl_slice filter) {
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct acl_subject with = *who;
	struct acl *a;
	if (acl_rules_from_text(text, &with.rules, &err) == SL_OK) {
		int rc = acl_new_text(SL_SLICE_LIT("rules: [{deny: all, topics: d/#}]"), "acl.yaml", &a, &report);
		sl_assert(rc == SL_OK);
		ask(a, &with, topic, filter);
		acl_unref(a);
		acl_rules_unref(with.rules);
	}
	sl_err_fini(&err);
	conf_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice rest = slice_make(data, size);
	struct sl_slice line[5];
	for (size_t i = 0; i < SL_ARRAY_LEN(line); i++) line[i] = slice_next_part(&rest, '\n');
	struct acl_attr attr = {SL_SLICE_LIT("x"), line[2]};
	struct acl_subject who = {
	    .clientid = line[0], .username = line[1], .cert_cn = line[2], .attrs = &attr, .attrs_len = 1};
	acl_subject_ip_text(&who, SL_SLICE_LIT("10.1.2.3:4"));
	as_file(rest, &who, line[3], line[4]);
	as_own(rest, &who, line[3], line[4]);
	return 0;
}
