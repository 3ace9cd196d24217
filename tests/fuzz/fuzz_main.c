/* fuzz_main.c: runs a fuzz target over files, or over all files of folders, without libFuzzer.
 * Every build has it: the seeds and every input that once failed are a regression test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, long size) {
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
	if (!f || !bytes) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	size_t n = fread(bytes, 1, (size_t)size, f);
	fclose(f);
	LLVMFuzzerTestOneInput(bytes, n);
	free(bytes);
	return 1;
}

static int replay(const char *path) {
	struct stat st;
	if (stat(path, &st) != 0) {
		fprintf(stderr, "%s: not found\n", path);
		exit(1);
	}
	if (!S_ISDIR(st.st_mode)) return replay_file(path, (long)st.st_size);
	DIR *dir = opendir(path);
	int count = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char name[4096];
		if (e->d_name[0] == '.') continue;
		snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		count += replay(name);
	}
	if (dir) closedir(dir);
	return count;
}

int main(int argc, char **argv) {
	int count = 0;
	for (int i = 1; i < argc; i++) count += replay(argv[i]);
	printf("%d inputs replayed\n", count);
	return count > 0 ? 0 : 1;
}
