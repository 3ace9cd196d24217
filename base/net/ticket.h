/* ticket.h: a confirmation that somebody waits for, counted.
 *
 * The waiter embeds it (an unacknowledged PUBLISH does). Whoever must confirm raises `pending` once for each thing to
 * wait for and lowers it on the waiter's own loop when that thing is safe; the one that reaches 0 calls done().
 * The waiter keeps the memory alive until then, whatever becomes of its connection.
 * Thread: the waiter's loop only. */
#ifndef SL_TICKET_H
#define SL_TICKET_H

#include "common.h"

struct sl_ticket {
	uint32_t pending;
	/* Rows that are kept in memory only count as safe when they are decided: for waiters who could send again what they
	 * wait for, long after they came (sources.h). */
	bool decided;
	uint8_t patience_ms; /* so much more or less is nothing to the waiter */
	/* Waiters with one number (on one worker, never given again; 0: in no line) are served in the order in which their
	 * tickets were raised: for what one of them waits for, nobody raises the ticket of a later one, but notes it here. */
	bool behind;
	uint64_t line;
	void (*done)(struct sl_ticket *t);
};

#endif
