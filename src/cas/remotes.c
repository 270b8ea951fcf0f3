#include "cas/remotes.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cas/export_message.h"
#include "cas/http_work.h"
#include "cas/sessions.h"
#include "core/log.h"
#include "wire/http_client.h"

#define THREADS 4
#define ENTRIES_MAX 1024
#define REQUEST_MAX 8192

/* One import, and what came of asking for it. */
struct item {
	char *url;
	uint8_t key[32];
	struct export_request q;
	char *name; /* of the secret at the importer */
	int rc;
	struct error err;
	enum secret_kind kind;
	struct buf value;
};

struct items {
	struct item *list;
	size_t count;
};

enum state { STATE_NEW, STATE_QUEUED, STATE_ASKING, STATE_DONE };

/* One session, in one version. */
struct entry {
	char *session;
	uint8_t hash[SESSION_HASH_LEN];
	enum state state;
	struct items asked; /* while queued: the questions; the asking thread's while asking */
	struct items got; /* from the last time; count 0: never */
	uint64_t got_at; /* milliseconds */
	struct http_job *waiting;
	struct entry *next, *next_queued;
};

struct remotes {
	EVP_PKEY *key;
	X509 *cert;
	pthread_t threads[THREADS];
	size_t thread_count;
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t wake;
	bool stop;
	struct entry *entries;
	size_t count;
	struct entry *queue, **queue_end;
};

static uint64_t now_ms(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void items_free(struct items *m)
{
	for (size_t i = 0; i < m->count; i++) {
		free(m->list[i].url);
		free(m->list[i].name);
		export_request_free(&m->list[i].q);
		buf_free(&m->list[i].value);
	}
	free(m->list);
	*m = (struct items){0};
}

static void entry_free(struct entry *e)
{
	items_free(&e->asked);
	items_free(&e->got);
	free(e->session);
	free(e);
}

/* --- asking, in a thread --- */

static int ask(struct remotes *r, struct http_client **http, struct item *m, struct error *err)
{
	struct http_client_options o = {.address = m->url,
		.pinned_key = m->key,
		.cert = r->cert,
		.key = r->key,
		.timeout_ms = REMOTES_TIMEOUT_MS};
	struct http_response answer = {0};
	struct buf body;
	int rc;

	if (!*http && http_client_open(&o, http, err)) {
		err->code = ERR_UNAVAILABLE;
		return -1;
	}
	buf_init(&body, REQUEST_MAX);
	rc = export_request_encode(&m->q, &body, err);
	if (!rc)
		rc = http_client_request(
			*http, "POST", EXPORT_PATH, "application/json", body.data, body.len, &answer, err);
	if (!rc)
		rc = http_response_check(&answer, err);
	if (!rc)
		rc = export_answer_decode(answer.body.data, answer.body.len, &m->kind, &m->value, err);
	/* What is not the importer's fault may be better the next time. */
	if (rc && err->code != ERR_NOT_FOUND && err->code != ERR_CONFLICT && err->code != ERR_ACCESS)
		err->code = ERR_UNAVAILABLE;
	http_response_free(&answer);
	buf_free(&body);
	return rc;
}

/* Items of one CAS that follow each other share a connection; one that is not reached is not tried again for the next of them. */
static void ask_all(struct remotes *r, struct items *m)
{
	struct http_client *http = NULL;

	for (size_t i = 0; i < m->count; i++) {
		struct item *at = &m->list[i], *before = i ? at - 1 : NULL;
		bool same = before && !strcmp(at->url, before->url) &&
			    !memcmp(at->key, before->key, sizeof(at->key));

		if (!same) {
			http_client_close(http);
			http = NULL;
		}
		if (same && before->rc && !http) {
			at->rc = -1;
			at->err = before->err;
			continue;
		}
		at->rc = ask(r, &http, at, &at->err);
		if (at->rc && at->err.code == ERR_UNAVAILABLE) {
			http_client_close(http);
			http = NULL;
		}
		if (at->rc)
			log_warn("session \"%s\": secret \"%s\" of session \"%s\" at CAS %s: %s",
				at->q.importer, at->q.secret, at->q.session, at->url, at->err.text);
	}
	http_client_close(http);
}

static void release(struct entry *e)
{
	struct http_job *job;

	while ((job = e->waiting)) {
		e->waiting = job->next;
		http_work_add(job->work, job);
	}
}

/* Values are not kept for starts that do not come. */
static void sweep(struct remotes *r, uint64_t now)
{
	for (struct entry **at = &r->entries, *e; (e = *at);) {
		if ((e->state == STATE_DONE || e->state == STATE_NEW) && !e->waiting &&
			now - e->got_at > REMOTES_KEEP_MS) {
			*at = e->next;
			entry_free(e);
			r->count--;
		} else {
			at = &e->next;
		}
	}
}

/* Until there is something to do; a thread that has nothing to ask sees to it that nothing is kept too long. */
static void rest(struct remotes *r)
{
	struct timespec until = {0};

	if (!r->entries) {
		pthread_cond_wait(&r->wake, &r->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += REMOTES_KEEP_MS / 2000;
	if (pthread_cond_timedwait(&r->wake, &r->lock, &until) == ETIMEDOUT)
		sweep(r, now_ms());
}

static void *run(void *arg)
{
	struct remotes *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		struct entry *e;

		while (!r->stop && !r->queue)
			rest(r);
		if (r->stop)
			break;
		e = r->queue;
		r->queue = e->next_queued;
		if (!r->queue)
			r->queue_end = &r->queue;
		e->state = STATE_ASKING;
		pthread_mutex_unlock(&r->lock);
		ask_all(r, &e->asked);
		pthread_mutex_lock(&r->lock);
		items_free(&e->got);
		e->got = e->asked;
		e->asked = (struct items){0};
		e->got_at = now_ms();
		e->state = STATE_DONE;
		release(e);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int remotes_new(EVP_PKEY *key, X509 *cert, struct remotes **ret, struct error *err)
{
	struct remotes *r = calloc(1, sizeof(*r));
	pthread_condattr_t monotonic;
	sigset_t all, old;
	int rc = 0;

	if (!r)
		return error_set(err, ERR_NOMEM, "out of memory");
	r->key = key;
	r->cert = cert;
	r->queue_end = &r->queue;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&r->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	/* Signals are the event loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!rc && r->thread_count < THREADS) {
		rc = pthread_create(&r->threads[r->thread_count], NULL, run, r);
		r->thread_count += !rc;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc) {
		*ret = r;
		return 0;
	}
	remotes_stop(r);
	remotes_free(r);
	return error_set_errno(err, rc, "cannot start a thread that asks other CAS");
}

void remotes_stop(struct remotes *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	while (r->thread_count > 0)
		pthread_join(r->threads[--r->thread_count], NULL);
	pthread_mutex_lock(&r->lock);
	for (struct entry *e = r->entries; e; e = e->next)
		release(e);
	pthread_mutex_unlock(&r->lock);
}

void remotes_free(struct remotes *r)
{
	struct entry *e;

	if (!r)
		return;
	while ((e = r->entries)) {
		r->entries = e->next;
		entry_free(e);
	}
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* --- for the working thread --- */

static bool has_imports(const struct stored_session *s)
{
	for (size_t i = 0; i < s->doc->secret_count; i++)
		if (s->doc->secrets[i].imported && s->doc->secrets[i].import.at_cas)
			return true;
	return false;
}

static int add_item(
	struct items *m, const struct stored_session *s, const struct secret_spec *spec, struct error *err)
{
	struct item *at = &m->list[m->count++];

	*at = (struct item){.rc = -1};
	buf_init_secret(&at->value, EXPORT_VALUE_MAX);
	at->url = strdup(spec->import.cas_url);
	memcpy(at->key, spec->import.cas_key, sizeof(at->key));
	at->name = strdup(spec->name);
	at->q.session = strdup(spec->import.session);
	at->q.secret = strdup(spec->import.item);
	at->q.importer = strdup(s->doc->name);
	at->q.has_hash = spec->import.has_hash;
	memcpy(at->q.hash, spec->import.hash, SESSION_HASH_LEN);
	memcpy(at->q.importer_hash, s->hash, SESSION_HASH_LEN);
	return at->url && at->name && at->q.session && at->q.secret && at->q.importer
		       ? 0
		       : error_set(err, ERR_NOMEM, "out of memory");
}

static int make_questions(const struct stored_session *s, struct items *ret, struct error *err)
{
	ret->list = calloc(s->doc->secret_count, sizeof(*ret->list));
	if (!ret->list)
		return error_set(err, ERR_NOMEM, "out of memory");
	for (size_t i = 0; i < s->doc->secret_count; i++) {
		const struct secret_spec *spec = &s->doc->secrets[i];

		if (spec->imported && spec->import.at_cas && add_item(ret, s, spec, err)) {
			items_free(ret);
			return -1;
		}
	}
	return 0;
}

static struct entry *find(const struct remotes *r, const struct stored_session *s)
{
	struct entry *e = r->entries;

	while (e && (memcmp(e->hash, s->hash, sizeof(e->hash)) != 0 || strcmp(e->session, s->doc->name) != 0))
		e = e->next;
	return e;
}

static struct entry *new_entry(struct remotes *r, const struct stored_session *s, struct error *err)
{
	struct entry *e = r->count < ENTRIES_MAX ? calloc(1, sizeof(*e)) : NULL;

	if (!e || !(e->session = strdup(s->doc->name))) {
		free(e);
		error_set(err, ERR_UNAVAILABLE,
			"%zu sessions wait for secrets of other CAS, or memory is out: try again later",
			r->count);
		return NULL;
	}
	memcpy(e->hash, s->hash, sizeof(e->hash));
	e->next = r->entries;
	r->entries = e;
	r->count++;
	return e;
}

static int queue(struct remotes *r, struct entry *e, const struct stored_session *s, struct error *err)
{
	if (make_questions(s, &e->asked, err))
		return -1;
	e->state = STATE_QUEUED;
	e->next_queued = NULL;
	*r->queue_end = e;
	r->queue_end = &e->next_queued;
	pthread_cond_broadcast(&r->wake);
	return 0;
}

static int wait_locked(
	struct remotes *r, const struct stored_session *s, bool waited, void **ret, struct error *err)
{
	uint64_t now = now_ms();
	struct entry *e;

	sweep(r, now);
	e = find(r, s);
	if (waited || (e && e->state == STATE_DONE && now - e->got_at <= REMOTES_FRESH_MS))
		return 0;
	if (!e && !(e = new_entry(r, s, err)))
		return -1;
	if (e->state != STATE_QUEUED && e->state != STATE_ASKING && queue(r, e, s, err))
		return -1;
	*ret = e;
	return 0;
}

int remotes_wait(
	struct remotes *r, const struct stored_session *s, bool waited, void **ret, struct error *err)
{
	int rc;

	*ret = NULL;
	if (!r || !has_imports(s))
		return 0;
	pthread_mutex_lock(&r->lock);
	rc = wait_locked(r, s, waited, ret, err);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

void remotes_park(struct remotes *r, void *what, struct http_job *job)
{
	struct entry *e = what;

	job->q.waited = true;
	pthread_mutex_lock(&r->lock);
	if (r->stop || e->state == STATE_DONE) {
		http_work_add(job->work, job);
	} else {
		job->next = e->waiting;
		e->waiting = job;
	}
	pthread_mutex_unlock(&r->lock);
}

static int give(const struct item *m, const struct secret_spec *spec, int *ret_kind, struct buf *out,
	struct error *err)
{
	if (m->rc) {
		if (err)
			*err = m->err;
		return error_wrap(err, "secret \"%s\", of CAS %s", spec->name, m->url);
	}
	if (spec->kind_known && spec->kind != m->kind)
		return error_set(err, ERR_CONFLICT,
			"secret \"%s\": CAS %s exports \"%s\" of session \"%s\" of kind %s, it is imported "
			"as "
			"%s [E-KIND]",
			spec->name, m->url, m->q.secret, m->q.session, secret_kind_name(m->kind),
			secret_kind_name(spec->kind));
	*ret_kind = (int)m->kind;
	buf_put(out, m->value.data, m->value.len);
	return out->failed
		       ? error_set(err, ERR_LIMIT, "secret \"%s\" is over %zu bytes", spec->name, out->max)
		       : 0;
}

int remotes_get(struct remotes *r, const struct stored_session *s, const struct secret_spec *spec,
	int *ret_kind, struct buf *out, struct error *err)
{
	const struct entry *e;
	int rc = -1;

	if (!r)
		return error_set(err, ERR_UNAVAILABLE,
			"secret \"%s\" is of another CAS: only a service that attests gets it", spec->name);
	pthread_mutex_lock(&r->lock);
	e = find(r, s);
	error_set(err, ERR_UNAVAILABLE, "secret \"%s\" is of CAS %s, which was not asked now", spec->name,
		spec->import.cas_url);
	for (size_t i = 0; e && i < e->got.count; i++) {
		if (strcmp(e->got.list[i].name, spec->name) != 0)
			continue;
		if (err)
			*err = (struct error){0};
		rc = give(&e->got.list[i], spec, ret_kind, out, err);
		break;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}
