#include "tee/aesm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "evidence/intel_quote.h"

#define SECONDS 30 /* a key that is made anew may fetch its certificate */
#define QUOTE_HEAD (sizeof(struct intel_quote_header) + sizeof(struct sgx_report)) /* then u32 length */
#define ALGORITHM_ECDSA_P256 2
#define KEYS_MAX 64

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

const char *aesm_path(void)
{
	const char *own = getenv(AESM_ENV);

	return own && *own ? own : AESM_DEFAULT;
}

/* --- protobuf --- */

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_put_u8(b, (uint8_t)(v | 0x80));
	buf_put_u8(b, (uint8_t)v);
}

static void put_number(struct buf *b, unsigned int field, uint64_t v)
{
	put_varint(b, field << 3 | VARINT);
	put_varint(b, v);
}

static void put_bytes(struct buf *b, unsigned int field, const void *p, size_t n)
{
	put_varint(b, field << 3 | BYTES);
	put_varint(b, n);
	buf_put(b, p, n);
}

static uint64_t get_varint(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = rd_u8(r);

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	r->failed = true;
	return 0;
}

struct field {
	uint64_t id, number;
	unsigned int type;
	struct bytes value;
};

static bool get_field(struct rd *r, struct field *ret)
{
	uint64_t tag = get_varint(r), n;

	*ret = (struct field){.id = tag >> 3, .type = tag & 7};
	switch (ret->type) {
	case VARINT:
		ret->number = get_varint(r);
		break;
	case BYTES:
		n = get_varint(r);
		if (r->failed || n > r->left)
			r->failed = true;
		else
			ret->value = (struct bytes){rd_bytes(r, (size_t)n), (size_t)n};
		break;
	case FIXED64:
	case FIXED32:
		(void)rd_bytes(r, ret->type == FIXED64 ? 8 : 4);
		break;
	default:
		r->failed = true;
	}
	return !r->failed;
}

static int decode_call(struct bytes in, struct aesm_answer *ret)
{
	struct aesm_answer a = {0};
	bool has_error = false;
	struct field f;
	struct rd r;

	rd_init(&r, in.p, in.n);
	while (r.left > 0) {
		if (!get_field(&r, &f))
			return -1;
		if (f.id == 1 && f.type == VARINT) {
			a.error = f.number;
			has_error = true;
		} else if (f.id == 2 && f.type == VARINT) {
			a.number = f.number;
		} else if (f.id == 2 && f.type == BYTES) {
			a.value = f.value;
		} else if (f.id == 3 && f.type == VARINT) {
			a.size = f.number;
		}
	}
	if (!has_error)
		return -1;
	*ret = a;
	return 0;
}

int aesm_answer_decode(
	const uint8_t *p, size_t n, enum aesm_call call, struct aesm_answer *ret, struct error *err)
{
	struct bytes body = {0};
	bool found = false;
	struct field f;
	struct rd r;

	rd_init(&r, p, n);
	while (r.left > 0) {
		if (!get_field(&r, &f))
			return error_set(
				err, ERR_PEER, "an answer of %zu bytes is no protobuf, wanted a Response", n);
		if (f.id == AESM_UNSUPPORTED && call != AESM_UNSUPPORTED)
			return error_set(err, ERR_PEER, "the service does not know call %d", (int)call);
		if (f.id == call && f.type == BYTES) {
			body = f.value;
			found = true;
		}
	}
	if (!found || decode_call(body, ret) < 0)
		return error_set(err, ERR_PEER,
			"the answer of %zu bytes has no good field %d, wanted the answer to this call", n,
			(int)call);
	return 0;
}

/* --- one call --- */

static int dial(struct error *err)
{
	const struct timeval limit = {.tv_sec = SECONDS};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s;

	if (strlen(aesm_path()) >= sizeof(a.sun_path))
		return error_set(err, ERR_INPUT, AESM_ENV " has %zu characters, wanted less than %zu",
			strlen(aesm_path()), sizeof(a.sun_path));
	memcpy(a.sun_path, aesm_path(), strlen(aesm_path()) + 1);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
		connect(s, (struct sockaddr *)&a, sizeof(a)) < 0) {
		error_set_errno(err, errno, "no connection to the quoting service (aesmd)");
		if (err)
			err->code = ERR_UNAVAILABLE;
		if (s >= 0)
			close(s);
		return -1;
	}
	return s;
}

static int send_all(int s, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t put = send(s, p, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

static int receive_all(int s, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(s, p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ECONNRESET;
		if (got <= 0)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

static void put_length(uint8_t to[4], size_t n)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(n >> 8 * i);
}

static int exchange(const struct buf *request, struct buf *answer, struct error *err)
{
	uint8_t length[4], *to;
	int s = dial(err), rc = -1;
	size_t n;

	if (s < 0)
		return -1;
	put_length(length, request->len);
	if (send_all(s, length, 4) < 0 || send_all(s, request->data, request->len) < 0 ||
		receive_all(s, length, 4) < 0) {
		error_set_errno(err, errno, "no answer of the quoting service");
		goto out;
	}
	n = intel_u32(length);
	if (n > AESM_MESSAGE_MAX) {
		error_set(err, ERR_PEER, "the quoting service announces %zu bytes, wanted at most %d", n,
			AESM_MESSAGE_MAX);
		goto out;
	}
	to = buf_reserve(answer, n + 1);
	if (!to)
		error_set(err, ERR_NOMEM, "no memory for %zu bytes", n);
	else if (receive_all(s, to, n) < 0)
		error_set_errno(err, errno, "the quoting service's answer of %zu bytes breaks off", n);
	else
		rc = 0;
	if (rc == 0)
		answer->len += n;
out:
	close(s);
	return rc;
}

/* What the service's numbers mean for who runs it. */
static const char *say(uint64_t number)
{
	static const struct {
		uint64_t number;
		const char *text;
	} words[] = {
		{2, "it has no SGX device"},
		{12, "it does not reach the server of certificates: is there a PCCS "
		     "(sgx_default_qcnl.conf)?"},
		{18, "it is busy"},
		{24, "SGX is switched off in the firmware"},
		{29, "no enclave memory is left"},
		{30, "the part that makes quotes (ECDSA) is not installed"},
		{31, "Intel does not know this platform: it is not registered"},
		{38, "it does not have this attestation key"},
		{41, "the library of the platform's certificates (libdcap_quoteprov) is missing"},
		{AESM_KEY_NOT_INITIALIZED, "the attestation key is not ready"},
		{43, "the certificate of the attestation key is malformed"},
		{44, "there is no certificate of this platform: is a PCCS set, and the platform "
		     "registered?"},
		{47, "the report is not one of an enclave of this processor, or for another enclave"},
		{48, "its enclaves do not start: may it open /dev/sgx_provision?"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (words[i].number == number)
			return words[i].text;
	return "see aesm_error.h of Intel's SDK";
}

/* body: the fields of the call; becomes part of the request. The answer points into `answer`. */
static int call(enum aesm_call c, const char *name, struct buf *body, struct buf *answer,
	struct aesm_answer *ret, struct error *err)
{
	struct buf request;
	int rc;

	put_number(body, 9, SECONDS * 1000000ull);
	buf_init(&request, AESM_MESSAGE_MAX);
	put_bytes(&request, c, body->data, body->len);
	rc = body->failed || request.failed ? error_set(err, ERR_NOMEM, "no memory for the request")
					    : exchange(&request, answer, err);
	buf_free(&request);
	if (rc == 0)
		rc = aesm_answer_decode(answer->data, answer->len, c, ret, err);
	if (rc == 0 && ret->error != 0)
		rc = error_set(err, ret->error == AESM_KEY_NOT_INITIALIZED ? ERR_CONFLICT : ERR_IO,
			"error %llu: %s", (unsigned long long)ret->error, say(ret->error));
	return rc < 0 ? error_wrap(err, "%s: %s", aesm_path(), name) : 0;
}

static void begin(struct buf *body, struct buf *answer)
{
	buf_init(body, AESM_MESSAGE_MAX);
	buf_init(answer, AESM_MESSAGE_MAX + 1);
}

static void end(struct buf *body, struct buf *answer)
{
	buf_free(body);
	buf_free(answer);
}

/* --- what the driver asks --- */

static int choose_key(struct bytes ids, uint64_t count, uint8_t ret[AESM_KEY_ID_LEN], struct error *err)
{
	if (ids.n != count * AESM_KEY_ID_LEN)
		return error_set(err, ERR_PEER, "%s: %zu bytes of key ids, wanted %llu of %d each",
			aesm_path(), ids.n, (unsigned long long)count, AESM_KEY_ID_LEN);
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *id = ids.p + i * AESM_KEY_ID_LEN;

		if (intel_u32(id + AESM_ALGORITHM_AT) == ALGORITHM_ECDSA_P256) {
			memcpy(ret, id, AESM_KEY_ID_LEN);
			return 0;
		}
	}
	return error_set(err, ERR_NOT_FOUND,
		"%s: none of the service's %llu attestation keys is for ECDSA with P-256", aesm_path(),
		(unsigned long long)count);
}

int aesm_key_id(uint8_t ret[AESM_KEY_ID_LEN], struct error *err)
{
	struct aesm_answer a = {0};
	struct buf body, answer;
	uint64_t count;
	int rc;

	begin(&body, &answer);
	rc = call(AESM_KEY_COUNT, "GetSupportedAttKeyIDNum", &body, &answer, &a, err);
	count = a.number;
	if (rc == 0 && count > KEYS_MAX)
		rc = error_set(err, ERR_PEER, "%s: %llu attestation keys, wanted at most %d", aesm_path(),
			(unsigned long long)count, KEYS_MAX);
	if (rc == 0) {
		buf_reset(&body);
		buf_reset(&answer);
		put_number(&body, 1, count * AESM_KEY_ID_LEN);
		rc = call(AESM_KEYS, "GetSupportedAttKeyIDs", &body, &answer, &a, err);
	}
	if (rc == 0)
		rc = choose_key(a.value, count, ret, err);
	end(&body, &answer);
	return rc;
}

/* The first call asks for the size of the public key, for which the second has room. */
int aesm_init(const uint8_t key_id[AESM_KEY_ID_LEN], uint8_t ret[AESM_TARGET_LEN], struct error *err)
{
	struct aesm_answer a = {0};
	struct buf body, answer;
	int rc = 0;

	begin(&body, &answer);
	for (int i = 0; rc == 0 && i < 2; i++) {
		buf_reset(&body);
		buf_reset(&answer);
		put_bytes(&body, 1, key_id, AESM_KEY_ID_LEN);
		put_number(&body, 3, (uint64_t)i);
		if (i > 0)
			put_number(&body, 4, a.size);
		rc = call(AESM_INIT_QUOTE, "InitQuoteEx", &body, &answer, &a, err);
	}
	if (rc == 0 && a.value.n != AESM_TARGET_LEN)
		rc = error_set(err, ERR_PEER, "%s: InitQuoteEx: target information of %zu bytes, wanted %d",
			aesm_path(), a.value.n, AESM_TARGET_LEN);
	if (rc == 0)
		memcpy(ret, a.value.p, AESM_TARGET_LEN);
	end(&body, &answer);
	return rc;
}

/* The service fills all the room it was given; the quote says itself how long it is. */
static int put_quote(
	struct bytes q, const uint8_t report[AESM_REPORT_LEN], struct buf *out, struct error *err)
{
	uint64_t len = q.n >= QUOTE_HEAD + 4 ? QUOTE_HEAD + 4 + (uint64_t)intel_u32(q.p + QUOTE_HEAD) : 0;

	if (len == 0 || len > q.n)
		return error_set(
			err, ERR_PEER, "%s: GetQuoteEx: %zu bytes are no whole quote", aesm_path(), q.n);
	if (memcmp(q.p + sizeof(struct intel_quote_header), report, sizeof(struct sgx_report)) != 0)
		return error_set(
			err, ERR_PEER, "%s: GetQuoteEx: the quote is over another report", aesm_path());
	buf_put(out, q.p, (size_t)len);
	return out->failed ? error_set(err, ERR_LIMIT, "no room for a quote of %llu bytes",
				     (unsigned long long)len)
			   : 0;
}

int aesm_quote(const uint8_t key_id[AESM_KEY_ID_LEN], const uint8_t report[AESM_REPORT_LEN], struct buf *out,
	struct error *err)
{
	struct aesm_answer a = {0};
	struct buf body, answer;
	uint64_t room;
	int rc;

	begin(&body, &answer);
	put_bytes(&body, 1, key_id, AESM_KEY_ID_LEN);
	rc = call(AESM_QUOTE_SIZE, "GetQuoteSizeEx", &body, &answer, &a, err);
	room = a.number;
	if (rc == 0 && (room < QUOTE_HEAD || room > INTEL_QUOTE_MAX))
		rc = error_set(err, ERR_PEER, "%s: GetQuoteSizeEx: %llu bytes, wanted %zu to %d", aesm_path(),
			(unsigned long long)room, QUOTE_HEAD, INTEL_QUOTE_MAX);
	if (rc == 0) {
		buf_reset(&body);
		buf_reset(&answer);
		put_bytes(&body, 1, report, AESM_REPORT_LEN);
		put_bytes(&body, 2, key_id, AESM_KEY_ID_LEN);
		put_number(&body, 4, room);
		rc = call(AESM_QUOTE, "GetQuoteEx", &body, &answer, &a, err);
	}
	if (rc == 0)
		rc = put_quote(a.value, report, out, err);
	end(&body, &answer);
	return rc;
}
