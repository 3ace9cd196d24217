/* sql_share.c: see sql_share.h. */
#include "sql_share.h"

#include "mem.h"
#include "sql_vm.h"

void sql_share_init(struct sql_share *s) {
	*s = (struct sql_share){.generation = 1}; /* a new slot's is 0 */
	sl_arena_init(&s->arena, 4096);
}

void sql_share_fini(struct sql_share *s) {
	sl_arena_fini(&s->arena);
	sl_free(s->slots);
	*s = (struct sql_share){.cap = 0};
}

void sql_share_reserve(struct sql_share *s, size_t slots) {
	if (slots <= s->cap) return;
	s->slots = sl_realloc_array(s->slots, slots, sizeof *s->slots);
	memset(s->slots + s->cap, 0, (slots - s->cap) * sizeof *s->slots);
	s->cap = slots;
}

void sql_share_begin(struct sql_share *s, struct sl_slice payload) {
	s->generation++;
	s->payload = payload;
	if (!s->kept) return;
	sl_arena_reset(&s->arena);
	s->kept = 0;
}

/* Does it live as long as the event, where it is? */
static bool stands(const struct sql_share *s, const struct sql_value *v) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_DOUBLE: return true;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: return v->n == 0 || (v->p >= s->payload.p && v->p < s->payload.p + s->payload.n);
	case SQL_LIST:
	case SQL_MAP: return false;
	}
	return false;
}

void sql_share_keep(struct sql_vm *vm, uint32_t n, const struct sql_value *v) {
	struct sql_share *s = vm->share;
	if (vm->share_map[n] == SQL_SHARE_NONE) return;
	struct sql_share_slot *slot = &s->slots[vm->share_map[n]];
	if (stands(s, v)) {
		slot->value = *v;
	} else {
		size_t bytes = sql_value_weight(v);
		if (bytes > SQL_SHARE_KEPT_MAX - s->kept) return;
		s->kept += bytes;
		slot->value = sql_value_copy(&s->arena, v);
	}
	slot->generation = s->generation;
}

enum sql_outcome sql_share_run(struct sql_vm *vm, const struct sql_program *p, struct sql_share *share,
			       const uint16_t *map, const struct sql_input *in, sql_row_fn on_row, void *arg) {
	vm->share = share;
	vm->share_map = map;
	return sql_vm_run(vm, p, &p->sharing, in, on_row, arg);
}

const struct sql_shared *sql_program_shared(const struct sql_program *p, size_t *count) {
	*count = p->n_shared;
	return p->shared;
}
