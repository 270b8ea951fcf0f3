#include "evidence/check.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/encode.h"

#define SHOWN_MAX 64

static const char *const names[CHECK_COUNT] = {
	[CHECK_FORMAT] = "format",
	[CHECK_VERSION] = "version",
	[CHECK_TYPE] = "type",
	[CHECK_ALGORITHM] = "algorithm",
	[CHECK_SIGNATURE] = "signature",
	[CHECK_REPORT_DATA] = "report-data",
	[CHECK_MEASUREMENT] = "measurement",
	[CHECK_DEBUG] = "debug",
	[CHECK_TCB_STATUS] = "tcb-status",
	[CHECK_ADVISORY] = "advisory",
	[CHECK_ISSUED_AT] = "issued-at",
	[CHECK_PLATFORM] = "platform",
	[CHECK_LAS_SIGNATURE] = "las-signature",
	[CHECK_PLATFORM_AGE] = "platform-age",
	[CHECK_MACHINE] = "machine",
	[CHECK_CHAIN_MISSING] = "chain-missing",
	[CHECK_CHAIN_FORMAT] = "chain-format",
	[CHECK_CHAIN_ORDER] = "chain-order",
	[CHECK_CHAIN_SIGNATURE] = "chain-signature",
	[CHECK_CHAIN_ROOT] = "chain-root",
	[CHECK_CHAIN_TIME] = "chain-time",
	[CHECK_CHAIN_ROLE] = "chain-role",
	[CHECK_REVOKED_KEY] = "revoked-key",
	[CHECK_REVOKED_CA] = "revoked-ca",
	[CHECK_CRL_MISSING] = "crl-missing",
	[CHECK_CRL_FORMAT] = "crl-format",
	[CHECK_CRL_SIGNATURE] = "crl-signature",
	[CHECK_CRL_TIME] = "crl-time",
	[CHECK_QE_SIGNATURE] = "qe-signature",
	[CHECK_QE_BINDING] = "qe-binding",
	[CHECK_QE_IDENTITY] = "qe-identity",
	[CHECK_QE_TCB] = "qe-tcb",
	[CHECK_PCK_EXTENSION] = "pck-extension",
	[CHECK_COLLATERAL_MISSING] = "collateral-missing",
	[CHECK_COLLATERAL_FORMAT] = "collateral-format",
	[CHECK_COLLATERAL_SIGNATURE] = "collateral-signature",
	[CHECK_COLLATERAL_TIME] = "collateral-time",
	[CHECK_COLLATERAL_MATCH] = "collateral-match",
	[CHECK_COLLATERAL_NUMBER] = "collateral-number",
	[CHECK_TCB_LEVEL] = "tcb-level",
	[CHECK_TDX_MODULE] = "tdx-module",
	[CHECK_ATTRIBUTES] = "attributes",
	[CHECK_PRODUCT] = "product",
	[CHECK_CHIP_ID] = "chip-id",
	[CHECK_TCB_MATCH] = "tcb-match",
	[CHECK_SIGNING_KEY] = "signing-key",
	[CHECK_GUEST_POLICY] = "guest-policy",
	[CHECK_PLATFORM_INFO] = "platform-info",
	[CHECK_VMPL] = "vmpl",
	[CHECK_GUEST_SVN] = "guest-svn",
	[CHECK_TCB_MINIMUM] = "tcb-minimum",
	[CHECK_HOST_DATA] = "host-data",
	[CHECK_ID_KEY] = "id-key",
	[CHECK_ATTESTATION_KEY] = "attestation-key",
	[CHECK_PCR_SELECTION] = "pcr-selection",
	[CHECK_PCR_DIGEST] = "pcr-digest",
	[CHECK_PCR] = "pcr",
	[CHECK_EVENT_LOG_FORMAT] = "event-log-format",
	[CHECK_EVENT_LOG] = "event-log",
};

const char *evidence_check_name(enum evidence_check c)
{
	return (size_t)c < CHECK_COUNT ? names[c] : NULL;
}

const char *evidence_check_find(const char *name)
{
	for (size_t i = 0; i < CHECK_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return names[i];
	return NULL;
}

int evidence_refuse(struct error *err, enum evidence_check c, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	error_set(err, ERR_ATTEST, "%s", text);
	err->check = names[c];
	return -1;
}

int evidence_refuse_bytes(struct error *err, enum evidence_check c, const char *what, const void *seen,
	const void *wanted, size_t n)
{
	char a[2 * SHOWN_MAX + 1], b[2 * SHOWN_MAX + 1];

	if (n > SHOWN_MAX)
		n = SHOWN_MAX;
	hex_encode(seen, n, a);
	hex_encode(wanted, n, b);
	return evidence_refuse(err, c, "%s is %s, wanted %s", what, a, b);
}
