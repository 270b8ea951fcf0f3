#include "cas/metrics.h"

#include <inttypes.h>
#include <stdbool.h>

static const struct {
	const char *name, *help;
	bool gauge;
} descriptions[METRIC_COUNT] = {
	[METRIC_CONNECTIONS] = {"scone_cas_connections", "Connections that are open.", true},
	[METRIC_ACCEPTED] = {"scone_cas_connections_total", "Connections accepted.", false},
	[METRIC_HANDSHAKES_FAILED] = {"scone_cas_tls_handshakes_failed_total", "TLS handshakes that failed.",
		false},
	[METRIC_TIMED_OUT] = {"scone_cas_connections_timed_out_total",
		"Connections closed because their time was up.", false},
	[METRIC_OVERLOADED] = {"scone_cas_connections_refused_total",
		"Connections refused because there were too many.", false},
	[METRIC_PEER_REFUSED] = {"scone_cas_peer_refused_total",
		"Connections and requests refused because their address had too many.", false},
	[METRIC_BATCHES] = {"scone_cas_store_commits_total", "Commits of the store.", false},
	[METRIC_BATCH_CONFLICTS] = {"scone_cas_store_conflicts_total",
		"Commits done again because another CAS was first.", false},
	[METRIC_STORE_FAILURES] = {"scone_cas_store_failures_total",
		"Reads and commits that the store failed.", false},
	[METRIC_GENERATION] = {"scone_cas_store_generation", "Changes since the store was made.", true},
	[METRIC_SESSIONS] = {"scone_cas_sessions", "Names of sessions, deleted ones included.", true},
	[METRIC_AUDIT_LINES] = {"scone_cas_audit_lines", "Lines of this CAS' audit log.", true},
};

static const double limits[METRIC_BUCKETS - 1] = {
	0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5};

void metric_add(struct metrics *m, enum metric which, int64_t n)
{
	if (m)
		__atomic_add_fetch(&m->values[which], (uint64_t)n, __ATOMIC_RELAXED);
}

void metric_set(struct metrics *m, enum metric which, uint64_t value)
{
	if (m)
		__atomic_store_n(&m->values[which], value, __ATOMIC_RELAXED);
}

void metric_request(struct metrics *m, size_t route, int status)
{
	if (m && route < METRIC_ROUTES_MAX && status >= 100 && status < 600)
		__atomic_add_fetch(&m->requests[route][status / 100 - 1], 1, __ATOMIC_RELAXED);
}

void metric_latency(struct metrics *m, uint64_t microseconds)
{
	size_t i = 0;

	if (!m)
		return;
	while (i < METRIC_BUCKETS - 1 && (double)microseconds > limits[i] * 1e6)
		i++;
	__atomic_add_fetch(&m->latency[i], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&m->latency_us, microseconds, __ATOMIC_RELAXED);
}

static uint64_t load(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void head(struct buf *out, const char *name, const char *help, const char *type)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_requests(const struct metrics *m, const char *const *routes, struct buf *out)
{
	head(out, "scone_cas_requests_total", "Requests answered, by call and class of status.", "counter");
	for (size_t i = 0; routes[i] && i < METRIC_ROUTES_MAX; i++)
		for (size_t c = 0; c < 5; c++)
			if (c == 1 || load(&m->requests[i][c]))
				buf_printf(out,
					"scone_cas_requests_total{call=\"%s\",status=\"%zuxx\"} %" PRIu64
					"\n",
					routes[i], c + 1, load(&m->requests[i][c]));
}

static void write_latency(const struct metrics *m, struct buf *out)
{
	const char *name = "scone_cas_request_seconds";
	uint64_t n = 0;

	head(out, name, "Time from a whole request to its answer.", "histogram");
	for (size_t i = 0; i < METRIC_BUCKETS - 1; i++) {
		n += load(&m->latency[i]);
		buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, limits[i], n);
	}
	n += load(&m->latency[METRIC_BUCKETS - 1]);
	buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, n);
	buf_printf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)load(&m->latency_us) / 1e6, name,
		n);
}

void metrics_write(const struct metrics *m, const char *const *routes, struct buf *out)
{
	for (size_t i = 0; i < METRIC_COUNT; i++) {
		head(out, descriptions[i].name, descriptions[i].help,
			descriptions[i].gauge ? "gauge" : "counter");
		buf_printf(out, "%s %" PRIu64 "\n", descriptions[i].name, load(&m->values[i]));
	}
	write_requests(m, routes, out);
	write_latency(m, out);
}
