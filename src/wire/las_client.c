#include "wire/las_client.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include "core/buf.h"
#include "wire/attest.h"
#include "wire/sock.h"

#define FRAME_HEAD 4
#define LAS_BUSY_PAUSE_MS 2

static int connect_las(const char *addr, int64_t deadline, struct error *err)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(addr) >= sizeof(a.sun_path))
		return error_set(err, ERR_INPUT, "LAS socket '%s' has a path of %zu bytes, at most %zu", addr,
			strlen(addr), sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, addr, strlen(addr) + 1);
	for (;;) {
		fd = sock_connect(AF_UNIX, (struct sockaddr *)&a, sizeof(a), deadline);
		if (fd != -EAGAIN)
			break;
		/* the queue of a Unix socket cannot be polled; a negative descriptor makes poll a pause */
		if (sock_deadline(0) >= deadline) {
			fd = -ETIMEDOUT;
			break;
		}
		poll(NULL, 0, LAS_BUSY_PAUSE_MS);
	}
	if (fd < 0)
		return error_set_errno(err, -fd, "LAS %s not reached", addr);
	return fd;
}

static int send_all(int fd, const uint8_t *p, size_t n, int64_t deadline)
{
	while (n > 0) {
		ssize_t done = sock_send(fd, p, n);

		if (done == -EAGAIN) {
			int rc = sock_wait(fd, POLLOUT, deadline);

			if (rc < 0)
				return rc;
			continue;
		}
		if (done < 0)
			return (int)done;
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* -ENODATA: the stream ended. *ret_got counts what came in any case. */
static int recv_all(int fd, uint8_t *p, size_t n, int64_t deadline, size_t *ret_got)
{
	*ret_got = 0;
	while (*ret_got < n) {
		ssize_t done = sock_recv(fd, p + *ret_got, n - *ret_got);

		if (done == -EAGAIN) {
			int rc = sock_wait(fd, POLLIN, deadline);

			if (rc < 0)
				return rc;
			continue;
		}
		if (done < 0)
			return (int)done;
		if (done == 0)
			return -ENODATA;
		*ret_got += (size_t)done;
	}
	return 0;
}

static int receive_error(const char *addr, int rc, size_t got, size_t wanted, struct error *err)
{
	if (rc == -ENODATA)
		return error_set(err, ERR_PEER,
			"LAS %s closed the connection after %zu of %zu bytes of its answer", addr, got,
			wanted);
	return error_set_errno(err, -rc, "no answer from LAS %s (%zu of %zu bytes)", addr, got, wanted);
}

static int read_frame(int fd, const char *addr, int64_t deadline, struct buf *frame, struct error *err)
{
	uint8_t head[FRAME_HEAD], *to;
	struct rd r;
	size_t n, got;
	int rc = recv_all(fd, head, sizeof(head), deadline, &got);

	if (rc < 0)
		return receive_error(addr, rc, got, sizeof(head), err);
	rd_init(&r, head, sizeof(head));
	n = rd_u32be(&r);
	if (n == 0 || n > LAS_FRAME_MAX)
		return error_set(err, ERR_PEER, "LAS %s announces a frame of %zu bytes, wanted 1 to %d", addr,
			n, LAS_FRAME_MAX);
	to = buf_reserve(frame, n);
	if (!to)
		return error_set(err, ERR_NOMEM, "no memory for a frame of %zu bytes", n);
	rc = recv_all(fd, to, n, deadline, &got);
	if (rc < 0)
		return receive_error(addr, rc, got, n, err);
	frame->len += n;
	return 0;
}

static int receive_challenge(
	int fd, const char *addr, int64_t deadline, uint8_t ret[LAS_CHALLENGE_LEN], struct error *err)
{
	struct buf frame;
	int rc;

	buf_init(&frame, LAS_FRAME_MAX);
	rc = read_frame(fd, addr, deadline, &frame, err);
	if (rc == 0 && las_challenge_decode(frame.data, frame.len, ret, err) < 0)
		rc = error_wrap(err, "LAS %s", addr);
	buf_free(&frame);
	return rc;
}

static int send_request(int fd, const char *addr, int64_t deadline, const struct buf *body, struct error *err)
{
	struct buf frame;
	int rc;

	buf_init(&frame, LAS_FRAME_MAX + FRAME_HEAD);
	buf_put_block(&frame, body->data, body->len);
	if (frame.failed) {
		buf_free(&frame);
		return error_set(err, ERR_NOMEM, "no memory for a request of %zu bytes", body->len);
	}
	rc = send_all(fd, frame.data, frame.len, deadline);
	buf_free(&frame);
	/* LAS may have refused before it read everything: its answer says why */
	if (rc < 0 && rc != -EPIPE && rc != -ECONNRESET)
		return error_set_errno(err, -rc, "request to LAS %s not sent", addr);
	return 0;
}

int las_client_evidence(const char *addr, const uint8_t report_data[64], const struct manifest *m,
	const struct platform_wish *wish, int timeout_ms, struct buf *ret_evidence, struct error *err)
{
	int64_t deadline = sock_deadline(timeout_ms);
	uint8_t challenge[LAS_CHALLENGE_LEN];
	struct buf body, frame;
	int rc = -1, fd = connect_las(addr, deadline, err);

	if (fd < 0)
		return -1;
	buf_init(&body, LAS_FRAME_MAX);
	buf_init(&frame, LAS_FRAME_MAX);
	if (receive_challenge(fd, addr, deadline, challenge, err) == 0 &&
		las_request_encode(challenge, report_data, m, wish, &body, err) == 0 &&
		send_request(fd, addr, deadline, &body, err) == 0 &&
		read_frame(fd, addr, deadline, &frame, err) == 0) {
		rc = las_answer_decode(frame.data, frame.len, ret_evidence, err);
		if (rc < 0)
			error_wrap(err, "LAS %s", addr);
	}
	close(fd);
	buf_free(&body);
	buf_free(&frame);
	return rc;
}
