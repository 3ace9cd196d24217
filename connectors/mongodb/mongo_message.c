/* mongo_message.c: see mongo_message.h. */
#include "mongo_message.h"

#include <bson/bson.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "mem.h"

enum { OP_REPLY = 1, OP_COMPRESSED = 2012, OP_MSG = 2013 };
enum { REPLY_HEAD = 36, COMPRESSED_HEAD = 25, MSG_HEAD = 20, HAS_CHECKSUM = 1, DOCUMENT_MIN = 5 };
enum { COMPRESSOR_SNAPPY = 1, COMPRESSOR_ZLIB, COMPRESSOR_ZSTD };

static uint32_t number(const uint8_t *p) {
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t mongo_message_length(const uint8_t *first_four) {
	uint32_t n = number(first_four);
	return n > MONGO_MESSAGE_HEAD && n <= MONGO_MESSAGE_MAX ? n : 0;
}

/* Members that libmongoc takes to be of this type, and ends the program when they are not. */
static const struct member {
	const char *name;
	bson_type_t type;
	const char
	    *inner; /* what it has of this name, or all it has, is of this type, too; EOD: it may have anything */
	bson_type_t inner_type;
} members[] = {
    {"writeConcernError", BSON_TYPE_DOCUMENT, "errorLabels", BSON_TYPE_ARRAY},
    {"errorLabels", BSON_TYPE_ARRAY, NULL, BSON_TYPE_EOD},
    {"writeErrors", BSON_TYPE_ARRAY, NULL, BSON_TYPE_EOD},
    {"cursor", BSON_TYPE_DOCUMENT, "ns", BSON_TYPE_UTF8},
    {"hosts", BSON_TYPE_ARRAY, NULL, BSON_TYPE_UTF8},
    {"passives", BSON_TYPE_ARRAY, NULL, BSON_TYPE_UTF8},
    {"arbiters", BSON_TYPE_ARRAY, NULL, BSON_TYPE_UTF8},
    {"tags", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
    {"compression", BSON_TYPE_ARRAY, NULL, BSON_TYPE_UTF8},
    {"saslSupportedMechs", BSON_TYPE_ARRAY, NULL, BSON_TYPE_EOD},
    {"speculativeAuthenticate", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
    {"topologyVersion", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
    {"lastWrite", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
    {"$clusterTime", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
    {"recoveryToken", BSON_TYPE_DOCUMENT, NULL, BSON_TYPE_EOD},
};

static bool member_fits(const struct member *m, const bson_iter_t *it) {
	bson_iter_t inner;
	if (bson_iter_type(it) != m->type) return false;
	if (m->inner_type == BSON_TYPE_EOD) return true;
	if (!bson_iter_recurse(it, &inner)) return false;
	while (bson_iter_next(&inner)) {
		bool meant = !m->inner || strcmp(bson_iter_key(&inner), m->inner) == 0;
		if (meant && bson_iter_type(&inner) != m->inner_type) return false;
	}
	return true;
}

static bool members_fit(const bson_t *doc) {
	bson_iter_t it;
	if (!bson_iter_init(&it, doc)) return false;
	while (bson_iter_next(&it))
		for (size_t i = 0; i < sizeof members / sizeof *members; i++)
			if (strcmp(bson_iter_key(&it), members[i].name) == 0 && !member_fits(&members[i], &it))
				return false;
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

/* By the very calls that libmongoc makes: what they make of it is what it will read. True: it fills `size` bytes. */
static bool unpack(uint8_t compressor, const uint8_t *p, size_t n, uint8_t *out, size_t size) {
	size_t made = size;
	uLongf inflated = (uLongf)size;
	switch (compressor) {
	case COMPRESSOR_SNAPPY:
		return snappy_uncompress((const char *)p, n, (char *)out, &made) == SNAPPY_OK && made == size;
	case COMPRESSOR_ZLIB: return uncompress(out, &inflated, p, (uLong)n) == Z_OK && inflated == size;
	case COMPRESSOR_ZSTD: return ZSTD_decompress(out, size, p, n) == size;
	default: return false;
	}
}

/* The message that is in it has the head of this one, with its own code. */
static bool compressed_check(const uint8_t *p, size_t n) {
	size_t size = n >= COMPRESSED_HEAD ? number(p + 20) : 0;
	if (size == 0 || size > MONGO_MESSAGE_MAX - MONGO_MESSAGE_HEAD) return false;
	uint8_t *inner = sl_alloc(MONGO_MESSAGE_HEAD + size);
	memcpy(inner, p, MONGO_MESSAGE_HEAD);
	memcpy(inner + 12, p + 16, 4);
	bool fine = unpack(p[24], p + COMPRESSED_HEAD, n - COMPRESSED_HEAD, inner + MONGO_MESSAGE_HEAD, size) &&
		    mongo_message_check(inner, MONGO_MESSAGE_HEAD + size, false);
	sl_free(inner);
	return fine;
}

bool mongo_message_check(const uint8_t *p, size_t n, bool compressed) {
	if (n < MONGO_MESSAGE_HEAD + 4) return false;
	size_t tail;
	switch (number(p + 12)) {
	case OP_MSG:
		tail = number(p + 16) & HAS_CHECKSUM ? 4 : 0;
		return n >= MSG_HEAD + tail && sections(p + MSG_HEAD, n - MSG_HEAD - tail);
	case OP_REPLY: return n >= REPLY_HEAD && documents(p + REPLY_HEAD, n - REPLY_HEAD) == (int64_t)number(p + 32);
	case OP_COMPRESSED: return compressed && compressed_check(p, n);
	default: return false;
	}
}
