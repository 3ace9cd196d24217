/* redis_ask.c: questions to Redis (lookup.h): one reading command, behind what goes over the node's link anyway. Its answer as a row:
 *
 *     HMGET key a b     a, b; no row when all of them are nil
 *     HGETALL key       the hash's own names; no row when it is empty
 *     HGET key a        a
 *     GET key           password_hash */
#include "hash.h"
#include "mem.h"
#include "redis_client.h"
#include "statement.h"

struct redis_question {
	struct conf_list command; /* settings */
	struct sl_param_list params;
	int *param; /* of each argument; -1: it is as it stands */
};

struct redis_asking {
	struct redis_request q;
	struct sl_lookup *a;
	struct redis_client *c;
};

static const struct conf_field fields[] = {{.name = "command",
					    .type = CONF_TEMPLATE_LIST,
					    .flags = CONF_REQUIRED | CONF_NONEMPTY,
					    .at = offsetof(struct redis_question, command),
					    .min = 2,
					    .max = 64,
					    .doc = "HMGET or HGETALL, whose fields are the row; HGET, or GET, whose "
						   "value is `password_hash`. Each argument is one, whatever "
						   "is in a value.",
					    .example = "[HMGET, \"user:${username}\", password_hash, is_superuser]"},
					   CONF_END};

static bool is(const char *command, const char *name) {
	return slice_equal_nocase(slice_from_str(command), slice_from_str(name));
}

static int check(void *settings, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct redis_question *q = settings;
	const char *name = q->command.items[0];
	size_t n = q->command.len;
	bool two = is(name, "GET") || is(name, "HGETALL"), ok = two ? n == 2 : is(name, "HGET") ? n == 3 : n >= 3;
	if (!two && !is(name, "HGET") && !is(name, "HMGET"))
		return sl_err_set(err, SL_EINVAL,
				  "command: %.40s is none for a question; use HMGET, HGETALL, HGET or GET", name);
	if (!ok) return sl_err_set(err, SL_EINVAL, "command: %.40s has not that many arguments", name);
	q->param = SL_NEW_ARRAY(int, n);
	for (size_t i = 0; i < n; i++) {
		struct sl_slice text = slice_from_str(q->command.items[i]);
		bool value = slice_find(text, SL_SLICE_LIT("${")) >= 0;
		if (value && i >= 2) return sl_err_set(err, SL_EINVAL, "command: only the key may have ${...} in it");
		q->param[i] = value ? (int)q->params.n : -1;
		if (value) sl_params_add(&q->params, SL_SLICE_LIT("key"), text, sl_strdup("command"));
	}
	*params = q->params.at;
	*count = q->params.n;
	return SL_OK;
}

static void fini(void *settings) {
	struct redis_question *q = settings;
	sl_params_fini(&q->params);
	sl_free(q->param);
}

/* ---- Answers. ---- */

static bool put(struct sl_lookup *a, struct sl_slice name, const struct redis_reply *value) {
	bool text = value->kind == REDIS_TEXT || value->kind == REDIS_STATUS;
	struct sl_slice v = text ? slice_make(value->text.p ? value->text.p : "", value->text.n) : SL_SLICE_EMPTY;
	return sl_lookup_put(a, name, v);
}

/* SL_OK, SL_ENOTFOUND, or SL_ELIMIT. */
static int row_from(struct sl_lookup *a, const struct redis_reply *r) {
	const struct redis_question *q = a->question;
	bool pairs = is(q->command.items[0], "HGETALL"), any = false, fits = true;
	if (r->kind == REDIS_NIL) return SL_ENOTFOUND;
	if (r->kind != REDIS_LIST) {
		const char *name = q->command.len > 2 ? q->command.items[2] : "password_hash";
		return put(a, slice_from_str(name), r) ? SL_OK : SL_ELIMIT;
	}
	if (r->cut) return SL_ELIMIT;
	for (uint32_t i = 0; pairs && fits && i + 1 < r->n; i += 2) {
		any = true;
		fits = put(a, r->items[i].text, &r->items[i + 1]);
	}
	for (uint32_t i = 0; !pairs && fits && i < r->n && i + 2 < q->command.len; i++) {
		any = any || r->items[i].kind != REDIS_NIL;
		fits = put(a, slice_from_str(q->command.items[i + 2]), &r->items[i]);
	}
	return !fits ? SL_ELIMIT : any ? SL_OK : SL_ENOTFOUND;
}

static void end(struct redis_asking *x, int status, const char *text) {
	struct sl_lookup *a = x->a;
	sl_free(x);
	sl_lookup_done(a, status, "%s", text);
}

static void on_reply(struct redis_request *request, const struct redis_reply *r) {
	struct redis_asking *x = sl_container_of(request, struct redis_asking, q);
	if (r->kind == REDIS_ERROR) {
		struct sl_buf text = SL_BUF_INIT;
		redis_show(r->text, &text);
		if (x->c->conf->mode == REDIS_CLUSTER && slice_starts_with(r->text, SL_SLICE_LIT("MOVED ")))
			redis_cluster_refresh(x->c, NULL);
		end(x, SL_EIO, sl_buf_cstr(&text));
		sl_buf_fini(&text);
		return;
	}
	int status = r->cut ? SL_ELIMIT : row_from(x->a, r);
	end(x, status, status == SL_ELIMIT ? "the answer is too large" : "");
}

static void on_lost(struct redis_request *request, int status, const char *text) {
	(void)status;
	end(sl_container_of(request, struct redis_asking, q), SL_EIO, text);
}

/* ---- Asking. ---- */

static struct redis_node *node_for(struct redis_client *c, struct sl_slice key) {
	if (c->nodes == 0) return NULL;
	if (c->conf->mode == REDIS_CLUSTER) return redis_cluster_node(c, redis_slot(key));
	return c->node[sl_hash(key) % c->nodes];
}

static void ask(struct sl_conn *conn, struct sl_lookup *a) {
	struct redis_client *c = redis_client_of(sl_conn_impl(conn));
	const struct redis_question *q = a->question;
	struct sl_slice *texts = SL_NEW_ARRAY(struct sl_slice, q->command.len);
	for (size_t i = 0; i < q->command.len; i++)
		texts[i] = q->param[i] < 0 ? slice_from_str(q->command.items[i]) : a->values[q->param[i]];
	struct redis_node *n = c->state == REDIS_UP ? node_for(c, texts[1]) : NULL;
	if (n && n->link.state == REDIS_LINK_READY) {
		struct redis_asking *x = SL_NEW(struct redis_asking);
		x->q = (struct redis_request){.on_reply = on_reply, .on_lost = on_lost};
		x->a = a;
		x->c = c;
		redis_put_texts(redis_link_out(&n->link), texts, q->command.len);
		redis_link_push(&n->link, &x->q, 1);
	} else
		sl_lookup_done(a, SL_EIO, "%s", "the server that has the key is not connected");
	sl_free(texts);
}

const struct sl_asks_kind redis_asks_kind = {
    .size = sizeof(struct redis_question), .fields = fields, .check = check, .fini = fini, .ask = ask};
