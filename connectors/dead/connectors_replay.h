/* connectors_replay.h: rows of dead-letter files on their way back to their actions.
 *
 *     data_dir/dead/rule.0.jsonl                            dead letters, as they come
 *     data_dir/dead/rule.0.jsonl.1767225600000-0.replay     to be given back
 *     data_dir/dead/rule.0.jsonl.1767225600000-0.replay.only    which rows of it, unless all: {"topic":"plant/+","clientid":"a7","anyway":true}
 *
 * Who wants rows replayed moves their file aside, which is atomic and needs no word to a broker that may be running. The
 * connector loop looks into the folder once a second, at a start and at a reload. It takes such files in the order of their
 * names, in small portions: rows that fit their action go into its log as rows that must survive. Their action is the one of their
 * rule that writes to where they were meant for (`destination`), for the list of actions may have changed. A line that does not fit
 * goes back into the dead-letter file as it stands. When all of a file is in the log, it is removed. A crash before that
 * repeats rows and never loses any. A log that is full makes the replay wait, and nobody else.
 *
 * Thread: connectors_replay_* on any, outside of the loops: they block on files. */
#ifndef CONNECTORS_REPLAY_H
#define CONNECTORS_REPLAY_H

#include "connectors.h"

/* What stands in one dead-letter file. Borrowed for the call. */
struct replay_file {
	const char *path;
	const char *action; /* "rule.0"; NULL: no action of the configuration writes there, and none takes its rows */
	size_t elsewhere;   /* rows that go to another action, which writes now to where they were meant for */
	size_t rows, stay;  /* stay: of the rows, those that cannot be given back */
	size_t others;      /* rows whose message was not asked for; they stay, too */
	const char *why;    /* the first of these; NULL: none */
};
struct replay_row {
	const char *action;
	struct sl_slice at, given_up, reason, connector, row; /* row: a JSON object */
	struct sl_origin from;                                /* empty: not known */
	uint32_t attempts;                                    /* 0: not known */
	const char *to;                                       /* the action it goes to; NULL: it stays */
	const char *stays;                                    /* why it cannot be given back; NULL: it can */
};
struct replay_wants {
	const char *data_dir;
	const char *only; /* "rule", "rule.0"; NULL: all */
	const char *topic,
	    *clientid; /* only rows of messages with a topic that this filter matches, of this client; NULL: all */
	bool anyway;   /* also to an action that writes to something else than the rows were meant for */
	void (*row)(void *arg, const struct replay_row *row); /* NULL: not wanted */
	/* After the rows of the file: true moves it aside, for the replay. */
	bool (*file)(void *arg, const struct replay_file *file);
	void *arg;
};

/* Looks through the dead-letter files of the actions of a prepared set. *files: how many there were. */
int connectors_replay_offer(const struct connectors_set *set, const struct replay_wants *wants, size_t *files,
			    struct sl_err *err);
/* How many files wait for the connector loop of a broker that runs on this folder, or will. */
size_t connectors_replay_waiting(const char *data_dir);

#endif
