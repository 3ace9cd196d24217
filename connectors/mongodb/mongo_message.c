/* mongo_message.c: see mongo_message.h. */
#include "mongo_message.h"

#include <bson/bson.h>
#include <string.h>

enum { OP_REPLY = 1, OP_COMPRESSED = 2012, OP_MSG = 2013 };
enum { REPLY_HEAD = 36, COMPRESSED_HEAD = 25, MSG_HEAD = 20, HAS_CHECKSUM = 1, DOCUMENT_MIN = 5 };

static uint32_t number(const uint8_t *p) {
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t mongo_message_length(const uint8_t *first_four) {
	uint32_t n = number(first_four);
	return n > MONGO_MESSAGE_HEAD && n <= MONGO_MESSAGE_MAX ? n : 0;
}

/* Members that libmongoc takes to be of this type, and ends the program when they are not. */
static bool members_fit(const bson_t *doc) {
	static const struct {
		const char *name;
		bson_type_t type;
	} known[] = {
	    {"writeConcernError", BSON_TYPE_DOCUMENT},
	    {"errorLabels", BSON_TYPE_ARRAY},
	    {"writeErrors", BSON_TYPE_ARRAY},
	    {"cursor", BSON_TYPE_DOCUMENT},
	    {"hosts", BSON_TYPE_ARRAY},
	    {"passives", BSON_TYPE_ARRAY},
	    {"arbiters", BSON_TYPE_ARRAY},
	    {"tags", BSON_TYPE_DOCUMENT},
	    {"compression", BSON_TYPE_ARRAY},
	    {"saslSupportedMechs", BSON_TYPE_ARRAY},
	    {"speculativeAuthenticate", BSON_TYPE_DOCUMENT},
	    {"topologyVersion", BSON_TYPE_DOCUMENT},
	    {"lastWrite", BSON_TYPE_DOCUMENT},
	    {"$clusterTime", BSON_TYPE_DOCUMENT},
	    {"recoveryToken", BSON_TYPE_DOCUMENT},
	};
	bson_iter_t it, inner;
	if (!bson_iter_init(&it, doc)) return false;
	while (bson_iter_next(&it))
		for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
			if (strcmp(bson_iter_key(&it), known[i].name) != 0) continue;
			if (bson_iter_type(&it) != known[i].type) return false;
			if (i == 0 && bson_iter_recurse(&it, &inner) && bson_iter_find(&inner, "errorLabels") &&
			    !BSON_ITER_HOLDS_ARRAY(&inner))
				return false;
		}
	return true;
}

/* The length of the document that begins here, 0 for none. */
static size_t document(const uint8_t *p, size_t left) {
	bson_t doc;
	uint32_t n = left >= DOCUMENT_MIN ? number(p) : 0;
	if (n < DOCUMENT_MIN || n > left) return 0;
	return bson_init_static(&doc, p, n) && bson_validate(&doc, BSON_VALIDATE_NONE, NULL) && members_fit(&doc) ? n
														  : 0;
}

/* Documents up to the end; how many, or -1. */
static int64_t documents(const uint8_t *p, size_t left) {
	int64_t count = 0;
	for (size_t n; left > 0; p += n, left -= n, count++) {
		n = document(p, left);
		if (n == 0) return -1;
	}
	return count;
}

/* A section with a name and documents; its length, 0 for none. */
static size_t sequence(const uint8_t *p, size_t left) {
	uint32_t n = left >= 5 ? number(p) : 0;
	if (n < 5 || n > left) return 0;
	const uint8_t *end = memchr(p + 4, 0, n - 4);
	return end && documents(end + 1, (size_t)(p + n - (end + 1))) >= 0 ? n : 0;
}

static bool sections(const uint8_t *p, size_t left) {
	if (left == 0) return false;
	while (left > 0) {
		uint8_t kind = *p++;
		left--;
		size_t n = kind == 0 ? document(p, left) : kind == 1 ? sequence(p, left) : 0;
		if (n == 0) return false;
		p += n;
		left -= n;
	}
	return true;
}

bool mongo_message_check(const uint8_t *p, size_t n) {
	if (n < MONGO_MESSAGE_HEAD + 4) return false;
	size_t tail;
	switch (number(p + 12)) {
	case OP_MSG:
		tail = number(p + 16) & HAS_CHECKSUM ? 4 : 0;
		return n >= MSG_HEAD + tail && sections(p + MSG_HEAD, n - MSG_HEAD - tail);
	case OP_REPLY: return n >= REPLY_HEAD && documents(p + REPLY_HEAD, n - REPLY_HEAD) == (int64_t)number(p + 32);
	case OP_COMPRESSED: /* what is in it libmongoc has to judge; but it makes room for as much as is said */
		return n >= COMPRESSED_HEAD && number(p + 20) <= MONGO_MESSAGE_MAX - MONGO_MESSAGE_HEAD;
	default: return false;
	}
}
