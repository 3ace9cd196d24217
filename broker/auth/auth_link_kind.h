/* auth_link_kind.h: what a type of authenticator is to the option `auth.chain`: a name, options, and how a link is made of them. */
#ifndef AUTH_LINK_KIND_H
#define AUTH_LINK_KIND_H

#include "auth_conf.h"

struct sl_question;

struct auth_link_kind {
	const char *name, *doc;
	size_t size;                     /* of its settings */
	const struct conf_field *fields; /* of these; ends with CONF_END */
	/* Cross-field checks; err names the option. Pure. May be NULL. */
	int (*check)(const void *settings, struct sl_err *err);
	/* Files are read here. The strings of settings are not kept, they are copied. env: see auth_conf_make(). */
	int (*make)(const void *settings, struct sl_question *question, struct auth_env *env, struct auth_backend **out,
		    struct sl_err *err);
	bool
	    asks; /* a connector of the kind's name: its links take the options of that one's questions, too, and get `question` */
	/* The name of the connector (of this kind's name) that these settings ask; NULL: it asks none. */
	const char *(*connector)(const void *settings);
};

extern const struct auth_link_kind auth_kind_file, auth_kind_cert, auth_kind_jwt, auth_kind_http, auth_kind_postgres,
    auth_kind_redis, auth_kind_mongodb;

#endif
