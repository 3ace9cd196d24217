/* cmd_run.c: `sluice run`: starts the service, then waits for signals. */
#include <pthread.h>
#include <signal.h>

#include "app_commands.h"
#include "options.h"
#include "service.h"

/* Blocked before any thread is made, so that only sigwait() below, and stop_watch.c at the end, ever take them. SIGPIPE would be a peer that hung up. */
static void block_signals(sigset_t *set) {
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int cmd_run(int argc, char **argv) {
	struct run_options opts;
	int code = run_options_parse(argc, argv,
				     "Runs the broker. SIGTERM and SIGINT drain and stop it, a second one stops it "
				     "without waiting; SIGHUP reloads rules, connectors and auth.",
				     NULL, &opts);
	if (code != EXIT_FINE) return code < 0 ? EXIT_FINE : code;
	sigset_t set;
	block_signals(&set);
	struct service *s;
	code = service_start(opts.file, &s);
	if (code != EXIT_FINE) return code;
	for (int sig = 0; sig != SIGTERM && sig != SIGINT;) {
		if (sigwait(&set, &sig) != 0) continue;
		if (sig == SIGHUP) service_reload(s);
	}
	service_stop(s);
	return EXIT_FINE;
}
