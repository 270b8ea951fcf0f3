/*
 * http_conn: one connection of the server, from its handshake to its end. Only http.c and http_conn.c know these structures.
 */
#ifndef SCONE_CAS_HTTP_CONN_H
#define SCONE_CAS_HTTP_CONN_H

#include <event2/listener.h>
#include <openssl/ssl.h>
#include <sys/queue.h>
#include "cas/http.h"
#include "cas/http_parse.h"
#include "cas/http_peers.h"
#include "cas/http_work.h"
#include "crypto/key.h"

#define HTTP_LINGER_SECONDS 2

enum phase { HANDSHAKE, HEAD, BODY, CONTINUE, WORK, ANSWER, LINGER };

struct conn {
	TAILQ_ENTRY(conn) all, idle;
	struct http_server *server;
	enum phase phase;
	int fd;
	SSL *ssl;
	struct event *readable, *writable, *deadline;
	bool is_idle; /* in the server's idle list */
	struct http_peer *peer; /* NULL: not yet counted */
	bool over, peer_over; /* beyond the limit, its address': to be answered 429 */
	bool has_key;
	bool local; /* the peer is on this host */
	bool closing; /* after this answer */
	bool begun_late; /* its request began after http_server_stop */
	uint8_t key[KEY_HASH_LEN];
	struct buf in, out;
	size_t out_done;
	struct http_head head;
	size_t head_len; /* of the current request, in `in` */
	size_t reserved; /* of the server's BODIES_MAX */
	size_t lingered;
	struct http_job job; /* in phase WORK the working thread's, with in, head and key */
	uint64_t asked; /* when the request was whole, microseconds */
};

TAILQ_HEAD(conn_list, conn);

struct http_server {
	struct http_options o;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *resume; /* accept again after running out of descriptors */
	SSL_CTX *tls;
	struct conn_list all, idle;
	struct http_peers *peers;
	unsigned count;
	size_t bodies;
	char address[HTTP_ADDRESS_MAX];
	bool stopping;
	void (*done)(void *arg);
	void *done_arg;
	struct event *done_event;
	struct http_work *work;
};

/* Takes fd over. NULL: no memory. */
struct conn *http_conn_new(struct http_server *s, int fd);
/* A clock that does not go back. */
uint64_t http_microseconds(void);
/* Not in phase WORK, unless the working thread has ended. */
void http_conn_free(struct conn *c);
/* Do what can be done now, and wait for the rest. May free c. */
void http_conn_run(struct conn *c);
void http_conn_deadline(struct conn *c, unsigned seconds);
/* The working thread is done with it (http_work.h). */
void http_conn_answered(struct http_job *job);

#endif
