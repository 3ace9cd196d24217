/* tls_server_test.c: settings of a TLS listener, in handshakes between two ends in memory; and who a certificate says one is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "mem.h"
#include "tls_peer.h"
#include "tls_pki.h"
#include "tls_psk.h"
#include "tls_server.h"

static struct pki pki;

static struct tls_server *server_of(struct tls_server_conf conf) {
	struct tls_server *server;
	struct sl_err err = SL_ERR_INIT;
	conf.cert = pki_path(&pki, "server.pem");
	conf.key = pki_path(&pki, "server.key");
	conf.session_tickets = true;
	conf.ticket_lifetime_ms = 3600 * 1000;
	if (tls_server_new(&conf, "test", false, &server, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	sl_free(conf.cert);
	sl_free(conf.key);
	return server;
}

/* A handshake and one word from the server, for tickets come with it. */
struct meeting {
	int version; /* 0: any */
	const char *psk_identity;
	SSL_SESSION *session; /* to take up; then the one that was given */
	/* How it went. */
	bool done, resumed;
	char *identity; /* as the server knows it */
};

static unsigned give_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *key,
			 unsigned key_max) {
	(void)hint;
	const struct meeting *m = SSL_get_app_data(ssl);
	assert_true(strlen(m->psk_identity) < identity_max && key_max >= 16);
	memcpy(identity, m->psk_identity, strlen(m->psk_identity) + 1);
	memset(key, 0x11, 16);
	return 16;
}

static void meet(struct tls_server *server, struct meeting *m) {
	struct tls_server_conn conn;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *near, *far;
	char word[8];
	assert_int_equal(BIO_new_bio_pair(&near, 65536, &far, 65536), 1);
	if (m->version) SSL_CTX_set_min_proto_version(ctx, m->version), SSL_CTX_set_max_proto_version(ctx, m->version);
	if (m->psk_identity) SSL_CTX_set_psk_client_callback(ctx, give_psk);
	SSL *client = SSL_new(ctx), *ours = tls_server_begin(server, &conn);
	SSL_set_app_data(client, m);
	SSL_set_bio(client, near, near);
	SSL_set_bio(ours, far, far);
	if (m->session) SSL_set_session(client, m->session);
	SSL_SESSION_free(m->session);
	m->session = NULL;
	bool a = false, b = false;
	for (int i = 0; i < 20 && !(a && b); i++) {
		a = SSL_connect(client) == 1;
		b = SSL_accept(ours) == 1;
	}
	m->done = a && b;
	if (m->done) {
		tls_server_done(&conn, ours);
		m->resumed = SSL_session_reused(ours) && conn.ticket;
		assert_int_equal(SSL_write(ours, "hi", 2), 2);
		assert_int_equal(SSL_read(client, word, sizeof word), 2);
		m->session = SSL_get1_session(client);
	}
	sl_free(m->identity);
	m->identity = conn.psk_identity ? sl_strdup(conn.psk_identity) : NULL;
	SSL_shutdown(client);
	SSL_free(client);
	SSL_free(ours);
	tls_server_end(&conn);
	SSL_CTX_free(ctx);
	ERR_clear_error();
}

static void part(struct meeting *m) {
	SSL_SESSION_free(m->session);
	sl_free(m->identity);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- tickets ---- */

static void test_tickets__open_with_the_key_before_and_no_other(void **state) {
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
		struct tls_server *server = server_of((struct tls_server_conf){0});
		struct meeting m = {.version = versions[i]};
		meet(server, &m);
		assert_false(m.resumed);
		meet(server, &m);
		assert_true(m.resumed);
		tls_server_rotate(server);
		meet(server, &m);
		assert_true(m.resumed);
		tls_server_rotate(server);
		tls_server_rotate(server);
		meet(server, &m);
		assert_true(m.done && !m.resumed);
		part(&m);
		tls_server_unref(server);
	}
}

static void test_adopt__tickets_stay_while_it_trusts_the_same(void **state) {
	(void)state;
	char *ca = pki_path(&pki, "ca.pem"), *other = pki_path(&pki, "other.pem");
	for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
		struct tls_server *server = server_of((struct tls_server_conf){.ca = ca});
		struct meeting m = {.version = versions[i]};
		meet(server, &m);
		tls_server_adopt(server, server_of((struct tls_server_conf){.ca = ca}));
		meet(server, &m);
		assert_true(m.resumed);
		tls_server_adopt(server, server_of((struct tls_server_conf){.ca = other}));
		meet(server, &m);
		assert_true(m.done && !m.resumed);
		part(&m);
		tls_server_unref(server);
	}
	sl_free(ca);
	sl_free(other);
}

/* ---- pre-shared keys ---- */

static void test_psk__identity_is_told_and_goes_on_with_the_session(void **state) {
	(void)state;
	pki_write(&pki, "psk.txt", "device:11111111111111111111111111111111\n");
	char *file = pki_path(&pki, "psk.txt");
	for (size_t i = 0; i < SL_ARRAY_LEN(versions); i++) {
		struct tls_server *server = server_of((struct tls_server_conf){.psk_file = file});
		struct meeting m = {.version = versions[i], .psk_identity = "device"};
		meet(server, &m);
		assert_true(m.done && !m.resumed);
		assert_string_equal(m.identity, "device");
		if (versions[i] == TLS1_3_VERSION) m.psk_identity = NULL; /* TLS 1.2 asks for the cipher again */
		meet(server, &m);
		assert_true(m.resumed);
		assert_string_equal(m.identity, "device");
		part(&m);
		tls_server_unref(server);
	}
	sl_free(file);
}

static void test_psk__that_was_not_used_tells_nothing(void **state) {
	(void)state;
	pki_write(&pki, "psk.txt", "device:11111111111111111111111111111111\n");
	char *file = pki_path(&pki, "psk.txt"), suite[] = "TLS_AES_256_GCM_SHA384";
	/* The key goes with SHA-256 alone: OpenSSL asks for it, finds that it does not fit, and takes the certificate. */
	struct tls_server *server = server_of((struct tls_server_conf){.psk_file = file, .ciphersuites = suite});
	struct meeting m = {.version = TLS1_3_VERSION, .psk_identity = "device"};
	meet(server, &m);
	assert_true(m.done);
	assert_null(m.identity);
	part(&m);
	tls_server_unref(server);
	sl_free(file);
}

static void expect_psk(const char *text, int status, const char *said) {
	struct sl_err err = SL_ERR_INIT;
	struct tls_psk_table *table;
	pki_write(&pki, "bad.txt", text);
	char *file = pki_path(&pki, "bad.txt");
	assert_int_equal(tls_psk_load(file, &table, &err), status);
	if (said) {
		char *told = sl_err_format(&err);
		if (!strstr(told, said)) fail_msg("\"%s\" is not in \"%s\"", said, told);
		sl_free(told);
	}
	tls_psk_free(table);
	sl_err_fini(&err);
	sl_free(file);
}

static void test_psk_file__mistakes_are_told_with_their_line(void **state) {
	(void)state;
	expect_psk("# only\n\n", SL_EMALFORMED, "holds no keys");
	expect_psk("a:00\n\nb 00\n", SL_EMALFORMED, "bad.txt:3: a line of `tls.psk_file` is \"identity:key\"");
	expect_psk("a:00\n:00\n", SL_EMALFORMED, "bad.txt:2: a line");
	expect_psk("a:\n", SL_EMALFORMED, "bad.txt:1: the key is not hexadecimal");
	expect_psk("a:0\n", SL_EMALFORMED, "the key is not hexadecimal");
	expect_psk("a:0g\n", SL_EMALFORMED, "the key is not hexadecimal");
	expect_psk("a:00\nb:01\na:02\n", SL_EMALFORMED, "bad.txt:3: this identity");
	expect_psk("a:00", SL_OK, NULL);
	expect_psk("a:b:c:00\r\n", SL_OK, NULL);
}

static void test_psk_file__finds_whole_identities(void **state) {
	(void)state;
	struct tls_psk_table *table;
	pki_write(&pki, "many.txt", "b:02\na:0aFF\nab:03\na:b:04\n");
	char *file = pki_path(&pki, "many.txt");
	assert_int_equal(tls_psk_load(file, &table, NULL), SL_OK);
	assert_int_equal(tls_psk_count(table), 4);
	assert_true(slice_equal(tls_psk_find(table, SL_SLICE_LIT("a")), slice_make("\x0a\xff", 2)));
	assert_true(slice_equal(tls_psk_find(table, SL_SLICE_LIT("a:b")), slice_make("\x04", 1)));
	assert_int_equal(tls_psk_find(table, SL_SLICE_LIT("abc")).n, 0);
	assert_int_equal(tls_psk_find(table, SL_SLICE_EMPTY).n, 0);
	tls_psk_free(table);
	sl_free(file);
}

/* ---- certificates ---- */

static void test_settings__mistakes_name_the_option(void **state) {
	(void)state;
	struct tls_server *server;
	struct sl_err err = SL_ERR_INIT;
	char *cert = pki_path(&pki, "server.pem"), *key = pki_path(&pki, "server.key"),
	     *locked = pki_path(&pki, "locked.key"), *locked_cert = pki_path(&pki, "locked.pem");
	const struct {
		struct tls_server_conf conf;
		const char *said;
	} cases[] = {
	    {{.cert = cert, .key = locked}, "is encrypted; give its password as `tls.key_password`"},
	    {{.cert = locked_cert, .key = key}, "does not belong to the certificate"},
	    {{.cert = cert, .key = cert}, "`tls.key`: "},
	    {{.cert = cert, .key = key, .crl = cert}, "`tls.crl`: "},
	    {{.cert = cert, .key = key, .ca = key}, "`tls.ca`: "},
	    {{.cert = cert, .key = key, .ocsp_response = cert}, "`tls.ocsp_response`: "},
	    {{.cert = cert, .key = key, .ciphers = (char[]){"NOTHING"}}, "`tls.ciphers`: OpenSSL knows no cipher"},
	    {{.cert = cert, .key = key, .ciphersuites = (char[]){"NOTHING"}}, "`tls.ciphersuites`: "},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		assert_true(tls_server_new(&cases[i].conf, "test", false, &server, &err) < 0);
		if (!strstr(sl_err_text(&err), cases[i].said))
			fail_msg("\"%s\" is not in \"%s\"", cases[i].said, sl_err_text(&err));
		sl_err_fini(&err);
	}
	sl_free(cert);
	sl_free(key);
	sl_free(locked);
	sl_free(locked_cert);
}

static void add_text(X509_NAME *name, const char *field, const char *text, int n) {
	assert_int_equal(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text, n, -1, 0),
			 1);
}

static X509 *certificate(const char *cn, int cn_len, const char *alt_names) {
	X509 *x = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 0x0a1b);
	ASN1_TIME_set(X509_getm_notBefore(x), 1000000000);
	ASN1_TIME_set(X509_getm_notAfter(x), 2000000000);
	add_text(X509_get_subject_name(x), "O", "Acme", -1);
	add_text(X509_get_subject_name(x), "CN", "general", -1);
	add_text(X509_get_subject_name(x), "CN", cn, cn_len);
	add_text(X509_get_issuer_name(x), "CN", "authority", -1);
	X509_set_pubkey(x, key);
	X509_EXTENSION *alt = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, alt_names);
	X509_add_ext(x, alt, -1);
	X509_EXTENSION_free(alt);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
	return x;
}

static void test_peer__all_that_a_certificate_says(void **state) {
	(void)state;
	X509 *x = certificate("device-1", -1,
			      "DNS:a.example,email:m@e.example,URI:urn:dev:1,IP:192.0.2.1,IP:2001:db8::1,"
			      "DNS:*.b.example");
	struct tls_peer *p = tls_peer_new(x, "key");
	assert_string_equal(p->common_name, "device-1");
	assert_string_equal(p->subject, "CN=device-1,CN=general,O=Acme");
	assert_string_equal(p->issuer, "CN=authority");
	assert_string_equal(p->serial, "0A1B");
	assert_int_equal(strlen(p->fingerprint), 64);
	assert_int_equal(strspn(p->fingerprint, "0123456789abcdef"), 64);
	assert_int_equal(p->dns.len, 2);
	assert_string_equal(p->dns.v[0], "a.example");
	assert_string_equal(p->dns.v[1], "*.b.example");
	assert_string_equal(p->email.v[0], "m@e.example");
	assert_string_equal(p->uri.v[0], "urn:dev:1");
	assert_string_equal(p->ip.v[0], "192.0.2.1");
	assert_string_equal(p->ip.v[1], "2001:db8::1");
	assert_int_equal(p->not_before_s, 1000000000);
	assert_int_equal(p->not_after_s, 2000000000);
	assert_string_equal(p->psk_identity, "key");
	tls_peer_free(p);
	X509_free(x);
}

static void test_peer__a_name_with_a_zero_byte_is_nobodys(void **state) {
	(void)state;
	X509 *x = certificate("admin\0.evil", 11, "DNS:a.example");
	struct tls_peer *p = tls_peer_new(x, NULL);
	assert_null(p->common_name);
	assert_non_null(strstr(p->subject, "admin\\00.evil"));
	assert_null(p->psk_identity);
	tls_peer_free(p);
	X509_free(x);
	assert_null(tls_peer_new(NULL, NULL));
}

static int start(void **state) {
	(void)state;
	pki_new(&pki);
	pki_make(&pki, "ca", &(struct pki_spec){0});
	pki_make(&pki, "other", &(struct pki_spec){0});
	pki_make(&pki, "server", &(struct pki_spec){.issuer = "ca", .san = "DNS:localhost"});
	pki_make(&pki, "locked", &(struct pki_spec){.issuer = "ca", .san = "DNS:localhost", .key_password = "secret"});
	return 0;
}

static int stop(void **state) {
	(void)state;
	pki_free(&pki);
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tickets__open_with_the_key_before_and_no_other),
	    cmocka_unit_test(test_adopt__tickets_stay_while_it_trusts_the_same),
	    cmocka_unit_test(test_psk__identity_is_told_and_goes_on_with_the_session),
	    cmocka_unit_test(test_psk__that_was_not_used_tells_nothing),
	    cmocka_unit_test(test_psk_file__mistakes_are_told_with_their_line),
	    cmocka_unit_test(test_psk_file__finds_whole_identities),
	    cmocka_unit_test(test_settings__mistakes_name_the_option),
	    cmocka_unit_test(test_peer__all_that_a_certificate_says),
	    cmocka_unit_test(test_peer__a_name_with_a_zero_byte_is_nobodys),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
