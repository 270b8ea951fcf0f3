#include "las/quote.h"

#include "core/encode.h"
#include "core/log.h"
#include "core/secret.h"
#include "crypto/key.h"
#include "las/frame.h"
#include "las/peer.h"
#include "measure/measure.h"
#include "wire/attest.h"

#define FINISH_MS 500

/* Give the checked peer a number that nothing it sent, or prepared, before the check can contain. */
static int send_challenge(
	int conn, const struct peer *p, int64_t deadline, uint8_t ret[LAS_CHALLENGE_LEN], struct error *err)
{
	struct buf out;
	size_t early;
	if (frame_pending(conn, &early, err) < 0)
		return -1;
	/* What lies there may be from before the peer became what it is, and the beginning of a request. */
	if (early)
		return error_set(err, ERR_PEER,
			"process %d sent %zu bytes before it was challenged, wanted 0", p->pid, early);
	buf_init(&out, LAS_FRAME_MAX);
	int rc = random_bytes(ret, LAS_CHALLENGE_LEN, err);
	if (rc == 0)
		rc = las_challenge_encode(ret, &out, err);
	if (rc == 0)
		rc = frame_write(conn, deadline, &out, err);
	buf_free(&out);
	return rc;
}

/* Request bytes -> evidence over what the checked peer runs. The digest is what this process measured, never what the peer
 * says; the manifest is the peer's statement, which a genuine runtime makes truthfully. */
static int sign(const struct quote *q, uid_t uid, const uint8_t digest[SHA256_LEN],
	const uint8_t challenge[LAS_CHALLENGE_LEN], const struct buf *request, uint8_t ret_root[SHA256_LEN],
	struct buf *evidence, struct error *err)
{
	struct manifest m;
	struct platform_wish wish;
	uint8_t report_data[REPORT_DATA_LEN], seen[LAS_CHALLENGE_LEN];
	manifest_init(&m);
	if (las_request_decode(request->data, request->len, seen, report_data, &m, &wish, err) < 0)
		return -1;
	manifest_sort(&m);
	manifest_root(&m, ret_root);
	manifest_free(&m);
	if (!secret_equal(seen, challenge, LAS_CHALLENGE_LEN))
		return error_set(err, ERR_PEER,
			"the request does not carry the challenge of this connection: it was made for "
			"another "
			"one, or before it");
	return platform_evidence(q->platform, uid, &wish, digest, ret_root, report_data, evidence, err);
}

static int answer(const struct quote *q, int conn, const struct peer *p, int64_t deadline, struct buf *out,
	struct error *err)
{
	struct buf request, evidence;
	uint8_t digest[SHA256_LEN], root[SHA256_LEN], challenge[LAS_CHALLENGE_LEN];
	char hex[2 * SHA256_LEN + 1];
	if (genuine_check(q->genuine, p->exe, p->path, digest, err) < 0 || peer_check(p, err) < 0 ||
		send_challenge(conn, p, deadline, challenge, err) < 0)
		return -1;
	buf_init(&request, LAS_FRAME_MAX);
	buf_init(&evidence, LAS_FRAME_MAX / 2);
	int rc = frame_read(conn, p->pid, deadline, &request, err);
	if (rc == 0)
		rc = peer_check(p, err);
	if (rc == 0)
		rc = sign(q, p->uid, digest, challenge, &request, root, &evidence, err);
	/* The signature is worth something only if the process that was measured is the one that gets it. */
	if (rc == 0)
		rc = peer_check(p, err);
	if (rc == 0)
		rc = las_answer_encode(evidence.data, evidence.len, out, err);
	if (rc == 0) {
		hex_encode(root, sizeof(root), hex);
		log_info("evidence for process %d of user %u, manifest root %s", p->pid, p->uid, hex);
	}
	buf_free(&request);
	buf_free(&evidence);
	return rc;
}

static void send_error(int conn, int64_t deadline, const struct error *e)
{
	struct buf out;
	buf_init(&out, LAS_FRAME_MAX);
	if (las_answer_encode_error(e, &out) == 0 && frame_write(conn, deadline, &out, NULL) == 0) {
		int64_t finish = frame_now() + FINISH_MS;
		frame_finish(conn, finish < deadline ? finish : deadline);
	}
	buf_free(&out);
}

void quote_serve(const struct quote *q, int conn)
{
	struct error err = {0};
	struct peer p;
	struct buf out;
	int64_t deadline = frame_now() + QUOTE_TIME_MS;
	int rc = peer_open(conn, &p, &err);
	pid_t pid = p.pid;
	uid_t uid = p.uid;
	buf_init(&out, LAS_FRAME_MAX);
	if (rc == 0) {
		rc = answer(q, conn, &p, deadline, &out, &err);
		if (rc == 0 && frame_write(conn, deadline, &out, &err) < 0)
			log_warn("process %d of user %u did not take its answer: %s", pid, uid, err.text);
		peer_close(&p);
	}
	if (rc < 0) {
		log_warn("refused process %d of user %u: %s", pid, uid, err.text);
		/* A peer that used up its time still gets to know why. */
		int64_t grace = frame_now() + FINISH_MS;
		send_error(conn, grace > deadline ? grace : deadline, &err);
	}
	buf_free(&out);
}
