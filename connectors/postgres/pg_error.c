/* pg_error.c: see pg_error.h. Codes: appendix A of PostgreSQL's manual. Two characters stand for a class. */
#include "pg_error.h"

/* PG_ERROR(code, result, consequence, meaning) */
#define PG_ERROR_TBL(PG_ERROR)                                                                                         \
	PG_ERROR("08", LOST, LEAVE, "the connection failed; connected again")                                          \
	PG_ERROR("08P01", LOST, RELOAD, "the server could not read what was sent; the table's types are read again")   \
	PG_ERROR("09", REJECT, ROW, "a trigger failed")                                                                \
	PG_ERROR("0A", LOST, NOT_READY,                                                                                \
		 "the server cannot do this; rows wait (`COPY` that it cannot do is replaced by `INSERT`)")            \
	PG_ERROR("20", REJECT, ROW, "no case matched")                                                                 \
	PG_ERROR("21", REJECT, ROW, "more rows than the statement allows")                                             \
	PG_ERROR("22", REJECT, ROW, "a value does not fit: type, range, length, encoding")                             \
	PG_ERROR("2200H", LOST, NOT_READY, "a sequence of the table has no number left; rows wait")                    \
	PG_ERROR("22P03", LOST, RELOAD, "the column's type has changed; the table is read again")                      \
	PG_ERROR("23", REJECT, ROW, "a constraint: not null, unique, check, foreign key")                              \
	PG_ERROR("25", LOST, LEAVE, "the session is in a wrong state; connected again")                                \
	PG_ERROR("25006", LOST, LEAVE,                                                                                 \
		 "the server became read-only (failover); the hosts are tried for one that takes writes")              \
	PG_ERROR("26", LOST, RELOAD,                                                                                   \
		 "a pooler has changed the server behind us; from now on nothing is kept prepared between batches")    \
	PG_ERROR("27", REJECT, ROW, "a trigger changed what is being written")                                         \
	PG_ERROR("28", LOST, LEAVE, "the login is refused: user, password or certificate")                             \
	PG_ERROR("2D", LOST, NOT_READY, "a procedure ends the transaction, which is the batch's; rows wait")           \
	PG_ERROR("2F", REJECT, ROW, "a function of the database failed")                                               \
	PG_ERROR("38", REJECT, ROW, "a function of the database failed")                                               \
	PG_ERROR("39", REJECT, ROW, "a function of the database failed")                                               \
	PG_ERROR("3D", LOST, LEAVE, "there is no such database")                                                       \
	PG_ERROR("3F", LOST, NOT_READY, "there is no such schema; rows wait")                                          \
	PG_ERROR("40", RETRY, NOTHING, "deadlock or serialization failure")                                            \
	PG_ERROR("40003", TIMEOUT, NOTHING, "the server does not know whether it was stored")                          \
	PG_ERROR("42", LOST, NOT_READY,                                                                                \
		 "no such table, column or function, no right to it, or wrong SQL; rows wait until that is mended")    \
	PG_ERROR("42622", REJECT, ROW, "too long for a `name`")                                                        \
	PG_ERROR("42804", LOST, RELOAD, "types do not fit the table (any more); it is read again")                     \
	PG_ERROR("42P05", LOST, RELOAD, "a statement of this name is prepared already; it gets another one")           \
	PG_ERROR("44", REJECT, ROW, "a view's check option")                                                           \
	PG_ERROR("53", THROTTLED, NOTHING, "the server is out of memory, disk or connections; again after a pause")    \
	PG_ERROR("54", REJECT, ROW, "larger than the server can store")                                                \
	PG_ERROR("55", RETRY, NOTHING, "the table or row is locked or in use")                                         \
	PG_ERROR("55000", LOST, NOT_READY,                                                                             \
		 "what is written to is in no state for it, such as a view that takes no rows")                        \
	PG_ERROR("57", RETRY, NOTHING, "cancelled, by `statement_timeout` or by somebody")                             \
	PG_ERROR("57P01", LOST, LEAVE, "the server shuts down; connected again")                                       \
	PG_ERROR("57P02", LOST, LEAVE, "the server crashed; connected again")                                          \
	PG_ERROR("57P03", LOST, LEAVE, "the server is starting; connected again")                                      \
	PG_ERROR("57P04", LOST, LEAVE, "the database was dropped")                                                     \
	PG_ERROR("57P05", LOST, LEAVE, "the session was ended as idle; connected again")                               \
	PG_ERROR("58", RETRY, NOTHING, "the server's system failed: disk, files")                                      \
	PG_ERROR("P0", REJECT, ROW, "a function or trigger raised an error")                                           \
	PG_ERROR("XX", RETRY, NOTHING, "an error inside of the server; the row that meets it is found, and tried again")

static const struct sl_error_class classes[] = {
#define PG_ERROR(code_, result_, then, meaning_) {.code = code_, .result = SL_RESULT_##result_, .meaning = meaning_},
    PG_ERROR_TBL(PG_ERROR)
#undef PG_ERROR
};
static const enum pg_consequence consequences[] = {
#define PG_ERROR(code, result, then, meaning) PG_THEN_##then,
    PG_ERROR_TBL(PG_ERROR)
#undef PG_ERROR
};

const struct sl_error_class *pg_error_classes(size_t *count) {
	*count = SL_ARRAY_LEN(classes);
	return classes;
}

enum pg_consequence pg_error_find(const char *sqlstate, enum sl_result *result) {
	size_t best = SL_ARRAY_LEN(classes), length = 0;
	for (size_t i = 0; sqlstate && i < SL_ARRAY_LEN(classes); i++) {
		size_t n = strlen(classes[i].code);
		if (n > length && strncmp(sqlstate, classes[i].code, n) == 0) {
			best = i;
			length = n;
		}
	}
	*result = best < SL_ARRAY_LEN(classes) ? classes[best].result : SL_RESULT_RETRY;
	return best < SL_ARRAY_LEN(classes) ? consequences[best] : PG_THEN_NOTHING;
}
