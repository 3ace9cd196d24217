/* tls_psk.h: a file of pre-shared keys: one "identity:key" a line, the key in hexadecimal, as mosquitto's psk_file has it.
 *
 *     # sensors in hall 2
 *     sensor-17:6f3c1e0a9d5b4c7788aa10ff23c4d5e6
 *
 * Empty lines and lines that begin with # are skipped. Later lines do not override earlier ones: an identity twice is an error.
 * Lifetime: until tls_psk_free(). Thread: constant once loaded, so any. Loading reads a file; errors tell file and line, never a key. */
#ifndef SL_TLS_PSK_H
#define SL_TLS_PSK_H

#include "err.h"
#include "slice.h"

enum { TLS_PSK_IDENTITY_MAX = 128, TLS_PSK_KEY_MAX = 256 }; /* bytes; what OpenSSL takes */

struct tls_psk_table;

int tls_psk_load(const char *path, struct tls_psk_table **out, struct sl_err *err);
void tls_psk_free(struct tls_psk_table *table); /* NULL is fine; the keys are wiped */

/* The key's bytes, valid as long as the table; empty when nobody has this identity. */
struct sl_slice tls_psk_find(const struct tls_psk_table *table, struct sl_slice identity);
size_t tls_psk_count(const struct tls_psk_table *table);

#endif
