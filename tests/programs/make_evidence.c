/*
 * make_evidence DIR: SGX and TDX evidence under roots of its own, as files, good and bad, for tests of the command line. For each NAME:
 * NAME.quote, NAME.collateral (JSON), NAME.root (PEM), NAME.bundle (quote and collateral). Also, for the first, what Intel's service would have answered:
 * NAME.tcb.http, NAME.qe.http, NAME.crl.http, NAME.rootcrl.der. Everything is good at 2025-06-15T15:06:40Z.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../lib/intel_maker.h"
#include "core/encode.h"

static const char *dir;

static void write_file(const char *name, const char *end, const void *p, size_t n)
{
	char path[4096];
	FILE *f;

	must(snprintf(path, sizeof(path), "%s/%s.%s", dir, name, end) < (int)sizeof(path), "path");
	f = fopen(path, "wb");
	must(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, path);
}

/* An answer with its head; the chain is percent-encoded in a header. */
static void write_http(const char *name, const char *end, const char *header, const json_t *chain,
	const void *body, size_t n)
{
	const char *pem = json_string_value(chain);
	struct buf b;

	buf_init(&b, 1024 * 1024);
	buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s: ", n, header);
	for (; *pem; pem++) {
		if (strchr("\n +/=", *pem))
			buf_printf(&b, "%%%02X", *pem);
		else
			buf_putc(&b, *pem);
	}
	buf_puts(&b, "\r\n\r\n");
	buf_put(&b, body, n);
	write_file(name, end, b.data, b.len);
	buf_free(&b);
}

static void write_document(const char *name, const char *end, const char *member, const char *header,
	const char *key, const json_t *j)
{
	char chain[64], signature[64];
	struct buf b;

	must(snprintf(chain, sizeof(chain), "%s_issuer_chain", key) > 0 &&
			snprintf(signature, sizeof(signature), "%s_signature", key) > 0,
		"name");
	buf_init(&b, 1024 * 1024);
	buf_printf(&b, "{\"%s\":%s,\"signature\":\"%s\"}", member, json_string_value(json_object_get(j, key)),
		json_string_value(json_object_get(j, signature)));
	write_http(name, end, header, json_object_get(j, chain), b.data, b.len);
	buf_free(&b);
}

static void write_service(const char *name, const struct intel_made *m)
{
	json_t *j = json_loadb((char *)m->collateral.data, m->collateral.len, 0, NULL);
	const char *hex;
	struct buf der;

	write_document(name, "tcb.http", "tcbInfo", "TCB-Info-Issuer-Chain", "tcb_info", j);
	write_document(
		name, "qe.http", "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain", "qe_identity", j);
	buf_init(&der, 65536);
	hex = json_string_value(json_object_get(j, "pck_crl"));
	must(hex_decode_buf(hex, strlen(hex), &der) == 0, "list");
	write_http(name, "crl.http", "SGX-PCK-CRL-Issuer-Chain", json_object_get(j, "pck_crl_issuer_chain"),
		der.data, der.len);
	buf_reset(&der);
	hex = json_string_value(json_object_get(j, "root_ca_crl"));
	must(hex_decode_buf(hex, strlen(hex), &der) == 0, "list");
	write_file(name, "rootcrl.der", der.data, der.len);
	buf_free(&der);
	json_decref(j);
}

static void make(const char *name, const struct intel_recipe *r, bool service)
{
	struct evidence e;
	struct intel_made m;
	struct buf bundle;

	intel_make(r, &m);
	write_file(name, "quote", m.quote.data, m.quote.len);
	write_file(name, "collateral", m.collateral.data, m.collateral.len);
	write_file(name, "root", m.root_pem.data, m.root_pem.len);
	memset(&e, 0, sizeof(e));
	e.tee = r->tee;
	e.item[ITEM_STATEMENT] = (struct bytes){m.quote.data, m.quote.len};
	e.item[ITEM_COLLATERAL] = (struct bytes){m.collateral.data, m.collateral.len};
	buf_init(&bundle, 1024 * 1024);
	must(evidence_write(&e, &bundle, NULL) == 0, "bundle");
	write_file(name, "bundle", bundle.data, bundle.len);
	if (service)
		write_service(name, &m);
	buf_free(&bundle);
	intel_made_free(&m);
}

int main(int argc, char **argv)
{
	struct intel_recipe r;

	if (argc != 2)
		return 2;
	dir = argv[1];
	intel_recipe_init(&r, TEE_SGX, 3, false);
	make("sgx", &r, true);
	r.enclave.attributes[0] |= SGX_ATTRIBUTE_DEBUG;
	make("debug", &r, false);
	intel_recipe_init(&r, TEE_SGX, 3, false);
	memset(r.pck.components, 4, 16);
	make("outdated", &r, false);
	intel_recipe_init(&r, TEE_SGX, 3, false);
	r.info.next = r.now;
	make("expired", &r, false);
	intel_recipe_init(&r, TEE_SGX, 3, false);
	r.pck_crl.revoked[0] = r.cert[CERT_PCK].serial;
	make("revoked", &r, false);
	intel_recipe_init(&r, TEE_SGX, 3, false);
	r.info.forged = true;
	make("forged", &r, false);
	intel_recipe_init(&r, TEE_TDX, 4, false);
	make("tdx4", &r, false);
	intel_recipe_init(&r, TEE_TDX, 5, true);
	make("tdx5", &r, false);
	return 0;
}
