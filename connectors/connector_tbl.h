/* connector_tbl.h: the kinds built in, each once: CONNECTOR_KIND(name) stands for sl_connector_<name> of connectors/<name>/.
 * The order is that of messages and documents. */
CONNECTOR_KIND(sqlite)
CONNECTOR_KIND(kafka)
CONNECTOR_KIND(postgres)
CONNECTOR_KIND(mongodb)
CONNECTOR_KIND(redis)
CONNECTOR_KIND(mqtt)
CONNECTOR_KIND(file)
CONNECTOR_KIND(null)
