/* sealed_tree: reading and verifying a sealed tree's manifest; see sealed_tree.h. */
#include "shield/fs/sealed_tree.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include "core/encode.h"
#include "core/secret.h"
#include "shield/fs/sealed_tree_format.h"

struct sealed_tree {
	struct sealed_entry *entries;
	uint32_t count;
	uint8_t root[SHA256_LEN], signer[KEY_HASH_LEN];
};

/* --- digests --- */

void sealed_leaf_digest(const void *p, size_t n, uint8_t ret[SHA256_LEN])
{
	static const uint8_t zero = 0;
	struct sha256_ctx *c = sha256_new();

	if (!c)
		abort();
	sha256_update(c, &zero, 1);
	sha256_update(c, p, n);
	sha256_final(c, ret);
}

static void node_digest(const uint8_t *left, const uint8_t *right, uint8_t ret[SHA256_LEN])
{
	uint8_t b[1 + 2 * SHA256_LEN] = {1};

	memcpy(b + 1, left, SHA256_LEN);
	memcpy(b + 1 + SHA256_LEN, right, SHA256_LEN);
	sha256(b, sizeof(b), ret);
}

/* RFC 6962 section 2.1 over digests of leaves. From left to right, finished subtrees are kept like the digits of the number of leaves. */
void sealed_leaves_root(const uint8_t *leaves, uint64_t n, uint8_t ret[SHA256_LEN])
{
	uint8_t done[64][SHA256_LEN];
	unsigned depth = 0;

	if (n == 0) {
		sha256("", 0, ret);
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		memcpy(done[depth++], leaves + i * SHA256_LEN, SHA256_LEN);
		for (uint64_t k = i + 1; (k & 1) == 0; k >>= 1, depth--)
			node_digest(done[depth - 2], done[depth - 1], done[depth - 2]);
	}
	for (; depth > 1; depth--)
		node_digest(done[depth - 2], done[depth - 1], done[depth - 2]);
	memcpy(ret, done[0], SHA256_LEN);
}

static void put(struct sha256_ctx *c, uint64_t v, unsigned bytes)
{
	uint8_t b[8];

	for (unsigned i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
	sha256_update(c, b, bytes);
}

/* digests: those of all entries; the children's are there already. */
static int entry_digest(const struct sealed_entry *entries, uint32_t id, uint8_t (*digests)[SHA256_LEN])
{
	const struct sealed_entry *e = &entries[id];
	struct sha256_ctx *c = sha256_new();
	uint8_t root[SHA256_LEN];

	if (!c)
		return -1;
	put(c, e->type, 1);
	put(c, e->mode, 4);
	put(c, e->uid, 4);
	put(c, e->gid, 4);
	put(c, (uint64_t)e->mtime, 8);
	switch (e->type) {
	case SEALED_DIRECTORY:
		put(c, e->count, 4);
		for (uint32_t i = e->first; i < e->first + e->count; i++) {
			put(c, entries[i].name_len, 2);
			sha256_update(c, entries[i].name, entries[i].name_len);
			sha256_update(c, digests[i], SHA256_LEN);
		}
		break;
	case SEALED_FILE:
		put(c, e->size, 8);
		sealed_leaves_root(e->leaves, sealed_leaf_count(e->size), root);
		sha256_update(c, root, sizeof(root));
		break;
	case SEALED_SYMLINK:
		put(c, e->size, 2);
		sha256_update(c, e->target, (size_t)e->size);
		break;
	}
	sha256_final(c, digests[id]);
	return 0;
}

int sealed_entries_root(
	const struct sealed_entry *entries, uint32_t count, uint8_t ret[SHA256_LEN], struct error *err)
{
	uint8_t(*digests)[SHA256_LEN] = malloc((size_t)count * SHA256_LEN);
	int rc = 0;

	if (!digests)
		return error_set(err, ERR_NOMEM, "no memory for the digests of %u entries", count);
	/* Children have larger ids than their directory. */
	for (uint32_t i = count; i-- > 0 && rc == 0;)
		rc = entry_digest(entries, i, digests);
	if (rc == 0)
		memcpy(ret, digests[SEALED_ROOT], SHA256_LEN);
	free(digests);
	return rc ? error_set(err, ERR_NOMEM, "no memory for a digest") : 0;
}

void sealed_signed_text(const uint8_t root[SHA256_LEN], struct buf *out)
{
	buf_put(out, SEALED_SIGNED, sizeof(SEALED_SIGNED));
	buf_put_u32be(out, SEALED_LEAF);
	buf_put(out, root, SHA256_LEN);
}

int sealed_name_cmp(const struct sealed_entry *a, const char *name, size_t n)
{
	int c = memcmp(a->name, name, a->name_len < n ? a->name_len : n);

	return c ? c : a->name_len < n ? -1 : a->name_len > n;
}

bool sealed_name_ok(const char *name, size_t n)
{
	return n > 0 && n <= SEALED_NAME_MAX && !memchr(name, '/', n) && !memchr(name, '\0', n) &&
	       !(name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')));
}

/* --- parsing --- */

static int malformed(struct error *err, uint32_t id, const char *what, uint64_t seen, const char *wanted)
{
	return error_set(err, ERR_INPUT, "manifest of a sealed tree, entry %u: %s is %" PRIu64 ", wanted %s",
		id, what, seen, wanted);
}

static int parse_content(struct rd *r, struct sealed_entry *e, uint32_t id, struct error *err)
{
	uint64_t leaves;

	switch (e->type) {
	case SEALED_DIRECTORY:
		e->count = rd_u32be(r);
		return 0;
	case SEALED_FILE:
		e->size = rd_u64be(r);
		leaves = sealed_leaf_count(e->size);
		if (leaves > r->left / SHA256_LEN)
			return malformed(
				err, id, "the size of a file", e->size, "as many digests as it has leaves");
		e->leaves = rd_bytes(r, (size_t)leaves * SHA256_LEN);
		return 0;
	case SEALED_SYMLINK:
		e->size = rd_u16be(r);
		e->target = (const char *)rd_bytes(r, (size_t)e->size);
		if (e->size == 0 || e->size > SEALED_TARGET_MAX || !e->target ||
			memchr(e->target, '\0', (size_t)e->size))
			return malformed(err, id, "the length of a link's target", e->size,
				"1 to 4095 bytes without NUL");
		return 0;
	}
	return malformed(err, id, "the type", e->type, "1, 2 or 3");
}

static int parse_entry(struct rd *r, struct sealed_entry *e, uint32_t id, struct error *err)
{
	e->type = rd_u8(r);
	e->mode = rd_u32be(r);
	e->uid = rd_u32be(r);
	e->gid = rd_u32be(r);
	e->mtime = (int64_t)rd_u64be(r);
	e->name_len = rd_u16be(r);
	e->name = (const char *)rd_bytes(r, e->name_len);
	if (r->failed)
		return malformed(err, id, "the number of bytes left", 0, "a whole entry");
	if (e->mode > 07777)
		return malformed(err, id, "the mode", e->mode, "at most 4095");
	if (id == SEALED_ROOT ? e->type != SEALED_DIRECTORY || e->name_len != 0
			      : !sealed_name_ok(e->name, e->name_len))
		return malformed(err, id, "the length of the name", e->name_len,
			id == SEALED_ROOT ? "0, and a directory"
					  : "1 to 255 bytes without '/' and NUL, not \".\" or \"..\"");
	if (parse_content(r, e, id, err))
		return -1;
	return r->failed ? malformed(err, id, "the number of bytes left", 0, "a whole entry") : 0;
}

/* Who is whose child: the children of each directory follow those of the one before. */
static int place(struct sealed_entry *entries, uint32_t count, uint32_t id, uint32_t *next, struct error *err)
{
	struct sealed_entry *e = &entries[id];

	if (id >= *next)
		return malformed(err, id, "the number of children so far", *next,
			"more: the entry is in no directory");
	if (e->type != SEALED_DIRECTORY)
		return 0;
	if (e->count > count - *next)
		return malformed(
			err, id, "the number of children", e->count, "at most the entries that are left");
	e->first = *next;
	*next += e->count;
	for (uint32_t i = e->first; i < *next; i++)
		entries[i].parent = id;
	return 0;
}

static int check_order(const struct sealed_entry *entries, uint32_t count, struct error *err)
{
	for (uint32_t i = 2; i < count; i++)
		if (entries[i].parent == entries[i - 1].parent &&
			sealed_name_cmp(&entries[i - 1], entries[i].name, entries[i].name_len) >= 0)
			return malformed(err, i, "the place of the name among its siblings", i,
				"sorted, each name once");
	return 0;
}

static int parse_entries(struct sealed_tree *t, struct rd *r, struct error *err)
{
	uint32_t next = 1;

	for (uint32_t i = 0; i < t->count; i++)
		if (parse_entry(r, &t->entries[i], i, err) || place(t->entries, t->count, i, &next, err))
			return -1;
	if (next != t->count)
		return malformed(err, t->count, "the number of children of all directories", next - 1,
			"the number of entries");
	if (!rd_done(r))
		return malformed(err, t->count, "the number of bytes behind the last entry", r->left, "0");
	return check_order(t->entries, t->count, err);
}

struct head {
	uint64_t count, bytes;
	const uint8_t *root, *key, *signature;
	size_t key_len, signature_len;
};

static int parse_head(struct rd *r, struct head *h, struct error *err)
{
	const uint8_t *magic = rd_bytes(r, sizeof(SEALED_MAGIC) - 1);
	uint32_t leaf;

	if (!magic || memcmp(magic, SEALED_MAGIC, sizeof(SEALED_MAGIC) - 1) != 0)
		return error_set(
			err, ERR_INPUT, "no manifest of a sealed tree: it does not begin with " SEALED_MAGIC);
	leaf = rd_u32be(r);
	h->count = rd_u64be(r);
	h->bytes = rd_u64be(r);
	h->root = rd_bytes(r, SHA256_LEN);
	h->key = rd_block(r, SEALED_KEY_MAX, &h->key_len);
	h->signature = rd_block(r, SEALED_SIGNATURE_MAX, &h->signature_len);
	if (r->failed)
		return error_set(err, ERR_INPUT, "manifest of a sealed tree: its head is cut off");
	if (leaf != SEALED_LEAF)
		return error_set(err, ERR_INPUT, "manifest of a sealed tree: leaf size %u, wanted %u", leaf,
			SEALED_LEAF);
	if (h->count == 0 || h->count > SEALED_ENTRIES_MAX || h->count > h->bytes / SEALED_ENTRY_MIN)
		return error_set(err, ERR_INPUT,
			"manifest of a sealed tree: %" PRIu64 " entries in %" PRIu64
			" bytes, wanted 1 to %u in as many bytes as they take",
			h->count, h->bytes, SEALED_ENTRIES_MAX);
	if (h->bytes != r->left)
		return error_set(err, ERR_INPUT,
			"manifest of a sealed tree: %zu bytes of entries, wanted %" PRIu64, r->left,
			h->bytes);
	return 0;
}

/* --- trust --- */

static int wanted_is(const char *what, const uint8_t *seen, const uint8_t *wanted, struct error *err)
{
	char a[2 * SHA256_LEN + 1], b[2 * SHA256_LEN + 1];

	if (!wanted || secret_equal(seen, wanted, SHA256_LEN))
		return 0;
	hex_encode(seen, SHA256_LEN, a);
	hex_encode(wanted, SHA256_LEN, b);
	return error_set(err, ERR_ACCESS, "sealed tree: %s is %s, wanted %s", what, a, b);
}

static int check_signature(struct sealed_tree *t, const struct head *h, struct error *err)
{
	const unsigned char *der = h->key;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)h->key_len);
	struct buf text;
	int rc;

	buf_init(&text, 256 + SEALED_KEY_MAX);
	/* One encoding only: what the signature covers has one form, and so has all around it. */
	if (!key || key_spki_der(key, &text, NULL) || text.len != h->key_len ||
		memcmp(text.data, h->key, text.len) != 0) {
		buf_free(&text);
		EVP_PKEY_free(key);
		return error_set(err, ERR_INPUT,
			"manifest of a sealed tree: its %zu bytes of key are no public key in DER",
			h->key_len);
	}
	buf_reset(&text);
	sealed_signed_text(t->root, &text);
	rc = text.failed ? error_set(err, ERR_NOMEM, "no memory") : key_hash(key, t->signer, err);
	if (!rc && key_verify(key, text.data, text.len, h->signature, h->signature_len, err))
		rc = error_wrap(err, "signature of a sealed tree");
	buf_free(&text);
	EVP_PKEY_free(key);
	return rc;
}

static int check_trust(
	struct sealed_tree *t, const struct head *h, const struct sealed_trust *trust, struct error *err)
{
	char a[2 * SHA256_LEN + 1], b[2 * SHA256_LEN + 1];

	if (!secret_equal(t->root, h->root, SHA256_LEN)) {
		hex_encode(t->root, SHA256_LEN, a);
		hex_encode(h->root, SHA256_LEN, b);
		return error_set(err, ERR_CRYPTO,
			"manifest of a sealed tree: root of its entries is %s, its head says %s", a, b);
	}
	if (check_signature(t, h, err) || wanted_is("root", t->root, trust->root, err))
		return -1;
	return wanted_is("SHA-256 of the signer's key", t->signer, trust->signer, err);
}

int sealed_tree_open(const void *manifest, size_t n, const struct sealed_trust *trust,
	struct sealed_tree **ret, struct error *err)
{
	struct sealed_tree *t;
	struct head h;
	struct rd r;
	int rc;

	if (!trust->root && !trust->signer)
		return error_set(err, ERR_INTERNAL, "sealed tree: neither a root nor a signer is wanted");
	rd_init(&r, manifest, n);
	if (parse_head(&r, &h, err))
		return -1;
	t = calloc(1, sizeof(*t));
	if (t)
		t->entries = calloc((size_t)h.count, sizeof(*t->entries));
	if (!t || !t->entries) {
		free(t);
		return error_set(
			err, ERR_NOMEM, "no memory for %" PRIu64 " entries of a sealed tree", h.count);
	}
	t->count = (uint32_t)h.count;
	rc = parse_entries(t, &r, err);
	if (!rc)
		rc = sealed_entries_root(t->entries, t->count, t->root, err);
	if (!rc)
		rc = check_trust(t, &h, trust, err);
	if (rc) {
		sealed_tree_free(t);
		return -1;
	}
	*ret = t;
	return 0;
}

void sealed_tree_free(struct sealed_tree *t)
{
	if (t)
		free(t->entries);
	free(t);
}

/* --- copies --- */

size_t sealed_tree_copy_size(const struct sealed_tree *t, size_t n)
{
	return sizeof(*t) + (size_t)t->count * sizeof(*t->entries) + n;
}

const struct sealed_tree *sealed_tree_copy(
	const struct sealed_tree *t, const void *manifest, size_t n, void *mem)
{
	struct sealed_tree *copy = mem;
	uint8_t *bytes;

	*copy = *t;
	copy->entries = (struct sealed_entry *)(copy + 1);
	bytes = (uint8_t *)(copy->entries + t->count);
	memcpy(bytes, manifest, n);
	for (uint32_t i = 0; i < t->count; i++) {
		struct sealed_entry *e = &copy->entries[i];

		*e = t->entries[i];
		e->name = (const char *)bytes + (e->name - (const char *)manifest);
		if (e->type == SEALED_SYMLINK)
			e->target = (const char *)bytes + (e->target - (const char *)manifest);
		if (e->type == SEALED_FILE)
			e->leaves = bytes + (e->leaves - (const uint8_t *)manifest);
	}
	return copy;
}

/* --- use --- */

void sealed_tree_root(const struct sealed_tree *t, uint8_t ret[SHA256_LEN])
{
	memcpy(ret, t->root, SHA256_LEN);
}

void sealed_tree_signer(const struct sealed_tree *t, uint8_t ret[KEY_HASH_LEN])
{
	memcpy(ret, t->signer, KEY_HASH_LEN);
}

uint32_t sealed_tree_count(const struct sealed_tree *t)
{
	return t->count;
}

const struct sealed_entry *sealed_tree_entry(const struct sealed_tree *t, uint32_t id)
{
	return id < t->count ? &t->entries[id] : NULL;
}

int sealed_tree_child(const struct sealed_tree *t, uint32_t dir, const char *name, size_t n, uint32_t *ret)
{
	const struct sealed_entry *d = sealed_tree_entry(t, dir);
	uint32_t low, high;

	if (!d || d->type != SEALED_DIRECTORY)
		return -ENOTDIR;
	for (low = d->first, high = d->first + d->count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		int c = sealed_name_cmp(&t->entries[middle], name, n);

		if (c == 0) {
			*ret = middle;
			return 0;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -ENOENT;
}

int sealed_tree_find(const struct sealed_tree *t, const char *path, size_t n, uint32_t *ret)
{
	uint32_t at = SEALED_ROOT;

	while (n > 0) {
		const char *slash = memchr(path, '/', n);
		size_t k = slash ? (size_t)(slash - path) : n;
		int rc = sealed_tree_child(t, at, path, k, &at);

		if (rc)
			return rc;
		k += slash ? 1 : 0;
		path += k;
		n -= k;
	}
	*ret = at;
	return 0;
}

static const struct sealed_entry *regular(const struct sealed_tree *t, uint32_t id)
{
	const struct sealed_entry *e = sealed_tree_entry(t, id);

	return e && e->type == SEALED_FILE ? e : NULL;
}

int sealed_tree_verify(
	const struct sealed_tree *t, uint32_t id, uint64_t off, const void *p, size_t n, uint64_t *ret_leaf)
{
	const struct sealed_entry *e = regular(t, id);
	uint8_t digest[SHA256_LEN];

	if (!e || off % SEALED_LEAF || off > e->size || n > e->size - off ||
		(n % SEALED_LEAF && off + n != e->size))
		return -EINVAL;
	for (size_t done = 0; done < n; done += SEALED_LEAF) {
		uint64_t leaf = (off + done) / SEALED_LEAF;

		sealed_leaf_digest(
			(const uint8_t *)p + done, n - done < SEALED_LEAF ? n - done : SEALED_LEAF, digest);
		if (!secret_equal(digest, e->leaves + leaf * SHA256_LEN, SHA256_LEN)) {
			*ret_leaf = leaf;
			return -EBADMSG;
		}
	}
	return 0;
}

long sealed_tree_read(const struct sealed_tree *t, uint32_t id, uint64_t off, void *p, size_t n,
	uint8_t leaf[SEALED_LEAF], sealed_read_fn *read, void *ctx)
{
	const struct sealed_entry *e = regular(t, id);
	size_t done = 0;

	if (!e)
		return -EINVAL;
	if (off >= e->size)
		return 0;
	if (n > e->size - off)
		n = (size_t)(e->size - off);
	while (done < n) {
		uint64_t start = (off + done) / SEALED_LEAF * SEALED_LEAF, bad;
		size_t want = e->size - start < SEALED_LEAF ? (size_t)(e->size - start) : SEALED_LEAF;
		size_t from = (size_t)(off + done - start),
		       take = want - from < n - done ? want - from : n - done;
		long got = read(ctx, start, leaf, want);

		if (got < 0)
			return got;
		if ((size_t)got != want || sealed_tree_verify(t, id, start, leaf, want, &bad))
			return -EBADMSG;
		memcpy((uint8_t *)p + done, leaf + from, take);
		done += take;
	}
	return (long)done;
}
