/* replay_pick.c: which rows of a dead-letter file a replay is for. See replay.h. */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "replay.h"
#include "topic.h"

bool replay_picked(const struct replay_pick *pick, const struct sl_origin *from) {
	if (pick->topic && (sl_origin_empty(from) || !topic_matches(slice_from_str(pick->topic), from->topic)))
		return false;
	return !pick->clientid || (!sl_origin_empty(from) && slice_equal_str(from->clientid, pick->clientid));
}

static char *path_of(const char *replay_path) { return sl_asprintf("%s.only", replay_path); }

int replay_pick_write(const char *replay_path, const struct replay_pick *pick, struct sl_err *err) {
	if (!pick->topic && !pick->clientid && !pick->anyway) return SL_OK;
	char *path = path_of(replay_path);
	json_t *tree = json_pack("{s:s*, s:s*, s:o*}", "topic", pick->topic, "clientid", pick->clientid, "anyway",
				 pick->anyway ? json_true() : NULL);
	int rc = SL_OK;
	if (!tree)
		rc = sl_err_set(err, SL_EINVAL, "the topic or the client id is not UTF-8");
	else if (json_dump_file(tree, path, JSON_COMPACT) != 0)
		rc = sl_err_set(err, SL_EIO, "cannot write %s: %s", path, strerror(errno));
	json_decref(tree);
	sl_free(path);
	return rc;
}

static char *member_dup(const json_t *tree, const char *name) {
	const char *text = json_string_value(json_object_get(tree, name));
	return text ? sl_strdup(text) : NULL;
}

int replay_pick_read(const char *replay_path, struct replay_pick *pick) {
	char *path = path_of(replay_path);
	int rc = SL_OK;
	*pick = (struct replay_pick){0};
	if (access(path, F_OK) == 0) {
		json_t *tree = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
		pick->topic = member_dup(tree, "topic");
		pick->clientid = member_dup(tree, "clientid");
		pick->anyway = json_is_true(json_object_get(tree, "anyway"));
		if (!pick->topic && !pick->clientid && !pick->anyway) rc = SL_EMALFORMED;
		json_decref(tree);
	}
	sl_free(path);
	return rc;
}

void replay_pick_remove(const char *replay_path) {
	char *path = path_of(replay_path);
	(void)unlink(path); /* most have none */
	sl_free(path);
}

void replay_pick_fini(struct replay_pick *pick) {
	sl_free(pick->topic);
	sl_free(pick->clientid);
	*pick = (struct replay_pick){0};
}
