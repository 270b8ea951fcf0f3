/* The canonical form of docs/session-language.md, "Session hash": JSON with sorted keys, without white space, of what is not a default. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"
#include "policy/canonical.h"
#include "policy/canonical_put.h"
#include "policy/schema.h"

#define CANONICAL_MAX (16 * SESSION_TEXT_MAX)
static const char domain[] = "openscone-session-v1"; /* its NUL is part of the hash's input */

static void put_file(struct buf *b, const struct injection_file *f)
{
	canonical_comma(b);
	buf_putc(b, '{');
	if (f->has_content) {
		canonical_key(b, "content");
		canonical_string(b, f->content, f->content_len);
	}
	canonical_text(b, "path", f->path);
	if (f->mode != 0700) {
		canonical_key(b, "permission");
		buf_printf(b, "%u", f->mode);
	}
	buf_putc(b, '}');
}

static void put_image_volumes(struct buf *b, const struct image *im)
{
	canonical_key(b, "volumes");
	buf_putc(b, '[');
	for (size_t i = 0; i < im->volume_count; i++) {
		canonical_comma(b);
		buf_putc(b, '{');
		if (im->volumes[i].cache) {
			canonical_key(b, "cache_size");
			buf_printf(b, "%" PRIu64, im->volumes[i].cache);
		}
		canonical_text(b, "name", im->volumes[i].name);
		canonical_text(b, "path", im->volumes[i].path);
		if (im->volumes[i].policy != UPDATE_ROLLBACK_PROTECTED)
			canonical_text(b, "update_policy", update_policy_name(im->volumes[i].policy));
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_image_trees(struct buf *b, const struct image *im)
{
	canonical_key(b, "trees");
	buf_putc(b, '[');
	for (size_t i = 0; i < im->tree_count; i++) {
		const struct image_tree *t = &im->trees[i];

		canonical_comma(b);
		buf_putc(b, '{');
		if (t->host)
			canonical_text(b, "host", t->host);
		if (t->manifest)
			canonical_text(b, "manifest", t->manifest);
		canonical_text(b, "path", t->path);
		if (t->has_root) {
			canonical_key(b, "root");
			canonical_hex(b, t->root, sizeof(t->root));
		}
		if (t->has_signer) {
			canonical_key(b, "signer");
			canonical_hex(b, t->signer, sizeof(t->signer));
		}
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_image(struct buf *b, const struct image *im)
{
	canonical_comma(b);
	buf_putc(b, '{');
	if (im->file_count) {
		canonical_key(b, "injection_files");
		buf_putc(b, '[');
		for (size_t i = 0; i < im->file_count; i++)
			put_file(b, &im->files[i]);
		buf_putc(b, ']');
	}
	canonical_text(b, "name", im->name);
	if (im->has_provide_secrets) {
		canonical_key(b, "provide_secrets");
		buf_putc(b, '[');
		for (size_t i = 0; i < im->provide_count; i++) {
			canonical_comma(b);
			canonical_string(b, im->provide_secrets[i], strlen(im->provide_secrets[i]));
		}
		buf_putc(b, ']');
	}
	if (im->tree_count)
		put_image_trees(b, im);
	if (im->volume_count)
		put_image_volumes(b, im);
	buf_putc(b, '}');
}

static void put_number(struct buf *b, const char *key, uint32_t v)
{
	canonical_key(b, key);
	buf_printf(b, "%u", v);
}

static void put_measurements(struct buf *b, const struct attest_alternative *a)
{
	canonical_key(b, "mrenclave");
	buf_putc(b, '[');
	for (size_t k = 0; k < a->mrenclave_count; k++) {
		canonical_comma(b);
		canonical_hex(b, a->mrenclave[k], 32);
	}
	buf_putc(b, ']');
}

static void put_signer(struct buf *b, const struct attest_alternative *a)
{
	canonical_key(b, "signer");
	buf_putc(b, '{');
	put_number(b, "isvprodid", a->isvprodid);
	put_number(b, "isvsvn_max", a->isvsvn_max);
	put_number(b, "isvsvn_min", a->isvsvn_min);
	canonical_key(b, "mrsigner");
	canonical_hex(b, a->mrsigner, sizeof a->mrsigner);
	buf_putc(b, '}');
}

static void put_platforms(struct buf *b, const struct service *s)
{
	canonical_key(b, "platforms");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->platform_count; i++) {
		canonical_comma(b);
		canonical_hex(b, s->platforms[i].id, s->platforms[i].qe_id ? 16 : 32);
	}
	buf_putc(b, ']');
}

static void put_advisories(struct buf *b, const struct session *s)
{
	if (s->ignore_all) {
		canonical_text(b, "ignore_advisories", "*");
		return;
	}
	canonical_key(b, "ignore_advisories");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->ignore_count; i++) {
		canonical_comma(b);
		canonical_string(b, s->ignore_advisories[i], strlen(s->ignore_advisories[i]));
	}
	buf_putc(b, ']');
}

static void put_tolerate(struct buf *b, const struct session *s)
{
	canonical_key(b, "tolerate");
	buf_putc(b, '[');
	for (unsigned int i = 0; i < ATTEST_TOLERANCES; i++) {
		if (!(s->tolerate & 1u << i))
			continue;
		canonical_comma(b);
		canonical_string(b, attest_tolerance_name(i), strlen(attest_tolerance_name(i)));
	}
	buf_putc(b, ']');
}

static bool security_attestation_is_default(const struct session *s)
{
	return s->mode == MODE_HARDWARE && !s->tolerate && !s->ignore_count && !s->ignore_all && !s->otp.len;
}

/* What is not the default: hardware, nothing tolerated. */
static void put_security(struct buf *b, const struct session *s)
{
	if (!s->security_written && security_attestation_is_default(s) && !s->singleton && !s->access_token)
		return;
	canonical_key(b, "security");
	if (s->security_written) {
		buf_puts(b, s->security_written);
		return;
	}
	buf_putc(b, '{');
	if (!security_attestation_is_default(s)) {
		canonical_key(b, "attestation");
		buf_putc(b, '{');
		if (s->ignore_all || s->ignore_count)
			put_advisories(b, s);
		if (s->mode != MODE_HARDWARE)
			canonical_text(b, "mode", attest_mode_name(s->mode));
		if (s->otp.len) {
			canonical_key(b, "one_time_password_shared_secret");
			canonical_hex(b, s->otp.data, s->otp.len);
		}
		if (s->tolerate)
			put_tolerate(b, s);
		buf_putc(b, '}');
	}
	if (s->access_token)
		canonical_text(b, "service_access_token", s->access_token);
	if (s->singleton) {
		canonical_key(b, "singleton_enclaves");
		buf_puts(b, "true");
	}
	buf_putc(b, '}');
}

static void put_registers(struct buf *b, const struct machine_rule *r)
{
	canonical_key(b, "registers");
	buf_putc(b, '[');
	for (size_t i = 0; i < r->register_count; i++) {
		const uint32_t index = r->registers[i].index;

		canonical_comma(b);
		buf_putc(b, '{');
		canonical_key(b, "index");
		buf_printf(b, "%u", index);
		canonical_key(b, "values");
		buf_putc(b, '[');
		for (;; i++) {
			canonical_comma(b);
			canonical_hex(b, r->registers[i].value, machine_value_len(r->tee));
			if (i + 1 == r->register_count || r->registers[i + 1].index != index)
				break;
		}
		buf_puts(b, "]}");
	}
	buf_putc(b, ']');
}

static void put_machines(struct buf *b, const struct attest_alternative *a)
{
	canonical_key(b, "machine");
	buf_putc(b, '[');
	for (size_t i = 0; i < a->machine_count; i++) {
		const struct machine_rule *r = &a->machine[i];

		canonical_comma(b);
		buf_putc(b, '{');
		if (r->event_log) {
			canonical_key(b, "event_log");
			buf_puts(b, "true");
		}
		if (r->launch_count) {
			canonical_key(b, "launch");
			buf_putc(b, '[');
			for (size_t k = 0; k < r->launch_count; k++) {
				canonical_comma(b);
				canonical_hex(b, r->launch[k], MACHINE_VALUE_MAX);
			}
			buf_putc(b, ']');
		}
		if (r->register_count)
			put_registers(b, r);
		canonical_text(b, "tee", machine_word(r->tee));
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_attestation(struct buf *b, const struct service *s)
{
	canonical_key(b, "attestation");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->attestation_count; i++) {
		canonical_comma(b);
		buf_putc(b, '{');
		if (s->attestation[i].machine_count)
			put_machines(b, &s->attestation[i]);
		if (s->attestation[i].mrenclave_count)
			put_measurements(b, &s->attestation[i]);
		if (s->attestation[i].has_signer)
			put_signer(b, &s->attestation[i]);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static int env_order(const void *a, const void *b)
{
	const struct session_env *x = *(const struct session_env *const *)a,
				 *y = *(const struct session_env *const *)b;

	return strcmp(x->name, y->name);
}

/* A variable of the host is its name with a value of null. */
static int put_environment(struct buf *b, const struct service *s)
{
	const struct session_env **sorted = calloc(s->envc, sizeof *sorted);

	if (!sorted)
		return -1;
	for (size_t i = 0; i < s->envc; i++)
		sorted[i] = &s->env[i];
	qsort(sorted, s->envc, sizeof *sorted, env_order);
	canonical_key(b, "environment");
	buf_putc(b, '{');
	for (size_t i = 0; i < s->envc; i++) {
		canonical_key(b, sorted[i]->name);
		if (sorted[i]->host)
			buf_puts(b, "null");
		else
			canonical_string(b, sorted[i]->value, strlen(sorted[i]->value));
	}
	buf_putc(b, '}');
	free(sorted);
	return 0;
}

static void put_code(struct buf *b, const struct service *s)
{
	canonical_key(b, "code");
	buf_putc(b, '{');
	if (s->allow_generated)
		canonical_text(b, "generated", "allow");
	if (s->allow_unmeasured)
		canonical_text(b, "unmeasured", "allow");
	buf_putc(b, '}');
}

/* A host argument is its number. */
static void put_command(struct buf *b, const struct service *s)
{
	canonical_key(b, "command");
	buf_putc(b, '[');
	for (size_t i = 0; i < s->argc; i++) {
		canonical_comma(b);
		if (s->argv[i].host)
			buf_printf(b, "%u", s->argv[i].host);
		else
			canonical_string(b, s->argv[i].text, strlen(s->argv[i].text));
	}
	buf_putc(b, ']');
}

static int put_service(struct buf *b, const struct service *s)
{
	canonical_comma(b);
	buf_putc(b, '{');
	if (s->attestation_written) {
		canonical_key(b, "attestation");
		buf_puts(b, s->attestation_written);
	} else if (s->attestation_count) {
		put_attestation(b, s);
	}
	if (s->allow_generated || s->allow_unmeasured)
		put_code(b, s);
	if (s->argc)
		put_command(b, s);
	if (s->envc && put_environment(b, s))
		return -1;
	if (s->image_name)
		canonical_text(b, "image_name", s->image_name);
	canonical_text(b, "name", s->name);
	if (s->otp_written || s->otp.len)
		canonical_key(b, "one_time_password_shared_secret");
	if (s->otp_written)
		buf_puts(b, s->otp_written);
	else if (s->otp.len)
		canonical_hex(b, s->otp.data, s->otp.len);
	if (s->platforms_written) {
		canonical_key(b, "platforms");
		buf_puts(b, s->platforms_written);
	} else if (s->platform_count) {
		put_platforms(b, s);
	}
	if (strcmp(s->pwd, "/"))
		canonical_text(b, "pwd", s->pwd);
	buf_putc(b, '}');
	return 0;
}

static int put_session(struct buf *b, const struct session *s, const uint8_t creator[32])
{
	buf_putc(b, '{');
	if (canonical_access(b, s))
		return -1;
	canonical_board(b, &s->board);
	if (access_names_creator(s)) {
		canonical_key(b, "creator");
		buf_puts(b, s->creator_signs ? "{\"signer\":" : "");
		canonical_hex(b, creator, 32);
		buf_puts(b, s->creator_signs ? "}" : "");
	}
	if (s->image_count) {
		canonical_key(b, "images");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->image_count; i++)
			put_image(b, &s->images[i]);
		buf_putc(b, ']');
	}
	canonical_text(b, "name", s->name);
	if (s->has_namespace_hash) {
		canonical_key(b, "namespace_hash");
		canonical_hex(b, s->namespace_hash, sizeof s->namespace_hash);
	}
	if (s->has_predecessor) {
		canonical_key(b, "predecessor");
		canonical_hex(b, s->predecessor, sizeof s->predecessor);
	}
	if (s->has_salt) {
		canonical_key(b, "salt");
		canonical_hex(b, s->salt, sizeof s->salt);
	}
	if (s->secret_count) {
		canonical_key(b, "secrets");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->secret_count; i++)
			canonical_secret(b, &s->secrets[i]);
		buf_putc(b, ']');
	}
	put_security(b, s);
	if (s->service_count) {
		canonical_key(b, "services");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->service_count; i++)
			if (put_service(b, &s->services[i]))
				return -1;
		buf_putc(b, ']');
	}
	canonical_text(b, "version", s->version);
	if (s->volume_count) {
		canonical_key(b, "volumes");
		buf_putc(b, '[');
		for (size_t i = 0; i < s->volume_count; i++)
			canonical_volume(b, &s->volumes[i]);
		buf_putc(b, ']');
	}
	buf_putc(b, '}');
	return 0;
}

int session_canonical(const struct session *s, const uint8_t creator[32], struct buf *out, struct error *err)
{
	if (put_session(out, s, creator) || out->failed)
		return error_set(err, ERR_NOMEM, "no memory for the canonical form of session %s", s->name);
	return 0;
}

int session_hash(
	const struct session *s, const uint8_t creator[32], uint8_t ret[SESSION_HASH_LEN], struct error *err)
{
	struct buf b; /* explicit secret values are in it */
	int rc;

	buf_init_secret(&b, CANONICAL_MAX);
	buf_put(&b, domain, sizeof domain);
	rc = session_canonical(s, creator, &b, err);
	if (rc == 0)
		sha256(b.data, b.len, ret);
	buf_free(&b);
	return rc;
}
