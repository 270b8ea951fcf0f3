/* Session documents, client-side variables and templates: what was accepted keeps its promises, what was refused says why. */
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "fuzz.h"
#include "policy/canonical.h"
#include "policy/session.h"
#include "policy/template.h"
#include "policy/yaml.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HEAD "version: \"0.3\"\nname: ns/n\n"

static const struct fuzz_seed documents[] = {
	FUZZ_SEED(HEAD),
	FUZZ_SEED(HEAD "predecessor: " HEX64 "\nsalt: 000102030405060708090a0b0c0d0e0f\nvolumes: []\n"
		       "secret_config: {store_in: !cas }\nsecurity: {attestation: {mode: simulation, "
		       "tolerate: []}}\n"),
	FUZZ_SEED(
		HEAD "services:\n- name: db\n  image_name: i\n  command: mysqld \"--a b\" 'c\"d' @@1 "
		     "$$SCONE::pw$$\n"
		     "  environment: {TZ: UTC, N: 7, PW: $$SCONE::pw|escape(json)$$, \\@\\@HOSTNAME: }\n  "
		     "pwd: $DIR\n"
		     "  attestation:\n  - mrenclave: [" HEX64 "]\n  - {mrenclave: " HEX64 "}\n"
		     "secrets:\n- {name: pw, kind: ascii, size: 30}\n- {name: b, kind: binary, value: 00ff}\n"
		     "images:\n- name: i\n  injection_files:\n  - /etc/k\n  - path: /etc/c\n    permission: "
		     "0o640\n    content: |\n"
		     "      k=$$SCONECAS:b:hex$$ ${X}\n      \\$Y\n  provide_secrets: [pw]\n"),
	FUZZ_SEED(HEAD "access_policy: {read: [CREATOR, ANY], update: NONE, create_sessions: {require-all: "
		       "[{signer: x}]}}\n"),
	FUZZ_SEED(HEAD "secrets: [{name: a, kind: x509, dns: b}, {name: c, import: {session: ../d, secret: "
		       "e}}]\nboard: {members: []}\n"),
	FUZZ_SEED("version: 0.3.5\nname: a\nservices: [{name: s, mrenclaves: [" HEX64
		  "], command: ['@@2', \"x\\0\"]}]\n"),
	FUZZ_SEED(HEAD
		"volumes: [{name: a}, {name: b, fspf_key: " HEX64
		", fspf_tag: 00112233445566778899aabbccddeeff},\n"
		" {name: c, export: [{session: ./x}, {to: {session: y}, update_policy: ephemeral, "
		"volume_alias: z}, /session=q]},\n"
		" {name: d, import: {session: ../s, volume: v}}, {name: e, fspf_key: $$SCONE::k$$, fspf_tag: "
		"00112233445566778899aabbccddeeff}]\nsecrets: [{name: k, kind: binary, size: 32}]\n"
		"images: [{name: i, volumes: [{name: a, path: /a, update_policy: strict}, {name: d, path: "
		"/d}]}]\n"),
	FUZZ_SEED(HEAD "secrets:\n- {name: f, kind: config-fragment, value: [{mrenclave: [" HEX64
		       ", $$SCONE::t$$]}]}\n"
		       "- {name: t, kind: ascii, value: " HEX64
		       "}\n- {name: g, import: {session: x, secret: g}}\n"
		       "- {name: k, kind: private-key, key_type: P-384}\n- {name: p, kind: pgp-key}\n"
		       "- {name: j, kind: jwt, signer: k, alg: ES384, validity: {for: 1h}, payload: {a: b, "
		       "c: $$SCONE::self::software_identity$$}}\n"
		       "security: {singleton_enclaves: true, attestation: {one_time_password_shared_secret: "
		       "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ}}\n"
		       "services: [{name: s, pwd: /, platforms: [$$SCONE::g$$], attestation: [$$SCONE::f$$, "
		       "{signer: $$SCONE::g$$}, "
		       "{mrenclave: $$SCONE::t$$}]}]\n"),
	FUZZ_SEED("name: a:b\ndigest: x\nservices: [{name: s, mrenclaves: [" HEX64
		  "], tags: [t]}]\nimages: [{name: i, mrenclaves: []}]\n"),
	FUZZ_SEED("version: 0.2\nname: a\nsecrets: [{name: c, kind: session-ca}, {name: w, kind: x509}, "
		  "{name: s, kind: ascii, export: [b, \"c:" HEX64
		  "\"]}, {name: i, kind: ascii, import: d}]\nvolumes: [{name: v, import: d}]\n"),
};

static const char *const yaml_words[] = {"&a ", "*a", "!cas ", "!!str ", "<<: ", "? ", "---\n", "...\n", "- ",
	": ", "{", "}", "[", "]", "|\n", ">-\n", "\"", "'", "#", "%YAML 1.2\n", "~", "null", "\\0", "\\u2028",
	"\xef\xbb\xbf", "\xc2\x85", "\n  ", "version: \"0.3\"\n", "services: ", "attestation: ",
	"mrenclave: ", "secrets: ", "images: ", "access_policy: ", "$$SCONE::", "$$SCONECAS:", "$$", "$X",
	"${X}", "\\$X", "@@1", "ANY", "NONE", "CREATOR", "kind: binary", "alphabet: hex",
	"value: ", "size: 99999999999", "kind: config-fragment",
	"volumes: ", "fspf_key: ", "update_policy: strict", "export: ", "import: ", "$$SCONE::f$$",
	"version: \"0.2\"\n", "namespace_hash: ", NULL};

/* Valid UTF-8 without controls, whatever the document held: it goes into JSON and to terminals. */
static void check_printable(const char *s)
{
	for (const unsigned char *c = (const unsigned char *)s; *c;) {
		size_t n = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
		fuzz_check(*c >= 0x20 && *c != 0x7f && (*c < 0x80 || (*c >= 0xc2 && *c < 0xf5)));
		for (size_t i = 1; i < n; i++)
			fuzz_check((c[i] & 0xc0) == 0x80);
		c += n;
	}
}

static void check_diag(const struct diag *d)
{
	size_t errors = 0;

	fuzz_check(d->count <= DIAG_MAX);
	for (size_t i = 0; i < d->count; i++) {
		const struct diag_entry *e = &d->entries[i];
		errors += e->name[0] == 'E';
		fuzz_check(e->line >= 0 && e->column >= 0 && e->text[0]);
		check_printable(e->path);
		check_printable(e->text);
	}
	fuzz_check(errors <= d->errors && (d->truncated || errors == d->errors));
	fuzz_check(d->errors == 0 || errors > 0);
}

/* An accepted session is whole: nothing that CAS will use is missing. */
static void check_session(const struct session *s)
{
	struct error err;

	fuzz_check(s->name && s->version && session_name_check(s->name, &err) == 0);
	for (size_t i = 0; i < s->service_count; i++) {
		const struct service *v = &s->services[i];
		fuzz_check(v->name && v->pwd && v->pwd[0] && session_service(s, v->name) == v);
		fuzz_check(s->mode == MODE_NONE || s->security_open || v->attestation_count > 0);
		for (size_t k = 0; k < v->attestation_count; k++)
			fuzz_check(v->attestation[k].open || v->attestation[k].mrenclave_count > 0 ||
				   v->attestation[k].has_signer);
		fuzz_check(v->otp.len == 0 || v->otp.len >= 16);
		for (size_t k = 0; k < v->argc; k++)
			fuzz_check((v->argv[k].text != NULL) != (v->argv[k].host != 0));
		for (size_t k = 0; k < v->envc; k++)
			fuzz_check(v->env[k].name && v->env[k].name[0] &&
				   (v->env[k].value != NULL) != v->env[k].host);
	}
	for (size_t i = 0; i < s->secret_count; i++) {
		const struct secret_spec *x = &s->secrets[i];
		fuzz_check(x->name && session_secret(s, x->name, strlen(x->name)) == x && x->size >= 1 &&
			   x->size <= 65536);
	}
	for (size_t i = 0; i < s->volume_count; i++) {
		const struct volume_spec *v = &s->volumes[i];
		fuzz_check(v->name && session_volume(s, v->name) == v &&
			   (!v->imported || (v->import.session && v->import.item)));
		for (size_t k = 0; k < v->export_count; k++)
			fuzz_check(v->exports[k].to.session && !v->exports[k].to.below);
		fuzz_check(!v->key_secret || session_secret(s, v->key_secret, strlen(v->key_secret)));
	}
	for (size_t i = 0; i < s->image_count; i++) {
		const struct image *im = &s->images[i];
		fuzz_check(im->name && session_image(s, im->name) == im);
		for (size_t k = 0; k < im->volume_count; k++)
			fuzz_check(session_volume(s, im->volumes[k].name) && im->volumes[k].path[0] == '/');
		for (size_t k = 0; k < im->file_count; k++)
			fuzz_check(im->files[k].path && im->files[k].path[0] == '/' &&
				   im->files[k].mode <= 0777 &&
				   im->files[k].has_content == (im->files[k].content != NULL));
		for (size_t k = 0; k < im->provide_count; k++)
			fuzz_check(session_secret(s, im->provide_secrets[k],
					   strlen(im->provide_secrets[k])) != NULL);
	}
}

/* Rules: nobody without a certificate passes but by ANY, and each refusal has a text. */
static void check_rules(const struct session *s)
{
	static const uint8_t creator[32] = {1};
	struct verdict sim = {.tee = TEE_SIM, .simulated = true}, none = {.tee = TEE_NONE};

	for (enum access_op op = OP_READ; op <= OP_LIST_SESSIONS; op++) {
		struct error err = {0};
		fuzz_check(session_access(s, op, &(struct access_facts){.creator = creator}, &err) == 0 ||
			   (err.code == ERR_ACCESS && err.text[0]));
	}
	for (size_t i = 0; i < s->service_count; i++) {
		struct error err = {0};
		if (s->mode == MODE_HARDWARE)
			fuzz_check(attest_rule_check(s, &s->services[i], &sim, &err) == -1 &&
				   err.code == ERR_ATTEST);
		if (s->mode != MODE_NONE)
			fuzz_check(attest_rule_check(s, &s->services[i], &none, &err) == -1 &&
				   err.code == ERR_ATTEST);
	}
}

static bool lookup_of(void *arg, const char *name, size_t len, struct template_value *ret)
{
	const struct secret_spec *x = session_secret(arg, name, len);

	if (!x)
		return false;
	*ret = (struct template_value){secret_kind_name(x->kind), "v\xc3\xbc", 3};
	return true;
}

/* What the parser let pass, the template engine replaces. */
static void check_templates(struct session *s)
{
	for (size_t i = 0; i < s->service_count; i++) {
		for (size_t k = 0; k < s->services[i].argc; k++) {
			const char *text = s->services[i].argv[k].text;
			struct error err;
			struct buf out;

			if (!text)
				continue;
			buf_init_secret(&out, 1 << 20);
			fuzz_check(template_expand(text, strlen(text), lookup_of, s, true, &out, &err) == 0);
			buf_free(&out);
		}
	}
}

/* A value that is any structure, for every secret that the document does not hold. */
static bool lookup_structure(void *arg, const char *name, size_t len, struct template_value *ret)
{
	static const char value[] = "[{\"mrenclave\":[\"" HEX64 "\"]},{\"attestation\":null}]";

	(void)arg;
	(void)len;
	*ret = (struct template_value){name[0] & 1 ? "config-fragment" : "ascii", value, sizeof value - 1};
	return true;
}

/* With values, it is refused with a reason or whole. */
static void check_bound(const uint8_t *p, size_t n)
{
	struct session *s = NULL;
	struct diag d;

	diag_init(&d);
	if (session_parse_bound((const char *)p, n, lookup_structure, NULL, &s, &d))
		fuzz_check(d.errors > 0 && s == NULL);
	else
		check_session(s);
	check_diag(&d);
	session_free(s);
	diag_free(&d);
}

static void run_document(const uint8_t *p, size_t n)
{
	static const uint8_t creator[32] = {1};
	uint8_t hash[32], again[32];
	struct session *s = NULL, *s2 = NULL;
	struct error err;
	struct diag d;

	diag_init(&d);
	if (session_parse((const char *)p, n, &s, &d)) {
		fuzz_check(d.errors > 0 && s == NULL);
	} else {
		fuzz_check(d.errors == 0);
		check_session(s);
		check_rules(s);
		check_templates(s);
		fuzz_check(session_hash(s, creator, hash, &err) == 0);
		diag_free(&d);
		fuzz_check(session_parse((const char *)p, n, &s2, &d) == 0);
		fuzz_check(session_hash(s2, creator, again, &err) == 0 && memcmp(hash, again, 32) == 0);
		session_free(s2);
		if (s->templated)
			check_bound(p, n);
		session_free(s);
	}
	check_diag(&d);
	diag_free(&d);
}

/* The same input as every text of an otherwise good document, so that most are accepted and the later stages run. */
static const struct fuzz_seed scalars[] = {FUZZ_SEED("mysqld '--a b' @@1 @@2 $$SCONE::pw$$"),
	FUZZ_SEED("$$SCONE::b:hex$$$$SCONE::pw|escape(json)$$"), FUZZ_SEED("00ff"), FUZZ_SEED("a")};
static const char *const scalar_words[] = {"$$SCONE::", "$$SCONECAS:", "$$", "pw", "b", ":hex", ".hex",
	"|escape(json)", " ", "\"", "'", "@@", "@@3", "/", "\xc3\xbc", NULL};

static void put_quoted(struct buf *b, const uint8_t *p, size_t n)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "\\x%02X", p[i]);
	buf_putc(b, '"');
}

static void run_scalar(const uint8_t *p, size_t n)
{
	static const char *const before[] = {"version: \"0.3\"\nname: n\nsecrets: [{name: pw, kind: ascii}, "
					     "{name: b, kind: binary}, {name: v, kind: ascii, value: ",
		"}]\nservices:\n- name: s\n  attestation: {mrenclave: " HEX64 "}\n  pwd: /\n  command: ",
		"\n- name: t\n  attestation: {mrenclave: " HEX64 "}\n  pwd: /\n  environment: {A: ",
		"}\nimages:\n- name: i\n  injection_files: [{path: /a, content: ", "}]\n"};
	struct buf doc;

	buf_init(&doc, 4 << 20);
	for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
		buf_puts(&doc, before[i]);
		if (i + 1 < sizeof before / sizeof *before)
			put_quoted(&doc, p, n);
	}
	run_document(doc.data, doc.len);
	buf_free(&doc);
}

/* One variable has everything in it that could break out of a scalar. */
static const char *variable(void *arg, const char *name)
{
	return arg ? "x\"'\n- y: [{ #\t\xc2\x85\xe2\x80\xa8 *a &b !c" : NULL;
}

static bool same_shape(const struct ynode *a, const struct ynode *b)
{
	if (a->kind != b->kind || a->count != b->count || a->key_len != b->key_len ||
		(a->key && memcmp(a->key, b->key, a->key_len)))
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_shape(a->items[i], b->items[i]))
			return false;
	return true;
}

/* Whatever a variable holds, the document keeps its shape. */
static void run_substitute(const uint8_t *p, size_t n)
{
	struct ynode *before = NULL, *after = NULL;
	struct error err = {0};
	struct diag d;
	struct buf out;

	diag_init(&d);
	buf_init(&out, 16 << 20);
	if (session_substitute((const char *)p, n, variable, &out, &out, &err)) {
		fuzz_check(err.text[0] && out.len == 0);
	} else {
		fuzz_check(yaml_load((const char *)p, n, &before, &d) == 0);
		if (out.len <= YAML_TEXT_MAX) {
			fuzz_check(yaml_load((const char *)out.data, out.len, &after, &d) == 0);
			fuzz_check(same_shape(before, after));
		}
	}
	ynode_free(before);
	ynode_free(after);
	buf_reset(&out);
	(void)!session_substitute((const char *)p, n, variable, NULL, &out, &err);
	buf_free(&out);
	diag_free(&d);
}

static const struct fuzz_seed texts[] = {
	FUZZ_SEED("1;$$SCONECAS:KEY$$\n"),
	FUZZ_SEED("a $$SCONE::bin:base64$$ $$SCONE::bin.hex$$ {\"x\": \"$$SCONE::KEY|escape(json)$$\"}\n"),
	FUZZ_SEED("$$SCONE::self$$$$SCONE::bin:base32nopad$$ $$$ $$SCONE:x$$ $$SCONE::"),
};
static const char *const template_words[] = {"$$SCONE::", "$$SCONECAS:", "$$", "$", ":", "|", "|escape(json)",
	":hex", ":base64url", ".hex", ".crt", "KEY", "bin", "self", " ", "\n", NULL};

static bool lookup_text(void *arg, const char *name, size_t len, struct template_value *ret)
{
	static const struct {
		const char *name;
		struct template_value value;
	} known[] = {{"KEY", {"ascii", "k\"\\\n", 4}}, {"bin", {"binary", "\0\xff", 2}},
		{"self", {"ascii", "$$SCONE::self$$", 15}}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strlen(known[i].name) != len || memcmp(known[i].name, name, len))
			continue;
		*ret = known[i].value;
		return true;
	}
	return false;
}

static int count_site(void *arg, const char *name, size_t len, const char *suffix, size_t slen, int line)
{
	struct template_value v;
	struct error err;

	fuzz_check(len > 0 && line > 0);
	fuzz_check(lookup_text(NULL, name, len, &v) || !slen || suffix[0] == ':' || suffix[0] == '|');
	*(size_t *)arg += 1;
	return template_check(name, len, suffix, slen, line, lookup_text, NULL, &err) ? 1 : 0;
}

static void run_template(const uint8_t *p, size_t n)
{
	const char *text = (const char *)p;

	for (int strict = 0; strict < 2; strict++) {
		struct error err = {0}, walk_err = {0};
		size_t sites = 0;
		struct buf out;
		int rc, walk;

		buf_init_secret(&out, 1 << 20);
		buf_puts(&out, "kept");
		rc = template_expand(text, n, lookup_text, NULL, strict, &out, &err);
		walk = template_each(text, n, strict, count_site, &sites, &walk_err);
		fuzz_check(out.len >= 4 && !memcmp(out.data, "kept", 4));
		if (rc)
			fuzz_check(out.len == 4 && err.text[0]);
		else
			fuzz_check(
				walk == 0 &&
				(sites > 0 || (out.len == n + 4 && (n == 0 || !memcmp(out.data + 4, p, n)))));
		/* The only refusal that needs the value: bytes that JSON cannot carry. */
		fuzz_check(rc == 0 || walk != 0 || strstr(err.text, "not UTF-8"));
		buf_free(&out);
	}
}

static const struct fuzz_seed ids[] = {FUZZ_SEED("n/s/v@123456"), FUZZ_SEED("a/b"), FUZZ_SEED("a~-._/B")};
static const char *const id_words[] = {"/", "@", "..", ".", "a", NULL};

static void run_config_id(const uint8_t *p, size_t n)
{
	char *id = strndup((const char *)p, n), *session, *service, *otp;
	struct error err = {0};

	if (!id)
		abort();
	if (config_id_parse(id, &session, &service, &otp, &err)) {
		check_printable(err.text);
		fuzz_check(err.text[0]);
	} else {
		size_t len = strlen(session);
		fuzz_check(!memcmp(id, session, len) && id[len] == '/' &&
			   !memcmp(id + len + 1, service, strlen(service)));
		fuzz_check(
			session_name_check(session, &err) == 0 && (otp != NULL) == (strchr(id, '@') != NULL));
		free(session);
		free(service);
		free(otp);
	}
	free(id);
}

#define TARGET(name, run, seeds, words)                                                                      \
	{                                                                                                    \
		name, run, seeds, sizeof(seeds) / sizeof(seeds[0]), words                                    \
	}

int main(int argc, char **argv)
{
	static const struct fuzz_target targets[] = {
		TARGET("session document", run_document, documents, yaml_words),
		TARGET("scalars", run_scalar, scalars, scalar_words),
		TARGET("variables", run_substitute, documents, yaml_words),
		TARGET("templates", run_template, texts, template_words),
		TARGET("config id", run_config_id, ids, id_words),
	};

	return fuzz_main(argc, argv, targets, sizeof(targets) / sizeof(targets[0]), 10000);
}
