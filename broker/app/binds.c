/* binds.c: see binds.h. */
#include "binds.h"

#include <stdlib.h>

#include "mem.h"

static uint32_t clamp_u32(int64_t v) { return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v; }

static struct sl_rate rate_of(int64_t per_s, int64_t burst) {
	if (per_s == CONF_UNLIMITED) return (struct sl_rate){0};
	return (struct sl_rate){.per_s = (uint64_t)per_s, .burst = (uint64_t)burst};
}

/* The bits of BROKER_SPEAKS_... stand in the order of the words. */
static uint8_t versions_of(const struct conf_list *words) {
	unsigned bits = 0;
	for (size_t i = 0; i < words->len; i++)
		for (unsigned v = 0; broker_listener_versions[v]; v++)
			if (strcmp(words->items[i], broker_listener_versions[v]) == 0) bits |= 1u << v;
	return (uint8_t)bits;
}

static uint8_t anonymous_of(const struct broker_listener *l) {
	if (!l->anonymous) return AUTH_ANONYMOUS_DEFAULT;
	return json_is_true(l->anonymous) ? AUTH_ANONYMOUS_YES : AUTH_ANONYMOUS_NO;
}

static struct broker_bind_limits limits_of(const struct broker_listener *l) {
	return (struct broker_bind_limits){.max_connections = clamp_u32(l->max_connections),
					   .connects = rate_of(l->max_connect_rate, l->connect_burst),
					   .messages = rate_of(l->max_message_rate, l->message_burst),
					   .bytes = rate_of(l->max_byte_rate, l->byte_burst),
					   .max_packet_size = clamp_u32(l->max_packet_size),
					   .client_id_max = (uint16_t)l->max_clientid_length,
					   .versions = versions_of(&l->versions),
					   .anonymous = anonymous_of(l)};
}

static const char *const *origins_of(const struct broker_listener *l) {
	if (l->origins.len == 0) return NULL;
	const char **v = SL_NEW_ARRAY(const char *, l->origins.len + 1);
	for (size_t i = 0; i < l->origins.len; i++) v[i] = l->origins.items[i];
	return v;
}

static struct sl_cidr *networks_of(const struct conf_list *texts) {
	struct sl_cidr *v = SL_NEW_ARRAY(struct sl_cidr, texts->len);
	/* Checked when the file was read. */
	for (size_t i = 0; i < texts->len; i++) (void)sl_cidr_parse(slice_from_str(texts->items[i]), &v[i], NULL);
	return v;
}

struct broker_bind *binds_new(const struct broker_conf *conf, struct tls_server *const *tls) {
	size_t n = broker_conf_listener_count(conf);
	struct broker_bind *binds = SL_NEW_ARRAY(struct broker_bind, n);
	for (size_t i = 0; i < n; i++) {
		const struct broker_listener *l = broker_conf_listener(conf, i);
		binds[i] = (struct broker_bind){.name = l->name,
						.host = l->type == LISTENER_UNIX ? l->bind : l->host,
						.port = l->port,
						.mode = (unsigned)strtoul(l->mode, NULL, 8),
						.proxy_protocol = l->proxy_protocol,
						.proxy_from = networks_of(&l->proxy_from),
						.proxy_from_len = l->proxy_from.len,
						.transport = (enum transport_kind)l->type, /* the words are the same */
						.opts = {.tls = tls[i], .path = l->path, .origins = origins_of(l)},
						.limits = limits_of(l)};
	}
	return binds;
}

void binds_free(struct broker_bind *binds, size_t n) {
	for (size_t i = 0; binds && i < n; i++) {
		sl_free((void *)(uintptr_t)binds[i].opts.origins);
		sl_free((void *)(uintptr_t)binds[i].proxy_from);
	}
	sl_free(binds);
}
