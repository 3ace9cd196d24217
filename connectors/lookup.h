/* lookup.h: questions to a connector: what does the database know of this user?
 *
 *     q = sl_question_new("postgres")                            its settings: sl_question_fields(), into sl_question_settings()
 *     sl_question_check(q, &err)                                 sl_question_params(): the templates whose values it wants
 *     connectors_ask(cs, "db", q, values, 2000, answered, arg)   answered() on the connector loop, exactly once
 *     sl_question_unref(q)
 *
 * An answer is at most one row of texts. Values are bound: whatever a client says is a value, never part of a command. The connector is found
 * by name when it is asked, so a reload may change it; a question goes over its own sessions where a kind has such, else behind its rows.
 *
 * Lifetime: a question is counted and immutable once it is checked. Thread: making and checking on one at a time; connectors_ask() on any,
 * until connectors_free(). Never blocks. */
#ifndef SL_LOOKUP_H
#define SL_LOOKUP_H

#include "connector.h"

struct connectors;
struct sl_question;

struct sl_answer_field {
	char *name, *value; /* value NULL: the database's NULL */
};
struct sl_answer {
	int status; /* SL_OK: a row; SL_ENOTFOUND: there is none; SL_EAGAIN: not in time; SL_ECLOSED: the program ends; others: it failed */
	const struct sl_answer_field *fields;
	size_t len;
	const char *text; /* with a failure: why, for logs */
};
typedef void (*sl_answer_fn)(const struct sl_answer *a, void *arg);

/* The options of a question; NULL: connectors of this kind answer none. */
const struct conf_field *sl_question_fields(const char *kind);
struct sl_question *sl_question_new(const char *kind) sl_warn_unused; /* NULL: the same */
void *sl_question_settings(struct sl_question *q);                    /* zeroed; filled by the caller, freed by us */
/* Once. err names the option. */
int sl_question_check(struct sl_question *q, struct sl_err *err);
const struct sl_param *sl_question_params(const struct sl_question *q, size_t *count);
struct sl_question *sl_question_ref(struct sl_question *q);
void sl_question_unref(struct sl_question *q); /* NULL is fine */

/* values: as many as params, copied. */
void connectors_ask(struct connectors *cs, const char *connector, struct sl_question *q, const struct sl_slice *values,
		    uint64_t timeout_ms, sl_answer_fn answered, void *arg);

/* ---- For kinds. ---------------------------------------------------------------------------------------------------- */

/* LENT to the kind from ask() until sl_lookup_done(). */
struct sl_lookup {
	const void *question; /* its settings, checked */
	const struct sl_slice *values;
	size_t count;
	void *priv; /* the kind's */
};

/* sl_connector_kind.asks. All on the loop. */
struct sl_asks_kind {
	size_t size;                     /* of the settings */
	const struct conf_field *fields; /* of these */
	/* Cross-field checks, and the parameters, which live as long as the settings. */
	int (*check)(void *settings, const struct sl_param **params, size_t *count, struct sl_err *err);
	void (*fini)(void *settings); /* what check made; also when it never was called */
	/* Ends in sl_lookup_done(), perhaps before it returns. Only while the connection is up; close() ends what is out. */
	void (*ask)(struct sl_conn *c, struct sl_lookup *a);
	/* Nobody waits any more: end it as soon as that is safe. May be NULL. */
	void (*cancel)(struct sl_conn *c, struct sl_lookup *a);
};

enum { SL_LOOKUP_FIELDS_MAX = 64, SL_LOOKUP_BYTES_MAX = 256 * 1024 };

/* The thread that works on it. False: too much of it; then end it with SL_ELIMIT. value.p NULL: NULL. */
bool sl_lookup_put(struct sl_lookup *a, struct sl_slice name, struct sl_slice value);
/* Any thread. SL_OK: what was put is the row. */
void sl_lookup_done(struct sl_lookup *a, int status, const char *fmt, ...) sl_printf(3, 4);

#endif
