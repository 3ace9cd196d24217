#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"

int sl_disk_mkdirs(const char *dir) {
	char *path = sl_strdup(dir);
	int r = SL_OK;
	for (char *p = path + 1; r == SL_OK && *p; p++) {
		if (*p != '/') continue;
		*p = '\0';
		if (mkdir(path, 0777) != 0 && errno != EEXIST) r = sl_status_from_errno(errno);
		*p = '/';
	}
	if (r == SL_OK && mkdir(path, 0777) != 0 && errno != EEXIST) r = sl_status_from_errno(errno);
	sl_free(path);
	return r;
}

int sl_disk_write(int fd, const char *bytes, size_t len, uint64_t at) {
	while (len) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)at);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n < 0 ? sl_status_from_errno(errno) : SL_EIO;
		bytes += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return SL_OK;
}

int sl_disk_read(int fd, char *bytes, size_t len, uint64_t at) {
	while (len) {
		ssize_t n = pread(fd, bytes, len, (off_t)at);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return n < 0 ? sl_status_from_errno(errno) : SL_ENOTFOUND;
		bytes += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return SL_OK;
}

int sl_disk_sync_dir(const char *dir) {
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return sl_status_from_errno(errno);
	int r = fsync(fd) == 0 ? SL_OK : sl_status_from_errno(errno);
	close(fd);
	return r;
}
