/* rules_connector.c: a connector's changes of state as events.
 *
 * They happen on the connectors' loop; each is a letter to the first worker. At start connectors come up before there are
 * workers: what happens until then waits in a list, to which that loop adds and which the main thread empties. */
#include "mem.h"
#include "rules_int.h"

struct state_letter {
	struct sl_post post;
	struct state_letter *next; /* in rules.early */
	struct rules *rules;
	struct rules_about about; /* its texts stand behind */
	int64_t at_ms;
	char bytes[];
};

static void letter_run(struct sl_post *post, struct sl_loop *l) {
	struct state_letter *letter = sl_container_of(post, struct state_letter, post);
	struct rules_worker *rw = letter->rules->workers[0];
	(void)l;
	if (rw && rules_event_wanted(rw, EVENT(CONNECTOR_STATUS)))
		rules_event(rw, &(struct rules_event){.kind = EVENT_CONNECTOR_STATUS,
						      .about = &letter->about,
						      .at_ms = letter->at_ms,
						      .qos = 1,
						      .version = 5,
						      .message_expiry_s = -1,
						      .payload_format = -1});
	sl_free(letter);
}

static struct sl_slice keep(char **at, const char *text) {
	struct sl_slice copy = slice_make(*at, text ? strlen(text) : 0);
	if (copy.n) memcpy(*at, text, copy.n);
	*at += copy.n;
	return copy;
}

void rules_connector_state(void *arg, const struct sl_connector_change *change) {
	struct rules *r = arg;
	size_t bytes = strlen(change->name) + strlen(change->kind) + strlen(change->state) + strlen(change->previous);
	struct state_letter *letter = sl_alloc(sizeof *letter + bytes + (change->text ? strlen(change->text) : 0));
	char *at = letter->bytes;
	*letter = (struct state_letter){.post = {.run = letter_run}, .rules = r, .at_ms = change->at_ms};
	letter->about.connector = keep(&at, change->name);
	letter->about.connector_kind = keep(&at, change->kind);
	letter->about.state = keep(&at, change->state);
	letter->about.previous = keep(&at, change->previous);
	letter->about.reason = keep(&at, change->text);
	letter->about.since_ms = change->at_ms;

	if (r->worker_count == 0) {
		sl_free(letter);
		return;
	}
	struct rules_worker *rw = r->workers[0];
	if (rw && rw->loop) {
		sl_loop_post(rw->loop, &letter->post);
		return;
	}
	letter->next = atomic_load(&r->early);
	while (!atomic_compare_exchange_weak(&r->early, &letter->next, letter)) continue;
	/* The worker may have come between the look and the list. */
	rules_connector_early(r);
}

void rules_connector_early(struct rules *r) {
	struct rules_worker *rw = r->worker_count ? r->workers[0] : NULL;
	if (!rw || !rw->loop) return;
	struct state_letter *list = atomic_exchange(&r->early, NULL), *ordered = NULL;
	while (list) { /* the newest is first */
		struct state_letter *next = list->next;
		list->next = ordered;
		ordered = list;
		list = next;
	}
	while (ordered) {
		struct state_letter *next = ordered->next;
		sl_loop_post(rw->loop, &ordered->post);
		ordered = next;
	}
}

void rules_connector_fini(struct rules *r) {
	for (struct state_letter *next, *letter = atomic_exchange(&r->early, NULL); letter; letter = next) {
		next = letter->next;
		sl_free(letter);
	}
}
