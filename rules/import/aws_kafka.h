/* aws_kafka.h: the kafka action of AWS IoT Core: its destination and clientProperties as a connector, the rest as an action.
 *
 * Lifetime and errors: see import_connect.h. Thread: the program's main one. Never blocks. */
#ifndef AWS_KAFKA_H
#define AWS_KAFKA_H

#include "cfn.h"
#include "import_connect.h"

/* The action; its connector is the import's. New reference. */
json_t *aws_kafka(struct import *imp, struct import_rule *rule, struct cfn *cfn, const json_t *options);

#endif
