/* rule_bench.h: an engine with its rules, a worker loop that evaluates messages and a connector loop that takes the rows:
 * what the benchmarks of this folder share.
 *
 *     b = rule_bench_new(yaml, dir)     rules from a configuration
 *     ns = rule_bench_run(b, ...)       CPU nanoseconds per message, of all threads together; the quickest run counts
 *     rule_bench_free(b)                says so when rows were lost, for the figures would be worth nothing then
 */
#ifndef RULE_BENCH_H
#define RULE_BENCH_H

#include "rules.h"

enum { RULE_BENCH_TICK = 64, RULE_BENCH_RUNS = 25 };

struct rule_bench;
/* Exits on any mistake. dir: for the connectors' data. */
struct rule_bench *rule_bench_new(struct sl_slice yaml, const char *dir);
/* Publishes the events in turn, `messages` of them (a multiple of RULE_BENCH_TICK) in each run. */
double rule_bench_run(struct rule_bench *b, const struct rules_event *events, size_t count, uint64_t messages);
/* What all rules together have produced. */
uint64_t rule_bench_rows(struct rule_bench *b);
void rule_bench_free(struct rule_bench *b);

/* How long the first event took, whose topic no worker had seen. */
double rule_bench_first_ms(const struct rule_bench *b);
double rule_bench_load_ms(const struct rule_bench *b);

struct rules_event rule_bench_event(struct sl_slice topic, struct sl_slice payload, uint8_t qos);
/* Removes dir and what is in it. */
void rule_bench_remove(const char *dir);

#endif
