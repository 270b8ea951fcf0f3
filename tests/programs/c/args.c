/* Arguments, environment and exit status: `args STATUS [ARG...]`. */
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

int main(int argc, char **argv)
{
	printf("argc %d\n", argc);
	for (int i = 0; i < argc; i++)
		printf("argv[%d]=<%s>\n", i, argv[i]);
	printf("argv[argc] is %s\n", argv[argc] ? "set" : "null");
	for (char **e = environ; *e; e++)
		printf("env <%s>\n", *e);
	fprintf(stderr, "on stderr\n");
	return argc > 1 ? atoi(argv[1]) : 0;
}
