/* kafka_auth.h: logins by token (SASL/OAUTHBEARER) whose tokens Sluice makes or reads itself.
 *
 *   oauthbearer with `token_file`   a signed JSON web token from a file, read again when it runs out
 *   aws-msk-iam                     a URL signed with AWS Signature Version 4, good for some minutes
 *
 * librdkafka asks for a token by an event (RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH) on the client's main queue, which must be
 * enabled with rd_kafka_conf_set_events(); whoever polls that queue answers with kafka_auth_refresh().
 *
 * Thread: the one that polls. kafka_auth_refresh() reads one small file at most. */
#ifndef KAFKA_AUTH_H
#define KAFKA_AUTH_H

#include "kafka_conf.h"

/* Gives the client a new token, or says why there is none; then librdkafka asks again soon. */
void kafka_auth_refresh(const struct kafka_conf *conf, rd_kafka_t *rk);

#endif
