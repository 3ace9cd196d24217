/* persist_record.h: what is kept of a session, a subscription, a will and a retained message, as bytes (store.h has the keys).
 *
 * Each record begins with its version, 1. Numbers are little-endian; texts and payloads stand behind the head, in the order of the
 * struct's members:
 *
 *     session       u8 version | u8 user name there | u16 client id | u16 user name | u16 0 | u32 expiry | u32 0 | i64 created | i64 offline
 *     subscription  u8 version | u8 qos | u8 options | u8 retain handling | u32 identifier | u32 filter
 *     will          u8 version | u8 qos | u8 retain | u8 0 | u32 delay | u32 payload | u32 properties | u16 topic | u16 user name
 *     retained      u8 version | u8 qos | u8 hops | u8 0 | u32 expiry | i64 arrived | u32 payload | u32 properties | u16 topic | u16 client id
 *                   | u16 user name | u16 0
 *
 * Readers trust nothing: lengths fit, topics and filters are such, property blocks are whole. Slices point into the record.
 * Thread: any. */
#ifndef PERSIST_RECORD_H
#define PERSIST_RECORD_H

#include "msg.h"

struct will;

struct session_record {
	struct sl_slice client_id, username;
	bool has_username;
	uint32_t expiry_s;
	int64_t created_ms, offline_ms; /* wall clock; offline 0: connected */
};
void session_record_put(struct sl_buf *out, const struct session_record *r);
int session_record_read(struct sl_slice bytes, struct session_record *out); /* SL_OK or SL_ECORRUPT, as all of these */

struct sub_record {
	struct sl_slice filter; /* as in SUBSCRIBE, $share and all */
	uint32_t sub_id;        /* 0: none */
	uint8_t qos, retain_handling;
	bool no_local, retain_as_published;
};
void sub_record_put(struct sl_buf *out, const struct sub_record *r);
int sub_record_read(struct sl_slice bytes, struct sub_record *out);

void will_record_put(struct sl_buf *out, const struct will *will);
int will_record_read(struct sl_slice bytes, struct will **out); /* a new one */

enum { RETAINED_HEAD_MAX = 40 };
/* The record is the head (in `head`) and then the message's own bytes, from its topic on. */
struct sl_slice retained_record_head(char head[RETAINED_HEAD_MAX], const struct msg *m);
struct sl_slice retained_record_rest(const struct msg *m);
int retained_record_read(struct sl_slice bytes, struct msg **out); /* a strong reference */
/* A delayed message has the same record; the payload may be empty. */
int delayed_record_read(struct sl_slice bytes, bool retain, struct msg **out);

#endif
