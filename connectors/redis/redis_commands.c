/* redis_commands.c: see redis_commands.h. */
#include "redis_commands.h"

#define WAITS "it waits for data and would hold up the rows behind it"
#define LISTENS "it turns the connection into one that only listens"
#define OURS "the connector sends it itself where it is needed"
#define ADMIN "it manages the server, which is no work for a rule"
#define GROUPS "use `transaction: true`, which sends it around the commands of a row"

static const struct redis_command_info table[] = {
    /* Hashes, streams, strings: pairs. */
    {"HSET", 1, REDIS_PAIRS, NULL},
    {"HMSET", 1, REDIS_PAIRS, NULL},
    {"XADD", 1, REDIS_PAIRS, NULL},
    {"MSET", 1, REDIS_PAIRS, NULL},
    {"MSETNX", 1, REDIS_PAIRS, NULL},
    {"ZADD", 1, REDIS_PAIRS, NULL},
    {"GEOADD", 1, REDIS_ITEMS, NULL},

    /* Elements. */
    {"LPUSH", 1, REDIS_ITEMS, NULL},
    {"RPUSH", 1, REDIS_ITEMS, NULL},
    {"LPUSHX", 1, REDIS_ITEMS, NULL},
    {"RPUSHX", 1, REDIS_ITEMS, NULL},
    {"SADD", 1, REDIS_ITEMS, NULL},
    {"SREM", 1, REDIS_ITEMS, NULL},
    {"ZREM", 1, REDIS_ITEMS, NULL},
    {"HDEL", 1, REDIS_ITEMS, NULL},
    {"XDEL", 1, REDIS_ITEMS, NULL},
    {"PFADD", 1, REDIS_ITEMS, NULL},
    {"DEL", 1, REDIS_ITEMS, NULL},
    {"UNLINK", 1, REDIS_ITEMS, NULL},
    {"TOUCH", 1, REDIS_ITEMS, NULL},
    {"EVAL", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},
    {"EVALSHA", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},
    {"FCALL", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},
    {"EVAL_RO", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},
    {"EVALSHA_RO", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},
    {"FCALL_RO", REDIS_KEY_BY_COUNT, REDIS_ITEMS, NULL},

    /* Where the key is not the first argument. */
    {"BITOP", 2, REDIS_ONE, NULL},
    {"XGROUP", 2, REDIS_ONE, NULL},
    {"PUBLISH", REDIS_NO_KEY, REDIS_ONE, NULL},
    {"PING", REDIS_NO_KEY, REDIS_ONE, NULL},
    {"ECHO", REDIS_NO_KEY, REDIS_ONE, NULL},

    {"BLPOP", 1, REDIS_ONE, WAITS},
    {"BRPOP", 1, REDIS_ONE, WAITS},
    {"BLMOVE", 1, REDIS_ONE, WAITS},
    {"BLMOVEM", 1, REDIS_ONE, WAITS},
    {"BLMPOP", 1, REDIS_ONE, WAITS},
    {"BRPOPLPUSH", 1, REDIS_ONE, WAITS},
    {"BZPOPMIN", 1, REDIS_ONE, WAITS},
    {"BZPOPMAX", 1, REDIS_ONE, WAITS},
    {"BZMPOP", 1, REDIS_ONE, WAITS},
    {"XREAD", 1, REDIS_ONE, WAITS},
    {"XREADGROUP", 1, REDIS_ONE, WAITS},
    {"WAIT", 0, REDIS_ONE, WAITS},
    {"WAITAOF", 0, REDIS_ONE, WAITS},
    {"SUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"PSUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"SSUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"UNSUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"PUNSUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"SUNSUBSCRIBE", 0, REDIS_ONE, LISTENS},
    {"MONITOR", 0, REDIS_ONE, LISTENS},
    {"SYNC", 0, REDIS_ONE, LISTENS},
    {"PSYNC", 0, REDIS_ONE, LISTENS},
    {"REPLCONF", 0, REDIS_ONE, LISTENS},
    {"MULTI", 0, REDIS_ONE, GROUPS},
    {"EXEC", 0, REDIS_ONE, GROUPS},
    {"DISCARD", 0, REDIS_ONE, GROUPS},
    {"WATCH", 1, REDIS_ONE, GROUPS},
    {"UNWATCH", 0, REDIS_ONE, GROUPS},
    {"AUTH", 0, REDIS_ONE, OURS},
    {"HELLO", 0, REDIS_ONE, OURS},
    {"SELECT", 0, REDIS_ONE, OURS},
    {"ASKING", 0, REDIS_ONE, OURS},
    {"CLIENT", 0, REDIS_ONE, OURS},
    {"QUIT", 0, REDIS_ONE, OURS},
    {"RESET", 0, REDIS_ONE, OURS},
    {"READONLY", 0, REDIS_ONE, OURS},
    {"READWRITE", 0, REDIS_ONE, OURS},
    {"ACL", 0, REDIS_ONE, ADMIN},
    {"BGREWRITEAOF", 0, REDIS_ONE, ADMIN},
    {"BGSAVE", 0, REDIS_ONE, ADMIN},
    {"CLUSTER", 0, REDIS_ONE, ADMIN},
    {"COMMAND", 0, REDIS_ONE, ADMIN},
    {"CONFIG", 0, REDIS_ONE, ADMIN},
    {"DEBUG", 0, REDIS_ONE, ADMIN},
    {"FAILOVER", 0, REDIS_ONE, ADMIN},
    {"FLUSHALL", 0, REDIS_ONE, ADMIN},
    {"FLUSHDB", 0, REDIS_ONE, ADMIN},
    {"FUNCTION", 0, REDIS_ONE, ADMIN},
    {"KEYS", 0, REDIS_ONE, ADMIN},
    {"LATENCY", 0, REDIS_ONE, ADMIN},
    {"MEMORY", 0, REDIS_ONE, ADMIN},
    {"MIGRATE", 0, REDIS_ONE, ADMIN},
    {"MODULE", 0, REDIS_ONE, ADMIN},
    {"REPLICAOF", 0, REDIS_ONE, ADMIN},
    {"SAVE", 0, REDIS_ONE, ADMIN},
    {"SCRIPT", 0, REDIS_ONE, ADMIN},
    {"SENTINEL", 0, REDIS_ONE, ADMIN},
    {"SHUTDOWN", 0, REDIS_ONE, ADMIN},
    {"SLAVEOF", 0, REDIS_ONE, ADMIN},
    {"SLOWLOG", 0, REDIS_ONE, ADMIN},
    {"SWAPDB", 0, REDIS_ONE, ADMIN},
};

/* All others that Redis 7 has, and of later ones and Valkey's those that look like another: by the rule for any other. */
static const char *const others[] = {
    "APPEND",
    "BITCOUNT",
    "BITFIELD",
    "BITFIELD_RO",
    "BITPOS",
    "COPY",
    "DBSIZE",
    "DECR",
    "DECRBY",
    "DUMP",
    "EXISTS",
    "EXPIRE",
    "EXPIREAT",
    "EXPIRETIME",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUS",
    "GEORADIUSBYMEMBER",
    "GEORADIUSBYMEMBER_RO",
    "GEORADIUS_RO",
    "GEOSEARCH",
    "GEOSEARCHSTORE",
    "GET",
    "GETBIT",
    "GETDEL",
    "GETEX",
    "GETRANGE",
    "GETSET",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HINCRBYFLOAT",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HRANDFIELD",
    "HSCAN",
    "HSETNX",
    "HSTRLEN",
    "HVALS",
    "INCR",
    "INCRBY",
    "INCRBYFLOAT",
    "INFO",
    "LASTSAVE",
    "LCS",
    "LINDEX",
    "LINSERT",
    "LLEN",
    "LMOVE",
    "LMPOP",
    "LOLWUT",
    "LPOP",
    "LPOS",
    "LRANGE",
    "LREM",
    "LSET",
    "LTRIM",
    "MGET",
    "MOVE",
    "OBJECT",
    "PERSIST",
    "PEXPIRE",
    "PEXPIREAT",
    "PEXPIRETIME",
    "PFCOUNT",
    "PFDEBUG",
    "PFMERGE",
    "PFSELFTEST",
    "PSETEX",
    "PTTL",
    "PUBSUB",
    "RANDOMKEY",
    "RENAME",
    "RENAMENX",
    "RESTORE",
    "RESTORE-ASKING",
    "ROLE",
    "RPOP",
    "RPOPLPUSH",
    "SCAN",
    "SCARD",
    "SDIFF",
    "SDIFFSTORE",
    "SET",
    "SETBIT",
    "SETEX",
    "SETNX",
    "SETRANGE",
    "SINTER",
    "SINTERCARD",
    "SINTERSTORE",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SMOVE",
    "SORT",
    "SORT_RO",
    "SPOP",
    "SPUBLISH",
    "SRANDMEMBER",
    "SSCAN",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "SUNIONSTORE",
    "TIME",
    "TTL",
    "TYPE",
    "XACK",
    "XAUTOCLAIM",
    "XCLAIM",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "XSETID",
    "XTRIM",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZDIFFSTORE",
    "ZINCRBY",
    "ZINTER",
    "ZINTERCARD",
    "ZINTERSTORE",
    "ZLEXCOUNT",
    "ZMPOP",
    "ZMSCORE",
    "ZPOPMAX",
    "ZPOPMIN",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANGESTORE",
    "ZRANK",
    "ZREMRANGEBYLEX",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCAN",
    "ZSCORE",
    "ZUNION",
    "ZUNIONSTORE",
    "HEXPIRE",
    "HEXPIREAT",
    "HEXPIRETIME",
    "HPERSIST",
    "HPEXPIRE",
    "HPEXPIREAT",
    "HPEXPIRETIME",
    "HPTTL",
    "HTTL",
    "HGETDEL",
    "HGETEX",
    "HSETEX",
    "VADD",
    "VCARD",
    "VDIM",
    "VEMB",
    "VGETATTR",
    "VINFO",
    "VISMEMBER",
    "VLINKS",
    "VRANDMEMBER",
    "VRANGE",
    "VREM",
    "VSETATTR",
    "VSIM",
    "XACKDEL",
    "XDELEX",
    "MSETEX",
    "DELEX",
    "DIGEST",
    "DELIFEQ",
    "XNACK",
    "LMOVEM",
};

const struct redis_command_info *redis_command_find(struct sl_slice name) {
	static const struct redis_command_info other = {"", 1, REDIS_ONE, NULL};
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++)
		if (slice_equal_nocase(name, slice_from_str(table[i].name))) return &table[i];
	return &other;
}

static bool known(struct sl_slice name) {
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++)
		if (slice_equal_nocase(name, slice_from_str(table[i].name))) return true;
	for (size_t i = 0; i < SL_ARRAY_LEN(others); i++)
		if (slice_equal_nocase(name, slice_from_str(others[i]))) return true;
	return false;
}

static bool same_letter(char a, char b) { return slice_equal_nocase(slice_make(&a, 1), slice_make(&b, 1)); }

/* A letter too many, too few, or another one, or two in the wrong order. More than that may be a command that was renamed, or is newer
 * than we are. */
static bool one_slip(struct sl_slice a, struct sl_slice b) {
	while (a.n && b.n && same_letter(a.p[0], b.p[0])) {
		a = slice_from(a, 1);
		b = slice_from(b, 1);
	}
	while (a.n && b.n && same_letter(a.p[a.n - 1], b.p[b.n - 1])) {
		a.n--;
		b.n--;
	}
	bool swapped = a.n == 2 && b.n == 2 && same_letter(a.p[0], b.p[1]) && same_letter(a.p[1], b.p[0]);
	return swapped || (a.n <= 1 && b.n <= 1);
}

const char *redis_command_meant(struct sl_slice name) {
	if (name.n < 2 || slice_find_byte(name, '.') >= 0 || known(name)) return NULL;
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++)
		if (!table[i].refused && one_slip(name, slice_from_str(table[i].name))) return table[i].name;
	for (size_t i = 0; i < SL_ARRAY_LEN(others); i++)
		if (one_slip(name, slice_from_str(others[i]))) return others[i];
	return NULL;
}

static const char *many_text(enum redis_many many) {
	switch (many) {
	case REDIS_ONE: return "JSON text, one argument";
	case REDIS_ITEMS: return "an array: one argument an element; an object: JSON text";
	case REDIS_PAIRS: return "an object: name, value, name, value; an array: one argument an element";
	}
	return "";
}

static const char *key_text(uint8_t key) {
	static const char *const numbers[] = {"none", "the first argument", "the second argument"};
	return key == REDIS_KEY_BY_COUNT ? "the third argument, when the second is not 0" : numbers[key];
}

static bool same(const struct redis_command_info *a, const struct redis_command_info *b) {
	return a->refused == b->refused && (a->refused || (a->key == b->key && a->many == b->many));
}

/* Commands of which the same holds share a line. */
static void names_print(size_t from, struct sl_buf *out) {
	sl_buf_append_str(out, "|");
	for (size_t i = from; i < SL_ARRAY_LEN(table); i++)
		if (same(&table[i], &table[from])) sl_buf_printf(out, " `%s`", table[i].name);
}

static bool printed_before(size_t at) {
	for (size_t i = 0; i < at; i++)
		if (same(&table[i], &table[at])) return true;
	return false;
}

void redis_commands_print(struct sl_buf *out) {
	sl_buf_append_str(out, "| command | its key | a value that is an object or array |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++) {
		if (table[i].refused || printed_before(i)) continue;
		names_print(i, out);
		sl_buf_printf(out, " | %s | %s |\n", key_text(table[i].key), many_text(table[i].many));
	}
	sl_buf_printf(out, "| any other | %s | %s |\n", key_text(1), many_text(REDIS_ONE));
}

void redis_commands_refused_print(struct sl_buf *out) {
	sl_buf_append_str(out, "| refused | why |\n| --- | --- |\n");
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++) {
		if (!table[i].refused || printed_before(i)) continue;
		names_print(i, out);
		sl_buf_printf(out, " | %s |\n", table[i].refused);
	}
}
