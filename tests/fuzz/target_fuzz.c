/* target_fuzz.c: a client's name in the first line, behind it a topic or a template. What `$delayed/` is taken from is a valid topic; a
 * name in a template changes neither its levels nor its wildcards; a topic that is written anew is so by the entry that fits. */
#include <string.h>

#include "delayed.h"
#include "mem.h"
#include "rewrite.h"
#include "topic.h"
#include "topic_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_delayed(struct sl_slice topic) {
	uint32_t seconds = UINT32_MAX;
	struct sl_slice real = SL_SLICE_EMPTY;
	if (delayed_split(topic, &seconds, &real) != DELAYED_GOOD) return;
	sl_assert(seconds <= DELAYED_SECONDS_MAX);
	sl_assert(topic_name_valid(real));
	sl_assert(real.p + real.n == topic.p + topic.n);
}

static size_t count(struct sl_slice s, char c) {
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) n += s.p[i] == c;
	return n;
}

static void check_template(struct sl_slice name, struct sl_slice text) {
	struct topic_values values = {.clientid = name, .username = name};
	struct sl_buf out = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	bool good = topic_template_check(text, 0, &err) == SL_OK;
	bool filled = topic_template_fill(text, &values, &out);
	sl_assert(good || err.text);
	if (good && filled) {
		static const char shape[] = "/+#";
		for (const char *c = shape; *c; c++) sl_assert(count(text, *c) == count(sl_buf_slice(&out), *c));
		sl_assert(text.n == 0 || text.p[0] == '$' || out.n == 0 || out.p[0] != '$');
	}
	sl_err_fini(&err);
	sl_buf_fini(&out);
}

static void check_rewrite(struct sl_slice name, struct sl_slice topic) {
	static const struct broker_rewrite specs[] = {
	    {BROKER_REWRITE_ALL, "x/+/y", "^x/(.*)/y$", "z/$1/$1"},
	    {BROKER_REWRITE_PUBLISH, "x/#", "(.)(.)?(.)?(.)?(.)?(.)?(.)?(.)?(.)?(.)?(.)?", "$9/${clientid}/$1"},
	    {BROKER_REWRITE_SUBSCRIBE, "#", "^((a+)+)+$", "${username}/never"}};
	static struct rewrite *rules;
	static struct rewriter *rewriter;
	if (!rules) {
		int rc = rewrite_new(specs, SL_ARRAY_LEN(specs), &rules, NULL);
		sl_assert(rc == SL_OK);
		rewriter = rewriter_new(rules);
	}
	struct sl_slice out;
	for (int as = BROKER_REWRITE_PUBLISH; as <= BROKER_REWRITE_SUBSCRIBE; as++)
		if (rewrite_topic(rewriter, (enum broker_rewrite_action)as, topic, name, name, &out) == REWRITE_DONE)
			sl_assert(out.n > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice rest = slice_make(data, size), name = slice_next_part(&rest, '\n');
	check_delayed(rest);
	check_template(name, rest);
	if (rest.n > 0) check_rewrite(name, rest);
	return 0;
}
