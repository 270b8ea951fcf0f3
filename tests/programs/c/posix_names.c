/* link, unlink, symlink, readlink, mkdir, rmdir, mkfifo and directory reading: XSH, assertion by assertion. */
#include "posix.h"

static void links(void)
{
	struct stat a, b;
	struct stat before, dir;

	posix_file("a", "text");
	mkdir("dir", 0755);
	before = posix_lstat("a");
	dir = posix_lstat("dir");
	posix_tick();
	OK("link: a second name", link("a", "dir/b"));
	a = posix_lstat("a");
	b = posix_lstat("dir/b");
	IS("link: both names are one file", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	IS("link: the count is 2", a.st_nlink == 2);
	IS("link: updates the file's ctime", posix_later(a.st_ctim, before.st_ctim));
	IS("link: leaves the file's mtime", posix_same(a.st_mtim, before.st_mtim));
	IS("link: updates mtime and ctime of the directory",
		posix_later(posix_lstat("dir").st_mtim, dir.st_mtim) &&
			posix_later(posix_lstat("dir").st_ctim, dir.st_ctim));
	posix_file("dir/b", "changed");
	IS("link: what is written through one name is read through the other", posix_holds("a", "changed"));
	chmod("a", 0600);
	IS("link: attributes are shared", posix_mode("dir/b") == 0600);
	ERR("link: EEXIST where the new name exists", link("a", "dir/b"), EEXIST);
	ERR("link: EEXIST where both are the same name", link("a", "a"), EEXIST);
	ERR("link: EEXIST where the new name is a directory", link("a", "dir"), EEXIST);
	ERR("link: ENOENT where the old name does not exist", link("none", "c"), ENOENT);
	ERR("link: ENOENT where the new directory does not exist", link("a", "none/c"), ENOENT);
	ERR("link: ENOENT for an empty old path", link("", "c"), ENOENT);
	ERR("link: ENOENT for an empty new path", link("a", ""), ENOENT);
	ERR("link: ENOTDIR where a component of the old path is a file", link("a/x", "c"), ENOTDIR);
	ERR("link: ENOTDIR where a component of the new path is a file", link("a", "a/c"), ENOTDIR);
	ERR("link: EPERM for a directory (Linux)", link("dir", "c"), EPERM);
	ERR("link: ENAMETOOLONG", link("a", posix_name(NAME_MAX + 1)), ENAMETOOLONG);
	symlink("a", "to-a");
	symlink("absent", "to-absent");
	OK("link: does not follow a symlink (Linux)", link("to-a", "l1"));
	IS("link: the new name is the symlink itself (Linux)", S_ISLNK(posix_lstat("l1").st_mode));
	OK("linkat: AT_SYMLINK_FOLLOW follows", linkat(AT_FDCWD, "to-a", AT_FDCWD, "l2", AT_SYMLINK_FOLLOW));
	IS("linkat: the new name is the file",
		posix_lstat("l2").st_ino == a.st_ino && posix_lstat("a").st_nlink == 3);
	ERR("link: EEXIST where the new name is a dangling symlink", link("a", "to-absent"), EEXIST);
	ERR("linkat: EINVAL for an unknown flag", linkat(AT_FDCWD, "a", AT_FDCWD, "c", 0x40000), EINVAL);
	OK("unlink: one name of several", unlink("dir/b"));
	IS("unlink: the count goes down", posix_lstat("a").st_nlink == 2);
}

static void unlinks(void)
{
	struct stat before, after, st;
	int fd;

	posix_file("u", "text");
	link("u", "u2");
	before = posix_lstat("u2");
	posix_tick();
	OK("unlink: a file", unlink("u"));
	IS("unlink: the name is gone", !posix_exists("u"));
	after = posix_lstat("u2");
	IS("unlink: updates the ctime of a file that has other names",
		posix_later(after.st_ctim, before.st_ctim));
	IS("unlink: leaves its content", posix_holds("u2", "text"));
	ERR("unlink: ENOENT for what is gone", unlink("u"), ENOENT);
	ERR("unlink: ENOENT for an empty path", unlink(""), ENOENT);
	ERR("unlink: EISDIR for a directory (Linux)", unlink("dir"), EISDIR);
	ERR("unlink: ENOTDIR where a component is a file", unlink("a/x"), ENOTDIR);
	ERR("unlink: ENOTDIR for a file with a slash behind it", unlink("a/"), ENOTDIR);
	ERR("unlink: ENAMETOOLONG", unlink(posix_name(NAME_MAX + 1)), ENAMETOOLONG);
	symlink("a", "s");
	OK("unlink: removes a symlink, not its target", unlink("s"));
	IS("unlink: the target is there", posix_exists("a") && !posix_exists("s"));
	posix_file("open", "content");
	fd = open("open", O_RDWR);
	before = posix_lstat(".");
	posix_tick();
	OK("unlink: a file that is open", unlink("open"));
	IS("unlink: updates mtime and ctime of the directory",
		posix_later(posix_lstat(".").st_mtim, before.st_mtim) &&
			posix_later(posix_lstat(".").st_ctim, before.st_ctim));
	IS("unlink: an open file without names has count 0", fstat(fd, &st) == 0 && st.st_nlink == 0);
	IS("unlink: and can be read and written on", write(fd, "CON", 3) == 3 && lseek(fd, 0, SEEK_END) == 7);
	IS("unlink: and grows", ftruncate(fd, 100000) == 0 && fstat(fd, &st) == 0 && st.st_size == 100000);
	OK("unlink: its name can be taken by another", close(open("open", O_RDWR | O_CREAT | O_EXCL, 0644)));
	IS("unlink: which is another file",
		posix_lstat("open").st_size == 0 && fstat(fd, &st) == 0 && st.st_size == 100000);
	OK("unlink: the last close frees it", close(fd));
	mkdir("sticky", 0777);
	chmod("sticky", 01777);
	posix_file("sticky/f", "");
	chmod("sticky/f", 0666);
	USER_ERR("unlink: EPERM or EACCES in a sticky directory for another's file: EPERM (Linux)",
		unlink("sticky/f"), EPERM);
	USER_ERR("rename: EPERM in a sticky directory for another's file (Linux)",
		rename("sticky/f", "sticky/g"), EPERM);
	chmod("sticky", 0777);
	chmod("sticky/f", 0000);
	USER_OK("unlink: needs no permission of the file itself", unlink("sticky/f"));
	chmod("sticky", 0755);
	unlink("sticky/f");
	posix_file("sticky/f", "");
	USER_ERR("unlink: EACCES where the directory may not be written", unlink("sticky/f"), EACCES);
}

static void symlinks(void)
{
	char b[PATH_MAX], c[PATH_MAX];
	struct stat st;

	umask(077);
	OK("symlink: to anything", symlink("any/thing at all", "sym"));
	umask(022);
	st = posix_lstat("sym");
	IS("lstat: a symlink", S_ISLNK(st.st_mode));
	IS("lstat: its size is the length of its content", st.st_size == 16);
	IS("lstat: its mode is 0777 (Linux)", (st.st_mode & 07777) == 0777);
	IS("readlink: gives the content without a NUL",
		readlink("sym", b, sizeof(b)) == 16 && memcmp(b, "any/thing at all", 16) == 0);
	IS("readlink: cuts to the buffer", readlink("sym", b, 3) == 3 && memcmp(b, "any", 3) == 0);
	ERR("readlink: EINVAL for what is no symlink", readlink("a", b, sizeof(b)), EINVAL);
	ERR("readlink: EINVAL for a directory", readlink("dir", b, sizeof(b)), EINVAL);
	ERR("readlink: ENOENT", readlink("none", b, sizeof(b)), ENOENT);
	ERR("readlink: EINVAL for a buffer of 0 bytes (Linux)", readlink("sym", b, 0), EINVAL);
	ERR("symlink: EEXIST", symlink("x", "a"), EEXIST);
	ERR("symlink: EEXIST where a dangling symlink is", symlink("x", "sym"), EEXIST);
	ERR("symlink: ENOENT for empty content (Linux)", symlink("", "empty"), ENOENT);
	ERR("symlink: ENOENT for an empty name", symlink("x", ""), ENOENT);
	ERR("symlink: ENOENT where the directory does not exist", symlink("x", "none/s"), ENOENT);
	ERR("symlink: ENOTDIR", symlink("x", "a/s"), ENOTDIR);
	ERR("symlink: ENAMETOOLONG for the name", symlink("x", posix_name(NAME_MAX + 1)), ENAMETOOLONG);
	memset(c, 'c', sizeof(c) - 1);
	c[sizeof(c) - 1] = '\0';
	OK("symlink: content of PATH_MAX - 1 bytes", symlink(c, "long"));
	IS("readlink: content of PATH_MAX - 1 bytes",
		readlink("long", b, sizeof(b)) == PATH_MAX - 1 && memcmp(b, c, PATH_MAX - 1) == 0);
	symlink("dir", "todir");
	posix_file("dir/in", "inside");
	IS("symlink: to a directory is a way into it", posix_holds("todir/in", "inside"));
	IS("symlink: a relative one starts at its own directory",
		symlink("../a", "dir/up") == 0 && posix_holds("dir/up", "changed"));
	IS("stat: follows", stat("todir", &st) == 0 && S_ISDIR(st.st_mode));
	IS("lstat: follows with a slash behind", lstat("todir/", &st) == 0 && S_ISDIR(st.st_mode));
	ERR("rmdir: ENOTDIR for a symlink to a directory", rmdir("todir"), ENOTDIR);
	mkdir("unwritable", 0755);
	posix_file("mine", "");
	if (geteuid() == 0)
		chown("mine", ORDINARY, ORDINARY);
	USER_ERR("symlink: EACCES where the directory may not be written", symlink("x", "unwritable/s"),
		EACCES);
	USER_ERR("link: EACCES where the directory may not be written",
		linkat(AT_FDCWD, "mine", AT_FDCWD, "unwritable/l", 0), EACCES);
}

static unsigned entries(const char *path, bool *ret_dots)
{
	DIR *d = opendir(path);
	struct dirent *e;
	unsigned n = 0, dots = 0;

	while (d && (e = readdir(d)))
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			dots++;
		else
			n++;
	if (d)
		closedir(d);
	*ret_dots = dots == 2;
	return n;
}

static void directories(void)
{
	struct stat before, st, up;
	bool dots;

	before = posix_lstat(".");
	posix_tick();
	OK("mkdir: a directory", mkdir("new", 0777));
	st = posix_lstat("new");
	IS("mkdir: its mode is the argument without the umask",
		S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0755);
	IS("mkdir: its owner is the effective user", st.st_uid == geteuid());
	IS("mkdir: updates mtime and ctime of the parent",
		posix_later(posix_lstat(".").st_mtim, before.st_mtim) &&
			posix_later(posix_lstat(".").st_ctim, before.st_ctim));
	IS("mkdir: it has . and .. and nothing else", entries("new", &dots) == 0 && dots);
	up = posix_lstat("new/..");
	IS("mkdir: .. is the parent", up.st_ino == posix_lstat(".").st_ino);
	IS("mkdir: . is itself", posix_lstat("new/.").st_ino == st.st_ino);
	IS("mkdir: the link count is 2, or 1 where none is kept", st.st_nlink == 2 || st.st_nlink == 1);
	ERR("mkdir: EEXIST for a directory", mkdir("new", 0777), EEXIST);
	ERR("mkdir: EEXIST for a file", mkdir("a", 0777), EEXIST);
	ERR("mkdir: EEXIST for a dangling symlink", mkdir("to-absent", 0777), EEXIST);
	ERR("mkdir: EEXIST for .", mkdir(".", 0777), EEXIST);
	ERR("mkdir: EEXIST for /", mkdir("/", 0777), EEXIST);
	ERR("mkdir: ENOENT", mkdir("none/new", 0777), ENOENT);
	ERR("mkdir: ENOENT for an empty path", mkdir("", 0777), ENOENT);
	ERR("mkdir: ENOTDIR", mkdir("a/new", 0777), ENOTDIR);
	ERR("mkdir: ENAMETOOLONG", mkdir(posix_name(NAME_MAX + 1), 0777), ENAMETOOLONG);
	OK("mkdir: a slash behind the name", mkdir("slash/", 0755));
	OK("mkdir: S_ISVTX is kept (Linux)", mkdir("vtx", 01777));
	IS("mkdir: mode 01755 (Linux)", posix_mode("vtx") == 01755);
	mkdir("readonly", 0755);
	USER_ERR("mkdir: EACCES where the parent may not be written", mkdir("readonly/x", 0755), EACCES);
	mkdir("readonly/sub", 0777);
	USER_ERR("rmdir: EACCES where the parent may not be written", rmdir("readonly/sub"), EACCES);
	mkdir("new/sub", 0755);
	ERR("rmdir: ENOTEMPTY", rmdir("new"), ENOTEMPTY);
	ERR("rmdir: EINVAL for .", rmdir("new/sub/."), EINVAL);
	ERR("rmdir: ENOTEMPTY for .. (Linux)", rmdir("new/sub/.."), ENOTEMPTY);
	ERR("rmdir: ENOTDIR for a file", rmdir("a"), ENOTDIR);
	ERR("rmdir: ENOENT", rmdir("none"), ENOENT);
	posix_tick();
	before = posix_lstat("new");
	posix_tick();
	OK("rmdir: an empty directory", rmdir("new/sub"));
	IS("rmdir: updates mtime and ctime of the parent",
		posix_later(posix_lstat("new").st_mtim, before.st_mtim) &&
			posix_later(posix_lstat("new").st_ctim, before.st_ctim));
	OK("unlinkat: AT_REMOVEDIR removes a directory", unlinkat(AT_FDCWD, "new", AT_REMOVEDIR));
	ERR("unlinkat: ENOTDIR for AT_REMOVEDIR of a file", unlinkat(AT_FDCWD, "a", AT_REMOVEDIR), ENOTDIR);
	ERR("unlinkat: EINVAL for an unknown flag", unlinkat(AT_FDCWD, "a", 1), EINVAL);
	mkdir("held", 0755);
	int fd = open("held", O_RDONLY | O_DIRECTORY);
	OK("rmdir: a directory that is open", rmdir("held"));
	ERR("openat: ENOENT in a directory that was removed", openat(fd, "x", O_RDWR | O_CREAT, 0644),
		ENOENT);
	IS("fstat: count 0 for a directory that was removed", fstat(fd, &st) == 0 && st.st_nlink == 0);
	close(fd);
}

static void reading(void)
{
	char name[272];
	bool seen[500] = {false}, all = true, once = true, dots;
	struct dirent *e;
	unsigned count = 0;
	DIR *d;

	mkdir("many", 0755);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(name, sizeof(name), "many/entry-%d", i);
		close(open(name, O_WRONLY | O_CREAT, 0600));
	}
	d = opendir("many");
	while ((e = readdir(d))) {
		int i;
		if (sscanf(e->d_name, "entry-%d", &i) != 1)
			continue;
		once = once && !seen[i];
		seen[i] = true;
		(void)snprintf(name, sizeof(name), "many/%s", e->d_name);
		all = all && e->d_ino == posix_lstat(name).st_ino &&
		      (e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
	}
	for (int i = 0; i < 500; i++)
		count += seen[i];
	IS("readdir: gives every entry", count == 500);
	IS("readdir: gives each once", once);
	IS("readdir: d_ino and d_type agree with stat", all);
	rewinddir(d);
	for (count = 0; (e = readdir(d));)
		count++;
	IS("rewinddir: begins again", count == 502);
	rewinddir(d);
	for (int i = 0; i < 100; i++)
		e = readdir(d);
	long at = telldir(d);
	char kept[256];
	(void)snprintf(kept, sizeof(kept), "%s", (e = readdir(d)) ? e->d_name : "");
	for (int i = 0; i < 50; i++)
		e = readdir(d);
	seekdir(d, at);
	IS("seekdir: to what telldir gave", (e = readdir(d)) && !strcmp(e->d_name, kept));
	rewinddir(d);
	unsigned removed = 0;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
	IS("readdir: every entry once though each is removed when it is seen", removed == 500);
	IS("readdir: and then nothing is left", entries("many", &dots) == 0 && dots);
	closedir(d);
	IS("rmdir: the emptied directory", rmdir("many") == 0);
	ERR("opendir: ENOTDIR", opendir("a") ? 0 : -1, ENOTDIR);
	ERR("opendir: ENOENT", opendir("none") ? 0 : -1, ENOENT);
}

static void special(void)
{
	struct stat st;

	OK("mkfifo: a FIFO", mkfifo("fifo", 0666));
	st = posix_lstat("fifo");
	IS("mkfifo: its kind and mode", S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0644);
	ERR("mkfifo: EEXIST", mkfifo("fifo", 0666), EEXIST);
	ERR("open: ENXIO for O_WRONLY|O_NONBLOCK on a FIFO without reader",
		open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = open("fifo", O_RDONLY | O_NONBLOCK), w = open("fifo", O_WRONLY);
	char b[4];
	IS("open: a FIFO carries bytes",
		write(w, "pipe", 4) == 4 && read(r, b, 4) == 4 && !memcmp(b, "pipe", 4));
	close(r);
	close(w);
	OK("unlink: a FIFO", unlink("fifo"));
}

static void relative(void)
{
	int d = open("dir", O_RDONLY | O_DIRECTORY), f = open("a", O_RDONLY);
	struct stat st;

	OK("mkdirat", mkdirat(d, "at", 0755));
	OK("symlinkat", symlinkat("at", d, "sat"));
	IS("readlinkat", readlinkat(d, "sat", (char[8]){0}, 8) == 2);
	IS("fstatat: follows", fstatat(d, "sat", &st, 0) == 0 && S_ISDIR(st.st_mode));
	IS("fstatat: AT_SYMLINK_NOFOLLOW does not",
		fstatat(d, "sat", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	OK("linkat: between directories", linkat(AT_FDCWD, "a", d, "la", 0));
	OK("renameat: between directories", renameat(d, "la", AT_FDCWD, "la2"));
	IS("renameat: moved", posix_exists("la2") && !posix_exists("dir/la"));
	OK("unlinkat", unlinkat(AT_FDCWD, "la2", 0));
	ERR("openat: ENOTDIR where the descriptor is no directory", openat(f, "x", O_RDONLY), ENOTDIR);
	ERR("openat: EBADF where the descriptor is not open", openat(999, "x", O_RDONLY), EBADF);
	IS("openat: an absolute path needs no descriptor", openat(999, "/", O_RDONLY) >= 0);
	OK("fchdir", fchdir(d));
	IS("fchdir: names are relative to it", posix_exists("at"));
	OK("chdir: ..", chdir(".."));
	ERR("chdir: ENOTDIR", chdir("a"), ENOTDIR);
	ERR("chdir: ENOENT", chdir("none"), ENOENT);
	close(d);
	close(f);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "names");
	links();
	unlinks();
	symlinks();
	directories();
	reading();
	special();
	relative();
	return posix_end();
}
