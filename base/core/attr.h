/* attr.h: a name and its text, as authenticators give clients and rules read them.
 * Lifetime: the owner's, who frees both. Thread: any. */
#ifndef SL_ATTR_H
#define SL_ATTR_H

struct sl_attr {
	char *name, *value;
};

#endif
