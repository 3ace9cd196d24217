/* mongo_message.h: is a message of the server well formed, to the last byte? libmongoc 1.23 trusts the lengths inside of an
 * answer and reads beyond its end when they lie; so nothing reaches it that has not been looked at (mongo_stream.c).
 * It also asserts that members which it knows are of their type; one that is not makes a message ill formed, too.
 * Pure functions, any thread. Only what is compressed needs memory: as much as it says, MONGO_MESSAGE_MAX at the most, until the end
 * of the call. */
#ifndef MONGO_MESSAGE_H
#define MONGO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MONGO_MESSAGE_HEAD = 16, MONGO_MESSAGE_MAX = 64 << 20 };

/* The length that the first four bytes of a message tell; 0 when no message is so short or so long. */
size_t mongo_message_length(const uint8_t *first_four);

/* n is what mongo_message_length() said. True when the sections and documents fill the message and are BSON throughout.
 * compressed: such messages may come, for they were offered; what is in them is looked at as well. */
bool mongo_message_check(const uint8_t *p, size_t n, bool compressed);

#endif
