/* acl.c: one client: which rules are for it, what they say, and what they said lately. */
#include "acl.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "acl_int.h"
#include "filter_cover.h"
#include "mem.h"
#include "topic.h"

/* ---- who ---- */

void acl_subject_ip(struct acl_subject *s, const struct sockaddr *address) {
	memset(s->ip, 0, sizeof s->ip);
	s->ip_v6 = false;
	if (address->sa_family == AF_INET) {
		memcpy(s->ip, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	} else if (address->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
		s->ip_v6 = !IN6_IS_ADDR_V4MAPPED(a);
		memcpy(s->ip, a->s6_addr + (s->ip_v6 ? 0 : 12), s->ip_v6 ? 16 : 4);
	}
}

bool acl_subject_ip_text(struct acl_subject *s, struct sl_slice text) {
	struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
	char host[INET6_ADDRSTRLEN];
	ptrdiff_t end = -1;
	if (text.n && text.p[0] == '[') {
		text = slice_from(text, 1);
		end = slice_find_byte(text, ']');
	} else if (slice_find_byte(text, '.') >= 0) {
		end = slice_find_byte(text, ':');
	}
	if (end >= 0) text.n = (size_t)end;
	ptrdiff_t scope = slice_find_byte(text, '%');
	if (scope >= 0) text.n = (size_t)scope;
	if (text.n < sizeof host) {
		memcpy(host, text.p ? text.p : "", text.n);
		host[text.n] = '\0';
		if (inet_pton(AF_INET, host, &((struct sockaddr_in *)(void *)&at)->sin_addr) == 1)
			at.ss_family = AF_INET;
		else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)(void *)&at)->sin6_addr) == 1)
			at.ss_family = AF_INET6;
	}
	acl_subject_ip(s, (struct sockaddr *)&at);
	return at.ss_family != AF_UNSPEC;
}

static struct sl_slice keep(char **at, struct sl_slice s) {
	struct sl_slice kept = slice_make(*at, s.n);
	if (s.n) memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

/* One block: the attributes, then all texts. */
static void copy_subject(struct acl_client *c, const struct acl_subject *who) {
	size_t attrs = who->attrs_len * sizeof(struct acl_attr), size = attrs;
	for (size_t i = 0; i < who->attrs_len; i++) size += who->attrs[i].name.n + who->attrs[i].value.n;
	size += who->clientid.n + who->username.n + who->cert_cn.n;
	c->bytes = sl_alloc(size + 1);
	struct acl_attr *v = (struct acl_attr *)(void *)c->bytes;
	char *at = c->bytes + attrs;
	c->who = *who;
	for (size_t i = 0; i < who->attrs_len; i++)
		v[i] = (struct acl_attr){keep(&at, who->attrs[i].name), keep(&at, who->attrs[i].value)};
	c->who.attrs = v;
	c->who.clientid = keep(&at, who->clientid);
	c->who.username = keep(&at, who->username);
	c->who.cert_cn = keep(&at, who->cert_cn);
	c->who.rules = acl_rules_ref(who->rules);
}

/* ---- which rules ---- */

static bool has_policies(const struct acl_client *c) {
	if (c->who.rules && c->who.rules->policy) return true;
	for (size_t i = 0; i < c->acl->attached_len; i++) {
		const struct acl_who *who = c->acl->attached[i];
		if (!who || acl_who_holds(who, &c->who) != ACL_NO) return true;
	}
	return false;
}

static void choose_rules(struct acl_client *c) {
	const struct acl *a = c->acl;
	size_t cap = 0;
	c->mine_len = 0;
	c->mine = NULL;
	if (c->who.superuser) return;
	for (size_t i = 0; i < a->somebody_len; i++) {
		if (!acl_rule_is_for(a->rules->v[a->somebody[i]], &c->who)) continue;
		SL_GROW(c->mine, c->mine_len, cap);
		c->mine[c->mine_len++] = a->somebody[i];
	}
	if (c->mine_len) c->mine = sl_realloc_array(c->mine, c->mine_len, sizeof *c->mine);
	c->policies = has_policies(c);
	c->judges_receive = c->policies || a->rules->receive_said || (c->who.rules && c->who.rules->receive_said);
}

struct acl_client *acl_client_new(struct acl *a, const struct acl_subject *who) {
	struct acl_client *c = SL_NEW(struct acl_client);
	c->acl = acl_ref(a);
	copy_subject(c, who);
	choose_rules(c);
	return c;
}

static void forget(struct acl_client *c) {
	for (uint32_t i = 0; i < c->memory_len; i++) sl_free(c->memory[i].topic);
	sl_free(c->memory);
	sl_free(c->hashes);
	c->memory = NULL;
	c->hashes = NULL;
	c->memory_len = c->memory_cap = 0;
}

void acl_client_free(struct acl_client *c) {
	if (!c) return;
	forget(c);
	acl_rules_unref(c->who.rules);
	acl_unref(c->acl);
	sl_buf_fini(&c->scratch);
	sl_free(c->mine);
	sl_free(c->bytes);
	sl_free(c);
}

void acl_client_renew(struct acl_client *c, struct acl *a) {
	forget(c);
	acl_ref(a);
	acl_unref(c->acl);
	c->acl = a;
	sl_free(c->mine);
	c->policies = c->judges_receive = false;
	choose_rules(c);
}

const struct acl *acl_client_acl(const struct acl_client *c) { return c->acl; }

/* Deny of policies, what came with the identity, and the rest; of the broker's the next of two rising lists. */
const struct acl_rule *acl_walk_next(struct acl_walk *w) {
	const struct acl_client *c = w->c;
	const struct acl *a = c->acl;
	size_t e = w->everybody < a->everybody_len ? a->everybody[w->everybody] : SIZE_MAX;
	size_t m = w->mine < c->mine_len ? c->mine[w->mine] : SIZE_MAX;
	size_t next = e < m ? e : m;
	if (next >= a->own_at && c->who.rules && w->own < c->who.rules->len) return c->who.rules->v[w->own++];
	if (next == SIZE_MAX) return NULL;
	if (e < m)
		w->everybody++;
	else
		w->mine++;
	return a->rules->v[next];
}

/* ---- topics ---- */

static bool said_by_default(const struct acl_client *c, uint8_t action, struct sl_slice topic) {
	/* What the broker says of itself is for whom a rule names. */
	if (topic.n >= 4 && memcmp(topic.p, "$SYS", 4) == 0 && (topic.n == 4 || topic.p[4] == '/')) return false;
	if (action == ACL_BIT_RECEIVE && !c->policies) return true; /* it was allowed to subscribe */
	return c->acl->default_allow;
}

static bool topic_fits(enum acl_topic_kind kind, struct sl_slice want, struct sl_slice topic, uint8_t action) {
	switch (kind) {
	case ACL_TOPIC_FILTER: return topic_matches(want, topic);
	/* What a subscription with exactly this text delivers. */
	case ACL_TOPIC_EXACT: return action == ACL_BIT_RECEIVE ? topic_matches(want, topic) : slice_equal(want, topic);
	case ACL_TOPIC_GLOB: return acl_glob(want, topic);
	case ACL_TOPIC_ALL: return true;
	}
	return false;
}

static bool rule_fits(const struct acl_rule *r, const struct acl_subject *s, uint8_t action, struct sl_slice topic,
		      struct sl_buf *scratch) {
	for (size_t i = 0; i < r->topics_len; i++) {
		struct sl_slice want;
		enum acl_topic_kind kind;
		if (!slice_starts_with(topic, r->topics[i].begins)) continue;
		if (acl_topic_fill(&r->topics[i], s, !r->allow, scratch, &want, &kind) &&
		    topic_fits(kind, want, topic, action))
			return true;
	}
	return false;
}

void acl_judge_topic(const struct acl_client *c, uint8_t action, struct sl_slice topic, uint8_t qos, bool retain,
		     struct acl_finding *f) {
	struct acl_walk w = {.c = c};
	struct sl_buf scratch = SL_BUF_INIT;
	uint8_t unfit = retain ? ACL_RETAIN_NOT : ACL_RETAIN_ONLY;
	bool publishes = action != ACL_BIT_RECEIVE;
	size_t own = 0;
	f->allowed = c->who.superuser || said_by_default(c, action, topic);
	f->rule = NULL;
	f->own = false;
	for (const struct acl_rule *r; !c->who.superuser && (r = acl_walk_next(&w));) {
		bool is_own = w.own > own;
		own = w.own;
		if (!(r->actions & action) || (publishes && (!(r->qos >> qos & 1) || r->retain == unfit))) continue;
		if (!rule_fits(r, &c->who, action, topic, &scratch)) continue;
		f->allowed = r->allow;
		f->rule = r;
		f->own = is_own;
		break;
	}
	sl_buf_fini(&scratch);
}

/* ---- filters ---- */

/* What has been found on the way through the rules. */
struct subscription {
	const struct acl_client *c;
	struct sl_slice filter;
	struct sl_slice *allowed; /* filters of allow rules that hold a part of it */
	size_t allowed_len, allowed_cap;
	struct sl_arena arena;
	struct sl_buf scratch, common;
	struct acl_finding *f;
};

static bool covered(struct subscription *s, struct sl_slice filter) {
	return filter_covered(filter, s->allowed, s->allowed_len, s->f->example);
}

/* True: it is decided. */
static bool meets_whole(struct subscription *s, const struct acl_rule *r) {
	/* A deny rule of the whole comes too late if what was allowed before is the whole already. */
	s->f->allowed = r->allow || covered(s, s->filter);
	return true;
}

static bool meets_filter(struct subscription *s, const struct acl_rule *r, struct sl_slice want) {
	sl_buf_clear(&s->common);
	if (!filter_intersect(s->filter, want, &s->common)) return false;
	if (!r->allow) {
		if (covered(s, sl_buf_slice(&s->common))) return false;
		s->f->allowed = false;
		return true;
	}
	SL_GROW(s->allowed, s->allowed_len, s->allowed_cap);
	s->allowed[s->allowed_len++] = sl_arena_dup(&s->arena, want);
	/* One that holds it all needs no look at the others. */
	if (!filter_covered(s->filter, &s->allowed[s->allowed_len - 1], 1, NULL)) return false;
	s->f->allowed = true;
	return true;
}

static bool meets(struct subscription *s, const struct acl_rule *r) {
	for (size_t i = 0; i < r->topics_len; i++) {
		struct sl_slice want;
		enum acl_topic_kind kind;
		if (!acl_topic_fill(&r->topics[i], &s->c->who, !r->allow, &s->scratch, &want, &kind)) continue;
		bool whole = kind == ACL_TOPIC_ALL || (kind == ACL_TOPIC_EXACT && slice_equal(want, s->filter)) ||
			     (kind == ACL_TOPIC_GLOB && acl_glob(want, s->filter));
		if (whole ? meets_whole(s, r) : kind == ACL_TOPIC_FILTER && meets_filter(s, r, want)) return true;
	}
	return false;
}

static bool for_group(const struct acl_rule *r, const struct acl_client *c, struct sl_slice group) {
	bool unknown = false;
	if (r->groups_len == 0) return true;
	if (group.n == 0) return false;
	return acl_patterns_match(r->groups, r->groups_len, group, &c->who, &unknown) || (unknown && !r->allow);
}

static void judge_rules(struct subscription *s, struct sl_slice group, uint8_t qos) {
	struct acl_walk w = {.c = s->c};
	size_t own = 0;
	for (const struct acl_rule *r; (r = acl_walk_next(&w));) {
		bool is_own = w.own > own;
		own = w.own;
		if (!(r->actions & ACL_BIT_SUBSCRIBE) || !(r->qos >> qos & 1) || !for_group(r, s->c, group)) continue;
		if (s->f->example) sl_buf_clear(s->f->example);
		size_t before = s->allowed_len;
		bool decided = meets(s, r);
		if (decided || s->allowed_len > before) { /* of those that allow together, the last is named */
			s->f->rule = r;
			s->f->own = is_own;
		}
		if (decided) return;
	}
	if (s->f->example) sl_buf_clear(s->f->example);
	s->f->allowed =
	    (s->allowed_len && covered(s, s->filter)) || said_by_default(s->c, ACL_BIT_SUBSCRIBE, s->filter);
	if (!s->f->allowed) s->f->rule = NULL;
}

void acl_judge_filter(const struct acl_client *c, struct sl_slice text, uint8_t qos, struct acl_finding *f) {
	struct sl_slice group;
	struct subscription s = {.c = c, .f = f};
	topic_share_split(text, &group, &s.filter);
	f->rule = NULL;
	f->own = false;
	f->allowed = true;
	if (c->who.superuser) return;
	sl_arena_init(&s.arena, 256);
	judge_rules(&s, group, qos);
	sl_arena_fini(&s.arena);
	sl_buf_fini(&s.scratch);
	sl_buf_fini(&s.common);
	sl_free(s.allowed);
}

/* ---- connect ---- */

void acl_judge_connect(const struct acl_client *c, struct acl_finding *f) {
	struct acl_walk w = {.c = c};
	struct sl_buf scratch = SL_BUF_INIT;
	size_t own = 0;
	/* Whom the authenticators let in is in; who has policies needs one that says so. */
	f->allowed = c->who.superuser || !c->policies || c->acl->default_allow;
	f->rule = NULL;
	f->own = false;
	for (const struct acl_rule *r; !c->who.superuser && (r = acl_walk_next(&w));) {
		bool is_own = w.own > own;
		own = w.own;
		if (!(r->actions & ACL_BIT_CONNECT)) continue;
		/* A rule of ours with topics is about those. Policies name clients. */
		if (r->policy && !rule_fits(r, &c->who, ACL_BIT_CONNECT, c->who.clientid, &scratch)) continue;
		f->allowed = r->allow;
		f->rule = r;
		f->own = is_own;
		break;
	}
	sl_buf_fini(&scratch);
}

bool acl_may_connect(const struct acl_client *c) {
	struct acl_finding f = {.rule = NULL};
	acl_judge_connect(c, &f);
	return f.allowed;
}

bool acl_may_subscribe(const struct acl_client *c, struct sl_slice filter, uint8_t qos) {
	struct acl_finding f = {.rule = NULL};
	acl_judge_filter(c, filter, qos, &f);
	return f.allowed;
}

/* ---- what was judged lately ---- */

enum { QUESTION_RECEIVE = 6 }; /* the bits before: QoS and retain of a publish */

static bool judge_publish(const struct acl_client *c, struct sl_slice topic, uint8_t qos, bool retain) {
	struct acl_finding f = {.rule = NULL};
	acl_judge_topic(c, ACL_BIT_PUBLISH, topic, qos, retain, &f);
	if (f.allowed && retain && c->policies) acl_judge_topic(c, ACL_BIT_RETAIN, topic, qos, retain, &f);
	return f.allowed;
}

static bool judge_receive(const struct acl_client *c, struct sl_slice topic) {
	struct acl_finding f = {.rule = NULL};
	acl_judge_topic(c, ACL_BIT_RECEIVE, topic, 0, false, &f);
	if (!f.allowed || !c->strict) return f.allowed;
	for (uint8_t qos = 0; qos <= 2; qos++)
		if (acl_may_subscribe(c, topic, qos)) return true;
	return false;
}

static bool judge(const struct acl_client *c, struct sl_slice topic, unsigned question) {
	if (question == QUESTION_RECEIVE) return judge_receive(c, topic);
	return judge_publish(c, topic, (uint8_t)(question >> 1), question & 1);
}

static void grow(struct acl_client *c) {
	c->memory_cap = c->memory_cap ? c->memory_cap * 2 : ACL_REMEMBERED_FIRST;
	c->hashes = sl_realloc_array(c->hashes, c->memory_cap, sizeof *c->hashes);
	c->memory = sl_realloc_array(c->memory, c->memory_cap, sizeof *c->memory);
}

/* Full, a newcomer takes any place: who goes round in a few topics more still finds some of them. */
static struct acl_memory *remember(struct acl_client *c, uint64_t hash, struct sl_slice topic) {
	if (topic.n > ACL_REMEMBERED_TOPIC_MAX) return NULL;
	uint32_t at = c->memory_len;
	if (at == ACL_REMEMBERED_MAX) {
		at = (uint32_t)(hash >> 32) % ACL_REMEMBERED_MAX;
		sl_free(c->memory[at].topic);
	} else {
		if (at == c->memory_cap) grow(c);
		c->memory_len++;
	}
	c->hashes[at] = hash;
	c->memory[at] = (struct acl_memory){.topic = sl_memdup0(topic.p, topic.n), .len = (uint16_t)topic.n};
	return &c->memory[at];
}

static sl_noinline bool ask_rules(struct acl_client *c, uint64_t hash, struct sl_slice topic, unsigned question,
				  struct acl_memory *m) {
	bool allowed = judge(c, topic, question);
	if (!m) m = remember(c, hash, topic);
	if (!m) return allowed;
	m->known |= (uint8_t)(1u << question);
	if (allowed) m->allowed |= (uint8_t)(1u << question);
	return allowed;
}

static bool asked_lately(struct acl_client *c, struct sl_slice topic, unsigned question) {
	uint64_t hash = sl_hash(topic);
	struct acl_memory *m = NULL;
	for (uint32_t i = 0; i < c->memory_len; i++) {
		if (c->hashes[i] != hash) continue;
		struct acl_memory *at = &c->memory[i];
		if (at->len == topic.n && memcmp(at->topic, topic.p, topic.n) == 0) m = at;
		break;
	}
	if (sl_likely(m && (m->known >> question & 1))) return m->allowed >> question & 1;
	return ask_rules(c, hash, topic, question, m);
}

bool acl_may_publish(struct acl_client *c, struct sl_slice topic, uint8_t qos, bool retain) {
	if (sl_unlikely(c->who.superuser)) return true;
	return asked_lately(c, topic, (unsigned)qos << 1 | retain);
}

bool acl_judges_receive(const struct acl_client *c) { return c->judges_receive || c->strict; }

bool acl_may_receive(struct acl_client *c, struct sl_slice topic) {
	if (c->who.superuser) return true;
	return asked_lately(c, topic, QUESTION_RECEIVE);
}

void acl_client_strict(struct acl_client *c) {
	c->strict = true;
	forget(c);
}
