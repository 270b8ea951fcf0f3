/* images[].trees: sealed trees that a service sees (docs/session-language.md, 14.11), an extension. */
#include <stdlib.h>
#include <string.h>
#include "policy/schema.h"

#define TREES_MAX 16 /* of an image: as many as the runtime mounts */

static const struct key_rule tree_keys[] = {
	{"path", KEY_OK, 0},
	{"host", KEY_OK, 0},
	{"manifest", KEY_OK, 0},
	{"root", KEY_OK, 0},
	{"signer", KEY_OK, 0},
	{NULL, KEY_OK, 0},
};

static char *read_path(struct parse *p, const struct ynode *n)
{
	if (!n || !want_text(p, n, false))
		return NULL;
	if (n->text[0] == '/' && n->text[1])
		return parse_strdup(p, n->text, n->len);
	ynode_diag(p->d, n, "E-VALUE", "%s: an absolute path below / is wanted", show(n).s);
	return NULL;
}

static bool is_taken(const struct image *image, const char *path)
{
	for (size_t i = 0; i < image->volume_count; i++)
		if (image->volumes[i].path && !strcmp(image->volumes[i].path, path))
			return true;
	for (size_t i = 0; i < image->tree_count; i++)
		if (image->trees[i].path && !strcmp(image->trees[i].path, path))
			return true;
	return false;
}

static void read_signer(struct parse *p, const struct ynode *n, struct image_tree *t)
{
	struct error err;

	if (!want_text(p, n, false))
		return;
	t->has_signer = !key_hash_parse(n->text, n->len, t->signer, &err);
	if (!t->has_signer)
		ynode_diag(p->d, n, "E-VALUE", "%s: %s", show(n).s, err.text);
}

static void read_tree(struct parse *p, const struct ynode *n, struct image *image)
{
	size_t count = image->tree_count;
	struct image_tree *list, *t;
	const struct ynode *path;

	if (!want_map(p, n))
		return;
	list = parse_grow(p, image->trees, &count, sizeof *list);
	if (!list)
		return;
	image->trees = list;
	t = &list[count - 1];
	keys_check(p, n, tree_keys);
	path = want_key(p, n, "path");
	t->path = read_path(p, path);
	if (t->path && is_taken(image, t->path))
		ynode_diag(p->d, path, "E-DUP", "a volume or tree is seen at %s already", show(path).s);
	t->host = read_path(p, ynode_get(n, "host"));
	t->manifest = read_path(p, ynode_get(n, "manifest"));
	if (ynode_get(n, "root"))
		t->has_root = want_hex(p, ynode_get(n, "root"), t->root, sizeof(t->root));
	if (ynode_get(n, "signer"))
		read_signer(p, ynode_get(n, "signer"), t);
	if (!ynode_get(n, "root") && !ynode_get(n, "signer"))
		ynode_diag(p->d, n, "E-MISSING",
			"neither root nor signer: nothing says which tree is the right one");
	image->tree_count = count;
}

void read_image_trees(struct parse *p, const struct ynode *n, struct image *image)
{
	if (!n || !want_list(p, n))
		return;
	if (n->count > TREES_MAX)
		ynode_diag(p->d, n, "E-LENGTH", "%zu trees; at most %d are accepted", n->count, TREES_MAX);
	for (size_t i = 0; i < n->count && i < TREES_MAX; i++)
		read_tree(p, n->items[i], image);
}

void image_tree_clear(struct image_tree *t)
{
	free(t->path);
	free(t->host);
	free(t->manifest);
}
