#include "cas/etcd.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/buf.h"
#include "wire/json_wipe.h"

#define SCHEME "etcd://"
#define DEFAULT_PREFIX "openscone"
#define ANSWER_MAX (64 * 1024 * 1024)
#define CONNECT_MS 1000
/* One member's time; an election takes about one second. */
#define MEMBER_MS 2500
#define PAUSE_US 50000

struct etcd {
	CURL *curl;
	struct curl_slist *fields;
	char *hosts; /* owned: comma-separated, as given */
	char *endpoints[ETCD_ENDPOINTS_MAX]; /* into list */
	char *list; /* owned: hosts, cut */
	size_t count, current;
	char prefix[ETCD_PREFIX_MAX + 2];
	char *ca, *cert, *key; /* owned */
	char curl_text[CURL_ERROR_SIZE];
};

static int bad(struct error *err, const char *what)
{
	return error_set(err, ERR_INPUT,
		"etcd store: %s; wanted " SCHEME
		"HOST:PORT[,HOST:PORT]...[/PREFIX]?ca=FILE&cert=FILE&key=FILE",
		what);
}

static int read_hosts(struct etcd *e, const char *text, size_t n, struct error *err)
{
	char *save = NULL;

	e->hosts = strndup(text, n);
	e->list = strndup(text, n);
	if (!e->hosts || !e->list)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (char *p = strtok_r(e->list, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (!strrchr(p, ':') || strpbrk(p, "/?#@% \t\"\\") || strlen(p) > 260)
			return bad(err, "a member is not HOST:PORT");
		if (e->count == ETCD_ENDPOINTS_MAX)
			return bad(err, "more than 16 members");
		e->endpoints[e->count++] = p;
	}
	return e->count ? 0 : bad(err, "no member is named");
}

static int read_prefix(struct etcd *e, const char *text, size_t n, struct error *err)
{
	if (n == 0) {
		text = DEFAULT_PREFIX;
		n = strlen(text);
	}
	if (n > ETCD_PREFIX_MAX)
		return bad(err, "the prefix is over 128 bytes");
	memcpy(e->prefix, text, n);
	e->prefix[n] = '/';
	return 0;
}

static int read_file_option(struct etcd *e, const char *text, size_t n, struct error *err)
{
	const struct {
		const char *name;
		char **to;
	} options[] = {{"ca=", &e->ca}, {"cert=", &e->cert}, {"key=", &e->key}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		size_t len = strlen(options[i].name);

		if (n <= len || strncmp(text, options[i].name, len))
			continue;
		if (*options[i].to)
			return bad(err, "ca, cert or key is given twice");
		*options[i].to = strndup(text + len, n - len);
		if (!*options[i].to)
			return error_set(err, ERR_NOMEM, "out of memory");
		if (access(*options[i].to, R_OK))
			return error_set(err, ERR_INPUT, "etcd store: file %.300s (%s) cannot be read: %m",
				*options[i].to, options[i].name);
		return 0;
	}
	return bad(err, "an option is not ca=FILE, cert=FILE or key=FILE");
}

static int read_place(struct etcd *e, const char *where, struct error *err)
{
	const char *at, *query;
	size_t n;

	if (strncmp(where, SCHEME, strlen(SCHEME)))
		return bad(err, "it does not begin with " SCHEME);
	at = where + strlen(SCHEME);
	query = strchr(at, '?');
	n = strcspn(at, "/?");
	if (!query)
		return bad(err, "no certificates are named");
	if (read_hosts(e, at, n, err))
		return -1;
	at += n;
	if (*at == '/')
		at++;
	if (read_prefix(e, at, (size_t)(query - at), err))
		return -1;
	for (at = query + 1;; at += n + 1) {
		n = strcspn(at, "&");
		if (read_file_option(e, at, n, err))
			return -1;
		if (!at[n])
			break;
	}
	return e->ca && e->cert && e->key ? 0 : bad(err, "ca, cert and key are all needed");
}

struct answer {
	struct buf body;
};

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct answer *a = arg;

	buf_put(&a->body, p, size * n);
	return a->body.failed ? 0 : size * n;
}

static int setup_curl(struct etcd *e, struct error *err)
{
	CURL *c;

	if (curl_global_init(CURL_GLOBAL_ALL) || !(c = e->curl = curl_easy_init()))
		return error_set(err, ERR_NOMEM, "etcd store: the HTTP library does not start");
	e->fields = curl_slist_append(e->fields, "Content-Type: application/json");
	/* No waiting for permission to send a body. */
	e->fields = e->fields ? curl_slist_append(e->fields, "Expect:") : NULL;
	if (!e->fields)
		return error_set(err, ERR_NOMEM, "out of memory");
	if (curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https") ||
		curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
		curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3) ||
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) ||
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) ||
		curl_easy_setopt(c, CURLOPT_CAINFO, e->ca) || curl_easy_setopt(c, CURLOPT_CAPATH, NULL) ||
		curl_easy_setopt(c, CURLOPT_SSLCERT, e->cert) ||
		curl_easy_setopt(c, CURLOPT_SSLKEY, e->key) || curl_easy_setopt(c, CURLOPT_PROXY, "") ||
		curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) ||
		curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) || curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L) ||
		curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) ||
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)MEMBER_MS) ||
		curl_easy_setopt(c, CURLOPT_ERRORBUFFER, e->curl_text) ||
		curl_easy_setopt(c, CURLOPT_HTTPHEADER, e->fields) ||
		curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body))
		return error_set(err, ERR_INTERNAL, "etcd store: the HTTP library does not know an option");
	return 0;
}

int etcd_new(const char *where, struct etcd **ret, struct error *err)
{
	struct etcd *e = calloc(1, sizeof(*e));

	if (!e)
		return error_set(err, ERR_NOMEM, "out of memory");
	if (read_place(e, where, err) || setup_curl(e, err)) {
		etcd_free(e);
		return -1;
	}
	*ret = e;
	return 0;
}

void etcd_free(struct etcd *e)
{
	if (!e)
		return;
	curl_easy_cleanup(e->curl);
	curl_slist_free_all(e->fields);
	free(e->hosts);
	free(e->list);
	free(e->ca);
	free(e->cert);
	free(e->key);
	free(e);
}

const char *etcd_prefix(const struct etcd *e)
{
	return e->prefix;
}

const char *etcd_hosts(const struct etcd *e)
{
	return e->hosts;
}

/* gRPC's codes, which the gateway puts into its errors. */
enum { GRPC_INVALID = 3, GRPC_EXHAUSTED = 8, GRPC_OUT_OF_RANGE = 11 };

/* What an answer without status 200 says. */
static int refused(struct etcd *e, const char *host, long status, const json_t *j, struct error *err)
{
	const char *text = NULL;
	int code = -1;

	if (json_unpack((json_t *)j, "{s:s}", "message", &text) &&
		json_unpack((json_t *)j, "{s:s}", "error", &text))
		text = "no reason given";
	if (json_unpack((json_t *)j, "{s:i}", "code", &code))
		code = -1;
	return error_set(err,
		code == GRPC_INVALID || code == GRPC_EXHAUSTED || code == GRPC_OUT_OF_RANGE ? ERR_LIMIT
											    : ERR_IO,
		"etcd member %s: %.300s (HTTP status %ld)", host, text, status);
}

static int call_member(struct etcd *e, const char *path, const char *body, json_t **ret, struct error *err)
{
	const char *host = e->endpoints[e->current];
	struct answer a;
	long status = 0;
	char url[512];
	json_t *j = NULL;
	CURLcode rc;
	int result = -1;

	buf_init(&a.body, ANSWER_MAX);
	snprintf(url, sizeof(url), "https://%s%s", host, path);
	e->curl_text[0] = '\0';
	if (curl_easy_setopt(e->curl, CURLOPT_URL, url) ||
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body) ||
		curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body)) ||
		curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, &a))
		return error_set(err, ERR_NOMEM, "out of memory");
	rc = curl_easy_perform(e->curl);
	if (rc) {
		error_set(err, ERR_IO, "etcd member %s: %s", host,
			e->curl_text[0] ? e->curl_text : curl_easy_strerror(rc));
		goto out;
	}
	curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &status);
	j = json_loadb((const char *)a.body.data, a.body.len, 0, NULL);
	if (status != 200)
		result = refused(e, host, status, j, err);
	else if (!json_is_object(j))
		error_set(err, ERR_IO, "etcd member %s: its answer of %zu bytes is no JSON object", host,
			a.body.len);
	else
		result = 0;
out:
	buf_free(&a.body);
	if (!result)
		*ret = j;
	else
		json_decref(j);
	return result;
}

static uint64_t milliseconds(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int etcd_call(struct etcd *e, const char *path, const json_t *request, json_t **ret, struct error *err)
{
	uint64_t end = milliseconds() + ETCD_SECONDS * 1000;
	char *body = json_dumps(request, JSON_COMPACT);
	struct error why = {0};
	size_t failed = 0;
	int rc;

	if (!body)
		return error_set(err, ERR_NOMEM, "out of memory for a request to etcd");
	while ((rc = call_member(e, path, body, ret, &why)) && why.code == ERR_IO) {
		e->current = (e->current + 1) % e->count;
		if (milliseconds() >= end)
			break;
		if (++failed % e->count == 0)
			usleep(PAUSE_US);
	}
	json_free(body);
	if (rc && why.code == ERR_IO)
		return error_set(err, ERR_IO,
			"no majority of the etcd cluster %.300s answers within %d seconds; the last member "
			"asked: %s",
			e->hosts, ETCD_SECONDS, why.text);
	if (rc && err)
		*err = why;
	return rc;
}
