// Package greet says hello.
package greet

// Hello greets somebody.
func Hello(who string) string {
	return "hello, " + who
}
