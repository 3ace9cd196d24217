/* folder.c: see folder.h. */
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mem.h"

char *folder_of(const char *path) {
	const char *slash = strrchr(path, '/');
	if (!slash) return sl_strdup(".");
	return slash == path ? sl_strdup("/") : sl_memdup0(path, (size_t)(slash - path));
}

static int refused(const char *dir, const char *at, int error, struct sl_err *err) {
	const char *advice = error == ENOTDIR      ? "a part of the path is a file; correct the path"
			     : error == EROFS      ? "it is mounted read-only; take another folder"
			     : error == EOPNOTSUPP ? "nothing can be made there; take another folder"
			     : error == ENOSPC     ? "make room on this disk"
			     : error == EDQUOT     ? "the user's quota is used up; raise it"
			     : error == ELOOP || error == ENAMETOOLONG
				 ? "correct the path"
				 : "give the broker's user the right to write there";
	bool same = strcmp(dir, at) == 0;
	return sl_err_set(err, SL_EIO, "cannot write in the folder %s%s%s: %s; %s", dir, same ? "" : ", to be made in ",
			  same ? "" : at, strerror(error), advice);
}

/* 0 or errno. */
static int try_to_write(const char *dir) {
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	/* Not every file system has files without a name. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT) return errno;
	/* The kernel's own have none, and nothing can be made in them; their rights do not say so. */
	struct statfs fs;
	if (statfs(dir, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC)) return EOPNOTSUPP;
	return faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

int folder_usable(const char *dir, bool *there, struct sl_err *err) {
	struct stat st;
	*there = true;
	char *at = sl_strdup(dir);
	int error = stat(at, &st) == 0 ? 0 : errno;
	/* "a/b/" and "a//b" lose a character at a time. */
	while (error == ENOENT && strcmp(at, ".") != 0 && strcmp(at, "/") != 0) {
		char *parent = folder_of(at);
		sl_free(at);
		at = parent;
		*there = false;
		error = stat(at, &st) == 0 ? 0 : errno;
	}
	if (error == 0 && !S_ISDIR(st.st_mode)) error = ENOTDIR;
	if (error == 0) error = try_to_write(at);
	int r = error ? refused(dir, at, error, err) : SL_OK;
	sl_free(at);
	return r;
}
