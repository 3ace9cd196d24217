/* load.h: a configuration file, checked by every layer before any of it is in force.
 *
 *     load_config(file, connectors, rules, &loaded)     all mistakes of all layers are printed, nothing has changed
 *     load_commit(&loaded, ...)                          put in force: connectors first, then rules, as a whole
 *     load_fini(&loaded)
 *
 * The same road for `sluice check` (which stops before commit), for the start and for a reload.
 * Thread: the main thread. Blocks on files. */
#ifndef LOAD_H
#define LOAD_H

#include "broker_conf.h"
#include "connectors.h"
#include "rules.h"

struct loaded {
	struct broker_conf *conf;
	struct connectors_set *set;
	struct rules_prepared *rules;
	struct tls_server **tls;   /* of each listener of conf; NULL where it speaks no TLS */
	struct guard_rules *guard; /* NULL: nobody is held off */
	struct acl *acl;           /* NULL: no access rules, everything is allowed */
};

/* Reads the settings alone, which the services below are made from. Prints mistakes to standard error. SL_OK or the first
 * mistake's status; loaded->conf is then only for checking further. */
int load_settings(const char *file, struct loaded *loaded, struct conf_report *report);
/* Reads the certificates of its listeners. SL_OK or the first mistake's status. */
int load_tls(struct loaded *loaded, struct conf_report *report);
/* At a reload: listeners that are in force, by name, speak from now on as `fresh` says; the servers move there. */
void load_tls_adopt(struct loaded *fresh, struct loaded *in_force);
/* Which server each listener of `fresh` will speak with after that; free with sl_free(). */
struct tls_server **load_tls_servers(const struct loaded *fresh, const struct loaded *in_force) sl_warn_unused;
/* Checks connectors and rules of loaded->conf with these services (both may be made for a mere check). */
int load_rules(struct loaded *loaded, struct connectors *cs, struct rules *rules, struct conf_report *report);
/* Reads its access rules; load_rules() does so, too. SL_OK or the first mistake's status. */
int load_access(struct loaded *loaded, struct conf_report *report);
/* Clients may connect, and nothing else: there are authenticators, and no rule at all. */
bool load_denies_all(const struct loaded *loaded);
/* A password file, and no access rules: said, for not everybody expects it. */
bool load_leaves_topics_open(const struct loaded *loaded);
/* Puts connectors and rules in force. On failure nothing has changed. */
int load_commit(struct loaded *loaded, struct connectors *cs, struct rules *rules, struct sl_err *err);
void load_fini(struct loaded *loaded);

/* Prints a report to standard error, one mistake a line. */
void load_print(const struct conf_report *report);

#endif
