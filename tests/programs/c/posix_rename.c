/* rename, renameat, renameat2: XSH rename() and Linux's flags, assertion by assertion. */
#include "posix.h"

static void files(void)
{
	struct stat old, now, from, to;
	int fd;

	mkdir("from", 0777);
	mkdir("to", 0777);
	posix_file("from/a", "text");
	old = posix_lstat("from/a");
	from = posix_lstat("from");
	to = posix_lstat("to");
	posix_tick();
	OK("rename: a file to another directory", rename("from/a", "to/b"));
	now = posix_lstat("to/b");
	IS("rename: the old name is gone", !posix_exists("from/a"));
	IS("rename: it is the same file", now.st_ino == old.st_ino && posix_holds("to/b", "text"));
	IS("rename: leaves the file's mtime", posix_same(now.st_mtim, old.st_mtim));
	IS("rename: updates the file's ctime (Linux)", posix_later(now.st_ctim, old.st_ctim));
	IS("rename: updates mtime and ctime of the old directory",
		posix_later(posix_lstat("from").st_mtim, from.st_mtim) &&
			posix_later(posix_lstat("from").st_ctim, from.st_ctim));
	IS("rename: updates mtime and ctime of the new directory",
		posix_later(posix_lstat("to").st_mtim, to.st_mtim) &&
			posix_later(posix_lstat("to").st_ctim, to.st_ctim));
	posix_file("to/c", "older");
	fd = open("to/c", O_RDWR);
	OK("rename: onto an existing file replaces it", rename("to/b", "to/c"));
	IS("rename: the new name has the content", posix_holds("to/c", "text") && !posix_exists("to/b"));
	IS("rename: the replaced file lives on while it is open",
		fstat(fd, &now) == 0 && now.st_nlink == 0 && pread(fd, (char[5]){0}, 5, 0) == 5);
	close(fd);
	link("to/c", "to/d");
	OK("rename: between two names of one file does nothing", rename("to/c", "to/d"));
	IS("rename: both names remain",
		posix_exists("to/c") && posix_exists("to/d") && posix_lstat("to/c").st_nlink == 2);
	OK("rename: a name to itself does nothing", rename("to/c", "to/c"));
	posix_file("one", "1");
	link("one", "two");
	posix_file("three", "3");
	old = posix_lstat("two");
	posix_tick();
	OK("rename: onto one of several names", rename("three", "one"));
	now = posix_lstat("two");
	IS("rename: the others remain, the count goes down",
		now.st_nlink == 1 && posix_holds("two", "1") && posix_holds("one", "3"));
	IS("rename: and their ctime is updated", posix_later(now.st_ctim, old.st_ctim));
	fd = open("one", O_RDONLY);
	OK("rename: an open file", rename("one", "four"));
	IS("rename: is still open",
		pread(fd, (char[1]){0}, 1, 0) == 1 && fstat(fd, &now) == 0 && now.st_nlink == 1);
	close(fd);
	ERR("rename: ENOENT", rename("none", "x"), ENOENT);
	ERR("rename: ENOENT where the new directory does not exist", rename("four", "none/x"), ENOENT);
	ERR("rename: ENOENT for an empty old path", rename("", "x"), ENOENT);
	ERR("rename: ENOENT for an empty new path", rename("four", ""), ENOENT);
	ERR("rename: ENOTDIR where a component is a file", rename("four/x", "y"), ENOTDIR);
	ERR("rename: ENOTDIR where a component of the new path is a file", rename("two", "four/y"), ENOTDIR);
	ERR("rename: ENOTDIR for a file with a slash behind it", rename("four/", "y"), ENOTDIR);
	ERR("rename: ENAMETOOLONG", rename("four", posix_name(NAME_MAX + 1)), ENAMETOOLONG);
	OK("rename: to a name of NAME_MAX characters", rename("four", posix_name(NAME_MAX)));
	OK("rename: and back", rename(posix_name(NAME_MAX), "four"));
}

static void directories(void)
{
	struct stat st;

	mkdir("d1", 0755);
	mkdir("d2", 0755);
	posix_file("d1/f", "in d1");
	st = posix_lstat("d1");
	OK("rename: a directory onto an empty directory", rename("d1", "d2"));
	IS("rename: it is the same directory with what was in it",
		posix_lstat("d2").st_ino == st.st_ino && posix_holds("d2/f", "in d1") && !posix_exists("d1"));
	mkdir("d3", 0755);
	ERR("rename: ENOTEMPTY (or EEXIST) onto a directory with entries (Linux: ENOTEMPTY)",
		rename("d3", "d2"), ENOTEMPTY);
	ERR("rename: EISDIR for a file onto a directory", rename("two", "d3"), EISDIR);
	ERR("rename: ENOTDIR for a directory onto a file", rename("d3", "two"), ENOTDIR);
	ERR("rename: EINVAL for a directory into itself", rename("d2", "d2/sub"), EINVAL);
	mkdir("d2/sub", 0755);
	ERR("rename: EINVAL for a directory into what lies in it", rename("d2", "d2/sub/x"), EINVAL);
	ERR("rename: ENOTEMPTY onto its own ancestor (Linux)", rename("d2/sub", "d2"), ENOTEMPTY);
	ERR("rename: EBUSY (Linux) or EINVAL for . as the old name", rename(".", "x"), EBUSY);
	ERR("rename: EBUSY (Linux) or EINVAL for .. as the new name", rename("d3", "d2/.."), EBUSY);
	OK("rename: a directory to another directory", rename("d2/sub", "d3/moved"));
	IS("rename: .. of the moved directory is its new parent",
		posix_lstat("d3/moved/..").st_ino == posix_lstat("d3").st_ino);
	OK("rename: a slash behind directories", rename("d3/", "d4/"));
	symlink("d4", "sd");
	symlink("two", "sf");
	OK("rename: a symlink itself", rename("sf", "sf2"));
	IS("rename: it is a symlink still", S_ISLNK(posix_lstat("sf2").st_mode) && posix_exists("two"));
	posix_file("plain", "plain");
	OK("rename: onto a symlink replaces the symlink", rename("plain", "sf2"));
	IS("rename: its target is untouched", S_ISREG(posix_lstat("sf2").st_mode) && posix_holds("two", "1"));
	ERR("rename: ENOTDIR for a directory onto a symlink to a directory", rename("d4", "sd"), ENOTDIR);
	ERR("rename: ENOTDIR for a symlink to a directory with a slash behind it (Linux)", rename("sd/", "x"),
		ENOTDIR);
}

static void permission(void)
{
	mkdir("closed", 0755);
	posix_file("closed/f", "");
	mkdir("open", 0777);
	chmod("open", 0777);
	posix_file("open/f", "");
	USER_ERR("rename: EACCES where the old directory may not be written", rename("closed/f", "open/g"),
		EACCES);
	USER_ERR("rename: EACCES where the new directory may not be written", rename("open/f", "closed/g"),
		EACCES);
	USER_OK("rename: write permission of both directories is enough", rename("open/f", "open/g"));
	mkdir("open/theirs", 0755);
	mkdir("open2", 0777);
	chmod("open2", 0777);
	USER_ERR("rename: EACCES for a directory to another parent where its .. may not be written",
		rename("open/theirs", "open2/x"), EACCES);
	chmod("open", 01777);
	USER_ERR("rename: EPERM out of a sticky directory for another's file (Linux)",
		rename("open/g", "open2/g"), EPERM);
	chmod("open2", 01777);
	posix_file("open2/target", "");
	if (geteuid() == 0) {
		posix_file("open/mine", "");
		chown("open/mine", ORDINARY, ORDINARY);
	}
	USER_ERR("rename: EPERM onto another's file in a sticky directory (Linux)",
		rename("open/mine", "open2/target"), EPERM);
	USER_OK("rename: a user's own file out of a sticky directory", rename("open/mine", "open2/mine"));
}

static void flags(void)
{
	struct stat a, b;

	posix_file("x", "x");
	posix_file("y", "y");
	a = posix_lstat("x");
	b = posix_lstat("y");
	ERR("renameat2: EEXIST for RENAME_NOREPLACE (Linux)",
		renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE), EEXIST);
	OK("renameat2: RENAME_NOREPLACE to a free name (Linux)",
		renameat2(AT_FDCWD, "x", AT_FDCWD, "z", RENAME_NOREPLACE));
	OK("renameat2: RENAME_EXCHANGE (Linux)", renameat2(AT_FDCWD, "z", AT_FDCWD, "y", RENAME_EXCHANGE));
	IS("renameat2: both have changed places (Linux)",
		posix_lstat("y").st_ino == a.st_ino && posix_lstat("z").st_ino == b.st_ino);
	mkdir("xd", 0755);
	OK("renameat2: RENAME_EXCHANGE of a file and a directory (Linux)",
		renameat2(AT_FDCWD, "y", AT_FDCWD, "xd", RENAME_EXCHANGE));
	IS("renameat2: exchanged (Linux)", S_ISDIR(posix_lstat("y").st_mode) && posix_holds("xd", "x"));
	ERR("renameat2: ENOENT for RENAME_EXCHANGE with what is not there (Linux)",
		renameat2(AT_FDCWD, "z", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
	ERR("renameat2: EINVAL for both flags (Linux)",
		renameat2(AT_FDCWD, "z", AT_FDCWD, "y", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
	ERR("renameat2: EINVAL for an unknown flag (Linux)", renameat2(AT_FDCWD, "z", AT_FDCWD, "y", 0x100),
		EINVAL);
}

/* Readers never see the name missing while it is replaced again and again. */
static void atomic(void)
{
	pid_t pid;
	bool always = true, whole = true;
	int status;

	posix_file("atomic", "0000000000");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 2000; i++) {
			char text[16];
			(void)snprintf(text, sizeof(text), "%010d", i);
			posix_file("atomic.new", text);
			if (rename("atomic.new", "atomic"))
				_exit(1);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		char b[16];
		int fd = open("atomic", O_RDONLY);

		always = always && fd >= 0;
		whole = whole && fd >= 0 && read(fd, b, sizeof(b)) == 10;
		close(fd);
	}
	IS("rename: 2000 replacements by another process", WIFEXITED(status) && WEXITSTATUS(status) == 0);
	IS("rename: the name is there at every moment", always);
	IS("rename: and every file seen is whole", whole);
}

int main(int argc, char **argv)
{
	posix_begin(argc, argv, "rename");
	files();
	directories();
	permission();
	flags();
	atomic();
	return posix_end();
}
