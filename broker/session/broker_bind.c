/* broker_bind.c: the broker's listeners: taking addresses, listening, and who is let in. */
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"
#include "listener.h"
#include "log.h"
#include "mem.h"
#include "proxy_wait.h"
#include "tls_server.h"
#include "worker.h"

/* NULL-terminated, as it was. */
static const char *const *copy_texts(const char *const *texts) {
	size_t n = 0;
	if (!texts) return NULL;
	while (texts[n]) n++;
	const char **v = SL_NEW_ARRAY(const char *, n + 1);
	for (size_t i = 0; i < n; i++) v[i] = sl_strdup(texts[i]);
	return v;
}

static struct bind_door *door_of(struct broker *b, const struct broker_bind *from) {
	for (size_t i = 0; i < b->doors_len; i++)
		if (strcmp(b->doors[i]->name, from->name) == 0) return b->doors[i];
	struct bind_door *door = SL_NEW(struct bind_door);
	door->name = sl_strdup(from->name);
	listener_gate_init(&door->gate, from->limits.connects);
	pthread_mutex_lock(&b->binds_lock);
	b->doors = sl_realloc(b->doors, (b->doors_len + 1) * sizeof *b->doors);
	b->doors[b->doors_len++] = door;
	pthread_mutex_unlock(&b->binds_lock);
	return door;
}

void bind_door_free(struct bind_door *door) {
	listener_gate_fini(&door->gate);
	sl_free(door->name);
	sl_free(door);
}

struct bind_state *bind_new(struct broker *b, const struct broker_bind *from) {
	struct bind_state *bind = SL_NEW(struct bind_state);
	struct broker_bind_limits *l = &bind->limits;
	atomic_init(&bind->refs, 1);
	bind->name = sl_strdup(from->name);
	bind->door = door_of(b, from);
	bind->accepts = SL_NEW_ARRAY(struct worker_accept, b->workers_len);
	for (uint32_t i = 0; i < b->workers_len; i++)
		bind->accepts[i] = (struct worker_accept){.w = &b->workers[i], .bind = bind};
	bind->transport = transport_of(from->transport);
	bind->opts = from->opts;
	if (from->opts.tls) tls_server_ref(from->opts.tls);
	bind->opts.path = from->opts.path ? sl_strdup(from->opts.path) : NULL;
	bind->opts.origins = copy_texts(from->opts.origins);
	bind->proxy_protocol = from->proxy_protocol;
	bind->proxy_from_len = from->proxy_from_len;
	bind->proxy_from = SL_NEW_ARRAY(struct sl_cidr, from->proxy_from_len);
	if (from->proxy_from_len)
		memcpy(bind->proxy_from, from->proxy_from, from->proxy_from_len * sizeof *from->proxy_from);
	*l = from->limits;
	if (l->versions == 0) l->versions = BROKER_SPEAKS_ALL;
	if (l->max_packet_size == 0) l->max_packet_size = b->set.max_packet_size;
	/* 256 MB are meant to be all that a packet can have: that is a little more, with its header. */
	if (l->max_packet_size > MQTT_REMAINING_MAX) l->max_packet_size = MQTT_PACKET_MAX;
	if (l->client_id_max == 0) l->client_id_max = b->set.client_id_max;
	bind->connect_max = b->set.connect_packet_max;
	return bind;
}

void bind_unref(struct bind_state *bind) {
	if (atomic_fetch_sub_explicit(&bind->refs, 1, memory_order_acq_rel) != 1) return;
	sl_free(bind->name);
	sl_free(bind->accepts);
	sl_free((char *)(uintptr_t)bind->opts.path);
	for (size_t i = 0; bind->opts.origins && bind->opts.origins[i]; i++)
		sl_free((char *)(uintptr_t)bind->opts.origins[i]);
	sl_free((char **)(uintptr_t)bind->opts.origins);
	sl_free(bind->proxy_from);
	tls_server_unref(bind->opts.tls);
	sl_free(bind);
}

/* The door may go when nobody is left behind it: first the count, and nothing of it afterwards. */
void bind_left(struct bind_state *bind) {
	atomic_fetch_sub_explicit(&bind->door->connections, 1, memory_order_acq_rel);
	bind_unref(bind);
}

/* ---- who is let in --------------------------------------------------------------------------------------- */

/* Else the place and the reference are the connection's. */
static bool full(struct worker_accept *a) {
	uint32_t before = atomic_fetch_add_explicit(&a->bind->door->connections, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->bind->refs, 1, memory_order_relaxed);
	if (before < a->bind->limits.max_connections) return false;
	bind_left(a->bind);
	metric_inc(a->w, METRIC_LISTENER_FULL);
	log_warn(LOG_NET, "connection refused: the listener is full", "listener=%s max_connections=%u", a->bind->name,
		 a->bind->limits.max_connections);
	return true;
}

static void let_in(struct worker_accept *a, int fd, char *peer) {
	client_accept(a->w, a->bind, fd, &(struct client_origin){.peer = peer});
}

/* The proxy has said who it is, or has not. */
static void proxy_told(void *arg, int fd, int status, const struct proxy_proto *who, const char *why) {
	struct worker_accept *a = arg;
	struct sockaddr_storage at;
	socklen_t len = sizeof at;
	if (getpeername(fd, (struct sockaddr *)&at, &len) != 0) {
		len = 0;
		if (status == SL_OK) status = SL_ECLOSED;
	}
	if (status != SL_OK) {
		char *peer = len ? listener_peer_text((struct sockaddr *)&at, len) : NULL;
		if (why)
			log_warn(LOG_NET, "connection refused", "listener=%s peer=%s why=%s", a->bind->name,
				 peer ? peer : "gone", why);
		sl_free(peer);
		metric_inc(a->w, METRIC_PROXY_REFUSED);
		close(fd);
		bind_left(a->bind);
	} else if (who->local) {
		let_in(a, fd, listener_peer_of(fd, (struct sockaddr *)&at, len));
	} else {
		struct client_origin o = {.peer =
					      listener_peer_text((const struct sockaddr *)&who->from, who->from_len),
					  .sock = listener_peer_text((const struct sockaddr *)&who->to, who->to_len),
					  .common_name = who->common_name.n ? slice_dup(who->common_name) : NULL};
		client_accept(a->w, a->bind, fd, &o);
	}
}

static bool is_proxy(const struct bind_state *bind, const struct sockaddr *peer) {
	const uint8_t *bytes = NULL;
	bool v6 = peer->sa_family == AF_INET6;
	if (bind->proxy_from_len == 0 || peer->sa_family == AF_UNIX) return true;
	if (peer->sa_family == AF_INET) bytes = (const uint8_t *)&((const struct sockaddr_in *)peer)->sin_addr;
	if (v6) bytes = ((const struct sockaddr_in6 *)peer)->sin6_addr.s6_addr;
	if (v6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes)) {
		bytes += 12;
		v6 = false;
	}
	for (size_t i = 0; bytes && i < bind->proxy_from_len; i++)
		if (sl_cidr_holds(&bind->proxy_from[i], bytes, v6)) return true;
	return false;
}

static void accepted(void *arg, int fd, const struct sockaddr *peer, socklen_t peer_len) {
	struct worker_accept *a = arg;
	if (full(a)) {
		close(fd);
	} else if (!a->bind->proxy_protocol) {
		let_in(a, fd, listener_peer_of(fd, peer, peer_len));
	} else if (is_proxy(a->bind, peer)) {
		proxy_wait_start(&a->w->proxied, a->w->loop, fd, a->w->b->set.connect_timeout_ms, proxy_told, a);
	} else {
		proxy_told(a, fd, SL_EDENIED, NULL, "it does not come from an address in proxy_from");
	}
}

/* ---- addresses ------------------------------------------------------------------------------------------- */

struct bind_place *bind_place_new(const struct broker *b, const struct broker_bind *from) {
	struct bind_place *place = SL_NEW(struct bind_place);
	place->host = sl_strdup(from->host);
	place->asked = place->port = from->port;
	place->is_unix = from->transport == TRANSPORT_UNIX;
	place->mode = from->mode;
	place->listeners = SL_NEW_ARRAY(struct listener *, b->workers_len);
	return place;
}

void bind_place_free(const struct broker *b, struct bind_place *place) {
	if (!place) return;
	for (uint32_t i = 0; i < b->workers_len; i++) listener_free(place->listeners[i]);
	sl_free(place->listeners);
	sl_free(place->host);
	sl_free(place);
}

int bind_place_open(struct broker *b, struct bind_state *bind, bool shares, struct sl_err *err) {
	struct bind_place *place = bind->place;
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct listener_opts opts = {.host = place->host,
					     .port = place->port,
					     .path = place->is_unix ? place->host : NULL,
					     .mode = place->mode,
					     .joined = i > 0 ? place->listeners[0] : NULL,
					     .shares = shares,
					     .gate = &bind->door->gate,
					     .rests = &b->workers[i].metrics.v[METRIC_CONNECT_RATE_PAUSES]};
		int rc = listener_open(b->loops[i], &opts, accepted, &bind->accepts[i], &place->listeners[i], err);
		if (rc != SL_OK) return sl_err_prefix(err, "listener %s", bind->name);
		/* Port 0: the first socket's choice is everybody's. */
		place->port = listener_port(place->listeners[i]);
	}
	return SL_OK;
}

int bind_place_listen(const struct broker *b, struct bind_state *bind, struct sl_err *err) {
	for (uint32_t i = 0; i < b->workers_len; i++)
		if (listener_listen(bind->place->listeners[i], err) != SL_OK)
			return sl_err_prefix(err, "listener %s", bind->name);
	return SL_OK;
}

int bind_place_begin(const struct broker *b, struct bind_state *bind, struct sl_err *err) {
	for (uint32_t i = 0; i < b->workers_len; i++)
		if (listener_begin(bind->place->listeners[i], err) != SL_OK)
			return sl_err_prefix(err, "listener %s", bind->name);
	return SL_OK;
}

int broker_bind(struct broker *b, struct sl_err *err) {
	listener_raise_fd_limit();
	int rc = SL_OK;
	for (size_t k = 0; k < b->binds_len && rc == SL_OK; k++) rc = bind_place_open(b, b->binds[k], false, err);
	return rc;
}

int bind_listen_all(struct broker *b, struct sl_err *err) {
	int rc = SL_OK;
	for (size_t k = 0; k < b->binds_len && rc == SL_OK; k++) {
		rc = bind_place_listen(b, b->binds[k], err);
		if (rc == SL_OK) rc = bind_place_begin(b, b->binds[k], err);
	}
	return rc;
}

uint16_t broker_port(const struct broker *b, size_t bind) { return b->binds[bind]->place->port; }

struct sl_listen_at broker_at(const struct broker *b, size_t bind) {
	return listener_at(b->binds[bind]->place->listeners[0]);
}

static void put_clients(const struct broker *b, struct sl_buf *out) {
	const char *clients = "sluice_listener_connections";
	sl_prom_family(out, clients, SL_METRIC_GAUGE, "Clients connected now, by listener.");
	for (size_t k = 0; k < b->doors_len; k++) {
		const struct bind_door *door = b->doors[k];
		struct sl_prom_label label = {"listener", slice_from_str(door->name)};
		uint32_t n = atomic_load_explicit(&door->connections, memory_order_relaxed);
		if (door->in_force || n > 0) sl_prom_value(out, clients, &label, 1, n);
	}
}

void broker_prometheus(struct broker *b, struct sl_buf *out) {
	const char *seconds = "sluice_listener_certificate_seconds";
	int64_t now_s = sl_clock_wall_ms() / 1000;
	pthread_mutex_lock(&b->binds_lock);
	put_clients(b, out);
	sl_prom_family(
	    out, seconds, SL_METRIC_GAUGE,
	    "How long the certificate of a listener is still good, the first to end of several; negative: it has "
	    "expired.");
	for (size_t k = 0; k < b->binds_len; k++) {
		struct tls_server *tls = b->binds[k]->opts.tls;
		int64_t end_s = tls ? tls_server_not_after_s(tls) : INT64_MAX;
		struct sl_prom_label label = {"listener", slice_from_str(b->binds[k]->name)};
		if (end_s != INT64_MAX) sl_prom_value_double(out, seconds, &label, 1, (double)(end_s - now_s));
	}
	pthread_mutex_unlock(&b->binds_lock);
}
