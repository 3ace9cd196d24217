/* acl_int.h: a compiled rule, and the parts it is made of. See acl.h for what rules mean.
 *
 * All of a rule lies in the arena of its acl_rules, but compiled regular expressions, which the acl_rules lists. Texts with
 * placeholders are kept as parts and are filled when they are needed (acl_text.c): a client costs no memory for them. */
#ifndef ACL_INT_H
#define ACL_INT_H

#include <stdatomic.h>

#include "acl.h"
#include "arena.h"
#include "buf.h"
#include "outbound.h"

/* Conditions may be inside of each other so deep. */
enum { ACL_WHO_DEPTH_MAX = 8 };

enum acl_bit {
	ACL_BIT_PUBLISH = 1 << 0,
	ACL_BIT_SUBSCRIBE = 1 << 1,
	ACL_BIT_RECEIVE = 1 << 2,
	ACL_BIT_CONNECT = 1 << 3,
	ACL_BIT_RETAIN = 1 << 4, /* policies: to publish with the retain flag needs this, too */
};

/* What is known of a client under a name. */
enum acl_var {
	ACL_VAR_NONE,
	ACL_VAR_CLIENTID,
	ACL_VAR_USERNAME,
	ACL_VAR_CERT_CN,
	ACL_VAR_ATTR,
	ACL_VAR_THING, /* the attribute "thing", or else the client id */
	ACL_VAR_IP,
	ACL_VAR_HAS_CERT, /* "true" or "false" */
};

struct acl_part {
	enum acl_var var;     /* ACL_VAR_NONE: text as it stands */
	struct sl_slice text; /* or the attribute's name */
};

/* A text with placeholders. */
struct acl_text {
	struct sl_slice literal; /* when there is none */
	struct acl_part *parts;
	size_t parts_len; /* 0: literal */
};

enum acl_topic_kind {
	ACL_TOPIC_FILTER, /* an MQTT filter: all topics that it matches */
	ACL_TOPIC_EXACT,  /* this text: one topic, or the subscription with this text */
	ACL_TOPIC_GLOB,   /* policies: "*" and "?" over the whole text, of a topic or of a subscription */
	ACL_TOPIC_ALL,    /* made while filling only: whatever it is */
};

struct acl_topic {
	enum acl_topic_kind kind;
	struct acl_text text;
	struct sl_slice begins; /* what fits begins so, whatever the client: most rules are passed by with this */
};

enum acl_pattern_kind { ACL_PATTERN_EXACT, ACL_PATTERN_GLOB, ACL_PATTERN_REGEX, ACL_PATTERN_NOCASE };
struct acl_pattern {
	enum acl_pattern_kind kind;
	struct acl_text text;
	void *regex; /* pcre2_code */
};

enum acl_who_kind { ACL_WHO_VALUE, ACL_WHO_IP, ACL_WHO_ANONYMOUS, ACL_WHO_ALL, ACL_WHO_ANY, ACL_WHO_NOT };
struct acl_who {
	enum acl_who_kind kind;
	enum acl_var var; /* VALUE */
	struct sl_slice attr;
	const struct acl_pattern *patterns;
	const struct sl_cidr *nets; /* IP */
	struct acl_who **parts;     /* ALL, ANY; NOT has one */
	size_t len;                 /* of any of these */
	bool yes;                   /* ANONYMOUS */
};

enum acl_retain { ACL_RETAIN_ANY, ACL_RETAIN_ONLY, ACL_RETAIN_NOT };

struct acl_rule {
	bool allow, policy;
	bool receive_said;   /* "receive" stands in the rule: deliveries are judged */
	uint8_t actions;     /* enum acl_bit */
	uint8_t qos;         /* a bit for each */
	uint8_t retain;      /* enum acl_retain */
	struct acl_who *who; /* NULL: everybody */
	const struct acl_topic *topics;
	size_t topics_len;
	const struct acl_pattern *groups; /* only shared subscriptions of these; none: all */
	size_t groups_len;
	const char *file;
	uint32_t line, number;
	const char *text;
};

struct acl_rules {
	_Atomic uint32_t refs;
	struct sl_arena arena;
	struct acl_rule **v;
	size_t len;
	bool policy;       /* some are of a policy */
	bool receive_said; /* by some */
	void **regexes;
	size_t regexes_len, regexes_cap;
};

struct acl {
	_Atomic uint32_t refs;
	struct acl_rules *rules; /* Deny of policies, then rules, then Allow of policies */
	size_t own_at;           /* here the rules that come with an identity are asked: behind the Deny of policies */
	uint32_t *everybody;     /* numbers of the rules without a condition, rising */
	size_t everybody_len;
	uint32_t *somebody; /* and of those with one */
	size_t somebody_len;
	struct acl_who **attached; /* for whom there are policies; NULL in it: for everybody */
	size_t attached_len;
	bool default_allow;
	bool disconnects, hides;
};

/* ---- acl_text.c ---- */

/* What a client has under the name; empty: nothing. scratch: for an address. */
struct sl_slice acl_value(const struct acl_subject *s, enum acl_var var, struct sl_slice attr, struct sl_buf *scratch);

/* "${clientid}" and its like, %c and %u (mosquitto: true) into parts; policies: ${iot:...} and ${*}, escaped in a glob. err: which name is unknown. */
enum acl_names { ACL_NAMES_OURS, ACL_NAMES_POLICY, ACL_NAMES_POLICY_GLOB };
int acl_text_parse(struct sl_slice text, enum acl_names names, struct sl_arena *arena, struct acl_text *out,
		   struct sl_err *err);
/* Appends the text with the client's values, whatever they are. */
void acl_text_fill(const struct acl_text *t, const struct acl_subject *s, struct sl_buf *out);

/* To be called when the topic is complete. */
void acl_topic_begins(struct acl_topic *t);

/* A rule's topic with the client's values: false when the rule is not for this client, for a value is missing or could
 * change the topic's shape. With `widen` (deny rules) it is then made wider instead, and *kind may change. */
bool acl_topic_fill(const struct acl_topic *t, const struct acl_subject *s, bool widen, struct sl_buf *scratch,
		    struct sl_slice *out, enum acl_topic_kind *kind);

/* "*" any text, "?" any character; ACL_GLOB_ESCAPE before one makes it plain. */
#define ACL_GLOB_ESCAPE '\x01'
bool acl_glob(struct sl_slice pattern, struct sl_slice text);

/* ---- acl_who.c ---- */

enum acl_truth { ACL_NO, ACL_YES, ACL_UNKNOWN /* a regular expression gave up */ };
enum acl_truth acl_who_holds(const struct acl_who *who, const struct acl_subject *s);
/* Where it can't be told a deny rule is for the client, and an allow rule is not. */
static inline bool acl_rule_is_for(const struct acl_rule *r, const struct acl_subject *s) {
	enum acl_truth t = r->who ? acl_who_holds(r->who, s) : ACL_YES;
	return t == ACL_YES || (t == ACL_UNKNOWN && !r->allow);
}
bool acl_patterns_match(const struct acl_pattern *v, size_t len, struct sl_slice text, const struct acl_subject *s,
			bool *unknown);

/* ---- building: acl_parse.c, acl_who_parse.c, acl_policy.c ---- */

struct acl_build {
	struct acl_rules *rules; /* where it all lies; its v is filled at the end */
	struct acl_rule **deny, **plain, **allow;
	size_t deny_len, deny_cap, plain_len, plain_cap, allow_len, allow_cap;
	struct acl_who **attached;
	size_t attached_len, attached_cap;
	struct conf_report *report;
	const char *file; /* in the arena; NULL: no file */
	bool own;         /* rules that come with an identity */
	bool said_default, default_allow;
	size_t rules_max, seen;
};
struct acl_rules *acl_rules_new(void) sl_warn_unused;
void acl_build_init(struct acl_build *b, struct conf_report *report, bool own);
/* Sorts what was built into b->rules->v, frees the rest. Returns where own rules would be asked. */
size_t acl_build_finish(struct acl_build *b);
struct acl_rule *acl_build_rule(struct acl_build *b, struct conf_at at, const json_t *tree);
void acl_build_add(struct acl_build *b, struct acl_rule *r);

void acl_parse_file(struct acl_build *b, const struct yaml_doc *doc);
void acl_parse_list(struct acl_build *b, const json_t *list, struct conf_at at);
/* attached: for whom it is; NULL: everybody. */
void acl_parse_policy(struct acl_build *b, const json_t *policy, struct conf_at at, struct acl_who *attached);
void acl_parse_policy_file(struct acl_build *b, const char *file, struct conf_at named, struct acl_who *attached);
void acl_parse_policies(struct acl_build *b, const json_t *list, struct conf_at at); /* `policies` of the ACL file */

/* A condition's key: true when it is one. Appends to `all`. */
struct acl_who_list {
	struct acl_who **v;
	size_t len, cap;
};
bool acl_who_key(const char *key);
int acl_who_parse(struct acl_build *b, const char *key, const json_t *value, struct conf_at at, unsigned depth,
		  struct acl_who_list *all);
struct acl_who *acl_who_all(struct acl_build *b, struct acl_who_list *all); /* frees the list; NULL: it was empty */
int acl_pattern_parse(struct acl_build *b, struct sl_slice text, struct conf_at at, struct acl_pattern *out);
int acl_patterns_parse(struct acl_build *b, const json_t *value, struct conf_at at, const struct acl_pattern **out,
		       size_t *len);

/* Calls fn for a value, or for each item of a list; SL_OK, or the first failure. */
typedef int (*acl_each_fn)(struct acl_build *b, const json_t *item, struct conf_at at, void *arg);
int acl_each(struct acl_build *b, const json_t *value, struct conf_at at, acl_each_fn each, void *arg);

/* ---- acl.c ---- */

struct acl_memory {
	char *topic;
	uint16_t len;
	uint8_t known, allowed; /* a bit for each question */
};
enum { ACL_REMEMBERED_FIRST = 4, ACL_REMEMBERED_MAX = 32, ACL_REMEMBERED_TOPIC_MAX = 1024 };

struct acl_client {
	struct acl *acl;
	struct acl_subject who; /* of its own; texts in `bytes` */
	char *bytes;
	uint32_t *mine; /* of acl->somebody's, those that are for this client, rising */
	size_t mine_len;
	bool policies; /* some are for this client */
	bool judges_receive, strict;
	/* Topics judged lately: their hashes side by side, to be looked through at once, and what was judged. */
	uint64_t *hashes;
	struct acl_memory *memory;
	uint32_t memory_len, memory_cap;
	struct sl_buf scratch;
};

/* The rules that are for a client, in the order in which they are asked. */
struct acl_walk {
	const struct acl_client *c;
	size_t everybody, mine, own;
};
const struct acl_rule *acl_walk_next(struct acl_walk *w);

/* What was found. */
struct acl_finding {
	bool allowed;
	const struct acl_rule *rule; /* NULL: the default */
	bool own;
	struct sl_buf *example; /* wanted, or NULL */
};
void acl_judge_topic(const struct acl_client *c, uint8_t action, struct sl_slice topic, uint8_t qos, bool retain,
		     struct acl_finding *f);
void acl_judge_filter(const struct acl_client *c, struct sl_slice filter, uint8_t qos, struct acl_finding *f);
void acl_judge_connect(const struct acl_client *c, struct acl_finding *f);

#endif
