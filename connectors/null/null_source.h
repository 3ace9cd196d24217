/* null_source.h: the source of the null connector, for null.c. See null_source.c. */
#ifndef NULL_SOURCE_H
#define NULL_SOURCE_H

#include "source.h"

extern const struct sl_source_kind null_source_kind;

#endif
