/*
 * http_work: one thread that answers requests, so that the event loop goes on with handshakes meanwhile. What has come in while it worked is answered as
 * one batch.
 */
#ifndef SCONE_CAS_HTTP_WORK_H
#define SCONE_CAS_HTTP_WORK_H

#include <event2/event.h>
#include "cas/http.h"

/* Most requests of one batch. */
#define HTTP_BATCH_MAX 64

struct http_work;

/* run is called in the thread, done in the event loop, once for each job. */
MUST_USE int http_work_new(struct event_base *base, http_runner run, void *arg,
	void (*done)(struct http_job *job), struct http_work **ret, struct error *err);
/* From any thread. job is the thread's until done is called for it. */
void http_work_add(struct http_work *w, struct http_job *job);
/* Ends the thread after the batch it is at. Other jobs are left undone, and done is not called any more. NULL is fine. */
void http_work_free(struct http_work *w);

#endif
