#include "core/secret.h"

#include <stdlib.h>
#include <string.h>

void secret_wipe(void *p, size_t n)
{
	if (n > 0)
		explicit_bzero(p, n);
}

bool secret_equal(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	unsigned int diff = 0;

	for (size_t i = 0; i < n; i++) {
		diff |= (unsigned int)(x[i] ^ y[i]);
		/* diff is opaque after each step, so the compiler cannot leave the loop early */
		__asm__ volatile("" : "+r"(diff));
	}
	return diff == 0;
}

int secret_set(struct secret *s, const void *p, size_t n, struct error *err)
{
	uint8_t *copy = NULL;

	if (n > 0) {
		copy = malloc(n);
		if (!copy)
			return error_set(err, ERR_NOMEM, "no memory for a secret of %zu bytes", n);
		memcpy(copy, p, n);
	}
	secret_free(s);
	s->data = copy;
	s->len = n;
	return 0;
}

void secret_free(struct secret *s)
{
	if (s->data)
		secret_wipe(s->data, s->len);
	free(s->data);
	s->data = NULL;
	s->len = 0;
}
