/* queue_apply.c: what each record of the queue log does to the picture of its session. See queue_record.h. */
#include "mem.h"
#include "queue_replay_int.h"

/* A walk through a frame. `also`: of the last delivery, for records that say the same of another session. */
struct walk {
	struct queue_replay *r;
	struct sl_slice rest;
	uint64_t last_id;
	uint32_t next;
	struct {
		struct msg *m; /* borrowed; NULL: it is not there */
		uint32_t log_id;
		struct sub_ids *ids;
		uint8_t flags;
	} also;
};

static uint64_t id_hash(uint64_t id) { return id * 0x9e3779b97f4a7c15u; }
static uint64_t number_hash(uint32_t number) { return (uint64_t)number * 0x9e3779b97f4a7c15u >> 16; }

/* ---- sessions ---- */

static struct queue_image *image_find(struct queue_replay *r, uint64_t id) {
	struct image_slot *slot = image_map_find(&r->images, id_hash(id), id);
	return slot ? slot->image : NULL;
}

/* NULL: nobody has a session of that number. */
static struct queue_image *image_of(struct queue_replay *r, uint64_t id) {
	struct queue_image *image = image_find(r, id);
	if (image || !r->opts.known(r->opts.arg, id)) return image;
	image = SL_NEW(struct queue_image);
	image->id = id;
	bool was_there;
	image_map_put(&r->images, id_hash(id), id, &was_there)->image = image;
	return image;
}

static void image_clear(struct queue_image *image) {
	inflight_fini(&image->out);
	msg_queue_fini(&image->queue);
	id_set_fini(&image->in);
	id_set_fini(&image->open);
}

static void waits(struct queue_image *image, uint32_t log_id, const struct queue_delivery *d) {
	struct msg_queue_entry e = {.m = msg_ref(d->m),
				    .ids = d->ids ? sub_ids_copy(d->ids->id, d->ids->n, d->ids->group) : NULL,
				    .log_id = log_id,
				    .qos = d->qos,
				    .retain = d->retain};
	msg_queue_push(&image->queue, &e);
}

void queue_replay_add(struct queue_replay *r, uint64_t id, const struct queue_delivery *d) {
	struct queue_image *image = image_of(r, id);
	if (image) waits(image, UINT32_MAX, d);
}

static void is_sent(struct queue_image *image, uint32_t log_id, const struct queue_delivery *d, uint16_t packet_id) {
	struct inflight_entry *old = inflight_find(&image->out, packet_id);
	if (old) inflight_remove(&image->out, old); /* its end was in what was cut */
	struct inflight_entry *e =
	    inflight_put(&image->out, packet_id, d->qos, msg_ref(d->m),
			 d->ids ? sub_ids_copy(d->ids->id, d->ids->n, d->ids->group) : NULL, d->retain);
	e->log_id = log_id;
}

static bool waiting_place(const struct queue_image *image, uint32_t log_id, uint32_t *place) {
	for (uint32_t i = 0; i < image->queue.len; i++) {
		if (msg_queue_at(&image->queue, i)->log_id != log_id) continue;
		*place = i;
		return true;
	}
	return false;
}

/* ---- reading ---- */

static bool get_uint(struct walk *w, uint64_t *v) { return queue_get_uint(&w->rest, v); }

static bool get_bytes(struct walk *w, size_t n, struct sl_slice *out) {
	if (w->rest.n < n) return false;
	*out = slice_make(w->rest.p, n);
	w->rest = slice_from(w->rest, n);
	return true;
}

static bool get_id(struct walk *w, uint64_t *id) {
	uint64_t difference;
	if (!get_uint(w, &difference)) return false;
	*id = w->last_id += queue_unzigzag(difference);
	return true;
}

static bool get_packet(struct walk *w, uint16_t *packet_id) {
	struct sl_slice bytes;
	if (!get_bytes(w, 2, &bytes)) return false;
	*packet_id = (uint16_t)((uint8_t)bytes.p[0] | (unsigned)(uint8_t)bytes.p[1] << 8);
	return true;
}

static bool get_number(struct walk *w, uint32_t *number) {
	uint64_t back;
	if (!get_uint(w, &back) || back > UINT32_MAX) return false;
	*number = w->next - (uint32_t)back;
	return true;
}

static struct msg *body_find(struct walk *w, uint32_t number) {
	struct number_slot *slot = number_map_find(&w->r->numbers, number_hash(number), number);
	return slot ? slot->m : NULL;
}

/* ---- bodies ---- */

static bool props_read(struct sl_slice raw, uint64_t expiry, struct mqtt_props *props) {
	struct mqtt_prop_item it;
	mqtt_props_init(props);
	props->raw = raw;
	for (struct sl_slice rest = raw; rest.n > 0;) {
		if (!mqtt_props_next(&rest, &it)) return false;
		props->present |= 1u << it.prop;
		if (it.prop == MQTT_PROP_MESSAGE_EXPIRY) return false; /* it stands in the record */
	}
	if (expiry == 0) return true;
	props->present |= 1u << MQTT_PROP_MESSAGE_EXPIRY;
	props->v[MQTT_PROP_MESSAGE_EXPIRY].num = (uint32_t)(expiry - 1);
	return true;
}

static bool body(struct walk *w) {
	enum { ARRIVED, EXPIRY, TOPIC, PAYLOAD, PROPS, CLIENT_ID, USERNAME, NUMBERS };
	struct sl_slice head, part[NUMBERS];
	uint64_t v[NUMBERS];
	if (!get_bytes(w, 2, &head) || ((uint8_t)head.p[0] & QUEUE_FLAG_QOS) > 2) return false;
	for (int i = 0; i < NUMBERS; i++)
		if (!get_uint(w, &v[i])) return false;
	if (v[TOPIC] == 0 || v[TOPIC] > UINT16_MAX || v[CLIENT_ID] > UINT16_MAX || v[USERNAME] > UINT16_MAX)
		return false;
	for (int i = TOPIC; i < NUMBERS; i++)
		if (v[i] > w->rest.n || !get_bytes(w, (size_t)v[i], &part[i])) return false;
	struct mqtt_props props;
	if (v[EXPIRY] > UINT32_MAX || !props_read(part[PROPS], v[EXPIRY], &props)) return false;
	uint32_t number = w->next++;
	if (w->next == 0) w->next = 1;
	bool was_there;
	struct number_slot *slot = number_map_put(&w->r->numbers, number_hash(number), number, &was_there);
	if (was_there) msg_unref(slot->m); /* the numbers have gone round */
	slot->number = number;
	slot->m = msg_new(&(struct msg_spec){.topic = part[TOPIC],
					     .payload = part[PAYLOAD],
					     .client_id = part[CLIENT_ID],
					     .username = part[USERNAME],
					     .props = &props,
					     .arrived_ms = (int64_t)v[ARRIVED],
					     .qos = (uint8_t)head.p[0] & QUEUE_FLAG_QOS,
					     .retain = ((uint8_t)head.p[0] & QUEUE_FLAG_RETAIN) != 0,
					     .hops = (uint8_t)head.p[1]});
	w->r->stat.messages++;
	return true;
}

/* ---- deliveries ---- */

static bool get_ids(struct walk *w) {
	uint64_t n, id;
	if (!get_uint(w, &n) || n == 0 || n > w->rest.n) return false;
	struct sub_ids *ids = sl_zalloc(sizeof *ids + (size_t)n * sizeof ids->id[0]);
	w->also.ids = ids;
	ids->n = (uint32_t)n;
	for (uint32_t i = 0; i < ids->n; i++) {
		if (!get_uint(w, &id) || id > UINT32_MAX) return false;
		ids->id[i] = (uint32_t)id;
	}
	return true;
}

static bool get_delivery(struct walk *w) {
	struct sl_slice flags;
	sl_free(w->also.ids);
	w->also.ids = NULL;
	w->also.m = NULL;
	if (!get_bytes(w, 1, &flags) || !get_number(w, &w->also.log_id)) return false;
	w->also.flags = (uint8_t)flags.p[0];
	if ((w->also.flags & QUEUE_FLAG_QOS) > 2) return false;
	if ((w->also.flags & QUEUE_FLAG_IDS) && !get_ids(w)) return false;
	if (w->also.flags & QUEUE_FLAG_GROUP) {
		if (!w->also.ids) w->also.ids = SL_NEW(struct sub_ids);
		w->also.ids->group = SUB_IDS_SOME_GROUP;
	}
	w->also.m = body_find(w, w->also.log_id);
	return true;
}

/* packet_id 0: it waits. */
static bool deliver(struct walk *w, uint64_t id, uint16_t packet_id, bool sent) {
	struct queue_image *image = image_of(w->r, id);
	if (sent && (packet_id == 0 || (w->also.flags & QUEUE_FLAG_QOS) == 0)) return false;
	if (!image || !w->also.m) return true; /* its body was in what was cut */
	struct queue_delivery d = {.m = w->also.m,
				   .ids = w->also.ids,
				   .qos = w->also.flags & QUEUE_FLAG_QOS,
				   .retain = (w->also.flags & QUEUE_FLAG_RETAIN) != 0};
	if (sent)
		is_sent(image, w->also.log_id, &d, packet_id);
	else
		waits(image, w->also.log_id, &d);
	return true;
}

static bool delivery(struct walk *w, enum queue_op op) {
	bool sent = op == QUEUE_SENT_NOW || op == QUEUE_ALSO_SENT;
	uint64_t id;
	uint16_t packet_id = 0;
	if (!get_id(w, &id) || (sent && !get_packet(w, &packet_id))) return false;
	if ((op == QUEUE_QUEUED || op == QUEUE_SENT_NOW) && !get_delivery(w)) return false;
	return deliver(w, id, packet_id, sent);
}

static bool leaves_queue(struct walk *w, enum queue_op op) {
	uint64_t id;
	uint32_t number, place;
	uint16_t packet_id = 0;
	if (!get_id(w, &id) || !get_number(w, &number)) return false;
	if (op == QUEUE_SENT && (!get_packet(w, &packet_id) || packet_id == 0)) return false;
	struct queue_image *image = image_find(w->r, id);
	if (!image || !waiting_place(image, number, &place)) return true;
	struct msg_queue_entry e = msg_queue_remove(&image->queue, place);
	if (op == QUEUE_SENT && e.qos > 0)
		is_sent(image, number,
			&(struct queue_delivery){.m = e.m, .ids = e.ids, .qos = e.qos, .retain = e.retain}, packet_id);
	msg_queue_entry_drop(&e);
	return true;
}

/* ---- packet ids ---- */

static void release(struct queue_image *image, uint16_t packet_id) {
	if (inflight_find(&image->out, packet_id)) return;
	struct inflight_entry *e = inflight_put(&image->out, packet_id, 2, NULL, NULL, false);
	e->state = INFLIGHT_PUBCOMP;
	e->log_id = UINT32_MAX;
}

static void packet_op(struct queue_image *image, enum queue_op op, uint16_t packet_id) {
	struct inflight_entry *e = inflight_find(&image->out, packet_id);
	if (op == QUEUE_DONE && e) inflight_remove(&image->out, e);
	if (op == QUEUE_RECEIVED && e && e->state == INFLIGHT_PUBREC) inflight_release(&image->out, e);
	if (op == QUEUE_RELEASE) release(image, packet_id);
	if ((op == QUEUE_IN || op == QUEUE_IN_OPEN) && !id_set_has(&image->in, packet_id)) {
		id_set_add(&image->in, packet_id);
		if (op == QUEUE_IN_OPEN) id_set_add(&image->open, packet_id);
	}
	if (op == QUEUE_SETTLED || op == QUEUE_RELEASED) id_set_remove(&image->open, packet_id);
	if (op == QUEUE_RELEASED) id_set_remove(&image->in, packet_id);
	if (op == QUEUE_RESET) {
		image_clear(image);
		image->out.last_id = packet_id;
	}
}

static bool packet(struct walk *w, enum queue_op op) {
	uint64_t id;
	uint16_t packet_id;
	if (!get_id(w, &id) || !get_packet(w, &packet_id) || (packet_id == 0 && op != QUEUE_RESET)) return false;
	struct queue_image *image = image_of(w->r, id);
	if (image) packet_op(image, op, packet_id);
	return true;
}

/* ---- between workers ---- */

static bool out(struct walk *w) {
	struct replay_run *run = &w->r->run;
	uint64_t to, seq, share_n;
	uint32_t number;
	struct sl_slice share;
	if (!get_uint(w, &to) || !get_uint(w, &seq) || !get_number(w, &number) || !get_uint(w, &share_n)) return false;
	if (to > UINT16_MAX || share_n > w->rest.n || !get_bytes(w, (size_t)share_n, &share)) return false;
	struct msg *m = body_find(w, number);
	if (!m) return true;
	SL_GROW(run->out, run->out_len, run->out_cap);
	run->out[run->out_len++] = (struct replay_out){.seq = seq,
						       .from = w->r->worker,
						       .to = (uint32_t)to,
						       .m = msg_ref(m),
						       .share = slice_make(slice_dup(share), share.n)};
	return true;
}

static struct replay_seen *seen_of(struct replay_run *run, uint32_t from, uint32_t to) {
	for (size_t i = 0; i < run->seen_len; i++)
		if (run->seen[i].from == from && run->seen[i].to == to) return &run->seen[i];
	SL_GROW(run->seen, run->seen_len, run->seen_cap);
	run->seen[run->seen_len] = (struct replay_seen){.from = from, .to = to};
	return &run->seen[run->seen_len++];
}

static bool seen(struct walk *w) {
	uint64_t from, seq;
	if (!get_uint(w, &from) || !get_uint(w, &seq) || from > UINT8_MAX) return false;
	struct replay_seen *s = seen_of(&w->r->run, (uint32_t)from, w->r->worker);
	if (seq > s->seq) s->seq = seq;
	return true;
}

static void run_clear(struct replay_run *run) {
	for (size_t i = 0; i < run->out_len; i++) {
		msg_unref(run->out[i].m);
		sl_free((char *)run->out[i].share.p);
	}
	sl_free(run->out);
	sl_free(run->seen);
	*run = (struct replay_run){0};
}

void queue_apply_run_end(struct queue_replay *r) {
	struct replay_run *run = &r->run;
	for (size_t i = 0; i < run->out_len; i++) {
		struct replay_out *o = &run->out[i];
		if (o->seq <= seen_of(run, o->from, o->to)->seq || !r->opts.pending) continue;
		r->opts.pending(r->opts.arg, r,
				&(struct queue_pending){.m = o->m,
							.share = o->share,
							.to = o->to,
							.workers = run->workers,
							.home_seed = run->home_seed});
	}
	run_clear(run);
}

void queue_apply_log_end(struct queue_replay *r) {
	HMAP_FOREACH(number_map, it, &r->numbers) msg_unref(it->m);
	number_map_fini(&r->numbers);
}

static bool record(struct walk *w, enum queue_op op) {
	switch (op) {
	case QUEUE_MSG: return body(w);
	case QUEUE_QUEUED:
	case QUEUE_ALSO_QUEUED:
	case QUEUE_SENT_NOW:
	case QUEUE_ALSO_SENT: return delivery(w, op);
	case QUEUE_SENT:
	case QUEUE_DROPPED: return leaves_queue(w, op);
	case QUEUE_DONE:
	case QUEUE_RECEIVED:
	case QUEUE_IN:
	case QUEUE_IN_OPEN:
	case QUEUE_SETTLED:
	case QUEUE_RELEASED:
	case QUEUE_RESET:
	case QUEUE_RELEASE: return packet(w, op);
	case QUEUE_OUT: return out(w);
	case QUEUE_SEEN: return seen(w);
	case QUEUE_OP_NONE:
	case QUEUE_OP_COUNT: break;
	}
	return false;
}

bool queue_apply(struct queue_replay *r, uint32_t first, struct sl_slice records) {
	struct walk w = {.r = r, .rest = records, .next = first};
	bool good = first != 0;
	while (good && w.rest.n > 0) {
		uint8_t op = (uint8_t)*w.rest.p;
		w.rest = slice_from(w.rest, 1);
		good = op < QUEUE_OP_COUNT && record(&w, (enum queue_op)op);
		r->stat.records++;
	}
	sl_free(w.also.ids);
	return good;
}
