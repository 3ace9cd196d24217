/* registry.c: the kinds built in, and finding one by its name. */
#include "connectors_int.h"

#define CONNECTOR_KIND(name) extern const struct sl_connector_kind sl_connector_##name;
#include "connector_tbl.h"
#undef CONNECTOR_KIND

const struct sl_connector_kind *const sl_connector_kinds[] = {
#define CONNECTOR_KIND(name) &sl_connector_##name,
#include "connector_tbl.h"
#undef CONNECTOR_KIND
    NULL};

const struct sl_connector_kind *connector_kind_find(const char *name) {
	for (size_t i = 0; sl_connector_kinds[i]; i++)
		if (strcmp(sl_connector_kinds[i]->name, name) == 0) return sl_connector_kinds[i];
	return NULL;
}
