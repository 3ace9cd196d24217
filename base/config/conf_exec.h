/* conf_exec.h: ${exec:program arg 'an arg'}: what a program prints, as a value of the configuration.
 *
 * No shell: the words are the program and its arguments. Quotes, single or double, hold blanks and each other together; nothing
 * else means anything. The program is looked up in PATH, inherits the environment, reads nothing, and has CONF_EXEC_MS to end. Its
 * output is the value, at most CONF_EXEC_MAX bytes, without one final line break. A status that is not 0, a time-out, a missing
 * program are errors, with what was run and the first line of its standard error; its output is in no message.
 *
 * When it has ended, or its time is over, everything that it has started ends, too: what it left in the background, and what went into a
 * session of its own (setsid), as long as it runs as our user (conf_exec_keep.h). An agent that shall stay is started before
 * the broker.
 *
 * While one configuration is loaded the same text runs once (conf_exec_begin() starts the next load), so that one password that is
 * used twice is one password. What a program printed is remembered as secret: conf_exec_hide() knows it again in texts that are
 * shown.
 *
 * Thread: running blocks, one at a time; hiding from any thread. Errors: SL_EIO, SL_ENOTFOUND, SL_ELIMIT, SL_EMALFORMED, SL_ESYNTAX. */
#ifndef SL_CONF_EXEC_H
#define SL_CONF_EXEC_H

#include "buf.h"
#include "common.h"
#include "err.h"
#include "slice.h"

#define CONF_EXEC_MAX (64 * SL_KB)
#define CONF_EXEC_MS 10000

/* Length of the text up to the } that ends it, which is not one between quotes. -1: there is none. */
ptrdiff_t conf_exec_end(struct sl_slice text);
/* The words; *out is a list that ends with NULL, one piece of memory. SL_ESYNTAX: a quote is open, or there is no word. */
int conf_exec_words(struct sl_slice command, char ***out, struct sl_err *err) sl_warn_unused;

/* The next load begins: everything is run anew. */
void conf_exec_begin(void);
/* Appends what the command prints. */
int conf_exec_append(struct sl_slice command, struct sl_buf *out, struct sl_err *err);
/* The same, if it was run in this load; false: it was not, and is not now. */
bool conf_exec_known(struct sl_slice command, struct sl_buf *out);

/* An executable of ours whose main() gives `exec-keeper` to cmd_exec_keeper(): constant text. Without it only the program's process
 * group is ended. Once, before anything runs. */
void conf_exec_keeper(const char *path);

/* For tests: a time limit other than CONF_EXEC_MS; 0 takes that again. */
void conf_exec_limit(uint64_t ms);

/* Appends the text with *** wherever something that a program printed stands in it; what is shorter than four bytes only where it is
 * all of the text. */
void conf_exec_hide(struct sl_slice text, struct sl_buf *out);

#endif
