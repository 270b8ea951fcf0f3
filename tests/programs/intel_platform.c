/*
 * intel_platform DIR: an SGX platform under a root of its own that keeps its keys, for tests that need quotes over report data of the moment. Writes DIR/root.pem,
 * DIR/collateral (good now) and DIR/expired (was good until yesterday). Each line on standard input, "NAME REPORT_DATA [debug] [outdated]", writes the quote
 * DIR/NAME and prints NAME. The enclave's measurement is 11 by 32, its signer 22 by 32, product 3, version 4.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "../lib/evidence_pki.h"
#include "../lib/intel_maker.h"
#include "core/encode.h"

#define DAY ((uint64_t)24 * 3600)

static const char *dir;
static EVP_PKEY *keys[CERT_COUNT];

static void write_file(const char *name, const struct buf *b)
{
	char path[4096];
	FILE *f;

	must(snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path), "path");
	f = fopen(path, "wb");
	must(f && fwrite(b->data, 1, b->len, f) == b->len && fclose(f) == 0, path);
}

static void recipe_of(struct intel_recipe *r, uint64_t now)
{
	intel_recipe_init(r, TEE_SGX, 3, false);
	intel_recipe_at(r, now);
	for (int i = 0; i < CERT_COUNT; i++)
		r->cert[i].key = keys[i];
}

static void put_collateral(const char *name, uint64_t now)
{
	struct intel_recipe r;
	struct intel_made m;

	recipe_of(&r, now);
	intel_make(&r, &m);
	write_file(name, &m.collateral);
	write_file("root.pem", &m.root_pem);
	intel_made_free(&m);
}

static void put_quote(const char *name, const char *hex, const char *words)
{
	struct intel_recipe r;
	struct intel_made m;

	recipe_of(&r, (uint64_t)time(NULL));
	must(hex_decode(hex, strlen(hex), r.enclave.report_data, sizeof(r.enclave.report_data)) == 0,
		"report data");
	if (strstr(words, "debug"))
		r.enclave.attributes[0] |= SGX_ATTRIBUTE_DEBUG;
	if (strstr(words, "outdated"))
		memset(r.pck.components, 4, 16);
	intel_make(&r, &m);
	write_file(name, &m.quote);
	intel_made_free(&m);
}

int main(int argc, char **argv)
{
	char line[1024], name[64], hex[256], words[64];

	if (argc != 2)
		return 2;
	dir = argv[1];
	for (int i = 0; i < CERT_COUNT; i++)
		keys[i] = pki_key(KEY_P256);
	put_collateral("expired", (uint64_t)time(NULL) - 30 * DAY);
	put_collateral("collateral", (uint64_t)time(NULL));
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		words[0] = '\0';
		must(sscanf(line, "%63s %255s %63[^\n]", name, hex, words) >= 2, "line");
		put_quote(name, hex, words);
		puts(name);
		fflush(stdout);
	}
	for (int i = 0; i < CERT_COUNT; i++)
		EVP_PKEY_free(keys[i]);
	return 0;
}
