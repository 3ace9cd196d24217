/* exec_fuzz.c: text -> the end of a reference, and words. Nothing is run. No word is longer than the text, and words that hold nothing
 * special are the same when they are written again. */
#include <string.h>

#include "conf_exec.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool special(const char *word) { return !*word || strpbrk(word, " \t\r\n'\""); }

static void words_again(char **words) {
	struct sl_buf joined = SL_BUF_INIT;
	char **again;
	for (char **w = words; *w; w++) {
		if (special(*w)) {
			sl_buf_fini(&joined);
			return;
		}
		sl_buf_printf(&joined, "%s ", *w);
	}
	int rc = conf_exec_words(sl_buf_slice(&joined), &again, NULL);
	sl_assert(rc == SL_OK);
	size_t n = 0;
	for (; words[n] && again[n]; n++) sl_assert(strcmp(words[n], again[n]) == 0);
	sl_assert(!words[n] && !again[n]);
	sl_free(again);
	sl_buf_fini(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct sl_slice text = slice_make(data, size);
	struct sl_err err = SL_ERR_INIT;
	ptrdiff_t end = conf_exec_end(text);
	sl_assert(end < 0 || ((size_t)end < size && text.p[end] == '}'));
	if (end >= 0) text = slice_sub(text, 0, (size_t)end);
	char **words;
	int rc = conf_exec_words(text, &words, &err);
	sl_assert((rc == SL_OK) == (words != NULL));
	if (rc == SL_OK) {
		size_t all = 0;
		for (char **w = words; *w; w++) all += strlen(*w);
		sl_assert(words[0] && words[0][0] && all <= text.n);
		words_again(words);
	} else {
		/* What was taken for the end cannot leave a quote open. */
		sl_assert(err.text && (end < 0 || !strstr(err.text, "not closed")));
	}
	sl_err_fini(&err);
	sl_free(words);
	return 0;
}
