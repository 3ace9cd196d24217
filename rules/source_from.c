/* source_from.c: see source_from.h. */
#include "source_from.h"

#include "mem.h"

#define PREFIX "$sources/"
#define INSIDE                                                                                                         \
	"$\xff"                                                                                                        \
	"sources/"

bool source_from(struct sl_slice from) { return slice_starts_with(from, SL_SLICE_LIT(PREFIX)); }

static bool is_any(struct sl_slice s) { return slice_equal_str(s, "+") || slice_equal_str(s, "#"); }

/* "kafka:orders" -> its halves, the type by its first name; false: there is no such type, or no colon. */
static bool split(struct sl_slice from, struct sl_slice *type, struct sl_slice *name) {
	struct sl_slice rest = slice_sub(from, sizeof PREFIX - 1, from.n - (sizeof PREFIX - 1));
	*type = *name = SL_SLICE_LIT("+");
	if (is_any(rest)) return true;
	ptrdiff_t colon = slice_find_byte(rest, ':');
	if (colon < 0) return false;
	*type = slice_sub(rest, 0, (size_t)colon);
	*name = slice_sub(rest, (size_t)colon + 1, rest.n - (size_t)colon - 1);
	if (is_any(*name)) *name = SL_SLICE_LIT("+");
	if (is_any(*type)) {
		*type = SL_SLICE_LIT("+");
		return true;
	}
	const char *known = sl_source_type(*type);
	if (known) *type = slice_from_str(known);
	return known != NULL;
}

static bool name_fine(struct sl_slice name) {
	if (slice_equal_str(name, "+")) return true;
	for (size_t i = 0; i < name.n; i++)
		if (strchr("/+#:", name.p[i])) return false;
	return name.n > 0 && name.n <= SOURCE_NAME_MAX;
}

static int type_unknown(struct sl_slice from, struct sl_slice type, struct sl_err *err) {
	struct sl_buf types = SL_BUF_INIT;
	sl_source_types(&types);
	if (slice_find_byte(from, ':') < 0)
		sl_err_set(err, SL_EINVAL,
			   "'%.*s': a source has a type and a name, as in '$sources/kafka:orders'; '$sources/#' is all",
			   SL_SLICE_ARG(from));
	else
		sl_err_set(err, SL_EUNSUPPORTED,
			   "'%.*s': there are no sources of type '%.*s' in this build; the types are: %s. What comes "
			   "by MQTT is read with a topic filter, for example FROM \"sensors/#\"",
			   SL_SLICE_ARG(from), SL_SLICE_ARG(type), sl_buf_cstr(&types));
	sl_buf_fini(&types);
	return err->status;
}

int source_from_check(struct sl_slice from, struct sl_err *err) {
	struct sl_slice type, name;
	if (!split(from, &type, &name)) return type_unknown(from, type, err);
	if (name_fine(name)) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "'%.*s': behind the colon stands the name of a source, or '+' for all",
			  SL_SLICE_ARG(from));
}

struct sl_slice source_from_filter(struct sl_slice from, struct sl_arena *arena) {
	struct sl_slice type, name;
	(void)split(from, &type, &name);
	return sl_arena_printf(arena, INSIDE "%.*s/%.*s", SL_SLICE_ARG(type), SL_SLICE_ARG(name));
}

struct sl_slice source_topic(const char *type, const char *name, struct sl_arena *arena) {
	return sl_arena_printf(arena, INSIDE "%s/%s", type, name);
}

bool source_from_is_pattern(struct sl_slice from) {
	return slice_find_byte(from, '+') >= 0 || slice_find_byte(from, '#') >= 0;
}

int source_from_exists(struct sl_slice from, const struct connectors_set *set, struct sl_err *err) {
	struct sl_slice type, name;
	const char *near;
	(void)split(from, &type, &name);
	struct sl_slice any = SL_SLICE_EMPTY;
	if (connectors_set_has_source(set, is_any(type) ? any : type, is_any(name) ? any : name, &near)) return SL_OK;
	const char *other = connectors_set_source_type(set, name);
	if (other)
		return sl_err_set(err, SL_ENOTFOUND,
				  "FROM names '%.*s', and there is no such source; did you mean '$sources/%s:%.*s'?",
				  SL_SLICE_ARG(from), other, SL_SLICE_ARG(name));
	if (near)
		return sl_err_set(err, SL_ENOTFOUND,
				  "FROM names '%.*s', and there is no such source; did you mean '%s'?",
				  SL_SLICE_ARG(from), near);
	return sl_err_set(err, SL_ENOTFOUND,
			  "FROM names '%.*s', and there is no such source; configure it under `sources:`, for example "
			  "`%.*s: %s`",
			  SL_SLICE_ARG(from), SL_SLICE_ARG(is_any(name) ? SL_SLICE_LIT("orders") : name),
			  sl_source_example(type));
}
