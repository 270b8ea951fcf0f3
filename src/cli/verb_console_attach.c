/*
 * scone console attach: be the other end of a program's protected stdin and stdout. COMMAND starts it, here or elsewhere, and carries the bytes; it is not
 * trusted.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/console_source.h"
#include "core/secret.h"
#include "crypto/hash.h"

#define STEP 65536

struct attach {
	uint8_t key[CONSOLE_KEY_LEN];
	struct console_reader *reader;
	pid_t pid;
	int to, from; /* the command's stdin and stdout; -1: closed */
	bool begun; /* its hello has come, ours is made */
	bool ended; /* our end is sealed */
	bool done; /* its end has come */
	bool lines;
	struct console_half half;
	struct aead *cipher;
	char out[CONSOLE_LINE_MAX]; /* to be sent */
	size_t out_at, out_len;
};

static int start_command(struct attach *s, char **argv, struct error *err)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return error_set_errno(err, errno, "pipes to %s", argv[0]);
	s->pid = fork();
	if (s->pid == 0) {
		(void)signal(SIGPIPE, SIG_DFL);
		if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0)
			execvp(argv[0], argv);
		_exit(errno == ENOENT ? CLI_RUN_NOT_FOUND : CLI_RUN_CANNOT_EXECUTE);
	}
	close(in[0]);
	close(out[1]);
	s->to = in[1];
	s->from = out[0];
	if (s->pid < 0)
		return error_set_errno(err, errno, "start %s", argv[0]);
	(void)fcntl(s->to, F_SETFL, O_NONBLOCK);
	/* What the terminal sends, it sends to the command, too, which decides. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	return 0;
}

/* --- to the program --- */

static void queue(struct attach *s, const uint8_t *frame, size_t n)
{
	s->out_at = 0;
	if (s->lines)
		s->out_len = console_line_encode(false, frame, n, s->out);
	else
		memcpy(s->out, frame, s->out_len = n);
}

static void close_to(struct attach *s)
{
	if (s->to >= 0)
		close(s->to);
	s->to = -1;
	s->out_len = s->out_at = 0;
}

static void send_queued(struct attach *s)
{
	ssize_t n = write(s->to, s->out + s->out_at, s->out_len - s->out_at);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* it reads no more: what it says still counts */
		close_to(s);
		return;
	}
	s->out_at += (size_t)n;
	if (s->out_at < s->out_len)
		return;
	s->out_at = s->out_len = 0;
	if (s->ended)
		close_to(s);
}

static int seal(struct attach *s, enum console_type type, const uint8_t *p, size_t n, struct error *err)
{
	uint8_t frame[CONSOLE_FRAME_MAX];
	long len = console_seal(&s->cipher, &s->half, type, p, n, frame);

	if (len < 0)
		return error_set(err, ERR_NOMEM, "no memory for the cipher of a console stream");
	console_half_advance(&s->half);
	queue(s, frame, (size_t)len);
	return 0;
}

static int from_user(struct attach *s, struct error *err)
{
	uint8_t bytes[CONSOLE_LINE_PLAIN_MAX];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	int rc;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	s->ended = n <= 0;
	rc = seal(s, n > 0 ? CONSOLE_DATA : CONSOLE_END, bytes, n > 0 ? (size_t)n : 0, err);
	secret_wipe(bytes, sizeof(bytes));
	return rc;
}

/* --- from the program --- */

static int answer_hello(struct attach *s, struct error *err)
{
	const uint8_t *bytes;
	uint8_t own[CONSOLE_HELLO_MAX];
	size_t n;
	const struct console_hello *theirs = console_reader_hello(s->reader, &bytes, &n);
	struct console_hello h = {.attach = true, .name = "stdin"};

	if (!theirs->attach)
		return error_set(err, ERR_PEER,
			"the program takes input from anybody: seen no SCONE_CONSOLE_SHIELD_ATTACH in its "
			"stream, wanted required");
	memcpy(h.run, theirs->run, sizeof(h.run));
	memcpy(h.context, theirs->context, sizeof(h.context));
	if (random_bytes(h.id, sizeof(h.id), err))
		return -1;
	n = console_hello_encode(&h, own);
	if (console_reader_bind(s->reader, own, n, err) ||
		console_half_start(&s->half, s->key, own, n, NULL, 0, err))
		return -1;
	s->lines = console_reader_form(s->reader) == CONSOLE_LINES;
	queue(s, own, n);
	s->begun = true;
	return 0;
}

static int on_event(struct attach *s, enum console_event event, const uint8_t *p, size_t n, struct error *err)
{
	switch (event) {
	case CONSOLE_EVENT_HELLO:
		return answer_hello(s, err);
	case CONSOLE_EVENT_DATA:
		return console_put(STDOUT_FILENO, p, n)
			       ? error_set_errno(err, errno, "write to standard output")
			       : 0;
	case CONSOLE_EVENT_NOTE:
		return console_put(STDERR_FILENO, p, n)
			       ? error_set_errno(err, errno, "write to standard error")
			       : 0;
	case CONSOLE_EVENT_END:
		s->done = true;
		return 0;
	default:
		return 0;
	}
}

static int from_program(struct attach *s, struct error *err)
{
	static uint8_t bytes[STEP];
	ssize_t got = read(s->from, bytes, sizeof(bytes));
	const uint8_t *p = bytes;
	size_t n;
	int rc = 0;

	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (got <= 0) {
		close(s->from);
		s->from = -1;
		return console_reader_end(s->reader, err);
	}
	for (n = (size_t)got; n > 0 && !rc;) {
		enum console_event event;
		const uint8_t *text;
		size_t len;

		rc = console_reader_next(s->reader, &p, &n, &event, &text, &len, err);
		if (!rc)
			rc = on_event(s, event, text, len, err);
	}
	return rc;
}

/* --- both --- */

static int pump(struct attach *s, struct error *err)
{
	int rc = 0;

	while (s->from >= 0 && !rc) {
		bool asks = s->begun && !s->ended && !s->done && s->to >= 0 && s->out_len == 0;
		struct pollfd p[3] = {{.fd = s->from, .events = POLLIN},
			{.fd = s->out_len && s->to >= 0 ? s->to : -1, .events = POLLOUT},
			{.fd = asks ? STDIN_FILENO : -1, .events = POLLIN}};

		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_set_errno(err, errno, "wait for the program or the user");
		}
		if (p[1].revents)
			send_queued(s);
		if (p[2].revents)
			rc = from_user(s, err);
		if (!rc && p[0].revents)
			rc = from_program(s, err);
		if (s->done)
			close_to(s);
	}
	return rc;
}

/* What the command ended with, as a shell says it. */
static int status_of(struct attach *s)
{
	int status = 0;

	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int verb_console_attach(const struct args *a)
{
	struct console_expect e = {.output = true, .name = "stdout", .context = a->value[OPT_SERVICE]};
	struct attach s = {.to = -1, .from = -1, .pid = -1};
	struct error err = {0};
	int rc = console_key_of(a, s.key, &err), status = 0;

	memcpy(e.key, s.key, sizeof(e.key));
	if (!rc)
		rc = console_reader_new(&e, &s.reader, &err);
	secret_wipe(e.key, sizeof(e.key));
	if (!rc)
		rc = start_command(&s, a->operands, &err);
	if (!rc)
		rc = pump(&s, &err);
	close_to(&s);
	if (s.from >= 0)
		close(s.from);
	if (rc && s.pid > 0)
		(void)kill(s.pid, SIGTERM);
	if (s.pid > 0)
		status = status_of(&s);
	if (s.reader && console_reader_skipped(s.reader))
		cli_warn("%" PRIu64
			 " bytes that are not of the stream, and that nothing vouches for, were left out",
			console_reader_skipped(s.reader));
	console_reader_free(s.reader);
	aead_free(s.cipher);
	secret_wipe(&s, sizeof(s));
	return rc ? cli_fail(a, CLI_RUN_FAILED, &err, NULL) : status;
}
