/* acl.h: may this client connect, publish here, subscribe to that, be sent this? Rules, first match wins.
 *
 *     struct acl        all rules of this broker, compiled; immutable, counted: a reload makes a new one
 *     struct acl_rules  rules that came with one client's identity (a token's claims, a row of a database); immutable, counted
 *     struct acl_client what those two say of one client: which rules are for it, and what was judged lately
 *
 * The order in which rules are asked (acl.md has the syntax and the reasons):
 *
 *     superuser            everything is allowed, nothing is asked
 *     policies' Deny       an explicit deny of an AWS-style policy wins over all that follows
 *     acl_rules            what came with the identity
 *     rules of acl_file    in the order of the file
 *     policies' Allow
 *     the default          deny, unless acl_options says otherwise; nothing under $SYS/ is ever allowed by a default
 *
 * A subscription is allowed when every topic that its filter can match is allowed: covered by allow rules, and touched
 * by no deny rule that comes before them. Placeholders are filled with the client's values; a value that could change
 * the shape of a topic (it holds + # / or NUL, begins with $ where the topic begins, or is empty) makes an allow rule
 * not match, and a deny rule match everything from that level on.
 *
 * Cost: a topic that this client used lately is one look into a small table of its own; any other walks the rules that
 * are for this client. Nothing is allocated for a publish to a topic that was judged before.
 *
 * Lifetime: counted, see above; an acl_client holds its references and copies of its subject.
 * Thread: acl and acl_rules any; an acl_client one at a time. Loading blocks on files; nothing else blocks. */
#ifndef ACL_H
#define ACL_H

#include <jansson.h>
#include <sys/socket.h>

#include "common.h"
#include "conf_report.h"
#include "err.h"
#include "field.h"
#include "slice.h"

enum {
	ACL_RULES_MAX = 100000,   /* of a file */
	ACL_OWN_RULES_MAX = 1000, /* that come with an identity */
	ACL_TEXT_MAX = 256 * 1024 /* bytes of JSON of those */
};

struct acl;
struct acl_rules;
struct acl_client;

/* ---- rules that come with an identity ---- */

/* A JSON array of rules, as JWT claims and answers of HTTP services and databases carry them:
 *
 *     [{"permission": "allow", "action": "publish", "topic": "t/${clientid}/#", "qos": [0, 1], "retain": false},
 *      {"allow": "subscribe", "topics": ["a/+", {"eq": "b/#"}]}]
 *
 * or an object of lists of filters, all of them allowed: {"pub": ["a/#"], "sub": ["b/#"], "all": ["c/#"]}.
 * The syntax is that of acl_file without conditions on the client: rules are for the client that they came with.
 * An empty or missing list (NULL, null) is no rules: *out is NULL and that is SL_OK. Otherwise *out gets a strong
 * reference. err says which rule is wrong; then the client should not get in: half of its rules are no rules. */
int acl_rules_from_json(const json_t *rules, struct acl_rules **out, struct sl_err *err) sl_warn_unused;
int acl_rules_from_text(struct sl_slice json, struct acl_rules **out, struct sl_err *err) sl_warn_unused;
struct acl_rules *acl_rules_ref(struct acl_rules *r); /* NULL is fine, here and below */
void acl_rules_unref(struct acl_rules *r);
size_t acl_rules_count(const struct acl_rules *r);

/* ---- rules of the broker ---- */

struct acl_options {
	const char *file;             /* acl_file; NULL: none */
	struct conf_list policies;    /* files with AWS-style policies, for every client */
	bool disconnects;             /* who does what is not allowed is disconnected */
	bool hides;                   /* and is not told why */
	bool default_allow;           /* what no rule decides is allowed, where the file does not say otherwise */
	const struct yaml_doc *about; /* where `file` is named, for errors about it; NULL: unknown */
};

/* All mistakes go to the report, with their places in the files; *out is NULL then. Without any rule *out is an acl that
 * has but the default. A strong reference. Blocks on files. */
int acl_new(const struct acl_options *options, struct acl **out, struct conf_report *report) sl_warn_unused;
/* From text that is no file: for tests and fuzzers. name: what errors call it. */
int acl_new_text(struct sl_slice yaml, const char *name, struct acl **out, struct conf_report *report) sl_warn_unused;
struct acl *acl_ref(struct acl *a);
void acl_unref(struct acl *a);             /* NULL is fine */
bool acl_disconnects(const struct acl *a); /* who does what is not allowed is disconnected */
bool acl_hides(const struct acl *a);       /* and is not told why */
bool acl_allows_by_default(const struct acl *a);
size_t acl_count(const struct acl *a); /* rules, those of policies included */

/* ---- one client ---- */

struct acl_attr {
	struct sl_slice name, value;
};

/* Who: borrowed for the call that it is given to. */
struct acl_subject {
	struct sl_slice clientid;
	struct sl_slice username; /* the effective one; empty: none */
	struct sl_slice cert_cn;  /* of the verified client certificate; empty: none */
	bool superuser;
	uint8_t ip[16]; /* acl_subject_ip() sets both; all zero: it has none (a unix socket), and is in no network */
	bool ip_v6;
	bool vague; /* not all of it is known any more: what cannot be told counts against the client */
	const struct acl_attr *attrs;
	size_t attrs_len;
	struct acl_rules *rules; /* that came with the identity; NULL: none */
};
void acl_subject_ip(struct acl_subject *s, const struct sockaddr *address);
bool acl_subject_ip_text(struct acl_subject *s,
			 struct sl_slice text); /* as logs have it: "10.1.2.3:4711", "[fe80::1]:5" */

struct acl_client *acl_client_new(struct acl *a, const struct acl_subject *who) sl_warn_unused;
void acl_client_free(struct acl_client *c); /* NULL is fine */
/* For rules that changed: the same client under another acl, nothing remembered. */
void acl_client_renew(struct acl_client *c, struct acl *a);
const struct acl *acl_client_acl(const struct acl_client *c);

bool acl_may_connect(const struct acl_client *c);
bool acl_may_publish(struct acl_client *c, struct sl_slice topic, uint8_t qos, bool retain);
/* filter: as in SUBSCRIBE, $share/group/ included. */
bool acl_may_subscribe(const struct acl_client *c, struct sl_slice filter, uint8_t qos);
/* Whether deliveries to this client have to be judged at all; if so, each of them by this. */
bool acl_judges_receive(const struct acl_client *c);
bool acl_may_receive(struct acl_client *c, struct sl_slice topic);
/* From now on each delivery is also judged as if its topic were subscribed to: for a client that takes over a session
 * whose subscriptions were not all its own, and with it what waited for those. */
void acl_client_strict(struct acl_client *c);

/* ---- why ---- */

enum acl_action { ACL_PUBLISH, ACL_SUBSCRIBE, ACL_RECEIVE, ACL_CONNECT };

struct acl_question {
	enum acl_action action;
	struct sl_slice topic; /* or filter; not for ACL_CONNECT */
	uint8_t qos;
	bool retain;
};

/* What decided: all borrowed from the acl, but `example`. */
struct acl_reason {
	bool allowed;
	const char *what; /* "rule", "policy", "superuser", "default", "own rule" */
	const char *file; /* NULL: not of a file */
	uint32_t line;    /* 0: unknown */
	uint32_t number;  /* of the rule in its file, from 1 */
	const char *text; /* of the rule, on one line; NULL: none */
	char *example;    /* a topic of the subscription that is not allowed; heap, NULL when there is none to tell */
};
void acl_explain(const struct acl_client *c, const struct acl_question *q, struct acl_reason *out);
void acl_reason_fini(struct acl_reason *r);

/* Rules of the file that never decide anything, for one before them, without a condition, decides all of it. Placeholders, and
 * several rules that do so together, are not looked at; nor is a file of more than ACL_SHADOW_MAX rules. */
enum { ACL_SHADOW_MAX = 2000 };
typedef void (*acl_shadowed_fn)(const char *file, uint32_t line, uint32_t number, uint32_t by_line, uint32_t by_number,
				void *arg);
void acl_shadowed(const struct acl *a, acl_shadowed_fn shadowed, void *arg);

#endif
