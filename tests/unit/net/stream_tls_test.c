/* stream_tls_test.c: the TLS layer against a peer that behaves, and against all that a network brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop_run.h"
#include "mem.h"
#include "stream_tls.h"
#include "tls_other.h"
#include "tls_pki.h"

static struct pki pki;
static struct sl_loop *loop;

/* The owner of the stream under test: packets are a length byte and so many bytes. */
struct owner {
	struct sl_stream_tls tls;
	struct peer peer;
	int fd; /* of the stream, until it has it */
	uint64_t in, out;
	struct tls_client *client;
	const char *host, *first_words;
	_Atomic uint32_t packets, bytes, ready, drained, closed;
	_Atomic int status;
	_Atomic size_t most_pending; /* seen below, in the encrypted buffer */
	bool pause_each, close_when_ready, close_in_read;
	char *error; /* as it stood in on_closed() */
	int opened;
};

static struct owner *owner_of(struct sl_stream *s) { return sl_container_of(s, struct owner, tls.s); }

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	struct owner *o = owner_of(s);
	size_t used = 0;
	while (used < bytes.n && !s->paused && !s->closed) {
		size_t size = 1 + (size_t)(uint8_t)bytes.p[used];
		if (bytes.n - used < size) break;
		used += size;
		o->packets++;
		o->bytes += (uint32_t)size;
		if (o->pause_each) sl_stream_pause(s);
		if (o->close_in_read) sl_stream_close(s, SL_EDENIED);
	}
	return used;
}
static void on_drain(struct sl_stream *s) { owner_of(s)->drained++; }
static void on_closed(struct sl_stream *s, int status) {
	struct owner *o = owner_of(s);
	const char *error = sl_stream_tls_error(&o->tls);
	o->error = sl_strdup(error ? error : "");
	o->status = status;
	memset(&o->tls, 0xdd, sizeof o->tls); /* it is ours again */
	o->closed++;
}
static void on_ready(struct sl_stream *s) {
	struct owner *o = owner_of(s);
	o->ready++;
	if (o->close_when_ready) sl_stream_close(s, SL_EDENIED);
}
static const struct sl_stream_events events = {
    .on_ready = on_ready, .on_read = on_read, .on_drain = on_drain, .on_closed = on_closed};

static void open_client(void *arg) {
	struct owner *o = arg;
	const struct sl_stream_tls_setup setup = {
	    .fd = o->fd, .events = &events, .bytes_in = &o->in, .bytes_out = &o->out};
	o->opened = sl_stream_tls_connect(&o->tls, loop, &setup, o->client, o->host, NULL);
	if (o->opened == SL_OK && o->first_words) sl_buf_append_str(sl_stream_out(&o->tls.s), o->first_words);
}

static struct tls_client *client_of(const struct tls_client_conf *conf) {
	struct tls_client *client;
	struct sl_err err = SL_ERR_INIT;
	if (tls_client_new(conf, &client, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	return client;
}

static char *ca_path, *own_cert, *own_key, *other_ca, *server_cert, *server_key;

static void setup_as(struct owner *o, const struct tls_client_conf *conf, const char *host) {
	int fds[2];
	struct tls_client_conf full = *conf;
	if (!full.ca) full.ca = ca_path;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	*o = (struct owner){.fd = fds[1], .host = host, .client = client_of(&full)};
	o->peer.fd = fds[0];
}

static void setup(struct owner *o) { setup_as(o, &(struct tls_client_conf){.verify = true}, "localhost"); }

static void begin(struct owner *o, const struct peer_spec *spec) {
	loop_run(loop, open_client, o);
	assert_int_equal(o->opened, SL_OK);
	peer_open(&o->peer, o->peer.fd, &pki, spec);
}

static void teardown(struct owner *o) {
	peer_close(&o->peer);
	assert_true(becomes(&o->closed, 1));
	tls_client_free(o->client);
	sl_free(o->error);
}

static void expect_text(const char *text, const char *part) {
	if (!strstr(text, part)) fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* A handshake that must fail, with this in the owner's text. */
static void expect_failure(struct owner *o, const struct peer_spec *spec, int status, const char *part) {
	char word[16];
	begin(o, spec);
	/* TLS 1.3 tells a client after the handshake what it thinks of its certificate. */
	if (peer_handshake(&o->peer)) (void)peer_read(&o->peer, word, sizeof word);
	assert_true(becomes(&o->closed, 1));
	expect_text(o->error, part);
	assert_int_equal(o->status, status);
	teardown(o);
}

/* ---- what works ------------------------------------------------------------------------------------------- */

static void echo(int version) {
	struct owner o;
	char word[64];
	setup(&o);
	o.first_words = "PING";
	begin(&o, &(struct peer_spec){.min_version = version, .max_version = version});
	assert_true(peer_handshake(&o.peer));
	assert_string_equal(SSL_get_servername(o.peer.ssl, TLSEXT_NAMETYPE_host_name), "localhost");
	assert_int_equal(peer_read(&o.peer, word, sizeof word), 4);
	assert_memory_equal(word, "PING", 4);
	assert_int_equal(o.ready, 1);
	for (size_t i = 0; i < 6; i++) assert_true(peer_write(&o.peer, &"\3abc\1x"[i], 1)); /* a record each */
	assert_true(becomes(&o.packets, 2));
	teardown(&o);
	assert_int_equal(o.status, SL_ECLOSED);
}

static void test_tls__words_written_before_the_handshake_leave_after_it(void **state) {
	(void)state;
	echo(TLS1_3_VERSION);
	echo(TLS1_2_VERSION);
}

enum { MUCH = 4 * 1024 * 1024 };
static char pattern(size_t i) { return (char)(i * 2654435761u >> 13); }

static void write_much(void *arg) {
	struct owner *o = arg;
	char *block = sl_alloc(MUCH);
	for (size_t i = 0; i < MUCH; i++) block[i] = pattern(i);
	sl_buf_append(sl_stream_out(&o->tls.s), block, MUCH);
	sl_stream_tell_drained(&o->tls.s);
	sl_free(block);
}

static void look_below(void *arg) {
	struct owner *o = arg;
	if (o->closed) return;
	size_t pending = sl_stream_pending(&o->tls.tcp.s);
	if (pending > o->most_pending) o->most_pending = pending;
}

static void test_tls__slow_reader_gets_all_and_only_so_much_is_encrypted_ahead(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	loop_run(loop, write_much, &o);
	usleep(5000);
	assert_int_equal(o.drained, 0);
	size_t got = 0, wrong = 0;
	static char block[16384];
	while (got < MUCH) {
		if (got % 65536 == 0) loop_run(loop, look_below, &o);
		int n = peer_read(&o.peer, block, sizeof block);
		assert_true(n > 0);
		for (int i = 0; i < n; i++, got++) wrong += block[i] != pattern(got);
	}
	assert_int_equal(wrong, 0);
	assert_true(becomes(&o.drained, 1));
	assert_true(o.most_pending > 0 && o.most_pending <= STREAM_TLS_AHEAD + 17000);
	teardown(&o);
}

static struct sl_loop *other_loop;
static void leave(void *arg) { assert_int_equal(sl_stream_detach(&((struct owner *)arg)->tls.s), SL_OK); }
static void arrive(void *arg) {
	struct owner *o = arg;
	assert_int_equal(sl_stream_attach(&o->tls.s, other_loop, &o->in, &o->out), SL_OK);
	assert_true(o->tls.s.loop == other_loop && o->tls.tcp.s.loop == other_loop);
}

static void test_tls__moves_to_another_loop_with_all_that_is_on_its_way(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(peer_write(&o.peer, "\3abc\5xy", 7)); /* one packet, and half of the next */
	assert_true(becomes(&o.packets, 1));
	loop_run(loop, write_much, &o); /* of which the socket takes a part */
	loop_run(loop, leave, &o);
	assert_true(peer_write(&o.peer, "zzz\1x", 5)); /* nobody reads it now */
	loop_run(other_loop, arrive, &o);
	assert_true(becomes(&o.packets, 3));
	size_t got = 0, wrong = 0;
	static char block[16384];
	while (got < MUCH) {
		int n = peer_read(&o.peer, block, sizeof block);
		assert_true(n > 0);
		for (int i = 0; i < n; i++, got++) wrong += block[i] != pattern(got);
	}
	assert_int_equal(wrong, 0);
	assert_true(becomes(&o.drained, 1));
	assert_int_equal(o.bytes, 4 + 6 + 2);
	teardown(&o);
	assert_int_equal(o.status, SL_ECLOSED);
}

static void close_and_leave(void *arg) {
	struct owner *o = arg;
	sl_stream_close(&o->tls.s, SL_EDENIED);
	assert_int_equal(sl_stream_detach(&o->tls.s), SL_ECLOSED);
}

static void test_tls__that_is_closing_stays_where_it_is(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(becomes(&o.ready, 1));
	loop_run(loop, close_and_leave, &o);
	teardown(&o);
	assert_int_equal(o.status, SL_EDENIED);
}

static void go_on(void *arg) { sl_stream_resume(&((struct owner *)arg)->tls.s); }
static void hold(void *arg) { sl_stream_pause(&((struct owner *)arg)->tls.s); }

static void test_tls__paused_one_gets_one_packet_at_a_time(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	o.pause_each = true;
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(peer_write(&o.peer, "\1a\1b\1c", 6));
	assert_true(peer_write(&o.peer, "\1d", 2));
	for (uint32_t i = 1; i <= 4; i++) {
		assert_true(becomes(&o.packets, i));
		usleep(1000);
		assert_int_equal(o.packets, i);
		loop_run(loop, go_on, &o);
	}
	teardown(&o);
}

static void test_tls__paused_before_the_handshake_still_shakes_hands(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	loop_run(loop, open_client, &o);
	loop_run(loop, hold, &o);
	peer_open(&o.peer, o.peer.fd, &pki, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(peer_write(&o.peer, "\1a", 2));
	assert_true(becomes(&o.ready, 1));
	usleep(2000);
	assert_int_equal(o.packets, 0);
	loop_run(loop, go_on, &o);
	assert_true(becomes(&o.packets, 1));
	teardown(&o);
}

static void test_tls__much_that_is_read_arrives_whole(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	static char block[16000]; /* packets of 160 bytes that do not end with records */
	for (size_t i = 0; i < sizeof block; i += 160) block[i] = (char)159;
	for (int i = 0; i < 200; i++) assert_true(peer_write(&o.peer, block, sizeof block));
	assert_true(becomes(&o.bytes, 200 * sizeof block));
	teardown(&o);
}

static void close_it(void *arg) {
	struct owner *o = arg;
	sl_buf_append_str(sl_stream_out(&o->tls.s), "bye");
	sl_stream_close(&o->tls.s, SL_EDENIED);
}

static void test_tls__close_sends_the_last_words_and_goodbye(void **state) {
	(void)state;
	struct owner o;
	char word[16];
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	loop_run(loop, close_it, &o);
	assert_int_equal(peer_read(&o.peer, word, sizeof word), 3);
	assert_int_equal(peer_read(&o.peer, word, sizeof word), 0);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EDENIED);
	teardown(&o);
}

static void test_tls__goodbye_of_the_peer_ends_it(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(peer_write(&o.peer, "\1a", 2));
	SSL_shutdown(o.peer.ssl);
	assert_true(peer_flush(&o.peer));
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.packets, 1);
	assert_int_equal(o.status, SL_ECLOSED);
	assert_string_equal(o.error, "");
	teardown(&o);
}

static void test_tls__owner_may_close_anywhere(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	o.close_when_ready = true;
	begin(&o, &(struct peer_spec){0});
	(void)peer_handshake(&o.peer);
	assert_true(becomes(&o.closed, 1));
	teardown(&o);
	setup(&o);
	o.close_in_read = true;
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(peer_write(&o.peer, "\1a\1b", 4));
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.packets, 1);
	teardown(&o);
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	loop_run(loop, close_it, &o); /* before the handshake: nothing can be said */
	assert_true(becomes(&o.closed, 1));
	teardown(&o);
}

/* ---- names and certificates -------------------------------------------------------------------------------- */

static void expect_success(const struct tls_client_conf *conf, const char *host, const struct peer_spec *spec) {
	struct owner o;
	setup_as(&o, conf, host);
	begin(&o, spec);
	bool ok = peer_handshake(&o.peer);
	if (!ok) fail_msg("%s", o.error ? o.error : "the handshake failed");
	assert_true(becomes(&o.ready, 1));
	teardown(&o);
}

static void expect_refusal(const struct tls_client_conf *conf, const char *host, const struct peer_spec *spec,
			   int status, const char *part) {
	struct owner o;
	setup_as(&o, conf, host);
	expect_failure(&o, spec, status, part);
}

static const struct tls_client_conf strict = {.verify = true};

static void test_tls__server_is_who_it_should_be(void **state) {
	(void)state;
	expect_success(&strict, "127.0.0.1", &(struct peer_spec){0});
	expect_success(&strict, "a.wild.example", &(struct peer_spec){0});
	expect_success(&(struct tls_client_conf){.verify = true, .server_name = "localhost"}, "10.1.2.3",
		       &(struct peer_spec){0});
	expect_success(&(struct tls_client_conf){.verify = false}, "nobody", &(struct peer_spec){.cert = "self"});
	char *self = pki_path(&pki, "self.pem");
	expect_success(&(struct tls_client_conf){.verify = true, .ca = self}, "localhost",
		       &(struct peer_spec){.cert = "self"});
	sl_free(self);
}

static void test_tls__server_is_someone_else(void **state) {
	(void)state;
	expect_refusal(
	    &strict, "db.example", &(struct peer_spec){0}, SL_EDENIED,
	    "the server's certificate is for localhost, *.wild.example, 127.0.0.1, ::1, not for 'db.example'; is "
	    "this the right server? If so, write `server_name: localhost` under `tls:`");
	expect_refusal(&strict, "127.0.0.2", &(struct peer_spec){0}, SL_EDENIED, "not for '127.0.0.2'");
	expect_refusal(&strict, "wild.example", &(struct peer_spec){0}, SL_EDENIED, "not for 'wild.example'");
	expect_refusal(&strict, "localhost", &(struct peer_spec){.cert = "nameless"}, SL_EDENIED,
		       "the server's certificate names no host (it has no subjectAltName)");
}

static void test_tls__certificate_at_the_wrong_time(void **state) {
	(void)state;
	expect_refusal(&strict, "localhost", &(struct peer_spec){.cert = "expired"}, SL_EDENIED,
		       "the server's certificate expired on 20");
	expect_refusal(&strict, "localhost", &(struct peer_spec){.cert = "early"}, SL_EDENIED,
		       "the server's certificate is not valid before 20");
}

static void test_tls__nobody_vouches_for_the_server(void **state) {
	(void)state;
	char *text =
	    sl_asprintf("signed by 'CN=ca', which is not among the authorities in %s; if you trust it, give its "
			"certificate as `ca:` under `tls:`",
			other_ca);
	expect_refusal(&(struct tls_client_conf){.verify = true, .ca = other_ca}, "localhost", &(struct peer_spec){0},
		       SL_EDENIED, text);
	sl_free(text);
	expect_refusal(&strict, "localhost", &(struct peer_spec){.cert = "self"}, SL_EDENIED,
		       "the server's certificate goes back to 'CN=self', which is not among the authorities in ");
}

static void test_tls__server_asks_for_our_certificate(void **state) {
	(void)state;
	struct tls_client_conf with = {.verify = true, .cert = own_cert, .key = own_key};
	const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
		struct peer_spec asks = {.client_ca = "ca", .max_version = versions[i]};
		expect_success(&with, "localhost", &asks);
		expect_refusal(&strict, "localhost", &asks, i ? SL_EDENIED : SL_EPROTOCOL,
			       i ? "the server wants a certificate of ours: give `tls.cert` and `tls.key`"
				 : "it wants a certificate of ours (`tls.cert` and `tls.key`)");
		asks.client_ca = "other_ca";
		expect_refusal(&with, "localhost", &asks, SL_EDENIED,
			       "the server does not know the authority that signed our certificate");
	}
}

static void test_tls__old_versions_are_refused(void **state) {
	(void)state;
	expect_refusal(&strict, "localhost",
		       &(struct peer_spec){.min_version = TLS1_VERSION, .max_version = TLS1_1_VERSION}, SL_EPROTOCOL,
		       "the server speaks no version of TLS that `min_version` under `tls:` allows");
	expect_refusal(&(struct tls_client_conf){.verify = true, .min_version = TLS_VERSION_1_3}, "localhost",
		       &(struct peer_spec){.max_version = TLS1_2_VERSION}, SL_EPROTOCOL,
		       "the server speaks no version of TLS that `min_version` under `tls:` allows");
}

/* ---- what a network brings --------------------------------------------------------------------------------- */

static void expect_after_bytes(const char *bytes, size_t n, int status, const char *part) {
	struct owner o;
	setup(&o);
	loop_run(loop, open_client, &o);
	assert_int_equal(write(o.peer.fd, bytes, n), (ssize_t)n);
	shutdown(o.peer.fd, SHUT_WR);
	assert_true(becomes(&o.closed, 1));
	expect_text(o.error, part);
	assert_int_equal(o.status, status);
	close(o.peer.fd);
	o.peer.fd = -1;
	teardown(&o);
}

static void test_tls__peer_that_speaks_something_else(void **state) {
	(void)state;
	const char *no_tls = "the server does not speak TLS on this port";
	const char *words[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "-ERR unknown command\r\n",
			       "SSH-2.0-OpenSSH_9.2\r\n", "220 mail.example ESMTP\r\n"};
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
		expect_after_bytes(words[i], strlen(words[i]), SL_EPROTOCOL, no_tls);
	expect_after_bytes("", 0, SL_ECLOSED,
			   "the other side closed the connection in the middle of the TLS handshake");
	expect_after_bytes("N", 1, SL_ECLOSED,
			   "the other side closed the connection in the middle of the TLS handshake");
	static const char zeros[100];
	expect_after_bytes(zeros, sizeof zeros, SL_EPROTOCOL, "TLS");
}

static void test_tls__peer_closes_at_every_byte_of_the_handshake(void **state) {
	(void)state;
	const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	for (size_t v = 0; v < SL_ARRAY_LEN(versions); v++) {
		bool whole = false;
		for (size_t budget = 1; !whole; budget += budget < 150 ? 1 : 11) {
			struct owner o;
			setup(&o);
			o.first_words = "PING";
			begin(&o, &(struct peer_spec){.max_version = versions[v]});
			o.peer.budget = budget;
			whole = peer_handshake(&o.peer);
			if (whole) {
				assert_true(becomes(&o.ready, 1));
			} else {
				assert_true(becomes(&o.closed, 1));
				assert_int_not_equal(o.status, SL_OK);
				if (!o.ready) assert_string_not_equal(o.error, "");
			}
			teardown(&o);
		}
	}
}

static void test_tls__damaged_record_ends_it(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){0});
	assert_true(peer_handshake(&o.peer));
	assert_true(becomes(&o.ready, 1));
	static const char record[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
				      9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	assert_int_equal(write(o.peer.fd, record, sizeof record), (ssize_t)sizeof record);
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EPROTOCOL);
	expect_text(o.error, "decryption failed or bad record mac");
	teardown(&o);
}

static void test_tls__peer_that_asks_and_never_reads_is_bounded(void **state) {
	(void)state;
	struct owner o;
	setup(&o);
	begin(&o, &(struct peer_spec){.min_version = TLS1_3_VERSION});
	assert_true(peer_handshake(&o.peer));
	assert_true(becomes(&o.ready, 1));
	bool sent = true;
	for (int i = 0; i < 40000 && sent && o.closed == 0; i++) {
		sent = SSL_key_update(o.peer.ssl, SSL_KEY_UPDATE_REQUESTED) == 1;
		sent = sent && SSL_do_handshake(o.peer.ssl) == 1 && peer_flush(&o.peer);
		if (i % 100 == 0) loop_run(loop, look_below, &o);
	}
	assert_true(becomes(&o.closed, 1));
	assert_int_equal(o.status, SL_EPROTOCOL);
	expect_text(o.error, "asks much and does not read the answers");
	assert_true(o.most_pending <= STREAM_TLS_AHEAD + 64 * 1024 + 1024);
	teardown(&o);
}

static void test_tls__path_of_a_socket_needs_a_name(void **state) {
	(void)state;
	struct owner o;
	setup_as(&o, &strict, "/run/db.sock");
	loop_run(loop, open_client, &o);
	assert_int_equal(o.opened, SL_EINVAL);
	close(o.fd);
	close(o.peer.fd);
	tls_client_free(o.client);
}

/* ---- the server's side ------------------------------------------------------------------------------------- */

struct pair {
	struct owner client, server;
	struct tls_server *tls;
};

/* What is not said is the good case: "server" of the pki, tickets. */
static struct tls_server *server_of(const struct tls_server_conf *conf) {
	struct tls_server_conf full = *conf;
	struct tls_server *server;
	struct sl_err err = SL_ERR_INIT;
	if (!full.cert && !full.psk_file) {
		full.cert = server_cert;
		full.key = server_key;
	}
	full.session_tickets = true;
	full.ticket_lifetime_ms = 3600 * 1000;
	if (tls_server_new(&full, "test", false, &server, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	return server;
}

static void open_server(void *arg) {
	struct pair *p = arg;
	struct owner *o = &p->server;
	const struct sl_stream_tls_setup setup = {
	    .fd = o->fd, .events = &events, .bytes_in = &o->in, .bytes_out = &o->out};
	o->opened = sl_stream_tls_accept(&o->tls, loop, &setup, p->tls, NULL);
	sl_buf_append_str(sl_stream_out(&o->tls.s), "\5hello");
}

static void test_tls__both_sides_are_ours(void **state) {
	(void)state;
	struct pair p = {.tls = server_of(&(struct tls_server_conf){0})};
	setup(&p.client);
	p.client.first_words = "\2hi";
	p.server.fd = p.client.peer.fd;
	loop_run(loop, open_server, &p);
	loop_run(loop, open_client, &p.client);
	assert_true(becomes(&p.client.packets, 1));
	assert_true(becomes(&p.server.packets, 1));
	loop_run(loop, close_it, &p.client);
	assert_true(becomes(&p.server.closed, 1));
	assert_int_equal(p.server.status, SL_ECLOSED);
	assert_true(becomes(&p.client.closed, 1));
	tls_client_free(p.client.client);
	tls_server_unref(p.tls);
	sl_free(p.client.error);
	sl_free(p.server.error);
}

/* ---- the frame --------------------------------------------------------------------------------------------- */

static int start(void **state) {
	(void)state;
	const char *names = "DNS:localhost,DNS:*.wild.example,IP:127.0.0.1,IP:::1";
	pki_new(&pki);
	pki_make(&pki, "ca", &(struct pki_spec){0});
	pki_make(&pki, "other_ca", &(struct pki_spec){0});
	pki_make(&pki, "server", &(struct pki_spec){.issuer = "ca", .san = names});
	pki_make(&pki, "self", &(struct pki_spec){.san = names});
	pki_make(&pki, "nameless", &(struct pki_spec){.issuer = "ca", .san = ""});
	pki_make(&pki, "expired", &(struct pki_spec){.issuer = "ca", .san = names, .from_days = -9, .to_days = -2});
	pki_make(&pki, "early", &(struct pki_spec){.issuer = "ca", .san = names, .from_days = 2, .to_days = 9});
	pki_make(&pki, "own", &(struct pki_spec){.issuer = "ca", .san = "DNS:own"});
	ca_path = pki_path(&pki, "ca.pem");
	own_cert = pki_path(&pki, "own.pem");
	own_key = pki_path(&pki, "own.key");
	other_ca = pki_path(&pki, "other_ca.pem");
	server_cert = pki_path(&pki, "server.pem");
	server_key = pki_path(&pki, "server.key");
	bool fine = sl_loop_new("tls", 0, &loop, NULL) == SL_OK && sl_loop_start(loop, NULL) == SL_OK;
	fine = fine && sl_loop_new("tls-2", 1, &other_loop, NULL) == SL_OK && sl_loop_start(other_loop, NULL) == SL_OK;
	return fine ? 0 : -1;
}

static int stop(void **state) {
	(void)state;
	sl_loop_stop(loop);
	sl_loop_join(loop);
	sl_loop_free(loop);
	sl_loop_stop(other_loop);
	sl_loop_join(other_loop);
	sl_loop_free(other_loop);
	sl_free(ca_path);
	sl_free(own_cert);
	sl_free(own_key);
	sl_free(other_ca);
	sl_free(server_cert);
	sl_free(server_key);
	pki_free(&pki);
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tls__words_written_before_the_handshake_leave_after_it),
	    cmocka_unit_test(test_tls__slow_reader_gets_all_and_only_so_much_is_encrypted_ahead),
	    cmocka_unit_test(test_tls__moves_to_another_loop_with_all_that_is_on_its_way),
	    cmocka_unit_test(test_tls__that_is_closing_stays_where_it_is),
	    cmocka_unit_test(test_tls__paused_one_gets_one_packet_at_a_time),
	    cmocka_unit_test(test_tls__paused_before_the_handshake_still_shakes_hands),
	    cmocka_unit_test(test_tls__much_that_is_read_arrives_whole),
	    cmocka_unit_test(test_tls__close_sends_the_last_words_and_goodbye),
	    cmocka_unit_test(test_tls__goodbye_of_the_peer_ends_it),
	    cmocka_unit_test(test_tls__owner_may_close_anywhere),
	    cmocka_unit_test(test_tls__server_is_who_it_should_be),
	    cmocka_unit_test(test_tls__server_is_someone_else),
	    cmocka_unit_test(test_tls__certificate_at_the_wrong_time),
	    cmocka_unit_test(test_tls__nobody_vouches_for_the_server),
	    cmocka_unit_test(test_tls__server_asks_for_our_certificate),
	    cmocka_unit_test(test_tls__old_versions_are_refused),
	    cmocka_unit_test(test_tls__peer_that_speaks_something_else),
	    cmocka_unit_test(test_tls__peer_closes_at_every_byte_of_the_handshake),
	    cmocka_unit_test(test_tls__damaged_record_ends_it),
	    cmocka_unit_test(test_tls__peer_that_asks_and_never_reads_is_bounded),
	    cmocka_unit_test(test_tls__path_of_a_socket_needs_a_name),
	    cmocka_unit_test(test_tls__both_sides_are_ours),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
