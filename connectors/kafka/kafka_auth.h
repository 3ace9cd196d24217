/* kafka_auth.h: logins by token (SASL/OAUTHBEARER) whose tokens Sluice makes or reads itself.
 *
 *   oauthbearer with `token_file`   a signed JSON web token from a file, read again when it runs out
 *   aws-msk-iam                     a URL signed with AWS Signature Version 4, good for 15 minutes
 *
 * librdkafka asks for a token by an event (RD_KAFKA_EVENT_OAUTHBEARER_TOKEN_REFRESH) on the client's main queue, which must be
 * enabled with rd_kafka_conf_set_events(); whoever polls that queue answers with kafka_auth_refresh().
 *
 * Thread: the one that polls. kafka_auth_refresh() reads one small file at most. Errors: SL_E... and a text without secrets. */
#ifndef KAFKA_AUTH_H
#define KAFKA_AUTH_H

#include "kafka_conf.h"

/* Gives the client a new token, or says why there is none; then librdkafka asks again soon. */
void kafka_auth_refresh(const struct kafka_conf *conf, rd_kafka_t *rk);

struct kafka_token {
	struct sl_buf text;
	int64_t until_ms; /* wall clock */
	char *principal;  /* owned */
};
void kafka_token_fini(struct kafka_token *t);
/* The token in a file's text: who it is for, and until when. Its signature is the brokers' to check. */
int kafka_token_read(struct sl_slice text, struct kafka_token *out, struct sl_err *err);
/* The token of MSK IAM, as of now. */
void kafka_token_sign(const struct kafka_sasl_conf *sasl, int64_t now_ms, struct kafka_token *out);

#endif
