#include "tee/key_heap.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "crypto/init.h"
#include "host/secret_arena.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define HEAP_SIZE (1024 * 1024) /* five hundred handshakes at once take a tenth of it */
#define HEAP_LEAST 32 /* bytes of a block; a private key of Curve25519 */

/* OpenSSL has the heap between two guard pages, so it is a mapping of its own: where? NULL: not found as expected. */
static void *find_heap(const void *inside)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to, at = (unsigned long)inside;
	void *ret = NULL;
	char line[512];

	while (maps && !ret && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx rw", &from, &to) == 2 && at >= from && at < to &&
			to - from == HEAP_SIZE)
			ret = (void *)from;
	if (maps)
		fclose(maps);
	return ret;
}

/* The same bytes at the same addresses, in memory of the other kind. */
static int exchange(void *heap)
{
	void *secret = secret_arena_map(HEAP_SIZE);

	if (!secret)
		return -1;
	memcpy(secret, heap, HEAP_SIZE);
	if (mremap(secret, HEAP_SIZE, HEAP_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, heap) == heap)
		return 0;
	munmap(secret, HEAP_SIZE);
	return -1;
}

int key_heap_start(struct error *err)
{
	void *probe, *heap;

	crypto_wipe_freed();
	if (CRYPTO_secure_malloc_init(HEAP_SIZE, HEAP_LEAST) == 0)
		return error_set(err, ERR_NOMEM, "no heap of %d bytes for private keys", HEAP_SIZE);
	probe = OPENSSL_secure_malloc(HEAP_LEAST);
	heap = probe ? find_heap(probe) : NULL;
	OPENSSL_secure_free(probe);
#ifdef __SANITIZE_ADDRESS__
	if (heap)
		__lsan_register_root_region(heap, HEAP_SIZE); /* what only it points to is no leak */
#endif
	return heap && !exchange(heap) ? 0 : 1;
}
