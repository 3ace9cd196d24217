/* bench_int.h: the parts of the load generator (`sluice bench`), and how they meet.
 *
 *     cmd_bench.c     options, scenarios, the run, the report
 *     bench_setup.c   connects and subscribes, one after the other, blocking
 *     bench_conn.c    one connection in the run: bytes in and out, acknowledgements, counting
 *     bench_load.c    who may send when: bursts, pace, the limits on what is outstanding
 *     bench_storm.c   connections that come all at once
 *     bench_stat.c    histogram, streams, the broker's CPU time and memory
 *
 * One thread and one epoll set. It must be cheap itself: packets are made once per publisher; sequence number, time and
 * packet id (and in "wild" the topic) are patched in; a burst is one write(2), the acknowledgements of one read are one write.
 *
 * A payload starts with the publisher's number (4 bytes), its sequence number (4) and the time of sending (8), in
 * memory order, since both ends are this process; JSON payloads carry the sequence number as digits instead. */
#ifndef SL_BENCH_INT_H
#define SL_BENCH_INT_H

#include "bench_stat.h"
#include "client_wire.h"
#include "cmd_common.h"
#include "mqtt.h"

enum bench_scenario { BENCH_FANIN, BENCH_PAIRS, BENCH_FANOUT, BENCH_WILD, BENCH_IDLE, BENCH_SINK, BENCH_STORM };
enum { BENCH_STAMP = 16 }; /* bytes of the payload that are ours */
#define BENCH_NO_STAMP SIZE_MAX

struct bench_options {
	struct cmd_common common;
	int scenario;
	int64_t pubs, subs, qos, payload, messages, per_write, rate, outstanding, window, broker_pid, warmup, linger_s;
	int64_t filters, hold_s, parallel;
	const char *topic, *payload_text;
	bool json, persistent;
};

struct bench_conn {
	struct client_wire wire;
	uint32_t number; /* among the publishers, or among the subscribers */
	bool publisher;
	bool want_write; /* EPOLLOUT is on */
	struct sl_buf in, out;
	size_t out_done;
	/* publishers */
	struct sl_buf packet; /* the template */
	size_t tail_at;       /* in it: behind the topic */
	size_t stamp_at;      /* BENCH_NO_STAMP: nothing is patched in */
	uint32_t *sequence;   /* next number per target (wild), else one */
	uint32_t in_flight;
	uint64_t sent, back; /* in this phase: messages, and deliveries of them that arrived */
	uint16_t last_id;
	bool ping_out;
	/* subscribers */
	struct stream *streams; /* one a publisher */
};

struct bench {
	struct bench_options o;
	enum mqtt_version version;
	struct client_tls *tls;
	int epfd;
	struct bench_conn *pubs, *subs;
	size_t pubs_len, subs_len;
	uint64_t fan; /* deliveries per message */
	/* wild: the topics of all filters, shared by the publishers: text n from topics_at[n] to topics_at[n + 1] */
	struct sl_buf topics;
	uint32_t *topics_at;
	/* of the phase that runs */
	uint64_t to_send, sent, pongs;
	struct stream_counts counts;
	uint64_t given_up; /* deliveries that are no longer waited for */
	uint64_t refused;  /* acknowledgements with a reason of 0x80 or more */
	struct hist latency;
	uint64_t arrived_ns;    /* when something last arrived */
	uint64_t waits_from_ns; /* since then nothing moved: for giving up */
	bool broken;            /* a connection was lost */
};

/* What a run gave. */
struct bench_result {
	uint64_t sent, received, repeated, out_of_order, lost, refused;
	double seconds, broker_cpu_s, own_cpu_s;
	uint64_t rss_before, rss_connected, rss_after;
	double connect_cpu_s;
	double first_s; /* storm: until all were there the first time */
};

/* bench_setup.c */
int bench_connect(struct bench *b, struct sl_err *err);
int bench_subscribe(struct bench *b, struct sl_err *err);
int bench_prepare(struct bench *b, struct sl_err *err); /* templates, epoll */
int bench_room_for_descriptors(size_t connections, struct sl_err *err);
void bench_fini(struct bench *b);

/* bench_storm.c: both comings. `refused` counts the attempts that failed. */
int bench_storm(struct bench *b, struct bench_result *r, struct sl_err *err);

/* bench_conn.c */
void bench_readable(struct bench *b, struct bench_conn *c);
void bench_flush(struct bench *b, struct bench_conn *c);
uint32_t bench_targets(const struct bench *b); /* streams a publisher numbers on its own */

/* bench_load.c: sends `messages` and waits for what must come back. */
void bench_phase(struct bench *b, uint64_t messages);

static inline size_t bench_out_waiting(const struct bench_conn *c) { return c->out.n - c->out_done; }

#endif
