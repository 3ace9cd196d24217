/* cmd_pub.c: `sluice pub`: publishes one message, a file, or a line each from standard input.
 *
 * With QoS 1 and 2 a message counts when the broker has taken it over. With --reconnect a lost connection is made anew
 * and what was not acknowledged is sent again, so that none is missing (a repeat is possible with QoS 1). */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "cmd_common.h"
#include "commands.h"
#include "mem.h"
#include "mqtt_client.h"
#include "topic.h"
#include "utf8.h"

struct pub_options {
	struct cmd_common common;
	const char *topic, *message, *file;
	bool lines, topic_lines, retain, progress, reconnect, quiet, disable_clean;
	int64_t qos, rate, window, timeout_s, keep_alive_s, reconnect_s;
	struct cli_list user_properties;
};

#define AT(member) offsetof(struct pub_options, member)
static const struct cli_option options[] = {
    CMD_COMMON_OPTIONS(struct pub_options),
    {.letter = 't', .name = "topic", .type = CLI_TEXT, .at = AT(topic), .value = "TOPIC", .doc = "topic to publish to"},
    {.letter = 'm', .name = "message", .type = CLI_TEXT, .at = AT(message), .value = "TEXT", .doc = "the payload"},
    {.letter = 'f',
     .name = "file",
     .type = CLI_TEXT,
     .at = AT(file),
     .value = "FILE",
     .doc = "the payload is the file"},
    {.letter = 'l',
     .name = "lines",
     .type = CLI_FLAG,
     .at = AT(lines),
     .doc = "each line of standard input is a payload"},
    {.name = "topic-lines",
     .type = CLI_FLAG,
     .at = AT(topic_lines),
     .doc = "each line of standard input is a topic, a space and a payload"},
    CMD_QOS_OPTION(AT(qos), "0, 1 or 2"),
    {.letter = 'r', .name = "retain", .type = CLI_FLAG, .at = AT(retain), .doc = "ask the broker to retain it"},
    {.name = "user-property",
     .type = CLI_LIST,
     .at = AT(user_properties),
     .value = "KEY=VALUE",
     .doc = "user property (version 5); may be given again"},
    {.name = "rate",
     .type = CLI_NUMBER,
     .at = AT(rate),
     .value = "N",
     .max = 10000000,
     .doc = "at most N messages a second"},
    {.name = "window",
     .type = CLI_NUMBER,
     .at = AT(window),
     .value = "N",
     .min = 1,
     .max = 65535,
     .doc = "QoS 1 and 2: messages that may wait for their acknowledgement"},
    CMD_TIMEOUT_OPTION(AT(timeout_s)),
    CMD_KEEP_ALIVE_OPTION(AT(keep_alive_s)),
    {.name = "disable-clean",
     .type = CLI_FLAG,
     .at = AT(disable_clean),
     .doc = "keep the session (needs -i): QoS 2 stays exactly once over a reconnection, "
	    "while the broker lives"},
    {.name = "reconnect",
     .type = CLI_FLAG,
     .at = AT(reconnect),
     .doc = "connect again when the connection is lost, and send again what was not acknowledged"},
    {.name = "reconnect-timeout",
     .type = CLI_NUMBER,
     .at = AT(reconnect_s),
     .value = "SECONDS",
     .min = 1,
     .max = 86400,
     .doc = "give up when the broker stays away that long"},
    {.name = "progress", .type = CLI_FLAG, .at = AT(progress), .doc = "a line on standard error each second"},
    {.name = "quiet", .type = CLI_FLAG, .at = AT(quiet), .doc = "no summary at the end"},
};
static const struct cli_command command = {
    .usage = "sluice pub -t TOPIC (-m TEXT | -f FILE | -l) [options], or sluice pub --topic-lines [options]",
    .summary = "Publishes to an MQTT broker and says how many messages were acknowledged.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .examples = "examples:\n"
		"  sluice pub -t factory/1/line/2/telemetry -m '{\"temp\": 21.5}' -q 1\n"
		"  gen-telemetry | sluice pub --topic-lines -q 1 --reconnect --progress\n",
};

struct pub {
	struct pub_options o;
	struct mqtt_client *client;
	struct sl_buf props;
	uint64_t start_us, told_ms, published;
};

/* --- one message --------------------------------------------------------------------------------------------- */

static void pause_ms(long ms) {
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

/* Tries until the broker is back, or until it was away too long. */
static int connect_again(struct pub *p, struct sl_err *err) {
	uint64_t start_ms = sl_clock_mono_ms(), wait_ms = 50;
	for (;;) {
		int rc = mqtt_client_connect(p->client, err);
		if (rc == 0 || rc == SL_EDENIED) return rc;
		if (sl_clock_mono_ms() - start_ms > (uint64_t)p->o.reconnect_s * 1000) return rc;
		pause_ms((long)wait_ms);
		wait_ms = wait_ms < 1000 ? wait_ms * 2 : 1000;
	}
}

/* After a failed call: 0 when it should be tried again. */
static int recover(struct pub *p, int rc, struct sl_err *err) {
	bool gone = rc == SL_ECLOSED || rc == SL_ESYSTEM;
	return p->o.reconnect && gone ? connect_again(p, err) : rc;
}

static void tell_progress(struct pub *p) {
	uint64_t now_ms = sl_clock_mono_ms();
	if (!p->o.progress || now_ms - p->told_ms < 1000) return;
	struct mqtt_client_stats s;
	mqtt_client_stats(p->client, &s);
	p->told_ms = now_ms;
	fprintf(stderr, "%llu sent, %llu acknowledged\n", (unsigned long long)s.sent,
		(unsigned long long)s.acknowledged);
}

/* Waits until the message numbered `published` is due. */
static int keep_rate(struct pub *p, struct sl_err *err) {
	if (p->o.rate == 0) return SL_OK;
	uint64_t due_us = p->start_us + p->published * 1000000 / (uint64_t)p->o.rate;
	for (;;) {
		uint64_t now_us = sl_clock_mono_us();
		if (now_us >= due_us) return SL_OK;
		uint64_t wait_ms = (due_us - now_us) / 1000;
		int rc = mqtt_client_poll(p->client, (int)sl_min_size(wait_ms, 100), err);
		if (rc) rc = recover(p, rc, err);
		if (rc) return rc;
	}
}

static int publish(struct pub *p, struct sl_slice topic, struct sl_slice payload, struct sl_err *err) {
	struct mqtt_publish m = {.qos = (uint8_t)p->o.qos, .retain = p->o.retain, .topic = topic, .payload = payload};
	m.props.raw = sl_buf_slice(&p->props);
	if (!topic_name_valid(topic) || !utf8_valid_mqtt(topic))
		return sl_err_set(err, SL_EINVAL,
				  "message %llu: \"%.*s\" is no topic to publish to: it must not be empty and must not "
				  "hold + or #",
				  (unsigned long long)p->published + 1, SL_SLICE_ARG(topic));
	int rc = keep_rate(p, err);
	while (rc == 0) {
		rc = mqtt_client_publish(p->client, &m, err);
		if (rc == 0) break;
		rc = recover(p, rc, err);
	}
	if (rc) return rc;
	p->published++;
	if (p->published % 256 == 0) tell_progress(p);
	return SL_OK;
}

/* --- sources of messages ------------------------------------------------------------------------------------- */

static int publish_line(struct pub *p, struct sl_slice line, struct sl_err *err) {
	if (!p->o.topic_lines) return publish(p, slice_from_str(p->o.topic), line, err);
	if (line.n == 0) return SL_OK;
	struct sl_slice topic = slice_next_part(&line, ' ');
	return publish(p, topic, line, err);
}

static int publish_lines(struct pub *p, struct sl_err *err) {
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int rc = 0;
	while (rc == 0 && (n = getline(&line, &cap, stdin)) >= 0) {
		if (n > 0 && line[n - 1] == '\n') n--;
		rc = publish_line(p, slice_make(line, (size_t)n), err);
	}
	free(line); /* getline's own memory */
	return rc;
}

static int publish_file(struct pub *p, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	FILE *f = fopen(p->o.file, "rb");
	if (!f) return sl_err_set(err, SL_EINVAL, "%s: the file cannot be read", p->o.file);
	for (;;) {
		sl_buf_grow(&b, 65536);
		size_t n = fread(b.p + b.n, 1, b.cap - b.n, f);
		b.n += n;
		if (n == 0 || b.n > MQTT_REMAINING_MAX) break;
	}
	fclose(f);
	int rc = b.n > MQTT_REMAINING_MAX - 65536
		     ? sl_err_set(err, SL_EINVAL, "%s: too large for an MQTT message (256 MiB)", p->o.file)
		     : publish(p, slice_from_str(p->o.topic), sl_buf_slice(&b), err);
	sl_buf_fini(&b);
	return rc;
}

static int publish_all(struct pub *p, struct sl_err *err) {
	int rc;
	if (p->o.lines || p->o.topic_lines) {
		rc = publish_lines(p, err);
	} else if (p->o.file) {
		rc = publish_file(p, err);
	} else {
		rc = publish(p, slice_from_str(p->o.topic), slice_from_str(p->o.message), err);
	}
	while (rc == 0) {
		rc = mqtt_client_drain(p->client, err);
		if (rc == 0) break;
		rc = recover(p, rc, err);
	}
	return rc;
}

/* --- the command --------------------------------------------------------------------------------------------- */

static bool options_fit(const struct pub_options *o) {
	int sources = (o->message != NULL) + (o->file != NULL) + o->lines + o->topic_lines;
	const char *wrong = NULL;
	if (sources != 1)
		wrong = "exactly one of -m, -f, -l and --topic-lines says what to publish";
	else if (!o->topic && !o->topic_lines)
		wrong = "-t says the topic";
	else if (o->user_properties.len && cmd_version(&o->common) != MQTT_V5)
		wrong = "user properties need -V 5";
	else if (o->disable_clean && !o->common.client_id)
		wrong = "--disable-clean needs a client identifier (-i)";
	if (wrong) fprintf(stderr, "pub: %s\nusage: %s\n(--help lists the options)\n", wrong, command.usage);
	return wrong == NULL;
}

static bool put_user_properties(struct pub *p) {
	for (size_t i = 0; i < p->o.user_properties.len; i++) {
		struct sl_slice value = slice_from_str(p->o.user_properties.items[i]);
		struct sl_slice name = slice_next_part(&value, '=');
		if (!value.p || name.n > UINT16_MAX || value.n > UINT16_MAX) {
			fprintf(stderr, "pub: --user-property %s: KEY=VALUE is wanted\n",
				p->o.user_properties.items[i]);
			return false;
		}
		mqtt_put_user(&p->props, name, value);
	}
	return true;
}

static int summary(struct pub *p, int rc) {
	struct mqtt_client_stats s;
	mqtt_client_stats(p->client, &s);
	if (!p->o.quiet && s.sent) {
		printf("%llu sent, %llu acknowledged, %llu refused, %llu sent again, %llu connections\n",
		       (unsigned long long)s.sent, (unsigned long long)s.acknowledged, (unsigned long long)s.refused,
		       (unsigned long long)s.resent, (unsigned long long)s.connects);
		fflush(stdout);
	}
	if (s.refused) fprintf(stderr, "pub: the broker refused: %s\n", mqtt_reason_name(s.last_refusal));
	if (rc) return rc;
	return s.refused ? CLI_INPUT : CLI_OK;
}

static int run(struct pub *p) {
	struct sl_err err = SL_ERR_INIT;
	const struct pub_options *o = &p->o;
	struct mqtt_client_conf conf = cmd_client_conf(&o->common);
	conf.keep_alive_s = (uint16_t)o->keep_alive_s;
	conf.clean_start = !o->disable_clean;
	conf.session_expiry_s = o->disable_clean ? 3600 : 0;
	conf.timeout_ms = (int)o->timeout_s * 1000;
	conf.window = (size_t)o->window;
	p->client = mqtt_client_new(&conf);
	int rc = mqtt_client_connect(p->client, &err);
	if (rc) rc = recover(p, rc, &err);
	p->start_us = sl_clock_mono_us();
	if (rc == 0) rc = publish_all(p, &err);
	int exit_code = summary(p, rc ? cmd_fail("pub", &err) : CLI_OK);
	mqtt_client_close(p->client);
	mqtt_client_free(p->client);
	sl_err_fini(&err);
	return exit_code;
}

int cmd_pub(int argc, char **argv) {
	struct pub p = {
	    .o = {
		.common = CMD_COMMON_DEFAULTS, .window = 100, .timeout_s = 10, .keep_alive_s = 60, .reconnect_s = 60}};
	int exit_code;
	signal(SIGPIPE, SIG_IGN);
	if (!cli_parse(&command, argc, argv, &p.o, &exit_code)) {
		cli_list_fini(&p.o.user_properties);
		return exit_code;
	}
	bool fit = options_fit(&p.o) && cmd_common_ready(&p.o.common, "pub") && put_user_properties(&p);
	exit_code = fit ? run(&p) : CLI_USAGE;
	cmd_common_fini(&p.o.common);
	cli_list_fini(&p.o.user_properties);
	sl_buf_fini(&p.props);
	return exit_code;
}
