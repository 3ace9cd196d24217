#include "client_guard.h"

#include "auth_identity.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

static void who_of(struct client *c, struct sl_slice id, struct sl_slice username, struct acl_subject *who) {
	const struct tls_peer *tls = client_tls_peer(c);
	*who = (struct acl_subject){.clientid = id, .username = username};
	if (tls && tls->common_name) who->cert_cn = slice_from_str(tls->common_name);
	acl_subject_ip_text(who, slice_from_str(c->peer));
}

static void who_of_connect(struct client *c, const struct mqtt_connect *p, struct acl_subject *who) {
	who_of(c, p->client_id, p->has_username ? p->username : SL_SLICE_EMPTY, who);
}

bool client_guard_connect(struct client *c, const struct mqtt_connect *p) {
	struct acl_subject who;
	struct worker *w = c->w;
	char *reason;
	if (c->guarded) return true;
	c->guarded = true;
	who_of_connect(c, p, &who);
	switch (guard_connect(w->b->guard, &who, sl_loop_now_ms(w->loop), sl_loop_wall_ms(w->loop), &reason)) {
	case GUARD_FINE: return true;
	case GUARD_BANNED:
		metric_inc(w, METRIC_GUARD_BANNED);
		client_refuse(c, p, MQTT_RC_BANNED, reason ? reason : "banned");
		break;
	case GUARD_FLAPS:
		metric_inc(w, METRIC_GUARD_FLAPS);
		client_refuse(c, p, MQTT_RC_BANNED, "banned for a while: it flaps");
		break;
	case GUARD_TOO_FAST:
		metric_inc(w, METRIC_GUARD_TOO_FAST);
		client_refuse(c, p, MQTT_RC_CONNECTION_RATE_EXCEEDED, "connects too often");
		break;
	case GUARD_GUESSES:
		metric_inc(w, METRIC_GUARD_GUESSES);
		client_refuse(c, p, MQTT_RC_CONNECTION_RATE_EXCEEDED, "too many wrong logins");
		break;
	}
	sl_free(reason);
	return false;
}

void client_guard_failed(struct client *c, const struct mqtt_connect *p) {
	struct acl_subject who;
	who_of_connect(c, p, &who);
	guard_failed(c->w->b->guard, &who, sl_loop_now_ms(c->w->loop));
}

/* The texts of attributes are the identity's. attrs: the caller's to free. */
static void add_identity(const struct client *c, struct acl_subject *who, struct acl_attr **attrs) {
	const struct auth_identity *id = c->identity;
	*attrs = id ? SL_NEW_ARRAY(struct acl_attr, id->attrs_len + 1) : NULL;
	for (size_t i = 0; id && i < id->attrs_len; i++)
		(*attrs)[i] = (struct acl_attr){slice_from_str(id->attrs[i].name), slice_from_str(id->attrs[i].value)};
	who->attrs = *attrs;
	who->attrs_len = id ? id->attrs_len : 0;
}

static bool holds(struct client *c, struct sl_slice id, struct sl_slice username) {
	struct acl_subject who;
	struct acl_attr *attrs;
	who_of(c, id, username, &who);
	add_identity(c, &who, &attrs);
	bool banned = guard_holds(c->w->b->guard, &who, sl_loop_wall_ms(c->w->loop));
	sl_free(attrs);
	return banned;
}

bool client_guard_known(struct client *c, const struct mqtt_connect *p, struct sl_slice username) {
	/* What CONNECT says was looked at already; an authenticator, or an exchange, may have found another name. */
	bool as_said = !c->identity && !c->exchange;
	struct acl_subject who;
	who_of(c, p->client_id, username, &who);
	if (c->exchange && guard_guessed(c->w->b->guard, &who, sl_loop_now_ms(c->w->loop))) {
		metric_inc(c->w, METRIC_GUARD_GUESSES);
		return client_refuse(c, p, MQTT_RC_CONNECTION_RATE_EXCEEDED, "too many wrong logins");
	}
	if (as_said || !holds(c, p->client_id, username)) return true;
	metric_inc(c->w, METRIC_GUARD_BANNED);
	return client_refuse(c, p, MQTT_RC_BANNED, "banned");
}

bool client_guard_holds(struct client *c) {
	return holds(c, c->s->client_id, c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY);
}

void client_guard_ended(struct client *c, const struct session *s) {
	struct acl_subject who = {.clientid = s->client_id};
	struct worker *w = c->w;
	int64_t ban_ms;
	acl_subject_ip_text(&who, slice_from_str(c->peer));
	if (!guard_flapped(w->b->guard, &who, sl_loop_now_ms(w->loop), &ban_ms)) return;
	metric_inc(w, METRIC_GUARD_FLAPPING_BANS);
	log_warn(LOG_MQTT, "client banned for a while: it connects and is gone, again and again",
		 "clientid=%.*s peer=%s ban_ms=%lld", SL_SLICE_ARG(slice_sub(s->client_id, 0, 128)), c->peer,
		 (long long)ban_ms);
}
