/* tls_client_test.c: the options of a TLS client: files that are missing, wrong, or do not belong together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "schema.h"
#include "schema_doc.h"
#include "tls_client.h"
#include "tls_pki.h"

static struct pki pki;

static int make_files(void **state) {
	(void)state;
	pki_new(&pki);
	pki_make(&pki, "ca", &(struct pki_spec){0});
	pki_make(&pki, "own", &(struct pki_spec){.issuer = "ca", .san = "DNS:own"});
	pki_make(&pki, "other", &(struct pki_spec){.issuer = "ca", .san = "DNS:other"});
	pki_make(&pki, "locked", &(struct pki_spec){.issuer = "ca", .san = "DNS:l", .key_password = "sesame"});
	pki_write(&pki, "empty.pem", "");
	pki_write(&pki, "text.pem", "this is no certificate\n");
	pki_write(&pki, "der.pem", "0\202\001\012");
	pki_write(&pki, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIBdDCC\n");
	pki_write(&pki, "bad.pem", "-----BEGIN CERTIFICATE-----\nMIIBdDCC\n-----END CERTIFICATE-----\n");
	return 0;
}

static int drop_files(void **state) {
	(void)state;
	pki_free(&pki);
	return 0;
}

struct kind_conf {
	char *url;
	struct tls_client_conf tls;
};
static const struct conf_field kind_fields[] = {
    {.name = "url", .type = CONF_STRING, .at = offsetof(struct kind_conf, url), .def = "x"},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = offsetof(struct kind_conf, tls),
     .fields = tls_client_fields,
     .doc = TLS_CLIENT_DOC},
    CONF_END};

/* Settings as from a file; @ in it is the folder of the certificates. */
static int check(const char *form, struct kind_conf *conf, struct sl_err *err) {
	struct conf_report report = CONF_REPORT_INIT;
	struct yaml_doc *doc;
	struct sl_buf yaml = SL_BUF_INIT;
	for (const char *p = form; *p; p++) {
		if (*p == '@')
			sl_buf_append_str(&yaml, pki.dir);
		else
			sl_buf_put(&yaml, *p);
	}
	*conf = (struct kind_conf){0};
	assert_int_equal(yaml_doc_load(sl_buf_slice(&yaml), "t.yaml", &doc, NULL), SL_OK);
	assert_int_equal(conf_apply(kind_fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, conf, &report), SL_OK);
	yaml_doc_free(doc);
	sl_buf_fini(&yaml);
	return tls_client_check(&conf->tls, err);
}

static void expect_good(const char *form) {
	struct kind_conf conf;
	struct sl_err err = SL_ERR_INIT;
	int rc = check(form, &conf, &err);
	if (rc != SL_OK) fail_msg("%s", sl_err_text(&err));
	conf_fini(kind_fields, &conf);
}

/* The text of the error is `expected`, with @ for the folder. */
static void expect_fault(const char *form, int status, const char *expected) {
	struct kind_conf conf;
	struct sl_err err = SL_ERR_INIT;
	assert_int_equal(check(form, &conf, &err), status);
	struct sl_buf text = SL_BUF_INIT;
	for (const char *p = sl_err_text(&err); *p;) {
		if (strncmp(p, pki.dir, strlen(pki.dir)) == 0) {
			sl_buf_put(&text, '@');
			p += strlen(pki.dir);
		} else {
			sl_buf_put(&text, *p++);
		}
	}
	assert_string_equal(sl_buf_cstr(&text), expected);
	sl_buf_fini(&text);
	sl_err_fini(&err);
	conf_fini(kind_fields, &conf);
}

static void test_tls_client__settings_that_work(void **state) {
	(void)state;
	expect_good("url: y");
	expect_good("tls:\n  ca: '@/ca.pem'");
	expect_good("tls: {ca: '@/ca.pem', cert: '@/own.pem', key: '@/own.key', min_version: tls1.3}");
	expect_good("tls: {ca: '@/ca.pem', cert: '@/locked.pem', key: '@/locked.key', key_password: sesame}");
	expect_good("tls: {verify: false, server_name: db}");
}

static void test_tls_client__what_is_missing_is_named(void **state) {
	(void)state;
	expect_fault(
	    "tls: {ca: '@/none.pem'}", SL_ENOTFOUND,
	    "`tls.ca`: cannot read @/none.pem: No such file or directory; a relative path starts at the working "
	    "directory");
	expect_fault("tls: {ca: '@'}", SL_EIO, "`tls.ca`: cannot read @: Is a directory");
	expect_fault(
	    "tls: {ca: '@/ca.pem', cert: '@/own.pem'}", SL_EINVAL,
	    "`tls.cert` needs `tls.key`, the private key of the certificate; when one file holds both, name it "
	    "twice");
	expect_fault("tls: {ca: '@/ca.pem', key: '@/own.key'}", SL_EINVAL,
		     "`tls.key` needs `tls.cert`, the certificate that belongs to it");
	expect_fault("tls: {ca: '@/ca.pem', key_password: x}", SL_EINVAL,
		     "`tls.key_password` is the password of `tls.key`, which is not there");
}

static void test_tls_client__files_of_another_kind(void **state) {
	(void)state;
	const char *names[] = {"empty", "text"};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		char *form = sl_asprintf("tls: {ca: '@/%s.pem'}", names[i]);
		char *text =
		    sl_asprintf("`tls.ca`: @/%s.pem holds no certificate in PEM form (a block that begins with "
				"-----BEGIN)",
				names[i]);
		expect_fault(form, SL_EMALFORMED, text);
		sl_free(form);
		sl_free(text);
	}
	expect_fault(
	    "tls: {ca: '@/der.pem'}", SL_EMALFORMED,
	    "`tls.ca`: @/der.pem is in binary form (DER or PKCS #12), and PEM is needed; convert it, for example "
	    "with `openssl x509 -inform der -in FILE -out FILE.pem`, or with `openssl pkcs12 -in FILE -out "
	    "FILE.pem`");
	expect_fault("tls: {ca: '@/bad.pem'}", SL_EMALFORMED, "`tls.ca`: certificate 1 of @/bad.pem is damaged");
	expect_fault("tls: {ca: '@/cut.pem'}", SL_EMALFORMED, "`tls.ca`: certificate 1 of @/cut.pem is damaged");
	expect_fault("tls: {ca: \"-----BEGIN CERTIFICATE-----\\nMII\"}", SL_EINVAL,
		     "`tls.ca` wants the path of a PEM file, not what the file holds");
}

static void test_tls_client__key_that_does_not_fit(void **state) {
	(void)state;
	expect_fault("tls: {ca: '@/ca.pem', cert: '@/own.pem', key: '@/other.key'}", SL_EINVAL,
		     "`tls.key`: the key in @/other.key does not belong to the certificate in @/own.pem (`tls.cert`)");
	expect_fault("tls: {ca: '@/ca.pem', cert: '@/own.pem', key: '@/own.pem'}", SL_EMALFORMED,
		     "`tls.key`: @/own.pem holds no private key in PEM form (a block that begins with -----BEGIN)");
	expect_fault(
	    "tls: {ca: '@/ca.pem', cert: '@/locked.pem', key: '@/locked.key'}", SL_EINVAL,
	    "`tls.key`: @/locked.key is encrypted; give its password as `tls.key_password`, best as ${file:...} "
	    "or ${ENV_NAME}");
	expect_fault("tls: {ca: '@/ca.pem', cert: '@/locked.pem', key: '@/locked.key', key_password: open}", SL_EDENIED,
		     "`tls.key_password` does not open the key in @/locked.key");
}

static void test_tls_client__password_is_never_shown(void **state) {
	(void)state;
	struct kind_conf conf;
	assert_int_equal(check("tls: {ca: '@/ca.pem', cert: '@/locked.pem', key: '@/locked.key', key_password: sesame}",
			       &conf, NULL),
			 SL_OK);
	json_t *tree = conf_show(kind_fields, &conf);
	char *shown = json_dumps(tree, JSON_COMPACT);
	assert_null(strstr(shown, "sesame"));
	assert_non_null(strstr(shown, "\"key_password\":\"***\""));
	free(shown);
	json_decref(tree);
	conf_fini(kind_fields, &conf);
}

static void test_tls_client__files_are_not_read_where_they_need_not_be(void **state) {
	(void)state;
	conf_expand_stand_in("0");
	expect_good("tls: {ca: '@/none.pem', cert: '@/none.pem', key: '${file:@/secret}'}");
	expect_fault(
	    "tls: {cert: '@/none.pem'}", SL_EINVAL,
	    "`tls.cert` needs `tls.key`, the private key of the certificate; when one file holds both, name it "
	    "twice");
	conf_expand_stand_in(NULL);
}

static void test_tls_client__system_authorities(void **state) {
	(void)state;
	char *own = pki_path(&pki, "ca.pem"), *none = pki_path(&pki, "none.pem");
	setenv("SSL_CERT_FILE", own, 1);
	assert_string_equal(tls_client_system_ca(NULL), own);
	expect_good("tls:");
	setenv("SSL_CERT_FILE", none, 1); /* falls back to the usual places */
	struct sl_err err = SL_ERR_INIT;
	const char *found = tls_client_system_ca(&err);
	if (found)
		assert_int_equal(access(found, R_OK), 0);
	else
		assert_non_null(strstr(sl_err_text(&err), "ca-certificates"));
	unsetenv("SSL_CERT_FILE");
	sl_err_fini(&err);
	sl_free(own);
	sl_free(none);
}

static void test_tls_client__reference_says_how_it_is_switched_on(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	schema_doc_markdown(kind_fields, &out);
	const char *text = sl_buf_cstr(&out);
	assert_non_null(strstr(text, "| `tls` | map of options, may be empty | not there | Speak TLS to the server."));
	assert_non_null(strstr(text, "| `tls.verify` | true or false | `true` |"));
	assert_non_null(strstr(text, "| `tls.min_version` | `tls1.2` or `tls1.3` | `tls1.2` |"));
	sl_buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tls_client__settings_that_work),
	    cmocka_unit_test(test_tls_client__what_is_missing_is_named),
	    cmocka_unit_test(test_tls_client__files_of_another_kind),
	    cmocka_unit_test(test_tls_client__key_that_does_not_fit),
	    cmocka_unit_test(test_tls_client__password_is_never_shown),
	    cmocka_unit_test(test_tls_client__files_are_not_read_where_they_need_not_be),
	    cmocka_unit_test(test_tls_client__system_authorities),
	    cmocka_unit_test(test_tls_client__reference_says_how_it_is_switched_on),
	};
	return cmocka_run_group_tests(tests, make_files, drop_files);
}
