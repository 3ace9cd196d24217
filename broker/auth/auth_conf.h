/* auth_conf.h: the option `auth.chain`: a list of authenticators, each {type: ..., options of all links, options of its type}.
 *
 * A type of authenticator is one const struct (auth_link_kind.h), found by `type`. The list is checked as a whole into a struct
 * auth_conf, from which auth_new() makes the links.
 *
 * Lifetime: a conf owns what it says, questions to connectors are counted and shared with the links.
 * Thread: one at a time; immutable once loaded. Loading blocks on ${file:...} only. */
#ifndef AUTH_CONF_H
#define AUTH_CONF_H

#include "auth_backend.h"
#include "conf_report.h"

/* tree: the list; NULL: none. Mistakes go to the report, with their places; *out is made all the same, for checking further. */
int auth_conf_load(const json_t *tree, struct conf_at at, struct auth_conf **out, struct conf_report *report);
void auth_conf_free(struct auth_conf *conf); /* NULL is fine */

/* Does each connector that is named stand below `connectors:` (a tree, or NULL), with the type that the link wants? */
int auth_conf_check_connectors(const struct auth_conf *conf, const json_t *connectors, struct conf_at at,
			       struct conf_report *report);

/* Is each listener that a link is bound to one of these? */
int auth_conf_check_listeners(const struct auth_conf *conf, const char *const *names, size_t n, struct conf_at at,
			      struct conf_report *report);

size_t auth_conf_len(const struct auth_conf *conf); /* NULL: 0 */
const char *auth_conf_type(const struct auth_conf *conf, size_t i);
/* env NULL: reads the files that the link needs, and asks nobody. err names the option below the link. */
int auth_conf_make(const struct auth_conf *conf, size_t i, struct auth_env *env, struct auth_backend **out,
		   struct sl_err *err) sl_warn_unused;

/* The list as it may be shown: secrets masked. A new reference. */
json_t *auth_conf_show(const struct auth_conf *conf) sl_warn_unused;
/* The reference of all types, in Markdown. */
void auth_conf_reference(struct sl_buf *out);

void auth_link_conf_fini(struct auth_link_conf *conf);

#endif
