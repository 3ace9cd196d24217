/* broker_conf_auth.c: the section `auth`: its options, and whether anybody could connect with them. The authenticators of its chain
 * are checked where they stand (broker/auth/auth_conf.h). */
#include <string.h>

#include "auth_conf.h"
#include "broker_conf_int.h"
#include "mem.h"
#include "schema.h"

#define AT(member) offsetof(struct broker_conf, member)

static const char *const broker_acl_defaults[] = {"auto", "deny", "allow", NULL};
static const char *const broker_acl_on_denied[] = {"ignore", "disconnect", "hide", NULL};

const struct conf_field broker_auth_fields[] = {
    {.name = "anonymous",
     .type = CONF_BOOL,
     .at = AT(auth.anonymous),
     .def = "false",
     .doc =
	 "Whether clients without a user name may connect that no authenticator has denied; without a password file "
	 "and `chain`: whether anybody may. When it is not said, there is neither, and all listeners are on loopback "
	 "addresses, it is true."},
    {.name = "password_file",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(auth.password_file),
     .doc = "Users and their hashed passwords, made by `sluice passwd FILE USER`. Asked before `chain`. "
	    "Clients of MQTT 5 can log in with SCRAM-SHA-256 and SCRAM-SHA-512, too: then no password is sent.",
     .example = "users.pw"},
    {.name = "chain",
     .type = CONF_TREE,
     .flags = CONF_ADVANCED | CONF_NULL_OK,
     .at = AT(auth.chain),
     .doc = "Authenticators, asked in this order: each allows, denies, or passes to the next; behind the last one "
	    "everybody is denied. See below."},
    {.name = "acl_file",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .at = AT(auth.acl_file),
     .doc = "Who may connect, publish and subscribe where: rules, the first that fits decides; see "
	    "broker/auth/acl.md.",
     .example = "acl.yaml"},
    {.name = "policy_files",
     .type = CONF_STRING_LIST,
     .flags = CONF_EXPAND | CONF_ADVANCED,
     .at = AT(auth.policy_files),
     .doc = "Policies as AWS IoT Core has them (JSON), for every client; an ACL file may give policies to some only.",
     .example = "[device-policy.json]"},
    {.name = "acl_default",
     .type = CONF_ENUM,
     .at = AT(auth.acl_default),
     .def = "auto",
     .names = broker_acl_defaults,
     .doc = "What no rule decides, where the ACL file has no `default` of its own. `auto` denies as soon as there is "
	    "an ACL "
	    "file, a policy or a `chain`; a `password_file` alone says who may connect, and leaves all topics to "
	    "whoever did, "
	    "as other brokers do. `deny` denies in each of these cases. With none of them everything is allowed. $SYS "
	    "topics are "
	    "never allowed by it."},
    {.name = "acl_on_denied",
     .type = CONF_ENUM,
     .flags = CONF_ADVANCED,
     .at = AT(auth.acl_on_denied),
     .def = "ignore",
     .names = broker_acl_on_denied,
     .doc =
	 "What follows for a client that publishes or subscribes where it may not. `ignore`: MQTT 5 has a reason code, "
	 "3.1.1 one for SUBSCRIBE; there a publish is acknowledged and dropped. `disconnect`: its connection "
	 "ends as well. `hide`: as `ignore`, but MQTT 5 gets 0x80 (unspecified error), which does not say why."},
    {.name = "ban",
     .type = CONF_TREE,
     .flags = CONF_ADVANCED | CONF_NULL_OK,
     .at = AT(auth.guard.ban),
     .doc = "Who is not let in: a list of conditions as access rules have them (user, clientid, ip, ...), each with "
	    "`until` and `reason` if you like; see broker/auth/guard.md.",
     .example = "[{clientid: \"test-*\", until: 2026-12-01, reason: no test devices}]"},
    {.name = "ban_file",
     .type = CONF_STRING,
     .flags = CONF_EXPAND | CONF_ADVANCED | CONF_NONEMPTY,
     .at = AT(auth.guard.ban_file),
     .doc = "A YAML file with more of these.",
     .example = "bans.yaml"},
    {.name = "flapping",
     .type = CONF_OBJECT,
     .flags = CONF_ADVANCED | CONF_NULL_OK | CONF_GIVEN,
     .at = AT(auth.guard.flapping),
     .fields = broker_flapping_fields,
     .doc = "A client id whose connections end again and again without a DISCONNECT is banned for a while."},
    {.name = "connect_rate",
     .type = CONF_OBJECT,
     .flags = CONF_ADVANCED | CONF_NULL_OK | CONF_GIVEN,
     .at = AT(auth.guard.connect_rate),
     .fields = broker_connect_rate_fields,
     .doc = "How often one address may connect (IPv6: one /64)."},
    {.name = "auth_failures",
     .type = CONF_OBJECT,
     .flags = CONF_ADVANCED | CONF_NULL_OK | CONF_GIVEN,
     .at = AT(auth.guard.auth_failures),
     .fields = broker_failures_fields,
     .doc = "An address with too many wrong logins is refused for a while without a look at its password."},
    {.name = "exempt",
     .type = CONF_STRING_LIST,
     .flags = CONF_ADVANCED,
     .at = AT(auth.guard.exempt),
     .doc = "Networks for which flapping, connect_rate and auth_failures do not count; the ban list does.",
     .example = "[127.0.0.0/8, \"::1\"]"},
    CONF_END};

/* ---- who may connect ------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host) {
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static bool a_listener_is_open(const struct broker_conf *conf) {
	for (size_t i = 0; i < conf->listener_list.len; i++)
		if (json_is_true(broker_conf_listener(conf, i)->anonymous)) return true;
	return false;
}

static bool all_loopback(const struct broker_conf *conf) {
	for (size_t i = 0; i < conf->listener_list.len; i++) {
		const char *host = broker_conf_listener(conf, i)->host;
		if (host && !is_loopback(host)) return false;
	}
	return true;
}

static int check_listeners_of_links(const struct broker_conf *conf, struct conf_at at, struct conf_report *report) {
	size_t n = broker_conf_listener_count(conf);
	const char **names = SL_NEW_ARRAY(const char *, n + 1);
	for (size_t i = 0; i < n; i++) names[i] = broker_conf_listener(conf, i)->name;
	int rc = auth_conf_check_listeners(conf->auth.links, names, n, at, report);
	sl_free(names);
	return rc;
}

int broker_conf_check_auth(struct broker_conf *conf, const json_t *root, struct conf_report *report) {
	struct conf_at at = {conf->doc, "auth.chain"};
	int rc = auth_conf_load(conf->auth.chain, at, &conf->auth.links, report);
	if (rc == SL_OK) rc = auth_conf_check_connectors(conf->auth.links, conf->connectors, at, report);
	if (rc == SL_OK) rc = check_listeners_of_links(conf, at, report);
	if (rc != SL_OK) return rc;
	if (conf->auth.anonymous || a_listener_is_open(conf) || conf->auth.password_file ||
	    auth_conf_len(conf->auth.links) > 0)
		return SL_OK;
	bool said = json_object_get(json_object_get(root, "auth"), "anonymous") != NULL;
	if (!said && all_loopback(conf)) {
		conf->auth.anonymous = true;
		return SL_OK;
	}
	return conf_report_add(report, (struct conf_at){conf->doc, "auth"}, CONF_AT_KEY, SL_EINVAL,
			       "nobody could connect: set password_file (made by `sluice passwd FILE USER`), or "
			       "`anonymous: true` to let everybody in");
}
