/* mongo_link.c: one thread's client: made, tried, described; and why a call failed, in words. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "mongo_errors.h"
#include "mongodb_int.h"
#include "outbound.h"

static void keep(char **at, const char *text) {
	sl_free(*at);
	*at = text ? sl_strdup(text) : NULL;
}

int mongo_link_init(struct mongo_link *l, struct mongo_conn *c) {
	*l = (struct mongo_link){.c = c, .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (l->wake_fd < 0) return SL_ESYSTEM;
	l->ids = bson_context_new(BSON_CONTEXT_NONE);
	mongo_encoder_init(&l->e, &l->command);
	return SL_OK;
}

/* Without the farewell that destroying sends (endSessions): it could wait for a server that is gone, and sessions end by
 * themselves. */
static void client_end(struct mongo_link *l) {
	if (!l->client) return;
	mongoc_client_reset(l->client);
	if (l->session) mongoc_client_session_destroy(l->session);
	l->session = NULL;
	l->looked = false;
	mongoc_client_destroy(l->client);
	l->client = NULL;
}

void mongo_link_fini(struct mongo_link *l) {
	client_end(l);
	if (l->ids) bson_context_destroy(l->ids);
	if (l->wake_fd >= 0) close(l->wake_fd);
	mongo_encoder_fini(&l->e);
	sl_buf_fini(&l->command);
	sl_free(l->rows);
	sl_free(l->denied);
	sl_free(l->unreached);
	*l = (struct mongo_link){.wake_fd = -1};
}

/* The library's own question for a login is held by the policy for addresses, too. */
static bool login_is_allowed(const struct mongo_conn *c, bson_error_t *error) {
	struct sl_err err = SL_ERR_INIT;
	const char *host = mongo_uri_login_host(c->uri);
	bool allowed = !host || sl_outbound_allows_text(slice_from_str(host), &err) == SL_OK;
	if (!allowed)
		bson_set_error(error, MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE,
			       "MONGODB-AWS without a user asks the machine for its login: %s", sl_err_text(&err));
	sl_err_fini(&err);
	return allowed;
}

/* A mongodb+srv URI asks the name server here; that is why it happens on this thread. A client that has seen a server die
 * avoids it for some seconds; so each attempt to connect begins with a fresh one. */
bool mongo_link_open(struct mongo_link *l, bson_error_t *error) {
	uint32_t generation = atomic_load(&l->c->generation);
	if (l->client && l->generation == generation) return true;
	client_end(l);
	if (!login_is_allowed(l->c, error)) return false;
	l->client = mongoc_client_new_from_uri_with_error(l->c->uri, error);
	l->generation = generation;
	l->answering = false;
	keep(&l->unreached, NULL);
	if (!l->client) return false;
	(void)mongoc_client_set_error_api(l->client, MONGOC_ERROR_API_VERSION_2);
	mongoc_client_set_stream_initiator(l->client, mongo_stream_open, l);
	return true;
}

/* The library numbers writes of its bulk operations only; those copy every document. So we number them ourselves, under a
 * session of the library's: where the server is a member of a replica set or a mongos, and has sessions. */
bool mongo_link_session(struct mongo_link *l, bson_error_t *error) {
	if (l->looked) return true;
	if (mongoc_uri_get_option_as_bool(l->c->uri, MONGOC_URI_RETRYWRITES, true)) {
		bson_error_t none;
		mongoc_server_description_t *server = mongoc_client_select_server(l->client, true, NULL, error);
		if (!server) return false;
		const char *type = mongoc_server_description_type(server);
		bool can =
		    strcmp(type, "RSPrimary") == 0 || strcmp(type, "Mongos") == 0 || strcmp(type, "LoadBalancer") == 0;
		mongoc_server_description_destroy(server);
		if (can) l->session = mongoc_client_start_session(l->client, NULL, &none);
		l->number = 0;
	}
	l->looked = true;
	return true;
}

/* ---- In words. --------------------------------------------------------------------------------------------------------- */

static bool is_login(const bson_error_t *error) {
	return error->domain == MONGOC_ERROR_CLIENT && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE;
}

static const char *selection_advice(const struct mongo_link *l, const char *text) {
	bool hung_up = strstr(text, "calling hello") || strstr(text, "length header");
	if (!l->c->tls_client && hung_up && !strstr(text, "socket timeout")) return "; does the server want `tls: {}`?";
	/* Servers that answer are left aside without a word. */
	if (!strchr(text, '[') && mongoc_uri_get_replica_set(l->c->uri))
		return "; the servers answer, and none is the primary of the replica set that `url` names";
	return "";
}

/* By certificate no user need be named. */
bool mongo_has_login(const struct mongo_conn *c) {
	return mongoc_uri_get_username(c->uri) || mongoc_uri_get_auth_mechanism(c->uri);
}

const char *mongo_advice(const struct mongo_conn *c, const struct mongo_error *known) {
	if (known->code != MONGO_NO_RIGHT || mongo_has_login(c)) return known->class.meaning;
	return "the server lets nobody do this without a login; put a user and its password into `url` "
	       "(mongodb://user:password@host), and percent-encode what is special in them";
}

char *mongo_link_why(const struct mongo_link *l, const bson_error_t *error) {
	const struct mongo_error *known =
	    error->domain == MONGOC_ERROR_SERVER ? mongo_error_find((int)error->code) : NULL;
	if (atomic_load(&l->cancelled)) return sl_strdup(sl_conn_cancel_why(l->c->conn));
	if (is_login(error))
		return sl_asprintf("the login was refused; check user, password and authSource in `url` (%s)",
				   error->message);
	if (known) return sl_asprintf("%s (%s, code %u)", mongo_advice(l->c, known), error->message, error->code);
	if (error->domain == MONGOC_ERROR_SERVER_SELECTION) {
		const char *more = l->unreached && !strstr(error->message, l->unreached) ? l->unreached : NULL;
		return sl_asprintf("no server that takes writes was found; check `url` and that it runs: %s%s%s%s",
				   error->message, more ? "; " : "", more ? more : "",
				   more ? "" : selection_advice(l, error->message));
	}
	return sl_strdup(error->message[0] ? error->message : "the connection broke off");
}

/* ---- A round trip. ----------------------------------------------------------------------------------------------------- */

static void describe(struct mongo_link *l) {
	struct mongo_conn *c = l->c;
	bson_t reply, *command = BCON_NEW("buildInfo", BCON_INT32(1));
	bson_iter_t it;
	/* Not everybody may ask, and nothing depends on it. */
	bool told = mongoc_client_command_simple(l->client, "admin", command, NULL, &reply, NULL);
	mongoc_server_description_t *server = mongoc_client_select_server(l->client, true, NULL, NULL);
	pthread_mutex_lock(&c->lock);
	keep(&c->version, told && bson_iter_init_find(&it, &reply, "version") && BSON_ITER_HOLDS_UTF8(&it)
			      ? bson_iter_utf8(&it, NULL)
			      : NULL);
	keep(&c->topology, server ? mongoc_server_description_type(server) : NULL);
	keep(&c->host, server ? mongoc_server_description_host(server)->host_and_port : NULL);
	log_debug(LOG_CONN, "mongodb server", "name=%s host=%s kind=%s version=%s", sl_conn_name(c->conn),
		  c->host ? c->host : "", c->topology ? c->topology : "", c->version ? c->version : "");
	pthread_mutex_unlock(&c->lock);
	if (server) mongoc_server_description_destroy(server);
	bson_destroy(&reply);
	bson_destroy(command);
}

bool mongo_link_ping(struct mongo_link *l, bool describe_too, char **why) {
	bson_error_t error = {0};
	bson_t *command = BCON_NEW("ping", BCON_INT32(1));
	bool ok = mongo_link_open(l, &error) &&
		  mongoc_client_command_simple(l->client, l->c->database, command, NULL, NULL, &error);
	if (ok && describe_too) describe(l);
	*why = ok ? NULL : mongo_link_why(l, &error);
	bson_destroy(command);
	return ok;
}
