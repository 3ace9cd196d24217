/* redis_errors.c: see redis_errors.h. The first row that fits counts; the order is the document's. */
#include "redis_errors.h"

#include <string.h>

#include "mem.h"
#include "redis_resp.h"

static const struct redis_error table[] = {
    /* About the row. */
    {"WRONGTYPE", SL_RESULT_REJECT, REDIS_OF_ROW, "the key holds another type than the command works on",
     "use another key, or delete what is there"},
    {"CROSSSLOT", SL_RESULT_REJECT, REDIS_OF_ROW, "the keys of one command are in different slots of the cluster",
     "give them a part in braces in common, such as {device}"},
    {"EXECABORT", SL_RESULT_REJECT, REDIS_OF_ROW,
     "a command of the transaction was refused when it was queued; that command's own error decides", NULL},
    {"ERR unknown command", SL_RESULT_LOST, REDIS_NOT_READY, "this server has no such command; rows wait",
     "correct the command, or load the module that has it"},
    {"ERR unknown subcommand", SL_RESULT_LOST, REDIS_NOT_WORD,
     "the same of a command's second word; where a template makes that and the row is refused amid others that are "
     "taken, "
     "it is rejected",
     "correct the command"},
    {"ERR wrong number of arguments", SL_RESULT_REJECT, REDIS_OF_ROW, "arguments are missing, or too many",
     "look at the command's arguments; an empty object gives none"},
    {"ERR Protocol error: invalid bulk length", SL_RESULT_REJECT, REDIS_OF_ROW,
     "an argument is larger than the server takes; it ends the connection, and the other rows come again",
     "raise its proto-max-bulk-len"},
    {"ERR Protocol error: invalid multibulk length", SL_RESULT_REJECT, REDIS_OF_ROW,
     "a command has more arguments than the server takes; the same", NULL},
    {"ERR max number of clients", SL_RESULT_LOST, REDIS_RECONNECT, "the server has no connection left",
     "raise its maxclients"},
    {"ERR Protocol error", SL_RESULT_LOST, REDIS_RECONNECT, "the server lost track of the conversation", NULL},

    /* About rights, or the action. */
    {"NOPERM No permissions to access a key", SL_RESULT_LOST, REDIS_NOT_KEY,
     "the user may not touch this key (older servers: one of the keys); a row that is refused amid others that are let "
     "in "
     "is rejected, else all wait",
     "give the user the keys (ACL SETUSER ... ~pattern)"},
    {"NOPERM this user has no permissions to access one of the keys", SL_RESULT_LOST, REDIS_NOT_KEY,
     "the same, as Redis 6 and 7.0 say it", "give the user the keys (ACL SETUSER ... ~pattern)"},
    {"NOPERM this user has no permissions to access one of the channels", SL_RESULT_LOST, REDIS_NOT_KEY,
     "the same of a channel", "give the user the channels (ACL SETUSER ... &pattern)"},
    {"NOPERM No permissions to access a channel", SL_RESULT_LOST, REDIS_NOT_KEY, "the same, as Redis 7.2 says it",
     "give the user the channels (ACL SETUSER ... &pattern)"},
    {"NOPERM ACL failure in script", SL_RESULT_LOST, REDIS_IN_SCRIPT,
     "the user may not do what the script does; a row that is refused amid others that are taken is rejected, else "
     "all wait",
     "give the user the commands of the script too, and its keys (ACL SETUSER ... +command ~pattern)"},
    {"ERR The user executing the script can't", SL_RESULT_LOST, REDIS_IN_SCRIPT, "the same, as Redis 7.0 says it",
     "give the user the commands of the script too, and its keys (ACL SETUSER ... +command ~pattern)"},
    {"The user executing the script can't", SL_RESULT_LOST, REDIS_IN_SCRIPT,
     "the same, as Redis 6 says it; there this, and what the server says of itself (`OOM`, `READONLY`, ...), stands "
     "behind `ERR Error running script (...): @user_script:1: `",
     "give the user the commands of the script too, and its keys (ACL SETUSER ... +command ~pattern)"},
    {"NOPERM", SL_RESULT_LOST, REDIS_NOT_WORD,
     "the user may not run this command; rows wait (of a subcommand that a template makes: as above)",
     "give the user the command (ACL SETUSER ... +command)"},
    {"NOSCRIPT", SL_RESULT_LOST, REDIS_NOT_WORD,
     "the server does not know the script; rows wait (where a template makes its name: as above)",
     "load it there (SCRIPT LOAD), or use EVAL, which brings it along"},
    {"NOAUTH", SL_RESULT_LOST, REDIS_RECONNECT, "the server wants a login", "set `username` and `password`"},
    {"WRONGPASS", SL_RESULT_LOST, REDIS_RECONNECT, "the login is not accepted", "check `username` and `password`"},

    /* For now. */
    {"OOM", SL_RESULT_THROTTLED, REDIS_OF_ROW, "the server's memory is full; the rows wait, no attempt is charged",
     "raise its maxmemory, or let it evict (maxmemory-policy)"},
    {"LOADING", SL_RESULT_RETRY, REDIS_OF_ROW, "the server reads its data from disk", NULL},
    {"BUSY ", SL_RESULT_RETRY, REDIS_OF_ROW, "a script keeps the server busy", NULL},
    {"TRYAGAIN", SL_RESULT_RETRY, REDIS_OF_ROW, "the keys of the command are on their way to another node", NULL},
    {"CLUSTERDOWN", SL_RESULT_RETRY, REDIS_OF_ROW, "the cluster has nobody for this slot", NULL},
    {"NOREPLICAS", SL_RESULT_RETRY, REDIS_OF_ROW, "fewer replicas than min-replicas-to-write asks for", NULL},
    {"MISCONF", SL_RESULT_LOST, REDIS_NOT_READY,
     "the server cannot write its data to disk and takes no writes; rows wait",
     "make room on its disk and look into its log"},
    {"BUSYGROUP", SL_RESULT_DONE, REDIS_OF_ROW,
     "the consumer group is there already, which is what XGROUP CREATE wanted", NULL},

    /* About who is master. */
    {"READONLY", SL_RESULT_LOST, REDIS_RECONNECT, "this server is a replica; the master is looked for anew",
     "connect to the master, or use `mode: sentinel`"},
    {"MASTERDOWN", SL_RESULT_LOST, REDIS_RECONNECT, "a replica that lost its master; the master is looked for anew",
     NULL},
    {"ERR WAIT cannot be used with replica", SL_RESULT_LOST, REDIS_RECONNECT,
     "the same, of the question that `replicas` asks", NULL},
    {"UNBLOCKED", SL_RESULT_LOST, REDIS_RECONNECT, "the same, of a server that became a replica meanwhile", NULL},
    {"MOVED", SL_RESULT_LOST, REDIS_MOVED,
     "in a cluster the command follows the slot to its node, in order; with another `mode` rows wait",
     "this server belongs to a cluster: set `mode: cluster`"},
    {"ASK", SL_RESULT_LOST, REDIS_ASK, "the same of a slot that is on its way",
     "this server belongs to a cluster: set `mode: cluster`"},
};

static const struct redis_error other = {"any other", SL_RESULT_REJECT, REDIS_OF_ROW,
					 "`ERR syntax error`, `ERR value is not an integer`, and what scripts say",
					 NULL};

/* Before version 7 what a script met stands behind words of the server's own: "ERR Error running script (call to f_...):
 * @user_script:1: @user_script: 1: -OOM command not allowed ...". What a command says there is not marked with a dash. */
static struct sl_slice unwrapped(struct sl_slice text) {
	if (!slice_starts_with(text, SL_SLICE_LIT("ERR Error running script")) &&
	    !slice_starts_with(text, SL_SLICE_LIT("@user_script")))
		return text;
	ptrdiff_t rights = slice_find(text, SL_SLICE_LIT("The user executing the script can't"));
	if (rights >= 0) return slice_from(text, (size_t)rights);
	ptrdiff_t server = slice_find(text, SL_SLICE_LIT(": -"));
	return server >= 0 ? slice_from(text, (size_t)server + 3) : text;
}

const struct redis_error *redis_error_find(struct sl_slice text) {
	text = unwrapped(text);
	for (size_t i = 0; i < SL_ARRAY_LEN(table); i++)
		if (slice_starts_with(text, slice_from_str(table[i].prefix))) return &table[i];
	return &other;
}

void redis_error_show(const struct redis_error *e, struct sl_slice text, bool single, struct sl_buf *out) {
	/* An unknown command is shown with its arguments, which are data of a message. */
	ptrdiff_t args = slice_find(text, SL_SLICE_LIT(", with args beginning with"));
	const char *advice = e->advice;
	if (advice && !single && strstr(advice, "`mode: ")) advice = NULL;
	redis_show_advice(args < 0 ? text : slice_sub(text, 0, (size_t)args), advice, out);
}

void redis_errors_print(struct sl_buf *out) {
	enum { ROWS = SL_ARRAY_LEN(table) + 1 };
	struct sl_error_class rows[ROWS];
	char *meanings[ROWS];
	for (size_t i = 0; i < ROWS; i++) {
		const struct redis_error *e = i < SL_ARRAY_LEN(table) ? &table[i] : &other;
		meanings[i] = e->advice ? sl_asprintf("%s: %s", e->meaning, e->advice) : sl_strdup(e->meaning);
		rows[i] = (struct sl_error_class){.code = e->prefix, .result = e->result, .meaning = meanings[i]};
	}
	sl_errors_print("the error begins with", rows, ROWS, out);
	for (size_t i = 0; i < ROWS; i++) sl_free(meanings[i]);
}
