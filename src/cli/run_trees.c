#include "cli/run_trees.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/encode.h"

#define SYSTEM_DIRS                                                                                          \
	{                                                                                                    \
		"/proc", "/dev", "/sys"                                                                      \
	}

int run_mount_point(const char *at, struct error *err)
{
	static const char *const dirs[] = SYSTEM_DIRS;

	if (at[0] != '/' || !at[1])
		return error_set(err, ERR_INPUT, "mount point '%s': an absolute path below / is wanted", at);
	for (const char *p = at; *p; p += strcspn(p, "/")) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return error_set(
				err, ERR_INPUT, "mount point '%s': '.' and '..' are not possible", at);
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		size_t n = strlen(dirs[i]);

		if (strncmp(at, dirs[i], n) == 0 && (!at[n] || at[n] == '/'))
			return error_set(err, ERR_INPUT, "mount point '%s': %s is the kernel's", at, dirs[i]);
	}
	return 0;
}

char *run_tidy(const char *at)
{
	char *ret = strdup(at), *to = ret;

	for (const char *p = ret; p && *p; p++)
		if (*p != '/' || (p[1] && p[1] != '/'))
			*to++ = *p;
	if (ret)
		*to = '\0';
	return ret;
}

char *run_absolute(const char *path)
{
	char *cwd, *ret;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&ret, "%s/%s", cwd, path) < 0)
		ret = NULL;
	free(cwd);
	return ret;
}

static int check_counts(const struct args *a, struct error *err)
{
	const struct {
		const char *option;
		size_t count;
	} of[] = {{"--tree-root", a->tree_root.count}, {"--tree-manifest", a->tree_manifest.count}};

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (of[i].count && of[i].count != a->tree.count)
			return error_set(err, ERR_INPUT,
				"%s is given %zu times: wanted once for each of %zu --tree", of[i].option,
				of[i].count, a->tree.count);
	if (!a->value[OPT_TREE_SIGNER] && !a->tree_root.count)
		return error_set(err, ERR_INPUT,
			"--tree wants --tree-signer KEYHASH or --tree-root HEX: whom or what to trust");
	return 0;
}

/* dir is tidy. */
static char *default_manifest(const char *dir)
{
	char *ret;

	return asprintf(&ret, "%s.sealed", dir) < 0 ? NULL : ret;
}

static int parse_paths(const char *arg, const char *manifest, struct wanted_tree *ret, struct error *err)
{
	const char *colon = strrchr(arg, ':');
	char *host, *dir;

	if (colon && colon[1] != '/')
		colon = NULL; /* of the directory's name */
	host = colon ? strndup(arg, (size_t)(colon - arg)) : strdup(arg);
	dir = host ? run_absolute(host) : NULL;
	ret->dir = dir ? run_tidy(dir) : NULL;
	if (ret->dir)
		ret->at = run_tidy(colon ? colon + 1 : ret->dir);
	if (ret->at)
		ret->manifest = manifest ? run_absolute(manifest) : default_manifest(ret->dir);
	free(host);
	free(dir);
	if (!ret->manifest)
		return error_set(err, ERR_NOMEM, "no memory");
	return run_mount_point(ret->at, err) ? error_wrap(err, "--tree %s", arg) : 0;
}

int run_tree_parse(const struct args *a, size_t n, struct wanted_tree *ret, struct error *err)
{
	const char *root = a->tree_root.count ? a->tree_root.value[n] : NULL,
		   *signer = a->value[OPT_TREE_SIGNER];

	if (check_counts(a, err))
		return -1;
	/* Their form was checked with the arguments. */
	ret->has_root = root && !hex_decode(root, strlen(root), ret->root, sizeof(ret->root));
	ret->has_signer = signer && !key_hash_parse(signer, strlen(signer), ret->signer, NULL);
	return parse_paths(
		a->tree.value[n], a->tree_manifest.count ? a->tree_manifest.value[n] : NULL, ret, err);
}

void run_tree_free(struct wanted_tree *t)
{
	free(t->dir);
	free(t->manifest);
	free(t->at);
}
