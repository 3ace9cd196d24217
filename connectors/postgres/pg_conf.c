/* pg_conf.c: options of the connector and its actions, their checks, and the servers they name. */
#include "pg_int.h"

#include <stdio.h>

#include "mem.h"
#include "stream_dial.h"

#define PORT 5432
#define PG_PARAMETERS_MAX 100 /* libpq has about fifty */

static const char *const session_names[] = {"auto",    "any",     "read-write",     "read-only",
					    "primary", "standby", "prefer-standby", NULL};
static const char *const prepared_names[] = {"auto", "on", "off", NULL};

const struct conf_field pg_conn_fields[] = {
    {.name = "url",
     .type = CONF_STRING,
     .at = offsetof(struct pg_conf, url),
     .flags = CONF_EXPAND | CONF_SECRET_URL | CONF_NONEMPTY,
     .example = "postgresql://iot:${PGPASSWORD}@db1,db2:5432/iot",
     .doc = "Where the database is, as a URL or as `host=... dbname=...`; whatever libpq knows may stand in it. The "
	    "options below win over it."},
    {.name = "hosts",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct pg_conf, hosts),
     .flags = CONF_EXPAND,
     .max = 64,
     .example = "[db1, \"db2:5433\"]",
     .doc = "The servers, with their ports, tried in this order; a path such as `/var/run/postgresql` is a local "
	    "socket."},
    {.name = "database",
     .type = CONF_STRING,
     .at = offsetof(struct pg_conf, database),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .doc = "Name of the database."},
    {.name = "user",
     .type = CONF_STRING,
     .at = offsetof(struct pg_conf, user),
     .flags = CONF_EXPAND | CONF_NONEMPTY,
     .doc = "Name of the role that logs in."},
    {.name = "password",
     .type = CONF_STRING,
     .at = offsetof(struct pg_conf, password),
     .flags = CONF_EXPAND | CONF_SECRET,
     .example = "${file:/run/secrets/pg}",
     .doc = "Its password."},
    {.name = "pool",
     .type = CONF_INT,
     .at = offsetof(struct pg_conf, pool),
     .def = "4",
     .min = 1,
     .max = 64,
     .doc = "Sessions at the most; as many batches of an action may be under way at once, each with rows of other "
	    "order keys."},
    {.name = "target_session_attrs",
     .type = CONF_ENUM,
     .at = offsetof(struct pg_conf, session),
     .def = "auto",
     .names = session_names,
     .doc = "Which of the servers will do. `auto`: of several hosts one that takes writes; of one host, that one."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = offsetof(struct pg_conf, tls),
     .fields = tls_client_fields,
     .doc = TLS_CLIENT_DOC},
    {.name = "connect_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_conf, connect_timeout_ms),
     .def = "10s",
     .min = 100,
     .max = 600000,
     .doc = "For one address: connecting and logging in."},
    {.name = "statement_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_conf, statement_timeout_ms),
     .def = "30s",
     .min = 1,
     .max = 86400000,
     .flags = CONF_UNLIMITED_OK,
     .doc = "The server ends a statement that takes longer; its rows are tried again. Shorter than the actions' "
	    "`timeout` is wise."},
    {.name = "application_name",
     .type = CONF_STRING,
     .at = offsetof(struct pg_conf, application_name),
     .def = "sluice",
     .flags = CONF_EXPAND,
     .doc = "How the sessions are called in `pg_stat_activity`."},
    {.name = "search_path",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct pg_conf, search_path),
     .max = 64,
     .example = "[iot, public]",
     .doc = "Schemas in which names without a schema are looked up; by default the role's own setting."},
    {.name = "keepalive",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_conf, keepalive_ms),
     .def = "10s",
     .min = 1000,
     .max = 7200000,
     .doc = "An idle TCP connection is probed after this time, and given up after three probes without an answer."},
    {.name = "tcp_user_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_conf, user_timeout_ms),
     .def = "30s",
     .min = 1000,
     .max = 86400000,
     .doc = "A TCP connection is given up when what was sent is not received for this long."},
    {.name = "prepared",
     .type = CONF_ENUM,
     .at = offsetof(struct pg_conf, prepared),
     .def = "auto",
     .names = prepared_names,
     .doc =
	 "Whether statements are kept prepared between batches. `auto`: yes, unless a pooler such as PgBouncer stands "
	 "in between, which is found out."},
    CONF_END};

const struct conf_field pg_action_fields[] = {
    {.name = "table",
     .type = CONF_STRING,
     .at = offsetof(struct pg_action, table),
     .flags = CONF_NONEMPTY,
     .example = "iot.readings",
     .doc = "Table to insert into, perhaps with its schema; letters as they are in the database. Give `columns` too."},
    {.name = "columns",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct pg_action, columns),
     .max = 1600,
     .example = "{device: \"${device}\", t: \"${t}\"}",
     .doc = "Column names and what goes into them; the values take the columns' types (see postgres/TYPES.md)."},
    {.name = "on_conflict",
     .type = CONF_TREE,
     .at = offsetof(struct pg_action, on_conflict),
     .example = "{update: [t, ts]}",
     .doc = "With `table`: what happens to a row whose key exists. `ignore` leaves the old one, `{update: [columns]}` "
	    "changes these columns of it; by default the row is rejected."},
    {.name = "conflict_on",
     .type = CONF_STRING_LIST,
     .at = offsetof(struct pg_action, conflict_on),
     .max = 32,
     .example = "[device, ts]",
     .doc = "The columns of the key that `on_conflict` is about; by default the primary key, or the unique index that "
	    "`columns` has all of."},
    {.name = "doubt_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_action, doubt_timeout_ms),
     .def = "5m",
     .min = 1000,
     .flags = CONF_UNLIMITED_OK,
     .doc =
	 "With `on_conflict`, and with `sql` that is more than a plain INSERT: rows are refused for what is mostly the "
	 "table's fault (no such table, no right), others get through, and still it is not plain that those are to "
	 "blame. All wait so long; then those that are refused are rejected."},
    {.name = "sql",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct pg_action, sql),
     .flags = CONF_NONEMPTY,
     .example = "INSERT INTO readings(device, t, at) VALUES (${device}, ${t}, to_timestamp(${ts} / 1000.0))",
     .doc = "Instead of `table`: one statement; each `${...}` becomes a bound parameter of the type that the server "
	    "finds for it."},
    CONF_END};

/* ---- The connector. ---- */

static const char *url_value(const struct pg_conn *c, const char *keyword) {
	for (PQconninfoOption *o = c->url_options; o && o->keyword; o++)
		if (strcmp(o->keyword, keyword) == 0) return o->val && *o->val ? o->val : NULL;
	return NULL;
}

static void place_add(struct pg_conn *c, struct sl_slice host, struct sl_slice port) {
	c->places = sl_realloc_array(c->places, c->place_count + 1, sizeof *c->places);
	c->places[c->place_count++] = (struct pg_place){.host = host.n ? slice_dup(host) : NULL,
							.port = port.n ? slice_dup(port) : sl_asprintf("%d", PORT)};
}

/* libpq takes what stands between commas for several servers, each of which must stand for itself here. */
static bool host_is_one(struct sl_slice host) {
	for (size_t i = 0; i < host.n; i++)
		if ((unsigned char)host.p[i] <= ' ' || host.p[i] == 0x7f || host.p[i] == ',') return false;
	return true;
}

/* Not shown: it may be the end of a password. */
static int host_is_not_one(const char *option, struct sl_err *err) {
	return sl_err_set(err, SL_EINVAL,
			  "%s: the name of a server has no blanks and no commas; several servers are a list: "
			  "hosts: [db1, \"db2:5433\"]",
			  option);
}

static int places_from_hosts(struct pg_conn *c, struct sl_err *err) {
	for (size_t i = 0; i < c->conf.hosts.len; i++) {
		struct sl_slice text = slice_from_str(c->conf.hosts.items[i]), host = text;
		uint16_t port = PORT;
		if (!host_is_one(text)) return host_is_not_one("hosts", err);
		if (text.n > 0 && text.p[0] != '/' && sl_dial_parse(text, PORT, &host, &port, err) != SL_OK)
			return sl_err_prefix(err, "hosts");
		char number[8];
		int n = snprintf(number, sizeof number, "%u", port);
		place_add(c, host, slice_make(number, (size_t)n));
	}
	return SL_OK;
}

/* "a,b" and "5432,5433", or one port for all. */
static int places_from_url(struct pg_conn *c, struct sl_err *err) {
	struct sl_slice hosts = slice_from_str(url_value(c, "host")), ports = slice_from_str(url_value(c, "port"));
	struct sl_slice addresses = slice_from_str(url_value(c, "hostaddr"));
	if (!hosts.n) hosts = addresses;
	struct sl_slice port = SL_SLICE_EMPTY;
	bool one = slice_find_byte(ports, ',') < 0;
	do {
		struct sl_slice host = slice_next_part(&hosts, ',');
		if (ports.p) port = one ? ports : slice_next_part(&ports, ',');
		int64_t number;
		if (port.n && (slice_to_i64(port, &number) != SL_OK || number < 1 || number > 65535))
			return sl_err_set(err, SL_EINVAL,
					  "url: the port is a number from 1 to 65535 (special characters of a password "
					  "are written %%2F and the like, or given by `password`)");
		/* Not shown: it may be the end of a password. */
		if (slice_find_byte(host, '@') >= 0)
			return sl_err_set(
			    err, SL_EINVAL,
			    "url: there is an @ in the name of the host; one of a password is written %%40, "
			    "or given by `password`");
		struct sl_slice address = addresses.p ? slice_next_part(&addresses, ',') : SL_SLICE_EMPTY;
		if (!host_is_one(host) || !host_is_one(address)) return host_is_not_one("url", err);
		place_add(c, host, port);
		if (address.n) c->places[c->place_count - 1].address = slice_dup(address);
	} while (hosts.p);
	return SL_OK;
}

static int session_from_url(struct pg_conn *c, struct sl_err *err) {
	const char *text = url_value(c, "target_session_attrs");
	if (!text || c->session != PG_SESSION_AUTO) return SL_OK;
	for (int i = PG_SESSION_ANY; session_names[i]; i++)
		if (strcmp(text, session_names[i]) == 0) c->session = i;
	if (c->session != PG_SESSION_AUTO) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "url: target_session_attrs is any, read-write, read-only, primary, standby or "
			  "prefer-standby");
}

/* "scheme://login@host/path?options" with another @ before its options: a password was put in as it is, and what libpq takes for
 * host and path may be the end of it. */
static bool splits_login(const char *url) {
	const char *rest = url + strspn(url, "abcdefghijklmnopqrstuvwxyz");
	if (strncmp(rest, "://", 3) != 0) return false;
	rest += 3;
	rest += strcspn(rest, "@/");
	if (*rest == '@') rest++;
	return memchr(rest, '@', strcspn(rest, "?")) != NULL;
}

/* libpq's word for what it does not know. Appended to *name. */
static bool parameter_unknown(const char *message, struct sl_buf *name) {
	static const char *const before[] = {"invalid URI query parameter: \"", "invalid connection option \""};
	for (size_t i = 0; i < SL_ARRAY_LEN(before); i++) {
		size_t n = strlen(before[i]);
		if (strncmp(message, before[i], n) != 0) continue;
		sl_buf_append(name, message + n, strcspn(message + n, "\"\n"));
		return true;
	}
	return false;
}

/* Whether this is a name, and nothing that may be the end of a password: that stands behind its own parameter, or before an @. */
static bool is_shown(const char *url, const char *name) {
	bool is_url = strstr(url, "://") != NULL;
	const char *list = is_url ? strchr(url, '?') : url, *at = list ? strstr(list, name) : NULL;
	const char *secret = list ? strstr(list, "password") : NULL;
	return at && (!secret || at < secret) && !(is_url && strchr(list, '@')) &&
	       !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")];
}

static int parameter_fail(const char *url, const char *name, struct sl_err *err) {
	const char *known[PG_PARAMETERS_MAX];
	size_t n = 0;
	PQconninfoOption *all = PQconndefaults();
	for (PQconninfoOption *o = all; o && o->keyword && n < SL_ARRAY_LEN(known); o++) known[n++] = o->keyword;
	const char *near = slice_nearest(slice_from_str(name), known, n);
	struct sl_buf what = SL_BUF_INIT;
	if (is_shown(url, name))
		sl_buf_printf(&what, "libpq knows no parameter `%s`", name);
	else
		sl_buf_append_str(&what, "libpq does not know a parameter in it, which is not shown, for it may be the "
					 "end of a password (special characters of it are written %40 and the like)");
	int r = sl_err_set(err, SL_EINVAL, "url: %s%s%s%s", sl_buf_cstr(&what), near ? "; did you mean `" : "",
			   near ? near : "", near ? "`?" : "");
	sl_buf_fini(&what);
	PQconninfoFree(all);
	return r;
}

/* What libpq says may quote the password. */
static int url_fail(const char *url, const char *message, struct sl_err *err) {
	struct sl_buf name = SL_BUF_INIT;
	int r = message && parameter_unknown(message, &name)
		    ? parameter_fail(url, sl_buf_cstr(&name), err)
		    : sl_err_set(err, SL_EINVAL,
				 "`url` is neither a URL such as postgresql://user:${PGPASSWORD}@host:5432/name nor "
				 "text such as \"host=... dbname=...\"; special characters of a password in a URL are "
				 "written %%40 and the like, or given by `password`");
	sl_buf_fini(&name);
	return r;
}

int pg_places_open(struct pg_conn *c, struct sl_err *err) {
	char *message = NULL;
	int r;
	c->session = c->conf.session;
	/* Not shown: behind the @ may be the end of a password. */
	if (c->conf.url && splits_login(c->conf.url))
		return sl_err_set(
		    err, SL_EINVAL,
		    "url: there is an @ behind the host, or a second one; in a password an @ is written %%40 "
		    "and a slash is written %%2F, or it is given by `password`");
	if (c->conf.url) {
		c->url_options = PQconninfoParse(c->conf.url, &message);
		r = c->url_options ? SL_OK : url_fail(c->conf.url, message, err);
		PQfreemem(message);
		if (r != SL_OK) return r;
	}
	r = session_from_url(c, err);
	if (r == SL_OK) r = c->conf.hosts.len ? places_from_hosts(c, err) : places_from_url(c, err);
	if (c->session == PG_SESSION_AUTO) c->session = c->place_count > 1 ? PG_SESSION_READ_WRITE : PG_SESSION_ANY;
	return r;
}

void pg_places_close(struct pg_conn *c) {
	for (size_t i = 0; i < c->place_count; i++) {
		sl_free(c->places[i].host);
		sl_free(c->places[i].port);
		sl_free(c->places[i].address);
	}
	sl_free(c->places);
	c->places = NULL;
	c->place_count = 0;
	PQconninfoFree(c->url_options);
	c->url_options = NULL;
}

int pg_conn_check(struct sl_conn *conn, struct sl_err *err) {
	struct pg_conn *c = sl_conn_impl(conn);
	if (!c->conf.url && c->conf.hosts.len == 0)
		return sl_err_set(err, SL_EINVAL,
				  "say where the database is: `url: postgresql://user@host:5432/name`, or `hosts`");
	int r = tls_client_check(&c->conf.tls, err);
	if (r == SL_OK && c->conf.url && conf_expand_stands_in()) return SL_OK;
	if (r == SL_OK) r = pg_places_open(c, err);
	pg_places_close(c);
	return r;
}

void pg_targets(struct sl_conn *conn, sl_target_fn one, void *arg) {
	struct pg_conn *c = sl_conn_impl(conn);
	if (pg_places_open(c, NULL) == SL_OK)
		for (size_t i = 0; i < c->place_count; i++) {
			const struct pg_place *place = &c->places[i];
			if (place->address || place->host) one(arg, place->address ? place->address : place->host);
		}
	pg_places_close(c);
}

/* ---- Actions. ---- */

static bool has_column(const struct pg_action *a, const char *name) {
	for (size_t i = 0; i < a->columns.len; i++)
		if (strcmp(a->columns.items[i].key, name) == 0) return true;
	return false;
}

static int update_check(const struct pg_action *a, const json_t *update, struct sl_err *err) {
	size_t i;
	json_t *item;
	if (!json_is_array(update) || json_array_size(update) == 0)
		return sl_err_set(err, SL_ETYPE, "on_conflict: `update` is the list of the columns to change");
	json_array_foreach((json_t *)(uintptr_t)update, i, item) {
		if (!json_is_string(item))
			return sl_err_set(err, SL_ETYPE, "on_conflict: `update` is a list of column names");
		if (!has_column(a, json_string_value(item)))
			return sl_err_set(err, SL_EINVAL,
					  "on_conflict: `columns` gives no value for `%s`, which is to be updated",
					  json_string_value(item));
	}
	return SL_OK;
}

static int conflict_check(struct pg_action *a, struct sl_err *err) {
	const json_t *t = a->on_conflict, *update = json_object_get(t, "update");
	for (size_t i = 0; i < a->conflict_on.len; i++)
		if (!has_column(a, a->conflict_on.items[i]))
			return sl_err_set(err, SL_EINVAL, "conflict_on: `columns` gives no value for `%s`",
					  a->conflict_on.items[i]);
	if (!t)
		return a->conflict_on.len == 0
			   ? SL_OK
			   : sl_err_set(err, SL_EINVAL, "`conflict_on` belongs to `on_conflict`; give that too");
	if (json_is_string(t) && strcmp(json_string_value(t), "ignore") == 0) {
		a->conflict = PG_CONFLICT_IGNORE;
		return SL_OK;
	}
	a->conflict = PG_CONFLICT_UPDATE;
	if (update && json_object_size(t) == 1) return update_check(a, update, err);
	return sl_err_set(err, SL_EINVAL, "`on_conflict` is `ignore`, or {update: [columns]}");
}

static int sql_check(const struct pg_action *a, struct sl_err *err) {
	static const char *const verbs[] = {"INSERT", "UPDATE", "DELETE", "MERGE", "WITH",
					    "SELECT", "CALL",   "UPSERT", "VALUES"};
	struct sl_slice verb = sl_statement_verb(a->sql, &pg_dialect);
	for (size_t i = 0; i < SL_ARRAY_LEN(verbs); i++)
		if (slice_equal_nocase(verb, slice_from_str(verbs[i]))) return SL_OK;
	if (verb.n == 0) return sl_err_set(err, SL_ESYNTAX, "sql: there is no statement in it");
	return sl_err_set(
	    err, SL_ESYNTAX,
	    "sql: a statement for each row begins with INSERT, UPDATE, DELETE, MERGE, WITH, SELECT or CALL, "
	    "not with %.*s; transactions are made by the connector",
	    SL_SLICE_ARG(verb));
}

int pg_action_check(struct sl_conn_action *action, struct sl_err *err) {
	struct pg_action *a = sl_action_impl(action);
	if (a->table && a->sql)
		return sl_err_set(err, SL_EINVAL, "`table` and `sql` exclude each other; keep one of them");
	if (!a->table && !a->sql)
		return sl_err_set(err, SL_EINVAL, "say what to write: `table` with `columns`, or `sql`");
	if (a->table && a->columns.len == 0)
		return sl_err_set(err, SL_EINVAL, "`table` needs `columns`, such as {device: \"${device}\"}");
	if (a->table) return conflict_check(a, err);
	if (a->columns.len > 0)
		return sl_err_set(err, SL_EINVAL,
				  "`columns` belongs to `table`; with `sql` write ${...} into the statement");
	if (a->on_conflict || a->conflict_on.len)
		return sl_err_set(err, SL_EINVAL,
				  "`on_conflict` belongs to `table`; with `sql` write ON CONFLICT into the statement");
	return sql_check(a, err);
}
