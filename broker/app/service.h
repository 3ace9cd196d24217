/* service.h: the running program: broker, rules, connectors and status pages, wired together.
 *
 *     service_start()   from a checked configuration; on failure everything made so far is taken down again
 *     service_reload()  rules, connectors and auth from the file anew; a faulty file changes nothing
 *     service_stop()    drains: clients are told, rows delivered until the deadline, the rest stays in the logs; a second SIGTERM
 *                       or SIGINT while it runs ends all waiting (stop_watch.h)
 *
 * Thread: the main thread; all three block. */
#ifndef SERVICE_H
#define SERVICE_H

struct service;

/* *out is NULL unless EXIT_FINE is returned; else what is wrong has been said. */
int service_start(const char *file, struct service **out);
void service_reload(struct service *s);
void service_stop(struct service *s);

#endif
