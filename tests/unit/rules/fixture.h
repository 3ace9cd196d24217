/* fixture.h: an engine with its rules from a piece of YAML, one worker without a loop, and a host that keeps what rules
 * publish and, like the broker, shows it to the rules again. */
#ifndef RULES_FIXTURE_H
#define RULES_FIXTURE_H

#include <jansson.h>

#include "rules.h"
#include "yaml.h"

enum { FIXTURE_MESSAGES_MAX = 64 };

struct fixture_message {
	char *topic, *payload;
	uint8_t qos, hops;
	bool retain;
	char *block;       /* MQTT 5 properties */
	size_t properties; /* bytes of it */
};

struct fixture {
	struct rules *rules;
	struct rules_worker *worker;
	struct fixture_message messages[FIXTURE_MESSAGES_MAX];
	size_t published; /* may be more than are kept */
	int publish_status;
};

/* The YAML is what stands below `rules:`. Fails the test when it does not load. */
void fixture_init(struct fixture *f, const char *yaml);
void fixture_reload(struct fixture *f, const char *yaml);
void fixture_fini(struct fixture *f);

/* What the report says about rules that don't load; NULL when they do. Free with sl_free(). */
char *fixture_errors(const char *yaml);

void fixture_publish(struct fixture *f, const char *topic, const char *payload);
struct rules_event fixture_event(const char *topic, const char *payload);

/* The status of all rules, owned, and what stands in it: for a test that asks for much of it. */
json_t *fixture_status(struct fixture *f);
int64_t fixture_status_count(const json_t *status, const char *rule, int action, const char *name);
const char *fixture_status_failure(const json_t *status, const char *rule);

/* A number of the status: rule's own (action < 0), or of one of its actions. */
int64_t fixture_count(struct fixture *f, const char *rule, int action, const char *name);
/* The reason of the newest failure, "" when there is none. Borrowed until the next call. */
const char *fixture_failure(struct fixture *f, const char *rule);

#endif
