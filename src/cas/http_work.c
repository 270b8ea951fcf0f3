#include "cas/http_work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "core/log.h"

/* First in, first out, linked by the jobs themselves. */
struct queue {
	struct http_job *first, **last;
};

struct http_work {
	http_runner run;
	void *arg;
	void (*done)(struct http_job *job);
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* of the fields below */
	pthread_cond_t wake;
	struct queue waiting, finished;
	bool stop;
	/* Tells the event loop that something is finished. */
	int fd;
	struct event *ready;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_add(struct queue *q, struct http_job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

static struct http_job *queue_take(struct queue *q)
{
	struct http_job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->last = &q->first;
	return job;
}

/* The next batch; 0: the end. */
static size_t wait_for_batch(struct http_work *w, struct http_job *jobs[HTTP_BATCH_MAX])
{
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->stop && !w->waiting.first)
		pthread_cond_wait(&w->wake, &w->lock);
	while (!w->stop && n < HTTP_BATCH_MAX && w->waiting.first)
		jobs[n++] = queue_take(&w->waiting);
	pthread_mutex_unlock(&w->lock);
	return n;
}

static void hand_over(struct http_work *w, struct http_job **jobs, size_t n)
{
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < n; i++)
		if (jobs[i])
			queue_add(&w->finished, jobs[i]);
	pthread_mutex_unlock(&w->lock);
	while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *work(void *arg)
{
	struct http_job *jobs[HTTP_BATCH_MAX];
	struct http_work *w = arg;
	size_t n;

	while ((n = wait_for_batch(w, jobs))) {
		w->run(w->arg, jobs, n);
		hand_over(w, jobs, n);
	}
	return NULL;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct http_work *w = arg;
	struct http_job *job;
	uint64_t n;

	if (read((int)fd, &n, sizeof(n)) < 0 && errno != EAGAIN && errno != EINTR)
		log_error("event descriptor of the working thread: %m");
	for (;;) {
		pthread_mutex_lock(&w->lock);
		job = queue_take(&w->finished);
		pthread_mutex_unlock(&w->lock);
		if (!job)
			return;
		w->done(job);
	}
}

/* Signals are the event loop's. */
static int start_thread(struct http_work *w, struct error *err)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return error_set_errno(err, rc, "cannot start the working thread");
	w->started = true;
	return 0;
}

int http_work_new(struct event_base *base, http_runner run, void *arg, void (*done)(struct http_job *job),
	struct http_work **ret, struct error *err)
{
	struct http_work *w = calloc(1, sizeof(*w));

	if (!w)
		return error_set(err, ERR_NOMEM, "out of memory");
	w->run = run;
	w->arg = arg;
	w->done = done;
	queue_init(&w->waiting);
	queue_init(&w->finished);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->ready = w->fd < 0 ? NULL : event_new(base, w->fd, EV_READ | EV_PERSIST, on_ready, w);
	if (!w->ready || event_add(w->ready, NULL)) {
		error_set(err, ERR_IO, "cannot make an event for the working thread");
		http_work_free(w);
		return -1;
	}
	if (start_thread(w, err)) {
		http_work_free(w);
		return -1;
	}
	*ret = w;
	return 0;
}

void http_work_add(struct http_work *w, struct http_job *job)
{
	job->work = w;
	pthread_mutex_lock(&w->lock);
	queue_add(&w->waiting, job);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void http_work_free(struct http_work *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	if (w->ready)
		event_free(w->ready);
	if (w->fd >= 0)
		close(w->fd);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
