/* registry.c: the kinds built in, and finding one by its name. */
#include "connectors_int.h"

#include "file.h"
#include "null.h"
#include "sqlite.h"

const struct sl_connector_kind *const sl_connector_kinds[] = {&sl_connector_sqlite, &sl_connector_file,
							      &sl_connector_null, NULL};

const struct sl_connector_kind *connector_kind_find(const char *name) {
	for (size_t i = 0; sl_connector_kinds[i]; i++)
		if (strcmp(sl_connector_kinds[i]->name, name) == 0) return sl_connector_kinds[i];
	return NULL;
}
