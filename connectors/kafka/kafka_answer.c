/* kafka_answer.c: the fields of answers, and a walk over them; see kafka_answer.h. */
#include "kafka_answer.h"

#include <string.h>

#include "common.h"
#include "hash.h"
#include "mem.h"
#include "slice.h"

/* Fields, a letter each:
 *   b h i q  numbers of 1, 2, 4, 8 bytes       s S  text; text or none       y Y  bytes; bytes or none
 *   n  a node's number, -1 for none     p  a partition's number, not negative     t  a topic's name, not empty
 *   [...] a list      (...) a list or none      ~  tagged fields, in flexible versions
 *   a  the name of a host     o  a port     c  a node with its host and port; of node -1 they may be anything
 *   T  a topic's name that comes once     {...} a list of partitions: their numbers P are 0 to n - 1, each of them once
 * Flexible versions have shorter lengths (varints), and tagged fields behind the correlation id too, but for ApiVersions. */
enum { PLAIN = 0, FLEXIBLE = 1, FLEXIBLE_BODY = 2 };
static const struct layout {
	int api, from, to, form;
	const char *name, *fields;
} layouts[] = {
    {0, 0, 0, PLAIN, "Produce", "[t[phq]]"},
    {0, 1, 1, PLAIN, "Produce", "[t[phq]]i"},
    {0, 2, 4, PLAIN, "Produce", "[t[phqq]]i"},
    {0, 5, 7, PLAIN, "Produce", "[t[phqqq]]i"},
    {1, 0, 0, PLAIN, "Fetch", "[t[phqY]]"},
    {1, 1, 3, PLAIN, "Fetch", "i[t[phqY]]"},
    {1, 4, 4, PLAIN, "Fetch", "i[t[phqq(qq)Y]]"},
    {1, 5, 6, PLAIN, "Fetch", "i[t[phqqq(qq)Y]]"},
    {1, 7, 10, PLAIN, "Fetch", "ihi[t[phqqq(qq)Y]]"},
    {1, 11, 11, PLAIN, "Fetch", "ihi[t[phqqq(qq)nY]]"},
    {2, 0, 0, PLAIN, "ListOffsets", "[t[ph[q]]]"},
    {2, 1, 1, PLAIN, "ListOffsets", "[t[phqq]]"},
    {2, 2, 3, PLAIN, "ListOffsets", "i[t[phqq]]"},
    {2, 4, 5, PLAIN, "ListOffsets", "i[t[phqqi]]"},
    {3, 0, 0, PLAIN, "Metadata", "[nao][hT{hPn[n][n]}]"},
    {3, 1, 1, PLAIN, "Metadata", "[naoS]n[hTb{hPn[n][n]}]"},
    {3, 2, 2, PLAIN, "Metadata", "[naoS]Sn[hTb{hPn[n][n]}]"},
    {3, 3, 4, PLAIN, "Metadata", "i[naoS]Sn[hTb{hPn[n][n]}]"},
    {3, 5, 6, PLAIN, "Metadata", "i[naoS]Sn[hTb{hPn[n][n][n]}]"},
    {3, 7, 7, PLAIN, "Metadata", "i[naoS]Sn[hTb{hPni[n][n][n]}]"},
    {3, 8, 8, PLAIN, "Metadata", "i[naoS]Sn[hTb{hPni[n][n][n]}i]i"},
    {3, 9, 9, FLEXIBLE, "Metadata", "i[naoS~]Sn[hTb{hPni[n][n][n]~}i~]i~"},
    {8, 0, 2, PLAIN, "OffsetCommit", "[t[ph]]"},
    {8, 3, 7, PLAIN, "OffsetCommit", "i[t[ph]]"},
    {9, 0, 1, PLAIN, "OffsetFetch", "[t[pqSh]]"},
    {9, 2, 2, PLAIN, "OffsetFetch", "[t[pqSh]]h"},
    {9, 3, 4, PLAIN, "OffsetFetch", "i[t[pqSh]]h"},
    {9, 5, 5, PLAIN, "OffsetFetch", "i[t[pqiSh]]h"},
    {9, 6, 7, FLEXIBLE, "OffsetFetch", "i[t[pqiSh~]~]h~"},
    {10, 0, 0, PLAIN, "FindCoordinator", "hc"},
    {10, 1, 2, PLAIN, "FindCoordinator", "ihSc"},
    {11, 0, 1, PLAIN, "JoinGroup", "hisss[sy]"},
    {11, 2, 4, PLAIN, "JoinGroup", "ihisss[sy]"},
    {11, 5, 5, PLAIN, "JoinGroup", "ihisss[sSy]"},
    {12, 0, 0, PLAIN, "Heartbeat", "h"},
    {12, 1, 3, PLAIN, "Heartbeat", "ih"},
    {13, 0, 0, PLAIN, "LeaveGroup", "h"},
    {13, 1, 2, PLAIN, "LeaveGroup", "ih"},
    {13, 3, 3, PLAIN, "LeaveGroup", "ih[sSh]"},
    {14, 0, 0, PLAIN, "SyncGroup", "hy"},
    {14, 1, 3, PLAIN, "SyncGroup", "ihy"},
    {15, 0, 0, PLAIN, "DescribeGroups", "[hssss[sssyy]]"},
    {15, 1, 2, PLAIN, "DescribeGroups", "i[hssss[sssyy]]"},
    {15, 3, 3, PLAIN, "DescribeGroups", "i[hssss[sssyy]i]"},
    {15, 4, 4, PLAIN, "DescribeGroups", "i[hssss[sSssyy]i]"},
    {16, 0, 0, PLAIN, "ListGroups", "h[ss]"},
    {16, 1, 2, PLAIN, "ListGroups", "ih[ss]"},
    {16, 3, 3, FLEXIBLE, "ListGroups", "ih[ss~]~"},
    {16, 4, 4, FLEXIBLE, "ListGroups", "ih[sss~]~"},
    {17, 0, 1, PLAIN, "SaslHandshake", "h[s]"},
    {18, 0, 0, PLAIN, "ApiVersions", "h[hhh]"},
    {18, 1, 2, PLAIN, "ApiVersions", "h[hhh]i"},
    {18, 3, 3, FLEXIBLE_BODY, "ApiVersions", "h[hhh~]i~"},
    {22, 0, 1, PLAIN, "InitProducerId", "ihqh"},
    {22, 2, 4, FLEXIBLE, "InitProducerId", "ihqh~"},
    {36, 0, 0, PLAIN, "SaslAuthenticate", "hSy"},
    {36, 1, 1, PLAIN, "SaslAuthenticate", "hSyq"},
};

enum { KAFKA_API_VERSIONS = 18, UNSUPPORTED_VERSION = 35 };
enum { PARTITION_MAX = 100000, TOPIC_MAX = 249, HOST_MAX = 255, ANSWER_MAX = 32 << 20, FETCH_MAX = INT32_MAX };

static const struct layout *layout_find(int api, int version) {
	for (size_t i = 0; i < SL_ARRAY_LEN(layouts); i++)
		if (layouts[i].api == api && layouts[i].from <= version && version <= layouts[i].to) return &layouts[i];
	return NULL;
}

const char *kafka_answer_name(int api) {
	for (size_t i = 0; i < SL_ARRAY_LEN(layouts); i++)
		if (layouts[i].api == api) return layouts[i].name;
	return "?";
}

/* Records are as large as the client asks for, and librdkafka has its own limit; nothing else is large. */
size_t kafka_answer_max(int api) { return api == KAFKA_API_FETCH ? FETCH_MAX : ANSWER_MAX; }

/* ---- The walk. ---------------------------------------------------------------------------------------------------------- */

struct walk {
	const uint8_t *p;
	size_t n, at;
	bool compact;
	struct kafka_fault *fault;
	/* Topics that were named, by where: open addressing, 0 for nothing; at most half full. */
	struct sl_slice *names;
	size_t names_n, names_cap;
	/* Partitions of the topic at hand: a bit each. */
	uint64_t *numbers;
	int64_t numbers_n;
};

static bool fail(struct walk *w, size_t at, const char *what) {
	*w->fault = (struct kafka_fault){.at = at, .what = what};
	return false;
}

static bool skip(struct walk *w, size_t n) {
	if (n > w->n - w->at) return fail(w, w->at, "it ends too soon");
	w->at += n;
	return true;
}

static bool number(struct walk *w, size_t size, int64_t *out) {
	size_t at = w->at;
	if (!skip(w, size)) return false;
	const uint8_t *p = w->p + at; /* only now: of an empty answer there may be no address */
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < size; i++) v = v << 8 | p[i];
	*out = (int64_t)v;
	return true;
}

static bool varint(struct walk *w, int64_t *out) {
	*out = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (w->at == w->n) return fail(w, w->at, "it ends too soon");
		uint8_t b = w->p[w->at++];
		*out |= (int64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) return true;
	}
	return fail(w, w->at, "a number without an end");
}

/* A length, or how many follow; -1 for none. */
static bool length(struct walk *w, size_t size, bool maybe, int64_t *out) {
	size_t at = w->at;
	if (!(w->compact ? varint(w, out) : number(w, size, out))) return false;
	if (w->compact) *out -= 1;
	if (*out == -1 && maybe) return true;
	if (*out < 0) return fail(w, at, "something is missing, or of negative length");
	if (*out > (int64_t)(w->n - w->at)) return fail(w, at, "something is longer than all that follows");
	return true;
}

static bool text(struct walk *w, bool maybe) {
	int64_t n;
	return length(w, 2, maybe, &n) && skip(w, n < 0 ? 0 : (size_t)n);
}

static bool bytes(struct walk *w, bool maybe) {
	int64_t n;
	return length(w, 4, maybe, &n) && skip(w, n < 0 ? 0 : (size_t)n);
}

static bool topic(struct walk *w) {
	int64_t n;
	size_t at = w->at;
	if (!length(w, 2, false, &n)) return false;
	if (n == 0 || n > TOPIC_MAX) return fail(w, at, "a topic's name has 1 to 249 characters");
	if (memchr(w->p + w->at, 0, (size_t)n)) return fail(w, at, "a topic's name holds a NUL");
	return skip(w, (size_t)n);
}

static struct sl_slice *name_slot(const struct walk *w, struct sl_slice name) {
	size_t at = (size_t)sl_hash(name) & (w->names_cap - 1);
	while (w->names[at].n > 0 && !slice_equal(w->names[at], name)) at = (at + 1) & (w->names_cap - 1);
	return &w->names[at];
}

static void names_grow(struct walk *w) {
	struct walk old = *w;
	w->names_cap = old.names_cap ? old.names_cap * 2 : 16;
	w->names = SL_NEW_ARRAY(struct sl_slice, w->names_cap);
	for (size_t i = 0; i < old.names_cap; i++)
		if (old.names[i].n > 0) *name_slot(w, old.names[i]) = old.names[i];
	sl_free(old.names);
}

static bool topic_once(struct walk *w) {
	size_t at = w->at, head = w->compact ? 1 : 2;
	if (!topic(w)) return false;
	/* A name of 127 characters has a compact length of two bytes. */
	if (w->compact && w->p[at] & 0x80) head = 2;
	struct sl_slice name = slice_make((const char *)w->p + at + head, w->at - at - head);
	if (w->names_n * 2 >= w->names_cap) names_grow(w);
	struct sl_slice *slot = name_slot(w, name);
	if (slot->n > 0) return fail(w, at, "a topic comes twice");
	*slot = name;
	w->names_n++;
	return true;
}

/* An address that is none would take the place of the one that was configured. */
static bool host(struct walk *w) {
	int64_t n;
	size_t at = w->at;
	if (!length(w, 2, false, &n)) return false;
	bool fine = n > 0 && n <= HOST_MAX;
	for (size_t i = 0; fine && i < (size_t)n; i++) fine = w->p[w->at + i] > ' ' && w->p[w->at + i] < 0x7f;
	return fine ? skip(w, (size_t)n) : fail(w, at, "no host can have this name");
}

static bool port(struct walk *w) {
	int64_t v;
	size_t at = w->at;
	return number(w, 4, &v) && ((v > 0 && v <= UINT16_MAX) || fail(w, at, "no port can have this number"));
}

static bool node(struct walk *w) {
	int64_t v;
	size_t at = w->at;
	return number(w, 4, &v) && (v >= -1 || fail(w, at, "a node's number is negative"));
}

static bool coordinator(struct walk *w) {
	size_t at = w->at;
	if (!node(w)) return false;
	bool none = w->p[at] & 0x80;
	return none ? text(w, true) && skip(w, 4) : host(w) && port(w);
}

static bool partition(struct walk *w) {
	int64_t v;
	size_t at = w->at;
	return number(w, 4, &v) && ((v >= 0 && v < PARTITION_MAX) || fail(w, at, "no partition can have this number"));
}

static bool partition_once(struct walk *w) {
	int64_t v;
	size_t at = w->at;
	if (!number(w, 4, &v)) return false;
	if (v < 0 || v >= w->numbers_n) return fail(w, at, "the partitions of a topic are not numbered from 0 on");
	uint64_t bit = (uint64_t)1 << v % 64;
	if (w->numbers[v / 64] & bit) return fail(w, at, "a partition comes twice");
	w->numbers[v / 64] |= bit;
	return true;
}

static bool tags(struct walk *w) {
	int64_t count, tag, size;
	if (!varint(w, &count)) return false;
	for (; count > 0; count--)
		if (!varint(w, &tag) || !varint(w, &size) || !skip(w, (size_t)size)) return false;
	return true;
}

/* Behind the end of the list that opens before `fields`. */
static const char *list_end(const char *fields) {
	for (int depth = 1; depth > 0; fields++)
		depth += (strchr("[({", *fields) != NULL) - (strchr("])}", *fields) != NULL);
	return fields;
}

static bool walk(struct walk *w, const char *fields, const char *end);

/* An entry has a byte at least, so there are not more rounds than bytes. */
static bool list(struct walk *w, const char *fields, const char *end, bool maybe) {
	int64_t count;
	if (!length(w, 4, maybe, &count)) return false;
	for (; count > 0; count--)
		if (!walk(w, fields, end)) return false;
	return true;
}

static bool partitions(struct walk *w, const char *fields, const char *end) {
	uint64_t numbers[PARTITION_MAX / 64 + 1];
	int64_t count;
	size_t at = w->at;
	if (!length(w, 4, false, &count)) return false;
	if (count > PARTITION_MAX) return fail(w, at, "no topic has so many partitions");
	memset(numbers, 0, ((size_t)count / 64 + 1) * sizeof *numbers);
	w->numbers = numbers;
	w->numbers_n = count;
	for (; count > 0; count--)
		if (!walk(w, fields, end)) return false;
	return true;
}

static bool field(struct walk *w, char kind) {
	switch (kind) {
	case 'b': return skip(w, 1);
	case 'h': return skip(w, 2);
	case 'i': return skip(w, 4);
	case 'q': return skip(w, 8);
	case 'n': return node(w);
	case 'p': return partition(w);
	case 't': return topic(w);
	case 'T': return topic_once(w);
	case 'a': return host(w);
	case 'c': return coordinator(w);
	case 'o': return port(w);
	case 'P': return partition_once(w);
	case 's': return text(w, false);
	case 'S': return text(w, true);
	case 'y': return bytes(w, false);
	case 'Y': return bytes(w, true);
	case '~': return tags(w);
	}
	return fail(w, w->at, "the table has a field that nobody knows");
}

static bool walk(struct walk *w, const char *fields, const char *end) {
	bool fine = true;
	while (fine && fields < end) {
		char kind = *fields++;
		const char *behind = strchr("[({", kind) ? list_end(fields) : fields;
		if (behind == fields)
			fine = field(w, kind);
		else if (kind == '{')
			fine = partitions(w, fields, behind - 1);
		else
			fine = list(w, fields, behind - 1, kind == '(');
		fields = behind;
	}
	return fine;
}

bool kafka_answer_check(int api, int version, const uint8_t *p, size_t n, struct kafka_fault *fault) {
	/* A broker that doesn't know the version of the question says so, in the oldest way; librdkafka reads no further. */
	if (api == KAFKA_API_VERSIONS && n >= 2 && p[0] == 0 && p[1] == UNSUPPORTED_VERSION) return true;
	const struct layout *l = layout_find(api, version);
	if (!l) return true;
	struct walk w = {.p = p, .n = n, .compact = l->form != PLAIN, .fault = fault};
	bool fine = (l->form != FLEXIBLE || tags(&w)) && walk(&w, l->fields, l->fields + strlen(l->fields));
	sl_free(w.names);
	return fine;
}
