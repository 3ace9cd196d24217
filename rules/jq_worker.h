/* jq_worker.h: the helper's side of jq_process.h: `sluice jq-worker`, which nobody calls by hand.
 *
 * Reads frames from standard input, a socket, and answers there, until its end. All numbers are in the order of the
 * machine: both ends are one program.
 *
 *     question   struct jq_question, the program, the data (none: only compile)
 *     answers    struct jq_answer, then its text: first JQ_READY when the program is compiled, then one of the others
 *
 * Before the first question comes, unasked, a JQ_READY without text: the helper is up.
 * What a program could reach beyond its data is closed: no file can be opened (no modules), the environment is empty,
 * nothing can be printed. */
#ifndef JQ_WORKER_H
#define JQ_WORKER_H

#include "common.h"

struct jq_question {
	uint32_t program_bytes, data_bytes;
	uint32_t limit_ms;
	uint32_t run; /* 0: only compile */
};
enum jq_verdict {
	JQ_READY,
	JQ_OUTPUTS,     /* text: a JSON array */
	JQ_BAD_PROGRAM, /* text: why */
	JQ_FAILED,      /* text: the program's error */
	JQ_TOO_LARGE,
};
struct jq_answer {
	uint32_t verdict; /* enum jq_verdict */
	uint32_t bytes;
};
/* How a helper ends by itself. */
enum { JQ_EXIT_MEMORY = 70, JQ_EXIT_TIME = 71 };

#define JQ_WORKER_COMMAND "jq-worker"

/* The command; ends with the socket. */
int cmd_jq_worker(int argc, char **argv);

#endif
