/* client_tool.c: main() around the client commands, nothing else: sluice_client_tool pub|sub|bench. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], "pub") == 0) return cmd_pub(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "sub") == 0) return cmd_sub(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "bench") == 0) return cmd_bench(argc - 1, argv + 1);
	fprintf(stderr, "usage: %s pub|sub|bench [options]\n", argv[0]);
	return 2;
}
