/* auth_cert.c: the link of the chain that lets in who has shown a certificate of ours, or a pre-shared key, and takes the name from there.
 *
 * The handshake has verified it already (the listener's `verify_peer`); a connection that has shown nothing is passed on. */
#include "auth_link_kind.h"
#include "mem.h"
#include "tls_peer.h"

enum name_from { NAME_CN, NAME_SUBJECT, NAME_DNS, NAME_EMAIL, NAME_URI, NAME_FINGERPRINT, NAME_PSK, NAME_NONE };

struct cert_settings {
	int username; /* enum name_from */
	bool clientid_is_username;
};

struct auth_cert {
	struct auth_backend base;
	struct cert_settings set;
};

static const char *const names[] = {"cn",          "subject",      "san_dns", "san_email", "san_uri",
				    "fingerprint", "psk_identity", "none",    NULL};

static const struct conf_field cert_fields[] = {{.name = "username_from",
						 .type = CONF_ENUM,
						 .at = offsetof(struct cert_settings, username),
						 .names = names,
						 .def = "cn",
						 .doc = "What of the certificate is the client's user name, whatever "
							"CONNECT says: `cn`, the common name; `subject`, all "
							"of it as RFC 2253 writes it; the first alternative name of a "
							"kind; `fingerprint`, the SHA-256 of the certificate "
							"in small hexadecimal digits; `psk_identity`, the name of a "
							"pre-shared key instead of a certificate; `none`, CONNECT's. "
							"Who has none of what is asked for is denied."},
						{.name = "clientid_is_username",
						 .type = CONF_BOOL,
						 .at = offsetof(struct cert_settings, clientid_is_username),
						 .def = "false",
						 .doc = "Whether the client id must be that name; others are denied."},
						CONF_END};

static const char *first(const struct tls_peer_names *n) { return n->len ? n->v[0] : NULL; }

static const char *name_of(const struct tls_peer *p, enum name_from from) {
	switch (from) {
	case NAME_CN: return p->common_name;
	case NAME_SUBJECT: return p->subject;
	case NAME_DNS: return first(&p->dns);
	case NAME_EMAIL: return first(&p->email);
	case NAME_URI: return first(&p->uri);
	case NAME_FINGERPRINT: return p->fingerprint;
	case NAME_PSK: return p->psk_identity;
	case NAME_NONE: break;
	}
	return NULL;
}

static enum auth_step cert_check(struct auth_backend *b, struct auth_ask *ask) {
	const struct auth_cert *c = sl_container_of(b, struct auth_cert, base);
	const struct auth_request *r = ask->request;
	enum name_from from = (enum name_from)c->set.username;
	/* Of one that a proxy has verified the common name is all that is known. */
	const char *certificate = !r->tls ? NULL : r->tls->fingerprint ? r->tls->fingerprint : r->tls->common_name;
	if (!r->tls || !(from == NAME_PSK ? r->tls->psk_identity : certificate)) return AUTH_STEP_PASS;
	struct sl_slice name = slice_from_str(name_of(r->tls, from));
	if (from == NAME_NONE) name = r->has_username ? r->username : SL_SLICE_EMPTY;
	if (c->set.clientid_is_username && (name.n == 0 || !slice_equal(name, r->clientid))) return AUTH_STEP_DENY;
	if (from == NAME_NONE) return AUTH_STEP_ALLOW;
	struct auth_identity *id = auth_identity_new();
	if (!auth_identity_set_username(id, name)) {
		auth_identity_unref(id);
		return AUTH_STEP_DENY;
	}
	ask->identity = id;
	return AUTH_STEP_ALLOW;
}

static void cert_free(struct auth_backend *b) { sl_free(sl_container_of(b, struct auth_cert, base)); }

static const struct auth_backend_ops cert_ops = {.check = cert_check, .free = cert_free};

static int cert_make(const void *settings, struct sl_question *question, struct auth_env *env,
		     struct auth_backend **out, struct sl_err *err) {
	(void)question;
	struct auth_cert *c = SL_NEW(struct auth_cert);
	(void)env;
	(void)err;
	c->base.ops = &cert_ops;
	c->set = *(const struct cert_settings *)settings;
	*out = &c->base;
	return SL_OK;
}

const struct auth_link_kind auth_kind_cert = {
    .name = "cert",
    .doc = "The client's certificate, on listeners that verify one (`verify_peer`): whoever has one is let in, under "
	   "the name that "
	   "it says. Passes on clients without a certificate.",
    .size = sizeof(struct cert_settings),
    .fields = cert_fields,
    .make = cert_make,
};
