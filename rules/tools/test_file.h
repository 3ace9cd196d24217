/* test_file.h: tests of rules as a file: the rules, and cases for them. What `sluice test` reads.
 *
 *     config: sluice.yaml            whose rules; seen from this file's folder. Or `rules:` and `connectors:` right here
 *     tests:
 *       - name: a hot room raises an alert
 *         rule: hot_rooms
 *         message: {topic: room/7/telemetry, payload: {t: 31.5}, clientid: d7}
 *         expect:
 *           rows: [{device: d7, t: 31.5}]
 *           actions: [{republish: {topic: alerts/d7, qos: 1}}]
 *
 * A broker's configuration may hold `tests:` itself. Every mistake in the file, and in the rules it names, is in the report.
 * Nothing but the two files is opened.
 *
 * Lifetime: all of it until rule_tests_fini(). Thread: the program's main one. Blocks on the files. */
#ifndef TEST_FILE_H
#define TEST_FILE_H

#include <jansson.h>

#include "conf_report.h"
#include "field.h"
#include "rule_book.h"
#include "try_event.h"

/* Absent: NULL. What each means: rules/testing.md. */
struct rule_test_expect {
	json_t *match, *rows, *actions, *matched;
	char *error;
};

struct rule_test_message {
	char *topic, *clientid, *username, *content_type, *response_topic, *correlation_data, *payload_base64, *event;
	json_t *payload, *columns;
	struct conf_map user_properties;
	int64_t qos, timestamp, after_ms; /* timestamp -1: that of the one before it */
	bool retain;
	struct rule_test_expect expect; /* of this message alone */

	/* Made when the file is loaded. */
	struct sl_buf bytes;   /* the payload */
	struct try_event made; /* kind 0: it is a message */
};

struct rule_test_case {
	char *name, *rule;
	json_t *message, *messages;
	struct rule_test_expect expect; /* of all messages together */

	struct rule_test_message *at; /* made of message or messages */
	size_t count;
	struct ruleset *set; /* of its rule; NULL: all of them */
	uint32_t line;
};

struct rule_tests {
	char *file;
	struct conf_report report;
	struct rule_test_case *cases;
	size_t count;
	struct rule_book book;

	/* what they point into */
	char *config;
	json_t *connectors_tree, *rules_tree, *ignored[8];
	struct conf_objects list;
	struct yaml_doc *doc;
};

/* SL_OK, or the status of the first mistake; all are in tests->report, and there are no cases then. */
int rule_tests_load(const char *path, struct rule_tests *tests);
void rule_tests_fini(struct rule_tests *tests);

/* The options of a case, a message and an expectation as Markdown, for the reference. */
void rule_tests_describe(struct sl_buf *out);

#endif
