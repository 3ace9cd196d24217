#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buf.h"
#include "hash_text.h"
#include "mem.h"
#include "passwd_int.h"

static int check_salted(enum hash_kind kind, enum hash_salt at, int iterations, const char *kept, const char *salt,
			const char *password) {
	const struct hash_way way = {kind, at, iterations};
	return hash_text_check(&way, slice_from_str(kept), slice_from_str(salt), slice_from_str(password), NULL);
}

static int check(const char *kept, const char *password) {
	return check_salted(HASH_AUTO, HASH_SALT_NONE, 1, kept, "", password);
}

static void check_both(const char *kept, const char *password) {
	assert_int_equal(check(kept, password), SL_OK);
	assert_int_equal(check(kept, "another"), SL_EDENIED);
	assert_int_equal(check(kept, ""), SL_EDENIED);
}

static void test_hash__forms_of_crypt(void **state) {
	(void)state;
	check_both("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U");
	check_both(
	    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
	    "Hello world!");
	check_both("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!");
	check_both("$y$j9T$abcdefgh$IUWJt2doU4Kf6E/JP1UkAT3S5O3Q7SSA8SJirXIlEu9", "secret");
}

static void test_hash__forms_of_password_files(void **state) {
	(void)state;
	struct sl_buf line = SL_BUF_INIT;
	passwd_line_make(SL_SLICE_LIT("x"), SL_SLICE_LIT("secret"), 1000, &line);
	line.n--; /* the line break */
	check_both(sl_buf_cstr(&line) + 2, "secret");
	sl_buf_fini(&line);
	/* SHA-512 of "secret" and the salt "saltsaltsalt", as mosquitto_passwd wrote it before 2.0. */
	check_both("$6$c2FsdHNhbHRzYWx0$"
		   "3aiBbchfIZo+1WYrkPzJjQxZ79F/NmwLQ+wF073kTd+6ANhaic8G/jWF/X4sqSFUKpLNdm1FZjBck6HQ8knM3A==",
		   "secret");
}

static void test_hash__digits_with_a_salt(void **state) {
	(void)state;
	/* printf 'saltsecret' | sha256sum; printf 'secretsalt' | sha256sum */
	const char *before = "bede90386d450cea8b77b822f8887065e4e5abf132c2f9dccfcc7fbd4cba5e35",
		   *behind = "f84fa2149dbb62ed4e0cf1f550d2949b33a6513d3a7707e08502511c79ccb0ee";
	assert_int_equal(check_salted(HASH_SHA256, HASH_SALT_PREFIX, 1, before, "salt", "secret"), SL_OK);
	assert_int_equal(check_salted(HASH_SHA256, HASH_SALT_SUFFIX, 1, behind, "salt", "secret"), SL_OK);
	assert_int_equal(check_salted(HASH_SHA256, HASH_SALT_SUFFIX, 1, before, "salt", "secret"), SL_EDENIED);
	assert_int_equal(check_salted(HASH_SHA256, HASH_SALT_NONE, 1, before, "", "saltsecret"), SL_OK);
	assert_int_equal(check_salted(HASH_SHA512, HASH_SALT_NONE, 1, before, "", "saltsecret"), SL_EDENIED);
	/* RFC 6070, and RFC 7914, 11. */
	assert_int_equal(check_salted(HASH_PBKDF2_SHA1, HASH_SALT_NONE, 4096,
				      "4B007901B765489ABEAD49D926F721D065A429C1", "salt", "password"),
			 SL_OK);
	assert_int_equal(check_salted(HASH_PBKDF2_SHA256, HASH_SALT_NONE, 1,
				      "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc", "salt",
				      "passwd"),
			 SL_OK);
	assert_int_equal(check_salted(HASH_PBKDF2_SHA256, HASH_SALT_NONE, 1, "55ac", "salt", "passwd"), SL_EMALFORMED);
}

static void test_hash__what_cannot_be_checked_lets_nobody_in(void **state) {
	(void)state;
	assert_int_equal(check("", ""), SL_EMALFORMED);
	assert_int_equal(check("secret", "secret"), SL_EUNSUPPORTED);
	assert_int_equal(check("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "x"), SL_EUNSUPPORTED);
	assert_int_equal(check("$2b$99$nonsense", "x"), SL_EUNSUPPORTED);
	assert_int_equal(check("$7$101$damaged", "x"), SL_ESYNTAX);
	assert_int_equal(check("$pbkdf2-sha512$i=1$$", ""), SL_ESYNTAX);
	assert_int_equal(check_salted(HASH_PLAIN, HASH_SALT_NONE, 1, "", "", ""), SL_EMALFORMED);
	assert_int_equal(check_salted(HASH_PLAIN, HASH_SALT_NONE, 1, "secret", "", "secret"), SL_OK);
	assert_int_equal(check_salted(HASH_PLAIN, HASH_SALT_NONE, 1, "secret", "", "secre"), SL_EDENIED);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hash__forms_of_crypt),
	    cmocka_unit_test(test_hash__forms_of_password_files),
	    cmocka_unit_test(test_hash__digits_with_a_salt),
	    cmocka_unit_test(test_hash__what_cannot_be_checked_lets_nobody_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
