#include "client_access.h"

#include "auth_identity.h"
#include "client_guard.h"
#include "log.h"
#include "mem.h"
#include "persist.h"
#include "shared_sub.h"
#include "subs.h"
#include "topic.h"

/* ---- who ---- */

/* tls and identity may be NULL. */
static struct acl_client *acl_for(struct acl *acl, struct sl_slice id, struct sl_slice username, const char *peer,
				  const struct tls_peer *tls, const struct auth_identity *identity) {
	struct acl_subject who = {.clientid = id, .username = username, .vague = !peer};
	struct acl_attr *attrs = identity ? SL_NEW_ARRAY(struct acl_attr, identity->attrs_len + 1) : NULL;
	if (tls && tls->common_name) who.cert_cn = slice_from_str(tls->common_name);
	if (peer) acl_subject_ip_text(&who, slice_from_str(peer));
	for (size_t i = 0; identity && i < identity->attrs_len; i++)
		attrs[i] = (struct acl_attr){slice_from_str(identity->attrs[i].name),
					     slice_from_str(identity->attrs[i].value)};
	if (identity) {
		who.superuser = identity->superuser;
		who.attrs = attrs;
		who.attrs_len = identity->attrs_len;
		who.rules = identity->acl;
	}
	struct acl_client *a = acl_client_new(acl, &who);
	sl_free(attrs);
	return a;
}

/* ---- CONNECT ---- */

bool client_access_begin(struct client *c, const struct mqtt_connect *p, struct sl_slice id, struct sl_slice username,
			 struct acl_client **out) {
	struct worker *w = c->w;
	*out = NULL;
	if (!w->acl) return true;
	struct acl_client *a = acl_for(w->acl, id, username, c->peer, client_tls_peer(c), c->identity);
	const char *why = NULL;
	struct sl_slice topic = p->will.topic;
	uint32_t delay_s;
	if (p->has_will) (void)delayed_split(topic, &delay_s, &topic); /* the topic that is meant */
	if (!acl_may_connect(a))
		why = "access rules: connect";
	else if (p->has_will && !acl_may_publish(a, topic, p->will.qos, p->will.retain))
		why = "access rules: will";
	if (!why) {
		*out = a;
		return true;
	}
	acl_client_free(a);
	metric_inc(w, METRIC_ACL_DENIED_CONNECT);
	return client_refuse(c, p, MQTT_RC_NOT_AUTHORIZED, why);
}

/* ---- subscriptions of a session, judged again ---- */

static uint32_t end_plain(struct session *s) {
	struct sl_buf filter = SL_BUF_INIT;
	uint32_t ended = 0;
	for (uint32_t i = s->subs_len; i-- > 0;) {
		sl_buf_clear(&filter);
		topic_trie_text(s->w->subs, s->subs[i]->handle, &filter);
		if (acl_may_subscribe(s->acl, sl_buf_slice(&filter), s->subs[i]->qos)) continue;
		subs_remove(s, sl_buf_slice(&filter));
		persist_unsubscribed(s, sl_buf_slice(&filter));
		ended++;
	}
	sl_buf_fini(&filter);
	return ended;
}

/* With whatever QoS it had: the owner of the group knows. */
static bool may_share(const struct session *s, struct sl_slice group_and_filter) {
	struct sl_buf text = SL_BUF_INIT;
	bool may = false;
	sl_buf_append_str(&text, "$share/");
	sl_buf_append_slice(&text, group_and_filter);
	for (uint8_t qos = 0; qos <= 2 && !may; qos++) may = acl_may_subscribe(s->acl, sl_buf_slice(&text), qos);
	sl_buf_fini(&text);
	return may;
}

static void forget_shared(struct session *s, struct sl_slice group_and_filter) {
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_append_str(&text, "$share/");
	sl_buf_append_slice(&text, group_and_filter);
	persist_unsubscribed(s, sl_buf_slice(&text));
	sl_buf_fini(&text);
}

static uint32_t end_shared(struct session *s) {
	struct sl_buf ends = SL_BUF_INIT; /* 16-bit length and text each: the notes change while they end */
	uint32_t ended = 0;
	HMAP_FOREACH(share_notes, it, &s->shares) {
		if (may_share(s, it->text)) continue;
		sl_buf_put_u16be(&ends, (uint16_t)it->text.n);
		sl_buf_append_slice(&ends, it->text);
	}
	for (struct sl_slice rest = sl_buf_slice(&ends); rest.n >= 2; ended++) {
		size_t n = (size_t)(uint8_t)rest.p[0] << 8 | (uint8_t)rest.p[1];
		struct sl_slice filter = slice_sub(rest, 2, n), group = slice_next_part(&filter, '/');
		share_sub_leave(s, group, filter);
		forget_shared(s, slice_sub(rest, 2, n));
		rest = slice_from(rest, 2 + n);
	}
	sl_buf_fini(&ends);
	return ended;
}

static void judge_subscriptions(struct session *s) {
	uint32_t ended = end_plain(s) + end_shared(s);
	if (ended == 0) return;
	sl_metric_add(&s->w->metrics, METRIC_ACL_SUBSCRIPTIONS_ENDED, ended);
	log_info(LOG_MQTT, "subscriptions ended: not allowed any more", "clientid=%.*s ended=%u",
		 SL_SLICE_ARG(s->client_id), ended);
	acl_client_strict(s->acl);
	/* Now, for who connects next may be somebody else, and may find nothing that ends. */
	session_drop_denied(s, !s->c || s->c->state != CLIENT_CONNECTED);
}

void client_access_open(struct session *s, struct acl_client *acl, bool present) {
	acl_client_free(s->acl);
	s->acl = acl;
	if (acl && present) judge_subscriptions(s);
}

/* ---- what is denied ---- */

enum { TOPIC_LOGGED = 256 };

bool client_access_denied(struct client *c, const char *what, struct sl_slice topic, enum sl_metric metric) {
	metric_inc(c->w, metric);
	if (topic.n > TOPIC_LOGGED) topic.n = TOPIC_LOGGED;
	log_info(LOG_MQTT, "not allowed", "action=%s topic=%.*s clientid=%.*s username=%s peer=%s", what,
		 SL_SLICE_ARG(topic), SL_SLICE_ARG(c->s->client_id), c->username ? c->username : "", c->peer);
	if (acl_disconnects(acl_client_acl(c->s->acl))) client_disconnect(c, MQTT_RC_NOT_AUTHORIZED);
	return false;
}

bool client_access_will(struct session *s, struct sl_slice topic, uint8_t qos, bool retain, struct sl_slice username) {
	struct acl *acl = s->w->acl;
	if (!acl) return true;
	struct acl_client *mine = NULL;
	if (s->acl && acl_client_acl(s->acl) != acl) acl_client_renew(s->acl, acl);
	/* Of a run of the broker before this one: no more is known of it. */
	if (!s->acl) mine = acl_for(acl, s->client_id, username, NULL, NULL, NULL);
	bool may = acl_may_publish(mine ? mine : s->acl, topic, qos, retain);
	acl_client_free(mine);
	if (may) return true;
	metric_inc(s->w, METRIC_ACL_DENIED_PUBLISH);
	log_info(LOG_MQTT, "will not published: not allowed", "topic=%.*s clientid=%.*s", SL_SLICE_ARG(topic),
		 SL_SLICE_ARG(s->client_id));
	return false;
}

/* ---- other rules ---- */

/* So many sessions a turn: their rules are chosen anew, and their subscriptions judged. */
enum { SLICE = 64, TURN_MS = 1 };

static void renew(struct session *s) {
	struct acl *acl = s->w->acl;
	if (s->c && s->c->state == CLIENT_CONNECTED && client_guard_holds(s->c)) {
		metric_inc(s->w, METRIC_GUARD_BANNED);
		client_disconnect(s->c, MQTT_RC_ADMINISTRATIVE_ACTION);
	}
	if (!acl) {
		acl_client_free(s->acl);
		s->acl = NULL;
		return;
	}
	struct client *c = s->c;
	if (s->acl)
		acl_client_renew(s->acl, acl);
	else if (c)
		s->acl = acl_for(acl, s->client_id, c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY, c->peer,
				 client_tls_peer(c), c->identity);
	else
		return; /* nobody knows who it was: at its CONNECT */
	judge_subscriptions(s);
	if (!c || c->state != CLIENT_CONNECTED || acl_may_connect(s->acl)) return;
	metric_inc(s->w, METRIC_ACL_DENIED_CONNECT);
	client_disconnect(c, MQTT_RC_NOT_AUTHORIZED);
}

void client_access_timer(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, access_timer);
	uint32_t end = w->slots_len - w->access_at < SLICE ? w->slots_len : w->access_at + SLICE;
	for (; w->access_at < end; w->access_at++)
		if (w->slots[w->access_at].s) renew(w->slots[w->access_at].s);
	if (w->access_at < w->slots_len) sl_timer_set(w->loop, t, TURN_MS);
}

void client_access_set(struct worker *w, struct acl *acl) {
	acl_unref(w->acl);
	w->acl = acl;
	w->access_at = 0;
	client_access_timer(&w->access_timer);
}
