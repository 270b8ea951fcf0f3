#include "las/genuine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/encode.h"
#include "measure/measure.h"

/* A file changed within this many seconds is not remembered: two changes inside one tick of its clock look alike. */
#define SETTLED 2

struct identity {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct known {
	struct identity id;
	uint8_t digest[SHA256_LEN];
};

struct genuine {
	uint8_t digests[GENUINE_MAX][SHA256_LEN];
	size_t count;
	pthread_mutex_t lock; /* over what follows */
	struct known cache[GENUINE_CACHE];
	size_t used, next;
};

int genuine_new(struct genuine **ret, struct error *err)
{
	struct genuine *g = calloc(1, sizeof(*g));
	if (!g)
		return error_set(err, ERR_NOMEM, "no memory for the list of runtimes");
	pthread_mutex_init(&g->lock, NULL);
	*ret = g;
	return 0;
}

void genuine_free(struct genuine *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
}

int genuine_add(struct genuine *g, const char *path, struct error *err)
{
	if (g->count >= GENUINE_MAX)
		return error_set(err, ERR_LIMIT, "more than %d genuine runtimes", GENUINE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open the runtime %s", path);
	int rc = measure_fd(fd, g->digests[g->count], NULL, err);
	close(fd);
	if (rc < 0)
		return error_wrap(err, "runtime %s", path);
	g->count++;
	return 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct identity *a, const struct identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && same_time(a->mtime, b->mtime) &&
	       same_time(a->ctime, b->ctime);
}

static bool recall(struct genuine *g, const struct identity *id, uint8_t ret[SHA256_LEN])
{
	bool found = false;
	pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < g->used && !found; i++) {
		found = same(&g->cache[i].id, id);
		if (found)
			memcpy(ret, g->cache[i].digest, SHA256_LEN);
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

static void remember(struct genuine *g, const struct identity *id, const uint8_t digest[SHA256_LEN])
{
	pthread_mutex_lock(&g->lock);
	struct known *k = &g->cache[g->next];
	k->id = *id;
	memcpy(k->digest, digest, SHA256_LEN);
	g->next = (g->next + 1) % GENUINE_CACHE;
	if (g->used < GENUINE_CACHE)
		g->used++;
	pthread_mutex_unlock(&g->lock);
}

static int identify(int fd, struct identity *ret, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, errno, "cannot stat the peer's executable");
	*ret = (struct identity){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
	return 0;
}

static int digest_of(struct genuine *g, int fd, const char *path, uint8_t ret[SHA256_LEN], struct error *err)
{
	struct identity before, after;
	if (identify(fd, &before, err) < 0)
		return -1;
	if (recall(g, &before, ret))
		return 0;
	if (before.size > GENUINE_FILE_MAX)
		return error_set(err, ERR_PEER,
			"peer runs %s of %lld bytes, wanted a runtime of at most %u bytes", path,
			(long long)before.size, GENUINE_FILE_MAX);
	if (measure_fd(fd, ret, NULL, err) < 0)
		return error_wrap(err, "peer's executable %s", path);
	if (identify(fd, &after, err) < 0)
		return -1;
	if (!same(&before, &after))
		return error_set(err, ERR_PEER, "peer's executable %s changed while it was measured", path);
	if (time(NULL) - after.ctime.tv_sec > SETTLED)
		remember(g, &after, ret);
	return 0;
}

int genuine_check(
	struct genuine *g, int fd, const char *path, uint8_t ret_digest[SHA256_LEN], struct error *err)
{
	uint8_t digest[SHA256_LEN];
	char seen[2 * SHA256_LEN + 1], wanted[2 * SHA256_LEN + 1];
	if (digest_of(g, fd, path, digest, err) < 0)
		return -1;
	for (size_t i = 0; i < g->count; i++)
		if (memcmp(g->digests[i], digest, SHA256_LEN) == 0) {
			memcpy(ret_digest, digest, SHA256_LEN);
			return 0;
		}
	hex_encode(digest, SHA256_LEN, seen);
	hex_encode(g->digests[0], SHA256_LEN, wanted);
	return error_set(err, ERR_PEER,
		"peer runs %.400s with digest %s, wanted the runtime with digest %s%s", path, seen, wanted,
		g->count > 1 ? " or one of the others given by --runtime" : "");
}
