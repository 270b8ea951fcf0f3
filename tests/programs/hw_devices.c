/*
 * The devices of hw_standin: /dev/sev-guest and /dev/nsm, answered as kernel and hardware do.
 */
#include <linux/sev-guest.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "evidence/nitro_cbor.h"
#include "hw_standin.h"

#define SNP_DEBUG_BIT 19 /* of the guest policy */
#define SEV_PAGE 4096
#define SEV_HEAD 32 /* of an answer */
#define SEV_INVALID_PARAMETERS 0x16

static uint8_t chip[32];

void hw_make_snp(const uint8_t in[64], struct snp_report_wire *ret)
{
	snp_make_report(&hw.snp, 3, in, ret);
	ret->measurement[0] ^= hw_guest_is("launch");
	ret->policy[2] |= hw_guest_is("debug") ? 1 << (SNP_DEBUG_BIT - 16) : 0;
	ret->vmpl[0] = hw_guest_is("vmpl");
	if (hw_guest_is("outdated")) /* of another TCB than the certificate */
		ret->reported_tcb[7]--;
	if (hw_guest_is("putback"))
		ret->committed_tcb[7]--;
	snp_sign_report(&hw.snp, ret);
}

void hw_start_chip(void)
{
	char path[4096];

	NEED(snprintf(path, sizeof(path), "%s/chip", hw.base) < (int)sizeof(path));
	if (access(path, F_OK) == 0) {
		NEED(hw_get_file(hw.base, "chip", chip, sizeof(chip)) == sizeof(chip));
		return;
	}
	NEED(random_bytes(chip, sizeof(chip), NULL) == 0);
	hw_put_file(hw.base, "chip", chip, sizeof(chip), 0600);
}

/* --- /dev/nsm ---------------------------------------------------------------------------------------------------------------------- */

struct nsm_raw {
	uint64_t request, request_len, response, response_len;
};

static void make_answer(struct bytes user_data, struct buf *out)
{
	struct nitro_spec s = {.timestamp = (uint64_t)time(NULL) * 1000,
		.user_data = user_data,
		.indefinite = true,
		.debug = hw_guest_is("debug")};
	struct buf document;

	cbor_put_map(out, 1);
	if (hw.nsm_error) {
		cbor_put_text(out, "Error");
		cbor_put_text(out, "InternalError");
		return;
	}
	buf_init(&document, 65536);
	nitro_make_document(&hw.nitro, &s, &document);
	cbor_put_text(out, "Attestation");
	cbor_put_map(out, 1);
	cbor_put_text(out, "document");
	cbor_put_bytes(out, document.data, document.len);
	buf_free(&document);
}

static bool key_is(struct cbor *c, const char *name)
{
	struct bytes t = cbor_text(c);

	return t.p && t.n == strlen(name) && memcmp(t.p, name, t.n) == 0;
}

int hw_answer_nsm(pid_t pid, uint64_t at)
{
	uint8_t request[0x1000];
	struct nsm_raw m;
	struct bytes user_data;
	struct cbor c;
	struct cbor_walk w;
	struct buf out;
	bool ok;

	if (!hw_peek(pid, at, &m, sizeof(m)) || m.request_len > sizeof(request) ||
		!hw_peek(pid, m.request, request, m.request_len))
		return -EFAULT;
	cbor_init(&c, request, m.request_len);
	w = cbor_map(&c, 1);
	ok = cbor_more(&c, &w) && key_is(&c, "Attestation");
	w = cbor_map(&c, 3);
	ok = ok && cbor_more(&c, &w) && key_is(&c, "user_data");
	user_data = cbor_bytes(&c);
	ok = ok && cbor_more(&c, &w) && key_is(&c, "nonce");
	cbor_null(&c);
	ok = ok && cbor_more(&c, &w) && key_is(&c, "public_key");
	cbor_null(&c);
	if (!ok || !cbor_done(&c) || user_data.n > 512)
		return -EINVAL;
	buf_init(&out, 65536);
	make_answer(user_data, &out);
	ok = out.len <= m.response_len && hw_poke(pid, m.response, out.data, out.len);
	m.response_len = out.len;
	ok = ok && hw_poke(pid, at, &m, sizeof(m));
	buf_free(&out);
	return ok ? 0 : -EFAULT;
}

/* --- /dev/sev-guest ---------------------------------------------------------------------------------------------------------------- */

static void put_u32le(uint8_t *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> 8 * i);
}

static int answer_report(pid_t pid, uint64_t from, uint64_t to)
{
	struct snp_report_resp answer = {0};
	struct snp_report_req request;
	struct snp_report_wire w;

	if (!hw_peek(pid, from, &request, sizeof(request)))
		return -EFAULT;
	hw_make_snp(request.user_data, &w);
	w.vmpl[0] = (uint8_t)request.vmpl;
	snp_sign_report(&hw.snp, &w);
	put_u32le(answer.data + 4, sizeof(w));
	memcpy(answer.data + SEV_HEAD, &w, sizeof(w));
	return hw_poke(pid, to, &answer, sizeof(answer)) ? 0 : -EFAULT;
}

/* Room that is too small: the pages that are needed, and the host's error. */
static int answer_extended(pid_t pid, struct snp_guest_request_ioctl *m)
{
	struct snp_ext_report_req request;
	struct buf table;
	size_t pages;
	int rc;

	if (hw_guest_is("plain"))
		return -EIO;
	if (!hw_peek(pid, m->req_data, &request, sizeof(request)))
		return -EFAULT;
	if (request.certs_len % SEV_PAGE || request.certs_address % SEV_PAGE)
		return -EINVAL;
	buf_init(&table, 65536);
	if (!hw.no_aux)
		snp_make_table(&hw.snp, NULL, &table);
	pages = (table.len + SEV_PAGE - 1) / SEV_PAGE;
	if (pages * SEV_PAGE > request.certs_len) {
		request.certs_len = (uint32_t)(pages * SEV_PAGE);
		m->vmm_error = SNP_GUEST_VMM_ERR_INVALID_LEN;
		rc = hw_poke(pid, m->req_data, &request, sizeof(request)) ? -EIO : -EFAULT;
	} else {
		rc = table.len == 0 || hw_poke(pid, request.certs_address, table.data, table.len) ? 0
												  : -EFAULT;
	}
	buf_free(&table);
	return rc < 0 ? rc : answer_report(pid, m->req_data, m->resp_data);
}

/* What is not selected is not mixed in; a TCB above the committed one is no valid parameter. */
static int answer_key(pid_t pid, uint64_t from, uint64_t to)
{
	static const uint8_t nothing[64];
	struct snp_derived_key_resp answer = {0};
	struct snp_derived_key_req request;
	struct snp_report_wire w;
	uint8_t in[8 + 8 + 48 + 8] = {0}, tcb[8];

	if (!hw_peek(pid, from, &request, sizeof(request)))
		return -EFAULT;
	hw_make_snp(nothing, &w);
	memcpy(tcb, &request.tcb_version, 8);
	for (int i = 0; i < 8; i++)
		if (tcb[i] > w.committed_tcb[i])
			put_u32le(answer.data, SEV_INVALID_PARAMETERS);
	if (request.root_key_select != 0 || request.vmpl > 3)
		put_u32le(answer.data, SEV_INVALID_PARAMETERS);
	memcpy(in, &request.guest_field_select, 8);
	if (request.guest_field_select & 1)
		memcpy(in + 8, w.policy, 8);
	if (request.guest_field_select & 8)
		memcpy(in + 16, w.measurement, 48);
	if (request.guest_field_select & 32)
		memcpy(in + 64, tcb, 8);
	if (!answer.data[0])
		hmac_sha256(chip, sizeof(chip), in, sizeof(in), answer.data + SEV_HEAD);
	return hw_poke(pid, to, &answer, sizeof(answer)) ? 0 : -EFAULT;
}

int hw_answer_sev(pid_t pid, uint32_t request, uint64_t at)
{
	struct snp_guest_request_ioctl m;
	int rc;

	if (!hw_peek(pid, at, &m, sizeof(m)))
		return -EFAULT;
	if (!m.msg_version)
		return -EINVAL;
	m.exitinfo2 = 0;
	rc = request == (uint32_t)SNP_GET_REPORT       ? answer_report(pid, m.req_data, m.resp_data)
	     : request == (uint32_t)SNP_GET_EXT_REPORT ? answer_extended(pid, &m)
						       : answer_key(pid, m.req_data, m.resp_data);
	return hw_poke(pid, at, &m, sizeof(m)) ? rc : -EFAULT;
}

bool hw_is_sev_request(uint32_t request)
{
	return request == (uint32_t)SNP_GET_REPORT || request == (uint32_t)SNP_GET_EXT_REPORT ||
	       request == (uint32_t)SNP_GET_DERIVED_KEY;
}
