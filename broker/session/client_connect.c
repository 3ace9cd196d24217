#include "auth.h"
#include "client_access.h"
#include "client_guard.h"
#include "client_topic.h"
#include "client_auth.h"
#include "events.h"
#include "log.h"
#include "mem.h"
#include "persist.h"
#include "rng.h"
#include "rules.h"
#include "shared_sub.h"
#include "topic.h"
#include "will.h"

/* ---- refusing ---- */

enum { NAME_LOGGED = 128 };

/* False: the client takes no packet as large as that, and is gone. */
static bool send_connack(struct client *c, bool present, enum mqtt_reason reason, const struct sl_buf *props) {
	struct mqtt_connack a = {.session_present = present, .reason = reason};
	mqtt_props_init(&a.props);
	if (props) a.props.raw = sl_buf_slice(props);
	size_t before = sl_stream_out(client_stream(c))->n;
	mqtt_encode_connack(&a, (enum mqtt_version)c->version, sl_stream_out(client_stream(c)));
	metric_inc(c->w, METRIC_PACKETS_OUT);
	if (sl_stream_out(client_stream(c))->n - before <= c->packet_max) return true;
	sl_stream_out(client_stream(c))->n = before; /* [MQTT-3.1.2-24] */
	log_info(LOG_MQTT, "connection refused", "peer=%s why=\"CONNACK is larger than the client takes\" max=%u",
		 c->peer, c->packet_max);
	c->will_due = false; /* it never was connected, and gets no DISCONNECT either [MQTT-3.14.0-1] */
	client_close(c, SL_ELIMIT);
	return false;
}

/* Who it was is for whoever keeps the logins: the names, as much of them as a line takes; never the password. */
static void refusal_log(const struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason,
			const char *why) {
	struct sl_slice user = p ? p->username : SL_SLICE_EMPTY, id = p ? p->client_id : SL_SLICE_EMPTY;
	if (user.n > NAME_LOGGED) user.n = NAME_LOGGED;
	if (id.n > NAME_LOGGED) id.n = NAME_LOGGED;
	if (p && p->has_username)
		log_info(LOG_MQTT, "connection refused", "peer=%s clientid=%.*s username=%.*s reason=%s why=%s",
			 c->peer, SL_SLICE_ARG(id), SL_SLICE_ARG(user), mqtt_reason_name(reason), why);
	else if (p)
		log_info(LOG_MQTT, "connection refused", "peer=%s clientid=%.*s reason=%s why=%s", c->peer,
			 SL_SLICE_ARG(id), mqtt_reason_name(reason), why);
	else
		log_info(LOG_MQTT, "connection refused", "peer=%s reason=%s why=%s", c->peer, mqtt_reason_name(reason),
			 why);
}

/* What a refusal says to the client, in words that tell nothing about who may come in. */
static struct sl_slice refusal_text(enum mqtt_reason reason) {
	switch (reason) {
	case MQTT_RC_CLIENT_ID_NOT_VALID:
		return SL_SLICE_LIT("the client id is empty, or longer than this server takes");
	case MQTT_RC_BAD_AUTHENTICATION_METHOD:
		return SL_SLICE_LIT("this server does not offer this authentication method");
	case MQTT_RC_TOPIC_NAME_INVALID: return SL_SLICE_LIT("the will topic is not valid, or has too many levels");
	case MQTT_RC_QOS_NOT_SUPPORTED: return SL_SLICE_LIT("the will has a higher QoS than this server takes");
	case MQTT_RC_RETAIN_NOT_SUPPORTED: return SL_SLICE_LIT("the will is retained, which this server does not do");
	default: return SL_SLICE_EMPTY; /* the code says all there is to say */
	}
}

bool client_refuse(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason, const char *why) {
	metric_inc(c->w, METRIC_CONNECTS_REFUSED);
	if (p && reason == MQTT_RC_BAD_USER_NAME_OR_PASSWORD) client_guard_failed(c, p);
	refusal_log(c, p, reason, why);
	struct sl_buf props = SL_BUF_INIT;
	client_put_reason(c, MQTT_CONNACK, refusal_text(reason), 5, &props);
	send_connack(c, false, reason, &props); /* [MQTT-3.2.2-6] no session */
	sl_buf_fini(&props);
	if (p && event_wanted(c->w, EVENTS_REFUSED)) event_refused(c, p, reason);
	client_close(c, SL_EDENIED); /* [MQTT-3.1.4-1] */
	return false;
}

static bool bad_connect(struct client *c, int status, enum mqtt_reason reason, uint8_t version) {
	metric_inc(c->w, METRIC_PROTOCOL_ERRORS);
	/* Who speaks a version that we do not, is told in the one form that every version understands. */
	c->version = status != SL_EUNSUPPORTED && version == MQTT_V5 ? MQTT_V5 : MQTT_V311;
	if (status == SL_EUNSUPPORTED || version == MQTT_V5) return client_refuse(c, NULL, reason, "malformed CONNECT");
	client_close(c, SL_EPROTOCOL);
	return false;
}

/* What can be said about a CONNECT without knowing who it is. SUCCESS: go on. */
static enum mqtt_reason judge(const struct client *c, const struct mqtt_connect *p) {
	const struct broker_settings *set = &c->w->b->set;
	const struct broker_bind_limits *limits = &c->bind->limits;
	if (!(limits->versions & 1u << (p->version - MQTT_V31))) {
		metric_inc(c->w, METRIC_CONNECTS_VERSION);
		return MQTT_RC_UNSUPPORTED_VERSION;
	}
	if (p->client_id.n > limits->client_id_max) return MQTT_RC_CLIENT_ID_NOT_VALID;
	/* [MQTT-3.1.3-8] of 3.1.1; 3.1 has no empty ids at all. */
	if (p->client_id.n == 0 && ((p->version == MQTT_V311 && !p->clean_start) || p->version == MQTT_V31))
		return MQTT_RC_CLIENT_ID_NOT_VALID;
	if (!p->has_will) return MQTT_RC_SUCCESS;
	if (p->will.qos > set->max_qos) return MQTT_RC_QOS_NOT_SUPPORTED;        /* [MQTT-3.2.2-12] */
	if (p->will.retain && !set->retain) return MQTT_RC_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-13] */
	return MQTT_RC_SUCCESS;                                                  /* its topic: client_will_topic() */
}

/* ---- to the home worker ---- */

static void arrived(struct sl_post *post, struct sl_loop *l) {
	struct client *c = sl_container_of(post, struct client, move.post);
	struct worker *w = c->move.to;
	c->w = w;
	c->state = CLIENT_CONNECTING;
	sl_list_push_back(&w->clients, &c->link);
	int rc = sl_stream_attach(client_stream(c), l, &w->metrics.v[METRIC_BYTES_IN], &w->metrics.v[METRIC_BYTES_OUT]);
	if (rc != SL_OK || w->draining) {
		client_close(c, SL_EIO);
		return;
	}
	sl_timer_set(l, &c->timer, w->b->set.connect_timeout_ms);
	client_resume(c, CLIENT_PAUSE_CONNECT);
}

/* Deferred: the stream must not leave its loop from inside its own read. */
static void leave(struct sl_deferred *d) {
	struct client *c = sl_container_of(d, struct client, moving);
	if (c->state != CLIENT_MOVING || sl_stream_detach(client_stream(c)) != SL_OK) return;
	sl_timer_cancel(&c->timer);
	sl_list_remove(&c->link);
	worker_post(c->move.to, &c->move);
}

void client_connect_init(struct client *c) { sl_deferred_init(&c->moving, leave); }

static void move_to(struct client *c, struct worker *home) {
	c->state = CLIENT_MOVING;
	c->move = (struct worker_letter){.post.run = arrived, .to = home, .from = c->w};
	client_pause(c, CLIENT_PAUSE_CONNECT);
	sl_loop_defer(c->w->loop, &c->moving);
}

/* ---- who is it ---- */

static enum mqtt_reason verdict_reason(enum auth_verdict verdict) {
	switch (verdict) {
	case AUTH_ALLOWED: return MQTT_RC_SUCCESS;
	case AUTH_DENIED: return MQTT_RC_BAD_USER_NAME_OR_PASSWORD;
	case AUTH_UNAVAILABLE:
	case AUTH_PENDING: break;
	}
	return MQTT_RC_SERVER_UNAVAILABLE;
}

static void auth_told(enum auth_verdict verdict, struct auth_identity *id, void *arg) {
	struct client *c = arg;
	c->auth_job = NULL;
	c->identity = id;
	if (c->state != CLIENT_AUTH) return;
	/* CONNECT is still unread: it is acted upon, or refused, when it is read again. */
	c->state = CLIENT_JUDGED;
	c->verdict = (uint8_t)verdict_reason(verdict);
	client_resume(c, CLIENT_PAUSE_CONNECT);
}

/* Who may decide, decides or is asked: then the answer resumes the client, and this gives AUTH_PENDING. */
static enum auth_verdict ask(struct client *c, const struct mqtt_connect *p) {
	struct worker *w = c->w;
	if (!w->auth) return AUTH_ALLOWED;
	struct auth_request r = {.clientid = p->client_id,
				 .has_username = p->has_username,
				 .has_password = p->has_password,
				 .clean_start = p->clean_start,
				 .version = (uint8_t)p->version,
				 .peer = slice_from_str(c->peer),
				 .listener = slice_from_str(c->bind->name),
				 .tls = client_tls_peer(c),
				 .anonymous = c->bind->limits.anonymous,
				 .username = p->has_username ? p->username : SL_SLICE_EMPTY,
				 .password = p->has_password ? p->password : SL_SLICE_EMPTY};
	enum auth_verdict verdict = auth_check(w->auth, w->loop, &r, &c->auth_job, &c->identity, auth_told, c);
	if (verdict == AUTH_PENDING) {
		c->state = CLIENT_AUTH;
		client_pause(c, CLIENT_PAUSE_CONNECT);
	}
	return verdict;
}

/* False: not now, or refused. */
static bool authenticate(struct client *c, const struct mqtt_connect *p) {
	enum mqtt_reason reason = (enum mqtt_reason)c->verdict;
	if (c->state != CLIENT_JUDGED) {
		enum auth_verdict verdict = ask(c, p);
		if (verdict == AUTH_PENDING) return false;
		reason = verdict_reason(verdict);
	}
	if (event_wanted(c->w, EVENT(CLIENT_AUTHN))) event_authn(c, p, reason);
	return reason == MQTT_RC_SUCCESS || client_refuse(c, p, reason, "auth");
}

/* By which it is known: its certificate or token may say another than CONNECT. */
static struct sl_slice username_of(const struct client *c, const struct mqtt_connect *p) {
	if (c->identity && c->identity->username) return slice_from_str(c->identity->username);
	return p->has_username ? p->username : SL_SLICE_EMPTY;
}

/* ---- the session ---- */

/* An id of our own making whose home is this worker, so that the client need not move. */
static char *assign_id(struct worker *w) {
	for (;;) {
		uint64_t bits[2];
		sl_random_bytes(bits, sizeof bits);
		char *id = sl_asprintf("sl-%016llx%08llx", (unsigned long long)bits[0],
				       (unsigned long long)(bits[1] & 0xffffffff));
		if (worker_home(w->b, slice_from_str(id)) == w) return id;
		sl_free(id);
	}
}

/* The connection that had the session until now [MQTT-3.1.4-3]. NULL: the session has ended with it. */
static struct session *take_over(struct session *s, bool clean_start) {
	struct client *old = s->c;
	bool will_due = old->will_due; /* not when its DISCONNECT has just been read */
	metric_inc(s->w, METRIC_TAKEOVERS);
	client_drop_acks(old);
	client_guard_ended(old, s);
	client_disconnect_as(old, MQTT_RC_SESSION_TAKEN_OVER, clean_start ? "discarded" : "takenover");
	old->s = NULL;
	s->c = NULL;
	if (!will_due) {
		sl_free(s->will);
		s->will = NULL;
	}
	/* A delayed will waits for whether the session goes on [MQTT-3.1.3-9]. */
	if (s->will && (s->will->delay_s == 0 || s->expiry_s == 0)) will_publish(s);
	if (s->expiry_s > 0) return s;
	session_free(s); /* [MQTT-3.1.2-23] */
	return NULL;
}

static struct session *open_session(struct client *c, const struct mqtt_connect *p, struct sl_slice id, bool *present) {
	struct worker *w = c->w;
	struct session *s = session_find(w, id);
	if (s && s->c) s = take_over(s, p->clean_start);
	if (s && p->clean_start) { /* [MQTT-3.1.2-4] */
		will_publish(s);
		session_free(s);
		s = NULL;
	}
	*present = s != NULL;
	if (!s) s = session_new(w, id);
	sl_timer_cancel(&s->timer);
	sl_free(s->will);
	s->will = p->has_will ? will_new(&p->will, username_of(c, p)) : NULL;
	s->c = c;
	c->s = s;
	return s;
}

static void set_limits(struct client *c, struct session *s, const struct mqtt_connect *p) {
	const struct broker_settings *set = &c->w->b->set;
	uint32_t expiry = p->clean_start ? 0 : SESSION_EXPIRY_NEVER; /* 3.x */
	uint32_t window = UINT16_MAX;
	c->keep_alive_s = p->keep_alive_s;
	if (client_is_v5(c)) {
		expiry = mqtt_props_num(&p->props, MQTT_PROP_SESSION_EXPIRY, 0);
		window = mqtt_props_num(&p->props, MQTT_PROP_RECEIVE_MAXIMUM, UINT16_MAX);
		c->aliases_len = set->topic_alias_max;
		uint32_t aliases = mqtt_props_num(&p->props, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0);
		c->alias_max = (uint16_t)(aliases < set->topic_alias_max ? aliases : set->topic_alias_max);
		if (set->keepalive_max_s && (c->keep_alive_s == 0 || c->keep_alive_s > set->keepalive_max_s))
			c->keep_alive_s = set->keepalive_max_s; /* [MQTT-3.1.2-21] */
	}
	s->expiry_s = expiry > set->session_expiry_max_s ? set->session_expiry_max_s : expiry;
	s->window = (uint16_t)(window < set->max_inflight ? window : set->max_inflight);
}

/* Where this client may expect answers: the option's text, each ${clientid} in it replaced (4.10). */
static void put_response_info(const struct client *c, struct sl_buf *out) {
	struct sl_slice rest = slice_from_str(c->w->b->set.response_info), name = SL_SLICE_LIT("${clientid}");
	struct sl_buf text = SL_BUF_INIT;
	while (rest.n > 0) {
		bool here = slice_starts_with(rest, name);
		if (here)
			sl_buf_append_slice(&text, c->s->client_id);
		else
			sl_buf_put(&text, rest.p[0]);
		rest = slice_from(rest, here ? name.n : 1);
	}
	if (text.n <= UINT16_MAX) mqtt_put_bytes(out, MQTT_PROP_RESPONSE_INFO, sl_buf_slice(&text));
	sl_buf_fini(&text);
}

static void connack_props(const struct client *c, const struct mqtt_connect *p, struct sl_buf *out) {
	const struct broker_settings *set = &c->w->b->set;
	uint32_t asked = mqtt_props_num(&p->props, MQTT_PROP_SESSION_EXPIRY, 0);
	if (c->s->expiry_s != asked) mqtt_put_num(out, MQTT_PROP_SESSION_EXPIRY, c->s->expiry_s);
	mqtt_put_num(out, MQTT_PROP_RECEIVE_MAXIMUM, set->receive_maximum);
	if (set->max_qos < 2) mqtt_put_num(out, MQTT_PROP_MAXIMUM_QOS, set->max_qos);
	if (!set->retain) mqtt_put_num(out, MQTT_PROP_RETAIN_AVAILABLE, 0);
	mqtt_put_num(out, MQTT_PROP_MAXIMUM_PACKET_SIZE, c->bind->limits.max_packet_size);
	if (p->client_id.n == 0) mqtt_put_bytes(out, MQTT_PROP_ASSIGNED_CLIENT_ID, c->s->client_id);
	if (set->topic_alias_max) mqtt_put_num(out, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, set->topic_alias_max);
	if (c->keep_alive_s != p->keep_alive_s) mqtt_put_num(out, MQTT_PROP_SERVER_KEEP_ALIVE, c->keep_alive_s);
	if (set->response_info && mqtt_props_num(&p->props, MQTT_PROP_REQUEST_RESPONSE_INFO, 0)) /* [MQTT-3.1.2-28] */
		put_response_info(c, out);
	client_auth_connack(c, out);
}

/* A session that would have to be kept, and is not yet. */
static bool wants_keeping(const struct client *c, const struct mqtt_connect *p) {
	bool keep = client_is_v5(c) ? mqtt_props_num(&p->props, MQTT_PROP_SESSION_EXPIRY, 0) > 0 : !p->clean_start;
	return keep && (p->clean_start || !session_find(c->w, p->client_id));
}

/* Its will may have another topic then, in the tick's memory. */
static bool admitted(struct client *c, struct mqtt_connect *p, struct sl_slice id, struct acl_client **acl) {
	struct sl_slice username = username_of(c, p);
	enum mqtt_reason reason = p->has_will ? client_will_topic(c, p, id, username) : MQTT_RC_SUCCESS;
	if (reason != MQTT_RC_SUCCESS) return client_refuse(c, p, reason, "the will's topic");
	return client_guard_known(c, p, username) && client_access_begin(c, p, id, username, acl);
}

void client_welcome(struct client *c, struct mqtt_connect *p) {
	struct worker *w = c->w;
	struct sl_slice username = username_of(c, p);
	if (persist_full(w->b) && wants_keeping(c, p)) {
		client_refuse(c, p, MQTT_RC_QUOTA_EXCEEDED, "the store is full");
		return;
	}
	char *made = p->client_id.n ? NULL : assign_id(w);
	struct sl_slice id = made ? slice_from_str(made) : p->client_id;
	struct acl_client *acl;
	bool present;
	if (!admitted(c, p, id, &acl)) {
		sl_free(made);
		return;
	}
	struct session *s = open_session(c, p, id, &present);
	sl_free(made);
	client_access_open(s, acl, present);
	set_limits(c, s, p);
	c->state = CLIENT_CONNECTED;
	c->will_due = true;
	c->serial = ++w->serials;
	c->connected_ms = sl_loop_wall_ms(w->loop);
	worker_client_in(w);
	c->clean_start = p->clean_start;
	if (username.n || p->has_username) c->username = slice_dup(username);
	persist_hold(s, persist_connected(s)); /* CONNACK says what is on disk */
	struct sl_buf props = SL_BUF_INIT;
	if (client_is_v5(c)) connack_props(c, p, &props);
	/* [MQTT-3.2.2-2]; 3.1 has no such flag. */
	bool taken = send_connack(c, present && c->version != MQTT_V31, MQTT_RC_SUCCESS, &props);
	sl_buf_fini(&props);
	if (!taken) return;
	metric_inc(w, METRIC_CONNECTS_ACCEPTED);
	if (w->rules) rules_connection_closed(w->rules, s->client_id); /* one that was taken over */
	if (event_wanted(w, EVENTS_PRESENCE_BEGIN)) event_connected(c, p);
	if (c->keep_alive_s)
		sl_timer_set(w->loop, &c->timer, (uint64_t)c->keep_alive_s * 1500);
	else
		sl_timer_cancel(&c->timer);
	if (s->shares.len) share_sub_online(s, true);
	client_lease_begin(c);
	if (c->state != CLIENT_CONNECTED) return;
	if (w->b->set.auto_subscribe_len) client_auto_subscribe(c);
	session_resume(s);
}

bool client_connect(struct client *c, const struct mqtt_frame *f) {
	struct mqtt_connect p = {.version = (enum mqtt_version)0};
	enum mqtt_reason reason = MQTT_RC_MALFORMED_PACKET;
	int rc = mqtt_decode_connect(f, &p, &reason);
	if (rc != SL_OK) return bad_connect(c, rc, reason, (uint8_t)p.version);
	c->version = (uint8_t)p.version;
	c->packet_max = mqtt_props_num(&p.props, MQTT_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
	c->problem_info = mqtt_props_num(&p.props, MQTT_PROP_REQUEST_PROBLEM_INFO, 1) != 0;
	reason = judge(c, &p);
	if (reason != MQTT_RC_SUCCESS) return client_refuse(c, &p, reason, mqtt_reason_name(reason));
	if (!client_guard_connect(c, &p)) return false;
	struct worker *home = p.client_id.n ? worker_home(c->w->b, p.client_id) : c->w;
	if (home != c->w) {
		move_to(c, home);
		return false;
	}
	if (mqtt_props_has(&p.props, MQTT_PROP_AUTH_METHOD)) return client_auth_begin(c, &p, f);
	if (!authenticate(c, &p)) return false;
	metric_inc(c->w, METRIC_PACKETS_IN);
	client_welcome(c, &p);
	return true;
}
