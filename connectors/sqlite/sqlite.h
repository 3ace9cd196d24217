/* sqlite.h: the kind `sqlite`. Everything else about it is in sqlite.c and in this folder's README. */
#ifndef SL_CONNECTOR_SQLITE_H
#define SL_CONNECTOR_SQLITE_H

#include "connector.h"

extern const struct sl_connector_kind sl_connector_sqlite;

#endif
