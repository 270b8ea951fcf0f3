#include "las/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/log.h"
#include "las/frame.h"
#include "wire/attest.h"

#define STACK (512 * 1024)

struct server {
	const struct quote *quote;
	pthread_attr_t attr;
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t idle; /* active went down */
	int conn[SERVER_CONNECTIONS]; /* -1: free */
	size_t active;
};

struct job {
	struct server *server;
	size_t slot;
	int conn;
};

static void release(struct server *s, size_t slot)
{
	pthread_mutex_lock(&s->lock);
	close(s->conn[slot]);
	s->conn[slot] = -1;
	s->active--;
	pthread_cond_signal(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg)
{
	struct job j = *(struct job *)arg;
	free(arg);
	quote_serve(j.server->quote, j.conn);
	release(j.server, j.slot);
	return NULL;
}

/* -1: all are in use. */
static int take_slot(struct server *s, int conn, size_t *ret)
{
	int rc = -1;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SERVER_CONNECTIONS && rc < 0; i++) {
		if (s->conn[i] < 0) {
			s->conn[i] = conn;
			s->active++;
			*ret = i;
			rc = 0;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* The answer fits the socket's buffer: this does not wait. */
static void turn_away(int conn)
{
	struct error e;
	struct buf out;
	error_set(&e, ERR_LIMIT, "scone-las serves %d connections already", SERVER_CONNECTIONS);
	log_warn("refused a connection: %s", e.text);
	buf_init(&out, LAS_FRAME_MAX);
	if (las_answer_encode_error(&e, &out) == 0 && frame_write(conn, frame_now() + 1, &out, NULL) < 0)
		log_debug("the peer did not wait for the refusal");
	buf_free(&out);
	close(conn);
}

static void start(struct server *s, int conn)
{
	pthread_t thread;
	size_t slot;
	if (take_slot(s, conn, &slot) < 0) {
		turn_away(conn);
		return;
	}
	struct job *j = malloc(sizeof(*j));
	if (j)
		*j = (struct job){s, slot, conn};
	int failed = j ? pthread_create(&thread, &s->attr, serve, j) : ENOMEM;
	if (failed) {
		log_error("cannot start a thread: %s", strerror(failed));
		free(j);
		release(s, slot);
	}
}

static void accept_one(struct server *s, int listen_fd)
{
	int conn = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (conn >= 0) {
		start(s, conn);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	/* Out of descriptors or memory: the connection stays queued, so do not spin on it. */
	log_error("cannot accept a connection: %s", strerror(errno));
	usleep(50000);
}

static void wait_idle(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
		if (s->conn[i] >= 0)
			shutdown(s->conn[i], SHUT_RDWR);
	while (s->active)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static int loop(struct server *s, int listen_fd, int stop, struct error *err)
{
	for (;;) {
		struct pollfd p[2] = {{.fd = listen_fd, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return error_set_errno(err, errno, "cannot wait for connections");
		}
		if (p[1].revents)
			return 0;
		if (p[0].revents)
			accept_one(s, listen_fd);
	}
}

int server_run(const struct quote *q, int listen_fd, int stop, struct error *err)
{
	struct server s = {.quote = q, .lock = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
	for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
		s.conn[i] = -1;
	pthread_attr_init(&s.attr);
	pthread_attr_setdetachstate(&s.attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&s.attr, STACK);
	int rc = loop(&s, listen_fd, stop, err);
	wait_idle(&s);
	pthread_attr_destroy(&s.attr);
	return rc;
}
