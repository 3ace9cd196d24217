/* list.h: an intrusive doubly linked list, circular with a head.
 *
 * A link sits inside the struct it chains (sl_container_of gets back). A link that is in no list points to
 * itself, so removing twice is harmless. Thread: one at a time. */
#ifndef SL_LIST_H
#define SL_LIST_H

#include "common.h"

struct sl_list {
	struct sl_list *next, *prev;
};

static inline void sl_list_init(struct sl_list *l) { l->next = l->prev = l; }
static inline bool sl_list_empty(const struct sl_list *l) { return l->next == l; }
static inline bool sl_list_linked(const struct sl_list *l) { return l->next != l; }
static inline void sl_list_insert_before(struct sl_list *at, struct sl_list *link) {
	link->prev = at->prev;
	link->next = at;
	at->prev->next = link;
	at->prev = link;
}
static inline void sl_list_push_back(struct sl_list *head, struct sl_list *link) { sl_list_insert_before(head, link); }
static inline void sl_list_push_front(struct sl_list *head, struct sl_list *link) {
	sl_list_insert_before(head->next, link);
}
static inline void sl_list_remove(struct sl_list *link) {
	link->prev->next = link->next;
	link->next->prev = link->prev;
	sl_list_init(link);
}
static inline struct sl_list *sl_list_pop_front(struct sl_list *head) {
	if (sl_list_empty(head)) return NULL;
	struct sl_list *first = head->next;
	sl_list_remove(first);
	return first;
}
/* Moves all of `from` behind `to`'s last; `from` is empty afterwards. */
static inline void sl_list_splice_back(struct sl_list *to, struct sl_list *from) {
	if (sl_list_empty(from)) return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	sl_list_init(from);
}

#define SL_LIST_ENTRY(link, type, member) sl_container_of(link, type, member)
#define SL_LIST_FOREACH(it, head) for (struct sl_list *it = (head)->next; it != (head); it = it->next)
/* Safe when the body removes `it`. */
#define SL_LIST_FOREACH_SAFE(it, head)                                                                                 \
	for (struct sl_list *it = (head)->next, *it##_next = it->next; it != (head);                                   \
	     it = it##_next, it##_next = it->next)

#endif
