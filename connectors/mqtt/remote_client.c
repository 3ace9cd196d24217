/* remote_client.c: see remote_client.h. */
#include "remote_client.h"

#include "log.h"
#include "mem.h"
#include "remote_errors.h"

/* So many bytes may wait for the socket; then rows wait. */
#define OUT_HIGH (512 * 1024)
#define NO_SLOT UINT32_MAX

static struct remote_client *client_of(struct remote *r) { return sl_container_of(r, struct remote_client, r); }

/* ---- Slots. ---- */

static void slots_clear(struct remote_client *c) {
	for (uint32_t i = 0; i < c->slots_n; i++)
		c->slots[i] = (struct remote_slot){.next_free = i + 1 < c->slots_n ? i + 1 : NO_SLOT};
	c->free = c->slots_n ? 0 : NO_SLOT;
	c->out = 0;
}

static struct remote_slot *slot_find(struct remote_client *c, uint16_t packet_id) {
	if (packet_id == 0 || packet_id > c->slots_n || !c->slots[packet_id - 1].job) return NULL;
	return &c->slots[packet_id - 1];
}

static void slot_free(struct remote_client *c, struct remote_slot *slot) {
	uint32_t i = (uint32_t)(slot - c->slots);
	*slot = (struct remote_slot){.next_free = c->free};
	c->free = i;
	c->out--;
}

/* ---- Jobs. ---- */

/* A right is missing. Where others get in, to other topics, it is these rows' own fault; with one topic for all it cannot be. */
static void denied_decide(struct remote_job *j) {
	struct sl_batch *b = j->b;
	bool others = false;
	if (j->denied_n == 0) return;
	for (uint32_t i = 0; i < b->count; i++) others = others || b->result[i] == SL_RESULT_DONE;
	for (uint32_t i = 0; i < b->count && others; i++) {
		if (!j->denied[i]) continue;
		b->result[i] = j->plan->topic_constant ? SL_RESULT_LOST : SL_RESULT_REJECT;
		sl_batch_reason(b, i, "Not authorized: the broker does not let us publish to this topic");
	}
	if (others && j->plan->topic_constant) sl_batch_again(b); /* the right has just come, or gone */
	if (others) return;
	const char *advice =
	    "the broker does not let us publish there (Not authorized); give our user the right to write topic `%s`";
	if (j->plan->topic_constant)
		sl_batch_not_ready(b, advice, j->plan->conf->topic);
	else
		sl_batch_in_doubt(b, advice, j->plan->conf->topic);
}

static void job_end(struct remote_job *j) {
	struct sl_batch *b = j->b;
	sl_list_remove(&j->link);
	denied_decide(j);
	sl_free(j->denied);
	sl_free(j);
	sl_batch_done(b);
}

static void row_settle(struct remote_job *j, uint32_t row, enum sl_result result) {
	j->b->result[row] = (uint8_t)result;
	j->left--;
}

static void row_refused(struct remote_job *j, uint32_t row, const struct mqtt_ack *a) {
	enum sl_result result = remote_reason_result(a->reason);
	struct sl_slice said = mqtt_props_bytes(&a->props, MQTT_PROP_REASON_STRING);
	if (result == SL_RESULT_PENDING) {
		if (!j->denied) j->denied = SL_NEW_ARRAY(bool, j->b->count);
		j->denied[row] = true;
		j->denied_n++;
		j->left--; /* decided when all others are */
		return;
	}
	if (result == SL_RESULT_THROTTLED) j->b->wait_ms = REMOTE_QUOTA_WAIT_MS;
	sl_batch_reason(j->b, row, "%s%s%.*s", mqtt_reason_name(a->reason), said.n ? ": " : "",
			SL_SLICE_ARG(slice_sub(said, 0, sl_min_size(said.n, 1000))));
	row_settle(j, row, result);
}

/* ---- Sending. ---- */

/* What is lost of a row for the broker does not have it is said once. */
static void lowered_say(struct remote_client *c) {
	if (c->lowered || (c->limits.qos_max == 2 && c->limits.retain)) return;
	c->lowered = true;
	log_always(LOG_INFO, LOG_CONN, "the other broker takes less than MQTT has", "connector=%s qos_max=%u retain=%s",
		   sl_conn_name(c->conn), c->limits.qos_max, c->limits.retain ? "true" : "false");
}

static void row_send(struct remote_client *c, struct remote_job *j, uint32_t row) {
	uint8_t qos = remote_row_qos(j->plan, j->b->row[row], &c->limits);
	bool counted = qos == 1 || qos == 2;
	uint32_t slot = counted ? c->free : NO_SLOT;
	sl_buf_clear(&c->why);
	int rc = remote_row_encode(j->plan, j->b->row[row], &c->limits, (uint16_t)(counted ? slot + 1 : 0),
				   remote_out(&c->r), &qos, &c->why);
	if (rc != SL_OK) {
		sl_batch_reason(j->b, row, "%s", sl_buf_cstr(&c->why));
		row_settle(j, row, SL_RESULT_REJECT);
		return;
	}
	if (!counted) {
		row_settle(j, row, SL_RESULT_DONE);
		return;
	}
	c->free = c->slots[slot].next_free;
	c->slots[slot] = (struct remote_slot){.job = j, .row = row, .qos = qos};
	c->out++;
}

static bool has_room(struct remote_client *c) {
	if (c->out >= c->window) return false;
	if (sl_stream_pending(remote_stream(&c->r)) < OUT_HIGH) return true;
	sl_stream_tell_drained(remote_stream(&c->r));
	return false;
}

/* Rows in the order of their batches. A batch that ends may bring the next one. */
static void pump(struct remote_client *c) {
	if (c->pumping) return;
	c->pumping = true;
	while (c->r.state == REMOTE_READY && !sl_list_empty(&c->unsent) && has_room(c)) {
		struct remote_job *j = SL_LIST_ENTRY(c->unsent.next, struct remote_job, link);
		row_send(c, j, j->next++);
		if (j->next < j->b->count) continue;
		sl_list_remove(&j->link);
		sl_list_push_back(&c->sent, &j->link);
		if (j->left == 0) job_end(j);
	}
	c->pumping = false;
}

int remote_client_submit(struct remote_client *c, const struct remote_plan *plan, struct sl_batch *b) {
	struct remote_job *j = SL_NEW(struct remote_job);
	*j = (struct remote_job){.plan = plan, .b = b, .left = b->count};
	sl_list_push_back(&c->unsent, &j->link);
	pump(c);
	return SL_OK;
}

/* ---- Acknowledgements. ---- */

static void exchange_end(struct remote_client *c, struct remote_slot *slot, const struct mqtt_ack *a) {
	struct remote_job *j = slot->job;
	uint32_t row = slot->row;
	slot_free(c, slot);
	if (a->reason >= 0x80 && a->reason != MQTT_RC_PACKET_ID_NOT_FOUND)
		row_refused(j, row, a);
	else
		row_settle(j, row, SL_RESULT_DONE);
	if (j->left == 0 && j->next == j->b->count) job_end(j);
}

static void on_ack(struct remote_client *c, enum mqtt_type type, const struct mqtt_ack *a) {
	struct remote_slot *slot = slot_find(c, a->packet_id);
	bool right = slot && (type == MQTT_PUBACK   ? slot->qos == 1
			      : type == MQTT_PUBREC ? slot->qos == 2
						    : slot->qos == 2 && slot->received);
	if (!right) {
		remote_disconnect(&c->r, MQTT_RC_PROTOCOL_ERROR, "the broker acknowledged what it was not sent");
		return;
	}
	if (type == MQTT_PUBREC && a->reason < 0x80) {
		slot->received = true;
		mqtt_encode_ack_plain(MQTT_PUBREL, a->packet_id, remote_out(&c->r));
		return;
	}
	exchange_end(c, slot, a);
	pump(c);
}

static void on_packet(struct remote *r, const struct mqtt_packet *p) {
	struct remote_client *c = client_of(r);
	switch (p->type) {
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBCOMP: on_ack(c, p->type, &p->ack); return;
	case MQTT_CONNECT:
	case MQTT_CONNACK:
	case MQTT_PUBLISH: /* nothing is subscribed here */
	case MQTT_PUBREL:
	case MQTT_SUBSCRIBE:
	case MQTT_SUBACK:
	case MQTT_UNSUBSCRIBE:
	case MQTT_UNSUBACK:
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
	case MQTT_DISCONNECT:
	case MQTT_AUTH: remote_disconnect(r, MQTT_RC_PROTOCOL_ERROR, "the broker sent what nobody asked for"); return;
	}
}

static void on_drain(struct remote *r) { pump(client_of(r)); }

/* ---- Up and down. ---- */

static void on_ready(struct remote *r, const struct mqtt_connack *ack) {
	struct remote_client *c = client_of(r);
	(void)ack;
	c->limits = (struct remote_limits){.version = remote_version(r),
					   .packet_max = r->peer.packet_max,
					   .qos_max = r->peer.qos_max,
					   .retain = r->peer.retain};
	c->window = (uint32_t)c->conf->max_inflight;
	if (c->window > r->peer.receive_maximum) c->window = r->peer.receive_maximum;
	lowered_say(c);
	sl_conn_up(c->conn);
	pump(c);
}

/* All rows that are out, or were to go, come again. */
static void jobs_lose(struct remote_client *c, const char *text) {
	for (uint32_t i = 0; i < c->slots_n; i++)
		if (c->slots[i].job) c->slots[i].job->b->repeats++;
	slots_clear(c);
	struct sl_list lost;
	sl_list_init(&lost);
	sl_list_splice_back(&lost, &c->sent);
	sl_list_splice_back(&lost, &c->unsent);
	for (struct sl_list *it; (it = sl_list_pop_front(&lost));) {
		struct remote_job *j = SL_LIST_ENTRY(it, struct remote_job, link);
		struct sl_batch *b = j->b;
		sl_free(j->denied);
		sl_free(j);
		sl_batch_fill(b, SL_RESULT_LOST, text);
		sl_batch_done(b);
	}
}

static void on_down(struct remote *r, int status, const char *text) {
	struct remote_client *c = client_of(r);
	jobs_lose(c, text);
	sl_conn_down(c->conn, status, "%s", text);
}

static void close_finish(struct remote_client *c) {
	if (!c->closing || c->closed || !remote_idle(&c->r)) return;
	c->closed = true;
	sl_conn_closed(c->conn);
}
static void on_idle(struct remote *r) { close_finish(client_of(r)); }

static const struct remote_events events = {
    .on_ready = on_ready, .on_packet = on_packet, .on_drain = on_drain, .on_down = on_down, .on_idle = on_idle};

int remote_client_open(struct remote_client *c, struct sl_conn *conn, const struct remote_conf *conf,
		       struct sl_err *err) {
	c->conn = conn;
	c->conf = conf;
	sl_list_init(&c->unsent);
	sl_list_init(&c->sent);
	c->slots_n = (uint32_t)conf->max_inflight;
	c->slots = SL_NEW_ARRAY(struct remote_slot, c->slots_n);
	c->client_id = remote_client_id(conf, sl_conn_name(conn), "");
	slots_clear(c);
	/* With one message at a time there is one batch at a time, too: what must come again is not overtaken. */
	if (conf->max_inflight == 1) sl_conn_set_depth(conn, 1);
	return remote_init(&c->r, sl_conn_loop(conn), conf, &events, err);
}

void remote_client_connect(struct remote_client *c) {
	if (c->closing || c->r.state == REMOTE_OPENING) return;
	if (c->r.state == REMOTE_READY) {
		remote_close(&c->r);
		jobs_lose(c, "connecting anew");
	}
	remote_open(&c->r,
		    &(struct remote_login){.client_id = c->client_id, .clean_start = true, .receive_maximum = 1});
}

/* remote.c pings by itself, and ends a connection that does not answer. */
void remote_client_probe(struct remote_client *c) { sl_probe_done(c->conn, SL_OK, NULL); }

static bool is_in(const struct sl_list *jobs, const struct sl_batch *b) {
	SL_LIST_FOREACH(it, jobs) if (SL_LIST_ENTRY(it, struct remote_job, link)->b == b) return true;
	return false;
}

void remote_client_cancel(struct remote_client *c, struct sl_batch *b) {
	if (!is_in(&c->sent, b) && !is_in(&c->unsent, b)) return;
	if (c->r.state == REMOTE_CLOSED)
		jobs_lose(c, sl_conn_cancel_why(c->conn));
	else
		remote_fail(&c->r, SL_EIO, sl_conn_cancel_why(c->conn));
}

void remote_client_close(struct remote_client *c) {
	c->closing = true;
	remote_close(&c->r);
	jobs_lose(c, "closed");
	close_finish(c);
}

void remote_client_fini(struct remote_client *c) {
	if (!c->conn) return;
	remote_fini(&c->r);
	sl_free(c->slots);
	sl_free(c->client_id);
	sl_buf_fini(&c->why);
}

void remote_client_describe(const struct remote_client *c, json_t *out) {
	struct sl_buf text = SL_BUF_INIT;
	remote_describe(&c->r, &text);
	json_object_set_new(out, "clientid", json_string(c->client_id));
	if (text.n) json_object_set_new(out, "protocol", json_string(sl_buf_cstr(&text)));
	json_object_set_new(out, "unacknowledged", json_integer(c->out));
	if (c->r.state == REMOTE_READY) {
		json_object_set_new(out, "window", json_integer(c->window));
		json_object_set_new(out, "max_qos", json_integer(c->limits.qos_max));
	}
	sl_buf_fini(&text);
}
