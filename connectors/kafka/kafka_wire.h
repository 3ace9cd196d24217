/* kafka_wire.h: what brokers answer is looked at before librdkafka reads it.
 *
 * librdkafka 2.0 dies of nonsense in an answer, and the whole program with it. It has no place where answers could be looked at:
 * it reads its sockets with recvmsg() and writes them with sendmsg(). So these two are ours (kafka_wire_calls.c): a program's
 * own functions stand before the C library's for all libraries, which is how every replacement of malloc() works. For all
 * descriptors but those of brokers they are the system's calls and nothing else.
 *
 *     kafka_wire_watch(conf)    librdkafka tells of each socket that it connects and closes
 *       connect    ── the descriptor has a wire from now on; the connection is librdkafka's own, with all its options and limits
 *       sendmsg()  ── heads of requests are noted: which answer will come for which number
 *       recvmsg()  ── the answer goes from the system into librdkafka's own buffer; when its last byte is there it is looked at
 *                     (kafka_answer.h, kafka_fetch.h) before librdkafka is told of that byte. Nonsense is EBADMSG: librdkafka drops the
 *                     connection, and what was under way is tried again
 *
 * No answer is copied, held back or shown to another thread; the cost is about 0.2 microseconds a request, and for records that of
 * their checksums, which librdkafka need not look at then. A Fetch is remembered until it is answered.
 *
 * Not looked at: connections over TLS (their bytes go through OpenSSL): a peer whose certificate was verified is trusted that
 * far. Logins by SASL as brokers before 1.0 have them, which are no answers but bytes of the mechanism; what follows is.
 *
 * Lifetime: a wire belongs to its descriptor, from connect to close. The client must outlive its rd_kafka_t, as it does anyway.
 * Thread: the one of librdkafka's for that broker; nothing blocks, no lock. Memory: a few hundred bytes a connection. */
#ifndef KAFKA_WIRE_H
#define KAFKA_WIRE_H

#include <sys/socket.h>

#include "kafka_conf.h"

/* The connections of this configuration's client go where they may (outbound.h), and on the plain ones answers are looked at. */
void kafka_wire_watch(rd_kafka_conf_t *conf);

/* For kafka_wire_calls.c, and for tests. */
struct kafka_wire;
struct kafka_wire *kafka_wire_new(const char *peer, struct kafka_client *client);
void kafka_wire_free(struct kafka_wire *w);
/* The first n bytes of these were sent. */
void kafka_wire_sent(struct kafka_wire *w, const struct iovec *iov, size_t count, size_t n);
/* The first n bytes of these have come. False: an answer is nonsense, and the client knows why. */
bool kafka_wire_came(struct kafka_wire *w, const struct iovec *iov, size_t count, size_t n);

/* kafka_wire_calls.c: which wire a descriptor has. False: no room for this descriptor. */
bool kafka_wire_put(int fd, struct kafka_wire *w);
struct kafka_wire *kafka_wire_take(int fd);
/* Do libraries of this program read their sockets by our calls? */
bool kafka_wire_in_place(void);

#endif
