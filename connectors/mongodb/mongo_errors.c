/* mongo_errors.c: see mongo_errors.h. The numbers are MongoDB's (error_codes.yml); FerretDB and others use the same. */
#include "mongo_errors.h"

#include "mem.h"

#define ROW(number, what, text)                                                                                        \
	{                                                                                                              \
		.code = (number), .scope = SCOPE_ROW, .class = {                                                       \
			.code = #number,                                                                               \
			.result = SL_RESULT_##what,                                                                    \
			.meaning = (text)                                                                              \
		}                                                                                                      \
	}
#define WAIT(number, text)                                                                                             \
	{                                                                                                              \
		.code = (number), .scope = SCOPE_WAIT, .class = {                                                      \
			.code = #number,                                                                               \
			.result = SL_RESULT_LOST,                                                                      \
			.meaning = (text)                                                                              \
		}                                                                                                      \
	}
#define DOWN(number, text)                                                                                             \
	{                                                                                                              \
		.code = (number), .scope = SCOPE_DOWN, .class = {                                                      \
			.code = #number,                                                                               \
			.result = SL_RESULT_LOST,                                                                      \
			.meaning = (text)                                                                              \
		}                                                                                                      \
	}

static const struct mongo_error errors[] = {
    ROW(1, RETRY, "an error inside of the server; the row that meets it is found, and tried again"),
    ROW(2, REJECT, "a value that the server does not take here"),
    DOWN(6, "a host behind the server cannot be reached"),
    DOWN(7, "a host behind the server is not found"),
    ROW(8, RETRY, "an error that the server has no name for; the same"),
    ROW(9, REJECT, "an update or a filter that the server cannot read"),
    DOWN(11, "login: this user does not exist"),
    WAIT(13, "no right to do this; grant the user `readWrite` on the database"),
    ROW(14, REJECT, "wrong type, for example `$inc` of text"),
    DOWN(18, "login refused; check user, password and `authSource`"),
    WAIT(20, "not allowed on this server; a standalone server wants `retry_writes: false`"),
    ROW(22, REJECT, "a document that the server cannot read"),
    ROW(24, RETRY, "a lock was not given in time"),
    WAIT(26, "no such collection, or none of this kind; create it"),
    ROW(28, REJECT, "a path leads through a value that is no object"),
    ROW(40, REJECT, "two operators change the same field"),
    ROW(50, RETRY, "the server's time limit for the command passed"),
    ROW(52, REJECT, "a name begins with `$`, and this server does not store such"),
    ROW(53, REJECT, "the `_id` is of a type that no `_id` can be"),
    ROW(54, REJECT, "an update needs one exact value here"),
    ROW(56, REJECT, "an empty name, and this server does not store such"),
    ROW(57, REJECT, "a name holds a dot, and this server does not store such"),
    WAIT(59, "the server does not know this command"),
    ROW(61, REJECT, "the shard key is missing in the filter or the document"),
    ROW(63, RETRY, "the shard moved"),
    ROW(64, TIMEOUT, "stored, but not confirmed by as many members as `write_concern` asks for within `wtimeout`"),
    ROW(66, REJECT, "the update would change `_id` or a shard key"),
    WAIT(72, "the server refuses these options of the collection"),
    ROW(73, REJECT, "no possible name of a collection"),
    ROW(79, TIMEOUT, "stored, but the server does not know the `w` of `write_concern`; correct it"),
    DOWN(89, "a host behind the server does not answer"),
    DOWN(91, "the server is shutting down"),
    ROW(100, TIMEOUT, "stored, but there are not as many members as `write_concern` asks for; correct it"),
    ROW(112, RETRY, "another write got in between"),
    ROW(117, RETRY, "another operation is under way"),
    ROW(121, REJECT, "the collection's validation refuses the document"),
    DOWN(133, "no primary"),
    ROW(146, RETRY, "the server is short of memory"),
    ROW(150, RETRY, "the shard moved"),
    WAIT(166, "a view cannot be written to"),
    DOWN(189, "the primary stepped down"),
    WAIT(238, "this server does not implement what the action asks for"),
    ROW(251, RETRY, "the transaction of a retried write is gone"),
    ROW(262, RETRY, "the server's time limit passed"),
    DOWN(334, "login: the server does not offer this mechanism"),
    ROW(462, RETRY, "the server takes no more requests for now"),
    DOWN(8000, "Atlas refuses the login or the cluster is paused"),
    DOWN(9001, "the server lost a connection of its own"),
    DOWN(10058, "this server is not the primary"),
    DOWN(10107, "this server is not the primary"),
    ROW(10334, REJECT, "the document is larger than 16 MB"),
    ROW(11000, REJECT, "a unique index has this key already; see `duplicates`"),
    ROW(11001, REJECT, "the same, of older servers"),
    DOWN(11600, "the server is shutting down"),
    ROW(11601, RETRY, "an administrator ended the operation"),
    DOWN(11602, "the primary changed during the operation"),
    ROW(12582, REJECT, "the same as 11000, of older servers"),
    ROW(13388, RETRY, "the shard moved"),
    DOWN(13435, "this server is not the primary"),
    DOWN(13436, "this server is neither primary nor secondary now"),
    WAIT(14031, "the server's disk is full; make room there"),
    ROW(16755, REJECT, "a geographic index cannot read the value"),
    ROW(17280, REJECT, "the value is too long for an index"),
    ROW(17419, REJECT, "the document would grow beyond 16 MB"),
};
enum { ERRORS = sizeof errors / sizeof *errors };

const struct mongo_error *mongo_error_find(int code) {
	size_t low = 0, high = ERRORS;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (errors[mid].code == code) return &errors[mid];
		if (errors[mid].code < code)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool mongo_error_is_inside(int code) { return code == 1 || code == 8; }
bool mongo_error_is_of_server(int code) { return code == 14031; }
bool mongo_error_is_time(int code) { return code == 50 || code == 262; }
bool mongo_error_is_duplicate(int code) { return code == MONGO_DUPLICATE_KEY || code == 11001 || code == 12582; }

void mongo_errors_print(struct sl_buf *out) {
	static const char *const waits[] = {
	    [SCOPE_ROW] = "", [SCOPE_WAIT] = "; the action waits", [SCOPE_DOWN] = "; the connection is down"};
	struct sl_error_class rows[ERRORS];
	for (size_t i = 0; i < ERRORS; i++) {
		rows[i] = errors[i].class;
		rows[i].meaning = sl_asprintf("%s%s", errors[i].class.meaning, waits[errors[i].scope]);
	}
	sl_errors_print("code", rows, ERRORS, out);
	for (size_t i = 0; i < ERRORS; i++) sl_free((void *)(uintptr_t)rows[i].meaning);
}
