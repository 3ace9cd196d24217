/* auth_text.h: texts of options with what is known of a client in them: "user:${username}", "https://a/${clientid}".
 *
 * Known are the names of AUTH_TEXT_TBL; another one is refused when the configuration is checked. A value is always a value: who makes
 * commands, statements or URLs of these texts binds or encodes them, see auth_text_parts().
 * Lifetime: a text owns a copy of what it was made from, and is immutable. Thread: any, but for names of `cert` and `psk`, which are
 * read from the connection: its loop's own. Never blocks. */
#ifndef AUTH_TEXT_H
#define AUTH_TEXT_H

#include "auth.h"
#include "field.h"

#define AUTH_TEXT_TBL(NAME)                                                                                            \
	NAME(USERNAME, "username", "the user name of CONNECT")                                                         \
	NAME(CLIENTID, "clientid", "the client id of CONNECT")                                                         \
	NAME(PASSWORD, "password", "the password of CONNECT")                                                          \
	NAME(PEERHOST, "peerhost", "the client's address, without the port")                                           \
	NAME(LISTENER, "listener", "the name of the listener")                                                         \
	NAME(PROTOCOL, "protocol", "the version of MQTT: 3, 4 (3.1.1) or 5")                                           \
	NAME(CERT_CN, "cert.cn", "the common name of the client's verified certificate")                               \
	NAME(CERT_SUBJECT, "cert.subject", "its subject, as RFC 2253 writes it")                                       \
	NAME(CERT_FINGERPRINT, "cert.fingerprint", "the SHA-256 of the certificate, in small hexadecimal digits")      \
	NAME(PSK_IDENTITY, "psk.identity", "the name of the client's pre-shared key")

enum auth_text_name {
	AUTH_TEXT_PLAIN,
#define NAME(id, name, what) AUTH_TEXT_##id,
	AUTH_TEXT_TBL(NAME)
#undef NAME
};

struct auth_text_part {
	enum auth_text_name name; /* PLAIN: the text itself */
	struct sl_slice text;
};

struct auth_text;

/* err: SL_ESYNTAX with the column in the text. */
int auth_text_new(struct sl_slice text, struct auth_text **out, struct sl_err *err) sl_warn_unused;
void auth_text_free(struct auth_text *t); /* NULL is fine */
const struct auth_text_part *auth_text_parts(const struct auth_text *t, size_t *count);
bool auth_text_has(const struct auth_text *t, enum auth_text_name name);

/* False: this client has no such value. Borrowed from r. */
bool auth_text_value(enum auth_text_name name, const struct auth_request *r, struct sl_slice *out);
/* Appends. False: something that it names is not there; out has what came before it then. */
bool auth_text_write(const struct auth_text *t, const struct auth_request *r, struct sl_buf *out);

/* For the option tables: a conf_field's validate. */
int auth_text_check(const struct conf_field *field, struct sl_slice text, struct sl_err *err);
/* The names, as rows of a table in Markdown. */
void auth_text_markdown(struct sl_buf *out);

#endif
