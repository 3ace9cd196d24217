#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth_scram.h"
#include "mem.h"
#include "passwd_file.h"
#include "passwd_int.h"

/* The example of RFC 7677 section 3. */
#define NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define CHALLENGE "r=rOprNGfwEbeRWgbNEkqO" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define FINAL_OPEN "c=biws,r=rOprNGfwEbeRWgbNEkqO" NONCE
#define FINAL FINAL_OPEN ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define VERDICT "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static bool find(void *arg, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	(void)arg;
	uint8_t salted[SCRAM_KEY_MAX];
	size_t n = 0;
	*out = (struct scram_keys){.iterations = 4096};
	assert_true(scram_take_base64(SL_SLICE_LIT("W22ZaJ0SNY7soEsUEjb6gQ=="), out->salt, sizeof out->salt, &n));
	out->salt_len = (uint8_t)n;
	scram_derive(hash, SL_SLICE_LIT("pencil"), out->salt, n, out->iterations, salted);
	scram_stored_key(hash, salted, out->stored);
	scram_server_key(hash, salted, out->server);
	return !slice_equal_str(user, "nobody");
}

static struct auth_scram *begin(enum scram_hash hash) {
	return auth_scram_new(&(struct auth_scram_spec){.hash = hash, .find = find, .nonce = SL_SLICE_LIT(NONCE)});
}

static enum auth_scram_step say(struct auth_scram *x, const char *text, const char *expected) {
	struct sl_buf out = SL_BUF_INIT;
	enum auth_scram_step step = auth_scram_step(x, slice_from_str(text), &out);
	assert_string_equal(sl_buf_cstr(&out), expected);
	sl_buf_fini(&out);
	return step;
}

static void test_scram__example_of_rfc_7677(void **state) {
	(void)state;
	struct auth_scram *x = begin(SCRAM_SHA_256);
	assert_int_equal(say(x, FIRST, CHALLENGE), AUTH_SCRAM_CONTINUE);
	assert_int_equal(say(x, FINAL, VERDICT), AUTH_SCRAM_DONE);
	assert_true(slice_equal_str(auth_scram_user(x), "user"));
	assert_int_equal(say(x, FINAL, ""), AUTH_SCRAM_FAILED); /* it is over */
	auth_scram_free(x);
}

/* Proof and verdict made by Python's hashlib. */
static void test_scram__sha_512(void **state) {
	(void)state;
	struct auth_scram *x = begin(SCRAM_SHA_512);
	assert_int_equal(say(x, FIRST, CHALLENGE), AUTH_SCRAM_CONTINUE);
	assert_int_equal(
	    say(x,
		FINAL_OPEN
		",p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
		"v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="),
	    AUTH_SCRAM_DONE);
	auth_scram_free(x);
}

static void test_scram__empty_beginning_asks_for_the_first_move(void **state) {
	(void)state;
	struct auth_scram *x = begin(SCRAM_SHA_256);
	assert_int_equal(say(x, "", ""), AUTH_SCRAM_CONTINUE);
	assert_int_equal(say(x, FIRST, CHALLENGE), AUTH_SCRAM_CONTINUE);
	assert_int_equal(say(x, FINAL, VERDICT), AUTH_SCRAM_DONE);
	auth_scram_free(x);
}

static void test_scram__first_messages(void **state) {
	(void)state;
	static const struct {
		const char *text;
		bool taken;
	} cases[] = {
	    {"n,,n=user,r=x", true},
	    {"y,,n=user,r=x", true},
	    {"n,a=user,n=user,r=x", true},
	    {"n,,n=user,r=x,e=extension", true},
	    {"n,,n=a=2Cb=3Dc,r=x", true},
	    {"p=tls-unique,,n=user,r=x", false}, /* channel binding is not offered */
	    {"n,a=other,n=user,r=x", false},
	    {"n,user,n=user,r=x", false},
	    {"n,,m=must,n=user,r=x", false},
	    {"n,,n=,r=x", false},
	    {"n,,n=user,r=", false},
	    {"n,,n=user,r=a b", false},
	    {"n,,n=a=2Bb,r=x", false},
	    {"n,,n=a=,r=x", false},
	    {"n,,n=user", false},
	    {"n,,r=x", false},
	    {"n,", false},
	    {"n", false},
	    {",", false},
	    {"n,,n=\xff,r=x", false},
	    {"n,,n=\x01,r=x", false},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct auth_scram *x = begin(SCRAM_SHA_256);
		struct sl_buf out = SL_BUF_INIT;
		enum auth_scram_step step = auth_scram_step(x, slice_from_str(cases[i].text), &out);
		if ((step == AUTH_SCRAM_CONTINUE) != cases[i].taken) fail_msg("%s", cases[i].text);
		sl_buf_fini(&out);
		auth_scram_free(x);
	}
}

static void test_scram__final_messages_that_fail(void **state) {
	(void)state;
	static const char *const cases[] = {
	    "",
	    FINAL_OPEN,
	    FINAL_OPEN ",p=",
	    FINAL_OPEN ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AneVQ=", /* another proof */
	    FINAL_OPEN ",p=dHzb",
	    FINAL_OPEN ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=y",
	    "c=eSws,r=rOprNGfwEbeRWgbNEkqO" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	    "r=rOprNGfwEbeRWgbNEkqO" NONCE ",c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct auth_scram *x = begin(SCRAM_SHA_256);
		assert_int_equal(say(x, FIRST, CHALLENGE), AUTH_SCRAM_CONTINUE);
		if (say(x, cases[i], "") != AUTH_SCRAM_FAILED) fail_msg("%s", cases[i]);
		auth_scram_free(x);
	}
}

/* Even with the right proof for the keys that were made up. */
static void test_scram__unknown_user_fails_at_the_end(void **state) {
	(void)state;
	struct auth_scram *x = begin(SCRAM_SHA_256);
	assert_int_equal(say(x, "n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO", CHALLENGE), AUTH_SCRAM_CONTINUE);
	assert_int_equal(say(x, FINAL_OPEN ",p=YSxJ4EpSx4NS2KA8QW4cl7YCLqLNPvvh+WDUKa+JmZ4=", ""), AUTH_SCRAM_FAILED);
	auth_scram_free(x);
}

static void test_prepare__maps_and_refuses(void **state) {
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = {{"I\xc2\xadX", "IX"},           {"user", "user"}, {"a\xc2\xa0z", "a z"},  {"\xe2\x80\x8b", ""},
		     {"J\xc3\xb6rg", "J\xc3\xb6rg"}, {"\x7f", NULL},   {"\xef\xbf\xbf", NULL}, {"\xee\x80\x80", NULL}};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sl_buf out = SL_BUF_INIT;
		assert_int_equal(auth_scram_prepare(slice_from_str(cases[i].in), &out), cases[i].out != NULL);
		if (cases[i].out) assert_string_equal(sl_buf_cstr(&out), cases[i].out);
		sl_buf_fini(&out);
	}
}

static void keys_of(const char *line, enum scram_hash hash, struct scram_keys *out, bool expected) {
	struct passwd_entry entry = {0};
	*out = (struct scram_keys){0};
	assert_int_equal(passwd_line_parse(slice_from_str(line), &entry, NULL), SL_OK);
	assert_int_equal(passwd_scram_keys(&entry, hash, out), expected);
}

/* A line as it is written has the keys of both; a PBKDF2-SHA512 hash is the salted password of one. */
static void test_lines__have_keys(void **state) {
	(void)state;
	struct sl_buf line = SL_BUF_INIT, old = SL_BUF_INIT;
	struct scram_keys keys, same;
	uint8_t salted[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX];
	passwd_line_make(SL_SLICE_LIT("alice"), SL_SLICE_LIT("secret"), 1000, &line);
	line.n--; /* the line break */
	for (enum scram_hash h = SCRAM_SHA_256; h <= SCRAM_SHA_512; h++) {
		keys_of(sl_buf_cstr(&line), h, &keys, true);
		scram_derive(h, SL_SLICE_LIT("secret"), keys.salt, keys.salt_len, 1000, salted);
		scram_server_key(h, salted, server);
		assert_memory_equal(keys.server, server, scram_key_len(h));
	}
	sl_buf_append_str(&old, "alice:$pbkdf2-sha512$i=1000$");
	scram_put_base64(&old, keys.salt, keys.salt_len);
	sl_buf_put(&old, '$');
	scram_put_base64(&old, salted, 64);
	keys_of(sl_buf_cstr(&old), SCRAM_SHA_512, &same, true);
	assert_memory_equal(keys.stored, same.stored, 64);
	assert_memory_equal(keys.server, same.server, 64);
	keys_of(sl_buf_cstr(&old), SCRAM_SHA_256, &same, false);
	sl_buf_fini(&line);
	sl_buf_fini(&old);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_scram__example_of_rfc_7677),
	    cmocka_unit_test(test_scram__sha_512),
	    cmocka_unit_test(test_scram__empty_beginning_asks_for_the_first_move),
	    cmocka_unit_test(test_scram__first_messages),
	    cmocka_unit_test(test_scram__final_messages_that_fail),
	    cmocka_unit_test(test_scram__unknown_user_fails_at_the_end),
	    cmocka_unit_test(test_prepare__maps_and_refuses),
	    cmocka_unit_test(test_lines__have_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
