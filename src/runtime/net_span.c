/* net_span: the program's buffers of one call, and how far they are filled or sent. */
#include <errno.h>
#include <limits.h>
#include <sys/uio.h>
#include "runtime/net.h"

#define IOV_COUNT_MAX 1024
#define RW_TOTAL_MAX 0x7ffff000L

int net_span_one(struct net_span *s, uint64_t base, size_t n)
{
	*s = (struct net_span){.base = base, .len = n > (size_t)RW_TOTAL_MAX ? (size_t)RW_TOTAL_MAX : n};
	return (ssize_t)n < 0 ? -EINVAL : 0;
}

int net_span_iov(struct net_span *s, uint64_t iov, uint64_t count)
{
	*s = (struct net_span){.iov = iov, .count = count};
	if (count > IOV_COUNT_MAX)
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		struct iovec v;

		if (user_copy(&v, (const void *)(iov + i * sizeof(v)), sizeof(v)) < 0)
			return -EFAULT;
		if ((ssize_t)v.iov_len < 0 || s->len + v.iov_len > SSIZE_MAX)
			return -EINVAL;
		s->len += v.iov_len;
	}
	if (s->len > (size_t)RW_TOTAL_MAX)
		s->len = (size_t)RW_TOTAL_MAX;
	return 0;
}

int net_span_copy(struct net_span *s, uint8_t *p, size_t n, bool to_user)
{
	struct net_span at = *s;

	while (n > 0) {
		struct iovec v = {(void *)at.base, at.len};
		size_t part;

		if (at.iov) {
			if (at.index >= at.count)
				return -EFAULT;
			if (user_copy(&v, (const void *)(at.iov + at.index * sizeof(v)), sizeof(v)) < 0)
				return -EFAULT;
			if (at.done_in >= v.iov_len) {
				at.index++;
				at.done_in = 0;
				continue;
			}
		}
		part = v.iov_len - at.done_in < n ? v.iov_len - at.done_in : n;
		if (part == 0)
			return -EFAULT;
		if (to_user ? user_copy((uint8_t *)v.iov_base + at.done_in, p, part)
			    : user_copy(p, (const uint8_t *)v.iov_base + at.done_in, part))
			return -EFAULT;
		at.done_in += part;
		at.done += part;
		p += part;
		n -= part;
	}
	*s = at;
	return 0;
}

void net_span_skip(struct net_span *s, size_t n)
{
	s->done += n;
	while (s->iov && n > 0 && s->index < s->count) {
		struct iovec v;
		size_t part;

		if (user_copy(&v, (const void *)(s->iov + s->index * sizeof(v)), sizeof(v)) < 0)
			return; /* the next copy finds it out */
		part = v.iov_len > s->done_in ? v.iov_len - s->done_in : 0;
		part = part < n ? part : n;
		s->done_in += part;
		n -= part;
		if (s->done_in >= v.iov_len) {
			s->index++;
			s->done_in = 0;
		}
	}
	if (!s->iov)
		s->done_in += n;
}
