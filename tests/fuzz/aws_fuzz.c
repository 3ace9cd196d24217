/* aws_fuzz.c: what sql_fuzz.c does, with the aws dialect. Seeds: corpus/aws. */
#define SQL_FUZZ_DIALECT SQL_AWS
#include "sql_fuzz.c"
