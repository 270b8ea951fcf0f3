/* evidence_input: see evidence_input.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/evidence_input.h"
#include "cli/home.h"
#include "core/encode.h"
#include "crypto/x509.h"
#include "crypto/x509_chain.h"
#include "wire/collateral_dir.h"

#define CERTIFICATES_MAX (1024 * 1024)
#define PEM "-----BEGIN "

int evidence_input_time(const struct args *a, uint64_t *ret, struct error *err)
{
	const char *text = a->value[OPT_AT], *end;
	struct tm tm = {0};
	char *rest;

	if (!text) {
		*ret = (uint64_t)time(NULL);
		return 0;
	}
	if (strlen(text) > 0 && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 12) {
		*ret = strtoull(text, &rest, 10);
		return 0;
	}
	end = strptime(text, "%Y-%m-%d", &tm);
	if (end && *end == 'T')
		end = strptime(end, "T%H:%M:%SZ", &tm);
	if (!end || *end || timegm(&tm) < 0)
		return error_set(err, ERR_INPUT,
			"--at '%s': wanted 2025-06-20, 2025-06-20T10:00:00Z or seconds since 1970", text);
	*ret = (uint64_t)timegm(&tm);
	return 0;
}

static bool is_pem(const struct buf *b)
{
	return b->data && b->len > strlen(PEM) && memmem(b->data, b->len, PEM, strlen(PEM)) != NULL;
}

int evidence_input_root(const char *path, uint8_t ret[32], struct error *err)
{
	return collateral_root(path, ret, err) < 0 ? error_wrap(err, "--root %s", path) : 0;
}

char *evidence_input_collateral_path(const struct args *a, struct error *err)
{
	char *path;

	if (!a->value[OPT_COLLATERAL])
		return home_path("collateral", err);
	path = strdup(a->value[OPT_COLLATERAL]);
	if (!path)
		error_set(err, ERR_NOMEM, "no memory");
	return path;
}

/* The default directory need not be there. */
static int load_collateral(const struct args *a, struct evidence_input *in, struct error *err)
{
	char *path = evidence_input_collateral_path(a, err);
	int rc;

	if (!path)
		return a->value[OPT_COLLATERAL] ? -1 : 0;
	in->collateral = collateral_new();
	rc = in->collateral ? collateral_load(in->collateral, path, err)
			    : error_set(err, ERR_NOMEM, "no memory");
	if (rc < 0 && !a->value[OPT_COLLATERAL] && err->code == ERR_NOT_FOUND)
		rc = 0;
	free(path);
	in->ctx.collateral = in->collateral;
	return rc;
}

/* One certificate, DER or PEM, as PEM. */
static int append_certificate(const char *path, struct buf *out, struct error *err)
{
	struct buf b;
	X509 *cert = NULL;
	int rc;

	buf_init(&b, CERTIFICATES_MAX);
	rc = collateral_read(path, CERTIFICATES_MAX - 1, &b, err);
	if (rc == 0)
		rc = is_pem(&b) ? x509_from_pem((char *)b.data, b.len, &cert, err)
				: x509_from_der(b.data, b.len, &cert, err);
	if (rc == 0)
		rc = x509_to_pem(cert, out, err);
	X509_free(cert);
	buf_free(&b);
	return rc < 0 ? error_wrap(err, "--vcek %s", path) : 0;
}

/* --vcek goes before --chain; a chain alone is taken in whatever form it has. */
static int load_certificates(const struct args *a, struct evidence_input *in, struct error *err)
{
	const char *vcek = a->value[OPT_VCEK], *chain = a->value[OPT_CHAIN];

	if (!vcek && !chain)
		return 0;
	if (vcek && append_certificate(vcek, &in->certificates, err) < 0)
		return -1;
	if (chain) {
		size_t before = in->certificates.len;

		if (collateral_read(chain, CERTIFICATES_MAX, &in->certificates, err) < 0)
			return error_wrap(err, "--chain");
		if (vcek && in->certificates.len - before < sizeof(PEM))
			return error_set(err, ERR_INPUT, "--chain %s: %zu bytes are no certificates", chain,
				in->certificates.len - before);
	}
	in->evidence.item[ITEM_CERTIFICATES] = (struct bytes){in->certificates.data, in->certificates.len};
	return 0;
}

static int load_report_data(const struct args *a, struct evidence_input *in, struct error *err)
{
	const char *hex = a->value[OPT_REPORT_DATA];
	size_t n;

	if (!hex)
		return 0;
	n = strlen(hex);
	if (n == 0 || n > sizeof(in->report_data) * 2 || n % 2 ||
		hex_decode(hex, n, in->report_data, n / 2) < 0)
		return error_set(err, ERR_INPUT,
			"--report-data: %zu characters, wanted 2 to 128 hex digits; fewer than 128 are "
			"filled "
			"with zeros",
			n);
	in->ctx.report_data = in->report_data;
	return 0;
}

static int load_tolerances(const struct args *a, struct evidence_input *in, struct error *err)
{
	for (size_t i = 0; i < a->tolerate_count; i++) {
		uint32_t bit = tolerance_parse(a->tolerate[i]);

		if (!bit)
			return error_set(err, ERR_INPUT,
				"--tolerate %s: wanted debug-mode, software-hardening-needed, "
				"insecure-configuration or outdated-tcb",
				a->tolerate[i]);
		in->tolerances.set |= bit;
	}
	in->tolerances.advisories = a->ignore;
	in->tolerances.advisory_count = a->ignore_count;
	for (size_t i = 0; i < a->ignore_count; i++)
		in->tolerances.all_advisories |= strcmp(a->ignore[i], "*") == 0;
	return 0;
}

int evidence_input_load(const struct args *a, bool whole, struct evidence_input *ret, struct error *err)
{
	enum tee_type want = TEE_NONE;

	memset(ret, 0, sizeof(*ret));
	buf_init(&ret->file, EVIDENCE_MAX + 1);
	buf_init(&ret->certificates, 2 * CERTIFICATES_MAX);
	if (a->value[OPT_TYPE]) {
		want = tee_type_parse(a->value[OPT_TYPE]);
		if (want == TEE_NONE)
			return error_set(err, ERR_INPUT,
				"--type %s: wanted sim, tpm, sev-snp, tdx, sgx or nitro", a->value[OPT_TYPE]);
	}
	if (collateral_read(a->operands[0], EVIDENCE_MAX, &ret->file, err) < 0)
		return -1;
	if (evidence_parse(ret->file.data, ret->file.len, want, &ret->evidence, err) < 0)
		return error_wrap(err, "%s", a->operands[0]);
	if (!whole)
		return 0;
	if (evidence_input_time(a, &ret->ctx.now, err) < 0 || load_certificates(a, ret, err) < 0 ||
		load_report_data(a, ret, err) < 0 || load_tolerances(a, ret, err) < 0 ||
		load_collateral(a, ret, err) < 0)
		return -1;
	ret->ctx.allow_no_revocation = a->value[OPT_NO_CRL];
	if (!a->value[OPT_TRUST_ROOT])
		return 0;
	ret->root.tee = ret->evidence.tee;
	ret->ctx.roots = &ret->root;
	ret->ctx.root_count = 1;
	return evidence_input_root(a->value[OPT_TRUST_ROOT], ret->root.key_hash, err);
}

void evidence_input_free(struct evidence_input *in)
{
	buf_free(&in->file);
	buf_free(&in->certificates);
	collateral_free(in->collateral);
	in->collateral = NULL;
}
