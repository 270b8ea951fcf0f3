#include "cas/own_evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "measure/measure.h"

struct own_evidence {
	struct tee *tee;
	uint8_t cas_key[32], digest[SHA256_LEN], root[SHA256_LEN];
	struct cas_evidence kept;
	int64_t rests_until; /* milliseconds of the monotonic clock */
};

int own_code(uint8_t ret_digest[32], uint8_t ret_root[32], struct error *err)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct manifest m;
	uint64_t size;
	int fd, rc;

	if (n < 0)
		return error_set_errno(err, errno, "/proc/self/exe");
	path[n] = '\0';
	manifest_init(&m);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	rc = fd < 0 ? error_set_errno(err, errno, "/proc/self/exe") : measure_fd(fd, ret_digest, &size, err);
	if (!rc)
		rc = closure_compute(path, &m, err);
	if (!rc)
		manifest_root(&m, ret_root);
	if (fd >= 0)
		close(fd);
	manifest_free(&m);
	return rc;
}

int own_evidence_new(struct tee *t, const uint8_t cas_key[32], struct own_evidence **ret, struct error *err)
{
	struct own_evidence *o = calloc(1, sizeof(*o));

	if (!o)
		return error_set(err, ERR_NOMEM, "out of memory");
	o->tee = t;
	memcpy(o->cas_key, cas_key, sizeof(o->cas_key));
	cas_evidence_init(&o->kept);
	if (own_code(o->digest, o->root, err)) {
		own_evidence_free(o);
		return error_wrap(err, "what code this CAS is");
	}
	*ret = o;
	return 0;
}

void own_evidence_free(struct own_evidence *o)
{
	if (!o)
		return;
	cas_evidence_free(&o->kept);
	free(o);
}

static int64_t milliseconds(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int make(struct own_evidence *o, const uint8_t *nonce, uint64_t now, struct cas_evidence *ret,
	struct error *err)
{
	uint8_t report_data[REPORT_DATA_LEN];
	int64_t begun = milliseconds(), done;
	int rc;

	ret->issued_at = now;
	memset(ret->nonce, 0, sizeof(ret->nonce));
	if (nonce)
		memcpy(ret->nonce, nonce, sizeof(ret->nonce));
	buf_reset(&ret->evidence);
	cas_evidence_report_data(now, ret->nonce, o->cas_key, report_data);
	rc = o->tee->ops->evidence(o->tee, o->digest, o->root, report_data, &ret->evidence, err);
	done = milliseconds();
	o->rests_until = done + (done - begun);
	return rc;
}

int own_evidence_get(struct own_evidence *o, const uint8_t *nonce, uint64_t now, struct cas_evidence *ret,
	struct error *err)
{
	struct cas_evidence *k = &o->kept;

	if (nonce && milliseconds() < o->rests_until)
		return error_set(err, ERR_LIMIT,
			"evidence over a nonce is made for at most half of the time: ask again in a moment, "
			"or "
			"without nonce");
	if (nonce)
		return make(o, nonce, now, ret, err);
	if (!k->evidence.len || now < k->issued_at || now - k->issued_at >= CAS_EVIDENCE_KEPT) {
		if (make(o, NULL, now, k, err)) {
			buf_reset(&k->evidence);
			return -1;
		}
	}
	ret->issued_at = k->issued_at;
	memset(ret->nonce, 0, sizeof(ret->nonce));
	buf_put(&ret->evidence, k->evidence.data, k->evidence.len);
	return ret->evidence.failed ? error_set(err, ERR_NOMEM, "out of memory") : 0;
}
