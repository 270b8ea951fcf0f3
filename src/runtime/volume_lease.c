#include "runtime/volume_lease.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "core/log.h"
#include "crypto/hash.h"
#include "host/arena.h"
#include "host/host.h"

#define OPEN_WAIT_MS 0 /* for an instance that lives: who holds the file's lock here knows that none does */
#define STRICT_WAIT 30 /* seconds for CAS' word, more than one request may take */
#define TICK_NS 250000000L
#define SERVED_MAX 16

/* --- in any process --- */

static void ring(struct lease_bell *bell)
{
	__atomic_add_fetch(&bell->rung, 1, __ATOMIC_RELEASE);
	arena_wake(&bell->rung);
}

static int await(struct lease_post *p, uint32_t number, bool (*alive)(void))
{
	uint32_t done;

	for (int i = 0; i < STRICT_WAIT * 10; i++) {
		done = __atomic_load_n(&p->done, __ATOMIC_ACQUIRE);
		if ((int32_t)(done - number) >= 0)
			return p->answer;
		if (!alive())
			break;
		arena_wait(&p->done, done, 100000000);
	}
	return -EIO;
}

/* One at a time, in all processes together: the engine sees to it. */
int lease_publish(struct lease_post *p, struct lease_bell *bell, enum volume_event event,
	const struct volume_version *v, bool (*alive)(void))
{
	uint32_t number = p->posted + 1;

	if (!p->active)
		return 0;
	/* While it is written the keeper's thread looks again. */
	__atomic_store_n(&p->event, UINT32_MAX, __ATOMIC_SEQ_CST);
	p->version.generation = v->generation;
	memcpy(p->version.tag, v->tag, sizeof(p->version.tag));
	__atomic_store_n(&p->event,
		event == VOLUME_LOGGED ? (uint32_t)VOLUME_CLIENT_LOGGED : (uint32_t)VOLUME_CLIENT_COMMITTED,
		__ATOMIC_SEQ_CST);
	__atomic_store_n(&p->posted, number, __ATOMIC_SEQ_CST);
	ring(bell);
	if (p->strict)
		return await(p, number, alive);
	return alive() ? p->answer : -EIO;
}

/* --- before the program runs --- */

int lease_new(const struct attest_options *o, const struct attest_identity *id, const struct config_volume *v,
	struct volume_client **ret, struct error *err)
{
	struct volume_client_options c = {.address = o->cas,
		.cas_key = id->cas_key,
		.numeric_only = true,
		.key = id->key,
		.cert = id->cert};

	return volume_client_new(&c, v, ret, err);
}

/* The same for everybody who could lock this file: the machine, its directory and its name. Not the file's own number: a copy that was put back in
 * its place is in that place. */
static int place_of(const char *path, uint8_t ret[VOLUME_PLACE_LEN], struct error *err)
{
	static const char domain[] = "openscone-volume-place-v1";
	char machine[64] = "", parent[PATH_MAX];
	const char *name = strrchr(path, '/');
	struct stat st;
	struct buf b;
	long id = host_openat(AT_FDCWD, "/etc/machine-id", O_RDONLY | O_CLOEXEC, 0);

	if (id >= 0) {
		(void)host_read((int)id, machine, sizeof(machine) - 1);
		host_close((int)id);
	}
	if (!name ||
		(size_t)snprintf(parent, sizeof(parent), "%.*s/", (int)(name - path), path) >=
			sizeof(parent) ||
		host_call4(SYS_newfstatat, AT_FDCWD, (long)parent, (long)&st, 0))
		return error_set(err, ERR_IO, "the directory of %s cannot be looked at", path);
	buf_init(&b, 2 * PATH_MAX);
	buf_put(&b, domain, sizeof(domain));
	buf_put(&b, machine, sizeof(machine));
	buf_put_u64be(&b, st.st_dev);
	buf_put_u64be(&b, st.st_ino);
	buf_puts(&b, name);
	sha256(b.data, b.len, ret);
	buf_free(&b);
	return 0;
}

int lease_open(struct volume_client *c, const char *path, struct volume_lease *ret, struct error *err)
{
	uint8_t place[VOLUME_PLACE_LEN];

	if (place_of(path, place, err))
		return -1;
	return volume_client_open(c, place, OPEN_WAIT_MS, ret, err);
}

int lease_may_create(struct volume_client *c, struct error *err)
{
	bool create = false;

	return volume_client_check(c, NULL, 0, &create, err);
}

static struct volume_state state_of(const struct volume_version *v)
{
	struct volume_state s = {.generation = v->generation};

	static_assert(sizeof(s.tag) == VOLUME_TAG_LEN, "one is the other");
	memcpy(s.tag, v->tag, sizeof(s.tag));
	return s;
}

/* As text: a volume may be looked at with other tools. */
static int read_mark(struct volume *v, uint64_t *ret)
{
	char text[24] = "";
	long n = volume_xattr_get(v, VOLUME_ROOT, LEASE_MARK, strlen(LEASE_MARK), text, sizeof(text) - 1);

	*ret = 0;
	if (n == -ENODATA)
		return 0;
	if (n <= 0)
		return n ? (int)n : -EBADMSG;
	for (const char *p = text; *p; p++) {
		if (*p < '0' || *p > '9')
			return -EBADMSG;
		*ret = *ret * 10 + (uint64_t)(*p - '0');
	}
	return 0;
}

static int write_mark(struct volume *v, uint64_t number)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	int rc = volume_xattr_set(v, VOLUME_ROOT, LEASE_MARK, strlen(LEASE_MARK), text, (size_t)n, 0);

	return rc ? rc : volume_commit(v);
}

int lease_begin(struct volume_client *c, const struct volume_lease *l, struct volume *v,
	const struct volume_version *found, struct lease_post *post, struct error *err)
{
	struct volume_state seen, now;
	struct volume_version version;
	bool create = false;
	uint64_t mark = 0;
	int rc = found ? read_mark(v, &mark) : 0;

	if (!rc && found) {
		seen = state_of(found);
		if (volume_client_check(c, &seen, mark, &create, err))
			return -1;
	}
	if (!rc && l->number)
		rc = write_mark(v, l->number);
	if (rc)
		return error_set_errno(err, -rc, "the lease's mark in the volume");
	volume_version_get(v, &version);
	now = state_of(&version);
	post->version = now;
	post->active = l->number != 0;
	/* Also of a policy without leases: of a new volume CAS hears once. */
	if ((l->number || !found) && volume_client_publish(c, VOLUME_CLIENT_SYNC, &now, err))
		return error_wrap(err, "tell CAS which state the volume has");
	volume_client_rest(c);
	return 0;
}

void lease_give_back(struct volume_client *c)
{
	struct error err = {0};

	if (volume_client_give_back(c, &err))
		log_warn("volume: give the lease back: %s", err.text);
	volume_client_free(c);
}

/* --- in the keeper --- */

static struct {
	struct lease_post *posts[SERVED_MAX];
	struct volume_client *clients[SERVED_MAX];
	uint32_t n;
	struct lease_bell *bell;
	pthread_t thread;
	bool running, stop;
	uint32_t complained; /* one bit a volume: CAS is known not to answer */
} served;

/* What was left, whole: its number. One whose writer died over it counts as not left: the next one does. */
static uint32_t take(const struct lease_post *p, struct volume_state *ret, uint32_t *ret_event)
{
	for (int i = 0; i < 1000; i++) {
		uint32_t number = __atomic_load_n(&p->posted, __ATOMIC_SEQ_CST);
		uint32_t event = __atomic_load_n(&p->event, __ATOMIC_SEQ_CST);

		*ret = p->version;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*ret_event = event;
		if (event != UINT32_MAX && number == __atomic_load_n(&p->posted, __ATOMIC_SEQ_CST) &&
			event == __atomic_load_n(&p->event, __ATOMIC_SEQ_CST))
			return number;
	}
	return p->done;
}

static void say(uint32_t i, int rc, const struct error *err)
{
	bool before = served.complained >> i & 1;

	if (rc && !before)
		log_error("volume: %s", err->text);
	if (!rc && before)
		log_info("volume: CAS answers again");
	served.complained = rc ? served.complained | 1u << i : served.complained & ~(1u << i);
}

static void serve_one(uint32_t i)
{
	struct lease_post *p = served.posts[i];
	struct error err = {0};
	struct volume_state v;
	uint32_t event, number;
	int rc;

	if (!p->active)
		return;
	number = take(p, &v, &event);
	if (number == p->done) {
		rc = volume_client_tick(served.clients[i], &err);
	} else {
		rc = volume_client_publish(served.clients[i], (enum volume_client_event)event, &v, &err);
	}
	say(i, rc, &err);
	p->answer = rc ? -EIO : 0;
	if (number != p->done) {
		__atomic_store_n(&p->done, number, __ATOMIC_RELEASE);
		arena_wake(&p->done);
	}
}

static void *serve(void *arg)
{
	while (!__atomic_load_n(&served.stop, __ATOMIC_ACQUIRE)) {
		uint32_t rung = __atomic_load_n(&served.bell->rung, __ATOMIC_ACQUIRE);
		bool more = false;

		for (uint32_t i = 0; i < served.n; i++) {
			serve_one(i);
			more |= served.posts[i]->active && __atomic_load_n(&served.posts[i]->posted,
								   __ATOMIC_ACQUIRE) != served.posts[i]->done;
		}
		if (!more)
			arena_wait(&served.bell->rung, rung, TICK_NS);
	}
	return NULL;
}

int lease_serve(struct lease_post *const *posts, struct volume_client *const *clients, uint32_t n,
	struct lease_bell *bell)
{
	sigset_t all, before;
	int rc;

	served.bell = bell;
	for (uint32_t i = 0; i < n && served.n < SERVED_MAX; i++) {
		if (!clients[i])
			continue;
		served.posts[served.n] = posts[i];
		served.clients[served.n++] = clients[i];
	}
	if (!served.n)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&served.thread, NULL, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	served.running = rc == 0;
	return -rc;
}

void lease_stop(void)
{
	struct error err = {0};

	if (served.running) {
		__atomic_store_n(&served.stop, true, __ATOMIC_RELEASE);
		ring(served.bell);
		pthread_join(served.thread, NULL);
	}
	for (uint32_t i = 0; i < served.n; i++) {
		if (served.posts[i]->active &&
			volume_client_close(served.clients[i], &served.posts[i]->version, &err))
			log_error("volume: give the lease back: %s", err.text);
		volume_client_free(served.clients[i]);
	}
	served.n = 0;
}
