/* stop_watch.h: asked a second time to stop, the program does so at once: no delivery and no client is waited for.
 *
 *     stop_watch_begin(&w, broker, connectors)   from here on a SIGTERM or SIGINT (blocked, as cmd_run.c does) hurries the stop
 *     stop_watch_end(&w)                         before either of the two is freed
 *
 * Rows that wait stay in their logs, and nothing that was acknowledged is lost. Should the stop still not come to its end, for a
 * loop hangs, the process ends after LAST_MS all the same, as if killed: what was acknowledged is in the logs then, too.
 *
 * Lifetime: the caller's struct. Thread: both on the thread that stops; a thread of its own waits for signals in between. */
#ifndef STOP_WATCH_H
#define STOP_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct broker;
struct connectors;

struct stop_watch {
	struct broker *broker;
	struct connectors *connectors;
	pthread_t thread;
	_Atomic bool ended;
	bool running;
};

void stop_watch_begin(struct stop_watch *w, struct broker *broker, struct connectors *connectors);
void stop_watch_end(struct stop_watch *w);

#endif
