#include "client_auth.h"

#include "auth.h"
#include "auth_scram.h"
#include "client_guard.h"
#include "events.h"
#include "mem.h"

struct client_exchange {
	struct auth *auth;        /* a reference: a reload may bring another while this one goes on */
	struct auth_scram *scram; /* NULL: none under way */
	enum scram_hash hash;
	char *connect; /* the body of CONNECT; NULL once it was acted upon */
	size_t connect_len;
	struct sl_buf answer; /* what the last step gave */
};

/* ---- packets ---- */

static void put_method(const struct client_exchange *x, struct sl_buf *props) {
	mqtt_put_bytes(props, MQTT_PROP_AUTH_METHOD, slice_from_str(scram_method_name(x->hash)));
	if (x->answer.n > 0) mqtt_put_bytes(props, MQTT_PROP_AUTH_DATA, sl_buf_slice(&x->answer));
}

void client_auth_connack(const struct client *c, struct sl_buf *props) {
	if (c->exchange) put_method(c->exchange, props);
}

static void send_auth(struct client *c, enum mqtt_reason reason) {
	struct sl_buf props = SL_BUF_INIT;
	struct mqtt_bye auth = {.reason = reason};
	put_method(c->exchange, &props);
	mqtt_props_init(&auth.props);
	auth.props.raw = sl_buf_slice(&props);
	size_t before = sl_stream_out(client_stream(c))->n;
	mqtt_encode_bye(MQTT_AUTH, &auth, MQTT_V5, sl_stream_out(client_stream(c)));
	sl_buf_fini(&props);
	if (client_may_take(c, before)) metric_inc(c->w, METRIC_PACKETS_OUT);
}

/* ---- the exchange ---- */

static void exchange_new(struct client *c, enum scram_hash hash, struct auth *auth, const struct mqtt_frame *f) {
	struct client_exchange *x = SL_NEW(struct client_exchange);
	x->auth = auth_ref(auth);
	x->hash = hash;
	x->connect = sl_memdup0(f->body.p, f->body.n);
	x->connect_len = f->body.n;
	c->exchange = x;
}

static void forget_connect(struct client_exchange *x) {
	if (x->connect) explicit_bzero(x->connect, x->connect_len); /* a password may be in it */
	sl_free(x->connect);
	x->connect = NULL;
}

void client_auth_free(struct client *c) {
	struct client_exchange *x = c->exchange;
	if (!x) return;
	c->exchange = NULL;
	forget_connect(x);
	auth_scram_free(x->scram);
	auth_unref(x->auth);
	sl_buf_fini(&x->answer);
	sl_free(x);
}

/* The CONNECT that was kept, read once more: it was found good then. */
static void connect_again(const struct client_exchange *x, struct mqtt_connect *p) {
	struct mqtt_frame f = {.type = MQTT_CONNECT, .body = slice_make(x->connect, x->connect_len)};
	enum mqtt_reason reason;
	int rc = mqtt_decode_connect(&f, p, &reason);
	sl_assert(rc == SL_OK);
}

/* A guess counts for the name that was guessed at, whatever CONNECT said, also by who is connected as somebody else. */
static void guess_counts(struct client *c, struct mqtt_connect p) {
	const struct auth_scram *scram = c->exchange ? c->exchange->scram : NULL;
	if (scram && auth_scram_user(scram).n > 0) {
		p.has_username = true;
		p.username = auth_scram_user(scram);
	}
	client_guard_failed(c, &p);
}

/* Before CONNACK a failure is a refusal, after it the end. */
static void fail(struct client *c, enum mqtt_reason reason, const char *why) {
	bool guess = reason == MQTT_RC_NOT_AUTHORIZED;
	if (c->state == CLIENT_CONNECTED) {
		if (guess) guess_counts(c, (struct mqtt_connect){.version = MQTT_V5, .client_id = c->s->client_id});
		client_protocol_error(c, reason, why);
		return;
	}
	struct mqtt_connect p;
	connect_again(c->exchange, &p);
	if (event_wanted(c->w, EVENT(CLIENT_AUTHN))) event_authn(c, &p, reason);
	if (guess) guess_counts(c, p);
	client_refuse(c, &p, reason, why);
}

/* The user is known: a name in CONNECT must be the same, for rights hang on it. */
static void connected(struct client *c) {
	struct client_exchange *x = c->exchange;
	struct mqtt_connect p;
	connect_again(x, &p);
	struct sl_slice user = auth_scram_user(x->scram);
	if (p.has_username && !slice_equal(p.username, user)) {
		fail(c, MQTT_RC_NOT_AUTHORIZED, "the user name of CONNECT is not the one that was proved");
		return;
	}
	p.has_username = true;
	p.username = user;
	if (event_wanted(c->w, EVENT(CLIENT_AUTHN))) event_authn(c, &p, MQTT_RC_SUCCESS);
	client_welcome(c, &p);
	forget_connect(x);
	auth_scram_free(x->scram);
	x->scram = NULL;
}

static void proved_again(struct client *c) {
	struct client_exchange *x = c->exchange;
	if (!c->username || !slice_equal_str(auth_scram_user(x->scram), c->username)) {
		fail(c, MQTT_RC_NOT_AUTHORIZED, "authentication failed"); /* not whether the password was right */
		return;
	}
	send_auth(c, MQTT_RC_SUCCESS);
	auth_scram_free(x->scram);
	x->scram = NULL;
}

static void step(struct client *c, struct sl_slice data) {
	struct client_exchange *x = c->exchange;
	sl_buf_clear(&x->answer);
	switch (auth_scram_step(x->scram, data, &x->answer)) {
	case AUTH_SCRAM_CONTINUE: send_auth(c, MQTT_RC_CONTINUE_AUTHENTICATION); break;
	case AUTH_SCRAM_FAILED: fail(c, MQTT_RC_NOT_AUTHORIZED, "authentication failed"); break;
	case AUTH_SCRAM_DONE:
		if (c->state == CLIENT_CONNECTED)
			proved_again(c);
		else
			connected(c);
		break;
	}
}

static void start(struct client_exchange *x) {
	x->scram = auth_scram_new(&(struct auth_scram_spec){.hash = x->hash, .find = auth_scram_find, .arg = x->auth});
}

bool client_auth_begin(struct client *c, const struct mqtt_connect *p, const struct mqtt_frame *f) {
	struct auth *auth = c->w->auth;
	enum scram_hash hash;
	if (!scram_method(mqtt_props_bytes(&p->props, MQTT_PROP_AUTH_METHOD), &hash) || !auth ||
	    !auth_scram_offered(auth)) /* [MQTT-4.12.0-1] */
		return client_refuse(c, p, MQTT_RC_BAD_AUTHENTICATION_METHOD, "authentication method");
	metric_inc(c->w, METRIC_PACKETS_IN);
	exchange_new(c, hash, auth, f);
	start(c->exchange);
	c->state = CLIENT_EXCHANGE;
	step(c, mqtt_props_bytes(&p->props, MQTT_PROP_AUTH_DATA));
	return true;
}

/* ---- AUTH ---- */

/* [MQTT-4.12.0-3], [MQTT-4.12.1-1]: the method is the one of CONNECT. */
static bool same_method(const struct client *c, const struct mqtt_bye *auth) {
	return mqtt_props_has(&auth->props, MQTT_PROP_AUTH_METHOD) &&
	       slice_equal_str(mqtt_props_bytes(&auth->props, MQTT_PROP_AUTH_METHOD),
			       scram_method_name(c->exchange->hash));
}

void client_auth_packet(struct client *c, const struct mqtt_frame *f) {
	struct mqtt_packet p;
	enum mqtt_reason reason = MQTT_RC_PROTOCOL_ERROR;
	metric_inc(c->w, METRIC_PACKETS_IN);
	if (f->type != MQTT_AUTH && f->type != MQTT_DISCONNECT)
		fail(c, reason, "neither AUTH nor DISCONNECT during authentication");
	else if (mqtt_decode(f, MQTT_V5, MQTT_FROM_CLIENT, &p, &reason) != SL_OK)
		fail(c, reason, "AUTH");
	else if (p.type == MQTT_DISCONNECT)
		client_close(c, SL_ECLOSED);
	else if (p.bye.reason != MQTT_RC_CONTINUE_AUTHENTICATION || !same_method(c, &p.bye))
		fail(c, MQTT_RC_PROTOCOL_ERROR, "AUTH with another reason code or method");
	else
		step(c, mqtt_props_bytes(&p.bye.props, MQTT_PROP_AUTH_DATA));
}

void client_auth_again(struct client *c, const struct mqtt_bye *auth) {
	struct client_exchange *x = c->exchange;
	if (!x) { /* [MQTT-4.12.0-6] */
		client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "AUTH, but CONNECT had no authentication method");
		return;
	}
	bool begins = auth->reason == MQTT_RC_REAUTHENTICATE && !x->scram;
	bool goes_on = auth->reason == MQTT_RC_CONTINUE_AUTHENTICATION && x->scram;
	if (!(begins || goes_on) || !same_method(c, auth)) {
		client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "AUTH out of turn, or with another method");
		return;
	}
	if (begins) { /* with the users of now */
		auth_unref(x->auth);
		x->auth = c->w->auth ? auth_ref(c->w->auth) : NULL;
		if (!x->auth || !auth_scram_offered(x->auth)) {
			client_protocol_error(c, MQTT_RC_BAD_AUTHENTICATION_METHOD, "SCRAM is not offered any more");
			return;
		}
		start(x);
	}
	step(c, mqtt_props_bytes(&auth->props, MQTT_PROP_AUTH_DATA));
}
