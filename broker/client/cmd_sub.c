/* cmd_sub.c: `sluice sub`: prints what arrives, one line a message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmd_common.h"
#include "commands.h"
#include "jwrite.h"
#include "mqtt_client.h"
#include "topic.h"
#include "utf8.h"

enum { FORMAT_TEXT, FORMAT_JSON };
static const char *const formats[] = {"text", "json", NULL};

struct sub_options {
	struct cmd_common common;
	struct cli_list topics;
	bool verbose, disable_clean, no_retained, ready;
	int format;
	int64_t qos, count, wait_s, timeout_s, keep_alive_s;
};

#define AT(member) offsetof(struct sub_options, member)
static const struct cli_option options[] = {
    CMD_COMMON_OPTIONS(struct sub_options),
    CMD_FILTERS_OPTION(AT(topics), ""),
    CMD_QOS_OPTION(AT(qos), "0, 1 or 2"),
    CMD_COUNT_OPTION('c', AT(count), 0, INT64_MAX),
    CMD_WAIT_OPTION(AT(wait_s), 0, 86400 * 365, "; with -c and too few messages the exit code is 1"),
    {.letter = 'v', .name = "verbose", .type = CLI_FLAG, .at = AT(verbose), .doc = "the topic before the payload"},
    {.letter = 'R',
     .name = "no-retained",
     .type = CLI_FLAG,
     .at = AT(no_retained),
     .doc = "do not print retained ones"},
    {.name = "format",
     .type = CLI_CHOICE,
     .at = AT(format),
     .value = "FORMAT",
     .choices = formats,
     .doc = "text, or json: an object a line with topic, payload, qos, retain and the properties"},
    {.name = "disable-clean",
     .type = CLI_FLAG,
     .at = AT(disable_clean),
     .doc = "keep the session (needs -i): messages sent while we are away come later"},
    {.name = "ready",
     .type = CLI_FLAG,
     .at = AT(ready),
     .doc = "say \"subscribed\" on standard error when the broker has taken all subscriptions"},
    CMD_TIMEOUT_OPTION(AT(timeout_s)),
    CMD_KEEP_ALIVE_OPTION(AT(keep_alive_s)),
};
static const struct cli_command command = {
    .usage = "sluice sub -t FILTER [-t FILTER ...] [options]",
    .summary = "Subscribes at an MQTT broker and prints each message on a line.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .examples = "examples:\n"
		"  sluice sub -t 'factory/#' -v\n"
		"  sluice sub -t 'alarms/+' -q 1 --format json -c 10 -W 30\n",
};

struct sub {
	struct sub_options o;
	struct mqtt_client *client;
	struct sl_buf line;
	int64_t printed;
};

static void put_text(struct jwrite *w, const char *key, struct sl_slice text) {
	jwrite_key(w, slice_from_str(key));
	jwrite_string(w, text);
}

/* Text when it is text, else hexadecimal under another name, so that no byte is lost. */
static void put_bytes(struct jwrite *w, const char *key, const char *hex_key, struct sl_slice bytes) {
	struct sl_buf hex = SL_BUF_INIT;
	if (utf8_valid(bytes)) {
		put_text(w, key, bytes);
		return;
	}
	for (size_t i = 0; i < bytes.n; i++) sl_buf_printf(&hex, "%02x", (unsigned char)bytes.p[i]);
	put_text(w, hex_key, sl_buf_slice(&hex));
	sl_buf_fini(&hex);
}

static void put_property(struct jwrite *w, const struct mqtt_prop_item *it) {
	jwrite_object_begin(w);
	put_text(w, "name", slice_from_str(mqtt_prop_name(it->prop)));
	switch (mqtt_prop_type(it->prop)) {
	case MQTT_TYPE_BOOL:
	case MQTT_TYPE_U16:
	case MQTT_TYPE_U32:
	case MQTT_TYPE_VARINT:
		jwrite_key(w, SL_SLICE_LIT("value"));
		jwrite_u64(w, it->num);
		break;
	case MQTT_TYPE_STRING:
	case MQTT_TYPE_BINARY: put_bytes(w, "value", "value_hex", it->bytes); break;
	case MQTT_TYPE_PAIR:
		put_text(w, "key", it->bytes);
		put_text(w, "value", it->value);
		break;
	}
	jwrite_object_end(w);
}

static void put_json(struct sl_buf *out, const struct mqtt_publish *p) {
	struct jwrite w;
	struct mqtt_prop_item it;
	jwrite_init(&w, out);
	jwrite_object_begin(&w);
	put_text(&w, "topic", p->topic);
	jwrite_key(&w, SL_SLICE_LIT("qos"));
	jwrite_u64(&w, p->qos);
	jwrite_key(&w, SL_SLICE_LIT("retain"));
	jwrite_bool(&w, p->retain);
	put_bytes(&w, "payload", "payload_hex", p->payload);
	if (p->props.raw.n) {
		jwrite_key(&w, SL_SLICE_LIT("properties"));
		jwrite_array_begin(&w);
		for (struct sl_slice rest = p->props.raw; mqtt_props_next(&rest, &it);) put_property(&w, &it);
		jwrite_array_end(&w);
	}
	jwrite_object_end(&w);
}

static void on_message(void *arg, const struct mqtt_publish *p) {
	struct sub *s = arg;
	if (p->retain && s->o.no_retained) return;
	if (s->o.count && s->printed >= s->o.count) return;
	s->printed++;
	sl_buf_clear(&s->line);
	if (s->o.format == FORMAT_JSON) {
		put_json(&s->line, p);
		sl_buf_put(&s->line, '\n');
	} else {
		if (s->o.verbose) {
			sl_buf_append_slice(&s->line, p->topic);
			sl_buf_put(&s->line, ' ');
		}
		sl_buf_append_slice(&s->line, p->payload);
		sl_buf_put(&s->line, '\n');
	}
	fwrite(s->line.p, 1, s->line.n, stdout);
}

static int receive(struct sub *s, struct sl_err *err) {
	uint64_t start_ms = sl_clock_mono_ms();
	while (!cmd_stopped && !(s->o.count && s->printed >= s->o.count)) {
		uint64_t spent_ms = sl_clock_mono_ms() - start_ms;
		if (s->o.wait_s && spent_ms >= (uint64_t)s->o.wait_s * 1000) break;
		int rc = mqtt_client_poll(s->client, 100, err);
		if (rc) return rc;
		fflush(stdout);
	}
	return SL_OK;
}

static bool options_fit(const struct sub_options *o) {
	const char *wrong = NULL;
	if (o->topics.len == 0) wrong = "-t says what to subscribe to";
	if (o->disable_clean && !o->common.client_id) wrong = "--disable-clean needs a client identifier (-i)";
	for (size_t i = 0; i < o->topics.len && !wrong; i++)
		if (!topic_filter_valid(slice_from_str(o->topics.items[i])))
			wrong = "a topic filter is wrong: + fills a level alone, # the last level alone";
	if (wrong) fprintf(stderr, "sub: %s\nusage: %s\n(--help lists the options)\n", wrong, command.usage);
	return wrong == NULL;
}

static int run(struct sub *s) {
	struct sl_err err = SL_ERR_INIT;
	const struct sub_options *o = &s->o;
	struct mqtt_client_conf conf = cmd_client_conf(&o->common);
	conf.keep_alive_s = (uint16_t)o->keep_alive_s;
	conf.clean_start = !o->disable_clean;
	conf.session_expiry_s = o->disable_clean ? UINT32_MAX : 0;
	conf.timeout_ms = (int)o->timeout_s * 1000;
	conf.on_message = on_message;
	conf.arg = s;
	s->client = mqtt_client_new(&conf);
	int rc = mqtt_client_connect(s->client, &err);
	for (size_t i = 0; rc == 0 && i < o->topics.len; i++)
		rc = mqtt_client_subscribe(s->client, o->topics.items[i], (uint8_t)o->qos, &err);
	if (rc == 0 && o->ready) fprintf(stderr, "subscribed\n");
	if (rc == 0) rc = receive(s, &err);
	fflush(stdout);
	int exit_code = rc ? cmd_fail("sub", &err) : CLI_OK;
	if (rc == 0 && o->count && s->printed < o->count && !cmd_stopped) {
		fprintf(stderr, "sub: %lld of %lld messages came in time\n", (long long)s->printed,
			(long long)o->count);
		exit_code = CLI_INPUT;
	}
	mqtt_client_close(s->client);
	mqtt_client_free(s->client);
	sl_err_fini(&err);
	return exit_code;
}

int cmd_sub(int argc, char **argv) {
	struct sub s = {.o = {.common = CMD_COMMON_DEFAULTS, .timeout_s = 10, .keep_alive_s = 60}};
	int exit_code;
	cmd_stop_on_signals();
	if (cli_parse(&command, argc, argv, &s.o, &exit_code))
		exit_code = options_fit(&s.o) && cmd_common_ready(&s.o.common, "sub") ? run(&s) : CLI_USAGE;
	cmd_common_fini(&s.o.common);
	cli_list_fini(&s.o.topics);
	sl_buf_fini(&s.line);
	return exit_code;
}
