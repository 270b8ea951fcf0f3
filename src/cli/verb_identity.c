/* scone identity: who this user is to a CAS. */
#include <stdio.h>
#include <stdlib.h>
#include "cli/cli.h"
#include "cli/home.h"
#include "cli/identity.h"
#include "crypto/x509.h"

int verb_identity(const struct args *a)
{
	char hash[KEY_HASH_TEXT_MAX], *path = NULL;
	struct identity id = {0};
	struct error err = {0};
	struct buf pem;
	int rc;

	buf_init(&pem, HOME_FILE_MAX);
	rc = a->value[OPT_NEW] ? identity_new(&id, &err) : identity_load(true, &id, &err);
	if (!rc)
		rc = x509_to_pem(id.cert, &pem, &err);
	if (!rc && (!buf_cstr(&pem) || !(path = home_path("identity.pem", &err))))
		rc = error_set(&err, ERR_NOMEM, "no memory");
	if (rc) {
		rc = cli_fail(a, cli_exit_code(&err), &err, NULL);
		goto out;
	}
	key_hash_text(id.hash, hash);
	if (a->value[OPT_JSON]) {
		rc = cli_print_json(json_pack(
			"{s:s,s:s,s:s}", "key", hash, "file", path, "certificate", (const char *)pem.data));
	} else {
		if (a->value[OPT_CERTIFICATE])
			fputs((const char *)pem.data, stdout);
		else
			puts(hash);
		rc = cli_done();
	}
out:
	free(path);
	buf_free(&pem);
	identity_free(&id);
	return rc;
}
