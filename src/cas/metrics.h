/*
 * metrics: what CAS counts, as text for Prometheus (text format 0.0.4). Counting is safe from every thread and costs an atomic addition. Nothing here
 * names a session, a key or a client.
 */
#ifndef SCONE_CAS_METRICS_H
#define SCONE_CAS_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"

enum metric {
	METRIC_CONNECTIONS, /* open now */
	METRIC_ACCEPTED,
	METRIC_HANDSHAKES_FAILED,
	METRIC_TIMED_OUT,
	METRIC_OVERLOADED, /* answered 429, or closed for want of room */
	METRIC_PEER_REFUSED, /* connections and requests over what one address may have */
	METRIC_BATCHES, /* commits of the store */
	METRIC_BATCH_CONFLICTS, /* of them, done again because another CAS was first */
	METRIC_STORE_FAILURES,
	METRIC_GENERATION, /* of the store, as this CAS saw it last */
	METRIC_SESSIONS,
	METRIC_AUDIT_LINES, /* number of the log's next line */
	METRIC_COUNT
};

#define METRIC_ROUTES_MAX 64
#define METRIC_BUCKETS 12

struct metrics {
	uint64_t values[METRIC_COUNT];
	/* By route (the caller's numbers) and status class, 1xx to 5xx. */
	uint64_t requests[METRIC_ROUTES_MAX][5];
	/* From a whole request to its whole answer, before it is sent. The last bucket is +Inf. */
	uint64_t latency[METRIC_BUCKETS], latency_us;
};

void metric_add(struct metrics *m, enum metric which, int64_t n); /* m NULL: nothing happens */
void metric_set(struct metrics *m, enum metric which, uint64_t value);
void metric_request(struct metrics *m, size_t route, int status);
void metric_latency(struct metrics *m, uint64_t microseconds);
/* routes[i]: path of route i; NULL ends the list. */
void metrics_write(const struct metrics *m, const char *const *routes, struct buf *out);

#endif
