/*
 * net_renewer: the renewer's side of net_renew.h. What it was started with names CAS, LAS, the service and the program; all else it proves, and is given, anew each
 * time, in a child that ends with it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core/secret.h"
#include "crypto/x509_issue.h"
#include "host/host.h"
#include "runtime/config.h"
#include "runtime/net_renew_area.h"

#define AGAIN_MIN_MS 1000 /* between attempts */
#define AGAIN_MAX_MS 300000
#define WAIT_MAX_MS 86400000 /* looked at the clock, which may be set, at least so often */

struct renewer {
	const struct attest_options *options;
	const struct manifest *manifest;
	char **argv, **env;
	int shared; /* the area's descriptor */
	struct net_renew_area *area;
};

/* --- one attempt, in a child --- */

static void say(struct net_renew_area *a, const char *why)
{
	(void)net_lock(&a->lock);
	(void)snprintf(a->why, sizeof(a->why), "%s", why);
	__atomic_add_fetch(&a->said, 1, __ATOMIC_RELEASE);
	net_unlock(&a->lock);
}

static int publish(struct net_renew_area *a, const struct buf *text, uint64_t end, struct error *err)
{
	if (text->failed || text->len > sizeof(a->text))
		return error_set(
			err, ERR_LIMIT, "renewed rules of the network are over %zu bytes", sizeof(a->text));
	(void)net_lock(&a->lock);
	if (a->len != text->len || !secret_equal(a->text, text->data, text->len)) {
		__atomic_store_n(&a->generation, (a->generation | 1), __ATOMIC_RELEASE);
		memcpy(a->text, text->data, text->len);
		a->len = (uint32_t)text->len;
		__atomic_add_fetch(&a->generation, 1, __ATOMIC_RELEASE);
	}
	a->end = end;
	net_unlock(&a->lock);
	return 0;
}

/* The rules in a service's environment. */
static int take_rules(char **env, struct net_renew_area *a, struct error *err)
{
	struct net_rules rules = {0};
	struct buf text;
	int rc;

	buf_init_secret(&text, NET_RENEW_TEXT_MAX);
	for (size_t i = 0; env[i]; i++)
		if (net_rules_owns(env[i]))
			buf_put(&text, env[i], strlen(env[i]) + 1);
	rc = net_rules_parse(env, &rules, err);
	if (!rc)
		rc = publish(a, &text, net_renew_end(&rules), err);
	net_rules_free(&rules);
	buf_free(&text);
	return rc;
}

/* LAS gives evidence of the runtime and nothing else that is mapped: the area comes back afterwards. */
static int renew(struct renewer *r, struct error *err)
{
	struct injected_table *files = NULL;
	struct attest_identity id = {0};
	struct service_config config;
	char **argv = NULL, **env = NULL, *pwd = NULL;
	int rc;

	service_config_init(&config);
	host_munmap(r->area, sizeof(*r->area));
	rc = attest_service(r->options, r->manifest, &config, &id, err);
	r->area = net_renew_map(r->shared);
	if (!r->area)
		_exit(1);
	if (!rc)
		rc = config_apply(&config, r->argv, r->env, &argv, &env, &pwd, &files, err);
	if (!rc)
		rc = take_rules(env, r->area, err);
	config_free_strings(argv);
	config_free_strings(env);
	free(pwd);
	injected_free(files);
	attest_identity_clear(&id);
	service_config_free(&config);
	return rc;
}

/* True: done. */
static bool attempt(struct renewer *r)
{
	struct error err = {0};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int rc = renew(r, &err);

		if (rc)
			say(r->area, err.text);
		_exit(rc ? 1 : 0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

/* --- when --- */

static int64_t now_ms(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* How long from now: after two thirds of what is left. */
static int64_t until_due(const struct net_renew_area *a)
{
	int64_t left = (int64_t)a->end * 1000 - now_ms(CLOCK_REALTIME);

	if (a->end == X509_FOREVER)
		return INT64_MAX;
	return left <= AGAIN_MIN_MS ? AGAIN_MIN_MS : left / 3 * 2;
}

/* After a failure: a tenth of what is left, within bounds. */
static int64_t until_again(const struct net_renew_area *a)
{
	int64_t wait = ((int64_t)a->end * 1000 - now_ms(CLOCK_REALTIME)) / 10;

	return wait < AGAIN_MIN_MS ? AGAIN_MIN_MS : wait > AGAIN_MAX_MS ? AGAIN_MAX_MS : wait;
}

/* True: the application has ended. */
static bool ended_within(int life, int64_t ms)
{
	struct pollfd p = {.fd = life};

	return poll(&p, 1, ms > WAIT_MAX_MS ? WAIT_MAX_MS : (int)ms) > 0;
}

int net_renew_parse(const char *text, int *ret_area, int *ret_life)
{
	char *end;
	long area = strtol(text, &end, 10), life;

	if (end == text || *end != ':')
		return -1;
	text = end + 1;
	life = strtol(text, &end, 10);
	if (end == text || *end || area < 3 || life < 3 || area > 1024 || life > 1024)
		return -1;
	*ret_area = (int)area;
	*ret_life = (int)life;
	return 0;
}

int net_renew_serve(
	const struct attest_options *o, const struct manifest *m, char **argv, char **env, int area, int life)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};
	struct renewer r = {.options = o,
		.manifest = m,
		.argv = argv,
		.env = env,
		.shared = area,
		.area = net_renew_map(area)};
	bool done = true;

	if (!r.area)
		return 1;
	prctl(PR_SET_NAME, "scone-renewer");
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
	/* Two thirds of what is left when this is reached: a long time is slept through in pieces, by the clock that certificates go by. */
	for (;;) {
		int64_t wait = done ? until_due(r.area) : until_again(r.area), start = now_ms(CLOCK_REALTIME);

		if (wait == INT64_MAX)
			return 0;
		while (now_ms(CLOCK_REALTIME) - start < wait)
			if (ended_within(life, wait - (now_ms(CLOCK_REALTIME) - start)))
				return 0;
		done = attempt(&r);
	}
}
