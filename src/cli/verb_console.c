/* scone console decrypt, scone console encrypt: streams of the console shield in files and pipes. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/console_source.h"
#include "cli/remote.h"
#include "cli/volume_key.h"
#include "cli/volume_session.h"
#include "core/secret.h"
#include "crypto/hash.h"
#include "policy/session.h"
#include "shield/console/rules.h"

#define RULES_FILE_MAX (1024 * 1024)
#define STEP 65536

/* --- what the verbs share --- */

int console_put(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int console_exit_code(const struct error *err)
{
	return err->code == ERR_CRYPTO || err->code == ERR_PEER ? CLI_DAMAGED : cli_exit_code(err);
}

int console_source_file(const char *path, char ***ret, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct buf text;
	ssize_t n;

	if (fd < 0)
		return error_set_errno(err, errno, "rules of the console %s", path);
	buf_init_secret(&text, RULES_FILE_MAX);
	do {
		uint8_t *room = buf_reserve(&text, STEP);

		n = room ? read(fd, room, STEP) : -1;
		if (n > 0)
			text.len += (size_t)n;
	} while (n > 0);
	if (n < 0)
		rc = text.failed
			     ? error_set(err, ERR_LIMIT, "%s is longer than %d bytes", path, RULES_FILE_MAX)
			     : error_set_errno(err, errno, "read %s", path);
	close(fd);
	if (!rc && console_rules_lines(text.data ? (const char *)text.data : "", text.len, ret, err))
		rc = error_wrap(err, "%s", path);
	buf_free(&text);
	return rc;
}

static int value_in(
	const char *yaml, size_t n, const char *name, uint8_t ret[CONSOLE_KEY_LEN], struct error *err)
{
	struct session *s = NULL;
	struct diag d;
	int rc;

	diag_init(&d);
	rc = session_parse(yaml, n, &s, &d);
	diag_free(&d);
	if (rc)
		return error_set(err, ERR_INPUT, "the session that CAS gave cannot be read");
	rc = error_set(err, ERR_NOT_FOUND, "the session has no secret %s", name);
	for (size_t i = 0; i < s->secret_count; i++) {
		const struct secret_spec *v = &s->secrets[i];

		if (strcmp(v->name, name))
			continue;
		if (!v->has_value || v->value.len != CONSOLE_KEY_LEN)
			rc = error_set(err, ERR_INPUT,
				"secret %s has %zu bytes of value in the document, wanted %d: what CAS "
				"generates it gives to attested services only",
				name, v->has_value ? v->value.len : 0, CONSOLE_KEY_LEN);
		else
			rc = 0;
		if (!rc)
			memcpy(ret, v->value.data, CONSOLE_KEY_LEN);
	}
	session_free(s);
	return rc;
}

static int key_of_session(
	const struct args *a, const char *which, uint8_t ret[CONSOLE_KEY_LEN], struct error *err)
{
	const char *slash = strrchr(which, '/');
	char *session = slash ? strndup(which, (size_t)(slash - which)) : NULL;
	struct remote r = {0};
	json_t *j = NULL;
	struct buf path;
	int rc = CLI_USAGE;

	if (!session || session_name_check(session, err)) {
		if (!slash)
			error_set(err, ERR_INPUT, "--secret %s: SESSION/NAME is wanted", which);
		free(session);
		return CLI_USAGE;
	}
	rc = remote_open(a, &r, err);
	buf_init(&path, 4096);
	buf_printf(&path, "/v1/sessions/%s", session);
	if (!rc)
		rc = buf_cstr(&path) ? remote_call(r.http, "GET", (const char *)path.data, NULL, NULL, 0, &j,
					       NULL, err)
				     : CLI_FAILED;
	if (!rc && !json_is_string(json_object_get(j, "session"))) {
		error_set(err, ERR_PEER, "the answer of CAS has no \"session\"");
		rc = CLI_FAILED;
	}
	if (!rc && value_in(json_string_value(json_object_get(j, "session")),
			   json_string_length(json_object_get(j, "session")), slash + 1, ret, err))
		rc = cli_exit_code(err);
	json_decref(j);
	buf_free(&path);
	remote_close(&r);
	free(session);
	return rc;
}

int console_key_of(const struct args *a, uint8_t ret[CONSOLE_KEY_LEN], struct error *err)
{
	const char *file = a->value[OPT_CONSOLE_KEY_FILE], *secret = a->value[OPT_SECRET];

	static_assert(CONSOLE_KEY_LEN == VOLUME_KEY_LEN, "one form of key files");
	volume_session_protect();
	if (!file == !secret) {
		error_set(err, ERR_INPUT,
			"the key of the stream is wanted: --key-file FILE, or --secret SESSION/NAME");
		return CLI_USAGE;
	}
	if (secret)
		return key_of_session(a, secret, ret, err);
	return volume_key_read(file, ret, err) ? cli_exit_code(err) : 0;
}

/* The operand, or standard input. */
static int input_of(const struct args *a, struct error *err)
{
	int fd;

	if (a->count == 0 || !strcmp(a->operands[0], "-"))
		return STDIN_FILENO;
	fd = open(a->operands[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		error_set_errno(err, errno, "%s", a->operands[0]);
	return fd;
}

/* --- decrypt --- */

static int on_event(enum console_event event, const uint8_t *p, size_t n, struct error *err)
{
	if (event == CONSOLE_EVENT_DATA && console_put(STDOUT_FILENO, p, n))
		return error_set_errno(err, errno, "write to standard output");
	if (event == CONSOLE_EVENT_NOTE && console_put(STDERR_FILENO, p, n))
		return error_set_errno(err, errno, "write to standard error");
	return 0;
}

static int decrypt_bytes(struct console_reader *r, const uint8_t *p, size_t n, struct error *err)
{
	int rc = 0;

	while (n > 0 && !rc) {
		enum console_event event;
		const uint8_t *text, *hello;
		size_t len;

		rc = console_reader_next(r, &p, &n, &event, &text, &len, err);
		if (!rc && event == CONSOLE_EVENT_HELLO && console_reader_hello(r, &hello, &len)->output &&
			console_reader_hello(r, &hello, &len)->attach)
			rc = error_set(err, ERR_INPUT,
				"this stream can be read only by who was attached to it: its keys depend on "
				"both sides");
		if (!rc)
			rc = on_event(event, text, len, err);
	}
	return rc;
}

static int decrypt_all(struct console_reader *r, int fd, struct error *err)
{
	static uint8_t bytes[STEP];
	ssize_t n;
	int rc = 0;

	do {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno != EINTR)
			rc = error_set_errno(err, errno, "read the stream");
		if (n > 0)
			rc = decrypt_bytes(r, bytes, (size_t)n, err);
	} while (!rc && n != 0);
	return rc ? rc : console_reader_end(r, err);
}

int verb_console_decrypt(const struct args *a)
{
	struct console_expect e = {
		.output = true, .name = a->value[OPT_STREAM], .context = a->value[OPT_SERVICE]};
	struct console_reader *r = NULL;
	struct error err = {0};
	int fd = -1, rc = console_key_of(a, e.key, &err);

	if (!rc && (fd = input_of(a, &err)) < 0)
		rc = cli_exit_code(&err);
	if (!rc && (console_reader_new(&e, &r, &err) || decrypt_all(r, fd, &err)))
		rc = console_exit_code(&err);
	if (r && console_reader_skipped(r))
		cli_warn("%" PRIu64
			 " bytes that are not of the stream, and that nothing vouches for, were left out",
			console_reader_skipped(r));
	secret_wipe(e.key, sizeof(e.key));
	console_reader_free(r);
	if (fd > 0)
		close(fd);
	return rc ? cli_fail(a, rc, &err, NULL) : 0;
}

/* --- encrypt --- */

static int put_record(struct aead **cipher, struct console_half *half, enum console_type type,
	const uint8_t *p, size_t n, struct error *err)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	long len = console_seal(cipher, half, type, p, n, frame);

	if (len < 0)
		return error_set(err, ERR_NOMEM, "no memory for the cipher of a console stream");
	console_half_advance(half);
	return console_put(STDOUT_FILENO, frame, (size_t)len)
		       ? error_set_errno(err, errno, "write to standard output")
		       : 0;
}

static int encrypt_all(struct console_half *half, int fd, struct error *err)
{
	static uint8_t bytes[CONSOLE_PLAIN_MAX];
	struct aead *cipher = NULL;
	ssize_t n;
	int rc = 0;

	do {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno != EINTR)
			rc = error_set_errno(err, errno, "read what is to be encrypted");
		if (n >= 0)
			rc = put_record(&cipher, half, n ? CONSOLE_DATA : CONSOLE_END, bytes, (size_t)n, err);
	} while (!rc && n != 0);
	secret_wipe(bytes, sizeof(bytes));
	aead_free(cipher);
	return rc;
}

static int begin(const struct args *a, const uint8_t key[CONSOLE_KEY_LEN], struct console_half *half,
	struct error *err)
{
	const char *name = a->value[OPT_STREAM] ? a->value[OPT_STREAM] : "stdin",
		   *service = a->value[OPT_SERVICE] ? a->value[OPT_SERVICE] : "";
	struct console_hello h = {0};
	uint8_t hello[CONSOLE_HELLO_MAX];
	size_t n;

	if (strlen(name) > CONSOLE_NAME_MAX || strlen(service) > CONSOLE_CONTEXT_MAX)
		return error_set(err, ERR_INPUT, "name of a stream over %d bytes, or of a service over %d",
			CONSOLE_NAME_MAX, CONSOLE_CONTEXT_MAX);
	memcpy(h.name, name, strlen(name));
	memcpy(h.context, service, strlen(service));
	if (random_bytes(h.id, sizeof(h.id), err))
		return -1;
	n = console_hello_encode(&h, hello);
	if (console_half_start(half, key, hello, n, NULL, 0, err))
		return -1;
	return console_put(STDOUT_FILENO, hello, n) ? error_set_errno(err, errno, "write to standard output")
						    : 0;
}

int verb_console_encrypt(const struct args *a)
{
	uint8_t key[CONSOLE_KEY_LEN];
	struct console_half half = {0};
	struct error err = {0};
	int fd = -1, rc = console_key_of(a, key, &err);

	if (!rc && (fd = input_of(a, &err)) < 0)
		rc = cli_exit_code(&err);
	if (!rc && (begin(a, key, &half, &err) || encrypt_all(&half, fd, &err)))
		rc = cli_exit_code(&err);
	secret_wipe(key, sizeof(key));
	secret_wipe(&half, sizeof(half));
	if (fd > 0)
		close(fd);
	return rc ? cli_fail(a, rc, &err, NULL) : 0;
}
