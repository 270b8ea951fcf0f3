#include "policy/secret_parts.h"

#include <stdint.h>
#include <string.h>

#define PART_MAX (1024 * 1024)

struct format {
	const char *suffix; /* with its colon; "" for none; a dotted form with its dot */
	const char *part;
	bool private;
};

static const struct format key_formats[] = {
	{"", "pem", true},
	{":pem", "pem", true},
	{":pkcs8:pem", "pem", true},
	{":der", "der", true},
	{":pkcs8:der", "der", true},
	{NULL, NULL, false},
};

static const struct format public_formats[] = {
	{"", "pem", false},
	{":spki:pem", "pem", false},
	{":spki:der", "der", false},
	{NULL, NULL, false},
};

static const struct format certificate_formats[] = {
	{"", "crt", false},
	{":crt", "crt", false},
	{".crt", "crt", false},
	{":crt:pem", "crt", false},
	{":crt:der", "crt:der", false},
	{":chain", "chain", false},
	{".chain", "chain-legacy", false},
	{":privatekey", "privatekey", true},
	{".key", "privatekey", true},
	{":privatekey:pem", "privatekey", true},
	{":privatekey:pkcs8:pem", "privatekey", true},
	{":privatekey:der", "privatekey:der", true},
	{":privatekey:pkcs8:der", "privatekey:der", true},
	{":pkcs12-with-private-key", "pkcs12-with-private-key", true},
	{NULL, NULL, false},
};

/* base64 is that of the binary form; both keys are in the private one. */
static const struct format pgp_formats[] = {
	{":privatekey:asciiarmored", "privatekey:asciiarmored", true},
	{":privatekey:binary", "privatekey:binary", true},
	{":privatekey:base64", "privatekey:base64", true},
	{":publickey:asciiarmored", "publickey:asciiarmored", false},
	{":publickey:binary", "publickey:binary", false},
	{":publickey:base64", "publickey:base64", false},
	{NULL, NULL, false},
};

static const struct kind {
	const char *name;
	const struct format *formats;
	const char *list;
} kinds[] = {
	{"private-key", key_formats, "none, :pem, :der, :pkcs8:pem, :pkcs8:der"},
	{"pgp-key", pgp_formats, ":privatekey: or :publickey: and asciiarmored, binary or base64"},
	{"public-key", public_formats, "none, :spki:pem, :spki:der"},
	{"x509", certificate_formats,
		"none, :crt, :crt:pem, :crt:der, :chain, :privatekey, :privatekey:der, "
		":pkcs12-with-private-key"},
	{"x509-ca", certificate_formats,
		"none, :crt, :crt:pem, :crt:der, :chain, :privatekey, :privatekey:der, "
		":pkcs12-with-private-key"},
};

static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

void secret_parts_put(struct buf *out, const char *name, const void *p, size_t n)
{
	buf_put_block(out, name, strlen(name));
	buf_put_block(out, p, n);
}

bool secret_parts_get(const void *parts, size_t len, const char *name, const void **ret, size_t *ret_len)
{
	struct rd r;

	rd_init(&r, parts, len);
	while (r.left > 0) {
		size_t n = 0, name_len = 0;
		const uint8_t *at = rd_block(&r, PART_MAX, &name_len), *p = rd_block(&r, PART_MAX, &n);

		if (r.failed)
			return false;
		if (name_len != strlen(name) || memcmp(at, name, name_len))
			continue;
		*ret = p;
		*ret_len = n;
		return true;
	}
	return false;
}

const char *secret_parts_of_format(
	const char *kind, const char *suffix, size_t slen, const char *dotted, bool *ret_private)
{
	const struct kind *k = find_kind(kind);

	if (!k || (dotted && slen > 0))
		return NULL;
	if (dotted) {
		suffix = dotted;
		slen = strlen(dotted);
	}
	for (const struct format *f = k->formats; f->suffix; f++) {
		if (strlen(f->suffix) != slen || memcmp(f->suffix, suffix, slen))
			continue;
		*ret_private = f->private;
		return f->part;
	}
	return NULL;
}

const char *secret_parts_formats(const char *kind)
{
	const struct kind *k = find_kind(kind);

	return k ? k->list : NULL;
}
