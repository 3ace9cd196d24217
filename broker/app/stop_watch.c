/* stop_watch.c: see stop_watch.h. */
#include "stop_watch.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "app_commands.h"
#include "broker.h"
#include "connectors.h"
#include "log.h"

enum { LAST_MS = 5000 };

/* The next of these signals, or 0 when the time is over. */
static int next_signal(uint64_t wait_ms) {
	sigset_t set;
	int sig = 0;
	struct timespec wait = {.tv_sec = (time_t)(wait_ms / 1000)};
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (!wait_ms) return sigwait(&set, &sig) == 0 ? sig : 0;
	sig = sigtimedwait(&set, NULL, &wait);
	return sig > 0 ? sig : 0;
}

static void *watch_main(void *arg) {
	struct stop_watch *w = arg;
	while (!next_signal(0)) continue;
	if (atomic_load(&w->ended)) return NULL;
	alarm(2 * LAST_MS / 1000); /* should even the lines of the log not get out */
	log_always(LOG_WARN, LOG_MAIN, "stopping at once, as asked a second time", "deliveries=%s rows=%s",
		   "not waited for", "kept in their logs for the next start");
	broker_drain_hurry(w->broker);
	connectors_stop_now(w->connectors);
	while (next_signal(LAST_MS) && !atomic_load(&w->ended)) continue;
	if (atomic_load(&w->ended)) return NULL;
	log_always(LOG_ERROR, LOG_MAIN, "the stop does not come to its end, something hangs: ending as if killed",
		   "waited_ms=%d rows=%s", LAST_MS, "what was acknowledged is in the logs");
	_exit(EXIT_SYSTEM);
}

void stop_watch_begin(struct stop_watch *w, struct broker *broker, struct connectors *connectors) {
	*w = (struct stop_watch){.broker = broker, .connectors = connectors};
	w->running =
	    pthread_create(&w->thread, NULL, watch_main, w) == 0; /* without it a second signal has no effect */
}

void stop_watch_end(struct stop_watch *w) {
	if (!w->running) return;
	atomic_store(&w->ended, true);
	pthread_kill(w->thread, SIGTERM);
	pthread_join(w->thread, NULL);
}
