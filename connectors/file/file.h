/* file.h: the kind `file`. Everything else about it is in file.c and in this folder's README. */
#ifndef SL_CONNECTOR_FILE_H
#define SL_CONNECTOR_FILE_H

#include "connector.h"

extern const struct sl_connector_kind sl_connector_file;

#endif
