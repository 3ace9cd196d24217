/* broker_conf_int.h: the option tables of the configuration file's sections (broker_conf_tables.c). */
#ifndef BROKER_CONF_INT_H
#define BROKER_CONF_INT_H

#include "broker_conf.h"

extern const struct conf_field broker_conf_fields[];     /* the whole file */
extern const struct conf_field broker_listener_fields[]; /* an entry of `listeners` */

#endif
