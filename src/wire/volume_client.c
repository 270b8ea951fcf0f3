#include "wire/volume_client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "core/secret.h"
#include "wire/http_client.h"

#define TIMEOUT_MS 15000
#define WINDOW_MS 1000
#define PATIENCE_MS 10000
#define ASK_AGAIN_MS 1000
#define BODY_MAX 16384
#define PACK_VERSION 1
#define NAME_LIMIT 4096
#define REPEATS 3 /* of a request whose answer was lost */

enum policy { ROLLBACK_PROTECTED, EPHEMERAL, NO_ROLLBACK_PROTECTION, STRICT, POLICIES };
static const char *const policies[POLICIES] = {
	"rollback_protected", "ephemeral", "no_rollback_protection", "strict"};

struct volume_client {
	char *address, *name;
	uint8_t cas_key[32];
	bool numeric_only;
	EVP_PKEY *key;
	X509 *cert;
	int timeout_ms, window_ms, patience_ms;
	uint64_t (*clock)(void);
	enum policy policy;
	struct buf grant;
	struct volume_client_shared *s; /* shared, or own */
	struct volume_client_shared own;
	struct http_client *http;
	pid_t http_pid; /* whose connection it is */
};

static uint64_t boottime(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct volume_client *new_client(const struct volume_client_options *o)
{
	struct volume_client *c = calloc(1, sizeof(*c));

	if (!c || !(c->address = strdup(o->address))) {
		free(c);
		return NULL;
	}
	memcpy(c->cas_key, o->cas_key, sizeof(c->cas_key));
	c->numeric_only = o->numeric_only;
	c->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	c->window_ms = o->window_ms ? o->window_ms : WINDOW_MS;
	c->patience_ms = o->patience_ms ? o->patience_ms : PATIENCE_MS;
	c->clock = o->clock ? o->clock : boottime;
	EVP_PKEY_up_ref(o->key);
	c->key = o->key;
	X509_up_ref(o->cert);
	c->cert = o->cert;
	c->s = o->shared ? o->shared : &c->own;
	buf_init(&c->grant, VOLUME_GRANT_BYTES_MAX);
	return c;
}

static int parse_policy(const char *word, enum policy *ret, struct error *err)
{
	for (int i = 0; word && i < POLICIES; i++) {
		if (!strcmp(word, policies[i])) {
			*ret = (enum policy)i;
			return 0;
		}
	}
	return error_set(err, ERR_INPUT, "a volume has an update policy that this version does not know");
}

int volume_client_new(const struct volume_client_options *o, const struct config_volume *v,
	struct volume_client **ret, struct error *err)
{
	struct volume_client *c;
	enum policy policy = STRICT;

	if (parse_policy(v->policy, &policy, err))
		return -1;
	c = new_client(o);
	if (c) {
		c->policy = policy;
		c->name = strdup(v->name);
		buf_put(&c->grant, v->grant.data, v->grant.len);
	}
	if (!c || !c->name || c->grant.failed) {
		volume_client_free(c);
		return error_set(err, ERR_NOMEM, "no memory for a volume");
	}
	*ret = c;
	return 0;
}

void volume_client_rest(struct volume_client *c)
{
	if (c->http && c->http_pid == getpid())
		http_client_close(c->http);
	else
		http_client_abandon(c->http);
	c->http = NULL;
}

void volume_client_free(struct volume_client *c)
{
	if (!c)
		return;
	volume_client_rest(c);
	buf_free(&c->grant);
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
	free(c->address);
	free(c->name);
	free(c);
}

/* --- talking to CAS --- */

/* The parent's connection is the parent's: nothing is said on it, its descriptor is closed here. */
static int connect_cas(struct volume_client *c, struct error *err)
{
	struct http_client_options o = {.address = c->address,
		.pinned_key = c->cas_key,
		.numeric_only = c->numeric_only,
		.cert = c->cert,
		.key = c->key,
		.timeout_ms = c->timeout_ms};

	if (c->http && c->http_pid != getpid()) {
		http_client_abandon(c->http);
		c->http = NULL;
	}
	if (c->http)
		return 0;
	if (http_client_open(&o, &c->http, err)) {
		c->http = NULL;
		return -1;
	}
	c->http_pid = getpid();
	return 0;
}

/* *ret_lost: the request may have reached CAS, and no answer came. */
static int call_once(struct volume_client *c, const char *path, const struct buf *body,
	struct http_response *ret, bool *ret_lost, struct error *err)
{
	int rc;

	*ret_lost = false;
	if (connect_cas(c, err))
		return -1;
	rc = http_client_request(c->http, "POST", path, "application/json", body->data, body->len, ret, err);
	if (rc) {
		*ret_lost = http_client_lost(c->http);
		http_client_close(c->http);
		c->http = NULL;
	}
	return rc;
}

/* A connection that CAS has closed meanwhile, or that ends with it, is made anew, to any CAS there is: every request may be made twice. */
static int call(struct volume_client *c, const char *path, const struct buf *body, struct http_response *ret,
	struct error *err)
{
	bool lost;
	int rc = call_once(c, path, body, ret, &lost, err);

	for (int i = 0; rc && lost && i < REPEATS; i++) {
		http_response_free(ret);
		*ret = (struct http_response){0};
		rc = call_once(c, path, body, ret, &lost, err);
	}
	if (!rc)
		rc = http_response_check(ret, err);
	return rc;
}

/* CAS itself has said no: not that it could not be reached, not that it has a fault of its own. */
static bool is_refusal(enum err_code code)
{
	return code == ERR_CONFLICT || code == ERR_ACCESS || code == ERR_NOT_FOUND || code == ERR_INPUT;
}

static int is_lost(const struct volume_client *c, struct error *err)
{
	if (!c->s->lost.text[0])
		return 0;
	if (err)
		*err = c->s->lost;
	return -1;
}

static int ask(struct volume_client *c, const uint8_t place[VOLUME_PLACE_LEN], struct error *err)
{
	struct volume_open_request q = {.grant = c->grant};
	struct http_response answer = {0};
	struct buf body;
	int rc;

	memcpy(q.place, place, sizeof(q.place));
	buf_init(&body, BODY_MAX);
	rc = volume_open_encode(&q, &body, err);
	if (!rc)
		rc = call(c, VOLUME_OPEN_PATH, &body, &answer, err);
	if (!rc)
		rc = volume_lease_decode(answer.body.data, answer.body.len, &c->s->lease, err);
	http_response_free(&answer);
	buf_free(&body);
	return rc;
}

static void sleep_ms(int ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (nanosleep(&t, &t) != 0)
		;
}

int volume_client_open(struct volume_client *c, const uint8_t place[VOLUME_PLACE_LEN], int wait_ms,
	struct volume_lease *ret, struct error *err)
{
	uint64_t end = c->clock() + (uint64_t)wait_ms;
	struct error why = {0};

	while (ask(c, place, &why)) {
		if (why.code != ERR_EXISTS || c->clock() + ASK_AGAIN_MS > end) {
			if (err)
				*err = why;
			return error_wrap(err, "volume \"%s\"", c->name);
		}
		sleep_ms(ASK_AGAIN_MS);
	}
	c->s->heard = c->clock();
	c->s->opened = true;
	c->s->sent = c->s->lease.version;
	c->s->has_sent = c->s->lease.has_version;
	*ret = c->s->lease;
	return 0;
}

/* --- what may be opened --- */

static int check_tag(const struct volume_client *c, const struct volume_state *found, struct error *err)
{
	char seen[2 * VOLUME_STATE_TAG_LEN + 1], wanted[2 * VOLUME_STATE_TAG_LEN + 1];

	if (secret_equal(found->tag, c->s->lease.initial, sizeof(found->tag)))
		return 0;
	hex_encode(found->tag, sizeof(found->tag), seen);
	hex_encode(c->s->lease.initial, sizeof(c->s->lease.initial), wanted);
	return error_set(err, ERR_CONFLICT,
		"volume \"%s\": it has tag %s at generation %" PRIu64
		", its session says that it begins with tag %s",
		c->name, seen, found->generation, wanted);
}

int volume_client_check(const struct volume_client *c, const struct volume_state *found, uint64_t mark,
	bool *ret_create, struct error *err)
{
	const struct volume_lease *l = &c->s->lease;

	*ret_create = false;
	if (!c->s->opened)
		return error_set(err, ERR_INTERNAL, "volume \"%s\" is checked before CAS was asked", c->name);
	if (!found && l->has_version)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": there is none at the host, CAS has generation %" PRIu64, c->name,
			l->version.generation);
	if (!found && l->has_initial)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": there is none at the host, its session says with which tag it begins",
			c->name);
	if (!found) {
		*ret_create = true;
		return 0;
	}
	if (!l->has_version)
		return l->has_initial ? check_tag(c, found, err) : 0;
	if (c->policy == NO_ROLLBACK_PROTECTION)
		return 0;
	if (found->generation < l->version.generation)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": it is at generation %" PRIu64 ", CAS has generation %" PRIu64
			": an older copy was put in its place",
			c->name, found->generation, l->version.generation);
	if (found->generation == l->version.generation &&
		!secret_equal(found->tag, l->version.tag, sizeof(found->tag)))
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": it is at generation %" PRIu64
			", as CAS has it, but with another tag: another "
			"copy was put in its place",
			c->name, found->generation);
	if (c->policy == EPHEMERAL && found->generation > l->version.generation)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": it is at generation %" PRIu64 ", CAS has generation %" PRIu64
			", and with update_policy ephemeral no change counts: put the old files back",
			c->name, found->generation, l->version.generation);
	if (mark < l->least)
		return error_set(err, ERR_CONFLICT,
			"volume \"%s\": generation %" PRIu64 " was written under lease %" PRIu64
			", CAS has generation %" PRIu64 " of lease %" PRIu64
			": a copy that went another way was put in its place",
			c->name, found->generation, mark, l->version.generation, l->least);
	return 0;
}

/* --- versions --- */

/* v NULL: none. */
static int send_version(
	struct volume_client *c, const char *path, const struct volume_state *v, struct error *err)
{
	struct volume_update_request q = {
		.grant = c->grant, .number = c->s->lease.number, .has_version = v != NULL};
	struct http_response answer = {0};
	struct error why = {0};
	struct buf body;
	int rc;

	if (v)
		q.version = *v;
	buf_init(&body, BODY_MAX);
	rc = volume_update_encode(&q, &body, &why);
	if (!rc)
		rc = call(c, path, &body, &answer, &why);
	if (!rc)
		rc = volume_term_decode(answer.body.data, answer.body.len, &c->s->lease.term, &why);
	http_response_free(&answer);
	buf_free(&body);
	if (!rc) {
		c->s->heard = c->clock();
		if (!v)
			return 0;
		c->s->sent = *v;
		c->s->has_sent = true;
		if (c->s->has_noted && c->s->noted.generation <= v->generation)
			c->s->has_noted = false;
		return 0;
	}
	error_wrap(&why, "volume \"%s\"", c->name);
	if (is_refusal(why.code))
		c->s->lost = why;
	if (err)
		*err = why;
	return -1;
}

static void note(struct volume_client *c, const struct volume_state *v)
{
	if (!c->s->has_noted)
		c->s->noted_at = c->clock();
	c->s->noted = *v;
	c->s->has_noted = true;
}

/* A CAS that is away for a while stops nobody whose policy has a window. */
static int push_noted(struct volume_client *c, struct error *err)
{
	struct volume_state v = c->s->noted;
	struct error why = {0};

	if (!send_version(c, VOLUME_UPDATE_PATH, &v, &why))
		return 0;
	if (!c->s->lost.text[0] && c->clock() - c->s->noted_at < (uint64_t)c->patience_ms)
		return 0;
	if (err)
		*err = why;
	return -1;
}

int volume_client_publish(struct volume_client *c, enum volume_client_event event,
	const struct volume_state *version, struct error *err)
{
	if (is_lost(c, err))
		return -1;
	if (c->s->lease.number == 0 || c->policy == NO_ROLLBACK_PROTECTION)
		return 0;
	if (c->policy == EPHEMERAL)
		return c->s->has_sent ? 0 : send_version(c, VOLUME_UPDATE_PATH, version, err);
	if (c->policy == STRICT || event == VOLUME_CLIENT_SYNC)
		return send_version(c, VOLUME_UPDATE_PATH, version, err);
	note(c, version);
	if (event == VOLUME_CLIENT_LOGGED && c->clock() - c->s->noted_at < (uint64_t)c->window_ms)
		return 0;
	return push_noted(c, err);
}

int volume_client_tick(struct volume_client *c, struct error *err)
{
	uint64_t now = c->clock();

	if (is_lost(c, err))
		return -1;
	if (c->s->lease.number == 0 || !c->s->has_sent)
		return 0;
	if (c->s->has_noted && now - c->s->noted_at >= (uint64_t)c->window_ms)
		return push_noted(c, err);
	if (now - c->s->heard < (uint64_t)c->s->lease.term * 1000 / 3)
		return 0;
	/* A sign of life is the version that CAS has. Only a refusal matters: what is not written needs no CAS. */
	if (send_version(c, VOLUME_UPDATE_PATH, &c->s->sent, err) && c->s->lost.text[0])
		return -1;
	return 0;
}

int volume_client_close(struct volume_client *c, const struct volume_state *version, struct error *err)
{
	int rc;

	if (is_lost(c, err))
		return -1;
	if (c->s->lease.number == 0)
		return 0;
	rc = send_version(
		c, VOLUME_CLOSE_PATH, c->policy == EPHEMERAL && c->s->has_sent ? &c->s->sent : version, err);
	if (!rc)
		c->s->lease.number = 0;
	return rc;
}

int volume_client_give_back(struct volume_client *c, struct error *err)
{
	int rc;

	if (is_lost(c, err))
		return -1;
	if (c->s->lease.number == 0)
		return 0;
	rc = send_version(c, VOLUME_CLOSE_PATH, NULL, err);
	if (!rc)
		c->s->lease.number = 0;
	return rc;
}

/* --- across execve --- */

int volume_client_pack(const struct volume_client *c, struct buf *out, struct error *err)
{
	buf_put_u8(out, PACK_VERSION);
	buf_put_u8(out, (uint8_t)c->policy);
	buf_put_block(out, c->name, strlen(c->name));
	buf_put_block(out, c->grant.data, c->grant.len);
	buf_put_u8(out, c->s == &c->own);
	if (c->s == &c->own)
		buf_put(out, &c->own, sizeof(c->own));
	return out->failed ? error_set(err, ERR_NOMEM, "no memory for the state of volume \"%s\"", c->name)
			   : 0;
}

static bool unpack(struct volume_client *c, struct rd *r)
{
	size_t name_len = 0, grant_len = 0;
	uint8_t version = rd_u8(r), policy = rd_u8(r);
	const uint8_t *name = rd_block(r, NAME_LIMIT, &name_len);
	const uint8_t *grant = rd_block(r, VOLUME_GRANT_BYTES_MAX, &grant_len);
	bool own = rd_u8(r);
	const uint8_t *state = own ? rd_bytes(r, sizeof(c->own)) : NULL;

	if (!rd_done(r) || version != PACK_VERSION || policy >= POLICIES || own != (c->s == &c->own))
		return false;
	if (own) {
		memcpy(&c->own, state, sizeof(c->own));
		c->own.lost.check = NULL;
	}
	c->policy = (enum policy)policy;
	c->name = strndup((const char *)name, name_len);
	buf_put(&c->grant, grant, grant_len);
	return c->name && !c->grant.failed;
}

int volume_client_unpack(const struct volume_client_options *o, const void *p, size_t n,
	struct volume_client **ret, struct error *err)
{
	struct volume_client *c = new_client(o);
	struct rd r;

	if (!c)
		return error_set(err, ERR_NOMEM, "no memory for a volume");
	rd_init(&r, p, n);
	if (!unpack(c, &r)) {
		volume_client_free(c);
		return error_set(err, ERR_INPUT, "the state of a volume is %zu bytes of another form", n);
	}
	*ret = c;
	return 0;
}
