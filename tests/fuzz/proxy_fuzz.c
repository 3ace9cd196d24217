/* proxy_fuzz.c: what stands in front of a connection through a proxy. The parser's word about a part holds: what it takes from the
 * whole it takes from no less than the bytes it has used, and what it refuses early it refuses whole. */
#include <stdint.h>
#include <stdlib.h>

#include "proxy_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct proxy_proto p, part;
	size_t used = 0, part_used = 0;
	const char *why = NULL;
	struct sl_slice in = slice_make(data, size);
	int rc = proxy_proto_parse(in, &p, &used, &why);
	if (rc == SL_EAGAIN && size >= PROXY_PROTO_MAX) abort();
	if (rc == SL_EPROTOCOL && !why) abort();
	if (rc != SL_OK) return 0;
	if (used == 0 || used > size || used > PROXY_PROTO_MAX) abort();
	if (!p.local && (p.from_len == 0 || p.to_len == 0 || p.from.ss_family != p.to.ss_family)) abort();
	if (p.common_name.n && (p.common_name.p < in.p || p.common_name.p + p.common_name.n > in.p + used)) abort();
	for (size_t n = 0; n < used; n++) {
		int part_rc = proxy_proto_parse(slice_sub(in, 0, n), &part, &part_used, &why);
		if (part_rc != SL_EAGAIN) abort();
	}
	if (proxy_proto_parse(slice_sub(in, 0, used), &part, &part_used, &why) != SL_OK || part_used != used) abort();
	return 0;
}
