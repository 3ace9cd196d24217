/* mongodb.c: the mongodb kind: the table of its calls. What they do stands in the files named in mongodb_int.h. */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "mongodb_int.h"

/* The library writes to standard error otherwise, at every level. What matters comes back as an error of a call as well, and is
 * reported there. */
static void on_log(mongoc_log_level_t level, const char *domain, const char *message, void *arg) {
	(void)level;
	(void)arg;
	log_debug(LOG_CONN, "mongodb library", "domain=%s text=%s", domain, message);
}

/* When it is loaded, the library puts counters for a tool of its own into shared memory under the process's number, and
 * warns on standard error where it cannot: when a process of that number was killed, or the place may not be written to. So the
 * place is cleared before any library begins, and after, so that nothing is left of us; where that is of no use, standard error
 * is closed to the libraries while they begin. Before, not even the sanitizers have begun: plain system calls. */
#define BEFORE_ALL __attribute__((no_sanitize("address", "undefined", "thread"), no_stack_protector))
static long muted = -1; /* standard error, kept while libraries begin */

BEFORE_ALL static long counters_place(long call, long flags) {
	static char path[] = "/dev/shm/mongoc-\0\0\0\0\0\0\0\0\0\0\0";
	char *at = path + sizeof path - 1 - 11, digits[11];
	size_t n = 0, out = 0;
	for (long pid = syscall(SYS_getpid); pid > 0 && n < sizeof digits; pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n > 0) at[out++] = digits[--n];
	at[out] = 0;
	return syscall(call, AT_FDCWD, path, flags, 0600);
}

BEFORE_ALL static void counters_before(void) {
	(void)counters_place(SYS_unlinkat, 0);
	long fd = counters_place(SYS_openat, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC);
	if (fd >= 0) {
		(void)syscall(SYS_close, fd);
		(void)counters_place(SYS_unlinkat, 0);
		return;
	}
	long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0) return;
	muted = syscall(SYS_fcntl, STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (muted >= 0) (void)syscall(SYS_dup3, null, STDERR_FILENO, 0);
	(void)syscall(SYS_close, null);
}
__attribute__((section(".preinit_array"), used)) static void (*const at_first)(void) = counters_before;

__attribute__((constructor)) static void counters_after(void) {
	(void)counters_place(SYS_unlinkat, 0);
	if (muted < 0) return;
	(void)syscall(SYS_dup3, muted, STDERR_FILENO, 0);
	(void)syscall(SYS_close, muted);
}

static void library_end(void) { mongoc_cleanup(); }

static void library_begin(void) {
	mongoc_log_set_handler(on_log, NULL);
	mongoc_init();
	(void)atexit(library_end); /* it can be begun once in a process only, so not with the last connection */
}

static void library_use(void) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, library_begin);
}

static int conn_check(struct sl_conn *conn, struct sl_err *err) {
	library_use();
	return mongo_conn_check(conn, err);
}

static int mongodb_open(struct sl_conn *conn, struct sl_err *err) {
	struct mongo_conn *c = sl_conn_impl(conn);
	struct tls_client_conf tls;
	library_use();
	c->conn = conn;
	pthread_mutex_init(&c->lock, NULL);
	int r = mongo_uri_make(c, &c->uri, err);
	if (r == SL_OK) r = mongo_uri_tls(c, c->uri, &tls, err);
	if (r == SL_OK && tls.given) r = tls_client_new(&tls, &c->tls_client, err);
	if (r != SL_OK) return r;
	c->threads = mongo_pool_new(c, (size_t)c->pool);
	sl_conn_set_ways(conn, (uint32_t)c->pool);
	return SL_OK;
}

static void mongodb_connect(struct sl_conn *conn) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	mongo_pool_call(c->threads, true);
}

static void mongodb_probe(struct sl_conn *conn) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	mongo_pool_call(c->threads, false);
}

static void mongodb_close(struct sl_conn *conn) {
	const struct mongo_conn *c = sl_conn_impl(conn);
	if (c->threads)
		mongo_pool_close(c->threads);
	else
		sl_conn_closed(conn);
}

static void mongodb_fini(struct sl_conn *conn) {
	struct mongo_conn *c = sl_conn_impl(conn);
	mongo_pool_free(c->threads);
	if (c->uri) mongoc_uri_destroy(c->uri);
	tls_client_free(c->tls_client);
	if (c->conn) pthread_mutex_destroy(&c->lock);
	sl_free(c->topology);
	sl_free(c->version);
	sl_free(c->host);
}

static void tell(json_t *out, const char *name, const char *text) {
	if (text) json_object_set_new(out, name, json_string(text));
}

static void mongodb_describe(struct sl_conn *conn, json_t *out) {
	struct mongo_conn *c = sl_conn_impl(conn);
	pthread_mutex_lock(&c->lock); /* held for a few copies only */
	tell(out, "server", c->host);
	tell(out, "version", c->version);
	tell(out, "topology", c->topology);
	pthread_mutex_unlock(&c->lock);
	tell(out, "database", c->database);
	tell(out, "library", "libmongoc " MONGOC_VERSION_S);
	json_object_set_new(out, "pool", json_integer(c->pool));
}

static int mongodb_submit(struct sl_conn_action *a, struct sl_batch *b) {
	const struct mongo_conn *c = sl_conn_impl(sl_action_conn(a));
	mongo_pool_submit(c->threads, b);
	return SL_OK;
}

static void mongodb_cancel(struct sl_conn_action *a, struct sl_batch *b) {
	const struct mongo_conn *c = sl_conn_impl(sl_action_conn(a));
	mongo_pool_cancel(c->threads, b);
}

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct mongo_action *s = sl_action_impl(a);
	sl_destination_name(out, "collection", s->collection);
}

extern const struct sl_connector_kind sl_connector_mongodb; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_mongodb = {
    .name = "mongodb",
    .title = "MongoDB",
    .summary = "Inserts, updates, replaces and deletes documents in batches, each with its own result.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_LOOKS,
    .conn_size = sizeof(struct mongo_conn),
    .action_size = sizeof(struct mongo_action),
    .copy_row = 1024, /* a document as BSON, and its copy in the bulk write */
    .copy_percent = 500,
    .conn_fields = mongo_conn_fields,
    .action_fields = mongo_action_fields,
    .conn_check = conn_check,
    .action_check = mongo_action_check,
    .action_params = mongo_action_params,
    .destination = destination,
    .open = mongodb_open,
    .connect = mongodb_connect,
    .probe = mongodb_probe,
    .close = mongodb_close,
    .fini = mongodb_fini,
    .action_open = mongo_action_open,
    .action_fini = mongo_action_fini,
    .encode = mongo_encode_row,
    .submit = mongodb_submit,
    .cancel = mongodb_cancel,
    .describe = mongodb_describe,
    .targets = mongo_targets,
    .asks = &mongo_asks_kind,
};
