/* broker_conf_persistence.c: the section `persistence`: what outlives the process, and how. */
#include "broker_conf_int.h"
#include "conf_units.h"

static const char *const sync_modes[] = {"none", "tick", NULL}; /* enum broker_sync */

#define AT(member) offsetof(struct broker_conf, member)

const struct conf_field broker_persistence_fields[] = {
    {.name = "enabled",
     .type = CONF_BOOL,
     .at = AT(persistence.enabled),
     .def = "true",
     .doc = "Whether sessions with an expiry above 0 (3.x: clean session 0), their subscriptions, queues, messages "
	    "under way and wills, "
	    "and retained messages outlive the broker, in the folder `store` of node.data_dir. `false` keeps all in "
	    "memory."},
    {.name = "sync",
     .type = CONF_ENUM,
     .at = AT(persistence.sync),
     .names = sync_modes,
     .def = "none",
     .doc = "`none`: what was acknowledged survives whatever happens to the process, and a power cut may cost the last "
	    "second. "
	    "`tick`: a power cut costs nothing, for what is acknowledged is on the disk; all that came in the meantime "
	    "is written with one sync."},
    {.name = "segment_size",
     .type = CONF_SIZE,
     .flags = CONF_ADVANCED,
     .at = AT(persistence.segment_size),
     .def = "16MB",
     .min = 65536,
     .max = (int64_t)1 << 30,
     .doc = "How large a file of the log of queues and messages under way becomes, about."},
    {.name = "max_disk",
     .type = CONF_SIZE,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(persistence.max_disk),
     .def = "16GB",
     .min = 1 << 20,
     .doc = "The most that the log of queues and messages under way may take on disk."},
    {.name = "max_store",
     .type = CONF_SIZE,
     .at = AT(persistence.max_store),
     .def = "8GB",
     .min = 1 << 20,
     .max = (int64_t)1 << 40,
     .doc = "The most that sessions, subscriptions, wills and retained messages may take on disk. From nine tenths of "
	    "it on, new "
	    "ones are refused (0x97), or wait where the protocol cannot refuse them."},
    CONF_END};
