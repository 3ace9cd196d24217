/* sql_set.h: the constant list behind IN, found by hash. Only for this folder.
 *
 * The list of an IN step is a constant; from SQL_SET_LEAST elements on it gets a table beside it, so that a list of
 * thousands costs what a list of ten costs. What is the same as what is sql_same()'s to say.
 *
 * Lifetime: of the arena. Thread: constant once made, any. Never blocks; asking allocates nothing. */
#ifndef SQL_SET_H
#define SQL_SET_H

#include "sql_vm.h"

enum { SQL_SET_LEAST = 8 };

struct sql_set {
	struct sql_list list; /* what the constant points to */
	uint32_t mask;
	bool composite;  /* arrays or objects are among the elements: these are looked for one by one */
	uint32_t *slots; /* number of the element + 1; 0: free */
};

/* Takes over the list's elements. */
const struct sql_list *sql_set_new(struct sl_arena *arena, const struct sql_list *list);
/* `list` came from sql_set_new(). */
bool sql_set_has(struct sql_vm *vm, const struct sql_value *list, const struct sql_value *v);

#endif
