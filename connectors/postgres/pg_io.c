/* pg_io.c: bytes of a session: watching its socket, reading all there is, sending what libpq holds, and the first words with
 * a new server.
 *
 * The watch is edge-triggered, so reading goes on until the kernel has nothing more. With TLS a record may be half read: what
 * OpenSSL still holds counts as readable. */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "log.h"
#include "mem.h"
#include "pg_int.h"

#define TURN_READS 256                  /* then the loop's other guests have their turn */
#define CHECK_CONNECTION_VERSION 140000 /* knows client_connection_check_interval */

void pg_io_watch(struct pg_link *l) {
	if (sl_watch_add(sl_conn_loop(l->c->conn), &l->watch, PQsocket(l->pq)) == SL_OK) l->watching = true;
}

void pg_io_unwatch(struct pg_link *l) {
	if (l->watching) sl_watch_remove(sl_conn_loop(l->c->conn), &l->watch);
	l->watching = false;
}

bool pg_io_flush(struct pg_link *l) {
	int r = PQflush(l->pq);
	l->flushing = r == 1;
	if (r >= 0) return r == 0;
	pg_link_lost(l, PQerrorMessage(l->pq));
	return false;
}

/* ---- Reading. ---- */

/* Is there more to read, an end of file included? */
static bool more_to_read(struct pg_link *l) {
	char c;
	SSL *ssl = PQsslStruct(l->pq, "OpenSSL");
	if (ssl && SSL_pending(ssl) > 0) return true;
	ssize_t n = recv(PQsocket(l->pq), &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static void setup_result(struct pg_link *l, PGresult *res);

/* What a session that is not at work says: the answer to a probe, or to the first words. */
static void idle_result(struct pg_link *l, PGresult *res) {
	if (l->state == PG_LINK_SETUP) {
		setup_result(l, res);
		return;
	}
	bool failed = PQresultStatus(res) == PGRES_FATAL_ERROR;
	if (failed) pg_link_lost(l, PQresultErrorMessage(res));
	PQclear(res);
}

static void probe_end(struct pg_link *l) {
	sl_timer_cancel(&l->timer);
	l->c->probing = false;
	sl_probe_done(l->c->conn, SL_OK, NULL);
	pg_link_free_now(l);
}

static void setup_end(struct pg_link *l);

/* libpq would give it again and again, until data is sent or read that nobody has or wants. */
static bool is_unasked_copy(const struct pg_link *l, const PGresult *res) {
	ExecStatusType status = PQresultStatus(res);
	bool asked = l->state == PG_LINK_BUSY && l->job.step == PG_STEP_COPY;
	return status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH || (status == PGRES_COPY_IN && !asked);
}

static void nonsense(struct pg_link *l) {
	static const char text[] = "the server wants to copy data, which nobody asked for; is this PostgreSQL?";
	if (l->state == PG_LINK_SETUP)
		pg_link_refused(l, text);
	else
		pg_link_lost(l, text);
}

static void query_end(struct pg_link *l) {
	if (l->user)
		l->user->query_end(l);
	else
		pg_job_query_end(l);
}

/* A NULL ends the answers to a query; two in a row mean that there is nothing more. */
static void answers(struct pg_link *l) {
	uint64_t life = l->life;
	for (int nulls = 0; l->life == life && nulls < 2 && !l->job.copying && !PQisBusy(l->pq);) {
		PGresult *res = PQgetResult(l->pq);
		nulls = res ? 0 : nulls + 1;
		if (res && is_unasked_copy(l, res)) {
			PQclear(res);
			nonsense(l);
		} else if (res && l->state == PG_LINK_BUSY && l->user)
			l->user->result(l, res);
		else if (res && l->state == PG_LINK_BUSY)
			pg_job_result(l, res);
		else if (res)
			idle_result(l, res);
		else if (l->state == PG_LINK_BUSY) {
			if (l->by_row || (l->job.meta && l->job.meta->returns_rows)) (void)PQsetSingleRowMode(l->pq);
			if (nulls == 1 && PQpipelineStatus(l->pq) == PQ_PIPELINE_OFF) query_end(l);
		} else if (nulls == 1 && l->state == PG_LINK_PROBING)
			probe_end(l);
		else if (nulls == 1 && l->state == PG_LINK_SETUP)
			setup_end(l);
	}
}

void pg_io_pump(struct pg_link *l) {
	PGconn *pq = l->pq;
	uint64_t life = l->life;
	for (unsigned turn = 0; turn == 0 || more_to_read(l); turn++) {
		if (turn == TURN_READS) {
			sl_watch_again(sl_conn_loop(l->c->conn), &l->watch);
			return;
		}
		if (!PQconsumeInput(pq)) {
			/* What came before the end still counts: why the server closed. */
			if (l->state == PG_LINK_BUSY && !l->job.copying) answers(l);
			if (l->life != life) return;
			if (l->state == PG_LINK_SETUP)
				pg_link_refused(l, PQerrorMessage(pq));
			else
				pg_link_lost(l, PQerrorMessage(pq));
			return;
		}
		answers(l);
		if (l->life != life) return;
	}
	if (l->flushing && !pg_io_flush(l)) return;
	if (l->user)
		l->user->heard(l);
	else if (l->state == PG_LINK_BUSY)
		pg_job_send(l);
}

/* ---- Connecting. ---- */

/* libpq may close the socket and open another one (an attempt without TLS after one with it): the watch is taken off before. */
static void connect_poll(struct pg_link *l) {
	pg_io_unwatch(l);
	switch (PQconnectPoll(l->pq)) {
	case PGRES_POLLING_READING:
		l->want_read = true;
		pg_io_watch(l);
		break;
	case PGRES_POLLING_WRITING:
		l->want_read = false;
		pg_io_watch(l);
		break;
	case PGRES_POLLING_OK:
		PQsetnonblocking(l->pq, 1);
		pg_io_watch(l);
		pg_setup_begin(l);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE: pg_link_refused(l, PQerrorMessage(l->pq)); break;
	}
}

void pg_link_ready(struct sl_watch *w, uint32_t events) {
	struct pg_link *l = sl_container_of(w, struct pg_link, watch);
	uint32_t ended = EPOLLERR | EPOLLHUP | EPOLLRDHUP;
	if (!l->watching) return;
	switch (l->state) {
	case PG_LINK_CONNECTING:
		if (events & (ended | (uint32_t)(l->want_read ? EPOLLIN : EPOLLOUT))) connect_poll(l);
		break;
	case PG_LINK_SETUP:
	case PG_LINK_IDLE:
	case PG_LINK_BUSY:
	case PG_LINK_PROBING: pg_io_pump(l); break;
	case PG_LINK_OFF:
	case PG_LINK_LOOKUP: break;
	}
}

/* ---- The first words: who are you, and our settings. ---- */

static void setup_send(struct pg_link *l, const char *sql) {
	if (!PQsendQuery(l->pq, sql)) {
		pg_link_refused(l, PQerrorMessage(l->pq));
		return;
	}
	if (PQflush(l->pq) == 1) l->flushing = true;
}

/* The process that we were told of at login is not the one that answers: something stands in between that hands sessions
 * around, and what is set or prepared in one transaction is not there in the next. */
void pg_setup_begin(struct pg_link *l) {
	l->state = PG_LINK_SETUP;
	l->setup = PG_SETUP_WHO;
	setup_send(l, "SELECT pg_catalog.pg_backend_pid(), pg_catalog.version()");
}

static void server_is(struct pg_conn *c, const struct pg_link *l, const char *version) {
	/* "PostgreSQL 15.4 (Debian 15.4-1) on x86_64 ...": the first two words. */
	const char *end = strchr(version, ' ');
	if (end) end = strchr(end + 1, ' ');
	const char *host = PQhost(l->pq), *port = PQport(l->pq);
	sl_free(c->server);
	c->server = sl_asprintf("%.*s at %s:%s", (int)(end ? (size_t)(end - version) : strlen(version)), version,
				host ? host : "", port ? port : "");
}

static void setup_refused(struct pg_link *l, const PGresult *res) {
	struct sl_buf text = SL_BUF_INIT;
	(void)pg_one_line(PQresultErrorMessage(res), &text);
	if (l->setup == PG_SETUP_WISHES)
		log_debug(LOG_CONN, "a wish is not granted", "name=%s text=%s", sl_conn_name(l->c->conn),
			  sl_buf_cstr(&text));
	else
		pg_link_refused(l, sl_buf_cstr(&text));
	sl_buf_fini(&text);
}

static void setup_result(struct pg_link *l, PGresult *res) {
	struct pg_conn *c = l->c;
	if (PQresultStatus(res) == PGRES_FATAL_ERROR)
		setup_refused(l, res);
	else if (l->setup == PG_SETUP_WHO && PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1 &&
		 PQnfields(res) == 2) {
		int64_t pid = 0;
		(void)slice_to_i64(slice_from_str(PQgetvalue(res, 0, 0)), &pid);
		c->pooler = pid != PQbackendPID(l->pq);
		if (c->pooler && c->conf.prepared == PG_PREPARED_AUTO) c->unnamed = true;
		server_is(c, l, PQgetvalue(res, 0, 1));
	}
	PQclear(res);
}

/* A statement whose client is gone ends soon, and does not hold its locks against the next attempt. Servers on Windows and macOS
 * know the setting, and refuse it. */
static const char *wishes(const struct pg_link *l) {
	bool knows = PQserverVersion(l->pq) >= CHECK_CONNECTION_VERSION && l->c->server &&
		     strncmp(l->c->server, "PostgreSQL", 10) == 0;
	return knows ? "SELECT pg_catalog.set_config('client_connection_check_interval', '5s', false)" : NULL;
}

/* False: all is said. Behind a pooler nothing is set, for it would be there for others. */
static bool setup_next(struct pg_link *l) {
	bool more = false;
	while (!more && l->setup != PG_SETUP_WISHES && !l->c->unnamed) {
		bool settings = l->setup++ == PG_SETUP_WHO;
		char *own = settings ? pg_local_settings(l->c, false) : NULL;
		const char *text = settings ? own : wishes(l);
		more = text != NULL;
		if (more) setup_send(l, text);
		sl_free(own);
	}
	return more;
}

static void setup_end(struct pg_link *l) {
	struct pg_conn *c = l->c;
	if (setup_next(l)) return;
	sl_timer_cancel(&l->timer);
	sl_buf_fini(&l->tried);
	if (l->user) {
		l->state = PG_LINK_IDLE;
		l->user->ready(l);
		return;
	}
	if (!c->up) {
		c->up = true;
		c->epoch++;
		sl_conn_up(c->conn);
	}
	pg_link_free_now(l);
}
