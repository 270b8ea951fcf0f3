/*
 * Load for a CAS, and the plain TLS server that it is compared with. What it does is real: a mutual TLS 1.3 handshake an attestation, with evidence of a
 * simulated platform made for this connection's nonce. bench/cas.py tells the rest.
 *
 *   cas_load serve                        a TLS server, one connection after the other; prints its port and key hash
 *   cas_load WHAT ADDR KEYHASH SECONDS THREADS DIR [COUNT]
 *     handshakes   connect, handshake, close
 *     attest       connect, nonce, evidence, configuration, close (session of cas.py: bench0/s)
 *     reads        GET /v1/values of one of COUNT sessions, connections kept
 *     updates      update of a session of the thread's own, connections kept
 *     volumes      a newer version (generation and tag) of a volume that this thread's client has attested for and holds, connections kept
 *     create       COUNT sessions bench0..., ten secrets each; SECONDS is not looked at
 *   prints {"operations":N,"failed":N,"seconds":S,"p50":MS,"p99":MS}
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cas/http_tls.h"
#include "core/encode.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "measure/measure.h"
#include "tee/tee.h"
#include "wire/attest.h"
#include "wire/http_client.h"
#include "wire/message.h"

#define THREADS_MAX 256
#define SAMPLES_MAX 200000

struct load {
	const char *what, *address, *dir;
	uint8_t cas_key[KEY_HASH_LEN];
	double seconds;
	unsigned threads, count;
	struct tee *tee;
	pthread_mutex_t lock; /* of tee and next */
	unsigned next;
	double end;
};

struct worker {
	struct load *load;
	unsigned number;
	EVP_PKEY *key;
	X509 *cert;
	uint8_t hash[KEY_HASH_LEN];
	struct http_client *http;
	char predecessor[65];
	char *grant; /* of the volume that is held, as CAS wrote it */
	json_int_t lease, generation;
	char tag[33]; /* of the next generation; a version whose answer was lost is told again */
	unsigned long done, failed;
	double *samples;
	unsigned seed;
	struct error err;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_cas(struct worker *w)
{
	struct http_client_options o = {.address = w->load->address,
		.pinned_key = w->load->cas_key,
		.numeric_only = true,
		.cert = w->cert,
		.key = w->key};

	return w->http ? 0 : http_client_open(&o, &w->http, &w->err);
}

static void drop(struct worker *w)
{
	http_client_close(w->http);
	w->http = NULL;
}

static int call(
	struct worker *w, const char *method, const char *path, const void *body, size_t n, json_t **ret)
{
	struct http_response r = {0};
	int rc = connect_cas(w) ||
				 http_client_request(w->http, method, path, body ? "application/json" : NULL,
					 body, n, &r, &w->err) ||
				 http_response_check(&r, &w->err)
			 ? -1
			 : 0;

	if (!rc && ret)
		*ret = json_loadb((const char *)r.body.data, r.body.len, 0, NULL);
	http_response_free(&r);
	return rc;
}

static int one_handshake(struct worker *w)
{
	int rc = connect_cas(w);

	drop(w);
	return rc;
}

static const uint8_t runtime_digest[32] = {0x11}, manifest[32] = {0x22};

static int make_request(struct worker *w, const char *config_id, json_t *nonce, struct buf *out)
{
	uint8_t report_data[REPORT_DATA_LEN];
	struct attest_request q = {.config_id = (char *)config_id};
	int rc;

	buf_init(&q.evidence, 65536);
	rc = message_hex(nonce, "nonce", "nonce", q.nonce, ATTEST_NONCE_LEN, &w->err);
	attest_report_data(q.nonce, w->hash, w->load->cas_key, report_data);
	pthread_mutex_lock(&w->load->lock);
	if (!rc)
		rc = w->load->tee->ops->evidence(
			w->load->tee, runtime_digest, manifest, report_data, &q.evidence, &w->err);
	pthread_mutex_unlock(&w->load->lock);
	if (!rc)
		rc = attest_request_encode(&q, out, &w->err);
	buf_free(&q.evidence);
	return rc;
}

static int attest(struct worker *w, const char *config_id, json_t **ret)
{
	json_t *nonce = NULL;
	struct buf body;
	int rc = call(w, "POST", "/v1/attest/nonce", NULL, 0, &nonce);

	buf_init(&body, 65536);
	if (!rc)
		rc = make_request(w, config_id, nonce, &body);
	if (!rc)
		rc = call(w, "POST", "/v1/attest", body.data, body.len, ret);
	json_decref(nonce);
	buf_free(&body);
	return rc;
}

static int one_attest(struct worker *w)
{
	int rc = attest(w, "bench0/s", NULL);

	drop(w);
	return rc;
}

static int one_read(struct worker *w)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/values/session=bench%u",
		(unsigned)rand_r(&w->seed) % w->load->count);
	return call(w, "GET", path, NULL, 0, NULL);
}

static int upload(struct worker *w, const char *name, const char *predecessor, char ret_hash[65])
{
	char hex[65], text[4096];
	uint8_t mrenclave[32];
	json_t *answer = NULL;
	const char *hash;
	int n, rc;

	measurement(runtime_digest, manifest, mrenclave);
	hex_encode(mrenclave, 32, hex);
	n = snprintf(text, sizeof(text),
		"name: %s\nversion: \"0.3\"\nsalt: \"%032lx\"\nsecurity: {attestation: {mode: simulation}}\n"
		"services: [{name: s, command: [x, \"$$SCONE::k0:hex$$\"], pwd: /, attestation: {mrenclave: "
		"%s}}]\nsecrets:\n",
		name, w->done, hex);
	for (int i = 0; i < 10; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			" - {name: k%d, kind: binary, size: 32%s}\n", i,
			i == 1 ? ", export_public: true" : "");
	if (predecessor[0])
		n += snprintf(text + n, sizeof(text) - (size_t)n, "predecessor: %s\n", predecessor);
	rc = call(w, "POST", "/v1/sessions", text, (size_t)n, &answer);
	if (!rc && !json_unpack(answer, "{s:s}", "hash", &hash) && ret_hash)
		snprintf(ret_hash, 65, "%s", hash);
	json_decref(answer);
	return rc;
}

static int one_update(struct worker *w)
{
	char name[64];

	snprintf(name, sizeof(name), "update%ld-%u", (long)getpid(), w->number);
	return upload(w, name, w->predecessor, w->predecessor);
}

static int one_create(struct worker *w)
{
	char name[64];
	unsigned i;

	pthread_mutex_lock(&w->load->lock);
	i = w->load->next++;
	pthread_mutex_unlock(&w->load->lock);
	if (i >= w->load->count)
		return 1;
	snprintf(name, sizeof(name), "bench%u", i);
	return upload(w, name, "", NULL);
}

/* A session with a volume, an attested start of its service, and the volume's lease. */
static int take_volume(struct worker *w)
{
	char hex[65], text[1024], id[80], body[4096];
	json_t *config = NULL, *lease = NULL;
	uint8_t mrenclave[32], place[32];
	const char *grant = NULL;
	int n, rc;

	measurement(runtime_digest, manifest, mrenclave);
	hex_encode(mrenclave, 32, hex);
	n = snprintf(text, sizeof(text),
		"name: volume%ld-%u\nversion: \"0.3\"\nsecurity: {attestation: {mode: simulation}}\nvolumes: "
		"[{name: "
		"v}]\nimages: [{name: i, volumes: [{name: v, path: /v}]}]\n"
		"services: [{name: s, command: x, pwd: /, image_name: i, attestation: {mrenclave: %s}}]\n",
		(long)getpid(), w->number, hex);
	snprintf(id, sizeof(id), "volume%ld-%u/s", (long)getpid(), w->number);
	/* Where CAS was too busy for what follows, all of it is tried again. */
	rc = call(w, "POST", "/v1/sessions?repeat=1", text, (size_t)n, NULL) || attest(w, id, &config);
	if (!rc && json_unpack(config, "{s:[{s:s}]}", "volumes", "grant", &grant))
		rc = error_set(&w->err, ERR_PEER, "a configuration without a volume");
	if (!rc && random_bytes(place, sizeof(place), &w->err))
		rc = -1;
	hex_encode(place, sizeof(place), hex);
	if (!rc) {
		n = snprintf(body, sizeof(body), "{\"grant\":\"%s\",\"place\":\"%s\"}", grant, hex);
		rc = n >= (int)sizeof(body) || call(w, "POST", "/v1/volumes/open", body, (size_t)n, &lease);
	}
	if (!rc && json_unpack(lease, "{s:I}", "number", &w->lease))
		rc = error_set(&w->err, ERR_PEER, "a lease without a number");
	if (!rc)
		w->grant = strdup(grant);
	json_decref(config);
	json_decref(lease);
	return rc || !w->grant ? -1 : 0;
}

static int one_volume(struct worker *w)
{
	char body[4096];
	uint8_t random[16];
	int n;

	if ((!w->grant && take_volume(w)) || (!w->tag[0] && random_bytes(random, sizeof(random), &w->err)))
		return -1;
	if (!w->tag[0])
		hex_encode(random, sizeof(random), w->tag);
	n = snprintf(body, sizeof(body),
		"{\"grant\":\"%s\",\"number\":%lld,\"generation\":%lld,\"tag\":\"%s\"}", w->grant,
		(long long)w->lease, (long long)w->generation + 1, w->tag);
	if (n >= (int)sizeof(body) || call(w, "POST", "/v1/volumes/update", body, (size_t)n, NULL))
		return -1;
	w->generation++;
	w->tag[0] = '\0';
	return 0;
}

static const struct {
	const char *what;
	int (*one)(struct worker *w);
} kinds[] = {{"handshakes", one_handshake}, {"attest", one_attest}, {"reads", one_read},
	{"updates", one_update}, {"volumes", one_volume}, {"create", one_create}};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct load *l = w->load;
	int (*one)(struct worker * w) = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].what, l->what))
			one = kinds[i].one;
	while (one && (now() < l->end || one == one_create)) {
		double begin = now();
		int rc = one(w);

		if (rc > 0)
			break;
		if (rc < 0) {
			w->failed++;
			drop(w);
			usleep(1000);
			continue;
		}
		if (w->done < SAMPLES_MAX)
			w->samples[w->done] = now() - begin;
		w->done++;
	}
	drop(w);
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int report(struct worker *workers, unsigned n, double seconds)
{
	unsigned long done = 0, failed = 0, kept = 0;
	double *all;

	for (unsigned i = 0; i < n; i++) {
		done += workers[i].done;
		failed += workers[i].failed;
		if (workers[i].failed)
			fprintf(stderr, "cas_load: %lu failed, the last: %s\n", workers[i].failed,
				workers[i].err.text);
	}
	all = calloc(done + 1, sizeof(*all));
	if (!all)
		return 1;
	for (unsigned i = 0; i < n; i++)
		for (unsigned long k = 0; k < workers[i].done && k < SAMPLES_MAX; k++)
			all[kept++] = workers[i].samples[k];
	qsort(all, kept, sizeof(*all), by_number);
	printf("{\"operations\":%lu,\"failed\":%lu,\"seconds\":%.3f,\"p50\":%.3f,\"p99\":%.3f}\n", done,
		failed, seconds, kept ? all[kept / 2] * 1e3 : 0, kept ? all[kept * 99 / 100] * 1e3 : 0);
	free(all);
	return 0;
}

static int run(struct load *l)
{
	static struct worker workers[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	struct error err = {0};
	double begin;

	if (tee_sim_ops.open(l->dir, &l->tee, &err)) {
		fprintf(stderr, "cas_load: %s\n", err.text);
		return 1;
	}
	for (unsigned i = 0; i < l->threads; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){.load = l,
			.number = i,
			.seed = i + 1,
			.samples = calloc(SAMPLES_MAX, sizeof(double))};
		if (!w->samples || key_generate(KEY_P256, &w->key, &err) ||
			x509_self_signed(w->key, "bench", NULL, NULL, 1, &w->cert, &err) ||
			key_hash(w->key, w->hash, &err))
			return 1;
	}
	begin = now();
	l->end = begin + l->seconds;
	for (unsigned i = 0; i < l->threads; i++)
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			return 1;
	for (unsigned i = 0; i < l->threads; i++)
		pthread_join(threads[i], NULL);
	return report(workers, l->threads, now() - begin);
}

/* The same TLS settings as CAS', and nothing behind them. */
static int serve(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[KEY_HASH_TEXT_MAX];
	uint8_t hash[KEY_HASH_LEN];
	struct error err = {0};
	EVP_PKEY *key = NULL;
	SSL_CTX *ctx = NULL;
	X509 *cert = NULL;

	if (bind(s, (struct sockaddr *)&a, n) || listen(s, 512) ||
		getsockname(s, (struct sockaddr *)&a, &n) || key_generate(KEY_P256, &key, &err) ||
		x509_self_signed(key, "bench", "localhost", "127.0.0.1", 1, &cert, &err) ||
		key_hash(key, hash, &err) || http_tls_context(key, cert, &ctx, &err))
		return 1;
	key_hash_text(hash, text);
	printf("127.0.0.1:%d %s\n", ntohs(a.sin_port), text);
	fflush(stdout);
	for (;;) {
		int fd = accept(s, NULL, NULL);
		SSL *ssl = SSL_new(ctx);
		char c;

		if (fd < 0 || !ssl)
			return 1;
		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1)
			SSL_read(ssl, &c, 1); /* the peer's end */
		SSL_free(ssl);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	struct load l = {.lock = PTHREAD_MUTEX_INITIALIZER, .count = 1};

	if (argc == 2 && !strcmp(argv[1], "serve"))
		return serve();
	if (argc < 7) {
		fprintf(stderr, "usage: cas_load WHAT ADDR KEYHASH SECONDS THREADS DIR [COUNT]\n");
		return 2;
	}
	l.what = argv[1];
	l.address = argv[2];
	if (key_hash_parse(argv[3], strlen(argv[3]), l.cas_key, NULL))
		return 2;
	l.seconds = atof(argv[4]);
	l.threads = (unsigned)atoi(argv[5]);
	l.dir = argv[6];
	if (argc > 7)
		l.count = (unsigned)atoi(argv[7]);
	if (!l.threads || l.threads > THREADS_MAX || !l.count)
		return 2;
	return run(&l);
}
