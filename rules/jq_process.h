/* jq_process.h: jq programs, run in a process of their own.
 *
 * libjq can be neither interrupted nor kept within a size, and ends the process that it lives in when memory does. So
 * every thread that calls jq() has a helper: this program again, started on the first call with the command
 * `jq-worker` (jq_worker.h), with a bound on its memory and nothing to read or write but one socket. The caller waits for
 * the answer at most the time limit; a helper that is late or ends is put away, the call fails with a sentence, and the
 * next call starts another. Compiled programs stay in the helper.
 *
 * Lifetime: the helper lives until its thread ends, or the program does: it reads the end of the socket, or is told by
 * the kernel while it runs a program.
 * Thread: any; each has its own helper. Blocks: yes, at most JQ_START_MS for a helper's start, JQ_COMPILE_MS for a program that
 * it meets for the first time, then the limit. Errors: SL_EINVAL (program, data), SL_ELIMIT (time, memory, size), SL_ESYSTEM
 * (no helper), with a sentence in err. */
#ifndef JQ_PROCESS_H
#define JQ_PROCESS_H

#include "buf.h"
#include "err.h"

enum {
	JQ_LIMIT_MS = 100,      /* of a run, unless the call says otherwise */
	JQ_LIMIT_MS_MAX = 1000, /* a run may not ask for more: a worker stands still meanwhile */
	JQ_START_MS = 5000,
	JQ_COMPILE_MS = 2000,
	JQ_PROGRAM_MAX = 64 << 10,
	JQ_TEXT_MAX = 16 << 20,    /* of data, and of all outputs together */
	JQ_MEMORY_MAX = 256 << 20, /* what a helper may map */
};

/* Runs `program` on the JSON text `data`; the outputs as one JSON array are appended to `out`. */
int jq_process_run(struct sl_slice program, struct sl_slice data, uint32_t limit_ms, struct sl_buf *out,
		   struct sl_err *err);
/* Only compiles it. */
int jq_process_check(struct sl_slice program, struct sl_err *err);
/* The process id of this thread's helper; 0: none. For tests. */
int jq_process_id(void);

#endif
