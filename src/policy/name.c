#include "policy/name.h"

#include <stdlib.h>
#include <string.h>
#include "policy/session.h"

static bool segment_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_-.~", c));
}

static int segment_check(const char *s, size_t n, bool colon, struct error *err)
{
	if (n == 0)
		return error_set(err, ERR_INPUT,
			"an empty segment; 1 to %d characters of A-Z a-z 0-9 _ - . ~ are wanted",
			NAME_SEGMENT_MAX);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (segment_char(s[i]) || (colon && c == ':'))
			continue;
		if (c > 0x20 && c < 0x7f)
			return error_set(err, ERR_INPUT,
				"character '%c' at %zu; only A-Z a-z 0-9 _ - . ~ are allowed", c, i + 1);
		return error_set(
			err, ERR_INPUT, "byte 0x%02x at %zu; only A-Z a-z 0-9 _ - . ~ are allowed", c, i + 1);
	}
	if (n > NAME_SEGMENT_MAX)
		return error_set(err, ERR_LIMIT, "a segment of %zu characters; at most %d are allowed", n,
			NAME_SEGMENT_MAX);
	if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
		return error_set(
			err, ERR_INPUT, "the segment \"%.*s\", which would be a relative name", (int)n, s);
	return 0;
}

int name_segment_check(const char *s, size_t n, struct error *err)
{
	return segment_check(s, n, false, err);
}

int session_name_check(const char *name, struct error *err)
{
	size_t total = strlen(name);

	if (!strcmp(name, "/"))
		return 0;
	for (const char *p = name;;) {
		size_t n = strcspn(p, "/");
		if (segment_check(p, n, true, err))
			return error_wrap(err, "session name");
		if (!p[n])
			break;
		p += n + 1;
	}
	if (total > NAME_TOTAL_MAX)
		return error_set(err, ERR_LIMIT, "session name: %zu characters; at most %d are allowed",
			total, NAME_TOTAL_MAX);
	return 0;
}

/* What of a bad config id can go into a message. */
struct shown_id {
	char s[64];
};

static struct shown_id show_id(const char *id)
{
	struct shown_id r;
	size_t n = 0;

	for (; id[n] && n < sizeof r.s - 1 && id[n] != '@'; n++)
		r.s[n] = id[n] > 0x20 && id[n] < 0x7f ? id[n] : '?';
	r.s[n] = 0;
	return r;
}

int config_id_parse(const char *id, char **ret_session, char **ret_service, char **ret_otp, struct error *err)
{
	const char *slash = strrchr(id, '/'), *at;
	char *session = NULL, *service = NULL, *otp = NULL;

	if (!slash)
		return error_set(err, ERR_INPUT,
			"config id \"%s\": no '/'; SESSION/SERVICE or SESSION/SERVICE@OTP is wanted",
			show_id(id).s);
	at = strchr(slash, '@');
	session = strndup(id, (size_t)(slash - id));
	service = at ? strndup(slash + 1, (size_t)(at - slash - 1)) : strdup(slash + 1);
	otp = at ? strdup(at + 1) : NULL;
	if (!session || !service || (at && !otp)) {
		error_set(err, ERR_NOMEM, "out of memory");
		goto fail;
	}
	if (session_name_check(session, err) || name_segment_check(service, strlen(service), err)) {
		error_wrap(err, "config id \"%s\"", show_id(id).s);
		goto fail;
	}
	/* The password itself is not repeated in messages. */
	if (otp && name_segment_check(otp, strlen(otp), NULL)) {
		error_set(err, ERR_INPUT,
			"config id \"%s/%s@…\": the one-time password after '@' is empty or has characters "
			"that none has",
			session, service);
		goto fail;
	}
	*ret_session = session;
	*ret_service = service;
	*ret_otp = otp;
	return 0;
fail:
	free(session);
	free(service);
	free(otp);
	return -1;
}

#define WORD_MAX 48

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned char d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned char)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned char)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			unsigned best = min3(
				d[i - 1][j] + 1u, d[i][j - 1] + 1u, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				d[i - 2][j - 2] + 1u < best)
				best = d[i - 2][j - 2] + 1u;
			d[i][j] = (unsigned char)best;
		}
	}
	return d[n][m];
}

const char *name_nearest(const char *s, size_t n, const char *const *words)
{
	unsigned best = (unsigned)(n / 3 + 1);
	const char *ret = NULL;

	for (; n <= WORD_MAX && *words; words++) {
		size_t m = strlen(*words);
		unsigned d = m <= WORD_MAX ? distance(s, n, *words, m) : best + 1;
		if (d < best || (d == best && !ret)) {
			best = d;
			ret = *words;
		}
	}
	return ret;
}
