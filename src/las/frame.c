#include "las/frame.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "wire/attest.h"

int64_t frame_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int wait_for(int conn, short events, int64_t deadline, struct error *err)
{
	for (;;) {
		int64_t left = deadline - frame_now();
		struct pollfd p = {.fd = conn, .events = events};
		int n = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (n > 0)
			return 0;
		if (n == 0)
			return error_set(err, ERR_PEER, "the peer took too long");
		if (errno != EINTR)
			return error_set_errno(err, errno, "cannot wait for the peer");
	}
}

/* One recvmsg with the sender's credentials, as the kernel attached them when the bytes were sent. Descriptors that a
 * peer sends along do not fit the control buffer and are closed by the kernel. */
static ssize_t receive(int conn, void *p, size_t n, pid_t *ret_sender)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {p, n};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	ssize_t got = recvmsg(conn, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*ret_sender = 0;
	if (got <= 0)
		return got;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred cred;
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			*ret_sender = cred.pid;
		}
	}
	return got;
}

static int read_exact(int conn, pid_t sender, int64_t deadline, uint8_t *p, size_t n, struct error *err)
{
	while (n) {
		pid_t from;
		if (wait_for(conn, POLLIN, deadline, err) < 0)
			return -1;
		ssize_t got = receive(conn, p, n, &from);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "cannot read from the peer");
		if (got == 0)
			return error_set(err, ERR_PEER,
				"the peer closed the connection %zu bytes before the end of its frame", n);
		if (from != sender)
			return error_set(err, ERR_PEER,
				"request was sent by process %d, wanted process %d, which connected", from,
				sender);
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

int frame_read(int conn, pid_t sender, int64_t deadline, struct buf *out, struct error *err)
{
	uint8_t head[4], chunk[4096];
	if (read_exact(conn, sender, deadline, head, sizeof(head), err) < 0)
		return -1;
	uint32_t n = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
	if (n == 0 || n > LAS_FRAME_MAX)
		return error_set(err, ERR_LIMIT, "frame of %u bytes, wanted 1 to %d", n, LAS_FRAME_MAX);
	while (n) {
		size_t part = n < sizeof(chunk) ? n : sizeof(chunk);
		if (read_exact(conn, sender, deadline, chunk, part, err) < 0)
			return -1;
		buf_put(out, chunk, part);
		n -= (uint32_t)part;
	}
	return out->failed ? error_set(err, ERR_NOMEM, "no memory for the request") : 0;
}

static int write_exact(int conn, int64_t deadline, const uint8_t *p, size_t n, struct error *err)
{
	while (n) {
		ssize_t done = send(conn, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done < 0 && errno == EAGAIN) {
			if (wait_for(conn, POLLOUT, deadline, err) < 0)
				return -1;
			continue;
		}
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_set(err, ERR_PEER, "cannot answer the peer: %s", strerror(errno));
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

int frame_write(int conn, int64_t deadline, const struct buf *payload, struct error *err)
{
	uint32_t n = (uint32_t)payload->len;
	uint8_t head[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	if (payload->len > LAS_FRAME_MAX)
		return error_set(err, ERR_LIMIT, "answer of %zu bytes, wanted at most %d", payload->len,
			LAS_FRAME_MAX);
	return write_exact(conn, deadline, head, sizeof(head), err) < 0
		       ? -1
		       : write_exact(conn, deadline, payload->data, payload->len, err);
}

int frame_pending(int conn, size_t *ret, struct error *err)
{
	int n = 0;
	if (ioctl(conn, SIOCINQ, &n) < 0)
		return error_set_errno(err, errno, "cannot ask how much the peer has sent");
	*ret = (size_t)n;
	return 0;
}

void frame_finish(int conn, int64_t deadline)
{
	char forget[4096];
	shutdown(conn, SHUT_WR);
	while (wait_for(conn, POLLIN, deadline, NULL) == 0) {
		ssize_t n = recv(conn, forget, sizeof(forget), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			break;
	}
}
