/* cidr_fuzz.c: text -> network -> text, and what it holds. What is taken holds its own first address, is written as it was meant, and an
 * address that stands in one is judged without looking beyond its bytes. */
#include <netinet/in.h>
#include <string.h>

#include "mem.h"
#include "outbound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_network(const struct sl_cidr *c) {
	struct sl_buf b = SL_BUF_INIT;
	struct sl_cidr again;
	sl_assert(c->bits <= (c->v6 ? 128 : 32));
	sl_assert(sl_cidr_holds(c, c->bytes, c->v6));
	sl_assert(!sl_cidr_holds(c, c->bytes, !c->v6));
	sl_cidr_write(c, &b);
	int rc = sl_cidr_parse(sl_buf_slice(&b), &again, NULL);
	sl_assert(rc == SL_OK && memcmp(&again, c, sizeof again) == 0);
	uint8_t other[16];
	memcpy(other, c->bytes, sizeof other);
	if (c->bits > 0) other[(c->bits - 1) / 8] ^= (uint8_t)(0x80U >> ((c->bits - 1) % 8));
	sl_assert(sl_cidr_holds(c, other, c->v6) == (c->bits == 0));
	sl_buf_fini(&b);
}

/* Denied by itself alone, an address is denied; allowed alone, it is not. */
static void check_judgement(const struct sl_cidr *c) {
	struct sockaddr_in6 at6 = {.sin6_family = AF_INET6};
	struct sockaddr_in at4 = {.sin_family = AF_INET};
	struct sl_buf b = SL_BUF_INIT;
	sl_cidr_write(c, &b);
	char *text = (char *)(uintptr_t)sl_buf_cstr(&b);
	const struct conf_list one = {.items = &text, .len = 1};
	struct sl_outbound *deny = sl_outbound_new(&(struct sl_outbound_conf){.deny = one});
	struct sl_outbound *allow = sl_outbound_new(&(struct sl_outbound_conf){.allow = one});
	memcpy(&at6.sin6_addr, c->bytes, 16);
	memcpy(&at4.sin_addr, c->bytes, 4);
	const struct sockaddr *at = c->v6 ? (struct sockaddr *)&at6 : (struct sockaddr *)&at4;
	int plain = sl_outbound_judge(NULL, at, NULL);
	int by_deny = sl_outbound_judge(deny, at, NULL), by_allow = sl_outbound_judge(allow, at, NULL);
	/* A network such as ::/0 is no mapped one, although the address it begins with may carry another. */
	if (!c->v6) sl_assert(by_deny == SL_EDENIED && by_allow == SL_OK);
	sl_assert(by_deny == SL_EDENIED || plain == SL_OK);
	sl_assert(by_allow == SL_OK || plain == SL_EDENIED);
	sl_outbound_free(deny);
	sl_outbound_free(allow);
	sl_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice text = slice_make(data, size);
	struct sl_err err = SL_ERR_INIT;
	struct sl_cidr c;
	if (sl_cidr_parse(text, &c, &err) == SL_OK) {
		sl_assert(size <= SL_CIDR_TEXT_MAX + 4);
		check_network(&c);
		check_judgement(&c);
	} else
		sl_assert(err.text);
	sl_err_fini(&err);
	(void)sl_outbound_judge_text(NULL, text, NULL);
	return 0;
}
