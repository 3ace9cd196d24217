/* kafka_wire.c: which answer is on its way, by what was asked; see kafka_wire.h. */
#include "kafka_wire.h"

#include <errno.h>
#include <unistd.h>

#include "kafka_fetch.h"
#include "log.h"
#include "mem.h"
#include "outbound.h"

/* A request: length, api, version, correlation id, client id; of a Produce then the transaction (none) and acks. */
enum { SIZE = 4, REQUEST_HEAD = 14, PRODUCE_HEAD = 4, ANSWER_HEAD = 8, API_MAX = 200 };
enum { PRODUCE_TRANSACTIONS = 3 /* from this version on */ };

struct question {
	uint32_t id;
	int16_t api, version;
};

struct kafka_wire {
	struct kafka_client *client;
	char *peer;
	struct sl_slice client_id;
	bool bad; /* nothing more is believed */
	/* Bytes of a mechanism instead of questions and answers, until the next question. */
	bool raw;

	struct sl_buf asking;            /* the head of the request that is being sent */
	size_t asking_size, asking_sent; /* of the whole request; 0: not known yet */
	struct sl_buf fetch;             /* the last Fetch behind its head; librdkafka has one at a time */
	uint32_t fetch_id;
	bool fetching;         /* it is being sent */
	struct question *open; /* without an answer, in their order: [first, first + n) modulo cap */
	size_t first, n, cap;

	uint8_t head[ANSWER_HEAD];
	size_t head_n;
	struct question of;
	size_t size, came;  /* of the answer behind its head */
	uint8_t *body;      /* where librdkafka has it */
	struct sl_buf copy; /* where that is not one piece */
};

static uint32_t u32(const uint8_t *p) {
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static int16_t i16(const uint8_t *p) { return (int16_t)(uint16_t)(p[0] << 8 | p[1]); }

struct kafka_wire *kafka_wire_new(const char *peer, struct kafka_client *client) {
	struct kafka_wire *w = SL_NEW(struct kafka_wire);
	w->client = client;
	w->peer = sl_strdup(peer);
	w->client_id = slice_from_str(client->conf->client_id);
	return w;
}

void kafka_wire_free(struct kafka_wire *w) {
	if (!w) return;
	sl_buf_fini(&w->asking);
	sl_buf_fini(&w->fetch);
	sl_buf_fini(&w->copy);
	sl_free(w->open);
	sl_free(w->peer);
	sl_free(w);
}

/* ---- What is asked. ------------------------------------------------------------------------------------------------------ */

static void open_add(struct kafka_wire *w, struct question q) {
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 16;
		struct question *more = SL_NEW_ARRAY(struct question, cap);
		for (size_t i = 0; i < w->n; i++) more[i] = w->open[(w->first + i) % w->cap];
		sl_free(w->open);
		w->open = more;
		w->cap = cap;
		w->first = 0;
	}
	w->open[(w->first + w->n++) % w->cap] = q;
}

/* Answers come in the order of the questions. */
static bool open_take(struct kafka_wire *w, uint32_t id, struct question *out) {
	if (w->n == 0 || w->open[w->first].id != id) return false;
	*out = w->open[w->first];
	w->first = (w->first + 1) % w->cap;
	w->n--;
	return true;
}

static size_t request_head(const struct kafka_wire *w) { return REQUEST_HEAD + w->client_id.n + PRODUCE_HEAD; }

/* Without `acks` a broker does not answer. */
static bool silent(const struct kafka_wire *w, const struct question *q) {
	size_t at = REQUEST_HEAD + w->client_id.n + (q->version >= PRODUCE_TRANSACTIONS ? 2 : 0);
	return q->api == KAFKA_API_PRODUCE && at + 2 <= w->asking.n && i16((const uint8_t *)w->asking.p + at) == 0;
}

/* The head is there. One that is not ours belongs to a mechanism's bytes. */
static void asked(struct kafka_wire *w) {
	const uint8_t *p = (const uint8_t *)w->asking.p;
	bool request = w->asking.n >= REQUEST_HEAD + w->client_id.n &&
		       (size_t)i16(p + REQUEST_HEAD - 2) == w->client_id.n && i16(p + SIZE) >= 0 &&
		       i16(p + SIZE) < API_MAX &&
		       slice_equal(slice_make((const char *)p + REQUEST_HEAD, w->client_id.n), w->client_id);
	w->raw = !request;
	if (!request) return;
	struct question q = {.id = u32(p + SIZE + 4), .api = i16(p + SIZE), .version = i16(p + SIZE + 2)};
	if (!silent(w, &q)) open_add(w, q);
	w->fetching = q.api == KAFKA_API_FETCH;
	if (!w->fetching) return;
	size_t head = REQUEST_HEAD + w->client_id.n;
	sl_buf_clear(&w->fetch);
	sl_buf_append(&w->fetch, p + head, w->asking.n - head);
	w->fetch_id = q.id;
}

static void sent(struct kafka_wire *w, const uint8_t *p, size_t n) {
	while (n > 0) {
		size_t want = w->asking_size ? sl_min_size(w->asking_size, request_head(w)) : SIZE, step;
		if (w->asking.n < want) {
			step = sl_min_size(want - w->asking.n, n);
			sl_buf_append(&w->asking, p, step);
			if (!w->asking_size && w->asking.n == SIZE)
				w->asking_size = SIZE + u32((const uint8_t *)w->asking.p);
			else if (w->asking_size && w->asking.n == want)
				asked(w);
		} else {
			step = sl_min_size(w->asking_size - w->asking_sent, n);
			if (w->fetching) sl_buf_append(&w->fetch, p, step);
		}
		w->asking_sent += step;
		p += step;
		n -= step;
		if (!w->asking_size || w->asking_sent < w->asking_size) continue;
		sl_buf_clear(&w->asking);
		w->asking_size = w->asking_sent = 0;
		w->fetching = false;
	}
}

void kafka_wire_sent(struct kafka_wire *w, const struct iovec *iov, size_t count, size_t n) {
	for (size_t i = 0; i < count && n > 0; i++) {
		size_t step = sl_min_size(iov[i].iov_len, n);
		sent(w, iov[i].iov_base, step);
		n -= step;
	}
}

/* ---- What is answered. --------------------------------------------------------------------------------------------------- */

/* Says why, in the log and to whoever tells of the connector's state. */
static bool nonsense(struct kafka_wire *w, size_t at, const char *what) {
	char *why = sl_asprintf("%s answered %s v%d with nonsense at byte %zu: %s", w->peer,
				kafka_answer_name(w->of.api), w->of.version, at, what);
	log_warn(LOG_CONN, "kafka answer refused", "name=%s why=%s", w->client->name, why);
	sl_free(atomic_exchange(&w->client->nonsense, why));
	w->bad = true;
	return false;
}

static bool strange(struct kafka_wire *w, const char *what) {
	w->of = w->n ? w->open[w->first] : (struct question){.api = -1};
	return nonsense(w, 0, what);
}

static bool answer_begins(struct kafka_wire *w) {
	uint32_t size = u32(w->head);
	if (w->n == 0) return strange(w, "nothing was asked");
	if (size < ANSWER_HEAD - SIZE) return strange(w, "its length is none");
	if (!open_take(w, u32(w->head + SIZE), &w->of)) return strange(w, "it is the answer to another question");
	if (size > kafka_answer_max(w->of.api)) return nonsense(w, 0, "it is too long");
	w->size = size - (ANSWER_HEAD - SIZE);
	w->came = 0;
	return true;
}

/* librdkafka reads into one piece of memory, of which a part may be there from an earlier call. Were it several, they would be
 * put together here. */
static void body_add(struct kafka_wire *w, uint8_t *p, size_t n) {
	if (w->came == 0) w->body = p;
	if (w->copy.n == 0 && w->body + w->came != p) sl_buf_append(&w->copy, w->body, w->came);
	if (w->copy.n > 0) sl_buf_append(&w->copy, p, n);
	w->came += n;
}

/* Records that are damaged hold up their partition: librdkafka tells of it as of any error of the broker's. */
static void damaged(struct kafka_wire *w, const struct kafka_damage *d) {
	char *why = sl_asprintf("%s answered Fetch v%d with damaged records of %.*s [%d]: %s; they are asked for again",
				w->peer, w->of.version, (int)d->topic.n, d->topic.p, (int)d->partition, d->what);
	log_warn(LOG_CONN, "kafka records refused", "name=%s why=%s", w->client->name, why);
	sl_free(atomic_exchange(&w->client->nonsense, why));
}

static bool records_check(struct kafka_wire *w, uint8_t *p, struct kafka_fault *fault) {
	struct kafka_damage damage;
	bool known = w->of.api == KAFKA_API_FETCH && w->of.id == w->fetch_id && w->of.version <= KAFKA_FETCH_VERSIONS;
	if (!known) return true;
	if (!kafka_fetch_check(w->of.version, sl_buf_slice(&w->fetch), p, w->size, w->copy.n == 0, &damage, fault))
		return false;
	if (damage.what) damaged(w, &damage);
	return true;
}

static bool answer_ends(struct kafka_wire *w) {
	struct kafka_fault fault;
	uint8_t *p = w->copy.n > 0 ? (uint8_t *)w->copy.p : w->body;
	bool fine = kafka_answer_check(w->of.api, w->of.version, p, w->size, &fault) && records_check(w, p, &fault);
	sl_buf_fini(&w->copy);
	w->head_n = 0;
	return fine || nonsense(w, fault.at, fault.what);
}

static bool came(struct kafka_wire *w, uint8_t *p, size_t n) {
	while (n > 0) {
		size_t step;
		if (w->head_n < ANSWER_HEAD) {
			step = sl_min_size(ANSWER_HEAD - w->head_n, n);
			memcpy(w->head + w->head_n, p, step);
			w->head_n += step;
			if (w->head_n == ANSWER_HEAD && !answer_begins(w)) return false;
		} else {
			step = sl_min_size(w->size - w->came, n);
			body_add(w, p, step);
		}
		p += step;
		n -= step;
		if (w->head_n == ANSWER_HEAD && w->came == w->size && !answer_ends(w)) return false;
	}
	return true;
}

bool kafka_wire_came(struct kafka_wire *w, const struct iovec *iov, size_t count, size_t n) {
	for (size_t i = 0; i < count && n > 0 && !w->bad && !w->raw; i++) {
		size_t step = sl_min_size(iov[i].iov_len, n);
		(void)came(w, iov[i].iov_base, step);
		n -= step;
	}
	return !w->bad;
}

/* ---- The life of a connection. ------------------------------------------------------------------------------------------- */

/* Brokers are named by settings, and by other brokers. What is wrong is told by kafka_advice(). */
static bool may_connect(const struct sockaddr *address, const char *peer, struct kafka_client *client) {
	struct sl_err err = SL_ERR_INIT;
	int r = sl_outbound_allows(address, &err);
	if (r != SL_OK) sl_free(atomic_exchange(&client->nonsense, sl_asprintf("%s: %s", peer, sl_err_text(&err))));
	sl_err_fini(&err);
	return r == SL_OK;
}

/* As librdkafka does it itself: begun, and not waited for. */
static int on_connect(int fd, const struct sockaddr *address, int size, const char *peer, void *arg) {
	struct kafka_client *client = arg;
	if (!may_connect(address, peer, client)) return EACCES;
	struct kafka_wire *w = client->conf->tls.given ? NULL : kafka_wire_new(peer, client);
	if (w && !kafka_wire_put(fd, w)) {
		kafka_wire_free(w);
		return EMFILE;
	}
	return connect(fd, address, (socklen_t)size) == 0 || errno == EINPROGRESS ? 0 : errno;
}

/* By itself, so that a sanitizer can be told of it alone: who gets a descriptor's number next looks like a race with us. */
static sl_noinline int system_close(int fd) { return close(fd); }

static int on_close(int fd, void *client) {
	(void)client;
	kafka_wire_free(kafka_wire_take(fd));
	return system_close(fd);
}

void kafka_wire_watch(rd_kafka_conf_t *conf) {
	static atomic_flag told = ATOMIC_FLAG_INIT;
	if (!kafka_wire_in_place() && !atomic_flag_test_and_set(&told))
		log_warn(LOG_CONF, "answers of Kafka brokers are not checked", "why=%s",
			 "this program was linked so that its libraries do not see its functions");
	rd_kafka_conf_set_connect_cb(conf, on_connect);
	rd_kafka_conf_set_closesocket_cb(conf, on_close);
}
