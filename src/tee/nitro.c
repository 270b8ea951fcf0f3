/*
 * AWS Nitro enclaves: documents of the Nitro security module by /dev/nsm. A message is CBOR in and CBOR out (one ioctl, NSM_IOCTL_RAW, of the kernel's
 * linux/nsm.h since 6.8 and of Amazon's driver before).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "evidence/nitro_cbor.h"
#include "tee/tee.h"

#define NSM_DEVICE "/dev/nsm"
#define NSM_REQUEST_MAX 0x1000
#define NSM_RESPONSE_MAX 0x3000

struct nsm_bytes {
	uint64_t address, length;
};
struct nsm_raw {
	struct nsm_bytes request, response;
};
#define NSM_IOCTL_RAW _IOWR(0x0a, 0, struct nsm_raw)

struct nitro {
	struct tee tee;
};

static int open_device(struct error *err)
{
	int fd = open(NSM_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? error_set_errno(err, errno, "tee nitro: " NSM_DEVICE) : fd;
}

static int exchange(int fd, const struct buf *request, struct buf *response, struct error *err)
{
	uint8_t *to = buf_reserve(response, NSM_RESPONSE_MAX);
	struct nsm_raw m;

	if (request->failed || request->len > NSM_REQUEST_MAX || !to)
		return error_set(err, ERR_LIMIT, "tee nitro: request of %zu bytes", request->len);
	m.request = (struct nsm_bytes){(uint64_t)(uintptr_t)request->data, request->len};
	m.response = (struct nsm_bytes){(uint64_t)(uintptr_t)to, NSM_RESPONSE_MAX};
	if (ioctl(fd, NSM_IOCTL_RAW, &m) < 0)
		return error_set_errno(err, errno, "tee nitro: no answer from the security module");
	if (m.response.length > NSM_RESPONSE_MAX)
		return error_set(err, ERR_IO, "tee nitro: answer of %llu bytes, at most %d wanted",
			(unsigned long long)m.response.length, NSM_RESPONSE_MAX);
	response->len += (size_t)m.response.length;
	return 0;
}

static bool text_is(struct bytes b, const char *s)
{
	return b.p && b.n == strlen(s) && memcmp(b.p, s, b.n) == 0;
}

/* {"Attestation": {"document": BYTES}}, or {"Error": "WORD"} */
static int take_document(const struct buf *response, struct bytes *ret, struct error *err)
{
	struct cbor_walk w;
	struct bytes word, document;
	struct cbor c;

	cbor_init(&c, response->data, response->len);
	w = cbor_map(&c, 1);
	word = cbor_more(&c, &w) ? cbor_text(&c) : (struct bytes){0};
	if (text_is(word, "Error")) {
		word = cbor_text(&c);
		return error_set(err, ERR_IO, "tee nitro: the security module answers with the error '%.*s'",
			(int)word.n, word.p ? (const char *)word.p : "");
	}
	if (!text_is(word, "Attestation"))
		return error_set(err, ERR_IO, "tee nitro: the security module's answer is no attestation");
	w = cbor_map(&c, 1);
	word = cbor_more(&c, &w) ? cbor_text(&c) : (struct bytes){0};
	document = cbor_bytes(&c);
	if (c.failed || !text_is(word, "document") || document.n == 0)
		return error_set(err, ERR_IO, "tee nitro: the security module's answer has no document");
	*ret = document;
	return 0;
}

static void put_request(const uint8_t user_data[REPORT_DATA_LEN], struct buf *out)
{
	cbor_put_map(out, 1);
	cbor_put_text(out, "Attestation");
	cbor_put_map(out, 3);
	cbor_put_text(out, "user_data");
	cbor_put_bytes(out, user_data, REPORT_DATA_LEN);
	cbor_put_text(out, "nonce");
	cbor_put_null(out);
	cbor_put_text(out, "public_key");
	cbor_put_null(out);
}

static int nitro_probe(struct error *err)
{
	int fd = open_device(err);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int nitro_open(const char *state_dir, struct tee **ret, struct error *err)
{
	struct nitro *n;

	if (nitro_probe(err) < 0)
		return -1;
	n = calloc(1, sizeof(*n));
	if (!n)
		return error_set(err, ERR_NOMEM, "no memory");
	n->tee.ops = &tee_nitro_ops;
	*ret = &n->tee;
	return 0;
}

static void nitro_close(struct tee *t)
{
	free(t);
}

static int ask(
	const uint8_t user_data[REPORT_DATA_LEN], struct buf *response, struct bytes *ret, struct error *err)
{
	int fd = open_device(err), rc;
	struct buf request;

	if (fd < 0)
		return -1;
	buf_init(&request, NSM_REQUEST_MAX);
	put_request(user_data, &request);
	rc = exchange(fd, &request, response, err);
	buf_free(&request);
	close(fd);
	return rc < 0 ? -1 : take_document(response, ret, err);
}

static int nitro_quote(
	struct tee *t, const uint8_t report_data[REPORT_DATA_LEN], struct buf *out, struct error *err)
{
	struct evidence e = {.tee = TEE_NITRO};
	struct buf response;
	int rc;

	buf_init(&response, NSM_RESPONSE_MAX);
	rc = ask(report_data, &response, &e.item[ITEM_STATEMENT], err);
	if (rc == 0)
		rc = evidence_write(&e, out, err);
	buf_free(&response);
	return rc;
}

static int nitro_platform(struct tee *t, uint8_t ret[32], struct error *err)
{
	return error_set(err, ERR_NOT_FOUND,
		"tee nitro: the key of an enclave's documents changes; it is in the document's certificate");
}

const struct tee_ops tee_nitro_ops = {
	.type = TEE_NITRO,
	.name = "nitro",
	.probe = nitro_probe,
	.open = nitro_open,
	.close = nitro_close,
	.evidence = tee_quote_workload,
	.quote = nitro_quote,
	.no_seal = "the security module of an enclave seals nothing",
	.platform = nitro_platform,
};
