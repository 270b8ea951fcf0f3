#include "las/platform.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "evidence/workload.h"
#include "las/frame.h"

#define USERS 32 /* whose quotes are counted; the one seen longest ago is forgotten for another */
#define MINUTE 60000

/* The machine's evidence for one CAS. */
struct held {
	uint8_t cas[32];
	uint8_t nonce[PLATFORM_NONCE_LEN]; /* what quote was made over */
	uint8_t next[PLATFORM_NONCE_LEN]; /* what the newer one is to be made over */
	struct buf quote; /* empty: none yet */
	int64_t made; /* when the hardware was asked */
	int64_t used;
	bool making, wanted; /* by the thread that asked; by the refresher */
};

struct user {
	uid_t uid;
	int64_t since; /* begin of the minute */
	unsigned quotes;
};

struct platform {
	struct tee *tee;
	EVP_PKEY *key; /* NULL: the driver signs for each program */
	uint8_t public[32];
	int64_t refresh; /* milliseconds */
	pthread_t refresher;
	pthread_mutex_t driver; /* one call to the hardware at a time; never taken with `lock` held */
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t changed;
	struct held held[PLATFORM_CAS_MAX];
	struct user users[USERS];
	bool started, stopping;
};

/* The driver's quote about the key and this nonce. */
static int ask_hardware(
	struct platform *p, const uint8_t nonce[PLATFORM_NONCE_LEN], struct buf *ret, struct error *err)
{
	uint8_t bound[REPORT_DATA_LEN];
	int64_t begin = frame_now();
	int rc;

	workload_bind_las(p->public, nonce, bound);
	buf_init(ret, EVIDENCE_MAX);
	pthread_mutex_lock(&p->driver);
	rc = p->tee->ops->quote(p->tee, bound, ret, err);
	pthread_mutex_unlock(&p->driver);
	if (rc < 0) {
		buf_free(ret);
		return error_wrap(err, "evidence of this machine");
	}
	log_info("the machine's evidence (%s, %zu bytes) was made in %lld ms", p->tee->ops->name, ret->len,
		(long long)(frame_now() - begin));
	return 0;
}

/* Ask without the lock and keep the answer. Called, and returns, with the lock held. */
static int make(
	struct platform *p, struct held *h, const uint8_t nonce[PLATFORM_NONCE_LEN], struct error *err)
{
	uint8_t over[PLATFORM_NONCE_LEN];
	int64_t begin = frame_now();
	struct buf quote;
	int rc;

	memcpy(over, nonce, sizeof(over));
	h->making = true;
	h->wanted = false;
	pthread_mutex_unlock(&p->lock);
	rc = ask_hardware(p, over, &quote, err);
	pthread_mutex_lock(&p->lock);
	h->making = false;
	if (rc == 0) {
		buf_free(&h->quote);
		h->quote = quote;
		h->made = begin;
		memcpy(h->nonce, over, sizeof(over));
	}
	pthread_cond_broadcast(&p->changed);
	return rc;
}

static struct held *find_wanted(struct platform *p)
{
	for (size_t i = 0; i < PLATFORM_CAS_MAX; i++)
		if (p->held[i].wanted && !p->held[i].making)
			return &p->held[i];
	return NULL;
}

static void *refresh(void *arg)
{
	struct platform *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		struct held *h = find_wanted(p);
		struct error err;

		if (!h)
			pthread_cond_wait(&p->changed, &p->lock);
		else if (make(p, h, h->next, &err) < 0)
			log_warn("%s; what there is is given until it is too old", err.text);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static bool for_cas(const struct held *h, const uint8_t cas[32])
{
	return (h->quote.len || h->making) && memcmp(h->cas, cas, sizeof(h->cas)) == 0;
}

/* The place for this CAS; NULL: all are in the making. */
static struct held *find_place(struct platform *p, const uint8_t cas[32])
{
	struct held *oldest = NULL;

	for (size_t i = 0; i < PLATFORM_CAS_MAX; i++)
		if (for_cas(&p->held[i], cas))
			return &p->held[i];
	for (size_t i = 0; i < PLATFORM_CAS_MAX; i++) {
		struct held *h = &p->held[i];

		if (!h->making && (!oldest || h->used < oldest->used))
			oldest = h;
	}
	if (oldest) {
		buf_free(&oldest->quote);
		memcpy(oldest->cas, cas, sizeof(oldest->cas));
		oldest->wanted = false;
	}
	return oldest;
}

static int count_quote(struct platform *p, uid_t uid, struct error *err)
{
	struct user *u = &p->users[0];
	int64_t now = frame_now();

	for (size_t i = 0; i < USERS; i++) {
		if (p->users[i].quotes && p->users[i].uid == uid) {
			u = &p->users[i];
			break;
		}
		if (p->users[i].since < u->since)
			u = &p->users[i];
	}
	if (u->uid != uid || now - u->since >= MINUTE)
		*u = (struct user){.uid = uid, .since = now};
	if (u->quotes >= PLATFORM_QUOTES_PER_MINUTE)
		return error_set(err, ERR_LIMIT,
			"processes of user %u caused %u quotes of this machine within a minute, at most %d "
			"are "
			"made",
			uid, u->quotes, PLATFORM_QUOTES_PER_MINUTE);
	u->quotes++;
	return 0;
}

/* Evidence for this wish: *ret holds it, as long as the lock is held. */
static int provide(
	struct platform *p, uid_t uid, const struct platform_wish *wish, struct held **ret, struct error *err)
{
	int64_t asked = frame_now();

	for (;;) {
		struct held *h = find_place(p, wish->cas);
		bool good = h && h->quote.len && frame_now() - h->made <= 2 * p->refresh &&
			    !(wish->fresh && h->made < asked);

		if (good) {
			*ret = h;
			break;
		}
		if (!h || h->making) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		if (count_quote(p, uid, err) < 0 || make(p, h, wish->nonce, err) < 0)
			return -1;
	}
	(*ret)->used = frame_now();
	if ((*ret)->used - (*ret)->made > p->refresh && !(*ret)->making && !(*ret)->wanted) {
		memcpy((*ret)->next, wish->nonce, sizeof((*ret)->next));
		(*ret)->wanted = true;
		pthread_cond_broadcast(&p->changed);
	}
	return 0;
}

static int copy_quote(struct platform *p, uid_t uid, const struct platform_wish *wish,
	uint8_t ret_nonce[PLATFORM_NONCE_LEN], struct buf *ret, struct error *err)
{
	struct held *h;
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = provide(p, uid, wish, &h, err);
	if (rc == 0) {
		memcpy(ret_nonce, h->nonce, PLATFORM_NONCE_LEN);
		buf_put(ret, h->quote.data, h->quote.len);
	}
	pthread_mutex_unlock(&p->lock);
	return rc == 0 && ret->failed ? error_set(err, ERR_NOMEM, "no memory") : rc;
}

int platform_evidence(struct platform *p, uid_t uid, const struct platform_wish *wish,
	const uint8_t runtime_digest[32], const uint8_t manifest_root[32],
	const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	uint8_t nonce[PLATFORM_NONCE_LEN], workload[WORKLOAD_LEN], las[WORKLOAD_LAS_LEN];
	struct evidence e;
	struct buf quote;
	int rc;

	if (!p->key) {
		pthread_mutex_lock(&p->driver);
		rc = p->tee->ops->evidence(p->tee, runtime_digest, manifest_root, report_data, out, err);
		pthread_mutex_unlock(&p->driver);
		return rc;
	}
	workload_make(runtime_digest, manifest_root, report_data, workload);
	buf_init(&quote, EVIDENCE_MAX);
	rc = copy_quote(p, uid, wish, nonce, &quote, err);
	if (rc == 0)
		rc = workload_sign(p->key, nonce, workload, las, err);
	if (rc == 0)
		rc = evidence_parse(quote.data, quote.len, p->tee->ops->type, &e, err);
	if (rc == 0) {
		e.item[ITEM_WORKLOAD] = (struct bytes){workload, sizeof(workload)};
		e.item[ITEM_LAS] = (struct bytes){las, sizeof(las)};
		rc = evidence_write(&e, out, err);
	}
	buf_free(&quote);
	return rc;
}

static int start_key(struct platform *p, struct error *err)
{
	static const uint8_t no_nonce[PLATFORM_NONCE_LEN];
	int rc;

	if (key_generate(KEY_ED25519, &p->key, err) < 0 || key_ed25519_public_raw(p->key, p->public, err) < 0)
		return -1;
	pthread_mutex_lock(&p->lock);
	rc = make(p, &p->held[0], no_nonce, err); /* for whoever names no CAS */
	pthread_mutex_unlock(&p->lock);
	if (rc < 0)
		return -1;
	if (pthread_create(&p->refresher, NULL, refresh, p) != 0)
		return error_set(err, ERR_NOMEM, "cannot start a thread");
	p->started = true;
	return 0;
}

int platform_new(struct tee *t, unsigned refresh_seconds, struct platform **ret, struct error *err)
{
	struct platform *p = calloc(1, sizeof(*p));

	if (!p)
		return error_set(err, ERR_NOMEM, "no memory");
	p->tee = t;
	p->refresh = (int64_t)refresh_seconds * 1000;
	pthread_mutex_init(&p->driver, NULL);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	for (size_t i = 0; i < PLATFORM_CAS_MAX; i++)
		buf_init(&p->held[i].quote, EVIDENCE_MAX);
	if (t->ops->quote && start_key(p, err) < 0) {
		platform_free(p);
		return -1;
	}
	*ret = p;
	return 0;
}

void platform_free(struct platform *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	if (p->started)
		pthread_join(p->refresher, NULL);
	for (size_t i = 0; i < PLATFORM_CAS_MAX; i++)
		buf_free(&p->held[i].quote);
	EVP_PKEY_free(p->key); /* OpenSSL clears the private part */
	pthread_cond_destroy(&p->changed);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->driver);
	free(p);
}
