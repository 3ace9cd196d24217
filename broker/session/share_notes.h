/* share_notes.h: a session's own notes of its shared subscriptions, by "group/filter". See hmap.h for the functions. */
#ifndef SHARE_NOTES_H
#define SHARE_NOTES_H

#include "slice.h"

struct share_note {
	uint64_t hash;
	struct sl_slice text; /* owned */
	uint32_t sub_id;
	uint8_t qos;
	bool retain_as_published;
	bool used;
};

#define HMAP_NAME share_notes
#define HMAP_SLOT struct share_note
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->text, key)
#include "hmap.h"

#endif
