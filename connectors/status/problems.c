/* problems.c: what keeps an action from taking rows, or from ending them, with the reason and what to do: for pages that somebody
 * looks at who has not seen the log. */
#include "clock.h"
#include "connectors_snapshot_int.h"

#define LOG_FAILED_MS 60000 /* so long is it told when nobody has tried again */

const char *const action_problem_names[PROBLEMS] = {
#define PROBLEM(id, name, meaning) name,
    ACTION_PROBLEMS(PROBLEM)
#undef PROBLEM
};

const char *pipeline_disk_advice(int status) {
	return status == SL_ENOSPACE ? "make room on this disk" : "check the disk and the rights of the folder";
}

void pipeline_problems(const struct sl_pipeline *p, struct action_problem *out) {
	/* The loop's own time stands still while it sleeps. */
	bool lately = p->log_failed && sl_clock_mono_ms() - p->log_failed_ms < LOG_FAILED_MS;
	memset(out, 0, PROBLEMS * sizeof *out);
	if (p->log_failed && (p->held.head || lately))
		out[PROBLEM_LOG] =
		    (struct action_problem){sl_status_text(p->log_failed), pipeline_disk_advice(p->log_failed), NULL};
	else if (p->held.head)
		out[PROBLEM_BUFFER] = (struct action_problem){p->full_why, p->full_advice, NULL};
	if (p->sync_failed)
		out[PROBLEM_SYNC] = (struct action_problem){p->sync_failed, pipeline_disk_advice(SL_EIO), NULL};
	if (p->dead_n > 0)
		out[PROBLEM_DEAD_LETTER] =
		    (struct action_problem){sl_status_text(p->dead_failed),
					    p->dead_published ? "nothing: it is published as soon as that is possible"
							      : pipeline_disk_advice(p->dead_failed),
					    pipeline_dead_path(p)};
}

json_t *action_problem_status(const struct action_copy *a, enum action_problem_id id) {
	json_t *o = json_object();
	const char *path = a->problem[id].path ? a->problem[id].path : a->p->log_dir;
	json_object_set_new(o, "problem", json_string(action_problem_names[id]));
	json_object_set_new(o, "reason", json_string(a->problem[id].why));
	json_object_set_new(o, "do", json_string(a->problem[id].advice));
	if (path) json_object_set_new(o, "path", json_string(path));
	return o;
}

bool connectors_action_trouble(const struct connectors_snapshot *s, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < s->action_count; i++) {
		const struct action_copy *a = &s->actions[i];
		for (enum action_problem_id id = 0; id < PROBLEMS; id++) {
			if (!a->problem[id].why) continue;
			json_t *o = action_problem_status(a, id);
			json_object_set_new(o, "rule", json_string(a->action->rule));
			json_object_set_new(o, "index", json_integer(a->action->index));
			json_object_set_new(o, "connector", json_string(a->action->conn->name));
			json_array_append_new(list, o);
		}
	}
	bool any = json_array_size(list) > 0;
	if (any) json_object_set(out, "actions", list);
	json_decref(list);
	return any;
}
