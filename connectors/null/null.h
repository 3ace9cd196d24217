/* null.h: the kind `null`. Everything else about it is in null.c and in this folder's README. */
#ifndef SL_CONNECTOR_NULL_H
#define SL_CONNECTOR_NULL_H

#include "connector.h"

extern const struct sl_connector_kind sl_connector_null;

#endif
