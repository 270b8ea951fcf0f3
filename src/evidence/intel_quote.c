#include "evidence/intel_quote.h"

#include <string.h>

#define KEY_TYPE_ECDSA_P256 2
#define TEE_WORD_SGX 0
#define TEE_WORD_TDX 0x81
#define BODY_SGX 1
#define BODY_TD_10 2
#define BODY_TD_15 3
#define POINT_LEN 64
#define SIGNATURE_LEN 64
/* A version 5 quote of a TD report 1.5 is longer than the version 4 quote by the body's type and size and two more fields. */
#define SERVICE_PADDING (2 + 4 + sizeof(struct td_report) - TD_REPORT_10_LEN)

static const uint8_t intel_vendor[16] = {
	0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

uint16_t intel_u16(const uint8_t p[2])
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t intel_u32(const uint8_t p[4])
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t take_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p ? intel_u16(p) : 0;
}

static uint32_t take_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	return p ? intel_u32(p) : 0;
}

bool intel_quote_is(const uint8_t *p, size_t n, enum tee_type tee)
{
	const struct intel_quote_header *h = (const void *)p;
	unsigned int version;
	uint32_t word;

	if (n < sizeof(*h) || memcmp(h->vendor, intel_vendor, sizeof(intel_vendor)) != 0)
		return false;
	version = intel_u16(h->version);
	word = intel_u32(h->tee_type);
	if (tee == TEE_SGX)
		return version == 3 || ((version == 4 || version == 5) && word == TEE_WORD_SGX);
	return tee == TEE_TDX && (version == 4 || version == 5) && word == TEE_WORD_TDX;
}

static int parse_header(struct rd *r, struct intel_quote *q, struct error *err)
{
	uint32_t word;

	q->header = (const void *)rd_bytes(r, sizeof(*q->header));
	if (!q->header)
		return evidence_refuse(
			err, CHECK_FORMAT, "quote: ends in its header, wanted %zu bytes", sizeof(*q->header));
	q->version = intel_u16(q->header->version);
	if (q->version < 3 || q->version > 5)
		return evidence_refuse(
			err, CHECK_VERSION, "quote: version is %u, wanted 3, 4 or 5", q->version);
	if (intel_u16(q->header->key_type) != KEY_TYPE_ECDSA_P256)
		return evidence_refuse(err, CHECK_ALGORITHM,
			"quote: attestation key type is %u, wanted %d (ECDSA with P-256)",
			intel_u16(q->header->key_type), KEY_TYPE_ECDSA_P256);
	word = intel_u32(q->header->tee_type);
	if (word != TEE_WORD_SGX && (q->version == 3 || word != TEE_WORD_TDX))
		return evidence_refuse(err, CHECK_TYPE, "quote: TEE type of version %u is 0x%x, wanted %s",
			q->version, word, q->version == 3 ? "0" : "0 (SGX) or 0x81 (TDX)");
	q->tee = word == TEE_WORD_SGX ? TEE_SGX : TEE_TDX;
	if (memcmp(q->header->vendor, intel_vendor, sizeof(intel_vendor)) != 0)
		return evidence_refuse_bytes(err, CHECK_QE_IDENTITY, "quote: vendor of the quoting enclave",
			q->header->vendor, intel_vendor, sizeof(intel_vendor));
	return 0;
}

/* Version 5 says what the body is, and that must go with the header. */
static int parse_body_type(struct rd *r, struct intel_quote *q, size_t *ret_len, struct error *err)
{
	unsigned int type = take_u16(r);
	uint32_t size = take_u32(r);
	static const size_t sizes[] = {
		[BODY_SGX] = sizeof(struct sgx_report),
		[BODY_TD_10] = TD_REPORT_10_LEN,
		[BODY_TD_15] = sizeof(struct td_report),
	};

	if (r->failed)
		return evidence_refuse(err, CHECK_FORMAT, "quote: ends before its body");
	if (type < BODY_SGX || type > BODY_TD_15 || (type == BODY_SGX) != (q->tee == TEE_SGX))
		return evidence_refuse(
			err, CHECK_TYPE, "quote: body of type %u in a %s quote", type, tee_type_name(q->tee));
	if (size != sizes[type])
		return evidence_refuse(err, CHECK_FORMAT, "quote: body of type %u has %u bytes, wanted %zu",
			type, size, sizes[type]);
	q->td_15 = type == BODY_TD_15;
	*ret_len = size;
	return 0;
}

static int parse_body(struct rd *r, struct intel_quote *q, struct error *err)
{
	size_t len = q->tee == TEE_SGX ? sizeof(struct sgx_report) : TD_REPORT_10_LEN;
	const uint8_t *body;

	if (q->version == 5 && parse_body_type(r, q, &len, err) < 0)
		return -1;
	body = rd_bytes(r, len);
	if (!body)
		return evidence_refuse(
			err, CHECK_FORMAT, "quote: ends in its body, wanted %zu bytes of it", len);
	if (q->tee == TEE_SGX)
		q->sgx = (const void *)body;
	else
		q->td = (const void *)body;
	q->signed_part =
		(struct bytes){(const uint8_t *)q->header, (size_t)(body + len - (const uint8_t *)q->header)};
	return 0;
}

/* QE report, its signature, authentication data, certification data; nothing may follow. */
static int parse_qe(struct rd *r, struct intel_quote *q, struct error *err)
{
	q->qe_report = (const void *)rd_bytes(r, sizeof(*q->qe_report));
	q->qe_signature = rd_bytes(r, SIGNATURE_LEN);
	q->qe_auth.n = take_u16(r);
	q->qe_auth.p = rd_bytes(r, q->qe_auth.n);
	q->certification_type = take_u16(r);
	q->certification.n = take_u32(r);
	q->certification.p = rd_bytes(r, q->certification.n);
	if (!rd_done(r))
		return evidence_refuse(err, CHECK_FORMAT,
			"quote: QE report and certification data do not fill what their lengths say");
	return 0;
}

static int parse_signature(struct rd *r, struct intel_quote *q, struct error *err)
{
	unsigned int type;
	const uint8_t *p;
	uint32_t n;

	q->signature = rd_bytes(r, SIGNATURE_LEN);
	q->attestation_key = rd_bytes(r, POINT_LEN);
	if (q->version == 3)
		return parse_qe(r, q, err);
	type = take_u16(r);
	n = take_u32(r);
	p = rd_bytes(r, n);
	if (!rd_done(r))
		return evidence_refuse(
			err, CHECK_FORMAT, "quote: signature data do not fill what their lengths say");
	if (type != CERTIFICATION_QE_REPORT)
		return evidence_refuse(err, CHECK_FORMAT,
			"quote: certification data of type %u after the signature, wanted %d (QE report)",
			type, CERTIFICATION_QE_REPORT);
	rd_init(r, p, n);
	return parse_qe(r, q, err);
}

static int check_rest(const struct rd *r, const struct intel_quote *q, struct error *err)
{
	bool zeros = true;

	for (size_t i = 0; i < r->left && zeros; i++)
		zeros = r->p[i] == 0;
	if (r->left == 0 || (zeros && r->left == SERVICE_PADDING && q->version == 4 && q->tee == TEE_TDX))
		return 0;
	return evidence_refuse(err, CHECK_FORMAT, "quote: %zu bytes follow its end, wanted none%s", r->left,
		q->version == 4 && q->tee == TEE_TDX ? " or 70 zeros" : "");
}

int intel_quote_parse(
	const uint8_t *p, size_t n, enum tee_type want, struct intel_quote *ret, struct error *err)
{
	struct intel_quote q = {0};
	const uint8_t *data;
	uint32_t len;
	struct rd r, inner;

	if (n > INTEL_QUOTE_MAX)
		return evidence_refuse(
			err, CHECK_FORMAT, "quote: %zu bytes, at most %d are taken", n, INTEL_QUOTE_MAX);
	rd_init(&r, p, n);
	if (parse_header(&r, &q, err) < 0)
		return -1;
	if (q.tee != want)
		return evidence_refuse(err, CHECK_TYPE, "quote: it is of type %s, wanted %s",
			tee_type_name(q.tee), tee_type_name(want));
	if (parse_body(&r, &q, err) < 0)
		return -1;
	len = take_u32(&r);
	data = rd_bytes(&r, len);
	if (!data)
		return evidence_refuse(
			err, CHECK_FORMAT, "quote: ends in its signature data, wanted %u bytes of them", len);
	q.len = n - r.left;
	rd_init(&inner, data, len);
	if (parse_signature(&inner, &q, err) < 0 || check_rest(&r, &q, err) < 0)
		return -1;
	*ret = q;
	return 0;
}
