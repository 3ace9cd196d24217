/* broker_conf_bind.c: the addresses that one file makes the broker listen on do not overlap. The system would say that one is in use,
 * after the rest has begun, and not by whom. */
#include <strings.h>

#include "broker_conf.h"
#include "mem.h"

/* A listener, or, behind the last of them, the status pages. */
struct place {
	const char *bind, *host; /* NULL: a mistake, which was told */
	const char *name;        /* NULL: the status pages */
	char *path;
	bool in_file;
	uint32_t line, column;
	struct sl_listen_at at;
};

size_t broker_conf_bind_count(const struct broker_conf *conf) {
	return broker_conf_listener_count(conf) + conf->admin.enabled;
}

static bool any_address(const char *host) { return host[0] == '\0' || strcmp(host, "*") == 0; }

/* As the sockets are made: listener.c takes IPv4 along where no address is given, http_server.c where it is "::". */
static void place_init(struct place *p, const struct broker_conf *conf, size_t i) {
	bool admin = i == broker_conf_listener_count(conf);
	const struct broker_listener *l = admin ? NULL : broker_conf_listener(conf, i);
	char *list = admin ? NULL : yaml_path_index("listeners", i);
	uint16_t port = admin ? conf->admin.port : l->port;
	*p = (struct place){.bind = admin ? conf->admin.bind : l->bind,
			    .host = admin ? conf->admin.host : l->host,
			    .name = admin ? NULL : l->name,
			    .path = admin ? sl_strdup("admin.bind") : yaml_path_key(list, "bind")};
	sl_free(list);
	p->in_file = yaml_value_position(conf->doc, p->path, &p->line, &p->column);
	if (!p->host) return;
	bool any = any_address(p->host);
	p->at = sl_listen_at_text(!any ? p->host : admin ? "0.0.0.0" : "::", port, admin || any);
}

static bool clash(const struct place *a, const struct place *b) {
	if (!a->host || !b->host) return false;
	if (sl_listen_at_clash(&a->at, &b->at)) return true;
	return a->at.port && a->at.port == b->at.port && strcasecmp(a->host, b->host) == 0;
}

static char *called(const struct place *p) {
	return p->name ? sl_asprintf("listener %s", p->name) : sl_strdup("the status pages");
}

static char *place_of(const struct place *p, const struct yaml_doc *doc) {
	if (!p->in_file) return sl_strdup(p->name ? "its default" : "their default");
	return sl_asprintf("%s:%u:%u", yaml_doc_file(doc), p->line, p->column);
}

static int breadth(const struct place *p) { return p->at.both ? 2 : sl_listen_at_all(&p->at) ? 1 : 0; }

static char *way_out(const struct place *a, const struct place *b) {
	if (!a->name || !b->name) return sl_strdup("choose another port for one of them");
	const struct place *wide = breadth(a) > breadth(b) ? a : b, *other = wide == a ? b : a;
	if (breadth(wide) == breadth(other)) return sl_strdup("remove one of them, or choose another port for it");
	return sl_asprintf("remove listener %s, for %s is %s, or choose another port for it", other->name, wide->bind,
			   sl_listen_at_all(&wide->at));
}

static int tell(const struct broker_conf *conf, const struct place *have, const struct place *new,
		struct conf_report *report) {
	if (!new->in_file) {
		const struct place *first = new;
		new = have;
		have = first;
	}
	char *who = called(new), *other = called(have), *place = place_of(have, conf->doc),
	     *advice = way_out(have, new);
	int rc = conf_report_add(report, (struct conf_at){conf->doc, new->path}, CONF_AT_VALUE, SL_EINVAL,
				 "%s cannot listen on %s: %s %s, on %s (%s); %s", who, new->bind, other,
				 have->name ? "does" : "do", have->bind, place, advice);
	sl_free(who);
	sl_free(other);
	sl_free(place);
	sl_free(advice);
	return rc;
}

int broker_conf_binds_apart(const struct broker_conf *conf, const struct sl_listen_at *bound,
			    struct conf_report *report) {
	size_t n = broker_conf_bind_count(conf);
	int first = SL_OK;
	struct place *places = SL_NEW_ARRAY(struct place, n);
	for (size_t i = 0; i < n; i++) {
		place_init(&places[i], conf, i);
		if (bound) places[i].at = bound[i];
		size_t k = 0;
		while (k < i && !clash(&places[k], &places[i])) k++;
		if (k == i) continue;
		int rc = tell(conf, &places[k], &places[i], report);
		if (first == SL_OK) first = rc;
	}
	for (size_t i = 0; i < n; i++) sl_free(places[i].path);
	sl_free(places);
	return first;
}
