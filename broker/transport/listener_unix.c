#include "listener_unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mem.h"

static int cannot(const char *path, const char *what_to_do, struct sl_err *err) {
	return sl_err_set(err, SL_ESYSTEM, "cannot listen on %s: %s; %s", path, strerror(errno), what_to_do);
}

static int open_unix(void) { return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/* Does somebody listen there? A full queue is an answer, too. */
static bool answers(const struct sockaddr_un *at) {
	int fd = open_unix();
	if (fd < 0) return true; /* to be on the safe side */
	bool yes = connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

/* SL_OK: there is no file there now. */
static int make_way(const struct sockaddr_un *at, struct sl_err *err) {
	struct stat st;
	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT ? SL_OK : cannot(at->sun_path, "choose another path in `bind`", err);
	if (!S_ISSOCK(st.st_mode))
		return sl_err_set(
		    err, SL_ESYSTEM,
		    "cannot listen on %s: a file that is no socket is there; remove it, or choose another path in "
		    "`bind`",
		    at->sun_path);
	if (answers(at))
		return sl_err_set(
		    err, SL_ESYSTEM,
		    "cannot listen on %s: another process listens there; stop it, or choose another path in `bind`",
		    at->sun_path);
	if (unlink(at->sun_path) != 0 && errno != ENOENT)
		return cannot(at->sun_path, "remove the socket that was left there", err);
	return SL_OK;
}

int listener_file_bind(const char *path, unsigned mode, struct listener_file *file, int *fd, struct sl_err *err) {
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;
	if (strlen(path) > LISTENER_UNIX_PATH_MAX)
		return sl_err_set(
		    err, SL_EINVAL,
		    "cannot listen on %s: a unix socket's path has at most %d bytes; choose a shorter one", path,
		    LISTENER_UNIX_PATH_MAX);
	memcpy(at.sun_path, path, strlen(path));
	int rc = make_way(&at, err);
	if (rc != SL_OK) return rc;
	*fd = open_unix();
	/* Nobody gets in before the permissions are set: a socket that does not listen refuses everybody. */
	if (*fd < 0 || bind(*fd, (const struct sockaddr *)&at, sizeof at) != 0 || chmod(path, mode) != 0 ||
	    lstat(path, &st) != 0) {
		rc = cannot(path, "make the folder, or give the right to write there", err);
		if (*fd >= 0) close(*fd);
		*fd = -1;
		return rc;
	}
	*file = (struct listener_file){.path = sl_strdup(path), .dev = st.st_dev, .ino = st.st_ino};
	return SL_OK;
}

void listener_file_remove(struct listener_file *file) {
	struct stat st;
	if (!file->path) return;
	if (lstat(file->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino) unlink(file->path);
	sl_free(file->path);
	file->path = NULL;
}

char *listener_unix_peer(int fd) {
	struct ucred who;
	socklen_t len = sizeof who;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) return sl_strdup("unix");
	return sl_asprintf("unix:uid=%u,pid=%d", (unsigned)who.uid, (int)who.pid);
}
