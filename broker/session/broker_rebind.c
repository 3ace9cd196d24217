/* broker_rebind.c: other listeners while the broker runs: sockets for them are opened first, and then, with the workers parked for a
 * moment, all changes at once. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "listener.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

enum { OPENS = -1 };

struct broker_binds {
	struct broker *b;
	struct bind_state **v;
	size_t n;
	unsigned *modes;  /* of unix sockets */
	ptrdiff_t *keeps; /* which of those in force has the sockets; OPENS: none */
	struct bind_place **gone;
	size_t gone_n;
};

/* ---- before: the running state is as it was -------------------------------------------------------------- */

static bool same_address(const struct bind_place *place, const struct broker_bind *want) {
	return place->is_unix == (want->transport == TRANSPORT_UNIX) && place->asked == want->port &&
	       strcmp(place->host, want->host) == 0;
}

static bool taken(const struct broker_binds *next, size_t k) {
	for (size_t j = 0; j < next->n; j++)
		if (next->keeps[j] == (ptrdiff_t)k) return true;
	return false;
}

/* Sockets go on under whatever name; those of a port that the kernel chose, under their own. */
static void keep_sockets(struct broker_binds *next, const struct broker_bind *want) {
	for (size_t j = 0; j < next->n; j++) next->keeps[j] = OPENS;
	for (size_t j = 0; j < next->n; j++)
		for (size_t k = 0; k < next->b->binds_len && next->keeps[j] == OPENS; k++) {
			const struct bind_state *have = next->b->binds[k];
			bool unix_or_port = want[j].transport == TRANSPORT_UNIX || want[j].port != 0;
			if (!same_address(have->place, &want[j]) || taken(next, k)) continue;
			if (unix_or_port || strcmp(have->name, want[j].name) == 0) next->keeps[j] = (ptrdiff_t)k;
		}
}

/* From one address to all of them, say: the port is ours, and whoever has it now goes. */
static bool port_comes_free(const struct broker_binds *next, uint16_t port) {
	for (size_t k = 0; k < next->b->binds_len; k++) {
		const struct bind_place *place = next->b->binds[k]->place;
		if (!place->is_unix && place->port == port && !taken(next, k)) return true;
	}
	return false;
}

static int open_new(struct broker_binds *next, const struct broker_bind *want, size_t j, struct sl_err *err) {
	struct bind_state *bind = next->v[j];
	bind->place = bind_place_new(next->b, want);
	bool shares = !bind->place->is_unix && port_comes_free(next, want->port);
	int rc = bind_place_open(next->b, bind, shares, err);
	return rc == SL_OK ? bind_place_listen(next->b, bind, err) : rc;
}

int broker_binds_prepare(struct broker *b, const struct broker_bind *want, size_t n, struct broker_binds **out,
			 size_t *at, struct sl_err *err) {
	struct broker_binds *next = SL_NEW(struct broker_binds);
	*next = (struct broker_binds){.b = b,
				      .v = SL_NEW_ARRAY(struct bind_state *, n),
				      .n = n,
				      .modes = SL_NEW_ARRAY(unsigned, n),
				      .keeps = SL_NEW_ARRAY(ptrdiff_t, n),
				      .gone = SL_NEW_ARRAY(struct bind_place *, b->binds_len)};
	keep_sockets(next, want);
	for (size_t j = 0; j < n; j++) {
		next->v[j] = bind_new(b, &want[j]);
		next->modes[j] = want[j].mode;
	}
	int rc = SL_OK;
	for (size_t j = 0; j < n && rc == SL_OK; j++) {
		if (next->keeps[j] == OPENS) rc = open_new(next, &want[j], j, err);
		if (rc != SL_OK) *at = j;
	}
	if (rc == SL_OK)
		*out = next;
	else
		broker_binds_discard(next);
	return rc;
}

bool broker_binds_opens(const struct broker_binds *next, size_t bind) { return next->keeps[bind] == OPENS; }

struct sl_listen_at broker_binds_at(const struct broker_binds *next, size_t bind) {
	if (next->keeps[bind] != OPENS) return broker_at(next->b, (size_t)next->keeps[bind]);
	return listener_at(next->v[bind]->place->listeners[0]);
}

/* ---- the change ------------------------------------------------------------------------------------------ */

/* Of the names that are no more, when nobody is left of them. */
static void forget_doors(struct broker *b) {
	size_t kept = 0;
	pthread_mutex_lock(&b->binds_lock);
	for (size_t i = 0; i < b->doors_len; i++) {
		struct bind_door *door = b->doors[i];
		if (door->in_force || atomic_load_explicit(&door->connections, memory_order_acquire) > 0)
			b->doors[kept++] = door;
		else
			bind_door_free(door);
	}
	b->doors_len = kept;
	pthread_mutex_unlock(&b->binds_lock);
}

static void take_over(struct broker_binds *next, size_t j) {
	struct bind_state *bind = next->v[j], *old = next->b->binds[next->keeps[j]];
	struct bind_place *place = bind->place = old->place;
	old->place = NULL;
	for (uint32_t i = 0; i < next->b->workers_len; i++)
		listener_serve(place->listeners[i], &bind->accepts[i], &bind->door->gate);
	if (!place->is_unix || place->mode == next->modes[j]) return;
	place->mode = next->modes[j];
	if (chmod(place->host, place->mode) != 0)
		log_warn(LOG_NET, "the permissions of a socket cannot be changed", "listener=%s path=%s err=%s",
			 bind->name, place->host, strerror(errno));
}

static void begin(struct broker_binds *next, size_t j) {
	struct sl_err err = SL_ERR_INIT;
	if (bind_place_begin(next->b, next->v[j], &err) != SL_OK)
		log_error(LOG_NET, "a listener does not accept connections", "err=%s", sl_err_text(&err));
	sl_err_fini(&err);
}

/* The workers are parked. What is new comes before what goes, so a port that stays has somebody at each moment. */
static void change(void *arg) {
	struct broker_binds *next = arg;
	struct broker *b = next->b;
	pthread_mutex_lock(&b->binds_lock);
	for (size_t i = 0; i < b->doors_len; i++) b->doors[i]->in_force = false;
	for (size_t j = 0; j < next->n; j++) {
		struct bind_door *door = next->v[j]->door;
		door->in_force = true;
		listener_gate_set(&door->gate, next->v[j]->limits.connects);
		if (next->keeps[j] == OPENS)
			begin(next, j);
		else
			take_over(next, j);
	}
	for (size_t k = 0; k < b->binds_len; k++) {
		struct bind_place *place = b->binds[k]->place;
		for (uint32_t i = 0; place && i < b->workers_len; i++) listener_stop(place->listeners[i]);
		if (place) next->gone[next->gone_n++] = place;
		b->binds[k]->place = NULL;
	}
	struct bind_state **old = b->binds;
	size_t old_n = b->binds_len;
	b->binds = next->v;
	b->binds_len = next->n;
	next->v = old;
	next->n = old_n;
	pthread_mutex_unlock(&b->binds_lock);
}

/* ---- after ----------------------------------------------------------------------------------------------- */

/* A worker may have an event of the listener in its hand: it goes at the end of a tick. */
struct farewell {
	struct worker_letter letter;
	struct sl_deferred later;
	struct listener *ls;
};

static void farewell_say(struct sl_deferred *d) {
	struct farewell *f = sl_container_of(d, struct farewell, later);
	listener_free(f->ls);
	sl_free(f);
}

static void farewell_run(struct sl_post *post, struct sl_loop *l) {
	struct farewell *f = sl_container_of(post, struct farewell, letter.post);
	sl_loop_defer(l, &f->later);
}

static void free_gone(struct broker *b, struct bind_place *place) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct farewell *f = SL_NEW(struct farewell);
		f->letter.post.run = farewell_run;
		sl_deferred_init(&f->later, farewell_say);
		f->ls = place->listeners[i];
		place->listeners[i] = NULL;
		worker_post(&b->workers[i], &f->letter);
	}
	bind_place_free(b, place);
}

static void binds_free(struct broker_binds *next) {
	for (size_t j = 0; j < next->n; j++)
		if (next->v[j]) bind_unref(next->v[j]);
	forget_doors(next->b);
	sl_free(next->v);
	sl_free(next->modes);
	sl_free(next->keeps);
	sl_free(next->gone);
	sl_free(next);
}

void broker_binds_commit(struct broker_binds *next) {
	struct broker *b = next->b;
	sl_loops_park(b->loops, b->workers_len, change, next);
	for (size_t i = 0; i < next->gone_n; i++) free_gone(b, next->gone[i]);
	binds_free(next); /* of those that were in force */
}

void broker_binds_discard(struct broker_binds *next) {
	if (!next) return;
	for (size_t j = 0; j < next->n; j++)
		if (next->v[j]) bind_place_free(next->b, next->v[j]->place);
	binds_free(next);
}
