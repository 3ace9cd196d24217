/* broker_conf_int.h: the option tables of the configuration file's sections (broker_conf_tables.c, broker_conf_listener.c). */
#ifndef BROKER_CONF_INT_H
#define BROKER_CONF_INT_H

#include "broker_conf.h"

extern const struct conf_field broker_conf_fields[];     /* the whole file */
extern const struct conf_field broker_listener_fields[]; /* an entry of `listeners` */
extern const struct conf_field broker_persistence_fields[];

/* After the tables were applied: what they cannot say about listeners. SL_OK, or the status of the first mistake. */
int broker_conf_check_listeners(struct broker_conf *conf, const json_t *root, struct conf_report *report);
/* "host:port" in its parts; what is wrong goes to err, and *host stays as it is. */
void broker_conf_split_bind(const char *bind, char **host, uint16_t *port, struct sl_err *err);

void broker_conf_limits(struct sl_buf *out); /* for the reference */

/* broker_conf_mqtt_flow.c: of `mqtt` */
extern const struct conf_field broker_conf_rewrite_fields[], broker_conf_auto_subscribe_fields[];
int broker_conf_check_flow(const struct broker_conf *conf, struct conf_report *report); /* what one row cannot know */
extern const char *const broker_conf_queue_words[];                                     /* enum broker_queue_policy */
extern const char *const broker_conf_shared_words[]; /* in the order of enum broker_shared_strategy */
int broker_conf_check_shared(const struct conf_field *field, struct sl_slice text, struct sl_err *err);

/* broker_conf_guard.c */
extern const struct conf_field broker_flapping_fields[], broker_failures_fields[], broker_connect_rate_fields[];

/* broker_conf_auth.c */
extern const struct conf_field broker_auth_fields[];
int broker_conf_check_auth(struct broker_conf *conf, const json_t *root, struct conf_report *report);

#endif
