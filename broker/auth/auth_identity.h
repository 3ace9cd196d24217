/* auth_identity.h: what a verdict gives besides yes: who the client is, and what came along with that.
 *
 *     authenticator --makes--> identity --auth_check_cb--> struct client (for the life of the connection)
 *                                                             |-> ACL: superuser, ${attr.x}, rules that came along
 *                                                             '-> rules: client attributes
 *
 * A client without one (NULL) is just what its CONNECT says: no attributes, no rules of its own, no end. So an anonymous client,
 * or one of the password file, costs no memory here.
 *
 * Lifetime: counted; written by whoever makes it, immutable from the moment it is handed on.
 * Thread: any, once it is handed on. */
#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include <jansson.h>
#include <stdatomic.h>

#include "attr.h"
#include "common.h"
#include "err.h"
#include "slice.h"

enum {
	AUTH_ATTRS_MAX = 64,           /* attributes of one client; what is more is left out */
	AUTH_ATTR_VALUE_MAX = 4096,    /* bytes of a value; a longer one is left out, never cut */
	AUTH_ATTR_NAME_MAX = 128,      /* of a name */
	AUTH_USERNAME_MAX = UINT16_MAX /* of a user name, as in MQTT */
};

struct acl_rules;

struct auth_identity {
	_Atomic uint32_t refs;
	char *username;        /* by which it is known from now on; NULL: what CONNECT says */
	bool superuser;        /* the ACL is not asked */
	struct sl_attr *attrs; /* owned, as are their texts: UTF-8 without NUL */
	size_t attrs_len;
	struct acl_rules *acl; /* that came along (acl.h), a strong reference; NULL: none */
	int64_t expires_ms;    /* wall clock: then the connection ends, the session stays; 0: never */
};

struct auth_identity *auth_identity_new(void); /* a strong reference, empty */
struct auth_identity *auth_identity_ref(struct auth_identity *id);
void auth_identity_unref(struct auth_identity *id); /* NULL is fine */

/* Sets or replaces. False: the name or the value is not fit for one, or there are too many; nothing has changed then. */
bool auth_identity_set(struct auth_identity *id, struct sl_slice name, struct sl_slice value);
/* Every member of an object as an attribute: texts, numbers and booleans as their text, lists and objects as JSON. */
void auth_identity_set_all(struct auth_identity *id, const json_t *members);
/* False: not fit to be a user name. */
bool auth_identity_set_username(struct auth_identity *id, struct sl_slice name);
/* Rules as acl_rules_from_json() takes them. Fails when they are none: then the client should not get in. */
int auth_identity_set_acl(struct auth_identity *id, const json_t *rules, struct sl_err *err);

/* Its value, or NULL; borrowed. id may be NULL. */
const char *auth_identity_attr(const struct auth_identity *id, struct sl_slice name);

#endif
