/* rewrite.h: topics that are written anew as they come in (mqtt.rewrite).
 *
 *     {action: publish, filter: "x/#", regex: "^x/y/(.+)$", to: "z/y/$1"}     x/y/1 becomes z/y/1
 *
 * The first entry whose filter and regex fit decides, and what it makes is not looked at again: there are no loops. It comes before
 * everything else that looks at the topic: access rules, reserved topics, subscriptions, and after what stands for something else
 * already: topic aliases, the `$delayed/10/` and `$share/group/` in front. A filter of SUBSCRIBE is text here: "x/#"
 * is fitted by entries with the filter "x/#", and by their regex as it stands. Wills are written anew when they are published;
 * what rules publish is not: they say what they mean.
 * A topic that would become no valid one is refused.
 *
 * Lifetime: a rewrite is immutable; a rewriter is one worker's, with memory to match in. Thread: a rewriter one at a time. */
#ifndef REWRITE_H
#define REWRITE_H

#include "buf.h"
#include "err.h"
#include "slice.h"

enum broker_rewrite_action { BROKER_REWRITE_ALL, BROKER_REWRITE_PUBLISH, BROKER_REWRITE_SUBSCRIBE };

struct broker_rewrite {
	enum broker_rewrite_action action;
	const char *filter, *regex, *to;
};

struct rewrite;
struct rewriter;

/* Copies the specs; n 0 gives NULL. An error: a regex that is none, a placeholder that is none. */
int rewrite_new(const struct broker_rewrite *specs, size_t n, struct rewrite **out, struct sl_err *err);
void rewrite_free(struct rewrite *r); /* NULL is fine */

struct rewriter *rewriter_new(const struct rewrite *r) sl_warn_unused;
void rewriter_free(struct rewriter *r); /* NULL is fine */

enum rewritten { REWRITE_NONE, REWRITE_DONE, REWRITE_BAD };

/* as: publish or subscribe. topic: without $share/group. With REWRITE_DONE *out is the new one, valid until the next call; whether it is
 * a good topic is the caller's to see. REWRITE_BAD: a client's name cannot be put in, or the regex gave up. */
enum rewritten rewrite_topic(struct rewriter *r, enum broker_rewrite_action as, struct sl_slice topic,
			     struct sl_slice clientid, struct sl_slice username, struct sl_slice *out);

#endif
