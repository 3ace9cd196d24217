/* Any bytes as a file of the queue log (first byte even), or as the records of a frame that checks (odd): replay must neither crash nor
 * give what no session could have. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "queue_record.h"
#include "queue_replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir, *path;

static void scratch_remove(void) {
	unlink(path);
	rmdir(dir);
	sl_free(path);
	sl_free(dir);
	dir = path = NULL;
}

static void scratch_dir(void) {
	if (dir) return;
	const char *base = getenv("TMPDIR");
	if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".";
	dir = sl_asprintf("%s/sluice-queue-fuzz-XXXXXX", base);
	if (!mkdtemp(dir)) abort();
	path = sl_asprintf("%s/0000000001-000-0000000001" QUEUE_NAME_END, dir);
	atexit(scratch_remove);
	log_set_level(LOG_OFF);
}

static void head_put(struct sl_buf *out) {
	struct queue_segment_head head = {.bytes = sizeof head, .run = 1, .serial = 1, .workers = 2};
	memcpy(head.magic, QUEUE_MAGIC, sizeof head.magic);
	head.crc = queue_head_crc(&head);
	sl_buf_append(out, &head, sizeof head);
}

static void frame_put(struct sl_buf *out, const uint8_t *records, size_t size) {
	struct queue_frame_head head = {.bytes = (uint32_t)size, .first = 1};
	head.crc = queue_frame_crc(&head, (const char *)records, 1);
	sl_buf_append(out, &head, sizeof head);
	sl_buf_append(out, records, size);
}

static bool known(void *arg, uint64_t id) {
	(void)arg;
	return id % 5 != 4;
}

static void pending(void *arg, struct queue_replay *r, const struct queue_pending *p) {
	(void)arg;
	queue_replay_add(r, p->to, &(struct queue_delivery){.m = p->m, .qos = 1});
}

static void check(const struct queue_image *image) {
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&image->out, &n);
	for (size_t i = 0; i < n; i++)
		if (sorted[i]->packet_id == 0 || (sorted[i]->m == NULL) != (sorted[i]->state == INFLIGHT_PUBCOMP))
			abort();
	sl_free(sorted);
	for (uint32_t i = 0; i < image->queue.len; i++)
		if (!msg_queue_at(&image->queue, i)->m || msg_queue_at(&image->queue, i)->qos > 2) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	scratch_dir();
	struct sl_buf file = SL_BUF_INIT;
	if (data[0] % 2) {
		head_put(&file);
		frame_put(&file, data + 1, size - 1);
	} else {
		sl_buf_append(&file, data + 1, size - 1);
	}
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || sl_disk_write(fd, file.p, file.n, 0) != SL_OK) abort();
	close(fd);
	struct queue_replay *r;
	struct queue_image *image;
	struct queue_replay_opts opts = {.dir = dir, .known = known, .pending = pending};
	if (queue_replay_open(&opts, &r, NULL) == SL_OK) {
		for (size_t at = 0; (image = queue_replay_next(r, &at));) check(image);
		queue_replay_free(r);
	}
	sl_buf_fini(&file);
	return 0;
}
