/* scone session sign, add-signature: sessions that are signed before they are uploaded (docs/session-language.md, 5.6). */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/document.h"
#include "cli/signer.h"
#include "crypto/key.h"
#include "policy/session.h"
#include "policy/signature.h"

static int check_document(const struct document *d, bool *ret_creator, struct error *err)
{
	struct session *s = NULL;
	struct diag diag;
	int rc = 0;

	diag_init(&diag);
	if (session_parse((const char *)d->text.data, d->text.len, &s, &diag)) {
		struct buf text;

		buf_init_secret(&text, 1024 * 1024);
		diag_format(&diag, d->file, &text);
		fwrite(text.data, 1, text.len, stderr);
		buf_free(&text);
		rc = error_set(err, ERR_INPUT, "%s has %zu errors: what CAS would refuse is not signed",
			d->file, diag.errors);
	} else {
		*ret_creator = s->has_creator_signer;
		session_free(s);
	}
	diag_free(&diag);
	return rc;
}

/* creator: {signer: …} at the end, in block style. */
static int add_creator(struct document *d, EVP_PKEY *k, struct error *err)
{
	bool has = false;
	struct buf pem;
	int rc;

	buf_init(&pem, 4096);
	rc = key_public_to_pem(k, &pem, err);
	if (!rc && d->text.len && d->text.data[d->text.len - 1] != '\n')
		buf_putc(&d->text, '\n');
	if (!rc && buf_cstr(&pem)) {
		char *save = NULL;

		buf_puts(&d->text, "creator:\n  signer: |\n");
		for (char *line = strtok_r((char *)pem.data, "\n", &save); line;
			line = strtok_r(NULL, "\n", &save))
			buf_printf(&d->text, "    %s\n", line);
	}
	buf_free(&pem);
	if (!rc && d->text.failed)
		rc = error_set(err, ERR_INPUT, "%s is larger than %d bytes", d->file, SESSION_TEXT_MAX);
	if (!rc)
		rc = check_document(d, &has, err);
	if (!rc && !has)
		rc = error_set(err, ERR_INPUT,
			"%s: `creator: {signer: PEM}` cannot be added to it; write it into the file",
			d->file);
	return rc;
}

static int sign_and_print(struct signed_session *s, EVP_PKEY *k, struct error *err)
{
	struct buf out;
	int rc;

	buf_init_secret(&out, 8 * SESSION_TEXT_MAX);
	rc = signed_session_sign(s, k, err);
	if (!rc)
		rc = signed_session_encode(s, &out, err);
	if (!rc)
		fwrite(out.data, 1, out.len, stdout);
	buf_free(&out);
	return rc;
}

static int sign(const struct document *d, EVP_PKEY *k, struct error *err)
{
	struct signed_session s;
	int rc;

	if (signed_session_new((const char *)d->text.data, d->text.len, &s, err))
		return -1;
	rc = sign_and_print(&s, k, err);
	signed_session_free(&s);
	return rc;
}

int verb_session_sign(const struct args *a)
{
	struct error err = {0};
	struct document d;
	EVP_PKEY *k = NULL;
	bool creator = false;
	int rc;

	if (document_load(a, &d, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	rc = d.is_signed ? error_set(&err, ERR_INPUT,
				   "%s is signed: `scone session add-signature` signs it, too", d.file)
			 : signer_load(a, &k, &err);
	if (!rc)
		rc = check_document(&d, &creator, &err);
	if (!rc && !creator)
		rc = add_creator(&d, k, &err);
	if (!rc)
		rc = sign(&d, k, &err);
	EVP_PKEY_free(k);
	document_free(&d);
	return rc ? cli_fail(a, cli_exit_code(&err), &err, NULL) : cli_done();
}

int verb_session_add_signature(const struct args *a)
{
	struct signed_session s = {0};
	struct error err = {0};
	struct document d;
	EVP_PKEY *k = NULL;
	int rc;

	if (document_load(a, &d, &err))
		return cli_fail(a, cli_exit_code(&err), &err, NULL);
	rc = d.is_signed
		     ? signer_load(a, &k, &err)
		     : error_set(&err, ERR_INPUT, "%s is not signed: `scone session sign` begins", d.file);
	if (!rc)
		rc = signed_session_decode(d.text.data, d.text.len, &s, &err);
	if (!rc)
		rc = sign_and_print(&s, k, &err);
	signed_session_free(&s);
	EVP_PKEY_free(k);
	document_free(&d);
	return rc ? cli_fail(a, cli_exit_code(&err), &err, NULL) : cli_done();
}
